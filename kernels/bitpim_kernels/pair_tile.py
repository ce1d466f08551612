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
    "ADDERS",
    "LANES",
    "LARGEST",
    "LONGEST",
    "NEGATIVES",
    "N_SUMS",
    "OPERANDS",
    "PLANES",
    "READS",
    "SATURATED",
    "add_digits",
    "add_new_digits",
    "count_codes",
    "count_taps",
    "cut_planes",
    "number_taps",
]

PLANES = 9
"""Words of a row of counts: the bits of a byte, and a word that is 0."""

READS, OPERANDS, ADDERS, NEGATIVES, SATURATED, LARGEST, N_SUMS = range(7)
"""Where an array of sums holds each event."""

LANES = 64
"""Positions of a tile: two registers of 256 bits, and one word of verdicts."""

LONGEST = 170
"""Taps that are counted together at most: a count of 170 and its half still fit a byte."""

Bytes = npt.NDArray[np.uint8]
Ints = npt.NDArray[np.int64]
Taps = npt.NDArray[np.int32]
Words = npt.NDArray[np.uint64]


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


def number_taps(
    tile: Bytes,
    taps: Taps,
    starts: Ints,
    first: int,
    stop: int,
    rows: Bytes,
    counts: Bytes,
) -> None:
    """Write how often the code of each tap was met in its group so far, this time included.

    All is as in `count_taps`, but for lanes that hold no position, where anything is written.
    """
    for group in range(first, stop):
        here = slice(starts[group] - starts[first], starts[group + 1] - starts[first])
        found = rows[here] = tile[taps[starts[group] : starts[group + 1]]]
        for i in range(len(found)):
            counts[here][i] = (found[: i + 1] == found[i]).sum(axis=0)


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


def add_digits(
    counts: Bytes,
    n: int,
    signed: bool,
    digits: npt.NDArray[np.int32],
    sums: Ints,
) -> None:
    """Add the digits that are not 0 of some rows of counts, whose sum is LONGEST at most in a lane.

    Shapes
    ------
    counts: (at least n, LANES)
    digits: (LANES,) digits of each lane
    sums: (N_SUMS,) of which READS, NEGATIVES and LARGEST grow: counts that are not 0, digits of -1
        in all lanes, the largest count
    """
    for row in counts[:n].astype(np.int64):
        half = row >> 1
        lit = (row + half) ^ half if signed else row
        digits += np.bitwise_count(lit).astype(np.int32)
        sums[READS] += np.count_nonzero(row)
        sums[NEGATIVES] += int(np.bitwise_count(half & lit).sum()) if signed else 0
        sums[LARGEST] = max(sums[LARGEST], row.max())


def add_new_digits(
    counts: Bytes,
    n: int,
    signed: bool,
    lit: Bytes,
    digits: npt.NDArray[np.int32],
    sums: Ints,
) -> None:
    """Add the digits that rows of `number_taps` add to those of the times before.

    They are LONGEST at most. All else is as in `add_digits`.
    """
    for row in counts[:n]:
        now = np.where(lit, row, 0)
        before = np.where(lit, row - 1, 0)
        for sign, n_met in ((1, now), (-1, before)):
            half = n_met >> 1
            ones = (n_met + half) ^ half if signed else n_met
            digits += sign * np.bitwise_count(ones).astype(np.int32)
            sums[NEGATIVES] += sign * int(np.bitwise_count(half & ones).sum()) if signed else 0
        sums[READS] += np.count_nonzero(now == 1)
        sums[LARGEST] = max(sums[LARGEST], now.max())


def cut_planes(counts: Bytes, n: int, n_planes: int, planes: Words, largest: Bytes) -> int:
    """Write the bits of rows of counts, a word each, and a word 0; return how many are not 0.

    Shapes
    ------
    planes: (LONGEST, PLANES) of which n_planes + 1 are written; lane l at bit l
    largest: (LANES,) grows to the counts
    """
    for row in range(n):
        bits = counts[row][:, None] >> np.arange(n_planes) & 1
        words = np.packbits(bits, axis=0, bitorder="little").T.copy().view(np.uint64)
        planes[row, :n_planes] = words[:, 0]
        planes[row, n_planes] = 0
        largest[:] = np.maximum(largest, counts[row])
    return int(np.count_nonzero(counts[:n]))


_LONG = types.int64
_REGISTER = 32  # lanes of a register of bytes
_BLOCK = 4  # rows that are compared with others at once


def _each(builder: Any, start: Any, stop: Any) -> Any:
    return cgutils.for_range_slice(builder, start, stop, constant(1), I64)


