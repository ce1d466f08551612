"""A result file against the referee: the digest of every sample's output in every layer kept."""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from bitpim.errors import MismatchError, ResultError
from bitpim.proof.reference import iter_network
from bitpim.proof.verification import Verification
from bitpim.report.result_file import Result, digest_samples
from bitpim.report.rows import label_of
from bitpim_traces.records import Trace

__all__ = ["DigestComparison", "DigestReport", "verify_result"]

Progress = Callable[[int, int, str], None]
"""Told (samples finished, samples in all, name of the layer just compared)."""


@dataclass(slots=True)
class DigestComparison:
    """One layer: how many samples were compared and differ, and which was the first."""

    index: int
    name: str
    n_samples: int = 0
    n_mismatches: int = 0
    first_sample: int | None = None

    @property
    def equal(self) -> bool:
        """Whether something was compared and no sample differed."""
        return self.n_samples > 0 and self.n_mismatches == 0

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, ready for JSON."""
        return asdict(self) | {"equal": self.equal}


@dataclass(frozen=True, repr=False)
class DigestReport(Verification):
    """What was compared of a result file and what came out; its figures are the file's."""

    layers: tuple[DigestComparison, ...]

    def require_equal(self) -> None:
        """Raise MismatchError, naming the first layer and sample that differ, unless all agree."""
        for layer in self.layers:
            if not layer.equal:
                raise MismatchError(
                    f"trace {self.trace_name!r}: layer {layer.index} {layer.name!r}, sample "
                    f"{layer.first_sample}: the digest is not the referee's ({layer.n_mismatches} "
                    f"of {layer.n_samples} samples differ); verify with --machine names the code"
                )


def verify_result(
    trace: Trace, result: Result, *, batch: int = 16, progress: Progress | None = None
) -> DigestReport:
    """Run the referee over the samples of a result and compare the digest of each output.

    Raises
    ------
    ResultError
        The result is not of this trace.
    """
    header = result.header
    if header.trace_digest != trace.digest or header.stop > trace.n_samples:
        raise ResultError(
            f"result of trace {header.trace_name!r}, digest {_short(header.trace_digest)}, samples "
            f"{header.start}:{header.stop}: need the trace it was made from, got {trace.name!r}, "
            f"digest {_short(trace.digest)}, {trace.n_samples} samples"
        )
    layers = {kept.index: kept for kept in result.layers}
    found = {i: DigestComparison(i, layers[i].name) for i in sorted(layers)}
    for start in range(header.start, header.stop, batch):
        stop = min(start + batch, header.stop)
        for index, codes in iter_network(trace, trace.samples.codes.read(start, stop)):
            if index in layers:
                kept = layers[index].digests[start - header.start : stop - header.start]
                _compare(found[index], digest_samples(codes) != kept, start)
            if progress is not None:
                done = stop if index == trace.layers[-1].index else start
                progress(done - header.start, header.n_samples, trace.layers[index].name)
            if index >= max(layers):
                break
    what = f"{header.machine}, {label_of(result)}, {header.fidelity} fidelity"
    place = trace.name, trace.digest, header.start, header.stop
    return DigestReport(*place, tuple(found.values()), result.figures, what)


def _compare(layer: DigestComparison, differs: np.ndarray[Any, Any], start: int) -> None:
    """Take in which digest bytes of a batch differ."""
    wrong = np.flatnonzero(differs.any(axis=1))
    layer.n_samples += differs.shape[0]
    layer.n_mismatches += wrong.size
    if wrong.size and layer.first_sample is None:
        layer.first_sample = start + int(wrong[0])


def _short(digest: str) -> str:
    return digest[:16] or "none"
