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

__all__ = ["BEYOND", "IN_TURN", "TOGETHER", "add_last", "sum_trees"]

BEYOND = 8
"""Words that a list has beyond its last, which a level may read and overwrite."""

IN_TURN = 4
"""Trees that take turns, level by level, so that none waits for what it has just written."""

TOGETHER = 16
"""Sums whose last additions are made together."""

Ints = npt.NDArray[np.int64]
Words = npt.NDArray[np.uint64]

_ONE = np.uint64(1)


def _nor(x: Any, y: Any) -> Any:
    return ~(x | y)


def _full_adder(x: Any, y: Any, z: Any, nor: Any = _nor) -> tuple[Any, Any]:
    """Return sum and carry of three words, bit by bit, by nine NORs."""
    both = nor(x, y)
    same = nor(nor(x, both), nor(y, both))
    neither = nor(same, z)
    total = nor(nor(same, neither), nor(neither, z))
    return total, nor(both, neither)


def sum_trees(
    words: Words, n: int, n_words: Ints, n_ones: Ints, spare: Words, last: Words, levels: Ints
) -> None:
    """Add the words of each of n lines, level by level until two are left, and some ones.

    Of every level's words, word i is added to words ``i + n // 3`` and ``i + 2 * (n // 3)``: sums
    come first, then carries one place higher, then what is left over. A carry word has nothing in
    its lowest place, so a one goes there, first come, first served; one that finds no carry word is
    left to the carry in of the last addition.

    The caller sees to it that of n words there are ``max(0, n - 2) + 1`` ones at most.

    Shapes
    ------
    words: (lines, most words + BEYOND or more) is overwritten; lines are a multiple of IN_TURN,
        and those from n on have no words, but may be written as the others are
    n_words, n_ones: (lines,)
    spare: (IN_TURN, most words + BEYOND or more) is overwritten
    last: (3, lines) is written: two words, 0 where there are fewer, and the carry in
    levels: (lines,) is written
    """
    for line in range(n):
        source, target = words[line], spare[line % IN_TURN]
        left, ones, n_levels = int(n_words[line]), int(n_ones[line]), 0
        while left > 2:
            third = left // 3
            total, carry = _full_adder(*source[: 3 * third].reshape(3, third))
            placed = min(ones, third)
            target[:third] = total
            target[third : 2 * third] = carry << _ONE
            target[third : third + placed] |= _ONE
            target[2 * third : left - third] = source[3 * third : left]
            source, target = target, source
            left, ones, n_levels = left - third, ones - placed, n_levels + 1
        last[:, line] = 0
        last[:left, line] = source[:left]
        last[2, line] = ones
        levels[line] = n_levels


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
def _sum_trees(
    words: Any, n: Any, n_words: Any, n_ones: Any, spare: Any, last: Any, levels: Any
) -> Any:
    def emit(context: Any, b: Any, *args: Any) -> None:
        step = constant(IN_TURN)
        with cgutils.for_range_slice(b, constant(0), args[1], step, I64) as (first, _):
            lines = [b.add(first, constant(i)) for i in range(IN_TURN)]
            begins = [
                (
                    address(context, b, words, args[0], line, 0),
                    address(context, b, spare, args[4], i, 0),
                    b.load(address(context, b, n_words, args[2], line)),
                    b.load(address(context, b, n_ones, args[3], line)),
                    constant(0),
                )
                for i, line in enumerate(lines)
            ]
            for line, found in zip(lines, _emit_trees(b, begins), strict=True):
                for row, word in enumerate(found[:3]):
                    b.store(word, address(context, b, last, args[5], row, line))
                b.store(found[3], address(context, b, levels, args[6], line))

    return types.void(words, _LONG, n_words, n_ones, spare, last, levels), emit


def _emit_trees(b: Any, begins: list[tuple[Any, ...]]) -> list[tuple[Any, Any, Any, Any]]:
    """Emit trees in turn, level by level; return of each two words, ones left, and levels."""
    variables = [[cgutils.alloca_once_value(b, value) for value in begin] for begin in begins]
    head, body, end = (b.append_basic_block(name) for name in ("head", "body", "end"))
    b.branch(head)
    b.position_at_end(head)
    most = constant(0)
    for _, _, n, _, _ in variables:
        left = b.load(n)
        most = b.select(b.icmp_signed(">", left, most), left, most)
    b.cbranch(b.icmp_signed(">", most, constant(2)), body, end)
    b.position_at_end(body)
    for state in variables:
        found = _emit_level(b, *(b.load(variable) for variable in state))
        for variable, value in zip(state, found, strict=True):
            b.store(value, variable)
    b.branch(head)
    b.position_at_end(end)
    return [_emit_end(b, *(b.load(variable) for variable in state)) for state in variables]


def _emit_end(
    b: Any, source: Any, _: Any, n: Any, n_ones: Any, n_levels: Any
) -> tuple[Any, Any, Any, Any]:
    first, second = (
        b.select(
            b.icmp_signed(">", n, constant(i)), b.load(b.gep(source, [constant(i)])), constant(0)
        )
        for i in range(2)
    )
    return first, second, n_ones, n_levels


def _emit_level(b: Any, source: Any, target: Any, n: Any, n_ones: Any, n_levels: Any) -> list[Any]:
    """Emit a level, and what the next one begins with.

    It goes from the last register to the first: what one has too much is overwritten later. Two
    words or fewer are copied.
    """
    lanes = _words(b, _REGISTER)
    third = b.udiv(n, constant(3))
    second = b.shl(third, constant(1))
    carries = b.gep(target, [third])
    step = constant(-_REGISTER)
    begin = b.and_(b.sub(third, constant(1)), constant(-_REGISTER))
    with cgutils.for_range_slice(b, begin, constant(-1), step, I64, inc=False) as (i, _):
        x, y, z = (
            lanes.load(b.gep(source, [place])) for place in (i, b.add(i, third), b.add(i, second))
        )
        total, carry = _full_adder(x, y, z, _emit_nor(b))
        lanes.store(total, b.gep(target, [i]))
        lanes.store(b.shl(carry, lanes.all(1)), b.gep(carries, [i]))
    rest = lanes.load(b.gep(source, [b.add(second, third)]))
    lanes.store(rest, b.gep(target, [second]))
    placed = b.select(b.icmp_signed("<", n_ones, third), n_ones, third)
    with cgutils.for_range(b, placed) as loop:
        place = b.gep(carries, [loop.index])
        b.store(b.or_(b.load(place), constant(1)), place)
    is_level = b.zext(b.icmp_signed(">", n, constant(2)), I64)
    return [target, source, b.sub(n, third), b.sub(n_ones, placed), b.add(n_levels, is_level)]


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
