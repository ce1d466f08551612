"""What the records of a journal must hold, so that a run can go on from them.

A record's checksum tells whether it is whole, not who wrote it. So what a journal says is checked
as all that comes from files is: form, ranges, samples done once.
"""

from collections.abc import Mapping
from dataclasses import fields as fields_of
from typing import Any

import numpy as np
import numpy.typing as npt

from bitpim.errors import ResultError
from bitpim.report.figures import ERROR_COLUMNS
from bitpim.report.result_records import DIGEST_BYTES, RunHeader
from bitpim.report.result_rules import provenance_of, texts_of
from bitpim_traces.faults import shown
from bitpim_traces.file_bounds import MAX_LAYERS, MAX_RANK

__all__ = ["batch_of", "header_of"]

Arrays = Mapping[str, npt.NDArray[Any]]

_COUNT_LIMIT = 2**63


def header_of(fields: Mapping[str, Any]) -> RunHeader:
    """Make the header that the first record holds.

    Raises
    ------
    ResultError
        It holds none.
    """
    header = fields.get("header")
    names = [field.name for field in fields_of(RunHeader)]
    if not isinstance(header, dict) or fields.keys() != {"header"} or header.keys() != set(names):
        raise ResultError("need a header as this version writes it")
    for name in names:
        value = header[name]
        if name in ("start", "stop"):
            _need(_is_count(value), f"header: {name}", "a number of a sample", value)
        elif name not in ("options", "provenance"):
            _need(isinstance(value, str), f"header: {name}", "a text", value)
    try:
        texts_of(header["options"])
        provenance_of(header["provenance"])
    except TypeError as error:
        raise ResultError(f"header: options or provenance: {error}") from error
    return RunHeader(**header)


def batch_of(fields: Mapping[str, Any], arrays: Arrays, header: RunHeader) -> range:
    """Check one batch's record, and return its samples.

    Raises
    ------
    ResultError
        It is none of that run.
    """
    if fields.keys() != {"start", "stop", "layers", "counts"}:
        raise ResultError("need start, stop, layers and counts")
    start, stop, layers, counts = (fields[n] for n in ("start", "stop", "layers", "counts"))
    good = _is_count(start) and _is_count(stop) and header.start <= start < stop <= header.stop
    _need(good, "samples", f"some of {header.start}:{header.stop}", f"{start}:{stop}")
    good = isinstance(layers, list) and all(_is_count(n) and n < MAX_LAYERS for n in layers)
    _need(good and layers == sorted(set(layers)), "layers", "different ones, ascending", layers)
    _need(isinstance(counts, list) and len(counts) == len(layers), "counts", "one a layer", counts)
    names = {f"{kind} {n}" for n in layers for kind in ("digests", "errors")}
    _need(
        arrays.keys() - {"final"} == names, "arrays", "digests and errors of each layer", "others"
    )
    for index, by_phase in zip(layers, counts, strict=True):
        _check_counts(index, by_phase)
        _check_layer(index, stop - start, arrays[f"digests {index}"], arrays[f"errors {index}"])
    final = arrays.get("final")
    if final is not None:
        good = (
            final.dtype.kind in "iu"
            and final.ndim <= MAX_RANK + 1
            and final.shape[:1] == (stop - start,)
        )
        _need(good, "final codes", f"integers of {stop - start} samples", final.shape)
    return range(start, stop)


def _check_counts(index: int, by_phase: Any) -> None:
    where = f"counts of layer {index}"
    _need(isinstance(by_phase, dict), where, "events by phase", by_phase)
    for phase, events in by_phase.items():
        _need(isinstance(events, dict), f"{where}, phase {phase!r}", "counts by event", events)
        for word in (phase, *events):
            _need(word.isprintable() and word, where, "names that can be printed", word)
        for event, n in events.items():
            good = _is_count(n) and n < _COUNT_LIMIT
            _need(good, f"{where}, event {event!r}", "a count of 0 to 2^63 - 1", n)


def _check_layer(
    index: int, n_samples: int, digests: npt.NDArray[Any], errors: npt.NDArray[Any]
) -> None:
    good = digests.dtype == np.uint8 and digests.shape == (n_samples, DIGEST_BYTES)
    need = f"uint8 ({n_samples}, {DIGEST_BYTES})"
    _need(good, f"digests of layer {index}", need, f"{digests.dtype} {digests.shape}")
    good = (
        errors.dtype == np.float64
        and errors.ndim == 2
        and errors.shape[1] == len(ERROR_COLUMNS)
        and len(errors) <= n_samples
        and bool(((errors >= 0) & (errors < np.inf)).all())
    )
    need = f"(at most {n_samples}, {len(ERROR_COLUMNS)}) finite numbers of at least 0"
    _need(good, f"errors of layer {index}", need, f"{errors.dtype} {errors.shape}")


def _is_count(value: Any) -> bool:
    return type(value) is int and value >= 0


def _need(good: Any, where: str, need: str, got: object) -> None:
    if not good:
        raise ResultError(f"{where}: need {need}, got {shown(got)}")
