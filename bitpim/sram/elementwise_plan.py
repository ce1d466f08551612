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


@dataclass(frozen=True, slots=True)
class LanePlan(LayerPlan):
    """An elementwise layer: one lane an output element."""

    input_rows: int  # bit-planes written for one output
    output_bits: int
    work: tuple[LaneWork, ...]
    phase: str  # "pooling", "add", ...

    @property
    def n_outputs(self) -> int:
        """Output elements of a sample."""
        return sum(work.n_outputs for work in self.work)

    def occupancy(self, n_samples: int) -> Occupancy:
        """One lane an output."""
        return self.pool.spread(self.where, n_samples * self.n_outputs, 1)

    def batch_phases(self, n_samples: int) -> Phases:
        """Stream operands in, run, write out."""
        place = self.occupancy(n_samples)
        n_bytes = -(-n_samples * self.n_outputs * self.input_rows // 8)
        rows = self.input_rows
        constants = [
            (p, work.program.widths.get("multiplier", 0)) for p, work in self._places(n_samples)
        ]
        written = sum(p.passes * bits for p, bits in constants) + place.passes * rows
        return {
            "input_stream": {
                "cycles": max(written, self.bus_cycles(n_bytes)),
                "sram_access_cycle": place.array_passes * rows
                + sum(p.array_passes * bits for p, bits in constants),
                "bus_byte": n_bytes,
            },
            self.phase: self._program_phase(n_samples),
            "output": self.output_phase(
                place.passes, place.array_passes, n_samples * self.n_outputs, self.output_bits
            ),
        }

    def _places(self, n_samples: int) -> list[tuple[Occupancy, LaneWork]]:
        return [
            (self.pool.spread(self.where, n_samples * work.n_outputs, 1), work)
            for work in self.work
        ]

    def _program_phase(self, n_samples: int) -> dict[str, int]:
        places = self._places(n_samples)
        return {
            "cycles": sum(place.passes * work.n_steps for place, work in places),
            "sram_compute_cycle": sum(place.array_passes * work.n_steps for place, work in places),
        }
