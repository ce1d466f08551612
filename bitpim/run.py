"""Replay: a trace through a machine, sample batch by sample batch, layer by layer, into a file.

Memory is bounded by the batch, not by the trace. What one batch gave is on the disk before the next
begins, so a run that was killed goes on where it stopped, and ends with the same file: batches
start at fixed samples, and nothing that is kept depends on which batch a sample was in.
"""

import hashlib
import math
import os
import platform
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from bitpim.config import to_toml
from bitpim.cost.model import CYCLES
from bitpim.cost.tables import PriceTable
from bitpim.errors import ConfigError, MismatchError, OutOfMemoryError
from bitpim.machine.machine import FIDELITIES, Machine, PreparedNetwork
from bitpim.report.figures import error_rows, network_figures
from bitpim.report.result_file import LayerBatch, ResultWriter, RunHeader, digest_samples
from bitpim.selection import Layers, Samples, chosen_layers, sample_range
from bitpim.version import __version__
from bitpim_traces.records import NETWORK_INPUT, LayerRecord, Trace

__all__ = [
    "MEMORY_BUDGET",
    "MEMORY_GIB",
    "Progress",
    "batch_size",
    "n_operations",
    "need_memory",
    "replay",
    "run_options",
    "sample_bytes",
]

Codes = npt.NDArray[Any]

MEMORY_BUDGET = 512 << 20
"""Bytes the tensors of one batch may take, by the estimate of `sample_bytes`."""

MEMORY_GIB = 1.0
"""Memory that the tensors of one sample may take, unless the caller allows more."""

BATCH_LIMIT = {"bit": 32, "integer": 256}
"""Most samples of a batch, by fidelity: what a kill may cost stays below a minute or so."""

_WORK_BYTES = 24
"""Bytes a machine needs beside each code of the layer at work: accumulators, planes, windows."""


@dataclass(frozen=True, slots=True)
class Progress:
    """Where a replay stands: `layer` was just finished for samples `start` to `stop`.

    `share` is the part of all work that is done, between 0 and 1; what an earlier run had finished
    is in `share_before`.
    """

    layer: str
    start: int
    stop: int
    share: float
    share_before: float = 0.0


def sample_bytes(trace: Trace, last: int | None = None) -> int:
    """Estimate the bytes one sample of a batch needs at the layer that needs most.

    That is the codes of every tensor still to be read, and what the machine keeps beside the
    inputs and the output of the layer at work.
    """
    return max(_bytes_by_layer(trace, last), default=0)


def _bytes_by_layer(trace: Trace, last: int | None) -> list[int]:
    layers = trace.layers if last is None else trace.layers[: last + 1]
    last_reader = {source: layer.index for layer in layers for source in layer.inputs}
    alive = {NETWORK_INPUT: _n_bytes(trace, NETWORK_INPUT)}
    found = []
    for layer in layers:
        alive[layer.index] = _n_bytes(trace, layer.index)
        here = sum(_n_elements(shape) for shape in (*layer.input_shapes, layer.output_shape))
        found.append(sum(alive.values()) + _WORK_BYTES * here)
        for source in {*layer.inputs, layer.index}:
            if last_reader.get(source, layer.index) == layer.index:
                alive.pop(source, None)
    return found


def need_memory(trace: Trace, memory_gib: float = MEMORY_GIB, last: int | None = None) -> None:
    """Raise ConfigError unless one sample's tensors fit the memory that a run may take.

    A small file may pad one pixel to an image of gigabytes; that is said before anything runs.
    """
    found = _bytes_by_layer(trace, last)
    widest = max(range(len(found)), key=found.__getitem__)
    gib = found[widest] / 2**30
    if not gib <= memory_gib:
        layer = trace.layers[widest]
        raise ConfigError(
            f"layer {layer.index} {layer.name!r} ({layer.kind}): one sample takes about {gib:.1f} "
            f"GiB, more than the {memory_gib:g} GiB that a run may take; --memory "
            f"{math.ceil(gib)} allows it"
        )