def _row(builder: Any, base: Any, i: Any) -> Any:
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
        with _each(b, constant(0), self.n) as (i, _):
            tap = b.sext(b.load(b.gep(places, [i])), I64)
            lanes.store(lanes.load(_row(b, base, tap)), _row(b, self.rows, i))

    def _start(self, group: Any) -> Any:
        return self.b.load(self.b.gep(self.starts, [group]))

    def count(self, lit: Any = None) -> None:
        """Emit the counts of all groups, a register of lanes after the other.

        Without `lit` they are those so far.
        """
        b = self.b
        with _each(b, self.first, self.stop) as (group, _):
            start = b.sub(self._start(group), self.begin)
            n = b.sub(b.sub(self._start(b.add(group, constant(1))), self.begin), start)
            for lane in range(0, LANES, _REGISTER):
                place = b.add(b.mul(start, constant(LANES)), constant(lane))
                half = _Half(self, place, n, None if lit is None else b.gep(lit, [constant(lane)]))
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
        self.lit = None if lit is None else self.lanes.load(lit)

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
        if self.lit is not None:
            self._compare(b.add(start, constant(n)), self.n, mine, after)
        for k in range(n):
            n_before, n_after = b.load(before[k]), b.load(after[k])  # below 0
            if self.lit is None:
                found = b.sub(self.lanes.all(1), n_before)
            else:
                is_first = b.icmp_signed("==", n_before, self.lanes.all(0))
                shown = b.and_(self.lit, b.sext(is_first, self.lanes.vector))
                found = b.and_(b.sub(self.lanes.all(1), n_after), shown)
            self.lanes.store(found, _row(b, self.counts, b.add(start, constant(k))))

    def _compare(self, start: Any, stop: Any, mine: list[Any], totals: list[Any]) -> None:
        with _each(self.b, start, stop) as (j, _):
            other = self._code(j)
            for code, total in zip(mine, totals, strict=True):
                self._add(total, self._alike(code, other))

    def _code(self, i: Any) -> Any:
        return self.lanes.load(_row(self.b, self.rows, i))

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


@instead_of(number_taps)
def _number_taps(
    tile: Any, taps: Any, starts: Any, first: Any, stop: Any, rows: Any, counts: Any
) -> Any:
    kinds = (tile, taps, starts, _LONG, _LONG, rows, counts)

    def emit(context: Any, b: Any, *args: Any) -> None:
        _Rows(context, b, kinds, args).count()

    return types.void(*kinds), emit


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
        with _each(b, constant(0), args[7]) as (code, _):
            mine, total = lanes.splat(code), lanes.variable()
            b.store(lanes.all(0), total)
            with _each(b, constant(0), found.n) as (j, _):
                alike = b.icmp_signed("==", lanes.load(_row(b, found.rows, j)), mine)
                b.store(b.sub(b.load(total), b.sext(alike, lanes.vector)), total)
            lanes.store(b.and_(b.load(total), valid), _row(b, found.counts, code))
        with _each(b, constant(0), args[7]) as (code, _):
            lanes.store(lanes.splat(code), _row(b, found.rows, code))

    return types.void(*kinds[:4], lit, *kinds[5:], _LONG), emit


class _Digits:
    """Emits the events of rows of counts: added in bytes, widened once."""

    def __init__(self, b: Any, signed: Any, base: Any, n: Any) -> None:
        self.b, self.lanes, self.base, self.n = b, Lanes(b, LANES, 8), base, n
        self.signed = signed
        self.total, self.reads, self.negative, self.largest = (
            self.lanes.variable() for _ in range(4)
        )
        for variable in (self.total, self.reads, self.negative, self.largest):
            b.store(self.lanes.all(0), variable)

    def add(self, *, new: bool) -> None:
        """Emit a loop over all rows, a form for each kind of digits."""
        b, lanes = self.b, self.lanes
        with b.if_else(self.signed) as branches:
            for branch, is_signed in zip(branches, (True, False), strict=True):
                with branch, _each(b, constant(0), self.n) as (i, _):
                    n_met = lanes.load(_row(b, self.base, i))
                    self._count(n_met, is_signed, 1)
                    if new:
                        self._count(b.sub(n_met, lanes.all(1)), is_signed, -1)
                        is_read = b.icmp_unsigned("==", n_met, lanes.all(1))
                    else:
                        is_read = b.icmp_unsigned("!=", n_met, lanes.all(0))
                    b.store(b.sub(b.load(self.reads), b.sext(is_read, lanes.vector)), self.reads)
                    b.store(_larger(b, n_met, b.load(self.largest)), self.largest)

    def _count(self, n_met: Any, is_signed: bool, sign: int) -> None:
        b = self.b
        ones = n_met
        add = b.add if sign > 0 else b.sub
        if is_signed:
            half = b.lshr(n_met, self.lanes.all(1))
            ones = b.xor(b.add(n_met, half), half)
            negative = _popcount(b, b.and_(ones, half))
            b.store(add(b.load(self.negative), negative), self.negative)
        b.store(add(b.load(self.total), _popcount(b, ones)), self.total)

    def finish(self, context: Any, kinds: Any, digits: Any, sums: Any, lit: Any = None) -> None:
        b = self.b

        def found(variable: Any) -> Any:
            return b.load(variable) if lit is None else b.and_(b.load(variable), lit)

        wide = Lanes(b, LANES, 32)
        place = address(context, b, kinds[0], digits, 0)
        wide.add_to(place, b.zext(found(self.total), wide.vector))
        for k, variable in ((READS, self.reads), (NEGATIVES, self.negative)):
            place = address(context, b, kinds[1], sums, k)
            b.store(b.add(b.load(place), _sum(b, found(variable))), place)
        place = address(context, b, kinds[1], sums, LARGEST)
        most, old = _most(b, found(self.largest)), b.load(place)
        b.store(b.select(b.icmp_signed(">", most, old), most, old), place)


