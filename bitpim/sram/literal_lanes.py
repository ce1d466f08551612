"""Programs of one lane an output element run literally: operands written, steps, codes read."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from bitpim.programs.program import Field, Program
from bitpim.recorded import Recording
from bitpim.sram.lanes import LaneProgram
from bitpim.sram.literal_sums import array_parameters, rows_from_port, rows_to_port
from bitpim.sram.settings import CacheSettings
from bitpim.sram.stepped import SteppedSubarray
from bitpim_kernels.layout import from_planes, to_planes
from bitpim_traces.program_trace.records import ProgramTrace, RowField

__all__ = ["LanePhases", "LiteralLanes"]

Int64 = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class LanePhases:
    """The phases that operands, steps and codes count for."""

    written: str
    program: str
    read: str = "output"


class LiteralLanes:
    """The arrays of one tile, which run a program on operands, a number a column.

    Parameters
    ----------
    program : the program
    n_columns : of all arrays
    phases : what marks are called
    in_place : operands that lie in their rows before
    after : after which steps the state is kept
    """

    def __init__(
        self,
        program: LaneProgram,
        settings: CacheSettings,
        n_columns: int,
        phases: LanePhases,
        in_place: Mapping[str, Int64],
        *,
        after: str = "end",
    ) -> None:
        self._program, self._n_columns, self._phases = program, n_columns, phases
        parameters = array_parameters(settings, n_columns)
        array = SteppedSubarray(**parameters)
        rows = array.view("rows").copy()
        for name, codes in in_place.items():
            assert program.program is not None
            field = program.program.field(name)
            rows[field.start : field.stop] = _planes(codes, field)
        array.load("rows", rows)
        self.recording = Recording(array, parameters, after=after)

    def run(self, streamed: Sequence[Int64], operands: Mapping[str, Int64]) -> Int64:
        """Take all steps on operands (n_columns,); return the codes that were read, (n_columns,).

        Of an operand as many low rows are written as it has.
        """
        program, phases = self._program, self._phases
        if program.start is not None:
            self._steps(f"{phases.program}: start", program.start)
        for number, codes in enumerate(streamed):
            assert program.each is not None
            self._write(f"element {number}", program.each.field("x"), codes)
            self._steps(f"{phases.program}: element {number}", program.each)
        if program.program is not None:
            for name, codes in operands.items():
                self._write(name, program.program.field(name), codes)
            self._steps(phases.program, program.program)
        self.recording.mark(f"{phases.read}: read the codes")
        planes = rows_to_port(self.recording, program.output)
        codes = from_planes(planes, self._n_columns, program.signed, np.int64)
        return np.asarray(codes)

    def _steps(self, mark: str, program: Program) -> None:
        self.recording.mark(mark)
        self.recording.steps(program.table)

    def _write(self, text: str, field: Field, codes: Int64) -> None:
        self.recording.mark(f"{self._phases.written}: {text}")
        rows_from_port(self.recording, field, _planes(codes, field))

    def finish(self, name: str) -> ProgramTrace:
        """Return what was recorded."""
        parts = (self._program.start, self._program.each, self._program.program)
        named = {field.name: field for part in parts if part is not None for field in part.fields}
        fields = (RowField(one.name, one.start, one.width) for one in named.values())
        return self.recording.finish(name, tuple(fields))


def _planes(codes: Int64, field: Field) -> npt.NDArray[np.uint64]:
    """Return the low rows of numbers, those that a field has."""
    width = field.width
    low = codes if width >= 64 else codes & ((1 << width) - 1)
    planes: npt.NDArray[np.uint64] = to_planes(low, width)
    return planes
