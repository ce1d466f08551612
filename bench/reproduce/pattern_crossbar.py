"""`python -m bench.reproduce.pattern_crossbar [--traces FOLDER] [--json] [--plot FILE]`.

The numbers of pattern pruning with kernel-reordering weight mapping (Yu et al. 2020), of sparse
ReRAM (SRE) and of ISAAC, recomputed. Anchors must hold exactly. The papers' ratios rest on patterns
and sparsities that are not published, so ours are printed beside them at stated ones, with what
explains the distance and how much each setting moves it. Nothing is tuned to come closer. Exit code
4 where an anchor does not hold.

VGG-16 is laid out at full width with seeded random patterns, and no image is run. With `--traces`,
the folder's vgg16q_dense.h5, vgg16q_pattern.h5 and squeezenet.h5 (made by `bench.networks`) are run
on images, for what depends on inputs. Results are printed as tables; see `pattern_text`.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from bench.reproduce.crossbar_anchors import anchors, edge_rows, quotes
from bench.reproduce.crossbar_ratios import MACHINES, laid_out, price_tables, use_of_plan
from bench.reproduce.pattern_points import (
    BASE,
    POINTS,
    PRESETS,
    SENSITIVITIES,
    grid,
    point,
    sensitivity,
    zero_input_rows,
)
from bench.reproduce.pattern_text import text
from bench.reproduce.real_crossbars import figures, open_traces, pattern_rows, sparse_row
from bench.reproduce.sparse_rows import sparse_rows
from bitpim.cost.tables import PriceTable
from bitpim.crossbar.plan import CrossbarPlan
from bitpim_traces.records import Trace

__all__ = ["QUOTED", "main", "result"]

QUOTED: dict[str, Any] = {
    "area": (4.16, 5.20),
    "energy": (1.98, 2.15),
    "speed": (1.15, 1.35),
    "by_data_set": {  # area, energy, speed, sparsity in per cent; recalled
        "CIFAR-10": (4.67, 2.13, 1.35, 86.0),
        "CIFAR-100": (5.20, 2.15, 1.15, 85.2),
        "ImageNet": (4.16, 1.98, 1.17, 82.5),
    },
    "index_kilobytes": (700, 1000),
    "sre": {
        "speed_average": 13.1,
        "speed_most": 42.3,
        "energy_saved_percent": 85.3,
        "energy_saved_most_percent": 95.4,
    },
}
"""What the papers print. Area, energy and speed as ranges over data sets are found, the rest is
recalled.
"""

SPARSE_NETWORK = "vgg16_cifar"
SPARSE_SHARES = ((0.0, 0.0), (0.5, 0.2), (0.7, 0.3), (0.85, 0.4))
BIT_SHARES = (0.5, 0.2, 0.1)
N_IMAGES = {"vgg16q_dense": 32, "vgg16q_pattern": 32, "squeezenet": 4}


def result(traces: dict[str, Trace] | None = None, images: int | None = None) -> dict[str, Any]:
    """Everything as plain values."""
    tables = price_tables()
    points = [point("vgg16_cifar", p, pruning, tables) for p in PRESETS for pruning in POINTS]
    points.append(point("vgg16", next(iter(PRESETS)), BASE, tables))
    sparse = sparse_rows(SPARSE_NETWORK, SPARSE_SHARES, BIT_SHARES, tables)
    found = {
        "anchors": [asdict(anchor) for anchor in anchors()],
        "quotes": [asdict(quote) for quote in quotes()],
        "edges": [asdict(row) for row in edge_rows()],
        "quoted": QUOTED,
        "price_tables": {table.name: table.title for table in tables},
        "base": str(BASE),
        "presets": PRESETS,
        "points": [asdict(row) for row in points],
        "grid": [{"kept": k, "zero_share": z, **asdict(row)} for k, z, row in grid(tables)],
        "zero_inputs": [asdict(row) for row in zero_input_rows(tables)],
        "sensitivity": [asdict(row) for row in sensitivity(tables, SENSITIVITIES)],
        "sparse": [asdict(row) for row in sparse],
        "linear_layers": linear_layers(),
        "layers": both_layers(),
    }
    return found | {"real": real(traces or {}, tables, images)}


def _both_plans(network: str) -> list[CrossbarPlan]:
    """Lay a network out on both machines, pruned as the base is."""
    trace, presets = BASE.of(network), next(iter(PRESETS.values()))
    return [laid_out(trace, m, preset, ()) for m, preset in zip(MACHINES, presets, strict=True)]


def linear_layers() -> dict[str, int]:
    """Count crossbars of VGG-16 for ImageNet, whose linear layers are dense on both machines."""
    dense, pattern = _both_plans("vgg16")
    return {
        "convolutions_dense": use_of_plan(dense, ()).crossbars,
        "convolutions_pattern": use_of_plan(pattern, ()).crossbars,
        "all_dense": dense.n_crossbars,
        "all_pattern": pattern.n_crossbars,
    }


def both_layers() -> list[dict[str, Any]]:
    """Set crossbars, reads and cycles of each convolution on both machines side by side."""
    pairs = zip(*(plan.table() for plan in _both_plans("vgg16_cifar")), strict=True)
    return [
        {
            "name": pair[0]["name"],
            "crossbars": [row["arrays"] for row in pair],
            "reads": [row["ou_reads"] for row in pair],
            "cycles": [row["cycles"]["read"] for row in pair],
        }
        for pair in pairs
        if pair[0]["kind"] == "conv2d"
    ]


def real(
    traces: dict[str, Trace], tables: Sequence[PriceTable], images: int | None
) -> dict[str, Any]:
    """Run the traces that there are; `images` limits how many of each."""
    n_images = {
        name: min(images or N_IMAGES[name], trace.n_samples) for name, trace in traces.items()
    }
    pattern = [
        asdict(row)
        for name, trace in traces.items()
        if name == "vgg16q_pattern"
        for presets in PRESETS.values()
        for row in pattern_rows(name, trace, presets, tables, n_images[name])
    ]
    return {
        "figures": [asdict(figures(name, t, n_images[name])) for name, t in traces.items()],
        "pattern": pattern,
        "sparse": [
            asdict(sparse_row(name, t, tables, n_images[name])) for name, t in traces.items()
        ],
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the tables."""
    parser = argparse.ArgumentParser(prog="python -m bench.reproduce.pattern_crossbar")
    parser.add_argument("--traces", type=Path, help="folder of real traces")
    parser.add_argument("--images", type=int, help="only so many images of each trace")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--plot", type=Path, help="draw the ratios over k and z into a file")
    options = parser.parse_args(arguments)
    if options.images is not None and options.images < 1:
        parser.error("--images needs 1 or more")
    traces = open_traces(options.traces) if options.traces else {}
    if options.traces and not traces:
        parser.error(f"--traces {options.traces}: no trace of a known name there")
    found = result(traces, images=options.images)
    print(json.dumps(found, indent=1) if options.json else text(found))
    if options.plot:
        from bench.reproduce.pattern_plot import plot_grid

        plot_grid(found, options.plot)
    return 0 if all(anchor["holds"] for anchor in found["anchors"]) else 4


if __name__ == "__main__":
    sys.exit(main())
