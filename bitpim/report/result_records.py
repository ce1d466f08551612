"""What a result holds, as frozen values: the run, its layers, its outputs."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from hashlib import blake2b
from math import fsum
from typing import Any

import numpy as np
import numpy.typing as npt

from bitpim.cost.model import CYCLES
from bitpim.errors import ResultError
from bitpim.legend import Legend
from bitpim.report.figures import ErrorFigures
from bitpim.report.html import as_html
from bitpim.report.rows import flat_rows, layer_rows, values
from bitpim.report.summary import result_lines, title

__all__ = [
    "CYCLES",
    "DIGEST_BYTES",
    "FORMAT_NAME",
    "FORMAT_VERSION",
    "LayerResult",
    "PhaseCounts",
    "Result",
    "RunHeader",
    "digest_samples",
]

FORMAT_NAME = "bitpim.result"
FORMAT_VERSION = (1, 1)
DIGEST_BYTES = 16
_HTML_COLUMNS = (
    *("index", "name", "kind", "arrays", "utilization", "cycles", "time_s", "energy_pj"),
    *("n_references", "max_abs", "relative_l2", "sqnr_db", "own_settings"),
)
PhaseCounts = Mapping[str, Mapping[str, int]]


@dataclass(frozen=True, slots=True)
class RunHeader:
    """What was run. Two runs with equal headers (provenance aside) have equal results.

    `preset` is the whole preset as TOML; `start`, `stop` the samples of the trace; `options`
    whatever else decides the outcome (the layers kept, the batch). `provenance` is for the reader
    and never compared; it must not hold what changes from run to run, such as the time.
    """

    trace_name: str
    trace_digest: str
    machine: str
    preset: str
    fidelity: str
    start: int
    stop: int
    software: str = ""
    options: Mapping[str, str] = field(default_factory=dict)
    provenance: Mapping[str, Any] = field(default_factory=dict)

    @property
    def n_samples(self) -> int:
        """Number of samples of the run."""
        return self.stop - self.start

    def differences(self, other: "RunHeader") -> list[str]:
        """Return one text for each field, provenance aside, in which the two differ."""
        out = []
        for name in (f.name for f in fields(self)):
            mine, theirs = getattr(self, name), getattr(other, name)
            if name == "provenance" or mine == theirs:
                continue
            if name == "options":
                mine, theirs = dict(mine), dict(theirs)
            if name == "preset":
                mine, theirs = _first_line_apart(mine, theirs)
            out.append(f"{name} {mine!r} and {theirs!r}")
        return out


def _first_line_apart(a: str, b: str) -> tuple[str, str]:
    mine, theirs = a.splitlines(), b.splitlines()
    for left, right in zip(mine, theirs, strict=False):
        if left != right:
            return left, right
    shared = min(len(mine), len(theirs))
    return "".join(mine[shared : shared + 1]), "".join(theirs[shared : shared + 1])


@dataclass(frozen=True, slots=True, repr=False)
class LayerResult:
    """One layer of a run: what came out, by digest, and what it took.

    `digests` is uint8 (n_samples, 16), see `digest_samples`. `counts` are events by phase without
    the cycles, which are in `cycles`. `energy_pj` by phase is empty in a run without prices.
    `plan` holds the scalars of the layer's row in the plan: arrays, utilization, and what else the
    machine states.
    `error_rows` is float64 (n, 3), one row of `figures.ERROR_COLUMNS` for each sample that has a
    float reference.
    """

    index: int
    name: str
    kind: str
    digests: npt.NDArray[np.uint8]
    counts: PhaseCounts
    cycles: Mapping[str, int]
    energy_pj: Mapping[str, float]
    plan: Mapping[str, int | float | str | bool]
    error_rows: npt.NDArray[np.float64]

    def __repr__(self) -> str:
        return f"<layer {self.index} {self.name!r} ({self.kind}), {self.n_cycles:,} cycles>"

    @property
    def n_cycles(self) -> int:
        """Cycles of all phases."""
        return sum(self.cycles.values())

    @property
    def total_energy_pj(self) -> float:
        """Energy of all phases."""
        return fsum(self.energy_pj.values())

    def events(self) -> dict[str, int]:
        """Return the count of each event over all phases."""
        out: dict[str, int] = {}
        for events in self.counts.values():
            for event, count in events.items():
                out[event] = out.get(event, 0) + count
        return out


@dataclass(frozen=True, slots=True, repr=False)
class Result:
    """A whole run as read from its file; `table` and `to_dict` hand it on, `print` tells of it.

    `final_codes` (samples first) and `predictions` (int64) are None where the run kept none.
    `prices_name` and `prices_text` are the price table used, empty in a run without prices.
    `legend` says how the counts are to be read.
    """

    header: RunHeader
    phases: tuple[str, ...]
    layers: tuple[LayerResult, ...]
    final_codes: npt.NDArray[Any] | None = None
    predictions: npt.NDArray[np.int64] | None = None
    figures: ErrorFigures | None = None
    prices_name: str = ""
    prices_text: str = ""
    legend: Legend = field(default_factory=Legend)

    def __repr__(self) -> str:
        return "\n".join([title(self), *result_lines(self)])

    def _repr_html_(self) -> str:
        rows = layer_rows(self)
        columns = [key for key in _HTML_COLUMNS if any(row.get(key) is not None for row in rows)]
        shown = [{key: row[key] for key in columns} for row in rows]
        return as_html([title(self), *result_lines(self)], shown)

    def to_dict(self) -> dict[str, Any]:
        """Return the whole report as plain values: the run, totals, phases, layers, figures.

        Floats may be nan or infinite; `bitpim report --json` writes the same.
        """
        return values(self)

    def table(self) -> list[dict[str, Any]]:
        """Return one flat record a layer, for `pandas.DataFrame` or `polars.DataFrame`.

        Each bears the run it is of: machine, preset, changed settings, fidelity, samples, prices.
        """
        return flat_rows(self)

    @property
    def n_cycles(self) -> int:
        """Cycles of all phases of all layers."""
        return sum(layer.n_cycles for layer in self.layers)

    @property
    def cycles_by_phase(self) -> dict[str, int]:
        """Cycles of each phase over all layers."""
        return {p: sum(layer.cycles.get(p, 0) for layer in self.layers) for p in self.phases}

    @property
    def elapsed_cycles(self) -> int:
        """Cycles of the run; fewer than `n_cycles` where phases overlap, or layers do."""
        return self.legend.elapsed_in_all(self._elapsed_by_layer(), self.header.n_samples)

    @property
    def pace(self) -> tuple[int, int] | None:
        """Cycles from one sample to the next in a pipeline of layers, and of one through it all.

        None where layers follow each other, or nothing ran.
        """
        by_layer, n = self._elapsed_by_layer(), self.header.n_samples
        if not self.legend.pipelined or n == 0:
            return None
        return max(by_layer, default=0) // n, sum(by_layer) // n

    def _elapsed_by_layer(self) -> list[int]:
        return [self.legend.elapsed(layer.cycles) for layer in self.layers]

    @property
    def total_energy_pj(self) -> float:
        """Energy of all layers."""
        return fsum(layer.total_energy_pj for layer in self.layers)

    def events(self) -> dict[str, int]:
        """Return the count of each event over all layers, sorted by name."""
        out: dict[str, int] = {}
        for layer in self.layers:
            for event, count in layer.events().items():
                out[event] = out.get(event, 0) + count
        return dict(sorted(out.items()))


def digest_samples(codes: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
    """Return a digest of each sample's codes, whatever dtype holds them.

    BLAKE2b of 16 bytes over the number of axes and the sizes of one sample, then its codes, all as
    little-endian int32 in C order.

    Shapes
    ------
    codes : (n, ...) any integer dtype, values that fit int32
    digests : (n, 16), uint8

    Raises
    ------
    ResultError
        Not integers, no sample axis, or a code beyond int32.
    """
    if codes.ndim == 0 or codes.dtype.kind not in "iu":
        raise ResultError(f"codes to digest: need integers, samples first, got {codes.dtype}")
    shape = np.array([codes.ndim - 1, *codes.shape[1:]], "<i4").tobytes()
    out = np.zeros((codes.shape[0], DIGEST_BYTES), np.uint8)
    limits = np.iinfo(np.int32)
    may_exceed = not np.can_cast(codes.dtype, np.int32)
    for row, sample in zip(out, codes, strict=True):
        if (
            may_exceed
            and sample.size
            and not limits.min <= sample.min() <= sample.max() <= limits.max
        ):
            raise ResultError("codes to digest: a code does not fit 32 bits")
        plain = np.ascontiguousarray(sample, "<i4")
        digest = blake2b(shape + plain.tobytes(), digest_size=DIGEST_BYTES).digest()
        row[:] = np.frombuffer(digest, np.uint8)
    return out
