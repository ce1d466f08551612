"""Real networks on crossbar machines: reads skipped and bits driven by real images.

Machines run at integer fidelity, whose outputs and counts are those of bit fidelity. Traces are
made by `bench.networks`; a network without its trace is left out.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from bench.reproduce.crossbar_ratios import (
    MACHINES,
    Comparison,
    Use,
    laid_out,
    use_of,
    use_of_plan,
)
from bench.reproduce.sparse_rows import BASELINE
from bitpim import make_machine, open_trace
from bitpim.cost.tables import PriceTable
from bitpim.counts import Counts
from bitpim.machine.machine import PhaseCounts
from bitpim_traces.masks import masks_of
from bitpim_traces.records import NETWORK_INPUT, Trace

__all__ = ["TRACES", "Figures", "RealRow", "figures", "open_traces", "pattern_rows", "sparse_row"]

TRACES = ("vgg16q_dense", "vgg16q_pattern", "squeezenet")
SKIPS = ("none", "bit_plane", "vector")
JOBS = 2

Codes = npt.NDArray[Any]


@dataclass(frozen=True, slots=True)
class RealRow:
    """A network on a machine; `ratios` are those of what it is compared with over it."""

    network: str
    machine: str
    preset: str
    skip: str
    n_images: int
    use: Use
    ratios: Comparison


@dataclass(frozen=True, slots=True)
class Figures:
    """What a network is: its masks, its float accuracy, and the zeros among its inputs.

    `zero_share` and `bit_share` are of the inputs of its convolutions over the images that ran:
    codes that are 0, and bits of codes that are 1. `accuracy` is of these images on the machine.
    """

    network: str
    sparsity: float
    zero_kernel_share: float
    n_float_images: int
    float_accuracy: float | None
    n_images: int
    accuracy: float | None
    zero_share: float
    bit_share: float


def open_traces(folder: Path) -> dict[str, Trace]:
    """Open the traces that a folder holds, by the name of their file."""
    paths = {name: folder / f"{name}.h5" for name in TRACES}
    return {name: open_trace(path) for name, path in paths.items() if path.exists()}


def _ran(
    trace: Trace, machine: str, preset: str, changes: Iterable[str], n_images: int
) -> dict[int, PhaseCounts]:
    """Run images, a few at a time; return the counts of each layer over all of them."""
    network = make_machine(machine, preset, tuple(changes)).prepare(
        trace, fidelity="integer", jobs=JOBS
    )
    found: dict[int, dict[str, Counts]] = {}
    for start in range(0, n_images, 8):
        for run in network.run_batch(trace.samples.codes.read(start, min(start + 8, n_images))):
            before = found.setdefault(run.index, {})
            for phase, events in run.counts.items():
                before[phase] = before.get(phase, Counts()) + Counts(**events)
    return {
        index: {phase: {"cycles": 0, **counts.to_dict()} for phase, counts in phases.items()}
        for index, phases in found.items()
    }


def pattern_rows(
    name: str,
    trace: Trace,
    presets: tuple[str, str],
    tables: Iterable[PriceTable],
    n_images: int,
) -> list[RealRow]:
    """Run a network on the dense and the pattern machine with every way to skip zeros.

    All are compared with the dense machine that skips nothing.
    """
    tables, rows = tuple(tables), list[RealRow]()
    for machine, preset in zip(MACHINES, presets, strict=True):
        for skip in SKIPS:
            changes = (f"mapping.zero_skip={skip}",)
            plan = laid_out(trace, machine, preset, changes)
            if skip == "none":
                use = use_of_plan(plan, tables, n_images)
            else:
                counts = _ran(trace, machine, preset, changes, n_images)
                use = use_of(plan, counts, tables)
            first = rows[0].use if rows else use
            ratios = Comparison.of(first, use)
            rows.append(RealRow(name, machine, preset, skip, n_images, use, ratios))
    return rows


def sparse_row(name: str, trace: Trace, tables: Iterable[PriceTable], n_images: int) -> RealRow:
    """Run a network on SRE, compared with its crossbars without skipping."""
    tables = tuple(tables)
    baseline = use_of_plan(laid_out(trace, "sre", "sre", BASELINE), tables, n_images)
    counts = _ran(trace, "sre", "sre", (), n_images)
    use = use_of(laid_out(trace, "sre", "sre", ()), counts, tables)
    return RealRow(name, "sre", "sre", "bits", n_images, use, Comparison.of(baseline, use))


def figures(name: str, trace: Trace, n_images: int) -> Figures:
    """Return what a network is."""
    machine = make_machine("dense_crossbar", "dense_crossbar_8bit")
    network = machine.prepare(trace, fidelity="integer", jobs=JOBS)
    readers = _readers(trace)
    zeros, ones, codes, bits = 0, 0, 0, 0
    answers = []

    def see(index: int, seen: Codes) -> None:
        nonlocal zeros, ones, codes, bits
        width, times = trace.quantization_of(index).bits, readers.get(index, 0)
        zeros += times * int(np.count_nonzero(seen == 0))
        ones += times * int(np.bitwise_count(seen.astype(np.int64) & ((1 << width) - 1)).sum())
        codes += times * seen.size
        bits += times * seen.size * width

    for start in range(0, n_images, 8):
        inputs = trace.samples.codes.read(start, min(start + 8, n_images))
        see(NETWORK_INPUT, inputs)
        for run in network.run_batch(inputs):
            see(run.index, run.codes)
            if run.index == len(trace.layers) - 1:
                answers.append(run.codes.reshape(len(inputs), -1).argmax(axis=1))
    output = trace.layers[-1].output_float
    n_float = 0 if output is None else output.shape[0]
    floats = None if output is None else output.read().reshape(n_float, -1).argmax(axis=1)
    sparsity, zero_kernels = _sparsity(trace)
    return Figures(
        name,
        sparsity,
        zero_kernels,
        n_float,
        _accuracy(trace, floats),
        n_images,
        _accuracy(trace, np.concatenate(answers)),
        zeros / codes,
        ones / bits,
    )


def _readers(trace: Trace) -> Mapping[int, int]:
    """Return how many convolutions read each tensor."""
    sources = [layer.inputs[0] for layer in trace.layers if layer.kind == "conv2d"]
    return {source: sources.count(source) for source in sources}


def _accuracy(trace: Trace, answers: npt.NDArray[np.integer] | None) -> float | None:
    if answers is None or trace.samples.labels is None:
        return None
    return float(np.mean(answers == trace.samples.labels.read(0, len(answers))))


def _sparsity(trace: Trace) -> tuple[float, float]:
    """Return the shares of weights that are 0, and of kernels that are, over the convolutions."""
    masks = masks_of(trace)
    n_weights, n_kept, n_kernels, n_zero = 0, 0, 0, 0
    for layer in trace.layers:
        if layer.kind != "conv2d" or layer.weight is None:
            continue
        mask = masks.get(layer.name)
        kept = np.ones(layer.weight.shape, np.bool_) if mask is None else mask.mask != 0
        n_weights += kept.size
        n_kept += int(np.count_nonzero(kept))
        n_kernels += kept.shape[0] * kept.shape[1]
        n_zero += 0 if mask is None else mask.n_zero_kernels
    return 1 - n_kept / n_weights, n_zero / n_kernels
