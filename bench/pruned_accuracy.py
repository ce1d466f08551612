"""`python -m bench.pruned_accuracy --real-data FOLDER --traces FOLDER`: what pruning costs.

Real networks are pruned by lanes or made ternary, trained on and exported (`pruned_traces` has the
recipes), and their traces run in exact integers over all test images. `--squeezenet` shows instead
how few lanes the unstructured zeros of a pruned network fill. What was trained and exported is kept
in the folder of traces, and is not made again.
"""

import argparse
import json
import os
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch

from bench.adc_accuracy import watched
from bench.networks.squeezenet import SqueezeNet
from bench.pruned_traces import RECIPES, recipe_trace
from bitpim.errors import BitpimError
from bitpim.proof.accuracy import integer_figures
from bitpim_traces.exporter import load_weights
from bitpim_traces.masks import masks_of
from bitpim_traces.records import Trace

__all__ = ["LayerZeros", "Row", "measure", "squeezenet_zeros", "zeros_of"]


@dataclass(frozen=True, slots=True)
class Row:
    """What came out of one recipe; shares of right answers, of lanes that are zero, and of weights.

    `dense` is the float network as it was, `pruned` right after it was pruned or coded, `trained`
    after training on, all over all test images; `quantized` the trace in exact integers over
    `n_images`. `lanes` and `weights` are of the layers that were pruned, or of all where none was.
    """

    recipe: str
    n_images: int
    dense: float
    pruned: float
    trained: float
    quantized: float
    lanes: float
    weights: float
    epochs: int
    digest: str

    @property
    def lost_points(self) -> float:
        """Points of accuracy that the dense float network has more than the trace."""
        return 100 * (self.dense - self.quantized)


@dataclass(frozen=True, slots=True)
class LayerZeros:
    """Weights and lanes (whole conv kernels) of a layer, and how many are zero."""

    layer: str
    window: tuple[int, ...]
    n_weights: int
    n_zero_weights: int
    n_lanes: int
    n_zero_lanes: int


def zeros_of(layer: str, weight: np.ndarray[tuple[int, ...], np.dtype[np.floating]]) -> LayerZeros:
    """Count zeros of a weight (O, I, ...)."""
    lanes = (weight != 0).reshape(*weight.shape[:2], -1).any(axis=2)
    n_zero = weight.size - int(np.count_nonzero(weight))
    n_zero_lanes = lanes.size - int(np.count_nonzero(lanes))
    return LayerZeros(layer, weight.shape[2:], weight.size, n_zero, lanes.size, n_zero_lanes)


def measure(trace: Trace, *, jobs: int = 1) -> Row:
    """Run all samples of a recipe's trace in exact integers."""
    trained = trace.provenance["finetune"]
    title = f"running {trace.name}"
    with watched(trace.n_samples) as advance:
        done = 0

        def tell(n_done: int, _: int) -> None:
            nonlocal done
            if advance is not None:
                advance(title, n_done - done)
            done = n_done

        figures = integer_figures(trace, jobs=jobs, progress=tell)
    masked = masks_of(trace)
    zeros = [
        zeros_of(layer.name, layer.weight_float.read())
        for layer in trace.layers
        if layer.weight_float is not None and (layer.name in masked or not masked)
    ]
    total = sum_of(zeros)
    assert figures.accuracy is not None
    return Row(
        trace.name,
        figures.n_labelled,
        trained["dense_accuracy"],
        trained["accuracy_before"],
        trained["accuracy_after"],
        figures.accuracy,
        total.n_zero_lanes / total.n_lanes,
        total.n_zero_weights / total.n_weights,
        trained["epochs"],
        trace.digest,
    )


def sum_of(zeros: Sequence[LayerZeros]) -> LayerZeros:
    """Add up layers."""
    keys = ("n_weights", "n_zero_weights", "n_lanes", "n_zero_lanes")
    return LayerZeros("all", (), *(sum(getattr(one, key) for one in zeros) for key in keys))


