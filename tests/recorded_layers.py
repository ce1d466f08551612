"""All tiles of a layer, recorded, and what they did, added as the machine adds it."""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from bitpim.golden.replaying import replay_program
from bitpim.golden.stepper import Stepper
from bitpim.machine.cache_machine import CacheMachine
from bitpim.recorded import RecordedTile
from bitpim_traces.program_trace.records import ProgramTrace
from bitpim_traces.records import Trace

__all__ = ["ARRAY_EVENTS", "RecordedLayer", "phases_of"]

ARRAY_EVENTS = ("cycles", "sram_compute_cycle", "sram_access_cycle")
"""What arrays count of a phase; bytes, rows gathered and masked reductions happen around them."""

Phases = dict[str, dict[str, int]]


def phases_of(program: ProgramTrace) -> Phases:
    """Replay a program from mark to mark; a mark begins with the phase that its steps count for."""
    at, phases, before = Stepper(program), Phases(), dict.fromkeys(ARRAY_EVENTS, 0)
    marks = [*program.marks, (program.n_steps, "")]
    assert marks[0][0] == 0
    for (_, mark), (stop, _) in pairwise(marks):
        assert at.run_to(stop) is None
        now = {event: at.counts[event] for event in ARRAY_EVENTS}
        phase = phases.setdefault(mark.partition(":")[0], dict.fromkeys(ARRAY_EVENTS, 0))
        for event, n in now.items():
            phase[event] += n - before[event]
        before = now
    return phases


@dataclass
class RecordedLayer:
    """The tiles of a layer for the first sample of a trace."""

    machine: CacheMachine
    trace: Trace
    index: int = 0

    def __post_init__(self) -> None:
        recorder = self.machine.recorder(self.trace, self.index)
        codes = self.trace.samples.codes.read(0, 1)
        self.runs = list(self.machine.prepare(self.trace).run_batch(codes))
        layer = self.trace.layers[self.index]
        inputs = [codes if i < 0 else self.runs[i].codes for i in layer.inputs]
        self.names = recorder.tiles()
        assert [name.number for name in self.names] == list(range(len(self.names)))
        self.tiles = [recorder.record(name.number, inputs) for name in self.names]
        for tile, name in zip(self.tiles, self.names, strict=True):
            assert tile.program.name == name.told
            assert replay_program(tile.program).equal

    def of(self, kind: str) -> list[RecordedTile]:
        """Those told so."""
        named = zip(self.names, self.tiles, strict=True)
        return [tile for name, tile in named if name.told.startswith(kind)]

    def gathered(self, kind: str, shape: tuple[int, ...]) -> npt.NDArray[np.int64]:
        """What tiles found, by sample and coordinate; each once, and 0 where none did."""
        n, out = (np.zeros((1, *shape), np.int64) for _ in range(2))
        for tile in self.of(kind):
            np.add.at(n, tuple(tile.places.T), 1)
            out[tuple(tile.places.T)] = tile.sums
        assert n.max(initial=0) <= 1
        return np.asarray(out)

    def counts(self) -> Phases:
        """Add the work of all tiles, and the cycles of one of those in lock step."""
        total: Phases = {}
        slowest: dict[tuple[str, str], int] = {}
        for name, tile in zip(self.names, self.tiles, strict=True):
            where = name.told.partition(", array")[0]
            for phase, events in phases_of(tile.program).items():
                if where.startswith("window") and phase not in ("gather", "host"):
                    key = (where, f"window_sum {phase}")
                    phase = "window_sum"
                else:
                    key = (where, phase)
                into = total.setdefault(phase, dict.fromkeys(ARRAY_EVENTS, 0))
                into["sram_compute_cycle"] += events["sram_compute_cycle"]
                into["sram_access_cycle"] += events["sram_access_cycle"]
                slowest[key] = max(slowest.get(key, 0), events["cycles"])
        for (_, phase), cycles in slowest.items():
            total[phase.partition(" ")[0]]["cycles"] += cycles
        return total
