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
from bitpim_kernels.jit import kernel

__all__ = ["BEYOND", "TOGETHER", "add_last", "save_carries", "sum_trees"]

BEYOND = 8
"""Words that a list has beyond its last, which a level may read and overwrite."""

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


def save_carries(words: Words, line: int, n: int, out: Words) -> None:
    """Write two words for each three: sums, then carries one place higher, then what is left over.

    Of the n words of a line, word i is added to words ``i + n // 3`` and ``i + 2 * (n // 3)``;
    ``n - n // 3`` are written to the same line of `out`. Lines have BEYOND words more.
    """
    third = n // 3
    source, target = words[line], out[line]
    total, carry = _full_adder(*source[: 3 * third].reshape(3, third))
    target[:third] = total
    target[third : 2 * third] = carry << _ONE
    target[2 * third : n - third] = source[3 * third : n]


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


@kernel()
def sum_trees(
    words: Words, n_words: Ints, n_ones: Ints, spare: Words, last: Words, levels: Ints
) -> None:
    """Add the words of each line, level by level until two are left, and some ones.

    A carry word has nothing in its lowest place, so a one goes there, first come, first served; one
    that finds no carry word is left to the carry in of the last addition. The caller sees to it
    that no line has more than ``max(0, n - 2) + 1``.

    Lines take turns, level by level, so that none waits for what it has just written.

    Shapes
    ------
    words, spare: (lines, most words + BEYOND) both are overwritten
    n_words, n_ones, levels: (lines,) of which the first two are overwritten, the last is written
    last: (3, lines) is written: two words, 0 where there are fewer, and the carry in
    """
    n_lines = words.shape[0]
    for line in range(n_lines):
        levels[line] = 0
        _leave(words, line, n_words[line], n_ones[line], last)
    source, target = words, spare
    n_busy, level = n_lines, 0
    while n_busy:
        n_busy = 0
        level += 1
        for line in range(n_lines):
            n = n_words[line]
            if n <= 2:
                continue
            save_carries(source, line, n, target)
            third = n // 3
            placed = min(n_ones[line], third)
            for i in range(third, third + placed):
                target[line, i] |= _ONE
            n_ones[line] -= placed
            n_words[line] = n - third
            levels[line] = level
            n_busy += n - third > 2
            if n - third == 2:
                _leave(target, line, 2, n_ones[line], last)
        source, target = target, source


@kernel()
def _leave(words: Words, line: int, n: int, n_ones: int, last: Words) -> None:
    """Leave a line's first two words, or as many as there are, to the last addition."""
    last[0, line] = words[line, 0] if n > 0 else np.uint64(0)
    last[1, line] = words[line, 1] if n > 1 else np.uint64(0)
    last[2, line] = np.uint64(n_ones)


_LONG = types.int64
_REGISTER = 4


def _words(b: Any, n: int) -> Lanes:
    return Lanes(b, n, 64)


def _emit_nor(b: Any) -> Any:
    return lambda x, y: b.not_(b.or_(x, y))


@instead_of(save_carries)
def _save_carries(words: Any, line: Any, n: Any, out: Any) -> Any:
    """From the last register to the first: what a register has too much is overwritten later."""

    def emit(context: Any, b: Any, *args: Any) -> None:
        lanes = _words(b, _REGISTER)
        third = b.udiv(args[2], constant(3))
        source = address(context, b, words, args[0], args[1], 0)
        target = address(context, b, out, args[3], args[1], 0)
        second = b.shl(third, constant(1))
        sources = [source, b.gep(source, [third]), b.gep(source, [second])]
        carries = b.gep(target, [third])
        n_registers = b.udiv(b.add(third, constant(_REGISTER - 1)), constant(_REGISTER))
        with cgutils.for_range(b, n_registers) as loop:
            left = b.sub(b.sub(n_registers, constant(1)), loop.index)
            i = b.mul(left, constant(_REGISTER))
            total, carry = _full_adder(
                *(lanes.load(b.gep(place, [i])) for place in sources), nor=_emit_nor(b)
            )
            lanes.store(total, b.gep(target, [i]))
            lanes.store(b.shl(carry, lanes.all(1)), b.gep(carries, [i]))
        rest = lanes.load(b.gep(source, [b.add(second, third)]))
        lanes.store(rest, b.gep(target, [second]))

    return types.void(words, _LONG, _LONG, out), emit


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
