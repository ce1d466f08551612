"""Run a program table over packed rows: the bit-line arithmetic of the `sram` logic family.

A step activates one or two rows, computes on bit-line and bit-line-bar, updates the carry and the
tag latch, and writes one row back, for all lanes at once. Lanes do not see each other, so here a
chunk of 2,048 lanes runs the whole table, latches in registers, before the next is touched.

Rows of many lanes lie so far apart in memory that their chunks fight for the same few cache sets.
Such rows pass through a dense scratch block, `block_words` wide, of the rows the program touches;
unless it touches each about once, when the copies would cost more than they save.
"""

from typing import Any

import numpy as np
import numpy.typing as npt

from bitpim_kernels import opcodes as op
from bitpim_kernels.chunk import (
    CHUNK_WORDS,
    load_latch,
    load_row,
    ones,
    store_latch,
    store_row,
    zeros,
)
from bitpim_kernels.jit import kernel

__all__ = [
    "BLOCK_WORDS",
    "CHUNK_WORDS",
    "aligned_rows",
    "run_program",
    "run_program_share",
]

BLOCK_WORDS = 256
"""Words of a lane block unless said otherwise: 16,384 lanes. 2,048 lanes measured 0.75 as fast,
8,192 to 32,768 alike."""

_LINE_WORDS = 8  # one cache line; so many words after a scratch row spread rows over cache sets

Words = npt.NDArray[np.uint64]
Table = npt.NDArray[np.int32]
Slots = npt.NDArray[np.int64]
Word = Any  # np.uint64, jitted or not


@kernel()
def _run_chunk(table: Table, rows: Words, carry: Words, tag: Words, w: int) -> None:
    """Run all steps over a chunk; in one function, for between functions chunks go by memory."""
    c, t = load_latch(carry, w), load_latch(tag, w)
    for step in range(table.shape[0]):
        opcode = table[step, 0]
        dst = np.int64(table[step, 3])
        # a step without rows reads row 0 and drops it: cheaper than asking
        a = load_row(rows, max(np.int64(table[step, 1]), 0), w)
        b = load_row(rows, max(np.int64(table[step, 2]), 0), w)
        result = c  # CARRY_STORE
        if opcode == op.ADD:
            half = a ^ b
            result = half ^ c
            c = (a & b) | (half & c)
        elif opcode <= op.XNOR:
            if opcode <= op.ONE:
                result = zeros()
            elif opcode <= op.NOT:
                result = a
            elif opcode <= op.NAND:
                result = a & b
            elif opcode <= op.NOR:
                result = a | b
            else:
                result = a ^ b
            if opcode & 1:
                result = ~result
        elif opcode <= op.ADD_NOT_ONES:
            if opcode & 1:
                a = ~a
            result = a ^ c
            if opcode <= op.ADD_NOT:
                c = a & c
            else:
                result = ~result
                c = a | c
        elif opcode == op.TAG_STORE:
            result = t
        elif opcode == op.CARRY_RESET:
            c = zeros()
        elif opcode == op.CARRY_SET:
            c = ones()
        elif opcode >= op.TAG_SET:
            if opcode == op.TAG_AND_XNOR:
                a = a ^ b
            elif opcode == op.TAG_SET:
                a = zeros()
            elif opcode in (op.TAG_FROM_CARRY, op.TAG_FROM_NOT_CARRY):
                a = c
            if opcode & 1:
                a = ~a
            t = t & a if opcode >= op.TAG_AND else a
        if dst >= 0:
            if table[step, 4] == op.IF_TAG:
                result = (result & t) | (load_row(rows, dst, w) & ~t)
            store_row(rows, dst, w, result)
    store_latch(carry, w, c)
    store_latch(tag, w, t)


@kernel()
def _run_span(table: Table, rows: Words, carry: Words, tag: Words, first: int, last: int) -> None:
    """Run a program where the rows lie over the words [first, last), whole chunks."""
    for w in range(first, last, CHUNK_WORDS):
        _run_chunk(table, rows, carry, tag, w)


@kernel()
def _touched_rows(table: Table, n_rows: int) -> Slots:
    """Return one (row, needed before?, written?) for every row a program touches."""
    needed, written = np.zeros(n_rows, np.bool_), np.zeros(n_rows, np.bool_)
    for step in range(table.shape[0]):
        predicated = table[step, 4] == op.IF_TAG
        for column in range(1, 4):
            row = table[step, column]
            if row >= 0 and (column < 3 or predicated) and not written[row]:
                needed[row] = True
        if table[step, 3] >= 0:
            written[table[step, 3]] = True
    touched = np.flatnonzero(needed | written)
    slots = np.empty((touched.shape[0], 3), np.int64)
    for k in range(touched.shape[0]):
        slots[k, 0] = touched[k]
        slots[k, 1] = needed[touched[k]]
        slots[k, 2] = written[touched[k]]
    return slots


@kernel()
def _renumber(table: Table, slots: Slots, n_rows: int) -> Table:
    """Return the table with each row replaced by its place among the touched ones."""
    place = np.full(n_rows, op.NO_ROW, np.int32)
    for k in range(slots.shape[0]):
        place[slots[k, 0]] = k
    dense = table.copy()
    for step in range(table.shape[0]):
        for column in range(1, 4):
            if table[step, column] >= 0:
                dense[step, column] = place[table[step, column]]
    return dense


