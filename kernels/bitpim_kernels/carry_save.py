"""Sums of many words by NOR gates: levels of 3:2 carry-save steps, and the add at the end.

A step is the full adder of nine NORs, on whole words: every bit of a word has its own. What a
word cannot hold is lost, so sums wrap at its width.

Each function is plain Python, and below is what a compiled kernel does in its place.

Source: the nine-NOR full adder of stateful logic (AritPIM).
"""

from typing import Any

import numpy as np
import numpy.typing as npt
from llvmlite import ir
from numba import types
from numba.core import cgutils

from bitpim_kernels.ir import I64, Lanes, address, constant, instead_of

__all__ = ["TOGETHER", "add_last", "sum_trees"]

TOGETHER = 16
"""Sums that are made together, a lane each."""

Words = npt.NDArray[np.uint64]

_ZERO, _ONE = np.uint64(0), np.uint64(1)


def _nor(x: Any, y: Any) -> Any:
    return ~(x | y)


def _full_adder(x: Any, y: Any, z: Any, nor: Any = _nor) -> tuple[Any, Any]:
    """Return sum and carry of three words, bit by bit, by nine NORs."""
    both = nor(x, y)
    same = nor(nor(x, both), nor(y, both))
    neither = nor(same, z)
    total = nor(nor(same, neither), nor(neither, z))
    return total, nor(both, neither)


def sum_trees(words: Words, start: int, n: int, last: Words, lane: int) -> None:
    """Add n words of each of TOGETHER lanes, level by level until two are left, and some ones.

    Of every level's words, word i is added to words ``i + n // 3`` and ``i + 2 * (n // 3)``: sums
    come first, then carries one place higher, then what is left over. A carry word has nothing in
    its lowest place, so a one goes there, first come, first served; one that finds no carry word is
    left to the carry in of the last addition.

    A lane with fewer words has zeros after them. Of k words it has ``max(0, k - 2) + 1`` ones at
    most; the caller sees to that.

    Shapes
    ------
    words: flat, of which n * TOGETHER from `start` on are overwritten: word i of all lanes, then
        word i + 1
    last: (3, lanes) rows 0 and 1 of these lanes, from `lane` on, become the two words, 0 where
        there are fewer; row 2 holds how many ones there are, and then the carry in
    """
    source = words[start : start + n * TOGETHER].reshape(n, TOGETHER)
    ones = last[2, lane : lane + TOGETHER]
    while n > 2:
        third = n // 3
        total, carry = _full_adder(*source[: 3 * third].reshape(3, third, TOGETHER))
        source[:third], source[third : 2 * third] = total, carry << _ONE
        source[2 * third : n - third] = source[3 * third : n].copy()
        source[third : 2 * third] |= np.arange(third, dtype=np.uint64)[:, None] < ones
        ones -= np.minimum(ones, np.uint64(third))
        n -= third
    last[:2, lane : lane + TOGETHER] = _ZERO
    last[:n, lane : lane + TOGETHER] = source[:n]


def add_last(last: Words, start: int, n_bits: int, out: Words) -> None:
    """Add rows 0 and 1 of `last`, with the carries in of row 2, in lanes start .. start + TOGETHER.

    All full adders of a word work at once, until no carry changes: a ripple of `n_bits` at most.
    Bits of `out` from `n_bits` on are undefined.

    Shapes
    ------
    last: (3, lanes)
    out: (lanes,)
    """
    left, right, carry_in = last[:, start : start + TOGETHER]
    carries = carry_in
    for _ in range(n_bits):
        total, carry = _full_adder(left, right, carries)
        out[start : start + TOGETHER] = total
        moved = (carry << _ONE) | carry_in
        if np.array_equal(moved, carries):
            break
        carries = moved


_LONG = types.int64
_REGISTER = 4


def _words(b: Any, n: int) -> Lanes:
    return Lanes(b, n, 64)


def _emit_nor(b: Any) -> Any:
    return lambda x, y: b.not_(b.or_(x, y))


