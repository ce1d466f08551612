"""Sums of lanes made literally: filters loaded, inputs streamed, taps, moves and adds, sums read.

All that the arrays of one tile do in one pass, step by step, in the rows that the plan gives them.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from bitpim import programs
from bitpim.programs.program import Field
from bitpim.recorded import Recording
from bitpim.sram.filter_groups import LaneSums
from bitpim.sram.settings import CacheSettings
from bitpim.sram.stepped import (
    MOVE,
    MOVE_AND_CLEAR,
    MOVE_WHERE,
    MOVE_WHERE_AND_CLEAR,
    PORT_READ,
    PORT_WRITE,
    SteppedSubarray,
)
from bitpim.sram.sum_rows import SumRows, tap_steps
from bitpim_kernels import opcodes as op
from bitpim_kernels.layout import from_planes, pack, to_planes
from bitpim_traces.program_trace.records import ProgramTrace

__all__ = ["LiteralSums", "SumColumns", "array_parameters", "rows_from_port", "rows_to_port"]

Int64 = npt.NDArray[np.int64]
Words = npt.NDArray[np.uint64]


@dataclass(frozen=True, slots=True, eq=False)
class SumColumns:
    """What lies in the columns of arrays that make sums.

    Attributes
    ----------
    inputs : (taps, n_columns), what each lane takes at each tap
    weights : (taps, n_columns), what it holds; None where inputs alone are summed
    owned : (masks, n_columns), which lanes each owner of a set has, behind rows of masks
    sum_of : (n_columns,) which sum a lane belongs to, -1 for none, where several lie side by side
        in one tree; None where each tree makes one
    """

    inputs: Int64
    weights: Int64 | None
    owned: npt.NDArray[np.bool_]
    sum_of: Int64 | None = None


class LiteralSums:
    """The arrays of one tile, in lock step, in one pass.

    Parameters
    ----------
    sums : what lanes do
    columns : what lies in them; their number is a multiple of the columns of an array
    in_place : filters and what owners have lie there from before and are not loaded
    after : after which steps the state is kept
    """

    def __init__(
        self,
        sums: LaneSums,
        settings: CacheSettings,
        columns: SumColumns,
        *,
        in_place: bool = False,
        after: str = "end",
    ) -> None:
        self.sums, self.settings, self.columns = sums, settings, columns
        self.rows = SumRows(sums)
        self._n_columns = columns.inputs.shape[1]
        parameters = array_parameters(settings, self._n_columns)
        array = SteppedSubarray(**parameters)
        held = self._held()
        if in_place:
            rows = array.view("rows").copy()
            for field, planes in held:
                rows[field.start : field.stop] = planes
            array.load("rows", rows)
        self._to_load = [] if in_place else held
        self.recording = Recording(array, parameters, after=after)

    def _held(self) -> list[tuple[Field, Words]]:
        held = []
        for tap, codes in enumerate(() if self.columns.weights is None else self.columns.weights):
            field = self.rows.weight(tap)
            held.append((field, to_planes(codes, field.width)))
        for owner, lanes in enumerate(self.columns.owned):
            held.append((self.rows.owned(owner), pack(lanes)[None]))
        return held

    def run(self, *, read: int, read_in: str) -> Int64:
        """Take all steps; return the sums that were read, or lie there, (n_owners or 1, n_columns).

        Of each sum so many rows are read, in a phase of that name; 0 where sums stay.
        """
        if self._to_load:
            self.recording.mark("filter_load")
            for field, planes in self._to_load:
                rows_from_port(self.recording, field, planes)
        n_taps, resident = self.sums.layout.taps_per_lane, self.sums.rows.input_taps
        for first in range(0, n_taps, resident):
            taps = range(first, min(first + resident, n_taps))
            self._stream(taps)
            for tap in taps:
                self.recording.mark(f"mac: tap {tap}")
                self.recording.steps(tap_steps(self.rows, tap))
        if not len(self.columns.owned):
            self._reduce(self.rows.total, "")
            return self._read(self.rows.total, read, read_in, "")[None]
        found = []
        for owner in range(len(self.columns.owned)):
            self._copy_owned(owner)
            self._reduce(self.rows.copied, f" of owner {owner}")
            found.append(self._read(self.rows.copied, read, read_in, f" of owner {owner}"))
        return np.array(found)

    def _stream(self, taps: range) -> None:
        self.recording.mark(f"input_stream: taps {taps[0]} to {taps[-1]}")
        for tap in taps:
            field = self.rows.place(tap)
            rows_from_port(self.recording, field, to_planes(self.columns.inputs[tap], field.width))

    def _copy_owned(self, owner: int) -> None:
        """Copy the sums of the lanes that an owner has; those of others become 0."""
        mask, total, copied = self.rows.owned(owner).start, self.rows.total, self.rows.copied
        grows = self.settings.mapping.reduction_bits == "grow"
        width = self.sums.sum_bits if grows else self.sums.final_bits
        steps = [(op.TAG_LOAD, mask, op.NO_ROW, op.NO_ROW)]
        steps += [(op.AND, total[bit].row, mask, copied[bit].row) for bit in range(width)]
        self.recording.mark(f"reduction: copy of owner {owner}")
        self.recording.steps(np.array([(*step, op.ALWAYS) for step in steps], np.int32))

    def _reduce(self, of: Field, whose: str) -> None:
        """Add partners' sums, level by level.

        A sum that grows stores its carry; then clearing it before takes no step of its own, since
        it falls into the move, which leaves the latches alone.
        """
        layout, grows = self.sums.layout, self.settings.mapping.reduction_bits == "grow"
        for level in range(layout.n_levels):
            distance = (1 << layout.n_levels) >> (level + 1)
            width = self.sums.sum_bits + level if grows else self.sums.final_bits
            moved = self.rows.moved(of, width)
            text = (
                f"reduction: level {level}{whose}, lanes {distance} apart, partners' sums in rows"
            )
            self.recording.mark(f"{text} {moved.start} to {moved.stop - 1}")
            self._move(of, moved, distance, clear=grows)
            if not grows:
                self.recording.step(op.CARRY_RESET)
            n_rows = self.settings.geometry.array_rows
            step = programs.reduction_step(of[: width + grows], moved, n_rows=n_rows)
            self.recording.steps(step.table)

    def _move(self, of: Field, to: Field, distance: int, *, clear: bool) -> None:
        sum_of = self.columns.sum_of
        plain, last, group = MOVE, MOVE_AND_CLEAR, self.sums.layout.n_lanes
        port = None
        if sum_of is not None:
            plain, last, group = MOVE_WHERE, MOVE_WHERE_AND_CLEAR, 0
            partner = np.full(sum_of.size, -1)
            partner[: max(sum_of.size - distance, 0)] = sum_of[distance:]
            port = np.repeat(pack((sum_of >= 0) & (sum_of == partner))[None], to.width, axis=0)
        steps = [(plain, of[bit].row, distance, to[bit].row, group) for bit in range(to.width)]
        if clear:
            steps[-1] = (last, *steps[-1][1:])
        self.recording.steps(np.array(steps, np.int32), port)

    def _read(self, field: Field, read: int, phase: str, whose: str) -> Int64:
        if not read:
            planes = self.recording.array.view("rows")[field.start : field.stop]
            return _codes(planes, self._n_columns)
        self.recording.mark(f"{phase}: read the sums{whose}")
        return _codes(rows_to_port(self.recording, field[:read]), self._n_columns)

    def finish(self, name: str) -> ProgramTrace:
        """Return what was recorded."""
        return self.recording.finish(name, self.rows.fields())


def _codes(planes: Words, n_columns: int) -> Int64:
    """Return numbers of rows, of which those beyond int64 are 0: no sum is so large."""
    codes: Int64 = from_planes(planes[:63], n_columns, False, np.int64)
    return codes


def array_parameters(settings: CacheSettings, n_columns: int) -> dict[str, Any]:
    """Return what makes arrays of so many columns in sum."""
    return {
        "n_rows": settings.geometry.array_rows,
        "n_columns": n_columns,
        "array_columns": settings.geometry.array_columns,
        "move_cycles": settings.timing.move_cycles_per_bit,
    }


def rows_from_port(recording: Recording, field: Field, planes: Words) -> None:
    """Write the rows of a field."""
    steps = [(PORT_WRITE, op.NO_ROW, op.NO_ROW, row.row, op.ALWAYS) for row in field]
    recording.steps(np.array(steps, np.int32).reshape(-1, 5), planes)


def rows_to_port(recording: Recording, field: Field) -> Words:
    """Read the rows of a field."""
    steps = [(PORT_READ, row.row, op.NO_ROW, op.NO_ROW, op.ALWAYS) for row in field]
    rows: Words = recording.steps(np.array(steps, np.int32).reshape(-1, 5))
    return rows
