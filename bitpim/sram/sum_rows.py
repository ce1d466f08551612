"""Which rows of an array hold what while lanes make sums, and the steps of a tap on these rows."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from bitpim import programs
from bitpim.errors import ConfigError
from bitpim.programs.program import Field, Program
from bitpim.sram.filter_groups import LaneSums
from bitpim_kernels import opcodes as op
from bitpim_traces.program_trace.records import RowField

__all__ = ["SumRows", "tap_steps"]

Steps = npt.NDArray[np.int32]


@dataclass(frozen=True, slots=True)
class SumRows:
    """The rows of lanes that make sums, from the first on.

    Filters, what owners have, the inputs that are resident, what a tap writes besides, partners'
    sums, and the sum. Once the inputs are spent, the reduction writes over them and what follows.
    """

    sums: LaneSums

    def weight(self, tap: int) -> Field:
        """What is held of a tap's weight."""
        bits = self.sums.weight_bits
        return Field(f"w{tap}", tap * bits, bits)

    def owned(self, owner: int) -> Field:
        """The row that says which lanes an owner has."""
        return Field(f"owned{owner}", self.sums.rows.filter_rows + owner, 1)

    @property
    def spent(self) -> int:
        """The first row that the reduction may write over."""
        return self.sums.rows.filter_rows + self.sums.rows.owner_rows

    def place(self, tap: int) -> Field:
        """The input of a tap; taps that are not resident together share rows."""
        bits, resident = self.sums.input_bits, tap % self.sums.rows.input_taps
        return Field(f"x{resident}", self.spent + resident * bits, bits)

    @property
    def scratch(self) -> tuple[Field, ...]:
        """What a tap writes besides its sum."""
        start, found = self.spent + self.sums.rows.input_rows, []
        for field in self.sums.tap.fields:
            if field.name not in ("x", "w", "sum"):
                found.append(Field(field.name, start, field.width))
                start += field.width
        return tuple(found)

    @property
    def total(self) -> Field:
        """The sum, as wide as it becomes."""
        rows = self.sums.rows
        start = self.spent + rows.input_rows + rows.product_rows + rows.moved_rows
        return Field("sum", start, self.sums.final_bits)

    @property
    def copied(self) -> Field:
        """The sums of the lanes that an owner has, over the inputs."""
        return Field("copied", self.spent, self.sums.final_bits)

    def moved(self, of: Field, width: int) -> Field:
        """Where partners' sums come to lie: over the inputs, or behind the copy there."""
        return Field("moved", of.stop if of.start == self.spent else self.spent, width)

    def fields(self) -> tuple[RowField, ...]:
        """All of them by name; those written over others come after them."""
        taps = range(self.sums.layout.taps_per_lane)
        named = [self.weight(tap) for tap in taps if self.sums.weight_bits]
        named += [self.owned(owner) for owner in range(self.sums.rows.owner_rows)]
        named += [self.place(tap) for tap in taps[: self.sums.rows.input_taps]]
        named += [*self.scratch, self.total]
        of = self.copied if self.sums.rows.owner_rows else self.total
        if self.sums.layout.n_levels:
            named += [self.copied] if self.sums.rows.owner_rows else []
            named.append(self.moved(of, self.sums.final_bits))
        return tuple(RowField(field.name, field.start, field.width) for field in named)


def tap_steps(rows: SumRows, tap: int) -> Steps:
    """Return the steps of a tap. The first writes where the others add, so nothing is cleared.

    Raises
    ------
    ConfigError
        It is a tap of a rule of somebody's own, of which it is not known how the first begins.
    """
    sums = rows.sums
    table = _readdressed(rows, tap)
    if tap:
        return table
    name = sums.tap.name
    if name not in _ADDED:
        raise ConfigError(
            f"tile: need taps of {', '.join(_ADDED)} to be recorded, got {name!r}; take a machine "
            "of bitpim's own"
        )
    scratch = {field.name: field for field in (rows.place(0), *rows.scratch)}
    added = scratch[_ADDED[name]]
    total = rows.total[: sums.sum_bits]
    if name in _BY_SIGN:
        return _first_by_sign(rows, added, total, masked=name == "add_by_sign_and_mask")
    before = table[: len(table) - (sums.sum_bits + 1)]  # what comes before sums are added
    step = np.array([(op.CARRY_RESET, *_NO_ROWS, op.ALWAYS)], np.int32)
    return np.concatenate([before, step, *_stored(added, total)])


_NO_ROWS = (op.NO_ROW,) * 3
_BY_SIGN = ("add_by_sign", "add_by_sign_and_mask")
_ADDED = {
    "multiply_accumulate": "product",
    "accumulate": "x0",
    "count_agreements": "scratch",
    "add_by_sign": "scratch",
    "add_by_sign_and_mask": "scratch",
}
"""What each tap adds to the sum."""


def _readdressed(rows: SumRows, tap: int) -> Steps:
    """Return the steps of the group's tap on the rows of one of its taps."""
    program: Program = rows.sums.tap
    places = {"x": rows.place(tap), "w": rows.weight(tap), "sum": rows.total}
    places |= {field.name: field for field in rows.scratch}
    moved = np.full(program.n_rows, op.NO_ROW, np.int32)
    for field in program.fields:
        start = places[field.name].start
        moved[field.start : field.stop] = np.arange(start, start + field.width)
    table = program.table.copy()
    addresses = table[:, 1:4]
    table[:, 1:4] = np.where(addresses == op.NO_ROW, op.NO_ROW, moved[addresses])
    return table


def _stored(added: Field, total: Field) -> list[Steps]:
    n_rows = total.stop
    copied = programs.copy(added, total[: len(added)], n_rows=n_rows).table
    return [copied, programs.load_constant(0, total[len(added) :], n_rows=n_rows).table]


def _first_by_sign(rows: SumRows, added: Field, total: Field, *, masked: bool) -> Steps:
    """Store x, or 2^n - x; a lane without a weight stores 0, masked by AND, row by row."""
    x, w = rows.place(0), rows.weight(0)
    sign, steps = w[-1].row, []
    for bit, row in enumerate(added):
        steps.append((op.XOR, x[bit].row, sign, row.row))
        if masked:
            steps.append((op.AND, row.row, w[0].row, row.row))
    steps.append((op.CARRY_SET, *_NO_ROWS))
    steps.append((op.ADD_ROW, sign, op.NO_ROW, op.NO_ROW))
    steps += [(op.ADD_ROW, row.row, op.NO_ROW, total[bit].row) for bit, row in enumerate(added)]
    steps.append((op.CARRY_STORE, op.NO_ROW, op.NO_ROW, total[len(added)].row))
    table = np.array([(*step, op.ALWAYS) for step in steps], np.int32)
    rest = programs.load_constant(0, total[len(added) + 1 :], n_rows=total.stop).table
    return np.concatenate([table, rest])
