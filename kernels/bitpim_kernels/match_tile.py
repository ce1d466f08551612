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

__all__ = [
    "BLOCK_WORDS",
    "GROUP",
    "MATCH_WORDS",
    "add_three",
    "count_lines",
    "matching_rows",
    "rows_at_most",
]

BLOCK_WORDS = 8
"""Words of a block whose cells are counted; 4 and 16 measured no faster."""

MATCH_WORDS = 32
"""Words of a block that is only matched: what is found of its rows fills half the registers."""

GROUP = 16
"""Entries that `count_lines` adds at once."""

Ints = npt.NDArray[np.int64]
Listed = npt.NDArray[np.int32]
Words = npt.NDArray[np.uint64]

_ZERO = np.uint64(0)


def matching_rows(
    cells: Words, at: int, lines: Listed, n_lines: int, rows: Words, out: Words
) -> bool:
    """Write which of the `rows` no listed line discharges; return whether there is any.

    Shapes
    ------
    cells: (lines, words) of which words `at` : `at` + MATCH_WORDS are the block
    lines: (at least n_lines,) rows of `cells`
    rows, out: (MATCH_WORDS,)
    """
    alive = rows.copy()
    for line in lines[:n_lines]:
        alive &= ~cells[line, at : at + MATCH_WORDS]
    out[:] = alive
    return bool(alive.any())


def add_three(cells: Words, at: int, lines: Ints, i: int, table: Words, entry: int) -> None:
    """Write how many of three lines discharge each row, as two bit-planes.

    Shapes
    ------
    cells: (lines, words) of which words `at` : `at` + BLOCK_WORDS are the block
    lines: (.., 3) of which row i are rows of `cells`; one below 0 discharges nothing
    table: (entries, 2, BLOCK_WORDS)
    """
    block = slice(at, at + BLOCK_WORDS)
    nothing = np.zeros(BLOCK_WORDS, np.uint64)
    x, y, z = (cells[line, block] if line >= 0 else nothing for line in lines[i])
    table[entry, 0], table[entry, 1] = x ^ y ^ z, (x & y) | (z & (x ^ y))


def count_lines(table: Words, listed: Listed, n_listed: int, planes: Words, n_planes: int) -> None:
    """Write the sum of the listed entries, as bit-planes.

    The caller sees to it that `n_listed` is a multiple of GROUP, and that `n_planes` hold the sum.

    Shapes
    ------
    table: as in `add_three`
    listed: (at least n_listed,) entries
    planes: (at least n_planes, BLOCK_WORDS)
    """
    planes[:n_planes] = _ZERO
    for entry in listed[:n_listed]:
        for low in range(2):
            carry = table[entry, low].copy()
            for p in range(low, n_planes):
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


_LOW = 4  # planes that stay in registers while lines are added
_REGISTER = 4  # words of a register of 256 bits
_I32 = ir.IntType(32)
_LONG = types.int64
_MATCH_GROUP = 4  # lines between two looks at whether any row is left


def _lanes(builder: Any, n_words: int = BLOCK_WORDS) -> Lanes:
    return Lanes(builder, n_words, 64)


def _any(builder: Any, vector: Any) -> Any:
    """Emit whether any bit of a vector is one: registers joined first, which costs least."""
    n = vector.type.count
    while n > _REGISTER:
        n //= 2
        halves = (list(range(n)), list(range(n, 2 * n)))
        low, high = (
            builder.shuffle_vector(vector, vector, ir.Constant(ir.VectorType(_I32, n), half))
            for half in halves
        )
        vector = builder.or_(low, high)
    lit = builder.icmp_unsigned("!=", vector, ir.Constant(vector.type, [0] * n))
    verdicts = builder.bitcast(lit, ir.IntType(n))
    return builder.icmp_unsigned("!=", verdicts, ir.Constant(ir.IntType(n), 0))


def _full_adder(b: Any, x: Any, y: Any, z: Any) -> tuple[Any, Any]:
    """Emit the sum and the carry of three vectors."""
    half = b.xor(x, y)
    return b.xor(half, z), b.or_(b.and_(x, y), b.and_(half, z))


class _Block:
    """Where the lines of a block lie."""

    def __init__(self, context: Any, b: Any, kinds: Any, cells: Any, at: Any, lines: Any) -> None:
        self.lanes = _lanes(b, MATCH_WORDS)
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


