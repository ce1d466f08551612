"""A block of rows of a content-addressable memory, in vector registers: its match lines, counted.

Rows are lanes. What one driven search line discharges is a row of `cells`, so a query is a list of
such rows: which match is their OR, and how many cells discharge is their sum, held as bit-planes of
a number in every lane. Sums are made by full adders of three whole registers, as a popcount of a
long vector is (Harley and Seal).

Each function is plain Python, and below is what a compiled kernel does in its place.
"""

from typing import Any

import numpy as np
import numpy.typing as npt
from llvmlite import ir
from numba import types
from numba.core import cgutils

from bitpim_kernels.ir import I64, Lanes, address, constant, instead_of, shape_of

__all__ = ["BLOCK_WORDS", "count_lines", "matching_rows", "rows_at_most"]

BLOCK_WORDS = 8
"""Words of a block."""

Ints = npt.NDArray[np.int64]
Lines = npt.NDArray[np.int32]
Words = npt.NDArray[np.uint64]

_ALL_ONES = np.uint64(0xFFFFFFFFFFFFFFFF)
_ZERO = np.uint64(0)


def matching_rows(
    cells: Words, at: int, lines: Lines, n_lines: int, rows: Words, out: Words
) -> bool:
    """Write which of the `rows` no listed line discharges; return whether there is any.

    Shapes
    ------
    cells: (lines, words) of which words `at` : `at` + BLOCK_WORDS are the block
    lines: (at least n_lines,) rows of `cells`
    rows, out: (BLOCK_WORDS,)
    """
    alive = rows.copy()
    for line in lines[:n_lines]:
        alive &= ~cells[line, at : at + BLOCK_WORDS]
    out[:] = alive
    return bool(alive.any())


def count_lines(
    cells: Words, at: int, lines: Lines, n_lines: int, planes: Words, n_planes: int
) -> None:
    """Write how many of the listed lines discharge each row, as bit-planes.

    The caller sees to it that `n_lines` is below ``2**n_planes``.

    Shapes
    ------
    cells, lines: as in `matching_rows`
    planes: (at least n_planes, BLOCK_WORDS)
    """
    planes[:n_planes] = _ZERO
    for line in lines[:n_lines]:
        carry = cells[line, at : at + BLOCK_WORDS].copy()
        for p in range(n_planes):
            planes[p], carry = planes[p] ^ carry, planes[p] & carry


def rows_at_most(planes: Words, n_planes: int, limit: int, rows: Words, out: Words) -> bool:
    """Write which of the `rows` have a number of at most `limit`; return whether there is any.

    `limit` is 0 or more, and has at most `n_planes` bits.
    """
    more = np.zeros(BLOCK_WORDS, np.uint64)
    for p in range(n_planes):
        more = more & planes[p] if (limit >> p) & 1 else more | planes[p]
    out[:] = rows & ~more
    return bool(out.any())


_GROUP = 16  # lines added at once: their carry goes to plane _LOW
_LOW = 4  # planes that stay in registers
_MOST_PLANES = 64
_LONG = types.int64
_MATCH_GROUP = 4  # lines between two looks at whether any row is left


def _lanes(builder: Any) -> Lanes:
    return Lanes(builder, BLOCK_WORDS, 64)


def _any(builder: Any, vector: Any) -> Any:
    """Emit whether any bit of a vector is one."""
    whole = ir.IntType(64 * BLOCK_WORDS)
    return builder.icmp_unsigned("!=", builder.bitcast(vector, whole), ir.Constant(whole, 0))


def _full_adder(b: Any, x: Any, y: Any, z: Any) -> tuple[Any, Any]:
    """Emit the sum and the carry of three vectors."""
    half = b.xor(x, y)
    return b.xor(half, z), b.or_(b.and_(x, y), b.and_(half, z))


class _Block:
    """Where the lines of a block lie."""

    def __init__(self, context: Any, b: Any, kinds: Any, cells: Any, at: Any, lines: Any) -> None:
        self.lanes = _lanes(b)
        self.base = address(context, b, kinds[0], cells, 0, at)
        self.stride = shape_of(context, b, kinds[0], cells)[1]
        self.lines = address(context, b, kinds[1], lines, 0)

    def load(self, i: Any) -> Any:
        """Emit the block's words of the i-th listed line."""
        b = self.lanes.builder
        line = b.sext(b.load(b.gep(self.lines, [i])), I64)
        return self.lanes.load(b.gep(self.base, [b.mul(line, self.stride)]))


