"""`python -m bench.table_figure FILE.jsonl... --figure FILE`: accuracy against codebook sizes.

A panel a network, a line a way of matching, from finished points of `bench.table_accuracy`.
"""

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bench.finished_points import Journal
from bench.table_text import Point, plain, table
from bitpim.report.figure_file import COLOURS, literal, write_figure

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


def main(arguments: Sequence[str] | None = None) -> int:
    """Draw the points of some files together, and print their table."""
    parser = argparse.ArgumentParser(prog="python -m bench.table_figure", description=__doc__)
    parser.add_argument("files", nargs="+", type=Path, help="points as bench.table_accuracy keeps")
    parser.add_argument("--figure", type=Path, help="where to draw them")
    options = parser.parse_args(arguments)
    points = [point for file in options.files for point in Journal(Point, file).points.values()]
    if not points:
        parser.error("no finished points in these files")
    points.sort(key=lambda p: (p.network, p.retrained))
    if options.figure is not None:
        write_figure(options.figure, lambda: draw_accuracy(plain(points)))
    print(table(points))
    return 0


if __name__ == "__main__":
    sys.exit(main())
