"""A machine against the referee over the samples of a trace, batch by batch, layer by layer.

Both run side by side and each layer's outputs are forgotten once compared, so memory follows the
batch and not the trace.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from bitpim.errors import ConfigError, MismatchError
from bitpim.proof.compare import LayerComparison, Mismatch
from bitpim.proof.reference import iter_network
from bitpim.proof.verification import Verification
from bitpim.report.figures import error_rows, network_figures
from bitpim_traces.records import Trace

__all__ = ["Progress", "RunBatch", "VerifyReport", "verify_trace"]

Codes = npt.NDArray[Any]
RunBatch = Callable[[Codes], Iterable[tuple[int, Codes]]]
"""Runs a batch of input codes; yields (layer index, output codes) in execution order."""
Progress = Callable[[int, int, str], None]
"""Told (samples finished, samples in all, layer just compared or "" at the end of a batch)."""


@dataclass(frozen=True, repr=False)
class VerifyReport(Verification):
    """What was compared of a machine and what came out.

    `layers` has one entry for every layer of the trace; one that the machine did not yield has
    compared no samples.
    """

    layers: tuple[LayerComparison, ...]

    @property
    def missing(self) -> tuple[int, ...]:
        """Layers that the machine did not yield."""
        return tuple(layer.index for layer in self.layers if layer.n_samples == 0)

    @property
    def first_mismatch(self) -> Mismatch | None:
        """First mismatch of the earliest layer that has one; later ones may only follow from it."""
        return next((layer.first for layer in self.layers if layer.first is not None), None)

    def require_equal(self) -> None:
        """Raise MismatchError, naming the first mismatch, unless every layer is equal."""
        if self.first_mismatch is not None:
            raise MismatchError(f"trace {self.trace_name!r}: {self.first_mismatch}")
        if self.missing:
            raise MismatchError(
                f"trace {self.trace_name!r}: need outputs of all {len(self.layers)} layers, got"
                f" none of layers {', '.join(map(str, self.missing))}"
            )

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, ready for JSON."""
        first = self.first_mismatch
        return super().to_dict() | {
            "first_mismatch": None if first is None else first.to_dict(),
            "missing": list(self.missing),
        }


def verify_trace(
    trace: Trace,
    run_batch: RunBatch,
    samples: range | None = None,
    *,
    batch: int = 16,
    progress: Progress | None = None,
    stop_at_mismatch: bool = False,
) -> VerifyReport:
    """Run a machine and the referee over samples of a trace and compare every layer.

    Parameters
    ----------
    samples
        Consecutive samples; all of the trace when None.
    batch
        Samples at a time.
    stop_at_mismatch
        Stop after the first batch in which something differed.

    Raises
    ------
    ConfigError
        `samples` or `batch` do not fit the trace.
    MismatchError
        The machine yields a layer that does not exist, twice, out of order, or of another shape.
    """
    samples = range(trace.n_samples) if samples is None else samples
    _need_samples(trace, samples, batch)
    layers = tuple(LayerComparison.of(layer) for layer in trace.layers)
    rows: dict[int, list[npt.NDArray[np.float64]]] = {layer.index: [] for layer in trace.layers}
    final: list[Codes] = []
    last, stop = trace.layers[-1].index, samples.start
    for start in range(samples.start, samples.stop, batch):
        stop = min(start + batch, samples.stop)
        codes = trace.samples.codes.read(start, stop)
        for index, expected, got in _side_by_side(trace, run_batch, codes):
            layers[index].update(expected, got, start)
            rows[index].append(error_rows(trace.layers[index], start, got))
            if index == last:
                final.append(got.copy())  # a machine may use its buffer again
            if progress is not None:
                progress(start - samples.start, len(samples), layers[index].name)
        if progress is not None:
            progress(stop - samples.start, len(samples), "")
        if stop_at_mismatch and any(layer.first is not None for layer in layers):
            break
    joined = {index: np.concatenate(parts) for index, parts in rows.items() if parts}
    outputs = np.concatenate(final) if final else None
    figures = network_figures(trace, joined, samples.start, outputs)
    return VerifyReport(trace.name, trace.digest, samples.start, stop, layers, figures)


def _side_by_side(
    trace: Trace, run_batch: RunBatch, codes: Codes
) -> Iterable[tuple[int, Codes, Codes]]:
    """Yield (layer index, referee's codes, machine's codes) for each layer the machine yields."""
    referee = iter_network(trace, codes)
    reached = -1
    for index, got in run_batch(codes):
        if not reached < index < len(trace.layers):
            raise MismatchError(
                f"trace {trace.name!r}: need a layer of {reached + 1}..{len(trace.layers) - 1}, got"
                f" layer {index}; a machine yields each layer once, in order"
            )
        for reached, expected in referee:
            if reached == index:
                yield index, expected, got
                break


def _need_samples(trace: Trace, samples: range, batch: int) -> None:
    if samples.step != 1 or not 0 <= samples.start < samples.stop <= trace.n_samples:
        raise ConfigError(
            f"trace {trace.name!r}: need one or more consecutive samples of {trace.n_samples}, got"
            f" {samples}; give another range"
        )
    if batch < 1:
        raise ConfigError(f"trace {trace.name!r}: need a batch of at least 1 sample, got {batch}")
