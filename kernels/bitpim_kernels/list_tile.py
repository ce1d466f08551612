"""One tile of columns whose open rows are listed: add their cells, convert, add up.

A tile is 16 or 64 columns side by side, one lane each; lanes are as wide as a partial sum needs, so
that opening a row is one addition of vectors. `read_rows` and `put_bits` are plain Python, and
below is what a compiled kernel does in their place.
"""

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from llvmlite import ir
from numba import types
from numba.core import cgutils

from bitpim_kernels.ir import I64, Lanes, address, constant, instead_of, shape_of

__all__ = [
    "NARROW_LANES",
    "PUT_AT_ONCE",
    "WIDE_LANES",
    "Converter",
    "OpenRows",
    "put_bits",
    "read_rows",
]

Ints = npt.NDArray[np.int64]

NARROW_LANES = 16
WIDE_LANES = 64
"""Columns read at a time: a list's columns fill wide tiles first, and narrow ones at its end."""

PUT_AT_ONCE = 8
"""Places that `put_bits` writes at a time, so that it may write so many beyond the last."""


class Converter(NamedTuple):
    """What an ADC makes of a partial sum y: a clamp to low .. high, or ``table[y - least]``.

    The table decides where it is not empty. The clamp's ends fit the type of the cells.
    """

    low: int
    high: int
    table: npt.NDArray[np.int32]
    least: int


class OpenRows(NamedTuple):
    """Rows with an input, in the order they are opened, and the reads they are cut into.

    Shapes
    ------
    rows: (most rows of a list + PUT_AT_ONCE,) counted from the list's first row
    digits: (most rows of a list,) the input digit of each
    ends: (most reads of a list,) where each read ends in `rows`
    """

    rows: npt.NDArray[np.int32]
    digits: npt.NDArray[np.int16]
    ends: npt.NDArray[np.int32]


def put_bits(rows: npt.NDArray[np.int32], at: int, word: np.uint64, base: int) -> int:
    """Write `base` plus the place of each one in `word`, rising, from ``rows[at]`` on; count them.

    Up to PUT_AT_ONCE places beyond the last may be overwritten.
    """
    places = [k for k in range(64) if (int(word) >> k) & 1]
    for k, place in enumerate(places):
        rows[at + k] = base + place
    return len(places)


def read_rows(
    cells: npt.NDArray[Any],
    at: int,
    wide: bool,
    weighted: bool,
    opened: OpenRows,
    n_reads: int,
    adc: Converter,
    factor: int,
    sums: Ints,
    column: int,
) -> None:
    """Add `factor` times the levels of all reads to one tile of `sums`.

    Without `weighted` all digits are 1.
    """
    lanes = WIDE_LANES if wide else NARROW_LANES
    start = 0
    for r in range(n_reads):
        for lane in range(lanes):
            partial = 0
            for j in range(start, int(opened.ends[r])):
                digit = int(opened.digits[j]) if weighted else 1
                partial += digit * int(cells[at + int(opened.rows[j]) * lanes + lane])
            if adc.table.shape[0]:
                level = int(adc.table[partial - adc.least])
            else:
                level = min(max(partial, int(adc.low)), int(adc.high))
            sums[column + lane] += factor * level
        start = int(opened.ends[r])


_I32 = ir.IntType(32)
_LONG = types.int64