@instead_of(matching_rows)
def _matching_rows(cells: Any, at: Any, lines: Any, n_lines: Any, rows: Any, out: Any) -> Any:
    """Take a few lines at a time, and stop when no row is left."""

    def emit(context: Any, b: Any, *args: Any) -> Any:
        block = _Block(context, b, (cells, lines), args[0], args[1], args[2])
        n = args[3]
        lanes = block.lanes
        alive = lanes.variable()
        b.store(lanes.load(address(context, b, rows, args[4], 0)), alive)
        i = cgutils.alloca_once_value(b, constant(0))
        go_on = cgutils.alloca_once_value(b, b.icmp_signed(">", n, constant(0)))
        head, body, end = (b.append_basic_block(name) for name in ("head", "body", "end"))
        b.branch(head)
        b.position_at_end(head)
        b.cbranch(b.load(go_on), body, end)
        b.position_at_end(body)
        at_line, last = b.load(i), b.sub(n, constant(1))
        gone = lanes.all(0)
        for k in range(_MATCH_GROUP):  # the last line twice where lines end within a group
            index = b.add(at_line, constant(k))
            inside = b.icmp_signed("<", index, n)
            gone = b.or_(gone, block.load(b.select(inside, index, last)))
        left = b.and_(b.load(alive), b.xor(gone, lanes.all(-1)))
        b.store(left, alive)
        following = b.add(at_line, constant(_MATCH_GROUP))
        b.store(following, i)
        b.store(b.and_(b.icmp_signed("<", following, n), _any(b, left)), go_on)
        b.branch(head)
        b.position_at_end(end)
        left = b.load(alive)
        lanes.store(left, address(context, b, out, args[5], 0))
        return _any(b, left)

    return types.boolean(cells, _LONG, lines, _LONG, rows, out), emit


