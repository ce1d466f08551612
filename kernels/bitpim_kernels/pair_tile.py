"""A tile of positions, a byte each, in vector registers: how often codes are met among some taps.

Positions are lanes: row t of a tile holds the code at tap t of `LANES` windows. Taps that share a
weight are compared with each other, or with every code that there is, whichever is less work; so
pairs of a weight and an input are counted for all lanes at once, and no lane waits for another.

Each function is plain Python, and below is what a compiled kernel does in its place.
"""

from typing import Any

import numpy as np
import numpy.typing as npt
from llvmlite import ir
from numba import types
from numba.core import cgutils

from bitpim_kernels.ir import I64, Lanes, address, constant, instead_of

__all__ = [
    "LANES",
    "LONGEST",
    "SIDE",
    "count_codes",
    "count_taps",
    "each_row",
    "lay_block",
    "row_address",
]

LANES = 64
"""Positions of a tile: two registers of 256 bits, and one word of verdicts."""

SIDE = 16
"""Windows and taps of a block that changes places at once."""

LONGEST = 255
"""Taps of a group that is counted at once at most: a count fits a byte."""

Bytes = npt.NDArray[np.uint8]
Ints = npt.NDArray[np.int64]
Taps = npt.NDArray[np.int32]


def count_taps(
    tile: Bytes,
    taps: Taps,
    starts: Ints,
    first: int,
    stop: int,
    lit: Bytes,
    rows: Bytes,
    counts: Bytes,
) -> None:
    """Write how often the code of each tap is met in its group: at its first, and 0 elsewhere.

    Groups ``first : stop`` have LONGEST taps at most in all; row i of `rows` and `counts` is that
    of the i-th of these taps.

    Shapes
    ------
    tile: (n_taps, LANES)
    taps: flat
    starts: (n_groups + 1,) where each group starts in `taps`
    lit: (LANES,) 255 where a lane holds a position, else 0
    rows, counts: (LONGEST, LANES) codes, and how often they are met
    """
    for group in range(first, stop):
        here = slice(starts[group] - starts[first], starts[group + 1] - starts[first])
        found = rows[here] = tile[taps[starts[group] : starts[group + 1]]]
        for i in range(len(found)):
            again = (found[:i] == found[i]).any(axis=0)
            n_met = (found[i:] == found[i]).sum(axis=0)
            counts[here][i] = np.where(again, 0, n_met).astype(np.uint8) & lit


def count_codes(
    tile: Bytes,
    taps: Taps,
    starts: Ints,
    group: int,
    lit: Bytes,
    rows: Bytes,
    counts: Bytes,
    n_codes: int,
) -> None:
    """Write how often each code 0 .. n_codes - 1 is met in a group, LONGEST taps at most.

    There are no more codes than taps. Row i of `rows` and `counts` is that of code i. Shapes are as
    in `count_taps`.
    """
    found = tile[taps[starts[group] : starts[group + 1]]]
    for code in range(n_codes):
        rows[code] = code
        counts[code] = (found == code).sum(axis=0).astype(np.uint8) & lit


def lay_block(codes: Bytes, first: int, tap: int, lane: int, tile: Bytes) -> None:
    """Lay SIDE taps of SIDE windows as rows of a tile, from a lane on.

    Shapes
    ------
    codes: (n_windows, n_taps, 1)
    tile: (n_taps, LANES)
    """
    taps = slice(tap, tap + SIDE)
    tile[taps, lane : lane + SIDE] = codes[first : first + SIDE, taps, 0].T


_LONG = types.int64
_REGISTER = 32  # lanes of a register of bytes
_BLOCK = 4  # rows that are compared with others at once


def each_row(builder: Any, start: Any, stop: Any) -> Any:
    """Emit a loop over rows of a tile."""
    return cgutils.for_range_slice(builder, start, stop, constant(1), I64)


def row_address(builder: Any, base: Any, i: Any) -> Any:
    """Emit the address of a row of a tile."""
    return builder.gep(base, [builder.mul(i, constant(LANES))])


class _Rows:
    """The codes of the taps of some groups, gathered side by side, and how often they are met."""

    def __init__(self, context: Any, b: Any, kinds: Any, args: Any) -> None:
        """Take tile, taps, starts, first group, the end of groups, rows, counts."""
        tile, taps, starts, _, _, rows, counts = kinds
        self.b = b
        self.first, self.stop = args[3], args[4]
        self.starts = address(context, b, starts, args[2], 0)
        self.rows = address(context, b, rows, args[5], 0, 0)
        self.counts = address(context, b, counts, args[6], 0, 0)
        base = address(context, b, tile, args[0], 0, 0)
        self.begin = self._start(self.first)
        places = address(context, b, taps, args[1], self.begin)
        lanes = Lanes(b, LANES, 8)
        self.n = b.sub(self._start(self.stop), self.begin)
        with each_row(b, constant(0), self.n) as (i, _):
            tap = b.sext(b.load(b.gep(places, [i])), I64)
            lanes.store(lanes.load(row_address(b, base, tap)), row_address(b, self.rows, i))

    def _start(self, group: Any) -> Any:
        return self.b.load(self.b.gep(self.starts, [group]))

    def count(self, lit: Any) -> None:
        """Emit the counts of all groups, a register of lanes after the other."""
        b = self.b
        with each_row(b, self.first, self.stop) as (group, _):
            start = b.sub(self._start(group), self.begin)
            n = b.sub(b.sub(self._start(b.add(group, constant(1))), self.begin), start)
            for lane in range(0, LANES, _REGISTER):
                place = b.add(b.mul(start, constant(LANES)), constant(lane))
                half = _Half(self, place, n, b.gep(lit, [constant(lane)]))
                whole = b.and_(n, constant(-_BLOCK))
                with cgutils.for_range_slice(b, constant(0), whole, constant(_BLOCK), I64) as (
                    i,
                    _,
                ):
                    half.block(i, _BLOCK)
                left = b.and_(n, constant(_BLOCK - 1))
                for k in range(1, _BLOCK):
                    with b.if_then(b.icmp_signed("==", left, constant(k))):
                        half.block(whole, k)


