"""What a result states beside its digests, each against what was computed anew.

Behind digests that are the referee's anything could be invented: final outputs, predictions,
accuracy, error figures, counts, cycles, energies. All of it is compared, outputs with the referee
where the machine equals it, what only the machine knows with a second run; what nothing can be said
about is named.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from itertools import zip_longest
from typing import Any, Literal, TypeVar

import numpy as np
import numpy.typing as npt

from bitpim.config import is_file_name, to_toml
from bitpim.cost.model import phase_energy_pj
from bitpim.cost.tables import parse_prices
from bitpim.errors import ConfigError
from bitpim.machine.registry import make_machine, prices_for_result
from bitpim.proof.rerun import Rerun
from bitpim.report.figures import ErrorFigures, top1
from bitpim.report.result_file import LayerResult, Result
from bitpim.report.rows import label_of
from bitpim.run import run_options
from bitpim_traces.faults import shown
from bitpim_traces.records import Trace

__all__ = ["TOLERANCE", "Answers", "Claim", "check_claims"]

TOLERANCE = 1e-9
"""Relative, of error figures: sums of floats depend on the processor's vectors; shares do not."""

V = TypeVar("V")
_UNKNOWABLE = "which fidelity, software and platform made it"


@dataclass(frozen=True, slots=True)
class Claim:
    """Something that a result states: whether it is so, and where first not, or why nobody knows.

    `outcome` is ``equal``, ``differs`` or ``not checked``.
    """

    what: str
    outcome: Literal["equal", "differs", "not checked"]
    detail: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, ready for JSON."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Answers:
    """What a run gives of a trace: final codes, error rows by layer, and the figures of both.

    `final` is None of a run that does not reach the last layer.
    """

    final: npt.NDArray[Any] | None
    rows: Mapping[int, npt.NDArray[np.float64]]
    figures: ErrorFigures | None

    @classmethod
    def of(cls, result: Result) -> "Answers":
        """Return those of a result."""
        rows = {layer.index: layer.error_rows for layer in result.layers}
        return cls(result.final_codes, rows, result.figures)


def check_claims(
    trace: Trace, result: Result, referee: Answers | None, rerun: Rerun
) -> tuple[Claim, ...]:
    """Compare what a result states with what was computed anew.

    `referee` has the referee's answers where its digests are those of the result.
    """
    again = rerun.result
    answers = Answers.of(again) if referee is None and again is not None else referee

    def compared(what: str, check: Callable[[Result, V], Iterable[str]], other: V | None) -> Claim:
        if other is None:
            return Claim(what, "not checked", rerun.why_not)
        return _claim(what, check(result, other))

    return (
        _claim("run", [rerun.fault] if rerun.fault else _run(trace, result)),
        compared("outputs", _outputs, again),
        compared("final outputs", _final, answers),
        compared("error figures", _figures, answers),
        compared("counts and cycles", _counts, again),
        compared("plan", _plan, again),
        _claim("energies", _energies(result)),
        _preset(result),
        _prices(result),
        Claim(_UNKNOWABLE, "not checked", "nothing it holds depends on that"),
    )


def _claim(what: str, differences: Iterable[str]) -> Claim:
    first = next(iter(differences), None)
    return Claim(what, "equal") if first is None else Claim(what, "differs", first)


def _apart(where: str, stated: object, found: object) -> Iterator[str]:
    if stated != found:
        yield f"{where}: it states {shown(stated)}, got {shown(found)}"


def _place(layer: LayerResult) -> str:
    return f"layer {layer.index} {layer.name!r}"


def _run(trace: Trace, result: Result) -> Iterator[str]:
    """Names and options, which follow from the trace, the layers kept and the prices."""
    header = result.header
    yield from _apart("trace", header.trace_name, trace.name)
    for layer in result.layers:
        record = trace.layers[layer.index]
        yield from _apart(f"layer {layer.index}", layer.name, record.name)
        yield from _apart(_place(layer), layer.kind, record.kind)
    prices = parse_prices(result.prices_text) if result.prices_text else None
    kept = tuple(layer.index for layer in result.layers)
    yield from _apart("options", dict(header.options), run_options(trace, kept, prices))


def _pairs(result: Result, again: Result) -> Iterator[tuple[LayerResult, LayerResult]]:
    return zip(result.layers, again.layers, strict=True)


def _outputs(result: Result, again: Result) -> Iterator[str]:
    for stated, found in _pairs(result, again):
        apart = np.flatnonzero((stated.digests != found.digests).any(axis=1))
        if apart.size:
            first = result.header.start + int(apart[0])
            of = f"{apart.size} of {len(stated.digests)}"
            yield f"{_place(stated)}, sample {first}: another digest ({of} samples differ)"


def _final(result: Result, answers: Answers) -> Iterator[str]:
    stated, found = result.final_codes, answers.final
    if stated is None:
        return
    if result.predictions is not None and not np.array_equal(result.predictions, top1(stated)):
        yield "predictions that are not the largest codes"
    if found is None:
        yield "it has outputs of a layer that it did not run"
    elif stated.shape != found.shape:
        yield from _apart("shape", stated.shape, found.shape)
    elif not np.array_equal(stated, found):
        place = np.argwhere(stated != found)[0]
        at, sample = tuple(place), result.header.start + int(place[0])
        where = f"sample {sample} at {tuple(map(int, place[1:]))}"
        yield from _apart(where, int(stated[at]), int(found[at]))


