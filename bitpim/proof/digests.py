"""A result file against the referee: the digest of every sample's output in every layer kept.

What else the file states is compared by `bitpim.proof.claims`.
"""

from collections import defaultdict
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from bitpim.errors import MismatchError, ResultError
from bitpim.proof.claims import Answers, check_claims
from bitpim.proof.reference import iter_network
from bitpim.proof.rerun import Rerun
from bitpim.proof.verification import Verification
from bitpim.report.figures import error_rows, network_figures
from bitpim.report.result_file import Result, digest_samples
from bitpim.report.rows import label_of
from bitpim_traces.records import Trace

__all__ = ["DigestComparison", "DigestReport", "need_its_trace", "verify_result"]

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
        """Raise MismatchError, naming the first claim, or layer and sample, that is not so."""
        for claim in self.false_claims:
            raise MismatchError(
                f"trace {self.trace_name!r}: {claim.what}: not what the run gives: {claim.detail}"
            )
        for layer in self.layers:
            if not layer.equal:
                raise MismatchError(
                    f"trace {self.trace_name!r}: layer {layer.index} {layer.name!r}, sample "
                    f"{layer.first_sample}: the digest is not the referee's ({layer.n_mismatches} "
                    f"of {layer.n_samples} samples differ); verify with --machine names the code"
                )


def verify_result(
    trace: Trace,
    result: Result,
    again: Rerun,
    *,
    batch: int = 16,
    progress: Progress | None = None,
) -> DigestReport:
    """Run the referee over the samples of a result; compare digests, and all else it states.

    The result must be one that `need_its_trace` lets pass.
    """
    header = result.header
    kept = {layer.index: layer for layer in result.layers}
    found = {i: DigestComparison(i, kept[i].name) for i in sorted(kept)}
    rows: dict[int, list[Any]] = defaultdict(list)
    final = []
    for start in range(header.start, header.stop, batch):
        stop = min(start + batch, header.stop)
        for index, codes in iter_network(trace, trace.samples.codes.read(start, stop)):
            if index in kept:
                digests = kept[index].digests[start - header.start : stop - header.start]
                _compare(found[index], digest_samples(codes) != digests, start)
                rows[index].append(error_rows(trace.layers[index], start, codes))
            if index == trace.layers[-1].index:
                final.append(codes)
            if progress is not None:
                done = stop if index == trace.layers[-1].index else start
                progress(done - header.start, header.n_samples, trace.layers[index].name)
            if index >= max(kept):
                break
    answers = None
    if all(layer.equal for layer in found.values()):
        joined = {index: np.concatenate(parts) for index, parts in rows.items()}
        outputs = np.concatenate(final) if final else None
        figures = network_figures(trace, joined, header.start, outputs)
        answers = Answers(outputs, joined, figures)
    what = f"{header.machine}, {label_of(result)}, {header.fidelity} fidelity"
    place = trace.name, trace.digest, header.start, header.stop
    claims = check_claims(trace, result, answers, again)
    layers = tuple(found.values())
    return DigestReport(*place, layers, result.figures, what, again.lossy, claims)


def need_its_trace(trace: Trace, result: Result) -> None:
    """Raise ResultError unless a result is of this trace, with layers and samples that it has."""
    header = result.header
    if header.trace_digest != trace.digest or header.stop > trace.n_samples:
        raise ResultError(
            f"result of trace {header.trace_name!r}, digest {_short(header.trace_digest)}, samples "
            f"{header.start}:{header.stop}: need the trace it was made from, got {trace.name!r}, "
            f"digest {_short(trace.digest)}, {trace.n_samples} samples"
        )
    if result.layers[-1].index >= len(trace.layers):
        raise ResultError(
            f"result of trace {header.trace_name!r}: need layers of its {len(trace.layers)}, got "
            f"layer {result.layers[-1].index}; replay it again"
        )


def _compare(layer: DigestComparison, differs: np.ndarray[Any, Any], start: int) -> None:
    """Take in which digest bytes of a batch differ."""
    wrong = np.flatnonzero(differs.any(axis=1))
    layer.n_samples += differs.shape[0]
    layer.n_mismatches += wrong.size
    if wrong.size and layer.first_sample is None:
        layer.first_sample = start + int(wrong[0])


def _short(digest: str) -> str:
    return digest[:16] or "none"
