"""Pruned filters on the cache as the hardware would do it: array by array, row by row.

As `cache_arrays`, but each set of lanes has channels of its own, which the inputs are gathered by,
and may serve several filters: they are reduced one after the other, each behind a row that says
which lanes it owns, or together in one tree over owners side by side.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from bitpim import programs
from bitpim.counts import Counts
from bitpim.programs.program import Field
from bitpim.sram.conv_plan import ConvPlan
from bitpim.sram.filter_groups import LaneSums
from bitpim.sram.subarray import Subarray
from bitpim_kernels import opcodes as op
from tests.naive.cache_arrays import PhaseCounts, add_counts

__all__ = ["IDLE", "LaneSet", "Work", "run_sets"]

Codes = npt.NDArray[np.int64]
IDLE = -1  # in the place of a set of lanes that holds nothing


@dataclass(frozen=True, eq=False)
class LaneSet:
    """What the lanes of a set take and hold.

    `source` (n_used, taps) are the entries they take, -1 for none; `weights` (n_used, taps) what
    they hold, or None where entries are summed; `owned` the lanes of each filter, side by side or
    behind masks.
    """

    source: Codes
    weights: Codes | None
    owned: tuple[Codes, ...]


@dataclass(frozen=True, eq=False)
class Work:
    """Sets at windows: item i is set `which[i]`, or idle, at `windows[i]`."""

    sets: Sequence[LaneSet]
    which: Codes
    windows: Codes
    masks: int  # rows that say what filters own
    together: int  # neighbours that an array holds with one list
    gathers: bool
    gather_cycles: int  # of a row


def run_sets(plan: ConvPlan, sums: LaneSums, work: Work) -> tuple[list[list[int]], PhaseCounts]:
    """Yield the sums of each item, one a filter of its set, and the counts."""
    pool, layout = plan.pool, sums.layout
    if layout.across_arrays:
        at_once = per_unit = pool.n_lanes // layout.n_lanes
        units = 1
    else:
        arrays_each = -(-layout.n_lanes // pool.n_columns)
        lists = {lanes.source.tobytes() for lanes in work.sets}
        copies = max(pool.n_columns // (layout.n_lanes * work.together), 1)
        per_unit = work.together * (1 if work.together > 1 and len(lists) > 1 else copies)
        units = pool.n_arrays // arrays_each
        at_once = per_unit * units
    outcomes: list[list[int]] = []
    counts: PhaseCounts = {}
    held: dict[int, list[int]] = {}
    for one_pass in _split(range(work.which.size), at_once):
        parts = []
        for place, items in enumerate(_split(one_pass, per_unit)):
            n_columns = len(items) * layout.n_lanes if layout.across_arrays else layout.n_lanes
            n_arrays = -(-n_columns // pool.n_columns)
            unit = _Unit(plan, sums, work, n_arrays)
            wanted = work.which[items].tolist()
            unit.load(items, new=held.get(place, [])[: len(wanted)] != wanted)
            held[place] = wanted
            outcomes += unit.sums_of(items)
            parts.append(unit.counts)
        _add_pass(counts, parts)
    return outcomes, counts


def _split(items: range, size: int) -> Iterator[range]:
    return (items[first : first + size] for first in range(0, len(items), size))


def _add_pass(counts: PhaseCounts, parts: list[PhaseCounts]) -> None:
    """Add the work of all arrays, and the cycles of one: they work in lock step."""
    for phase in {phase: None for part in parts for phase in part}:
        each = [part[phase] for part in parts if phase in part]
        work = sum(each, Counts()).to_dict()
        work["cycles"] = max(one["cycles"] for one in each)
        add_counts(counts, {phase: Counts(**work)})


class _Unit:
    """One array, or as many as one convolution spans, or as lie under neighbours across arrays."""

    def __init__(self, plan: ConvPlan, sums: LaneSums, work: Work, n_arrays: int) -> None:
        columns, rows = plan.pool.n_columns, sums.rows
        self.cells = Subarray(rows.n_rows, n_arrays * columns, array_cols=columns)
        self.settings, self.sums, self.layout, self.work = plan.settings, sums, sums.layout, work
        self.n_arrays = n_arrays
        self.places: list[int] = []  # the items, from the first lanes on
        self.counts: PhaseCounts = {}
        self.owner_row = rows.filter_rows
        self.inputs = self.owner_row + rows.owner_rows
        assert rows.owner_rows == work.masks
        scratch = Field("scratch", self.inputs + rows.input_rows, rows.product_rows)
        self.product = Field("product", scratch.start, sums.input_bits + sums.weight_bits)
        rest = scratch.stop - self.product.stop if sums.weight_bits else 0
        self.complement = Field("complement", self.product.stop, rest)
        self.total = Field("sum", scratch.stop + rows.moved_rows, sums.final_bits)
        assert self.total.stop == rows.used <= rows.n_rows

    def act(self, phase: str, what: Callable[..., None], *operands: Any) -> None:
        self.cells.counts = Counts()
        what(*operands)
        self.counts[phase] = self.counts.get(phase, Counts()) + self.cells.counts

    def set_of(self, item: int) -> LaneSet | None:
        which = int(self.work.which[item])
        return None if which == IDLE else self.work.sets[which]

    # rows written

    def load(self, items: range, *, new: bool) -> None:
        """Filters are stationary: they are written only where they are new."""
        lists = {
            lanes.source.tobytes() for lanes in map(self.set_of, items) if lanes is not None
        }
        assert self.work.together == 1 or len(lists) == 1, "an array has one list"
        self.places = list(items)
        self.cells.counts = Counts()
        for tap in range(self.layout.taps_per_lane) if self.sums.weight_bits else ():
            held = self._columns(items, lambda lanes, _, t=tap: _weights(lanes)[:, t])
            self.cells.write_codes(self._weight(tap), held)
        for owner in range(self.work.masks):
            mask = self._columns(items, lambda lanes, _, o=owner: _owns(lanes, o))
            self.cells.write_codes(Field("owner", self.owner_row + owner, 1), mask)
        if new and self.sums.weight_bits:
            self.counts["filter_load"] = self.cells.counts

    def _columns(self, items: range, of: Callable[[LaneSet, int], Codes]) -> Codes:
        """Yield a code a column; idle lanes hold 0."""
        columns = np.zeros(self.cells.n_cols, np.int64)
        for place, item in enumerate(items):
            lanes = self.set_of(item)
            if lanes is not None:
                codes = of(lanes, item)
                first = place * self.layout.n_lanes
                columns[first : first + codes.size] = codes
        return columns

    def _weight(self, tap: int) -> Field:
        return Field("w", tap * self.sums.weight_bits, self.sums.weight_bits)

    def _input(self, tap: int) -> Field:
        bits, resident = self.sums.input_bits, tap % self.sums.rows.input_taps
        return Field("x", self.inputs + resident * bits, bits)

    def _stream(self, items: range, taps: range) -> None:
        """Bring each lane the inputs of its channel."""

        def taken(lanes: LaneSet, item: int, tap: int) -> Codes:
            entry, window = lanes.source[:, tap], self.work.windows[item]
            return np.array([window[e] if e >= 0 else 0 for e in entry], np.int64)

        for tap in taps:
            codes = self._columns(items, lambda lanes, item, t=tap: taken(lanes, item, t))
            self.cells.write_codes(self._input(tap), codes)
        if self.work.gathers:
            n_rows = len(taps) * self.sums.input_bits
            self.cells.counts += Counts(
                gather_row=n_rows * self.n_arrays, cycles=n_rows * self.work.gather_cycles
            )

    # what lanes compute

    def sums_of(self, items: range) -> list[list[int]]:
        taps = range(self.layout.taps_per_lane)
        for resident in _split(taps, self.sums.rows.input_taps):
            self.act("input_stream", self._stream, items, resident)
            for tap in resident:
                self.act("mac", self._multiply if self.sums.weight_bits else self._accumulate, tap)
        if self.work.masks:
            return self._masked_sums(items)
        for level in range(self.layout.n_levels):
            self.act("reduction", self._reduce, level, self.total)
        return [self._side_by_side(place, item) for place, item in enumerate(items)]

    def _side_by_side(self, place: int, item: int) -> list[int]:
        """Read the sums of one item's filters from the first lane of each."""
        lanes, sums = self.set_of(item), self._read(self.total)
        if lanes is None:
            return []
        first = place * self.layout.n_lanes
        return [int(sums[first + own[0]]) if own.size else 0 for own in lanes.owned]

    def _masked_sums(self, items: range) -> list[list[int]]:
        outcomes: list[list[int]] = [[] for _ in items]
        copied = Field("copied", self.inputs, self.sums.final_bits)  # over the inputs
        for owner in range(self.work.masks):
            self.act("reduction", self._copy_owned, owner, copied)
            for level in range(self.layout.n_levels):
                self.act("reduction", self._reduce, level, copied)
            self.counts["reduction"] += Counts(masked_reduction=self.n_arrays)
            sums = self._read(copied)[:: self.layout.n_lanes]
            for place, item in enumerate(items):
                lanes = self.set_of(item)
                if lanes is not None and owner < len(lanes.owned):
                    outcomes[place].append(int(sums[place]))
        return outcomes

    def _copy_owned(self, owner: int, to: Field) -> None:
        """Copy the sums of the lanes that a filter owns; those of others become 0."""
        mask = self.owner_row + owner
        self.cells.step(op.TAG_LOAD, mask)
        grows = self.settings.mapping.reduction_bits == "grow"
        for bit in range(self.sums.sum_bits if grows else self.sums.final_bits):
            self.cells.step(op.AND, self.total[bit].row, mask, dst=to[bit].row)

    def _read(self, field: Field) -> Codes:
        counts = self.cells.counts
        codes = self.cells.read_codes(field)
        self.cells.counts = counts
        return codes

    def _multiply(self, tap: int) -> None:
        x, w = self._input(tap), self._weight(tap)
        total = self.total[: self.sums.sum_bits]
        signed: dict[str, Any] = {}
        if len(self.complement):
            signed = {"w_signed": True, "a_complement": self.complement, "to_unsigned": True}
        if tap:
            self.cells.run(programs.multiply_accumulate(x, w, self.product, total, **signed))
        else:
            self.cells.run(programs.multiply(x, w, self.product, **signed))
            self._start(self.product, total)

    def _accumulate(self, tap: int) -> None:
        total = self.total[: self.sums.sum_bits]
        if tap:
            self.cells.run(programs.accumulate(self._input(tap), total))
        else:
            self._start(self._input(tap), total)

    def _start(self, x: Field, total: Field) -> None:
        """Store where later taps add: as many steps, and no row needs to be cleared before."""
        self.cells.step(op.CARRY_RESET)
        self.cells.run(programs.copy(x, total[: len(x)]))
        self.cells.run(programs.load_constant(0, total[len(x) :]))

    def _reduce(self, level: int, of: Field) -> None:
        mapping = self.settings.mapping
        distance = (1 << self.layout.n_levels) >> (level + 1)
        grows = mapping.reduction_bits == "grow"
        width = self.sums.sum_bits + level if grows else self.sums.final_bits
        start = of.stop if of.start == self.inputs else self.inputs
        moved = Field("moved", start, width)  # over the inputs, which are spent
        assert moved.stop <= self.total.start
        move = self.settings.timing.move_cycles_per_bit
        self.cells.shift_columns(of[:width], moved, distance, cycles_per_bit=move)
        self._hide(moved, self._joined(distance))
        self._reset_carry(counted=not grows)
        self.cells.run(programs.reduction_step(of[: width + grows], moved))

    def _joined(self, distance: int) -> npt.NDArray[np.bool_]:
        """Tell which lanes have their partner in the sum that they belong to."""
        columns, n_lanes = self.cells.n_cols, self.layout.n_lanes
        sum_of = np.full(columns + distance, -1)
        for first in range(0, columns - n_lanes + 1, n_lanes):
            place = first // n_lanes
            item = self.places[place] if place < len(self.places) else None
            lanes = None if item is None else self.set_of(item)
            if lanes is None or self.layout.segment_lanes is None:
                sum_of[first : first + n_lanes] = first
                continue
            for own in lanes.owned:
                sum_of[first + own] = first + own[:1]
        return np.asarray(
            (sum_of[:columns] >= 0) & (sum_of[:columns] == sum_of[distance : distance + columns])
        )

    def _hide(self, moved: Field, joined: npt.NDArray[np.bool_]) -> None:
        """Let lanes without a partner receive 0, as the move does."""
        counts = self.cells.counts
        bits = self.cells.read_rows(moved.start, moved.width)
        bits[:, ~joined] = 0
        self.cells.write_rows(moved.start, bits)
        self.cells.counts = counts

    def _reset_carry(self, *, counted: bool) -> None:
        """Clear the carry latch; no cycle is counted where one stores the carry."""
        counts = self.cells.counts
        self.cells.step(op.CARRY_RESET)
        if not counted:
            self.cells.counts = counts


def _weights(lanes: LaneSet) -> Codes:
    assert lanes.weights is not None
    return lanes.weights


def _owns(lanes: LaneSet, owner: int) -> Codes:
    mask = np.zeros(lanes.source.shape[0], np.int64)
    if owner < len(lanes.owned):
        mask[lanes.owned[owner]] = 1
    return mask