@instead_of(add_digits)
def _add_digits(counts: Any, n: Any, signed: Any, digits: Any, sums: Any) -> Any:
    def emit(context: Any, b: Any, *args: Any) -> None:
        found = _Digits(b, args[2], address(context, b, counts, args[0], 0, 0), args[1])
        found.add(new=False)
        found.finish(context, (digits, sums), args[3], args[4])

    return types.void(counts, _LONG, types.boolean, digits, sums), emit


@instead_of(add_new_digits)
def _add_new_digits(counts: Any, n: Any, signed: Any, lit: Any, digits: Any, sums: Any) -> Any:
    def emit(context: Any, b: Any, *args: Any) -> None:
        found = _Digits(b, args[2], address(context, b, counts, args[0], 0, 0), args[1])
        found.add(new=True)
        valid = found.lanes.load(address(context, b, lit, args[3], 0))
        found.finish(context, (digits, sums), args[4], args[5], valid)

    return types.void(counts, _LONG, types.boolean, lit, digits, sums), emit


@instead_of(cut_planes)
def _cut_planes(counts: Any, n: Any, n_planes: Any, planes: Any, largest: Any) -> Any:
    def emit(context: Any, b: Any, *args: Any) -> Any:
        lanes = Lanes(b, LANES, 8)
        base = address(context, b, counts, args[0], 0, 0)
        out = address(context, b, planes, args[3], 0, 0)
        most, n_met = lanes.variable(), cgutils.alloca_once_value(b, constant(0))
        place = address(context, b, largest, args[4], 0)
        b.store(lanes.load(place), most)
        with _each(b, constant(0), args[1]) as (i, _):
            row = lanes.load(_row(b, base, i))
            b.store(_larger(b, row, b.load(most)), most)
            is_met = _word(b, b.icmp_unsigned("!=", row, lanes.all(0)))
            b.store(b.add(b.load(n_met), b.ctpop(is_met)), n_met)
            words = b.gep(out, [b.mul(i, constant(PLANES))])
            b.store(constant(0), b.gep(words, [args[2]]))
            for k in range(PLANES - 1):
                with b.if_then(b.icmp_signed(">", args[2], constant(k))):
                    top = b.shl(row, lanes.all(PLANES - 2 - k))
                    lit = _word(b, b.icmp_signed("<", top, lanes.all(0)))
                    b.store(lit, b.gep(words, [constant(k)]))
        lanes.store(b.load(most), place)
        return b.load(n_met)

    return _LONG(counts, _LONG, _LONG, planes, largest), emit


def _larger(b: Any, x: Any, y: Any) -> Any:
    return b.select(b.icmp_unsigned(">", x, y), x, y)


def _word(b: Any, verdicts: Any) -> Any:
    return b.bitcast(verdicts, I64)


def _intrinsic(b: Any, name: str, result: Any, vector: Any) -> Any:
    kind = f"v{vector.type.count}i{vector.type.element.width}"
    function = cgutils.get_or_insert_function(
        b.module, ir.FunctionType(result, [vector.type]), f"llvm.{name}.{kind}"
    )
    return b.call(function, [vector])


def _popcount(b: Any, vector: Any) -> Any:
    return _intrinsic(b, "ctpop", vector.type, vector)


def _sum(b: Any, vector: Any) -> Any:
    wide = b.zext(vector, ir.VectorType(ir.IntType(16), vector.type.count))
    total = _intrinsic(b, "vector.reduce.add", ir.IntType(16), wide)
    return b.zext(total, I64)


def _most(b: Any, vector: Any) -> Any:
    return b.zext(_intrinsic(b, "vector.reduce.umax", ir.IntType(8), vector), I64)