class _Counter:
    """Emits a sum of lines: low planes in registers, above them a binary counter of carries.

    Every group of 16 lines gives plane 4 one carry. It waits there for that of the next group, so
    that a full adder takes both at once; so do carries further up.
    """

    def __init__(self, block: _Block, n_lines: Any, n_planes: Any) -> None:
        self.block, self.lanes = block, block.lanes
        self.n_lines, self.n_planes = n_lines, n_planes
        b = self.lanes.builder
        self.low = [self.lanes.variable() for _ in range(_LOW)]
        many = constant(_MOST_PLANES)
        self.high = cgutils.alloca_once(b, self.lanes.vector, size=many)
        self.waiting = cgutils.alloca_once(b, self.lanes.vector, size=many)
        for variable in self.low:
            b.store(self.lanes.all(0), variable)
        with cgutils.for_range_slice(b, constant(_LOW), n_planes, constant(1), I64) as (p, _):
            b.store(self.lanes.all(0), b.gep(self.high, [p]))

    def add_lines(self) -> None:
        """Emit the addition of all lines; in the last group some may be missing."""
        b = self.lanes.builder
        n_full = b.lshr(self.n_lines, constant(_LOW))
        with cgutils.for_range(b, n_full) as group:
            start = b.shl(group.index, constant(_LOW))
            carry = self.add_to_low(_LOW - 1, lambda k: self.line(b.add(start, constant(k))))
            self.add_to_high(group.index, carry)
        start = b.shl(n_full, constant(_LOW))
        with b.if_then(b.icmp_signed("<", start, self.n_lines)):
            carry = self.add_to_low(
                _LOW - 1, lambda k: self.line_or_none(b.add(start, constant(k)))
            )
            self.add_to_high(n_full, carry)

    def line(self, i: Any) -> Any:
        return self.block.load(i)

    def line_or_none(self, i: Any) -> Any:
        b = self.lanes.builder
        inside = b.icmp_signed("<", i, self.n_lines)
        found = self.block.load(b.select(inside, i, constant(0)))
        return b.and_(found, self.lanes.splat(b.sext(inside, I64)))

    def add_to_low(self, p: int, line: Any, first: int = 0) -> Any:
        """Emit the addition of 2^(p + 1) lines to planes 0 .. p; return the carry of plane p."""
        if p < 0:
            return line(first)
        b, variable = self.lanes.builder, self.low[p]
        x = self.add_to_low(p - 1, line, first)
        y = self.add_to_low(p - 1, line, first + (1 << p))
        total, carry = _full_adder(b, x, y, b.load(variable))
        b.store(total, variable)
        return carry

    def add_to_high(self, group: Any, carry: Any) -> None:
        """Emit the addition of a group's carry: as many carries wait as the group's bits tell."""
        b, lanes = self.lanes.builder, self.lanes
        carried, p = lanes.variable(), cgutils.alloca_once_value(b, constant(_LOW))
        b.store(carry, carried)
        b.store(constant(_LOW), p)
        n_adders = b.cttz(b.xor(group, constant(-1)), ir.Constant(ir.IntType(1), 0))
        with cgutils.for_range(b, n_adders):
            at = b.load(p)
            plane, waits = b.gep(self.high, [at]), b.gep(self.waiting, [at])
            total, up = _full_adder(b, b.load(carried), b.load(waits), b.load(plane))
            b.store(total, plane)
            b.store(up, carried)
            b.store(b.add(at, constant(1)), p)
        b.store(b.load(carried), b.gep(self.waiting, [b.load(p)]))

    def store(self, planes: Any) -> None:
        """Emit the planes, with all carries that still wait."""
        b, lanes = self.lanes.builder, self.lanes
        for p, variable in enumerate(self.low):
            with b.if_then(b.icmp_signed("<", constant(p), self.n_planes)):
                lanes.store(b.load(variable), b.gep(planes, [constant(p * BLOCK_WORDS)]))
        n_groups = b.lshr(b.add(self.n_lines, constant(_GROUP - 1)), constant(_LOW))
        carried = lanes.variable()
        b.store(lanes.all(0), carried)
        n_high = b.sub(self.n_planes, constant(_LOW))
        with cgutils.for_range(b, n_high) as above:
            p = b.add(above.index, constant(_LOW))
            waits = b.trunc(b.lshr(n_groups, above.index), ir.IntType(1))
            late = b.select(waits, b.load(b.gep(self.waiting, [p])), lanes.all(0))
            total, carry = _full_adder(b, late, b.load(carried), b.load(b.gep(self.high, [p])))
            b.store(carry, carried)
            lanes.store(total, b.gep(planes, [b.mul(p, constant(BLOCK_WORDS))]))


@instead_of(count_lines)
def _count_lines(cells: Any, at: Any, lines: Any, n_lines: Any, planes: Any, n_planes: Any) -> Any:
    """Add 16 lines at a time, and what is left of the last 16."""

    def emit(context: Any, b: Any, *args: Any) -> None:
        block = _Block(context, b, (cells, lines), args[0], args[1], args[2])
        counter = _Counter(block, args[3], args[5])
        counter.add_lines()
        counter.store(address(context, b, planes, args[4], 0, 0))

    return types.void(cells, _LONG, lines, _LONG, planes, _LONG), emit


@instead_of(rows_at_most)
def _rows_at_most(planes: Any, n_planes: Any, limit: Any, rows: Any, out: Any) -> Any:
    """Compare from plane 0 up: the higher plane decides unless it is the limit's bit."""

    def emit(context: Any, b: Any, *args: Any) -> Any:
        lanes = _lanes(b)
        base = address(context, b, planes, args[0], 0, 0)
        more = lanes.variable()
        b.store(lanes.all(0), more)
        with cgutils.for_range(b, args[1]) as plane:
            lit = b.trunc(b.lshr(args[2], plane.index), ir.IntType(1))
            both = lanes.splat(b.sext(lit, I64))
            found = lanes.load(b.gep(base, [b.mul(plane.index, constant(BLOCK_WORDS))]))
            old = b.load(more)
            either = b.and_(b.or_(found, old), b.xor(both, lanes.all(-1)))
            b.store(b.or_(either, b.and_(found, old)), more)
        left = b.and_(
            lanes.load(address(context, b, rows, args[3], 0)),
            b.xor(b.load(more), lanes.all(-1)),
        )
        lanes.store(left, address(context, b, out, args[4], 0))
        return _any(b, left)

    return types.boolean(planes, _LONG, _LONG, rows, out), emit
