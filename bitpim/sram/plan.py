"""A network laid out on Neural Cache: passes, utilization and closed-form counts of each layer.

A layer is a list of phases; each phase tells its cycles and its events for one batch of the
machine. Nothing here runs anything.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from bitpim.errors import ConfigError
from bitpim.placement import Placements
from bitpim.programs.program import Program
from bitpim.sram.costs import StepCosts
from bitpim.sram.lane_programs import WindowCorrection
from bitpim.sram.lanes import LaneProgram
from bitpim.sram.occupancy import ArrayPool, Occupancy
from bitpim.sram.settings import CacheSettings
from bitpim.sram.transposed import ConvShape, LaneLayout, RowBudget

__all__ = [
    "STREAMING",
    "CachePlan",
    "ConvPlan",
    "EpiloguePlan",
    "LanePlan",
    "LaneWork",
    "LayerPlan",
    "Phases",
    "TablePlan",
    "scale_phases",
]

Phases = dict[str, dict[str, int]]


def scale_phases(parts: list[tuple[int, Phases]]) -> Phases:
    """Add phases, each set so many times."""
    total: Phases = {}
    for times, phases in parts:
        for phase, events in phases.items():
            into = total.setdefault(phase, {})
            for event, n in events.items():
                into[event] = into.get(event, 0) + times * n
    return total


@dataclass(frozen=True, slots=True)
class LayerPlan:
    """What every layer's plan has; `batch_phases` yields the phases of a batch of n samples."""

    index: int
    name: str
    kind: str
    settings: CacheSettings

    @property
    def where(self) -> str:
        """The layer, to begin an error message with."""
        return f"layer {self.index} {self.name!r} ({self.kind})"

    @property
    def pool(self) -> ArrayPool:
        """The arrays that compute."""
        geometry = self.settings.geometry
        return ArrayPool(geometry.n_compute_arrays, geometry.array_columns)

    def batch_phases(self, n_samples: int) -> Phases:
        """Phases of one batch; overridden by each kind of plan."""
        raise NotImplementedError

    def occupancy(self, n_samples: int) -> Occupancy:
        """How the layer's main work fills the arrays."""
        raise NotImplementedError

    def counts(self, n_samples: int) -> Phases:
        """Phases of many samples, taken in the machine's batches."""
        batch = self.settings.mapping.batch_size
        full, rest = divmod(n_samples, batch)
        parts = [(full, self.batch_phases(batch))] if full else []
        return scale_phases(parts + ([(1, self.batch_phases(rest))] if rest else []))

    def output_phase(self, place: Occupancy, n_outputs: int, output_bits: int) -> dict[str, int]:
        """Read the codes of all outputs and carry them to the I/O ways.

        What these cannot hold goes to DRAM and comes back for the next layer.
        """
        n_bytes = -(-n_outputs * output_bits // 8)
        geometry = self.settings.geometry
        capacity = geometry.n_io_arrays * geometry.array_rows * geometry.array_columns // 8
        spilled = 2 * max(0, n_bytes - capacity)
        dram = -(-spilled // self.settings.transfer.dram_bytes_per_cycle)
        return {
            "cycles": max(place.passes * output_bits, self.bus_cycles(n_bytes), dram),
            "sram_access_cycle": place.array_passes * output_bits,
            "bus_byte": n_bytes,
            "dram_byte": spilled,
        }

    def bus_cycles(self, n_bytes: int) -> int:
        """Cycles in which the slices' buses carry so many bytes."""
        transfer = self.settings.transfer
        width = transfer.bus_bytes_per_cycle * self.settings.geometry.n_cache_slices
        return -(-n_bytes // width)

    def row(self, n_samples: int = 1) -> dict[str, Any]:
        """One row of the plan's table."""
        occupancy = self.occupancy(n_samples)
        phases = self.batch_phases(n_samples)
        return {
            "index": self.index,
            "name": self.name,
            "kind": self.kind,
            "arrays": min(occupancy.array_passes, self.pool.n_arrays),
            "lanes": occupancy.lanes,
            "passes": occupancy.passes,
            "utilization": occupancy.utilization,
            "cycles": {phase: events["cycles"] for phase, events in phases.items()},
        }


@dataclass(frozen=True, slots=True)
class TablePlan(LayerPlan):
    """A layer that moves codes, or that the CPU computes: bytes over the bus and nothing else."""

    input_bytes: int
    output_bytes: int
    phase: str  # "move" or "host"

    def occupancy(self, n_samples: int) -> Occupancy:
        """No lane computes."""
        return Occupancy(0, 0, 0, 0.0)

    def batch_phases(self, n_samples: int) -> Phases:
        """Read, and write back."""
        n_bytes = n_samples * (self.input_bytes + self.output_bytes)
        return {self.phase: {"cycles": self.bus_cycles(n_bytes), "bus_byte": n_bytes}}


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
            "output": self.output_phase(place, n_samples * self.n_outputs, self.output_bits),
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


@dataclass(frozen=True, slots=True)
class EpiloguePlan:
    """Filters that share the program from sums to codes."""

    filters: npt.NDArray[np.int64]
    program: LaneProgram


@dataclass(frozen=True, slots=True)
class ConvPlan(LayerPlan):
    """A convolution or linear layer in transposed layout."""

    shape: ConvShape
    layout: LaneLayout
    rows: RowBudget
    weight_bits: int
    input_bits: int
    output_bits: int
    sum_bits: int
    final_bits: int
    accumulator_bits: int
    costs: StepCosts
    tap: Program  # multiply-accumulate of one tap
    window_tap: Program  # accumulate of one tap, for window sums
    correction: WindowCorrection | None
    epilogue: tuple[EpiloguePlan, ...]  # empty: the CPU requantizes

    def occupancy(self, n_samples: int) -> Occupancy:
        """The convolutions of a batch."""
        n = n_samples * self.shape.n_convolutions
        return self.pool.spread(self.where, n, self.layout.n_lanes)

    def batch_phases(self, n_samples: int) -> Phases:
        """Load filters, stream windows, multiply, reduce, correct, requantize, write out."""
        place = self.occupancy(n_samples)
        taps, costs = self.layout.taps_per_lane, self.costs
        phases: Phases = {
            "filter_load": self._filter_load(place),
            "input_stream": self._input_stream(place, n_samples),
            "mac": self._compute(place, taps * costs.multiply_accumulate),
            "reduction": self._compute(place, costs.reduction, moves=costs.moves),
        }
        phases["mac"]["mac_exec"] = (
            n_samples * self.shape.n_convolutions * self.shape.in_channels * self.shape.n_taps
        )
        if self.correction is not None:
            phases["window_sum"] = self._window_sum(n_samples)
        return phases | self._epilogue_phases(place, n_samples)

    @staticmethod
    def _compute(place: Occupancy, steps: int, *, moves: int = 0) -> dict[str, int]:
        """Steps of every pass; `moves` of them are plain accesses."""
        phase = {
            "cycles": place.passes * steps,
            "sram_compute_cycle": place.array_passes * (steps - moves),
        }
        return phase | ({"sram_access_cycle": place.array_passes * moves} if moves else {})

    def _filter_load(self, place: Occupancy) -> dict[str, int]:
        """Filters come from DRAM through the transposer; a broadcast writes all copies of one."""
        filters = self.pool.spread(self.where, self.shape.out_channels, self.layout.n_lanes)
        rows = self.layout.taps_per_lane * self.weight_bits
        n_bytes = -(-self.shape.n_weights * self.weight_bits // 8)
        arrays = max(filters.array_passes, min(place.array_passes, self.pool.n_arrays))
        dram = -(-n_bytes // self.settings.transfer.dram_bytes_per_cycle)
        return {
            "cycles": max(dram, filters.passes * rows),
            "sram_access_cycle": arrays * rows,
            "dram_byte": n_bytes,
            "tmu_row": -(-self.shape.n_weights // self.pool.n_columns) * self.weight_bits,
            "bus_byte": n_bytes,
        }

    def _input_stream(self, place: Occupancy, n_samples: int) -> dict[str, int]:
        """Each pass writes the window's codes under the filters; filters of a pixel share them.

        Where the filters do not fit at once, every filling streams all windows again.
        """
        rows = self.layout.taps_per_lane * self.input_bits
        shape = self.shape
        window = shape.in_channels * shape.groups * shape.n_taps
        fillings = self.pool.spread(self.where, shape.out_channels, self.layout.n_lanes).passes
        n_bytes = -(-fillings * n_samples * shape.n_positions * window * self.input_bits // 8)
        return {
            "cycles": max(place.passes * rows, self.bus_cycles(n_bytes)),
            "sram_access_cycle": place.array_passes * rows,
            "bus_byte": n_bytes,
        }

    def _window_place(self, n_samples: int) -> Occupancy:
        n = n_samples * self.shape.n_positions * self.shape.groups
        return self.pool.spread(self.where, n, self.layout.n_lanes)

    def _window_sum(self, n_samples: int) -> dict[str, int]:
        """The sum of each window's raw codes, once for all filters, for the weight zero point."""
        taps, costs = self.layout.taps_per_lane, self.costs
        accesses = costs.moves + taps * self.input_bits
        steps = taps * (costs.accumulate + self.input_bits) + costs.reduction
        return self._compute(self._window_place(n_samples), steps, moves=accesses)

    def _epilogue_phases(self, place: Occupancy, n_samples: int) -> Phases:
        n_outputs = n_samples * self.shape.n_convolutions
        if not self.epilogue:
            return {"host": self._host(place, n_samples)}
        packed = self.settings.mapping.requantize_packing == "packed"
        lanes_each = 1 if packed else self.layout.n_lanes
        per_filter = n_samples * self.shape.n_positions
        work = [
            (self.pool.spread(self.where, per_filter * part.filters.size, lanes_each), part.program)
            for part in self.epilogue
        ]
        whole = Occupancy(
            sum(p.passes for p, _ in work), sum(p.array_passes for p, _ in work), 0, 0.0
        )
        return {
            "gather": self._gather(place, work, n_samples, packed=packed),
            "requantize": {
                "cycles": sum(p.passes * program.n_steps() for p, program in work),
                "sram_compute_cycle": sum(
                    p.array_passes * program.n_steps() for p, program in work
                ),
            },
            "output": self.output_phase(whole, n_outputs, self.output_bits),
        }

    def _host(self, place: Occupancy, n_samples: int) -> dict[str, int]:
        """Read the sums, carry the accumulators to the CPU, and codes back."""
        reads = self._sum_reads(place, n_samples)
        n_bits = n_samples * self.shape.n_convolutions * (self.accumulator_bits + self.output_bits)
        if self.correction is not None:
            n_windows = n_samples * self.shape.n_positions * self.shape.groups
            n_bits += n_windows * self.correction.window_bits
        n_bytes = -(-n_bits // 8)
        return {
            "cycles": sum(p.passes * bits for p, bits in reads) + self.bus_cycles(n_bytes),
            "sram_access_cycle": sum(p.array_passes * bits for p, bits in reads),
            "bus_byte": n_bytes,
        }

    def _sum_reads(self, place: Occupancy, n_samples: int) -> list[tuple[Occupancy, int]]:
        """Where sums, and window sums, lie and how many rows each has."""
        reads = [(place, self.final_bits)]
        if self.correction is not None:
            reads.append((self._window_place(n_samples), self.correction.window_bits))
        return reads

    def _gather(
        self,
        place: Occupancy,
        work: list[tuple[Occupancy, LaneProgram]],
        n_samples: int,
        *,
        packed: bool,
    ) -> dict[str, int]:
        """Read sums where they were made; write them and the constants where codes are made.

        In place the sums stay where they are; window sums and constants are written beside them.
        """
        moves = self._sum_reads(place, n_samples)[0 if packed else 1 :]
        for there, program in work:
            skip = () if packed else ("sum",)
            moves += [(there, bits) for name, bits in program.widths.items() if name not in skip]
        return {
            "cycles": sum(p.passes * bits for p, bits in moves),
            "sram_access_cycle": sum(p.array_passes * bits for p, bits in moves),
        }


@dataclass(frozen=True, slots=True)
class CachePlan:
    """All layers of a network."""

    layers: tuple[LayerPlan, ...]

    def table(self) -> list[dict[str, Any]]:
        """One row a layer, for one sample."""
        return [layer.row() for layer in self.layers]

    def totals(self) -> dict[str, Any]:
        """Nothing: layers follow each other on the same arrays, so only their cycles add up."""
        return {}

    @property
    def assumes(self) -> str:
        """Nothing: counts do not depend on the inputs."""
        return ""

    def counts(self, index: int, n_samples: int) -> Mapping[str, Mapping[str, int]]:
        """Closed-form counts of a layer for that many samples."""
        return self.layers[index].counts(n_samples)

    def placements(self, index: int) -> list[Placements]:
        """Raise ConfigError: filters come and go, none has a place of its own."""
        layer = self.layers[index]
        raise ConfigError(
            f"{layer.where}: need a machine whose weights stay where they are to show placements, "
            "got one that loads filters pass by pass; choose a machine with crossbars, or leave "
            "out --plot"
        )


STREAMING = ("filter_load", "input_stream", "output", "move")
"""Phases that move codes over the bus; the others compute."""
