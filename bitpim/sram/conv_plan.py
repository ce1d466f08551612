"""A convolution or linear layer laid out in lanes, and its closed-form counts.

The filter groups of a layer follow each other on the same arrays, in turn: each loads its filters,
streams its windows, multiplies and reduces in passes of its own. The sums of windows are made once
for all filters that use the same entries, side by side for those of a group with entries of their
own, and the codes of all groups go out together.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from bitpim.sram.filter_groups import FilterGroup, LaneSums
from bitpim.sram.lane_programs import WindowCorrection
from bitpim.sram.lanes import LaneProgram
from bitpim.sram.occupancy import Occupancy
from bitpim.sram.plan import LayerPlan, Phases, scale_phases
from bitpim.sram.transposed import ConvShape, LaneLayout

__all__ = ["ConvPlan", "EpiloguePlan", "GroupPlan", "WindowSum"]

Int64 = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class EpiloguePlan:
    """Filters of a group that share the program from sums to codes."""

    filters: Int64
    program: LaneProgram


@dataclass(frozen=True, slots=True)
class GroupPlan:
    """A filter group with what follows its sums."""

    group: FilterGroup
    n_streamed: int  # entries of all windows of a position that it needs
    correction: WindowCorrection | None
    epilogue: tuple[EpiloguePlan, ...]  # empty: the CPU requantizes


@dataclass(frozen=True, slots=True)
class WindowSum:
    """Sums of a window's raw codes over some entries, for the zero point of weights.

    A position needs `n_sets` sets of lanes, each with one sum, or with one behind each of `masks`.
    """

    sums: LaneSums
    n_sets: int
    bits: int
    masks: int = 0

    @property
    def steps(self) -> int:
        """Cycles of one sum, its inputs written once more."""
        taps, costs = self.sums.layout.taps_per_lane, self.sums.costs
        return taps * (costs.accumulate + self.sums.input_bits) + costs.reduction

    @property
    def accesses(self) -> int:
        """Of these, plain ones."""
        return self.sums.costs.moves + self.sums.layout.taps_per_lane * self.sums.input_bits


@dataclass(frozen=True, slots=True)
class ConvPlan(LayerPlan):
    """A convolution or linear layer in transposed layout, filter group by filter group.

    `window_of` finds the window sum of each filter, -1 where it needs none.
    """

    shape: ConvShape
    input_bits: int
    output_bits: int
    accumulator_bits: int
    parts: tuple[GroupPlan, ...]
    windows: tuple[WindowSum, ...]
    window_of: Int64

    def occupancy(self, n_samples: int) -> Occupancy:
        """The convolutions of a batch, group after group."""
        return self.pool.in_turn([self._place(part, n_samples) for part in self.parts])

    @property
    def index_bits(self) -> int:
        """Index bits of all groups."""
        return sum(part.group.index_bits for part in self.parts)

    def batch_phases(self, n_samples: int) -> Phases:
        """Load filters, stream windows, multiply, reduce, correct, requantize, write out."""
        phases = [self._group_phases(part, n_samples) for part in self.parts]
        places = [(self._window_place(window, n_samples), window) for window in self.windows]
        phases += [{"window_sum": _window_sum(place, window)} for place, window in places]
        phases.append(self._epilogue_phases(n_samples))
        return scale_phases([(1, one) for one in phases])

    # each group in its turn

    def _place(self, part: GroupPlan, n_samples: int) -> Occupancy:
        return self._spread_sets(n_samples * self.shape.n_positions, part.group)

    def _spread_sets(self, times: int, group: FilterGroup) -> Occupancy:
        """Place the sets of lanes of a group so many times; an array has those of one list."""
        if group.lists is None or group.lists.together == 1:
            return self._spread(times * group.n_lane_sets, group.layout)
        n_lists, n_lanes = group.lists.in_arrays(group.layout.n_lanes, self.pool.n_columns)
        return self.pool.spread(self.where, times * n_lists, n_lanes)

    def _spread(self, n_items: int, layout: LaneLayout) -> Occupancy:
        spread = self.pool.spread_across if layout.across_arrays else self.pool.spread
        return spread(self.where, n_items, layout.n_lanes)

    def _group_phases(self, part: GroupPlan, n_samples: int) -> Phases:
        group, place = part.group, self._place(part, n_samples)
        taps, costs = group.layout.taps_per_lane, group.sums.costs
        phases: Phases = {
            "filter_load": self._filter_load(group, place),
            "input_stream": self._input_stream(part, place, n_samples),
            "mac": _compute(place, taps * costs.multiply_accumulate),
            "reduction": _compute(place, costs.reduction, moves=costs.moves),
        }
        if group.masks:
            phases["reduction"]["masked_reduction"] = place.array_passes * group.masks
        phases["mac"]["mac_exec"] = n_samples * self.shape.n_positions * group.n_weights
        extra: list[Phases] = [
            {
                steps.phase: {
                    "cycles": place.passes * steps.cycles,
                    **{event: place.array_passes * n for event, n in steps.events.items()},
                }
            }
            for steps in group.extra
        ]
        return scale_phases([(1, one) for one in (phases, *extra)])

    def _filter_load(self, group: FilterGroup, place: Occupancy) -> dict[str, int]:
        """Filters come from DRAM through the transposer; a broadcast writes all copies of one."""
        bits = group.sums.weight_bits
        filters = self._spread_sets(1, group)
        rows = group.layout.taps_per_lane * bits + group.masks
        n_bytes = -(-(group.n_weights * bits + group.index_bits) // 8)
        arrays = max(filters.array_passes, min(place.array_passes, self.pool.n_arrays))
        dram = -(-n_bytes // self.settings.transfer.dram_bytes_per_cycle)
        return {
            "cycles": max(dram, filters.passes * rows),
            "sram_access_cycle": arrays * rows,
            "dram_byte": n_bytes,
            "tmu_row": -(-group.n_weights // self.pool.n_columns) * bits,
            "bus_byte": n_bytes,
        }

    def _input_stream(self, part: GroupPlan, place: Occupancy, n_samples: int) -> dict[str, int]:
        """Each pass writes the window's codes under the filters; filters of a pixel share them.

        Where the filters do not fit at once, every filling streams all windows again.
        """
        group = part.group
        rows = group.layout.taps_per_lane * self.input_bits
        fillings = self._spread_sets(1, group).passes
        n_codes = fillings * n_samples * self.shape.n_positions * part.n_streamed
        n_bytes = -(-n_codes * self.input_bits // 8)
        return {
            "cycles": max(place.passes * rows, self.bus_cycles(n_bytes)),
            "sram_access_cycle": place.array_passes * rows,
            "bus_byte": n_bytes,
        }

    # once for all groups

    def _window_place(self, window: WindowSum, n_samples: int) -> Occupancy:
        """The windows of a batch, in lanes."""
        n = n_samples * self.shape.n_positions * window.n_sets
        return self._spread(n, window.sums.layout)

    def _sum_reads(self, n_samples: int) -> list[tuple[Occupancy, int]]:
        """Where sums lie and how many rows they have."""
        return [
            (
                self._place(part, n_samples),
                part.group.sums.final_bits * max(part.group.masks, 1),
            )
            for part in self.parts
        ]

    def _window_reads(self, n_samples: int) -> list[tuple[Occupancy, int]]:
        return [
            (self._window_place(window, n_samples), window.bits * max(window.masks, 1))
            for window in self.windows
        ]

    def _epilogue_phases(self, n_samples: int) -> Phases:
        if not any(part.epilogue for part in self.parts):
            return {"host": self._host(n_samples)}
        packed = self.settings.mapping.requantize_packing == "packed"
        per_filter = n_samples * self.shape.n_positions
        work = []
        for part in self.parts:
            lanes_each = 1 if packed else part.group.layout.n_lanes
            for one in part.epilogue:
                n_items = per_filter * one.filters.size
                work.append((self.pool.spread(self.where, n_items, lanes_each), one.program))
        whole = self.pool.in_turn([place for place, _ in work])
        return {
            "gather": self._gather(work, n_samples, packed=packed),
            "requantize": {
                "cycles": sum(p.passes * program.n_steps() for p, program in work),
                "sram_compute_cycle": sum(
                    p.array_passes * program.n_steps() for p, program in work
                ),
            },
            "output": self.output_phase(
                whole, n_samples * self.shape.n_convolutions, self.output_bits
            ),
        }

    def _host(self, n_samples: int) -> dict[str, int]:
        """Read the sums, carry the accumulators to the CPU, and codes back."""
        reads = self._sum_reads(n_samples) + self._window_reads(n_samples)
        n_bits = n_samples * self.shape.n_convolutions * (self.accumulator_bits + self.output_bits)
        for window in self.windows:
            n_sums = window.n_sets * max(window.masks, 1)
            n_bits += n_samples * self.shape.n_positions * n_sums * window.bits
        n_bytes = -(-n_bits // 8)
        moved = _access(reads)
        return moved | {"cycles": moved["cycles"] + self.bus_cycles(n_bytes), "bus_byte": n_bytes}

    def _gather(
        self, work: Sequence[tuple[Occupancy, LaneProgram]], n_samples: int, *, packed: bool
    ) -> dict[str, int]:
        """Read sums where they were made; write them and the constants where codes are made.

        In place the sums stay where they are; window sums and constants are written beside them.
        """
        moves = self._window_reads(n_samples)
        if packed:
            moves += self._sum_reads(n_samples)
        for there, program in work:
            skip = () if packed else ("sum",)
            moves += [(there, bits) for name, bits in program.widths.items() if name not in skip]
        return _access(moves)


def _window_sum(place: Occupancy, window: WindowSum) -> dict[str, int]:
    phase = _compute(place, window.steps, moves=window.accesses)
    masked = {"masked_reduction": place.array_passes * window.masks} if window.masks else {}
    return phase | masked


def _compute(place: Occupancy, steps: int, *, moves: int = 0) -> dict[str, int]:
    """Steps of every pass; `moves` of them are plain accesses."""
    phase = {
        "cycles": place.passes * steps,
        "sram_compute_cycle": place.array_passes * (steps - moves),
    }
    return phase | ({"sram_access_cycle": place.array_passes * moves} if moves else {})


def _access(moves: Sequence[tuple[Occupancy, int]]) -> dict[str, int]:
    """Plain accesses: so many rows in every pass of each place."""
    return {
        "cycles": sum(place.passes * rows for place, rows in moves),
        "sram_access_cycle": sum(place.array_passes * rows for place, rows in moves),
    }