def n_operations(trace: Trace, last: int | None = None) -> int:
    """Return about how many multiply-accumulates, comparisons and moves one sample takes."""
    layers = trace.layers if last is None else trace.layers[: last + 1]
    return sum(map(_work, layers))


def _n_elements(shape: tuple[int, ...]) -> int:
    return int(np.prod(shape, dtype=np.int64))


def _n_bytes(trace: Trace, index: int) -> int:
    width = 1 if trace.quantization_of(index).bits <= 8 else 2
    return width * _n_elements(trace.shape_of(index))


def batch_size(trace: Trace, fidelity: str, multiple: int = 1, *, last: int | None = None) -> int:
    """Choose how many samples run together: as many as fit MEMORY_BUDGET, at least `multiple`."""
    fitting = MEMORY_BUDGET // max(sample_bytes(trace, last), 1)
    wanted = min(fitting, BATCH_LIMIT[fidelity])
    return max(wanted // multiple, 1) * multiple


def _work(layer: LayerRecord) -> int:
    """Return a layer's share of the work: each element once, and all that windows take in."""
    elements = _n_elements(layer.output_shape) + sum(map(_n_elements, layer.input_shapes))
    per_output = 0
    if layer.weight is not None:
        per_output = _n_elements(layer.weight.shape[1:])
    elif layer.geometry is not None:
        per_output = math.prod(layer.geometry.kernel)
    return elements + per_output * _n_elements(layer.output_shape)


def replay(
    trace: Trace,
    machine: Machine,
    out: str | os.PathLike[str],
    *,
    fidelity: str = "bit",
    samples: Samples = ":",
    layers: Layers | None = None,
    jobs: int = 1,
    resume: bool = False,
    overwrite: bool = False,
    batch: int | None = None,
    memory_gib: float = MEMORY_GIB,
    prices: PriceTable | None = None,
    progress: Callable[[Progress], None] | None = None,
) -> Path:
    """Run samples of a trace through a machine and write the result file; return its path.

    Parameters
    ----------
    layers
        Layers whose digests, counts and figures are kept; all when None. Layers after the last of
        them do not run, so without the last layer of the network there are no predictions.
    resume
        Go on with a run that was killed; the file is the one an uninterrupted run gives.
    overwrite
        Start anew, whatever an earlier run left; without it and `resume` nothing is replaced.
    batch
        Samples that run together, a multiple of the machine's own batch; chosen to fit
        MEMORY_BUDGET when None.
    memory_gib
        Memory that the tensors of one sample may take.
    prices
        Table that prices the counted events; no energy is stated when None.

    Raises
    ------
    ConfigError
        Samples, layers, fidelity, batch or prices do not fit, or one sample not the memory.
    MappingError
        A layer does not fit the machine.
    OutOfMemoryError
        Fewer samples at a time would need less memory; where one alone is too much, MemoryError.
    ResultError
        The result cannot be written, an earlier run left something there, or the run to resume
        was another one.
    """
    kept = chosen_layers(trace, layers)
    wanted = sample_range(trace, samples)
    if trace.samples.labels is not None:
        trace.samples.labels.read(wanted.start, wanted.stop)  # refused before the run, not after
    if fidelity not in FIDELITIES:
        raise ConfigError(f"fidelity: need one of {', '.join(FIDELITIES)}, got {fidelity!r}")
    need_memory(trace, memory_gib, kept[-1])
    plan = machine.plan(trace)
    if prices is not None:
        for index in kept:
            prices.require(
                {e for phase in plan.counts(index, 1).values() for e in phase} - {CYCLES}
            )
    header = _header(trace, machine, fidelity, wanted, run_options(trace, kept, prices))
    with ResultWriter(out, header, resume=resume, overwrite=overwrite) as writer:
        if not writer.is_finished:
            prepared = machine.prepare(trace, fidelity=fidelity, jobs=jobs)
            size = _batch(trace, fidelity, prepared.batch_multiple, batch, kept[-1])
            first = wanted.start + len(writer.completed)
            report = _Reporter(trace, wanted, kept[-1], first, progress)
            for start in range(first, wanted.stop, size):
                stop = min(start + size, wanted.stop)
                with _naming_a_smaller_batch(stop - start, prepared.batch_multiple):
                    found, final = _run_batch(trace, prepared, start, stop, kept, report)
                writer.add_batch(start, stop, found, final)
        figures = None
        if not writer.is_finished:
            outputs = writer.final_codes()
            figures = network_figures(trace, writer.error_rows(), wanted.start, outputs)
        return writer.finish(plan.table(), prices, figures, machine.legend)


def run_options(trace: Trace, kept: tuple[int, ...], prices: PriceTable | None) -> dict[str, str]:
    """State what else decides the outcome of a run, as its header does."""
    is_all = len(kept) == len(trace.layers)
    options = {"layers": "all" if is_all else ",".join(map(str, kept))}
    if prices is not None:
        digest = hashlib.sha256(prices.to_toml().encode()).hexdigest()[:16]
        options["prices"] = f"{prices.name} {digest}"
    return options


def _header(
    trace: Trace, machine: Machine, fidelity: str, samples: range, options: dict[str, str]
) -> RunHeader:
    return RunHeader(
        trace_name=trace.name,
        trace_digest=trace.digest,
        machine=machine.name,
        preset=to_toml(machine.settings),
        fidelity=fidelity,
        start=samples.start,
        stop=samples.stop,
        software=f"bitpim {__version__}",
        options=options,
        provenance={
            "python": platform.python_version(),
            "numpy": version("numpy"),
            "numba": version("numba"),
            "h5py": version("h5py"),
            "platform": f"{platform.system()} {platform.machine()}",
        },
    )


def _batch(trace: Trace, fidelity: str, multiple: int, asked: int | None, last: int) -> int:
    """Choose the batch, or check the one asked for."""
    if asked is None:
        return batch_size(trace, fidelity, multiple, last=last)
    if asked < 1 or asked % multiple:
        raise ConfigError(
            f"batch: need a multiple of {multiple}, the machine's own batch, got {asked}"
        )
    return asked


@contextmanager
def _naming_a_smaller_batch(n_samples: int, multiple: int) -> Iterator[None]:
    """Where memory runs short, say which batch needs less, if one does."""
    try:
        yield
    except MemoryError as error:
        if n_samples <= multiple:
            raise
        smaller = max(n_samples // 2 // multiple, 1) * multiple
        raise OutOfMemoryError(
            f"out of memory with {n_samples} samples at a time; --batch {smaller} needs less"
        ) from error


class _Reporter:
    """Tells the caller how far a run is."""

    def __init__(
        self,
        trace: Trace,
        samples: range,
        last: int,
        first: int,
        progress: Callable[[Progress], None] | None,
    ) -> None:
        self.trace, self.samples, self.progress = trace, samples, progress
        self.work = [_work(layer) for layer in trace.layers[: last + 1]]
        self.before = (first - samples.start) / len(samples)

    def __call__(self, index: int, start: int, stop: int) -> None:
        if self.progress is None:
            return
        part = sum(self.work[: index + 1]) / sum(self.work)
        share = (start - self.samples.start + part * (stop - start)) / len(self.samples)
        name = self.trace.layers[index].name
        self.progress(Progress(name, start, stop, share, self.before))


def _run_batch(
    trace: Trace,
    prepared: PreparedNetwork,
    start: int,
    stop: int,
    kept: tuple[int, ...],
    report: _Reporter,
) -> tuple[dict[int, LayerBatch], Codes | None]:
    """Run one batch up to the last layer kept; return what is kept of it, and the final codes."""
    found: dict[int, LayerBatch] = {}
    final = None
    for run in prepared.run_batch(trace.samples.codes.read(start, stop)):
        if run.index in kept:
            rows = error_rows(trace.layers[run.index], start, run.codes)
            found[run.index] = LayerBatch(digest_samples(run.codes), run.counts, rows)
        if run.index == len(trace.layers) - 1:
            final = run.codes
        report(run.index, start, stop)
        if run.index >= kept[-1]:
            break
    missing = sorted(set(kept) - set(found))
    if missing:
        raise MismatchError(
            f"samples {start}:{stop}: the machine gave no output of layer {missing[0]}"
        )
    return found, final
