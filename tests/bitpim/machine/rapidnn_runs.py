"""Runs of the machine `rapidnn` in tests, and their counts added up."""

from typing import Any

from bitpim.machine.machine import LayerRun
from bitpim.machine.registry import make_machine
from bitpim_traces.records import Trace

__all__ = ["added", "machine", "run"]


def machine(*assigned: str) -> Any:
    return make_machine("rapidnn", None, assigned)


def run(made: Any, trace: Trace, fidelity: str = "bit", jobs: int = 1) -> list[LayerRun]:
    prepared = made.prepare(trace, fidelity=fidelity, jobs=jobs)
    return list(prepared.run_batch(trace.samples.codes.read()))


def added(counts: list[dict[str, dict[str, int]]]) -> dict[str, dict[str, int]]:
    total: dict[str, dict[str, int]] = {}
    for phases in counts:
        for phase, events in phases.items():
            held = total.setdefault(phase, {})
            for event, n in events.items():
                held[event] = held.get(event, 0) + n
    return total
