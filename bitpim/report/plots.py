"""Figures of a result: cycles by phase, energy by event, and utilization of each layer."""

import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bitpim.cost.model import energy
from bitpim.cost.tables import PriceTable, parse_prices
from bitpim.report.figure_file import COLOURS, FORMATS, literal, write_figure
from bitpim.report.result_records import Result
from bitpim.report.rows import Row, layer_rows
from bitpim.report.summary import title
from bitpim.units import pj_to_j, prefix_of

__all__ = ["FORMATS", "plot_result"]

_HEADROOM = 1.08  # so that no bar touches the edge
_VISIBLE = 1 / 200  # of the highest bar
_N_PARTS = 8  # of a bar, each in a colour of its own
_LARGE = {"": "", "k": "thousands", "M": "millions", "G": "billions", "T": "trillions"}


def plot_result(result: Result, path: str | Path) -> Path:
    """Draw a result into a PNG, SVG or PDF file and return its path.

    One panel for cycles by phase, one for energy by event where the run was priced, one for
    utilization; a bar for each layer that has work.

    Raises
    ------
    ConfigError
        matplotlib is not installed, or the name ends in none of FORMATS.
    ResultError
        The file cannot be written.
    """
    return write_figure(path, lambda: _draw(result))


def _draw(result: Result) -> Any:
    from matplotlib.figure import Figure

    rows = _visible(layer_rows(result))
    panels = ["cycles", *(["energy"] if result.prices_name else []), "utilization"]
    width = min(max(7.2, 2.6 + 0.32 * len(rows)), 30.0)
    figure = Figure(figsize=(width, 1.3 + 2.4 * len(panels)), layout="constrained")
    axes = figure.subplots(len(panels), 1, sharex=True, squeeze=False)[:, 0]
    _stack(axes[0], "cycles", [row["cycles_by_phase"] for row in rows], "", "phase")
    if result.prices_name:
        table = parse_prices(result.prices_text, where="the result's price table")
        joules = [_joules(row["events"], table) for row in rows]
        _stack(axes[1], "energy", joules, "J", "event")
    _draw_utilization(axes[-1], rows)
    _label_layers(axes[-1], rows)
    n_left_out = len(result.layers) - len(rows)
    note = f"\n{n_left_out} layers of next to no work are not drawn" if n_left_out else ""
    lines = textwrap.wrap(title(result), int(12 * width))
    figure.suptitle(literal("\n".join(lines) + note), fontsize=10)
    return figure


def _visible(rows: list[Row]) -> list[Row]:
    """Leave out the layers whose bars no eye would see in any panel; all where none has work."""
    panels = ("cycles", "energy_pj", "utilization")
    least = {key: _VISIBLE * max((row[key] or 0 for row in rows), default=0) for key in panels}
    seen = [row for row in rows if any((row[key] or 0) > least[key] for key in panels)]
    return seen or rows


def _joules(events: Mapping[str, int], table: PriceTable) -> dict[str, float]:
    """Return the energy of each event; those of no energy are left out."""
    found = energy(events, table).by_event_pj
    return {event: pj_to_j(value) for event, value in found.items() if value}


def _stack(
    axis: Any, name: str, layers: Sequence[Mapping[str, float]], unit: str, part: str
) -> None:
    """Draw one stacked bar a layer, the largest parts first and those beyond the palette as one."""
    shown, others = _parts(layers)
    most = max((sum(by_part.values()) for by_part in layers), default=0)
    factor, prefix = prefix_of(most)
    base = [0.0] * len(layers)
    for i, chosen in enumerate([*([each] for each in shown), *([others] if others else [])]):
        heights = [sum(layer.get(each, 0) for each in chosen) / factor for layer in layers]
        label = chosen[0].replace("_", " ") if i < len(shown) else f"{len(others)} others"
        axis.bar(range(len(layers)), heights, 0.8, base, color=COLOURS[i], label=literal(label))
        base = [low + height for low, height in zip(base, heights, strict=True)]
    in_words = prefix.replace("u", "µ") + unit if unit else _LARGE[prefix]
    axis.set_ylabel(f"{name} ({in_words})" if in_words else name)
    axis.set_ylim(0, _HEADROOM * max(base, default=0) or 1)
    if shown:
        place = {"loc": "upper left", "bbox_to_anchor": (1.0, 1.0), "frameon": False}
        axis.legend(title=f"by {part}", alignment="left", fontsize=8, title_fontsize=8, **place)
    _tidy(axis)


def _parts(layers: Sequence[Mapping[str, float]]) -> tuple[list[str], list[str]]:
    """Return the parts that get a colour of their own, largest first, and the others."""
    sums: dict[str, float] = {}
    for layer in layers:
        for each, value in layer.items():
            sums[each] = sums.get(each, 0) + value
    ordered = sorted((each for each in sums if sums[each]), key=lambda each: -sums[each])
    n_own = _N_PARTS if len(ordered) <= _N_PARTS else _N_PARTS - 1
    return ordered[:n_own], ordered[n_own:]


def _draw_utilization(axis: Any, rows: Sequence[Row]) -> None:
    shares = [100 * (row["utilization"] or 0.0) for row in rows]
    axis.bar(range(len(rows)), shares, 0.8, color="#555555")
    axis.set_ylim(0, _HEADROOM * max(shares, default=0) or 100)
    axis.set_ylabel("utilization (%)")
    _tidy(axis)


def _tidy(axis: Any) -> None:
    axis.spines[["top", "right"]].set_visible(False)
    axis.grid(axis="y", linewidth=0.4, alpha=0.6)
    axis.set_axisbelow(True)


def _label_layers(axis: Any, rows: Sequence[Row]) -> None:
    """Name the layers, every nth of them where they are too many to be read."""
    step = max(1, -(-len(rows) // 90))
    shown = list(range(0, len(rows), step))
    names = [literal(_short(rows[i]["name"])) for i in shown]
    axis.set_xticks(shown, names, rotation=60 if len(rows) > 6 else 0, rotation_mode="anchor")
    for label in axis.get_xticklabels():
        label.set_horizontalalignment("right" if len(rows) > 6 else "center")
    axis.set_xlim(-0.6, len(rows) - 0.4)


def _short(name: str) -> str:
    return name if len(name) <= 24 else f"{name[:11]}…{name[-12:]}"
