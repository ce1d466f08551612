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
    "READS",
    "SATURATED",
    "add_digits",
    "count_codes",
    "count_taps",
    "cut_planes",
]

READS, OPERANDS, ADDERS, NEGATIVES, SATURATED, LARGEST, N_SUMS = range(7)
"""Where an array of sums holds each event."""

LANES = 64
"""Positions of a tile: two registers of 256 bits, and one word of verdicts."""

LONGEST = 170
"""Taps that are counted together at most: a count of 170 and its half still fit a byte."""

Bytes = npt.NDArray[np.uint8]
Codes = npt.NDArray[Any]  # uint8 or uint16
Taps = npt.NDArray[np.int32]
Words = npt.NDArray[np.uint64]


def count_taps(
    tile: Codes, taps: Taps, start: int, n: int, lit: Bytes, rows: Codes, counts: Bytes, at: int
) -> None:
    """Write how often the code of each of n taps is met among them: at its first, and 0 elsewhere.

    `n` is LONGEST at most. Row ``at + i`` of `rows` and `counts` is that of ``taps[start + i]``.

    Shapes
    ------
    tile: (n_taps, LANES)
    taps: flat
    lit: (LANES,) 255 where a lane holds a position, else 0
    rows, counts: (at least at + n, LANES) codes, and how often they are met
    """
    found = tile[taps[start : start + n]]
    rows[at : at + n] = found
    for i in range(n):
        again = (found[:i] == found[i]).any(axis=0)
        n_met = (found[i:] == found[i]).sum(axis=0)
        counts[at + i] = np.where(again, 0, n_met).astype(np.uint8) & lit


def count_codes(
    tile: Codes,
    taps: Taps,
    start: int,
    n: int,
    lit: Bytes,
    rows: Codes,
    counts: Bytes,
    at: int,
    n_codes: int,
) -> None:
    """Write how often each code 0 .. n_codes - 1 is met among n taps, LONGEST at most.

    There are n codes at most. Row ``at + code`` of `rows` and `counts` is that of the code.
    Shapes are as in `count_taps`.
    """
    found = tile[taps[start : start + n]]
    for code in range(n_codes):
        rows[at + code] = code
        counts[at + code] = (found == code).sum(axis=0).astype(np.uint8) & lit


