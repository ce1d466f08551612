"""Run a program table over packed rows: the bit-line arithmetic of the `sram` logic family.

A step activates one or two rows, computes on bit-line and bit-line-bar, updates the carry and the
tag latch, and writes one row back, for all lanes at once. Here a block of lanes runs the whole
table before the next block is touched, so its rows stay in the cache.
"""

from typing import Any

import numba
import numpy as np
import numpy.typing as npt

from bitpim_kernels.jit import kernel
from bitpim_kernels.opcodes import (
    ADD,
    ADD_NOT,
    ADD_NOT_ONES,
    ADD_ONES,
    ADD_ROW,
    AND,
    CARRY_RESET,
    CARRY_SET,
    CARRY_STORE,
    COPY,
    IF_TAG,
    NAND,
    NO_ROW,
    NOR,
    NOT,
    ONE,
    OR,
    TAG_AND,
    TAG_AND_NOT,
    TAG_AND_XNOR,
    TAG_FROM_CARRY,
    TAG_FROM_NOT_CARRY,
    TAG_LOAD,
    TAG_LOAD_NOT,
    TAG_SET,
    TAG_STORE,
    XNOR,
    XOR,
    ZERO,
)

__all__ = ["BLOCK_WORDS", "run_program", "run_program_parallel"]

BLOCK_WORDS = 64
"""Words of a lane block by default: 4,096 lanes."""

Words = npt.NDArray[np.uint64]
Table = npt.NDArray[np.int32]
Word = Any  # np.uint64, jitted or not

_NONE = np.uint64(0)
_FULL = np.uint64(0xFFFFFFFFFFFFFFFF)


@kernel()
def _row_result(opcode: int, a: Word, b: Word, c: Word, t: Word) -> Word:
    """Return the word a step would write back."""
    if opcode == ADD:
        return a ^ b ^ c
    if opcode == AND:
        return a & b
    if opcode == NOR:
        return ~(a | b)
    if opcode == OR:
        return a | b
    if opcode == NAND:
        return ~(a & b)
    if opcode == XOR:
        return a ^ b
    if opcode == XNOR:
        return ~(a ^ b)
    if opcode == COPY:
        return a
    if opcode == NOT:
        return ~a
    if opcode in (ADD_ROW, ADD_NOT_ONES):
        return a ^ c
    if opcode in (ADD_ONES, ADD_NOT):
        return ~(a ^ c)
    if opcode == CARRY_STORE:
        return c
    if opcode == TAG_STORE:
        return t
    return _FULL if opcode == ONE else _NONE


@kernel()
def _next_carry(opcode: int, a: Word, b: Word, c: Word) -> Word:
    """Return the carry latch after a step."""
    if opcode == ADD:
        return (a & b) | ((a ^ b) & c)
    if opcode == ADD_ROW:
        return a & c
    if opcode == ADD_ONES:
        return a | c
    if opcode == ADD_NOT:
        return ~a & c
    if opcode == ADD_NOT_ONES:
        return ~a | c
    if opcode == CARRY_RESET:
        return _NONE
    if opcode == CARRY_SET:
        return _FULL
    return c


@kernel()
def _next_tag(opcode: int, a: Word, b: Word, c: Word, t: Word) -> Word:
    """Return the tag latch after a step."""
    if opcode == TAG_LOAD:
        return a
    if opcode == TAG_LOAD_NOT:
        return ~a
    if opcode == TAG_FROM_CARRY:
        return c
    if opcode == TAG_FROM_NOT_CARRY:
        return ~c
    if opcode == TAG_AND:
        return t & a
    if opcode == TAG_AND_NOT:
        return t & ~a
    if opcode == TAG_AND_XNOR:
        return t & ~(a ^ b)
    return _FULL if opcode == TAG_SET else t


@kernel()
def _run_block(table: Table, rows: Words, carry: Words, tag: Words, lo: int, hi: int) -> None:
    """Run all steps over the words [lo, hi)."""
    for step in range(table.shape[0]):
        opcode = table[step, 0]
        row_a, row_b = table[step, 1], table[step, 2]
        dst, predicate = table[step, 3], table[step, 4]
        for w in range(lo, hi):
            a = rows[row_a, w] if row_a != NO_ROW else _NONE
            b = rows[row_b, w] if row_b != NO_ROW else _NONE
            c, t = carry[w], tag[w]
            if dst != NO_ROW:
                result = _row_result(opcode, a, b, c, t)
                if predicate == IF_TAG:
                    result = (result & t) | (rows[dst, w] & ~t)
                rows[dst, w] = result
            carry[w] = _next_carry(opcode, a, b, c)
            tag[w] = _next_tag(opcode, a, b, c, t)


@kernel()
def _clear_padding(rows: Words, carry: Words, tag: Words, last_word: Word) -> None:
    """Zero the padding lanes of the last word of every row and latch."""
    last = rows.shape[1] - 1
    for row in range(rows.shape[0]):
        rows[row, last] &= last_word
    carry[last] &= last_word
    tag[last] &= last_word


@kernel()
def run_program(
    table: Table, rows: Words, carry: Words, tag: Words, last_word: Word, block_words: int
) -> None:
    """Run a program over all lanes in place, block after block, on one thread.

    Parameters
    ----------
    table : steps of the `sram` family, see `opcodes`
    rows, carry, tag : cells and latches, changed in place
    last_word : ones where the last word has lanes, ``layout.tail_mask(n_lanes)``
    block_words : words of one lane block; the rows of a block should fit the cache

    Shapes
    ------
    table: (n_steps, 5) int32
    rows: (n_rows, words), words >= 1
    carry, tag: (words,)

    Source: Neural Cache array primitive, papers.md 1.2.
    """
    n_words = rows.shape[1]
    for block in range((n_words + block_words - 1) // block_words):
        lo = block * block_words
        _run_block(table, rows, carry, tag, lo, min(lo + block_words, n_words))
    _clear_padding(rows, carry, tag, last_word)


@kernel(parallel=True)
def run_program_parallel(
    table: Table, rows: Words, carry: Words, tag: Words, last_word: Word, block_words: int
) -> None:
    """Run a program over all lanes in place, blocks spread over Numba's threads.

    Arguments and shapes as in `run_program`; blocks of lanes are disjoint.
    """
    n_words = rows.shape[1]
    for block in numba.prange((n_words + block_words - 1) // block_words):
        lo = block * block_words
        _run_block(table, rows, carry, tag, lo, min(lo + block_words, n_words))
    _clear_padding(rows, carry, tag, last_word)
