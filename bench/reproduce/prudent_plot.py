"""A figure of Bit Prudent's speed over Neural Cache by the share of lanes pruned."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bitpim.report.figure_file import COLOURS, literal, write_figure

__all__ = ["plot_sweep"]

PANELS = (("conv2 to conv5, all phases", "pruned"), ("whole network", "network"))


def plot_sweep(found: Mapping[str, Any], path: Path) -> Path:
    """Draw speeds by layout, with the published one, and return the file's path.

    Raises
    ------
    ConfigError
        matplotlib is not installed, or the name ends in no known format.
    ResultError
        The file cannot be written.
    """
    return write_figure(path, lambda: _draw(found))


def _draw(found: Mapping[str, Any]) -> Any:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9.0, 4.0), layout="constrained")
    panels = figure.subplots(1, len(PANELS), sharey=True)
    layouts = list(dict.fromkeys(row["layout"] for row in found["swept"]))
    for axes, (title, metric) in zip(panels, PANELS, strict=True):
        for place, layout in enumerate(layouts):
            rows = [row for row in found["swept"] if row["layout"] == layout]
            shares = [float(row["what"].split("%")[0]) for row in rows]
            speeds = [row[metric] for row in rows]
            axes.plot(shares, speeds, "o-", color=COLOURS[place], label=literal(layout))
        axes.axhline(found["quoted"]["speed"], color="#333333", linestyle="--", linewidth=1.0)
        axes.annotate(
            f"published {found['quoted']['speed']:g}x, lanes unknown",
            (0.98, found["quoted"]["speed"]),
            xycoords=("axes fraction", "data"),
            va="bottom",
            ha="right",
            fontsize=8,
        )
        axes.set_xlabel("lanes pruned in conv2 to conv5, %")
        axes.set_title(literal(title))
        axes.spines[["top", "right"]].set_visible(False)
    panels[0].set_ylabel("times Neural Cache's speed")
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=2)
    return figure
