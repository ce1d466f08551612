"""One tile of columns whose open rows are listed: add their cells, convert, add up.

A tile is 16 or 64 columns side by side, one lane each; lanes are as wide as a partial sum needs, so
that opening a row is one addition of vectors. `read_rows` and `put_bits` are plain Python, used as
they stand when a kernel runs through ``.py_func``, and intrinsics of the same meaning that Numba
puts in their place when it compiles the kernel.
"""

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic, overload

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
_I64 = ir.IntType(64)


def _constant(value: int) -> Any:
    return ir.Constant(_I64, value)


def _address(context: Any, builder: Any, kind: Any, array: Any, start: Any) -> Any:
    return builder.gep(context.make_array(kind)(context, builder, array).data, [start])


class _Emitter:
    """Emits the reads of one tile: partial sums and levels stay in registers."""

    def __init__(self, builder: Any, lanes: int, width: int) -> None:
        self.builder, self.lanes = builder, lanes
        self.element = ir.IntType(width)
        self.vector = ir.VectorType(self.element, lanes)
        self.levels = ir.VectorType(_I32, lanes)

    def zeros(self, vector: Any) -> Any:
        return ir.Constant(vector, [0] * self.lanes)

    def splat(self, element: Any) -> Any:
        nothing = ir.Constant(ir.VectorType(element.type, self.lanes), ir.Undefined)
        one = self.builder.insert_element(nothing, element, ir.Constant(_I32, 0))
        order = ir.Constant(ir.VectorType(_I32, self.lanes), [0] * self.lanes)
        return self.builder.shuffle_vector(one, nothing, order)

    def fitted(self, value: Any) -> Any:
        """Return an integer in the width of a lane."""
        if value.type.width == self.element.width:
            return value
        fit = self.builder.trunc if value.type.width > self.element.width else self.builder.sext
        return fit(value, self.element)

    def partial_sum(self, cells: Any, opened: list[Any], bounds: list[Any], weighted: bool) -> Any:
        b, (rows, digits, _) = self.builder, opened
        total = cgutils.alloca_once(b, self.vector)
        b.store(self.zeros(self.vector), total)
        with cgutils.for_range_slice(b, *bounds, _constant(1), _I64) as (j, _):
            row = b.sext(b.load(b.gep(rows, [j])), _I64)
            address = b.gep(cells, [b.mul(row, _constant(self.lanes))])
            address = b.bitcast(address, self.vector.as_pointer())
            value = b.load(address, align=self.element.width // 8)
            if weighted:
                value = b.mul(value, self.splat(self.fitted(b.load(b.gep(digits, [j])))))
            b.store(b.add(b.load(total), value), total)
        return b.load(total)

    def clamped(self, partial: Any, low: Any, high: Any) -> Any:
        b = self.builder
        low, high = self.splat(self.fitted(low)), self.splat(self.fitted(high))
        partial = b.select(b.icmp_signed("<", partial, high), partial, high)
        partial = b.select(b.icmp_signed(">", partial, low), partial, low)
        return partial if self.element.width == _I32.width else b.sext(partial, self.levels)

    def looked_up(self, partial: Any, table: Any, least: Any) -> Any:
        b = self.builder
        levels = ir.Constant(self.levels, ir.Undefined)
        for lane in range(self.lanes):
            index = ir.Constant(_I32, lane)
            y = b.sext(b.extract_element(partial, index), _I64)
            levels = b.insert_element(levels, b.load(b.gep(table, [b.sub(y, least)])), index)
        return levels

    def add_to(self, sums: Any, levels: Any, factor: Any) -> None:
        b = self.builder
        wide = ir.VectorType(_I64, self.lanes)
        place = b.bitcast(sums, wide.as_pointer())
        product = b.mul(b.sext(levels, wide), self.splat(factor))
        b.store(b.add(b.load(place, align=8), product), place, align=8)


class _TileReads(NamedTuple):
    """LLVM values that all forms of reading a tile share."""

    cells: Any
    opened: list[Any]
    n_reads: Any
    low: Any
    high: Any
    table: Any
    least: Any
    factor: Any
    sums: Any

    def emit(self, emitter: _Emitter, *, weighted: bool, clamps: bool) -> None:
        b = emitter.builder
        totals = cgutils.alloca_once(b, emitter.levels)
        b.store(emitter.zeros(emitter.levels), totals)
        start = cgutils.alloca_once(b, _I64)
        b.store(_constant(0), start)
        with cgutils.for_range(b, self.n_reads) as read:
            end = b.sext(b.load(b.gep(self.opened[2], [read.index])), _I64)
            partial = emitter.partial_sum(self.cells, self.opened, [b.load(start), end], weighted)
            if clamps:
                levels = emitter.clamped(partial, self.low, self.high)
            else:
                levels = emitter.looked_up(partial, self.table, self.least)
            b.store(b.add(b.load(totals), levels), totals)
            b.store(end, start)
        emitter.add_to(self.sums, b.load(totals), self.factor)

    def choose(self, builder: Any, width: int, flags: list[Any], *chosen: bool) -> None:
        """Emit a form for each way that the flags wide, weighted, clamps can stand."""
        if not flags:
            wide, weighted, clamps = chosen
            emitter = _Emitter(builder, WIDE_LANES if wide else NARROW_LANES, width)
            self.emit(emitter, weighted=weighted, clamps=clamps)
            return
        with builder.if_else(flags[0]) as (yes, no):
            with yes:
                self.choose(builder, width, flags[1:], *chosen, True)
            with no:
                self.choose(builder, width, flags[1:], *chosen, False)


@intrinsic  # type: ignore[untyped-decorator]
def _read_rows(
    typing_context: Any,
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
    def emit(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        def address(kind: Any, array: Any, start: Any = None) -> Any:
            return _address(context, builder, kind, array, start or _constant(0))

        low, high, table, least = cgutils.unpack_tuple(builder, args[6], 4)
        listed = cgutils.unpack_tuple(builder, args[4], 3)
        struct = context.make_array(adc.types[2])(context, builder, table)
        clamps = builder.icmp_signed("==", struct.nitems, _constant(0))
        reads = _TileReads(
            address(cells, args[0], args[1]),
            [address(kind, array) for kind, array in zip(opened.types, listed, strict=True)],
            args[5],
            low,
            high,
            struct.data,
            least,
            args[7],
            address(sums, args[8], args[9]),
        )
        reads.choose(builder, cells.dtype.bitwidth, [args[2], args[3], clamps])
        return context.get_dummy_value()

    long, flag = types.int64, types.boolean
    return types.void(cells, long, flag, flag, opened, long, adc, long, sums, long), emit


@overload(read_rows, strict=False)  # type: ignore[untyped-decorator]
def _overload_read_rows(
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
    return lambda cells, at, wide, weighted, opened, n_reads, adc, factor, sums, column: _read_rows(
        cells, at, wide, weighted, opened, n_reads, adc, factor, sums, column
    )


@intrinsic  # type: ignore[untyped-decorator]
def _put_bits(typing_context: Any, rows: Any, at: Any, word: Any, base: Any) -> Any:
    """Clear one after the other, in whole batches: no branch depends on a single bit."""

    def emit(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        b = builder
        n = b.ctpop(args[2])
        last = b.add(n, _constant(PUT_AT_ONCE - 1))
        left = cgutils.alloca_once(b, _I64)
        b.store(args[2], left)
        target = _address(context, b, rows, args[0], args[1])
        with cgutils.for_range(b, b.udiv(last, _constant(PUT_AT_ONCE))) as batch:
            first = b.mul(batch.index, _constant(PUT_AT_ONCE))
            for k in range(PUT_AT_ONCE):
                ones = b.load(left)
                place = b.cttz(ones, ir.Constant(ir.IntType(1), 0))
                row = b.trunc(b.add(place, args[3]), _I32)
                b.store(row, b.gep(target, [b.add(first, _constant(k))]))
                b.store(b.and_(ones, b.sub(ones, _constant(1))), left)
        return n

    return types.int64(rows, types.int64, types.uint64, types.int64), emit


@overload(put_bits, strict=False)  # type: ignore[untyped-decorator]
def _overload_put_bits(rows: Any, at: Any, word: Any, base: Any) -> Any:
    return lambda rows, at, word, base: _put_bits(rows, at, word, base)
