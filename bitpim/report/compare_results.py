"""Where two results differ: outputs by digest, counts, cycles, figures."""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from itertools import islice
from typing import Any

import numpy as np

from bitpim.report.figures import ErrorFigures
from bitpim.report.html import as_html
from bitpim.report.result_records import LayerResult, Result
from bitpim.report.rows import label_of
from bitpim.report.text import columns, printable, share

__all__ = ["Comparison", "Difference", "Total", "compare_results"]

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
class Total:
    """What two runs of the same work took in all; `ratio` is the first over the second."""

    name: str
    first: int
    second: int

    @property
    def ratio(self) -> float | None:
        """The first over the second; None where that is nothing."""
        return self.first / self.second if self.second else None


@dataclass(frozen=True, slots=True, repr=False)
class Comparison:
    """The differences of two results, and how the runs differed without that being a fault.

    `differences` holds the first ones, at most the limit asked for, and `has_more` tells of others;
    `notes` tell of other machines, settings, fidelities or software, between which equal outputs
    may well be expected. Of two runs of the same layers on the same samples `totals` holds what
    both took, and `n_equal` of `n_layers` layers have equal outputs.
    """

    differences: tuple[Difference, ...]
    notes: tuple[str, ...]
    has_more: bool = False
    totals: tuple[Total, ...] = ()
    n_equal: int = 0
    n_layers: int = 0

    @property
    def is_equal(self) -> bool:
        """Whether nothing differs."""
        return not self.differences

    def lines(self, first: str = "first", second: str = "second") -> list[str]:
        """Return what a person reads: notes, differences, and totals side by side."""
        told = self._facts()
        if self.has_more:
            told.append(f"and more; --limit {2 * len(self.differences)} shows further ones")
        if self.totals and (self.notes or self.differences):
            rows = [[row.name, row.first, row.second, row.ratio] for row in self.totals]
            told += ["", columns(["in all", first, second, "ratio"], rows)]
            told.append(f"outputs equal in {share(self.n_equal, self.n_layers)} layers")
        if self.is_equal:
            told.append("equal in outputs, counts, cycles and error figures")
        return told

    def __repr__(self) -> str:
        return "\n".join(self.lines())

    def _repr_html_(self) -> str:
        return as_html(self._facts() or self.lines(), self.table())

    def _facts(self) -> list[str]:
        notes = [f"note: {note}" for note in self.notes]
        return list(map(printable, [*notes, *(f"{d.kind}: {d}" for d in self.differences)]))

    def table(self) -> list[dict[str, Any]]:
        """Return one record for each total of both runs: name, first, second, ratio."""
        return [asdict(row) | {"ratio": row.ratio} for row in self.totals]

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, ready for JSON."""
        return {
            "equal": self.is_equal,
            "differences": [asdict(difference) for difference in self.differences],
            "more": self.has_more,
            "notes": list(self.notes),
            "totals": self.table(),
            "equal_layers": self.n_equal,
            "layers": self.n_layers,
        }


def compare_results(a: Result, b: Result, *, limit: int = 20) -> Comparison:
    """Compare what two runs gave: samples, outputs layer by layer, counts, cycles, figures.

    Different machines, settings and fidelities are noted, not counted: they are often the point of
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
            notes += [_settings_apart(a, b)]
        else:
            notes.append(f"{name} {mine!r} and {theirs!r}")
    if a.prices_text != b.prices_text:
        notes.append(_other_prices(a.prices_name, b.prices_name))
    found += islice(_contents(a, b), max(limit + 1 - len(found), 0))
    shown, has_more = tuple(found[:limit]), len(found) > limit
    if not _is_same_work(a, b):
        return Comparison(shown, tuple(notes), has_more)
    pairs = zip(a.layers, b.layers, strict=True)
    n_equal = sum(bool((one.digests == other.digests).all()) for one, other in pairs)
    return Comparison(shown, tuple(notes), has_more, _totals(a, b), n_equal, len(a.layers))


def _settings_apart(a: Result, b: Result) -> str:
    """Say what the settings of both are called, and where they first differ by another way."""
    mine, theirs = label_of(a), label_of(b)
    if str(mine) != str(theirs):
        return f"{mine} and {theirs}"
    return next(n for n in a.header.differences(b.header) if n.startswith("preset "))


def _is_same_work(a: Result, b: Result) -> bool:
    """Tell whether both ran the same layers of the same network on the same samples."""
    runs = [
        (r.header.trace_digest, r.header.start, r.header.stop, [layer.index for layer in r.layers])
        for r in (a, b)
    ]
    return runs[0] == runs[1]


def _totals(a: Result, b: Result) -> tuple[Total, ...]:
    rows = [Total("cycles", a.elapsed_cycles, b.elapsed_cycles)]
    if a.prices_name and b.prices_name:
        rows.append(Total("energy pJ", round(a.total_energy_pj), round(b.total_energy_pj)))
    events = a.events(), b.events()
    rows += [
        Total(event, *(of.get(event, 0) for of in events))
        for event in sorted({*events[0], *events[1]})
    ]
    return tuple(rows)


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
    if repr(_of_the_machine(a)) != repr(_of_the_machine(b)):  # repr: nan differs from itself
        yield Difference("figures", "error figures of the network", *map(_shares, (a, b)))


def _of_the_machine(result: Result) -> ErrorFigures | None:
    """Return the figures without those of the float network, which earlier runs do not state."""
    figures = result.figures
    return figures and replace(figures, n_float_labelled=0, float_accuracy=None)


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