def squeezenet_zeros(real_data: Path) -> list[LayerZeros]:
    """Count the zeros of the pruned SqueezeNet as it comes, layer by layer, and of all of them."""
    module = SqueezeNet()
    load_weights(module, real_data / "squeezenet_dc_sparse.npz")
    found = [
        zeros_of(path, part.weight.detach().numpy())
        for path, part in module.named_modules()
        if isinstance(part, torch.nn.Conv2d)
    ]
    windows = sorted({one.window for one in found})
    totals = []
    for window in windows:
        own = sum_of([one for one in found if one.window == window])
        name = "all of " + " x ".join(map(str, window))
        totals.append(LayerZeros(name, window, *list(asdict(own).values())[2:]))
    return [*found, *totals, sum_of(found)]


def table(rows: Sequence[Row]) -> str:
    """Write a row a recipe, per cent."""
    lines = [
        "| recipe | images | dense float | at once | epochs | trained float | trace | points lost |"
        " lanes zero | weights zero |",
        "|---|" + "---:|" * 9,
    ]
    for row in rows:
        shares = [row.dense, row.pruned, row.trained, row.quantized]
        dense, pruned, trained, quantized = (f"{100 * share:.2f}" for share in shares)
        lines.append(
            f"| {row.recipe} | {row.n_images:,} | {dense} | {pruned} | {row.epochs} | {trained} |"
            f" {quantized} | {row.lost_points:+.2f} | {row.lanes:.1%} | {row.weights:.1%} |"
        )
    return "\n".join(lines)


def zeros_table(zeros: Sequence[LayerZeros]) -> str:
    """Write a row a layer."""
    lines = ["| layer | window | weights | zero | lanes | zero |", "|---|---|" + "---:|" * 4]
    for one in zeros:
        window = " x ".join(map(str, one.window)) or "-"
        weights, lanes = one.n_zero_weights / one.n_weights, one.n_zero_lanes / one.n_lanes
        lines.append(
            f"| {one.layer} | {window} | {one.n_weights:,} | {weights:.1%} | {one.n_lanes:,} |"
            f" {lanes:.1%} |"
        )
    return "\n".join(lines)


def arguments() -> argparse.ArgumentParser:
    """Describe the command line."""
    parser = argparse.ArgumentParser(prog="python -m bench.pruned_accuracy", description=__doc__)
    parser.add_argument("--recipe", nargs="+", choices=tuple(RECIPES), default=tuple(RECIPES))
    parser.add_argument("--squeezenet", action="store_true", help="count zeros, train nothing")
    parser.add_argument(
        "--traces", type=Path, default=Path("traces"), help="folder of traces, kept"
    )
    parser.add_argument(
        "--real-data",
        type=Path,
        default=os.environ.get("BITPIM_REAL_DATA"),
        help="folder of the real networks and images (default: BITPIM_REAL_DATA)",
    )
    parser.add_argument("--epochs", type=int, help="so many, not those of the recipes")
    parser.add_argument("--jobs", type=int, default=1, help="threads")
    parser.add_argument("--json", action="store_true", help="print JSON")
    return parser


def _run(options: argparse.Namespace) -> None:
    real_data = None if options.real_data is None else Path(options.real_data)
    if options.squeezenet:
        if real_data is None:
            raise FileNotFoundError("give --real-data FOLDER or set BITPIM_REAL_DATA")
        zeros = squeezenet_zeros(real_data)
        plain = [asdict(one) for one in zeros]
        print(json.dumps(plain, indent=1) if options.json else zeros_table(zeros))
        return
    torch.set_num_threads(options.jobs)
    rows = []
    for name in options.recipe:
        trace = recipe_trace(
            RECIPES[name], options.traces, real_data, epochs=options.epochs, progress=_Teller()
        )
        rows.append(measure(trace, jobs=options.jobs))
    plain = [{**asdict(row), "lost_points": row.lost_points} for row in rows]
    print(json.dumps(plain, indent=1) if options.json else table(rows))


class _Teller:
    """Says on standard error how far a step is, once for each tenth of it."""

    def __init__(self) -> None:
        self.seen: dict[str, int] = {}

    def __call__(self, doing: str, done: int, total: int) -> None:
        tenth = 10 * done // max(1, total)
        if tenth > self.seen.get(doing, 0):
            self.seen[doing] = tenth
            print(f"{doing}: {10 * tenth} %", file=sys.stderr, flush=True)


def main() -> int:
    """Measure what the command line names."""
    try:
        _run(arguments().parse_args())
    except (BitpimError, RuntimeError, OSError) as error:
        print(error, file=sys.stderr)
        return 3
    return 0


if __name__ == "__main__":
    sys.exit(main())
