"""`python -m bench.reproduce.bit_prudent [--json] [--plot FILE]`: the numbers of Bit Prudent.

BP1 to BP5 (Wang et al., HPCA 2019) beside what the machine gives on AlexNet's shape, whose pruned
lanes are those of public runs, and NC1 to NC3 of Neural Cache below it. Which lanes the paper
pruned is not known, so a sweep follows; nothing is tuned. Exit code 4 where an anchor is missed.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from bench.reproduce import neural_cache
from bench.reproduce.prudent_points import (
    moved,
    narrow,
    public_runs,
    shared_lanes,
    swept_shares,
)
from bench.reproduce.prudent_text import text
from bench.reproduce.pruned_alexnet import PUBLIC_RUNS

__all__ = ["main", "result"]

QUOTED = {"speed": 1.6, "energy": 1.6, "low_precision": 3.9}
"""BP1, BP3 and BP2: over Neural Cache; the first two without loss of accuracy."""

NOT_EMULATED = (
    ("BP4", "speed over CPU and GPU", "17.7x, 3.7x"),
    ("BP4", "energy efficiency over CPU and GPU", "34.0x, 13.8x"),
    ("BP4", "latency over CPU and GPU, low precision", "43.6x, 9.1x"),
    ("BP5", "area, share of each die", "2 %"),
)

MOVED = "group lasso on conv kernels"
"""The run whose lanes are pruned where one thing is changed."""


def result() -> dict[str, Any]:
    """Everything as plain values."""
    return {
        "quoted": QUOTED,
        "not_emulated": NOT_EMULATED,
        "public_shares": PUBLIC_RUNS,
        "anchors": [asdict(anchor) for anchor in neural_cache.anchors()],
        "inception_v3": {
            "quoted_ms": neural_cache.QUOTED_MS,
            "latency_ms": {
                name: sum(neural_cache.latency(neural_cache.settings_of(name)).values())
                for name in (neural_cache.FORMULA, neural_cache.CALIBRATED)
            },
        },
        "public_runs": [asdict(row) for row in public_runs()],
        "swept": [asdict(row) for row in swept_shares()],
        "shared": [asdict(row) for row in shared_lanes()],
        "narrow": [asdict(row) for row in narrow()],
        "moved_run": MOVED,
        "moved": [asdict(row) for row in moved(MOVED)],
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the tables."""
    parser = argparse.ArgumentParser(prog="python -m bench.reproduce.bit_prudent")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--plot", type=Path, help="draw ratios over pruned lanes into a file")
    options = parser.parse_args(arguments)
    found = result()
    print(json.dumps(found, indent=1) if options.json else text(found))
    if options.plot:
        from bench.reproduce.prudent_plot import plot_sweep

        plot_sweep(found, options.plot)
    return 0 if all(anchor["holds"] for anchor in found["anchors"]) else 4


if __name__ == "__main__":
    sys.exit(main())