@instead_of(sum_trees)
def _sum_trees(words: Any, start: Any, n: Any, last: Any, lane: Any) -> Any:
    def emit(context: Any, b: Any, *args: Any) -> None:
        base = address(context, b, words, args[0], args[1])
        ends = [address(context, b, last, args[3], row, args[4]) for row in range(3)]
        lanes, left = _words(b, TOGETHER), cgutils.alloca_once_value(b, args[2])
        head, body, end = (b.append_basic_block(name) for name in ("head", "body", "end"))
        b.branch(head)
        b.position_at_end(head)
        n_left = b.load(left)
        b.cbranch(b.icmp_signed(">", n_left, constant(2)), body, end)
        b.position_at_end(body)
        third = b.udiv(n_left, constant(3))
        _emit_level(b, base, n_left, third)
        _emit_ones(b, _row(b, base, third), third, ends[2])
        b.store(b.sub(n_left, third), left)
        b.branch(head)
        b.position_at_end(end)
        for i in range(2):
            is_there = b.icmp_signed(">", n_left, constant(i))
            word = cgutils.alloca_once_value(b, lanes.all(0))
            with b.if_then(is_there):
                b.store(lanes.load(_row(b, base, constant(i))), word)
            lanes.store(b.load(word), ends[i])

    return types.void(words, _LONG, _LONG, last, _LONG), emit


def _row(b: Any, base: Any, i: Any, first: int = 0) -> Any:
    """Emit the address of the words that are i-th of their lanes, from a lane on."""
    return b.gep(base, [b.add(b.mul(i, constant(TOGETHER)), constant(first))])


def _emit_level(b: Any, base: Any, n: Any, third: Any) -> None:
    lanes, second = _words(b, _REGISTER), b.shl(third, constant(1))
    with cgutils.for_range(b, third) as loop:
        places = [b.add(loop.index, offset) for offset in (constant(0), third, second)]
        for first in range(0, TOGETHER, _REGISTER):
            rows = [_row(b, base, place, first) for place in places]
            x, y, z = (lanes.load(row) for row in rows)
            total, carry = _full_adder(x, y, z, nor=_emit_nor(b))
            lanes.store(total, rows[0])
            lanes.store(b.shl(carry, lanes.all(1)), rows[1])
    beyond = b.add(second, third)
    with cgutils.for_range(b, b.sub(n, beyond)) as loop:
        for first in range(0, TOGETHER, _REGISTER):
            word = lanes.load(_row(b, base, b.add(beyond, loop.index), first))
            lanes.store(word, _row(b, base, b.add(second, loop.index), first))


def _emit_ones(b: Any, carries: Any, third: Any, ones: Any) -> None:
    """Emit ones in the lowest places of carry words, as many as there are of either."""
    lanes = _words(b, TOGETHER)
    with b.if_then(_any(b, lanes.load(ones))), cgutils.for_range(b, third) as loop:
        left = lanes.load(ones)
        placed = b.zext(b.icmp_unsigned("!=", left, lanes.all(0)), lanes.vector)
        place = b.gep(carries, [b.mul(loop.index, constant(TOGETHER))])
        lanes.store(b.or_(lanes.load(place), placed), place)
        lanes.store(b.sub(left, placed), ones)


@instead_of(add_last)
def _add_last(last: Any, start: Any, n_bits: Any, out: Any) -> Any:
    def emit(context: Any, b: Any, *args: Any) -> None:
        lanes = _words(b, TOGETHER)
        x, y, one = (
            lanes.load(address(context, b, last, args[0], row, args[1])) for row in range(3)
        )
        carries, total = lanes.variable(), lanes.variable()
        b.store(one, carries)
        with cgutils.for_range(b, args[2]) as loop:
            before = b.load(carries)
            found, carry = _full_adder(x, y, before, nor=_emit_nor(b))
            b.store(found, total)
            moved = b.or_(b.shl(carry, lanes.all(1)), one)
            b.store(moved, carries)
            with b.if_then(b.not_(_any(b, b.xor(moved, before)))):
                loop.do_break()
        lanes.store(b.load(total), address(context, b, out, args[3], args[1]))

    return types.void(last, _LONG, _LONG, out), emit


def _any(b: Any, vector: Any) -> Any:
    """Emit whether any bit of a vector is one."""
    name = f"llvm.vector.reduce.or.v{vector.type.count}i64"
    function = cgutils.get_or_insert_function(b.module, ir.FunctionType(I64, [vector.type]), name)
    return b.icmp_unsigned("!=", b.call(function, [vector]), constant(0))
