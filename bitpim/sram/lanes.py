"""A program run on as many lanes as there are, block by block: many arrays in lock step as one.

A `LaneProgram` is a program with named operands. Lanes come in groups of whole words; an operand
is given for each lane, for each group, or the same in every group, and the rows of a block of
groups are filled just before the program runs, so that they are still in the cache.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from threading import local
from typing import Any

import numpy as np
import numpy.typing as npt

from bitpim.programs.program import Field, Program, need_family
from bitpim_kernels import opcodes as op
from bitpim_kernels.bitline import BLOCK_WORDS, aligned_rows, run_program
from bitpim_kernels.layout import codes_to_planes, planes_to_codes
from bitpim_kernels.windows import fill_chosen_rows, fill_outer_rows, fill_vector_rows

__all__ = [
    "LaneBlock",
    "LaneProgram",
    "Operand",
    "by_lane",
    "chosen",
    "everywhere",
    "outer",
    "own_block",
]

_WHOLE_WORD = np.uint64(0xFFFFFFFFFFFFFFFF)

Words = npt.NDArray[np.uint64]


@dataclass(frozen=True, slots=True)
class LaneProgram:
    """A program, which of its fields are operands, and which holds the result.

    With `each`, the operand `x` is streamed: `start` runs once, `each` after every new `x`, then
    `program`, if there is one, which shares the rows.
    """

    program: Program | None
    inputs: tuple[str, ...]
    output: Field
    signed: bool = False  # the result is two's complement
    start: Program | None = None
    each: Program | None = None
    n_rows: int = field(init=False)
    """Rows of the largest of its programs."""

    def __post_init__(self) -> None:
        parts = [part for part in (self.start, self.each, self.program) if part is not None]
        for part in parts:
            need_family(part, op.SRAM, "LaneProgram")
        object.__setattr__(self, "n_rows", max(part.n_rows for part in parts))

    @property
    def widths(self) -> dict[str, int]:
        """Rows of each operand that is filled before the last program runs."""
        return {name: self.program.field(name).width for name in self.inputs if self.program}

    def n_steps(self, n_streamed: int = 0) -> int:
        """Cycles, with that many streamed operands."""
        once = sum(part.n_steps for part in (self.start, self.program) if part is not None)
        return once + (n_streamed * self.each.n_steps if self.each is not None else 0)


@dataclass(frozen=True, slots=True)
class Operand:
    """Values of one operand; made by `chosen`, `outer`, `everywhere` or `by_lane`."""

    how: str
    values: npt.NDArray[Any]
    which: npt.NDArray[np.int64] | None = None


def chosen(planes: Words, which: npt.NDArray[np.int64]) -> Operand:
    """Bit-planes (n_sets, bits, words); group g takes set which[g]."""
    return Operand("chosen", planes, which)


def outer(codes: npt.NDArray[np.int64]) -> Operand:
    """One code a group, the same in all its lanes."""
    return Operand("outer", codes)


def everywhere(planes: Words) -> Operand:
    """Bit-planes (bits, words) repeated in every group."""
    return Operand("everywhere", planes)


def by_lane(codes: npt.NDArray[Any]) -> Operand:
    """One code a lane, of all groups in turn; lanes beyond the last code hold 0."""
    return Operand("by_lane", codes)


class LaneBlock:
    """Rows, latches and result of a block of groups; reused from block to block by one thread."""

    def __init__(self, n_rows: int, n_words: int) -> None:
        self.n_words = n_words
        self._words = aligned_rows(n_rows, n_words).reshape(-1)
        self._words[:] = 0
        self._latches = np.zeros(2 * n_words, np.uint64)

    def holds(self, n_rows: int, n_words: int) -> bool:
        """Tell whether programs of so many rows fit, over so many words."""
        return n_words <= self.n_words and n_rows * n_words <= self._words.size

    def run(
        self,
        program: LaneProgram,
        n_groups: int,
        group_words: int,
        operands: Mapping[str, Operand],
        out: npt.NDArray[Any],
        streamed: Sequence[Operand] = (),
    ) -> None:
        """Run a program on `n_groups` groups and write the codes of its output.

        Shapes
        ------
        out
            (n_groups * group_words * 64,) of an integer dtype that holds the output's codes.
        """
        n_words = n_groups * group_words
        rows = self._words[: program.n_rows * n_words].reshape(program.n_rows, n_words)
        carry = self._latches[:n_words]
        tag = self._latches[self.n_words : self.n_words + n_words]
        carry[:] = 0
        tag[:] = 0

        def run(part: Program) -> None:
            # a copy, since Numba compiles once more for an array that may not be written
            run_program(part.table.copy(), rows, carry, tag, _WHOLE_WORD, BLOCK_WORDS)

        def fill(part: Program, name: str, operand: Operand) -> None:
            field = part.field(name)
            _fill(operand, rows[field.start : field.stop], n_groups, group_words)

        if program.start is not None:
            run(program.start)
        if program.each is not None:
            for operand in streamed:
                fill(program.each, "x", operand)
                run(program.each)
        if program.program is not None:
            for name in program.inputs:
                fill(program.program, name, operands[name])
            run(program.program)
        planes = rows[program.output.start : program.output.stop]
        planes_to_codes(planes, program.signed, out)


class _Own(local):
    """What each thread keeps from run to run."""

    block: LaneBlock | None = None


_own = _Own()


def own_block(n_rows: int, n_words: int) -> LaneBlock:
    """Yield the block of this thread, made anew where it is too small."""
    if _own.block is None or not _own.block.holds(n_rows, n_words):
        _own.block = LaneBlock(n_rows, n_words)
    return _own.block


def _fill(operand: Operand, rows: Words, n_groups: int, group_words: int) -> None:
    if operand.how == "outer":
        fill_outer_rows(operand.values, rows.shape[0], group_words, rows)
    elif operand.how == "by_lane":
        codes_to_planes(operand.values, rows)
    elif operand.how == "everywhere":
        rows[operand.values.shape[0] :] = 0
        fill_vector_rows(operand.values, n_groups, rows)
    else:
        fill_chosen_rows(operand.values, operand.which, rows)
