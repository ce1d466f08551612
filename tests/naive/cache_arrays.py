"""A convolution on Neural Cache as the hardware would do it: array by array, row by row.

Weights lie in the rows that the plan's row budget gives them, inputs are written pass by pass, the
tap programs run on the addresses of their tap, sums move sideways and are added, and the sum of
every convolution is read from its first lane. Slow, and counted by the arrays themselves.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from bitpim import programs
from bitpim.counts import Counts
from bitpim.programs.program import Field
from bitpim.sram.conv_plan import ConvPlan
from bitpim.sram.filter_groups import LaneSums
from bitpim.sram.lanes import LaneProgram
from bitpim.sram.subarray import Subarray
from bitpim_kernels import opcodes as op

__all__ = ["PhaseCounts", "add_counts", "run_lane_program", "run_lanes"]

Codes = npt.NDArray[np.int64]
PhaseCounts = dict[str, Counts]


def run_lanes(
    plan: ConvPlan,
    lane_sums: LaneSums,
    weights: Codes | None,
    windows: Codes,
    filters: Codes,
    *,
    read_bits: int | None = None,
) -> tuple[Codes, PhaseCounts]:
    """Run dot products: item i multiplies weights[filters[i]] and windows[i]; yield sums, counts.

    Without weights the codes of each window are summed. Of a sum all rows are read, or so many.
    """
    pool, n_lanes = plan.pool, lane_sums.layout.n_lanes
    arrays_each = -(-n_lanes // pool.n_columns)
    per_array = max(pool.n_columns // n_lanes, 1)
    arrays = [
        _Array(plan, lane_sums, arrays_each, read_bits, weighted=weights is not None)
        for _ in range(pool.n_arrays // arrays_each)
    ]
    sums: list[int] = []
    counts: PhaseCounts = {}
    for one_pass in _split(range(filters.size), per_array * len(arrays)):
        parts = list(zip(_split(one_pass, per_array), arrays, strict=False))
        for items, array in parts:
            array.counts = {}
            if weights is not None:
                array.load(filters[items], weights)
            sums += array.sums_of(windows[items])
        _add_pass(counts, [array.counts for _, array in parts])
    return np.array(sums, np.int64), counts


def _split(items: range, size: int) -> Iterator[range]:
    return (items[first : first + size] for first in range(0, len(items), size))


def _add_pass(counts: PhaseCounts, parts: list[PhaseCounts]) -> None:
    """Add the work of all arrays, and the cycles of one: they work in lock step."""
    for phase in {phase: None for part in parts for phase in part}:
        each = [part[phase] for part in parts if phase in part]
        work = sum(each, Counts()).to_dict()
        work["cycles"] = max(one["cycles"] for one in each)
        add_counts(counts, {phase: Counts(**work)})


def add_counts(counts: PhaseCounts, more: PhaseCounts) -> None:
    """Add the counts of what is done after."""
    for phase, events in more.items():
        counts[phase] = counts.get(phase, Counts()) + events


class _Array:
    """One array, or as many as a convolution of many channels spans."""

    def __init__(
        self,
        plan: ConvPlan,
        sums: LaneSums,
        n_arrays: int,
        read_bits: int | None,
        *,
        weighted: bool,
    ) -> None:
        columns, rows = plan.pool.n_columns, sums.rows
        self.cells = Subarray(rows.n_rows, n_arrays * columns, array_cols=columns)
        self.settings, self.sums, self.layout = plan.settings, sums, sums.layout
        self.weighted = weighted
        self.read_bits = sums.final_bits if read_bits is None else read_bits
        self.read = np.empty(0, np.int64)
        self.held: list[int] = []
        self.counts: PhaseCounts = {}
        self.inputs = rows.filter_rows
        self.product = Field("product", self.inputs + rows.input_rows, rows.product_rows)
        self.total = Field("sum", self.product.stop + rows.moved_rows, sums.final_bits)
        assert self.total.stop == rows.used <= rows.n_rows

    def act(self, phase: str, what: Callable[..., None], *operands: Any) -> None:
        self.cells.counts = Counts()
        what(*operands)
        self.counts[phase] = self.counts.get(phase, Counts()) + self.cells.counts

    def load(self, filters: Codes, weights: Codes) -> None:
        """Filters are stationary: they are written only where they are new."""
        if self.held[: filters.size] != filters.tolist():
            self.held = filters.tolist()
            self.act("filter_load", self._write, self._weight, weights[filters])

    def sums_of(self, windows: Codes) -> list[int]:
        taps = range(self.layout.taps_per_lane)
        for resident in _split(taps, self.sums.rows.input_taps):
            self.act("input_stream", self._write, self._input, windows, resident)
            for tap in resident:
                self.act("mac", self._multiply if self.weighted else self._accumulate, tap)
        for level in range(self.layout.n_levels):
            self.act("reduction", self._reduce, level)
        self.act("gather", self._read)
        first_lanes = self.read[:: self.layout.n_lanes]
        return [int(code) for code in first_lanes[: len(windows)]]

    def _read(self) -> None:
        self.read = self.cells.read_codes(self.total[: self.read_bits])

    def _weight(self, tap: int) -> Field:
        return Field("w", tap * self.sums.weight_bits, self.sums.weight_bits)

    def _input(self, tap: int) -> Field:
        bits, resident = self.sums.input_bits, tap % self.sums.rows.input_taps
        return Field("x", self.inputs + resident * bits, bits)

    def _write(
        self, place: Callable[[int], Field], codes: Codes, taps: range | None = None
    ) -> None:
        """Write the codes of each tap into its rows, each in the lane that the layout says."""
        source, n_lanes = self.layout.source, self.layout.n_lanes
        for tap in range(source.shape[1]) if taps is None else taps:
            columns = np.zeros(self.cells.n_cols, np.int64)
            for item, entries in enumerate(codes):
                for lane, entry in enumerate(source[:, tap]):
                    columns[item * n_lanes + lane] = entries[entry] if entry >= 0 else 0
            self.cells.write_codes(place(tap), columns)

    def _multiply(self, tap: int) -> None:
        x, w = self._input(tap), self._weight(tap)
        total = self.total[: self.sums.sum_bits]
        if self.sums.tap.name != "multiply_accumulate":
            self._add_without_product(x, w, total, first=tap == 0)
        elif tap:
            self.cells.run(programs.multiply_accumulate(x, w, self.product, total))
        else:
            self.cells.run(programs.multiply(x, w, self.product))
            self._start(self.product, total)

    def _add_without_product(self, x: Field, w: Field, total: Field, *, first: bool) -> None:
        """Run the tap of a group that multiplies nothing; the first writes what others add to."""
        name, cells = self.sums.tap.name, self.cells
        scratch = self.product[: self.sums.tap.field("scratch").width]
        if name == "count_agreements":
            padded = any(step[0] == op.AND for step in self.sums.tap.table.tolist())
            if not first:
                cells.run(programs.count_agreements(x, w, scratch, total, padded=padded))
                return
            cells.step(op.XOR, x[1].row, w[0].row, dst=scratch[0].row)
            if padded:
                cells.step(op.AND, scratch[0].row, x[0].row, dst=scratch[0].row)
            self._start(scratch, total)
            return
        masked = name == "add_by_sign_and_mask"
        if not first:
            program = programs.add_by_sign_and_mask if masked else programs.add_by_sign
            cells.run(program(x, w, scratch, total))
            return
        sign = w[-1].row
        for bit, row in enumerate(scratch):
            cells.step(op.XOR, x[bit].row, sign, dst=row.row)
            if masked:
                cells.step(op.AND, row.row, w[0].row, dst=row.row)
        cells.step(op.CARRY_SET)
        cells.step(op.ADD_ROW, sign)
        for bit, row in enumerate(scratch):
            cells.step(op.ADD_ROW, row.row, dst=total[bit].row)
        cells.step(op.CARRY_STORE, dst=total[len(scratch)].row)
        cells.run(programs.load_constant(0, total[len(scratch) + 1 :]))

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

    def _reduce(self, level: int) -> None:
        mapping, n_lanes = self.settings.mapping, self.layout.n_lanes
        distance = (1 << self.layout.n_levels) >> (level + 1)
        grows = mapping.reduction_bits == "grow"
        width = self.sums.sum_bits + level if grows else self.sums.final_bits
        moved = Field("moved", self.inputs, width)  # over the inputs, which are spent
        assert moved.stop <= self.total.start
        move = self.settings.timing.move_cycles_per_bit
        self.cells.shift_columns(self.total[:width], moved, distance, cycles_per_bit=move)
        lane = np.arange(self.cells.n_cols) % n_lanes
        self._hide(moved, lane + distance >= n_lanes)
        value = self.total[: width + grows]
        self._reset_carry(counted=not grows)
        self.cells.run(programs.reduction_step(value, moved))

    def _hide(self, moved: Field, where: npt.NDArray[np.bool_]) -> None:
        """Let lanes without a partner in their own convolution receive 0, as the move does."""
        counts = self.cells.counts
        bits = self.cells.read_rows(moved.start, moved.width)
        bits[:, where] = 0
        self.cells.write_rows(moved.start, bits)
        self.cells.counts = counts

    def _reset_carry(self, *, counted: bool) -> None:
        """Clear the carry latch; no cycle is counted where one stores the carry.

        It falls into the move, which leaves the latches alone.
        """
        counts = self.cells.counts
        self.cells.step(op.CARRY_RESET)
        if not counted:
            self.cells.counts = counts


def run_lane_program(
    program: LaneProgram, n_columns: int, operands: Mapping[str, Codes], stream: Sequence[Codes]
) -> tuple[Codes, Counts]:
    """Run a program array by array on operands, one lane an item; yield codes and counts.

    Stale bits lie in all rows when it starts.
    """
    rng = np.random.default_rng(program.n_rows)
    n_lanes = next(iter(operands.values())).size if operands else stream[0].size
    results = []
    counts = []
    for lanes in _split(range(n_lanes), n_columns):
        cells = Subarray(max(program.n_rows, 1), n_columns)
        cells.write_rows(0, rng.integers(0, 2, (cells.n_rows, n_columns), np.uint8))
        cells.counts = Counts()

        def write(field: Field, codes: Codes, lanes: range = lanes, to: Subarray = cells) -> None:
            padded = np.zeros(n_columns, np.int64)
            padded[: len(lanes)] = codes[lanes]
            to.write_codes(field, padded)

        if program.start is not None:
            cells.run(program.start)
        for codes in stream:
            assert program.each is not None
            write(program.each.field("x"), codes)
            cells.run(program.each)
        if program.program is not None:
            for name in program.inputs:
                write(program.program.field(name), operands[name])
            cells.run(program.program)
        results.append(cells.read_codes(program.output, signed=program.signed)[: len(lanes)])
        counts.append(cells.counts)
    return np.concatenate(results), sum(counts, Counts())