def add_digits(
    counts: Bytes,
    n: int,
    signed: bool,
    digits: npt.NDArray[np.int32],
    sums: npt.NDArray[np.int64],
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


def cut_planes(
    counts: Bytes, row: int, n_planes: int, planes: Words, largest: Bytes
) -> np.uint64:
    """Write the bits of a row of counts, a word each; return in which lanes the count is not 0.

    Shapes
    ------
    planes: (at least n_planes,) lane l at bit l
    largest: (LANES,) grows to the counts
    """
    largest[:] = np.maximum(largest, counts[row])
    bits = counts[row][:, None] >> np.arange(8) & 1
    words = np.packbits(bits, axis=0, bitorder="little").T.copy().view(np.uint64)[:, 0]
    planes[:n_planes] = words[:n_planes]
    return np.bitwise_or.reduce(words)


_LONG = types.int64


def _each(builder: Any, start: Any, stop: Any) -> Any:
    return cgutils.for_range_slice(builder, start, stop, constant(1), I64)


def _row(builder: Any, base: Any, i: Any) -> Any:
    """Emit the address of a row of a tile."""
    return builder.gep(base, [builder.mul(i, constant(LANES))])


class _Rows:
    """The rows of some taps, side by side, and what is counted of them."""

    def __init__(self, b: Any, width: int, rows: Any, n: Any, lit: Any) -> None:
        self.codes, self.bytes = Lanes(b, LANES, width), Lanes(b, LANES, 8)
        self.rows, self.n, self.lit = rows, n, self.bytes.load(lit)

    def gather(self, tile: Any, taps: Any) -> None:
        b = self.codes.builder
        with _each(b, constant(0), self.n) as (i, _):
            tap = b.sext(b.load(b.gep(taps, [i])), I64)
            self.codes.store(self.codes.load(_row(b, tile, tap)), _row(b, self.rows, i))

    def verdicts(self, start: Any, stop: Any, code: Any) -> Any:
        """Emit the sum of what rows of a range say of a code, -1 where they hold it."""
        b, total = self.codes.builder, self.bytes.variable()
        b.store(self.bytes.all(0), total)
        with _each(b, start, stop) as (j, _):
            alike = b.icmp_signed("==", self.codes.load(_row(b, self.rows, j)), code)
            b.store(b.add(b.load(total), b.sext(alike, self.bytes.vector)), total)
        return b.load(total)

    def write(self, verdicts: Any, lit: Any, place: Any) -> None:
        """Emit a store of how many verdicts there are, in lanes that are lit."""
        b = self.codes.builder
        self.bytes.store(b.and_(b.sub(self.bytes.all(0), verdicts), lit), place)


def _found(context: Any, b: Any, kinds: tuple[Any, ...], args: tuple[Any, ...]) -> _Rows:
    """Emit the rows of a group, gathered where they are to lie."""
    tile, taps, lit, rows = (kinds[k] for k in (0, 1, 4, 5))
    found = _Rows(
        b,
        tile.dtype.bitwidth,
        address(context, b, rows, args[5], args[7], 0),
        args[3],
        address(context, b, lit, args[4], 0),
    )
    found.gather(
        address(context, b, tile, args[0], 0, 0), address(context, b, taps, args[1], args[2])
    )
    return found


@instead_of(count_taps)
def _count_taps(
    tile: Any, taps: Any, start: Any, n: Any, lit: Any, rows: Any, counts: Any, at: Any
) -> Any:
    kinds = (tile, taps, _LONG, _LONG, lit, rows, counts, _LONG)

    def emit(context: Any, b: Any, *args: Any) -> None:
        found = _found(context, b, kinds, args)
        out = address(context, b, counts, args[6], args[7], 0)
        octets = found.bytes
        with _each(b, constant(0), args[3]) as (i, _):
            code = found.codes.load(_row(b, found.rows, i))
            before = found.verdicts(constant(0), i, code)
            is_first = b.sext(b.icmp_signed("==", before, octets.all(0)), octets.vector)
            met = found.verdicts(i, args[3], code)
            found.write(met, b.and_(found.lit, is_first), _row(b, out, i))

    return types.void(*kinds), emit


@instead_of(count_codes)
def _count_codes(
    tile: Any, taps: Any, start: Any, n: Any, lit: Any, rows: Any, counts: Any, at: Any, n_codes: Any
) -> Any:
    kinds = (tile, taps, _LONG, _LONG, lit, rows, counts, _LONG, _LONG)

    def emit(context: Any, b: Any, *args: Any) -> None:
        found = _found(context, b, kinds, args)
        out = address(context, b, counts, args[6], args[7], 0)
        with _each(b, constant(0), args[8]) as (code, _):
            met = found.verdicts(constant(0), args[3], found.codes.splat(code))
            found.write(met, found.lit, _row(b, out, code))
        with _each(b, constant(0), args[8]) as (code, _):
            found.codes.store(found.codes.splat(code), _row(b, found.rows, code))

    return types.void(*kinds), emit


@instead_of(add_digits)
def _add_digits(counts: Any, n: Any, signed: Any, digits: Any, sums: Any) -> Any:
    """Add in bytes, and widen once."""

    def emit(context: Any, b: Any, *args: Any) -> None:
        lanes = Lanes(b, LANES, 8)
        base = address(context, b, counts, args[0], 0, 0)
        total, reads, negative, largest = (lanes.variable() for _ in range(4))
        for variable in (total, reads, negative, largest):
            b.store(lanes.all(0), variable)

        def add(variable: Any, vector: Any) -> None:
            b.store(b.add(b.load(variable), vector), variable)

        with b.if_else(args[2]) as (recoded, plain):
            for branch, is_signed in ((recoded, True), (plain, False)):
                with branch, _each(b, constant(0), args[1]) as (i, _):
                    n_met = lanes.load(_row(b, base, i))
                    lit = n_met
                    if is_signed:
                        half = b.lshr(n_met, lanes.all(1))
                        lit = b.xor(b.add(n_met, half), half)
                        add(negative, _popcount(b, b.and_(lit, half)))
                    add(total, _popcount(b, lit))
                    met = b.icmp_unsigned("!=", n_met, lanes.all(0))
                    b.store(b.sub(b.load(reads), b.sext(met, lanes.vector)), reads)
                    b.store(_larger(b, n_met, b.load(largest)), largest)
        wide = Lanes(b, LANES, 32)
        place = address(context, b, digits, args[3], 0)
        wide.add_to(place, b.zext(b.load(total), wide.vector))
        for k, variable in ((READS, reads), (NEGATIVES, negative)):
            place = address(context, b, sums, args[4], k)
            b.store(b.add(b.load(place), _sum(b, b.load(variable))), place)
        place = address(context, b, sums, args[4], LARGEST)
        most, old = _most(b, b.load(largest)), b.load(place)
        b.store(b.select(b.icmp_signed(">", most, old), most, old), place)

    return types.void(counts, _LONG, types.boolean, digits, sums), emit


@instead_of(cut_planes)
def _cut_planes(counts: Any, row: Any, n_planes: Any, planes: Any, largest: Any) -> Any:
    def emit(context: Any, b: Any, *args: Any) -> Any:
        lanes = Lanes(b, LANES, 8)
        n_met = lanes.load(address(context, b, counts, args[0], args[1], 0))
        out = address(context, b, planes, args[3], 0)
        place = address(context, b, largest, args[4], 0)
        lanes.store(_larger(b, n_met, lanes.load(place)), place)
        for k in range(8):
            with b.if_then(b.icmp_signed(">", args[2], constant(k))):
                top = b.shl(n_met, lanes.all(7 - k))
                b.store(_word(b, b.icmp_signed("<", top, lanes.all(0))), b.gep(out, [constant(k)]))
        return _word(b, b.icmp_signed("!=", n_met, lanes.all(0)))

    return types.uint64(counts, _LONG, _LONG, planes, largest), emit


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
