"""A figure of the pattern mapping's ratios over kept entries and all-zero kernels."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bitpim.report.figure_file import COLOURS, write_figure

__all__ = ["plot_grid"]

PANELS = (
    ("crossbar area", "area", "area"),
    ("OU reads", "reads", "speed"),
    ("energy, table isaac", "isaac", "energy"),
)


def plot_grid(found: Mapping[str, Any], path: Path) -> Path:
    """Draw the grid of a result, with the paper's ranges shaded, and return the file's path.

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

    figure = Figure(figsize=(10.8, 3.4), layout="constrained")
    kept = sorted({row["kept"] for row in found["grid"]})
    for axis, (title, key, quoted) in zip(figure.subplots(1, len(PANELS)), PANELS, strict=True):
        axis.axhspan(*found["quoted"][quoted], color="0.88", label="Yu et al. 2020")
        for k, colour in zip(kept, COLOURS, strict=False):
            rows = [row for row in found["grid"] if row["kept"] == k]
            ratios = [{**row["ratios"], **row["ratios"]["energy"]}[key] for row in rows]
            shares = [row["zero_share"] for row in rows]
            axis.plot(shares, ratios, marker="o", markersize=3, color=colour, label=f"k = {k}")
        axis.set_title(title)
        axis.set_xlabel("share of all-zero kernels")
        axis.set_ylim(bottom=0)
        axis.grid(visible=True, linewidth=0.4)
    figure.axes[0].set_ylabel("dense over pattern mapping")
    figure.legend(*figure.axes[0].get_legend_handles_labels(), loc="outside right center")
    figure.suptitle("VGG-16 on CIFAR, 8 patterns a layer, no input skipped")
    return figure