class _Half:
    """A register of lanes of the rows of a group."""

    def __init__(self, rows: _Rows, first: Any, n: Any, lit: Any) -> None:
        b = rows.b
        self.b, self.n = b, n
        self.lanes = Lanes(b, _REGISTER, 8)
        self.rows, self.counts = b.gep(rows.rows, [first]), b.gep(rows.counts, [first])
        self.lit = self.lanes.load(lit)

    def block(self, start: Any, n: int) -> None:
        """Emit the counts of rows side by side, which stay in registers."""
        b = self.b
        mine = [self._code(b.add(start, constant(k))) for k in range(n)]
        before, after = ([self.lanes.variable() for _ in range(n)] for _ in range(2))
        for variable in before + after:
            b.store(self.lanes.all(0), variable)
        self._compare(constant(0), start, mine, before)
        for k in range(n):
            for other in range(k):
                alike = self._alike(mine[other], mine[k])
                self._add(before[k], alike)
                self._add(after[other], alike)
        self._compare(b.add(start, constant(n)), self.n, mine, after)
        for k in range(n):
            n_before, n_after = b.load(before[k]), b.load(after[k])  # below 0
            is_first = b.icmp_signed("==", n_before, self.lanes.all(0))
            shown = b.and_(self.lit, b.sext(is_first, self.lanes.vector))
            found = b.and_(b.sub(self.lanes.all(1), n_after), shown)
            self.lanes.store(found, row_address(b, self.counts, b.add(start, constant(k))))

    def _compare(self, start: Any, stop: Any, mine: list[Any], totals: list[Any]) -> None:
        with each_row(self.b, start, stop) as (j, _):
            other = self._code(j)
            for code, total in zip(mine, totals, strict=True):
                self._add(total, self._alike(code, other))

    def _code(self, i: Any) -> Any:
        return self.lanes.load(row_address(self.b, self.rows, i))

    def _alike(self, x: Any, y: Any) -> Any:
        """Emit -1 where two codes are equal, else 0."""
        return self.b.sext(self.b.icmp_signed("==", x, y), self.lanes.vector)

    def _add(self, variable: Any, vector: Any) -> None:
        self.b.store(self.b.add(self.b.load(variable), vector), variable)


@instead_of(count_taps)
def _count_taps(
    tile: Any, taps: Any, starts: Any, first: Any, stop: Any, lit: Any, rows: Any, counts: Any
) -> Any:
    kinds = (tile, taps, starts, _LONG, _LONG, rows, counts)

    def emit(context: Any, b: Any, *args: Any) -> None:
        valid = address(context, b, lit, args[5], 0)
        _Rows(context, b, kinds, args[:5] + args[6:]).count(valid)

    return types.void(*kinds[:5], lit, *kinds[5:]), emit


@instead_of(count_codes)
def _count_codes(
    tile: Any, taps: Any, starts: Any, group: Any, lit: Any, rows: Any, counts: Any, n_codes: Any
) -> Any:
    kinds = (tile, taps, starts, _LONG, _LONG, rows, counts)

    def emit(context: Any, b: Any, *args: Any) -> None:
        following = b.add(args[3], constant(1))
        found = _Rows(context, b, kinds, (*args[:4], following, *args[5:7]))
        lanes = Lanes(b, LANES, 8)
        valid = lanes.load(address(context, b, lit, args[4], 0))
        with each_row(b, constant(0), args[7]) as (code, _):
            mine, total = lanes.splat(code), lanes.variable()
            b.store(lanes.all(0), total)
            with each_row(b, constant(0), found.n) as (j, _):
                alike = b.icmp_signed("==", lanes.load(row_address(b, found.rows, j)), mine)
                b.store(b.sub(b.load(total), b.sext(alike, lanes.vector)), total)
            lanes.store(b.and_(b.load(total), valid), row_address(b, found.counts, code))
        with each_row(b, constant(0), args[7]) as (code, _):
            lanes.store(lanes.splat(code), row_address(b, found.rows, code))

    return types.void(*kinds[:4], lit, *kinds[5:], _LONG), emit


@instead_of(lay_block)
def _lay_block(codes: Any, first: Any, tap: Any, lane: Any, tile: Any) -> Any:
    def emit(context: Any, b: Any, *args: Any) -> None:
        lanes = Lanes(b, SIDE, 8)
        rows = [
            lanes.load(address(context, b, codes, args[0], b.add(args[1], constant(i)), args[2], 0))
            for i in range(SIDE)
        ]
        for row, found in enumerate(_turned(b, rows)):
            place = address(context, b, tile, args[4], b.add(args[2], constant(row)), args[3])
            lanes.store(found, place)

    return types.void(codes, _LONG, _LONG, _LONG, tile), emit


def _turned(b: Any, rows: list[Any]) -> list[Any]:
    """Emit the columns of a square: its halves are interleaved, as often as it has halves."""
    n = len(rows)
    low, high = (
        ir.Constant(
            ir.VectorType(ir.IntType(32), n),
            [start + i // 2 + n * (i % 2) for i in range(n)],
        )
        for start in (0, n // 2)
    )
    for _ in range(n.bit_length() - 1):
        rows = [
            b.shuffle_vector(upper, lower, order)
            for upper, lower in zip(rows[: n // 2], rows[n // 2 :], strict=True)
            for order in (low, high)
        ]
    return rows
