"""A figure of RAPIDNN's ratios over ISAAC and PipeLayer, beside the published ones."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bitpim.report.figure_file import COLOURS, literal, write_figure

__all__ = ["plot_ratios"]


def plot_ratios(found: Mapping[str, Any], path: Path) -> Path:
    """Draw energy and speed ratios by network, and return the file's path.

    Raises
    ------
    ConfigError
        matplotlib is not installed, or the name ends in no known format.
    ResultError
        The file cannot be written.
    """
    return write_figure(path, lambda: _draw(found))


def _series(found: Mapping[str, Any], machine: str) -> dict[str, list[float]]:
    """Return the ratios of each network, by what is compared; all neurons are held."""
    made: dict[str, list[float]] = {}
    for network in found["networks"]:
        here = {
            (row["schedule"], row["machine_schedule"]): row
            for row in network["ratios"]
            if row["machine"] == machine
        }
        held = here["all neurons", "copies, pipeline"]
        for table, value in held["energy"].items():
            made.setdefault(f"energy, {table}", []).append(value)
        one = here["one chip", "one copy"]
        made.setdefault("images/s, one chip, one copy each", []).append(one["speed"])
        piped = here["all neurons, pipeline", "copies, pipeline"]
        made.setdefault("images/s, pipelines", []).append(piped["speed"])
        made.setdefault("images/s a mm2, pipelines", []).append(piped["per_area"])
    return made


def _draw(found: Mapping[str, Any]) -> Any:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10.0, 4.4), layout="constrained")
    names = [network["name"] for network in found["networks"]]
    panels = figure.subplots(1, len(found["quoted"]), sharey=True)
    for axes, (machine, quoted) in zip(panels, found["quoted"].items(), strict=True):
        series = _series(found, machine)
        width = 0.8 / len(series)
        for place, (label, values) in enumerate(series.items()):
            at = [k + (place - (len(series) - 1) / 2) * width for k in range(len(names))]
            axes.bar(at, values, width, color=COLOURS[place], label=literal(label))
        for metric, look in (("energy", "--"), ("speed", ":")):
            axes.axhline(quoted[metric], color="#333333", linestyle=look, linewidth=1.0)
            axes.annotate(
                f"published {metric} {quoted[metric]:g}x",
                (0.01, quoted[metric]),
                xycoords=("axes fraction", "data"),
                va="bottom",
                fontsize=8,
            )
        axes.axhline(1.0, color="#777777", linewidth=0.8)
        axes.set_yscale("log")
        axes.set_xticks(range(len(names)), [literal(name) for name in names])
        axes.set_title(literal(f"RAPIDNN over {machine}"))
        axes.spines[["top", "right"]].set_visible(False)
    panels[0].set_ylabel("ratio, above 1: RAPIDNN is better")
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=3)
    return figure
