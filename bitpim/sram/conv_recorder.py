"""Tiles of a convolution or linear layer: sums, sums of windows, and codes made of them."""

from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from bitpim.digital.windows import window_of
from bitpim.recorded import RecordedTile, TileName, need_tile
from bitpim.sram.conv_plan import ConvPlan
from bitpim.sram.lane_sets import FilterSets, LaneSet, LaneSets, WindowSets
from bitpim.sram.literal_lanes import LanePhases, LiteralLanes
from bitpim.sram.literal_sums import LiteralSums, SumColumns
from bitpim.sram.passes import LanePlace, SumPlace, lane_places, sum_places
from bitpim.sram.sum_operands import SumOperands
from bitpim.sram.tile_names import items_told
from bitpim.sram.weighted_layer import WeightedLayer
from bitpim.sram.window_entries import WindowEntries
from bitpim_traces.records import LayerRecord, Quantization

__all__ = ["ConvRecorder"]

Codes = npt.NDArray[Any]
Int64 = npt.NDArray[np.int64]


class ConvRecorder:
    """A layer laid out by its plan, ready to be executed literally, one sample, tile by tile."""

    def __init__(self, layer: LayerRecord, quantization: Quantization, plan: ConvPlan) -> None:
        self._plan, self._layer = plan, WeightedLayer.of(layer, quantization, plan.settings)
        codes = self._layer.codes()
        per_conv_group = plan.shape.out_channels // plan.shape.groups
        self._filters = [
            FilterSets(part.group, codes, plan.pool, per_conv_group) for part in plan.parts
        ]
        self._windows = [WindowSets(plan, i, self._filters) for i in range(len(plan.windows))]
        works = [(part.group.layout.n_lanes, one) for part in plan.parts for one in part.epilogue]
        # as they are scheduled: the longest first
        self._works = sorted(works, key=lambda work: -work[1].program.n_steps())
        self._packed = plan.settings.mapping.requantize_packing == "packed"
        self._window = window_of(layer.geometry, layer.input_shapes[0])
        self._codes = codes

    # which tiles there are

    @cached_property
    def _tiles(self) -> list[tuple[int, SumPlace | LanePlace]]:
        """Places in the plan's order: groups, then window sums, then codes, numbered so."""
        n_positions, pool = self._plan.shape.n_positions, self._plan.pool
        found: list[tuple[int, SumPlace | LanePlace]] = []
        for number, sets in enumerate(self._all_sets):
            found += [(number, place) for place in sum_places(pool, sets, n_positions)]
        in_turn = self._plan.settings.mapping.requantize_schedule == "in_turn"
        sizes = [
            (n_positions * one.filters.size, 1 if self._packed else lanes)
            for lanes, one in self._works
        ]
        return found + [(-1, place) for place in lane_places(pool, sizes, in_turn=in_turn)]

    @property
    def _all_sets(self) -> list[LaneSets]:
        return [*self._filters, *self._windows]

    def tiles(self) -> Sequence[TileName]:
        """All tiles of a sample: sums of each group, sums of windows, then codes."""
        return [
            TileName(number, self._told(which, place))
            for number, (which, place) in enumerate(self._tiles)
        ]

    def _told(self, which: int, place: SumPlace | LanePlace) -> str:
        where = f"pass {place.number_of_pass}, array {place.array}"
        if isinstance(place, LanePlace):
            filters, positions = self._outputs(place)
            return f"requantize, {where}: {self._items_told(filters, positions)}"
        n_groups = len(self._filters)
        what = f"group {which}" if which < n_groups else f"window sums {which - n_groups}"
        served_filters: list[int] = []
        at: list[int] = []
        sets = self._all_sets[which]
        for index, position, _ in _slots(sets, place):
            for served in sets.serves(index):
                served_filters += served.tolist()
                at += [position] * served.size
        stay = ", filters in place" if place.in_place and which < n_groups else ""
        told = self._items_told(np.array(served_filters, np.int64), np.array(at, np.int64))
        return f"{what}, {where}{stay}: {told}"

    def _items_told(self, filters: Int64, positions: Int64) -> str:
        return items_told(filters, positions, self._window.cols)

    def _outputs(self, place: LanePlace) -> tuple[Int64, Int64]:
        """Return filter and position of each item: filters of a position are neighbours."""
        filters = self._works[place.work][1].filters
        position, which = np.divmod(np.array(place.items, np.int64), filters.size)
        return filters[which], position

    # what they do

    def record(self, tile: int, inputs: Sequence[Codes], *, after: str = "end") -> RecordedTile:
        """Execute a tile, step by step, and write down all that happens.

        Raises
        ------
        ConfigError
            There is no such tile.
        """
        need_tile(self._plan.where, tile, len(self._tiles))
        which, place = self._tiles[tile]
        image = self._layer.inputs.encode(inputs[0])[0]
        windows = WindowEntries(
            image.reshape(image.shape[0], self._window.height, self._window.width),
            self._window,
            int(self._layer.inputs.zero_point[0]),
            self._layer.shape.in_channels,
        )
        if isinstance(place, LanePlace):
            return self._record_codes(place, windows, after)
        return self._record_sums(which, place, windows, after)

    def _record_sums(
        self, which: int, place: SumPlace, windows: WindowEntries, after: str
    ) -> RecordedTile:
        sets, settings = self._all_sets[which], self._plan.settings
        held = [(sets.lanes(i), position, first) for i, position, first in _slots(sets, place)]
        columns = self._columns(sets, held, windows)
        in_place = place.in_place or which >= len(self._filters)
        literal = LiteralSums(sets.sums, settings, columns, in_place=in_place, after=after)
        found = literal.run(read=self._rows_read(which), read_in=self._read_in)
        sums, outputs = [], []
        for lanes, position, first in held:
            for owner, (own, served) in enumerate(zip(lanes.owned, lanes.serves, strict=True)):
                row, column = (owner, first) if sets.masks else (0, first + int(own[0]))
                sums += [found[row, column]] * served.size
                outputs += [(f, position) for f in served.tolist()]
        places = self._places(np.array(outputs, np.int64).reshape(-1, 2))
        program = literal.finish(self._told(which, place))
        is_whole = which < len(self._filters)
        return RecordedTile(
            program, np.array(sums, np.int64), places, is_whole, _seen(held, windows)
        )

    def _columns(
        self, sets: LaneSets, held: list[tuple[LaneSet, int, int]], windows: WindowEntries
    ) -> SumColumns:
        """Lay what sets take and hold in the columns of as many arrays as they need."""
        layout, n_columns = sets.sums.layout, self._plan.pool.n_columns
        last = max((first for _, _, first in held), default=0) + layout.n_lanes
        shape = (layout.taps_per_lane, -(-last // n_columns) * n_columns)
        inputs, weights = np.zeros((2, *shape), np.int64)
        owned = np.zeros((sets.masks, shape[1]), np.bool_)
        sum_of = np.full(shape[1], -1)
        low = (1 << sets.sums.input_bits) - 1
        for lanes, position, first in held:
            mine = slice(first, first + lanes.source.shape[0])
            if lanes.conv_group >= 0:
                codes = windows.at(position, lanes.conv_group, lanes.source)
                inputs[:, mine] = (codes & low).T
            if lanes.weights is not None:
                weights[:, mine] = lanes.weights.T
            for owner, own in enumerate(lanes.owned):
                sum_of[first + own] = first + own[0]
                if sets.masks:
                    owned[owner, first + own] = True
        side_by_side = layout.segment_lanes is not None
        holds = sets.sums.weight_bits > 0
        return SumColumns(
            inputs, weights if holds else None, owned, sum_of if side_by_side else None
        )

    @property
    def _read_in(self) -> str:
        return "gather" if self._works else "host"

    def _rows_read(self, which: int) -> int:
        """Rows of a sum that are read; none where codes are made of it where it is."""
        n_groups = len(self._filters)
        if which >= n_groups:
            return self._plan.windows[which - n_groups].bits
        if self._works and not self._packed:
            return 0
        return self._filters[which].sums.final_bits

    def _record_codes(self, place: LanePlace, windows: WindowEntries, after: str) -> RecordedTile:
        lanes, one = self._works[place.work]
        lanes = 1 if self._packed else lanes
        filters, positions = self._outputs(place)
        operands = self._operands.of(windows, filters, positions)
        n_columns = self._plan.pool.n_columns
        columns = np.arange(filters.size) * lanes
        n_all = -(-(int(columns[-1]) + lanes) // n_columns) * n_columns
        spread = {name: _spread(operands[name], columns, n_all) for name in one.program.inputs}
        stay = {} if self._packed else {"sum": spread.pop("sum")}
        phases = LanePhases("gather", "requantize")
        literal = LiteralLanes(one.program, self._plan.settings, n_all, phases, stay, after=after)
        codes = literal.run([], spread)[columns]
        places = self._places(np.stack([filters, positions], axis=1))
        program, takes_sums_alone = literal.finish(self._told(-1, place)), np.zeros(0, np.int64)
        return RecordedTile(program, codes, places, True, takes_sums_alone)

    @cached_property
    def _operands(self) -> SumOperands:
        return SumOperands(self._layer, self._codes, self._plan)

    def _places(self, outputs: Int64) -> Int64:
        """Return sample and coordinate of (filter, position) pairs."""
        filters, positions = outputs.T
        shape = self._layer.record.output_shape
        place = [np.zeros_like(filters), filters]
        if len(shape) == 3:
            place += [*np.divmod(positions, self._window.cols)]
        return np.stack(place, axis=1)


def _slots(sets: LaneSets, place: SumPlace) -> Iterator[tuple[int, int, int]]:
    """Yield each set of lanes of a place, its position, and its first column."""
    beside = max(len(block) for block in sets.blocks)
    n_lanes = sets.sums.layout.n_lanes
    for item, (block, position) in enumerate(place.items):
        for slot, index in enumerate(sets.blocks[block]):
            yield index, position, (item * beside + slot) * n_lanes


def _seen(held: list[tuple[LaneSet, int, int]], windows: WindowEntries) -> Int64:
    """Return the elements of the input that sets of lanes take."""
    found = [np.zeros(0, np.int64)]
    for lanes, position, _ in held:
        if lanes.conv_group >= 0:
            entries = np.unique(lanes.source[lanes.source >= 0])
            found.append(windows.elements(position, lanes.conv_group, entries))
    met = np.unique(np.concatenate(found))
    return met[met >= 0]


def _spread(values: Int64, columns: Int64, n_columns: int) -> Int64:
    out = np.zeros(n_columns, np.int64)
    out[columns] = values
    return out
