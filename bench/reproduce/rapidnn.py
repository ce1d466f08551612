"""`python -m bench.reproduce.rapidnn [--traces FOLDER | --real-data FOLDER]`.

The numbers of RAPIDNN (Imani et al., HPCA 2020), RA1 to RA7, beside what the machine gives.
RAPIDNN, ISAAC and PipeLayer run the same network, each by its own price tables; its paper's ratios
do not follow from them, and what would have to be otherwise is solved for. Nothing is tuned.

Without real traces weights and images are random, and there is no accuracy. `--traces` is a folder
of `bench.codebook_traces`; what is missing there is made of `--real-data`. Accuracies here are over
few images; `bench.table_accuracy` measures many. Results are printed as tables; see `rapidnn_text`.
"""

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from bench.codebook_traces import LARGEST, codebook_trace
from bench.finished_points import Journal
from bench.networks.float_networks import FLOAT_NETWORKS
from bench.reproduce.rapidnn_matches import gaussians, layer_matches
from bench.reproduce.rapidnn_memory import memory
from bench.reproduce.rapidnn_networks import NETWORKS, Compared, compared
from bench.reproduce.rapidnn_ratios import (
    QUOTED,
    Baseline,
    baselines,
    chip_figures,
    consistency,
    needed,
    ratios,
)
from bench.reproduce.rapidnn_swept import swept_prices, swept_settings, swept_sizes
from bench.reproduce.rapidnn_text import text
from bench.reproduce.rapidnn_uses import price_tables, rna_uses
from bench.table_accuracy import SIZES, Point, Wanted, accuracies
from bench.table_text import plain
from bitpim.lookup.nearest_table import MATCH_MODES
from bitpim.machine.registry import prices_of
from bitpim_traces.records import Trace

__all__ = ["main", "result"]

SWEPT = "resnet20"
"""The network whose prices and settings are changed one by one."""

N_MATCHED = 2
"""Images whose sums are searched in every way."""

QUOTED_LOSS = {"HPCA 2020": 0.5, "arXiv v2": 0.3}
"""RA3, in points of accuracy, at most."""

QUOTED_KILOBYTES = 5.0
"""RA4, of one neuron, about."""

QUOTED_FIRST_VERSION = {
    "energy over a GPU": 382.6,
    "speed over a GPU": 211.5,
    "energy over the best accelerator": 13.4,
    "speed over the best accelerator": 5.6,
}
"""RA6: of version 1 on arXiv alone; later versions compare with other machines."""


def result(traces: Path | None = None, n_images: int = 500) -> dict[str, Any]:
    """Everything as plain values; with a folder of real traces, accuracies too."""
    every = [compared(name, traces) for name in NETWORKS]
    found: dict[str, Any] = {
        "quoted": QUOTED,
        "quoted_loss": QUOTED_LOSS,
        "quoted_kilobytes": QUOTED_KILOBYTES,
        "first_version": QUOTED_FIRST_VERSION,
        "price_tables": {
            table.name: table.title
            for table in (*price_tables(), *(prices_of(machine) for machine in QUOTED))
        },
        "networks": [one_network(one) for one in every],
        "chip": chip_figures(),
        "gaussian": [asdict(row) for row in gaussians()],
        "memory": [asdict(row) for one in every for row in memory(one.tables)],
    }
    found["swept"] = [asdict(row) for one in every if one.name == SWEPT for row in swept(one)]
    return found | {"real": real(traces, n_images) if traces is not None else None}


def one_network(one: Compared) -> dict[str, Any]:
    """Compare one network on the three machines."""
    uses, others = rna_uses(one.tables), baselines(one)
    return {
        "name": one.name,
        "real": one.real,
        "uses": [asdict(use) for use in uses],
        "baselines": [_plain(other) for other in others],
        "ratios": [asdict(ratio) for ratio in ratios(uses, others)],
        "needed": [
            asdict(row)
            for other in others
            if other.schedule == "copies, pipeline"
            for row in needed((uses[0], uses[-1]), other)
        ],
        "consistency": consistency(others),
    }


def _plain(other: Baseline) -> dict[str, Any]:
    return {**asdict(other), "use": asdict(other.use)}


def swept(one: Compared) -> list[Any]:
    """Change prices and settings of one network, one by one."""
    use = rna_uses(one.tables)[0]
    return [*swept_prices(use), *swept_settings(one, use), *swept_sizes(one, use)]


def real(traces: Path, n_images: int) -> dict[str, Any]:
    """Measure accuracies and matches on real networks; RA3, RA5 and RA7."""
    opened = {name: codebook_trace(name, traces, None) for name in FLOAT_NETWORKS}

    def open_one(name: str, size: int, retrained: bool) -> Trace:
        assert not retrained
        return opened[name]

    every = [
        Wanted(name, size, mode, (n_images if mode == "abs" else max(1, n_images // 10),))
        for name in opened
        for mode in MATCH_MODES
        for size in (SIZES if mode == "abs" else (LARGEST,))
    ]
    points = accuracies(open_one, every, Journal(Point))
    return {
        **plain(points),
        "matches": {
            name: [asdict(row) for row in layer_matches(trace, N_MATCHED)]
            for name, trace in opened.items()
        },
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the tables."""
    parser = argparse.ArgumentParser(prog="python -m bench.reproduce.rapidnn")
    parser.add_argument("--traces", type=Path, help="folder of real traces, kept")
    parser.add_argument(
        "--real-data",
        type=Path,
        default=os.environ.get("BITPIM_REAL_DATA"),
        help="folder of real networks and images, of which missing traces are made (default: "
        "BITPIM_REAL_DATA)",
    )
    parser.add_argument("--images", type=int, default=500, help="so many for accuracies")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--plot", type=Path, help="draw ratios into a file")
    options = parser.parse_args(arguments)
    if options.images < 1:
        parser.error("--images needs 1 or more")
    with tempfile.TemporaryDirectory(prefix="bitpim-") as name:
        folder = options.traces
        if options.real_data is not None:
            folder = folder or Path(name)
            for network in FLOAT_NETWORKS:
                codebook_trace(network, folder, Path(options.real_data))
        found = result(folder, options.images)
    print(json.dumps(found, indent=1) if options.json else text(found))
    if options.plot:
        from bench.reproduce.rapidnn_plot import plot_ratios

        plot_ratios(found, options.plot)
    return 0


if __name__ == "__main__":
    sys.exit(main())