def _figures(result: Result, answers: Answers) -> Iterator[str]:
    for layer in result.layers:
        stated, found = layer.error_rows, answers.rows[layer.index]
        if stated.shape != found.shape or not np.allclose(stated, found, rtol=TOLERANCE, atol=0):
            yield f"{_place(layer)}: distances from the float network's outputs"
    stated_figures, found_figures = result.figures, answers.figures
    if stated_figures is None or found_figures is None:
        return
    if not stated_figures.n_float_labelled and stated_figures.float_accuracy is None:
        found_figures = replace(found_figures, n_float_labelled=0, float_accuracy=None)
    for name, value in _flat(stated_figures.to_dict()):
        other = dict(_flat(found_figures.to_dict())).get(name)
        if not _near(value, other):
            yield from _apart(name, value, other)
    yield from _apart("layers", len(stated_figures.layers), len(found_figures.layers))


def _flat(figures: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Yield each figure under a name that is its own."""
    for name, value in figures.items():
        if name != "layers":
            yield name, value
    for row in figures["layers"]:
        for name, value in row.items():
            yield f"layer {row['index']} {name}", value


def _near(stated: Any, found: Any) -> bool:
    if isinstance(stated, float) and isinstance(found, float):
        return bool(np.isclose(stated, found, rtol=TOLERANCE, atol=0, equal_nan=True))
    return bool(stated == found)


def _counts(result: Result, again: Result) -> Iterator[str]:
    yield from _apart("phases", result.phases, again.phases)
    for stated, found in _pairs(result, again):
        yield from _numbers(f"{_place(stated)}, cycles of", stated.cycles, found.cycles)
        for phase in sorted({*stated.counts, *found.counts}):
            pair = stated.counts.get(phase, {}), found.counts.get(phase, {})
            yield from _numbers(f"{_place(stated)}, {phase}", *pair)


def _numbers(where: str, stated: Mapping[str, int], found: Mapping[str, int]) -> Iterator[str]:
    for name in sorted({*stated, *found}):
        yield from _apart(f"{where} {name}", stated.get(name, 0), found.get(name, 0))


def _plan(result: Result, again: Result) -> Iterator[str]:
    """Rows of the plan, of which a later version may have more, and how counts are to be read."""
    for stated, found in _pairs(result, again):
        for name, value in stated.plan.items():
            yield from _apart(f"{_place(stated)}, {name}", value, found.plan.get(name))
    stated_legend, found_legend = result.legend, again.legend
    if not stated_legend.headlines:  # results of version 1.0 have none
        found_legend = replace(found_legend, headlines=())
    if not stated_legend.overlaps and not found_legend.overlaps:  # then no figure asks which stream
        found_legend = replace(found_legend, streaming=stated_legend.streaming)
    yield from _apart("legend", stated_legend.to_dict(), found_legend.to_dict())


def _energies(result: Result) -> Iterator[str]:
    """Energies are counts times the prices it holds."""
    table = parse_prices(result.prices_text) if result.prices_text else None
    for layer in result.layers:
        priced = phase_energy_pj(layer.counts, table) if table else {}
        for phase in sorted({*priced, *layer.energy_pj}):
            pair = layer.energy_pj.get(phase, 0.0), priced.get(phase, 0.0)
            yield from _apart(f"{_place(layer)}, {phase} pJ", *pair)


def _preset(result: Result) -> Claim:
    """Settings that bear the name of a packaged preset are that one, but for those they name."""
    label, machine = label_of(result), result.header.machine
    packaged = None
    if not is_file_name(label.name):
        with suppress(ConfigError):
            packaged = make_machine(machine, label.name, label.changed).settings
    ours = None if packaged is None else to_toml(packaged)
    return _own("preset", label.name, result.header.preset, ours)


def _prices(result: Result) -> Claim:
    """A table that bears the name of a packaged one is that one."""
    name = result.prices_name
    packaged = None
    if name and not is_file_name(name):
        with suppress(ConfigError):
            packaged = prices_for_result(result.header.machine, name)
    ours = None if packaged is None else packaged.to_toml()
    return _own("prices", name, result.prices_text, ours)


def _own(what: str, name: str, stated: str, packaged: str | None) -> Claim:
    """Compare a text with the one that comes with this version under its name, if one does."""
    if packaged is None and name:
        return Claim(what, "not checked", f"{shown(name)} does not come with this version")
    first = _first_line_apart(stated, packaged or "")
    if first is None:
        return Claim(what, "equal")
    return Claim(what, "differs", f"of the name {name!r}, not as in this version: {shown(first)}")


def _first_line_apart(stated: str, found: str) -> str | None:
    lines = zip_longest(stated.splitlines(), found.splitlines())
    return next((str(mine) for mine, theirs in lines if mine != theirs), None)
