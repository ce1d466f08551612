"""Layers of one lane an output element: what they run, and their closed-form counts."""

from dataclasses import dataclass

from bitpim.sram.lanes import LaneProgram
from bitpim.sram.occupancy import Occupancy
from bitpim.sram.plan import LayerPlan, Phases

__all__ = ["LanePlan", "LaneWork"]


@dataclass(frozen=True, slots=True)
class LaneWork:
    """One program of an elementwise layer and how many outputs of a sample it makes.

    `key` tells the works of a layer apart: elements in the window (average pooling) or the input
    (concat).
    """

    key: int
    n_outputs: int
    program: LaneProgram
    n_streamed: int = 0

    @property
    def n_steps(self) -> int:
        """Cycles of one run."""
        return self.program.n_steps(self.n_streamed)

    @property
    def input_rows(self) -> int:
        """Bit-planes of elements of the input that are written for one output."""
        each, widths = self.program.each, self.program.widths
        streamed = 0 if each is None else self.n_streamed * each.field("x").width
        return streamed + sum(widths.values()) - self.constant_rows

    @property
    def constant_rows(self) -> int:
        """Bit-planes of constants, written once a pass."""
        return self.program.widths.get("multiplier", 0)


@dataclass(frozen=True, slots=True)
class LanePlan(LayerPlan):
    """An elementwise layer: one lane an output element, each work in passes of its own."""

    output_bits: int
    work: tuple[LaneWork, ...]
    phase: str  # "pooling", "add", ...

    @property
    def n_outputs(self) -> int:
        """Output elements of a sample."""
        return sum(work.n_outputs for work in self.work)

    def occupancy(self, n_samples: int) -> Occupancy:
        """One lane an output, works one after the other."""
        return self.pool.in_turn([place for place, _ in self._places(n_samples)])

    def batch_phases(self, n_samples: int) -> Phases:
        """Stream operands in, run, write out."""
        places, place = self._places(n_samples), self.occupancy(n_samples)
        n_bytes = -(-n_samples * sum(w.n_outputs * w.input_rows for w in self.work) // 8)
        rows = [(p, work.input_rows + work.constant_rows) for p, work in places]
        return {
            "input_stream": {
                "cycles": max(sum(p.passes * n for p, n in rows), self.bus_cycles(n_bytes)),
                "sram_access_cycle": sum(p.array_passes * n for p, n in rows),
                "bus_byte": n_bytes,
            },
            self.phase: self._program_phase(places),
            "output": self.output_phase(
                place.passes, place.array_passes, n_samples * self.n_outputs, self.output_bits
            ),
        }

    def _places(self, n_samples: int) -> list[tuple[Occupancy, LaneWork]]:
        return [
            (self.pool.spread(self.where, n_samples * work.n_outputs, 1), work)
            for work in self.work
        ]

    def _program_phase(self, places: list[tuple[Occupancy, LaneWork]]) -> dict[str, int]:
        return {
            "cycles": sum(place.passes * work.n_steps for place, work in places),
            "sram_compute_cycle": sum(place.array_passes * work.n_steps for place, work in places),
        }