@instead_of(add_three)
def _add_three(cells: Any, at: Any, lines: Any, i: Any, table: Any, entry: Any) -> Any:
    def emit(context: Any, b: Any, *args: Any) -> None:
        lanes = _lanes(b)
        base = address(context, b, cells, args[0], 0, args[1])
        stride = shape_of(context, b, cells, args[0])[1]
        found = []
        for j in range(3):
            line = b.load(address(context, b, lines, args[2], args[3], j))
            none = b.icmp_signed("<", line, constant(0))
            where = b.select(none, constant(0), b.mul(line, stride))
            nothing = lanes.splat(b.sext(none, I64))
            words = lanes.load(b.gep(base, [where]))
            found.append(b.and_(words, b.xor(nothing, lanes.all(-1))))
        for low, plane in enumerate(_full_adder(b, *found)):
            lanes.store(plane, address(context, b, table, args[4], args[5], low, 0))

    return types.void(cells, _LONG, lines, _LONG, table, _LONG), emit


class _Counter:
    """Emits a sum of entries: planes 0 .. 3 in registers, those above them where they are written.

    Three vectors of weight 2^p enter plane p for every two entries or 2^p entries below: their sum
    goes on to the plane, and their carries, with that of the plane, to the next.
    """

    def __init__(self, b: Any, table: Any, listed: Any, planes: Any, n_planes: Any) -> None:
        self.lanes, self.table, self.listed = _lanes(b), table, listed
        self.planes, self.n_planes = planes, n_planes
        self.low = [self.lanes.variable() for _ in range(_LOW)]
        for variable in self.low:
            b.store(self.lanes.all(0), variable)
        with self.above(_LOW) as (p, _):
            self.lanes.store(self.lanes.all(0), self.plane(p))

    def above(self, p: int) -> Any:
        return cgutils.for_range_slice(
            self.lanes.builder, constant(p), self.n_planes, constant(1), I64
        )

    def plane(self, p: Any) -> Any:
        b = self.lanes.builder
        return b.gep(self.planes, [b.mul(p, constant(BLOCK_WORDS))])

    def add_group(self, start: Any) -> None:
        b, lanes = self.lanes.builder, self.lanes
        total, carry = _full_adder(b, *self.add(_LOW - 1, start))
        carried = lanes.variable()
        b.store(lanes.all(0), carried)
        for p, vector in ((_LOW, total), (_LOW + 1, carry)):
            with b.if_then(b.icmp_signed("<", constant(p), self.n_planes)):
                place = self.plane(constant(p))
                total, up = _full_adder(b, vector, b.load(carried), lanes.load(place))
                lanes.store(total, place)
                b.store(up, carried)
        with self.above(_LOW + 2) as (p, _):
            old, up = lanes.load(self.plane(p)), b.load(carried)
            lanes.store(b.xor(old, up), self.plane(p))
            b.store(b.and_(old, up), carried)

    def add(self, p: int, start: Any, first: int = 0) -> tuple[Any, Any, Any]:
        """Emit the addition of 2^(p + 1) entries; return three vectors of weight 2^(p + 1)."""
        b, variable = self.lanes.builder, self.low[p]
        if p == 0:
            x, x_carry = self.entry(start, first)
            y, y_carry = self.entry(start, first + 1)
        else:
            x, x_carry = _full_adder(b, *self.add(p - 1, start, first))
            y, y_carry = _full_adder(b, *self.add(p - 1, start, first + (1 << p)))
        total, carry = _full_adder(b, x, y, b.load(variable))
        b.store(total, variable)
        return x_carry, y_carry, carry

    def entry(self, start: Any, k: int) -> tuple[Any, Any]:
        b, lanes = self.lanes.builder, self.lanes
        entry = b.sext(b.load(b.gep(self.listed, [b.add(start, constant(k))])), I64)
        at = b.mul(entry, constant(2 * BLOCK_WORDS))
        low, high = (b.gep(self.table, [b.add(at, constant(i * BLOCK_WORDS))]) for i in (0, 1))
        return lanes.load(low), lanes.load(high)

    def finish(self) -> None:
        b = self.lanes.builder
        for p, variable in enumerate(self.low):
            with b.if_then(b.icmp_signed("<", constant(p), self.n_planes)):
                self.lanes.store(b.load(variable), self.plane(constant(p)))


@instead_of(count_lines)
def _count_lines(table: Any, listed: Any, n_listed: Any, planes: Any, n_planes: Any) -> Any:
    def emit(context: Any, b: Any, *args: Any) -> None:
        counter = _Counter(
            b,
            address(context, b, table, args[0], 0, 0, 0),
            address(context, b, listed, args[1], 0),
            address(context, b, planes, args[3], 0, 0),
            args[4],
        )
        with cgutils.for_range_slice(b, constant(0), args[2], constant(GROUP), I64) as (start, _):
            counter.add_group(start)
        counter.finish()

    return types.void(table, listed, _LONG, planes, _LONG), emit


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
