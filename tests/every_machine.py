"""One trace on every machine: codes of the referee and equal counts, or the same refusal."""

import re
from collections.abc import Mapping
from functools import cache
from typing import Any, NamedTuple

import numpy as np

from bitpim.errors import AccumulatorError, BitpimError
from bitpim.machine.machine import FIDELITIES, LayerRun, Machine, takes_codebooks
from bitpim.machine.registry import list_presets, machine_names, make_machine
from bitpim.proof.reference import run_network
from bitpim_traces.records import Trace

__all__ = ["Outcome", "check_on_every_machine", "lossless_presets", "outcome", "settled"]

_MOST_REMEDIES = 8
LEFT_OUT = {"ou_skipped": "ou_activation", "spike_silent": "spike"}
"""Events of what inputs leave out, each with the event that it would have been."""

_made = cache(make_machine)  # reading a preset takes longer than most of the runs here


class Outcome(NamedTuple):
    """What a run gave: its layers, or the kind of error and the layer it names."""

    runs: tuple[LayerRun, ...] = ()
    refusal: tuple[type[BitpimError], str] | None = None


@cache
def lossless_presets() -> tuple[tuple[str, str], ...]:
    """Name machine and preset of all that are registered, lose nothing and run affine codes."""
    pairs = ((name, preset) for name in machine_names() for preset in list_presets(name))
    made = ((pair, _made(*pair)) for pair in pairs)
    return tuple(p for p, m in made if m.losses() is None and not takes_codebooks(m))


def remedies(error: BitpimError) -> list[str]:
    """Return the assignments that a message says would mend its fault."""
    return re.findall(r"`--set ([^\s`]+)`", str(error))


def settled(
    name: str, preset: str, trace: Trace, given: tuple[str, ...] = ()
) -> tuple[Machine, list[str]]:
    """Follow what refusals say until the machine plans the trace; return it and what was set.

    `given` is set before, and what refusals say replaces it.
    """
    assignments: list[str] = []
    for _ in range(_MOST_REMEDIES):
        machine = _made(name, preset, (*given, *assignments))
        try:
            machine.plan(trace)
        except BitpimError as error:
            found = remedies(error)
            assert found, f"{name} {preset}: no setting that works in: {error}"
            assert found[0] not in assignments, f"{name} {preset}: did not help: {error}"
            named = re.match(rf"layer \d+ '|{name}: .* for '", str(error))
            assert named, f"names neither layer nor network: {error}"
            assignments.append(found[0])
        else:
            return machine, assignments
    raise AssertionError(f"{name} {preset}: {assignments} do not help")


def outcome(machine: Machine, trace: Trace, fidelity: str) -> Outcome:
    """Run all samples of a trace; a sum that does not fit is an outcome, any other error is not."""
    try:
        prepared = machine.prepare(trace, fidelity=fidelity)
        return Outcome(tuple(prepared.run_batch(trace.samples.codes.read())))
    except AccumulatorError as error:
        return Outcome(refusal=_refusal(error))


def _refusal(error: BitpimError) -> tuple[type[BitpimError], str]:
    return type(error), str(error).split(":")[0]


def check_on_every_machine(trace: Trace) -> dict[tuple[str, str], list[str]]:
    """See that all agree; return what had to be set, by machine and preset."""
    expected: dict[int, Any] = {}
    refusal = None
    try:
        expected = run_network(trace, trace.samples.codes.read(), keep="all")
    except AccumulatorError as error:
        refusal = _refusal(error)
    was_set = {}
    for name, preset in lossless_presets():
        machine, was_set[name, preset] = settled(name, preset, trace)
        where = (trace.provenance, name, preset, was_set[name, preset])
        outcomes = [outcome(machine, trace, fidelity) for fidelity in FIDELITIES]
        for got in outcomes:
            assert got.refusal == refusal, (where, got.refusal)
        for index, codes in expected.items():
            bit, integer = (got.runs[index] for got in outcomes)
            for run in (bit, integer):
                assert run.index == index, where
                assert run.codes.dtype == codes.dtype, where
                assert np.array_equal(run.codes, codes), (where, trace.layers[index])
            assert bit.counts == integer.counts, where
            _check_plan(machine, trace, bit, where)
    return was_set


def _check_plan(machine: Machine, trace: Trace, run: LayerRun, where: Any) -> None:
    """Counts are the plan's; of reads, those done and left out together are."""
    plan = machine.plan(trace)
    planned = plan.counts(run.index, trace.n_samples)
    assert run.counts.keys() == planned.keys(), where
    for phase, events in planned.items():
        got = run.counts[phase]
        if plan.assumes and phase == "read":
            assert _reads(got) == _reads(events), where
            assert all(
                n <= events.get(event, 0) for event, n in got.items() if event not in LEFT_OUT
            )
        else:
            assert got == events, (where, phase)


def _reads(events: Mapping[str, int]) -> list[int]:
    return [events.get(done, 0) + events.get(not_done, 0) for not_done, done in LEFT_OUT.items()]