@kernel()
def _copy_words(
    source: Words, row: int, w: int, target: Words, to_row: int, to_w: int, n_words: int
) -> None:
    """Copy words of a row, whole chunks first."""
    whole = n_words - n_words % CHUNK_WORDS
    for k in range(0, whole, CHUNK_WORDS):
        store_row(target, to_row, to_w + k, load_row(source, row, w + k))
    for k in range(whole, n_words):
        target[to_row, to_w + k] = source[row, w + k]


@kernel()
def _copy_latch(source: Words, w: int, target: Words, to_w: int, n_words: int) -> None:
    """Copy words of a latch."""
    for k in range(n_words):
        target[to_w + k] = source[w + k]


@kernel()
def _run_blocks(
    table: Table,
    slots: Slots,
    rows: Words,
    carry: Words,
    tag: Words,
    scratch: Words,
    first: int,
    last: int,
) -> None:
    """Run a renumbered table over the blocks [first, last), each through the scratch rows.

    The last two scratch rows are the latches. Words of a chunk beyond the end of a row compute
    nonsense that is never copied back.
    """
    n_slots, block_words = slots.shape[0], scratch.shape[1] - _LINE_WORDS
    block_carry, block_tag = scratch[n_slots], scratch[n_slots + 1]
    for block in range(first, last):
        lo = block * block_words
        n_words = min(block_words, rows.shape[1] - lo)
        for k in range(n_slots):
            if slots[k, 1]:
                _copy_words(rows, slots[k, 0], lo, scratch, k, 0, n_words)
        _copy_latch(carry, lo, block_carry, 0, n_words)
        _copy_latch(tag, lo, block_tag, 0, n_words)
        for w in range(0, n_words, CHUNK_WORDS):
            _run_chunk(table, scratch, block_carry, block_tag, w)
        for k in range(n_slots):
            if slots[k, 2]:
                _copy_words(scratch, k, 0, rows, slots[k, 0], lo, n_words)
        _copy_latch(block_carry, 0, carry, lo, n_words)
        _copy_latch(block_tag, 0, tag, lo, n_words)


@kernel()
def _clear_padding(rows: Words, carry: Words, tag: Words, last_word: Word) -> None:
    """Zero the padding lanes in the last word of every row and latch."""
    last = rows.shape[1] - 1
    for row in range(rows.shape[0]):
        rows[row, last] &= last_word
    carry[last] &= last_word
    tag[last] &= last_word


@kernel()
def aligned_rows(n_rows: int, n_words: int) -> Words:
    """Return rows whose first word starts a cache line; what they hold is undefined.

    With a width that is a multiple of eight words no chunk touches a line more than it must, which
    makes programs on rows in the cache 1.4 times as fast.
    """
    flat = np.empty(n_rows * n_words + _LINE_WORDS, np.uint64)
    first = (-flat.ctypes.data // 8) % _LINE_WORDS
    return flat[first : first + n_rows * n_words].reshape(n_rows, n_words)


@kernel()
def _round_up(words: int) -> int:
    """Return the words of as many chunks as `words` words need."""
    return (words + CHUNK_WORDS - 1) // CHUNK_WORDS * CHUNK_WORDS


@kernel()
def _in_place(table: Table, slots: Slots, n_words: int) -> bool:
    """Return whether a program is so short that copying its rows would cost more than it saves."""
    return n_words % CHUNK_WORDS == 0 and table.shape[0] <= slots.shape[0]


@kernel()
def run_program(
    table: Table, rows: Words, carry: Words, tag: Words, last_word: Word, block_words: int
) -> None:
    """Run a program over all lanes in place, on one thread.

    Parameters
    ----------
    table : steps of the `sram` family, see `opcodes`
    rows, carry, tag : cells and latches, changed in place
    last_word : ones where the last word has lanes, ``layout.tail_mask(n_lanes)``
    block_words : words of one lane block; wider rows go through a scratch block of this width

    Shapes
    ------
    table: (n_steps, 5) int32
    rows: (n_rows, words), words >= 1, contiguous
    carry, tag: (words,)

    Source: Neural Cache array primitive.
    """
    n_words = rows.shape[1]
    if n_words == _round_up(min(n_words, block_words)):  # one block: nothing to share or stage
        _run_span(table, rows, carry, tag, 0, n_words)
        _clear_padding(rows, carry, tag, last_word)
    else:
        run_program_share(table, rows, carry, tag, last_word, block_words, 0, 1)


@kernel()
def run_program_share(
    table: Table,
    rows: Words,
    carry: Words,
    tag: Words,
    last_word: Word,
    block_words: int,
    share: int,
    n_shares: int,
) -> None:
    """Run a program over one of `n_shares` parts of the blocks in place, for one thread of several.

    Arguments and shapes as in `run_program`. Shares touch different words, so that threads may
    run them at once; all of them together are `run_program`.
    """
    n_words = rows.shape[1]
    width = _round_up(min(n_words, block_words))
    n_blocks = (n_words + width - 1) // width
    n_shares = min(n_shares, n_blocks)
    if share >= n_shares:
        return
    first, last = share * n_blocks // n_shares, (share + 1) * n_blocks // n_shares
    slots = _touched_rows(table, rows.shape[0])
    if _in_place(table, slots, n_words):
        _run_span(table, rows, carry, tag, first * width, min(last * width, n_words))
    else:
        dense = _renumber(table, slots, rows.shape[0])
        scratch = aligned_rows(slots.shape[0] + 2, width + _LINE_WORDS)
        _run_blocks(dense, slots, rows, carry, tag, scratch, first, last)
    if last == n_blocks:
        _clear_padding(rows, carry, tag, last_word)
