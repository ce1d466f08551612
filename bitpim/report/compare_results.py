"""Where two results differ: outputs by digest, counts, cycles, figures."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np

from bitpim.report.result_records import LayerResult, Result

__all__ = ["Comparison", "Difference", "compare_results"]

_DECIDING = ("trace_digest", "start", "stop")
_NOTED = ("trace_name", "machine", "preset", "fidelity", "software", "options")


@dataclass(frozen=True, slots=True)
class Difference:
    """One place where two results are not equal; `kind` is run, outputs, counts or figures."""

    kind: str
    where: str
    first: str
    second: str

    def __str__(self) -> str:
        return f"{self.where}: {self.first} and {self.second}"


@dataclass(frozen=True, slots=True)
class Comparison:
    """The differences of two results, and how the runs differed without that being a fault.

    `differences` holds the first ones, at most the limit asked for; `notes` tell of other machines,
    presets, fidelities or software, between which equal outputs may well be expected.
    """

    differences: tuple[Difference, ...]
    notes: tuple[str, ...]

    @property
    def is_equal(self) -> bool:
        """Whether nothing differs."""
        return not self.differences


def compare_results(a: Result, b: Result, *, limit: int = 20) -> Comparison:
    """Compare what two runs gave: samples, outputs layer by layer, counts, cycles, figures.

    Different machines, presets and fidelities are noted, not counted: they are often the point of
    the comparison. Energies follow from counts and prices and are not compared; other prices are
    noted.
    """
    found: list[Difference] = []
    notes = []
    for name in _DECIDING + _NOTED:
        mine, theirs = getattr(a.header, name), getattr(b.header, name)
        if mine == theirs:
            continue
        if name in _DECIDING:
            found.append(Difference("run", name, str(mine), str(theirs)))
        elif name == "preset":
            notes += [n for n in a.header.differences(b.header) if n.startswith("preset ")]
        else:
            notes.append(f"{name} {mine!r} and {theirs!r}")
    if a.prices_text != b.prices_text:
        notes.append(_other_prices(a.prices_name, b.prices_name))
    found += islice(_contents(a, b), max(limit - len(found), 0))
    return Comparison(tuple(found), tuple(notes))


def _other_prices(mine: str, theirs: str) -> str:
    if mine == theirs:  # somebody's own table may bear the name of a packaged one
        return f"price tables named {mine!r} both, but of other prices"
    return f"prices {mine!r} and {theirs!r}"


def _contents(a: Result, b: Result) -> Iterator[Difference]:
    theirs = {layer.index: layer for layer in b.layers}
    mine = {layer.index: layer for layer in a.layers}
    for index in sorted({*mine, *theirs}):
        first, second = mine.get(index), theirs.get(index)
        if first is None or second is None:
            yield Difference(
                "outputs", f"layer {index}", *("there" if x else "missing" for x in (first, second))
            )
            continue
        yield from _layer(first, second, a.header.start)
    if not _same(a.final_codes, b.final_codes):
        yield Difference("outputs", "final codes", *(_shape(r.final_codes) for r in (a, b)))
    if not _same(a.predictions, b.predictions):
        yield Difference("outputs", "predictions", *(_shape(r.predictions) for r in (a, b)))
    if repr(a.figures) != repr(b.figures):  # repr, because nan differs from itself
        yield Difference("figures", "error figures of the network", *map(_shares, (a, b)))


def _layer(a: LayerResult, b: LayerResult, start: int) -> Iterator[Difference]:
    where = f"layer {a.index} {a.name}"
    for field in ("name", "kind"):
        if getattr(a, field) != getattr(b, field):
            yield Difference("run", f"{where} {field}", getattr(a, field), getattr(b, field))
    if a.digests.shape == b.digests.shape:
        apart = np.flatnonzero((a.digests != b.digests).any(axis=1))
        if apart.size:
            i = int(apart[0])
            yield Difference(
                "outputs",
                f"{where}: outputs of {apart.size} samples, first sample {start + i}",
                *(f"digest {x.digests[i].tobytes().hex()}" for x in (a, b)),
            )
    yield from _numbers("counts", f"{where} cycles of", a.cycles, b.cycles)
    for phase in sorted({*a.counts, *b.counts}):
        yield from _numbers(
            "counts", f"{where} {phase}", a.counts.get(phase, {}), b.counts.get(phase, {})
        )
    if not _same(a.error_rows, b.error_rows):
        yield Difference("figures", f"{where} errors", *(_errors(x.error_rows) for x in (a, b)))


def _numbers(
    kind: str, where: str, a: Mapping[str, int], b: Mapping[str, int]
) -> Iterator[Difference]:
    for name in sorted({*a, *b}):
        if a.get(name, 0) != b.get(name, 0):
            yield Difference(kind, f"{where} {name}", f"{a.get(name, 0):,}", f"{b.get(name, 0):,}")


def _same(a: Any, b: Any) -> bool:
    if a is None or b is None:
        return a is b
    return a.shape == b.shape and bool(np.array_equal(a, b, equal_nan=a.dtype.kind == "f"))


def _errors(rows: Any) -> str:
    """Say how far samples are from the float network: columns are max, sums of squares."""
    if rows is None:
        return "none"
    largest = max(rows[:, 0].max(initial=0.0), 0.0)
    return f"max abs {largest:.4g}, squares {rows[:, 1].sum():.4g} of {rows.shape[0]} samples"


def _shape(array: Any) -> str:
    return "none" if array is None else f"{array.dtype} {array.shape}"


def _shares(result: Result) -> str:
    figures = result.figures
    if figures is None:
        return "none"
    return f"accuracy {figures.accuracy}, top-1 agreement {figures.top1_agreement}"
