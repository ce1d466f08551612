"""The figure of accuracy against codebook sizes: a panel a network, a line a way of matching."""

from collections.abc import Mapping
from typing import Any

from bitpim.report.figure_file import COLOURS, literal

__all__ = ["draw_accuracy"]


def draw_accuracy(found: Mapping[str, Any]) -> Any:
    """Draw what `bench.table_accuracy` wrote as JSON.

    Of the points of one size on one line, that of most images is drawn. A level line is the float
    network on the most images of its panel.
    """
    from matplotlib.figure import Figure

    points = found["points"]
    networks = list(dict.fromkeys(p["network"] for p in points))
    curves = list(dict.fromkeys(p["curve"] for p in points))
    figure = Figure(figsize=(max(6.4, 3.6 * len(networks)), 4.0), layout="constrained")
    panels = figure.subplots(1, len(networks), squeeze=False, sharey=True)[0]
    for axes, network in zip(panels, networks, strict=True):
        here = [p for p in points if p["network"] == network]
        real = max(here, key=lambda p: p["n_images"])["float_accuracy"]
        axes.axhline(100 * real, color="#777777", linewidth=0.8, linestyle=":", label="float")
        for place, curve in enumerate(curves):
            _draw_curve(axes, [p for p in here if p["curve"] == curve], curve, place)
        sizes = sorted({p["size"] for p in here})
        axes.set_xscale("log", base=2)
        axes.set_xticks(sizes, [str(size) for size in sizes])
        axes.minorticks_off()
        axes.set_xlabel("values of a codebook")
        axes.set_ylim(0, 100)
        axes.grid(linewidth=0.4, alpha=0.6)
        axes.spines[["top", "right"]].set_visible(False)
        axes.set_title(literal(network))
    panels[0].set_ylabel("accuracy (%)")
    labelled = {
        label: line for axes in panels
        for line, label in zip(*axes.get_legend_handles_labels(), strict=True)
    }  # fmt: skip
    figure.legend(labelled.values(), labelled, loc="outside lower center", ncols=5, frameon=False)
    return figure


def _draw_curve(axes: Any, points: list[Any], curve: str, place: int) -> None:
    by_size: dict[int, Any] = {}
    for p in sorted(points, key=lambda p: p["n_images"]):
        by_size[p["size"]] = p
    if not by_size:
        return
    sizes = sorted(by_size)
    shares = [100 * by_size[size]["accuracy"] for size in sizes]
    colour = COLOURS[place % len(COLOURS)]
    axes.plot(sizes, shares, marker="o", ms=3.5, color=colour, label=literal(curve))