class _TileReads(NamedTuple):
    """LLVM values of the reads of one tile: partial sums and levels stay in registers."""

    cells: Any
    rows: Any
    digits: Any
    ends: Any
    n_reads: Any
    low: Any
    high: Any
    table: Any
    least: Any
    factor: Any
    sums: Any

    def choose(self, builder: Any, width: int, flags: list[Any], *chosen: bool) -> None:
        """Emit a form for each way that the flags wide, weighted, clamps can stand."""
        if not flags:
            wide, weighted, clamps = chosen
            lanes = Lanes(builder, WIDE_LANES if wide else NARROW_LANES, width)
            self.emit(lanes, weighted=weighted, clamps=clamps)
            return
        with builder.if_else(flags[0]) as (yes, no):
            with yes:
                self.choose(builder, width, flags[1:], *chosen, True)
            with no:
                self.choose(builder, width, flags[1:], *chosen, False)

    def emit(self, lanes: Lanes, *, weighted: bool, clamps: bool) -> None:
        """Emit all reads; the levels of one column and input slice are added in 32 bits."""
        b, narrow = lanes.builder, Lanes(lanes.builder, lanes.n, 32)
        totals = narrow.variable()
        b.store(narrow.all(0), totals)
        start = cgutils.alloca_once(b, I64)
        b.store(constant(0), start)
        with cgutils.for_range(b, self.n_reads) as read:
            end = b.sext(b.load(b.gep(self.ends, [read.index])), I64)
            partial = self.partial_sum(lanes, b.load(start), end, weighted=weighted)
            level = self.clamped(lanes, partial) if clamps else self.looked_up(lanes, partial)
            b.store(b.add(b.load(totals), narrow.of(level)), totals)
            b.store(end, start)
        wide = Lanes(b, lanes.n, 64)
        wide.add_to(self.sums, b.mul(wide.of(b.load(totals)), wide.splat(self.factor)))

    def partial_sum(self, lanes: Lanes, start: Any, end: Any, *, weighted: bool) -> Any:
        b, total = lanes.builder, lanes.variable()
        b.store(lanes.all(0), total)
        with cgutils.for_range_slice(b, start, end, constant(1), I64) as (j, _):
            row = b.sext(b.load(b.gep(self.rows, [j])), I64)
            value = lanes.load(b.gep(self.cells, [b.mul(row, constant(lanes.n))]))
            if weighted:
                value = b.mul(value, lanes.splat(b.load(b.gep(self.digits, [j]))))
            b.store(b.add(b.load(total), value), total)
        return b.load(total)

    def clamped(self, lanes: Lanes, partial: Any) -> Any:
        low, high = lanes.splat(self.low), lanes.splat(self.high)
        return lanes.at_least(lanes.at_most(partial, high), low)

    def looked_up(self, lanes: Lanes, partial: Any) -> Any:
        b = lanes.builder
        levels = ir.Constant(ir.VectorType(_I32, lanes.n), ir.Undefined)
        for lane in range(lanes.n):
            index = ir.Constant(_I32, lane)
            y = b.sext(b.extract_element(partial, index), I64)
            level = b.load(b.gep(self.table, [b.sub(y, self.least)]))
            levels = b.insert_element(levels, level, index)
        return levels


@instead_of(read_rows)
def _read_rows(
    cells: Any,
    at: Any,
    wide: Any,
    weighted: Any,
    opened: Any,
    n_reads: Any,
    adc: Any,
    factor: Any,
    sums: Any,
    column: Any,
) -> Any:
    def emit(context: Any, b: Any, *args: Any) -> None:
        low, high, table, least = cgutils.unpack_tuple(b, args[6], 4)
        listed = cgutils.unpack_tuple(b, args[4], 3)
        pairs = zip(opened.types, listed, strict=True)
        rows, digits, ends = (address(context, b, kind, array, 0) for kind, array in pairs)
        reads = _TileReads(
            cells=address(context, b, cells, args[0], args[1]),
            rows=rows,
            digits=digits,
            ends=ends,
            n_reads=args[5],
            low=low,
            high=high,
            table=address(context, b, adc.types[2], table, 0),
            least=least,
            factor=args[7],
            sums=address(context, b, sums, args[8], args[9]),
        )
        (n_levels,) = shape_of(context, b, adc.types[2], table)
        clamps = b.icmp_signed("==", n_levels, constant(0))
        reads.choose(b, cells.dtype.bitwidth, [args[2], args[3], clamps])

    flag = types.boolean
    signature = types.void(cells, _LONG, flag, flag, opened, _LONG, adc, _LONG, sums, _LONG)
    return signature, emit


@instead_of(put_bits)
def _put_bits(rows: Any, at: Any, word: Any, base: Any) -> Any:
    """Clear one after the other, in whole batches: no branch depends on a single bit."""

    def emit(context: Any, b: Any, array: Any, first: Any, ones: Any, offset: Any) -> Any:
        n = b.ctpop(ones)
        left = cgutils.alloca_once_value(b, ones)
        target = address(context, b, rows, array, first)
        n_batches = b.udiv(b.add(n, constant(PUT_AT_ONCE - 1)), constant(PUT_AT_ONCE))
        with cgutils.for_range(b, n_batches) as batch:
            place = b.mul(batch.index, constant(PUT_AT_ONCE))
            for k in range(PUT_AT_ONCE):
                rest = b.load(left)
                one = b.cttz(rest, ir.Constant(ir.IntType(1), 0))
                row = b.trunc(b.add(one, offset), _I32)
                b.store(row, b.gep(target, [b.add(place, constant(k))]))
                b.store(b.and_(rest, b.sub(rest, constant(1))), left)
        return n

    return _LONG(rows, _LONG, types.uint64, _LONG), emit
