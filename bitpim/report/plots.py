"""Figures of a result: cycles and energy of each layer by phase, and utilization."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bitpim.report.figure_file import COLOURS, FORMATS, literal, write_figure
from bitpim.report.result_records import Result
from bitpim.report.rows import Row, layer_rows
from bitpim.units import pj_to_j, prefix_of

__all__ = ["FORMATS", "plot_result"]

_LARGE = {"": "", "k": "thousands", "M": "millions", "G": "billions", "T": "trillions"}


def plot_result(result: Result, path: str | Path) -> Path:
    """Draw a result into a PNG, SVG or PDF file and return its path.

    One panel for cycles, one for energy where the run was priced, one for utilization; a bar a
    layer, stacked by phase.

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

    rows = layer_rows(result)
    panels = ["cycles", *(["energy"] if result.prices_name else []), "utilization"]
    width = min(max(6.4, 2.6 + 0.32 * len(rows)), 30.0)
    figure = Figure(figsize=(width, 1.1 + 2.3 * len(panels)), layout="constrained")
    axes = figure.subplots(len(panels), 1, sharex=True, squeeze=False)[:, 0]
    colours = {p: COLOURS[i % len(COLOURS)] for i, p in enumerate(result.phases)}
    _stack(axes[0], "cycles", [row["cycles_by_phase"] for row in rows], "", colours)
    if result.prices_name:
        joules = [{p: pj_to_j(e) for p, e in row["energy_pj_by_phase"].items()} for row in rows]
        _stack(axes[1], "energy", joules, "J", colours)
    _draw_utilization(axes[-1], rows)
    _label_layers(axes[-1], rows)
    header, n = result.header, result.header.n_samples
    title = f"{header.trace_name} on {header.machine}, {n} sample{'s' * (n != 1)}"
    figure.suptitle(literal(title))
    handles, labels = axes[0].get_legend_handles_labels()
    if handles:
        n_columns = min(len(labels), 5 if width > 8 else 3)
        figure.legend(handles, labels, loc="outside lower center", ncols=n_columns, frameon=False)
    return figure


def _stack(
    axis: Any,
    title: str,
    layers: Sequence[Mapping[str, float]],
    unit: str,
    colours: Mapping[str, str],
) -> None:
    """Draw one stacked bar a layer."""
    most = max((sum(by_phase.values()) for by_phase in layers), default=0)
    factor, prefix = prefix_of(most)
    base = [0.0] * len(layers)
    for phase, colour in colours.items():
        heights = [by_phase.get(phase, 0) / factor for by_phase in layers]
        name = literal(phase.replace("_", " "))
        axis.bar(range(len(layers)), heights, 0.8, base, color=colour, label=name)
        base = [low + height for low, height in zip(base, heights, strict=True)]
    shown = prefix.replace("u", "µ") + unit if unit else _LARGE[prefix]
    axis.margins(y=0.06)
    axis.set_ylabel(f"{title} ({shown})" if shown else title)
    _tidy(axis)


def _draw_utilization(axis: Any, rows: Sequence[Row]) -> None:
    shares = [100 * (row["utilization"] or 0.0) for row in rows]
    axis.bar(range(len(rows)), shares, 0.8, color="#555555")
    axis.set_ylim(0, min(100, 1.15 * max(shares, default=0)) or 100)
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
