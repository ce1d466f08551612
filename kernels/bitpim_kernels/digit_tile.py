"""Rows of counts, a byte for each of 64 lanes, in vector registers: their digits, and their bits.

Each function is plain Python, and below is what a compiled kernel does in its place.
"""

from typing import Any

import numpy as np
import numpy.typing as npt
from llvmlite import ir
from numba import types
from numba.core import cgutils

from bitpim_kernels.ir import I64, Lanes, address, constant, instead_of
from bitpim_kernels.pair_tile import LANES, each_row, row_address

__all__ = [
    "ADDERS",
    "LARGEST",
    "NEGATIVES",
    "N_SUMS",
    "OPERANDS",
    "PLANES",
    "READS",
    "SATURATED",
    "Events",
    "add_digits",
    "cut_planes",
    "ones_of",
]

PLANES = 9
"""Words of a row of counts: the bits of a byte, and a word that is 0."""

READS, OPERANDS, ADDERS, NEGATIVES, SATURATED, LARGEST, N_SUMS = range(7)
"""Where an array of sums holds each event."""

Bytes = npt.NDArray[np.uint8]
Ints = npt.NDArray[np.int64]
Words = npt.NDArray[np.uint64]


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


class Events:
    """Events of a register of lanes or more, added in bytes, widened once."""

    def __init__(self, b: Any, lanes: Lanes) -> None:
        self.b, self.lanes = b, lanes
        self.digits, self.reads, self.negative, self.largest = (lanes.variable() for _ in range(4))
        for variable in (self.digits, self.reads, self.negative, self.largest):
            b.store(lanes.all(0), variable)

    def add(self, variable: Any, vector: Any) -> None:
        """Emit an addition to bytes, which wrap."""
        self.b.store(self.b.add(self.b.load(variable), vector), variable)

    def take(self, variable: Any, vector: Any) -> None:
        """Emit a subtraction from bytes, which wrap; of all ones it adds 1."""
        self.b.store(self.b.sub(self.b.load(variable), vector), variable)

    def enlarge(self, n_met: Any) -> None:
        """Emit the larger of counts and those met so far."""
        self.b.store(_larger(self.b, n_met, self.b.load(self.largest)), self.largest)

    def finish(
        self, context: Any, kinds: Any, digits: Any, sums: Any, lane: int = 0, lit: Any = None
    ) -> None:
        """Emit the addition of lit lanes to arrays of digits, from a lane on, and of sums."""
        b = self.b

        def found(variable: Any) -> Any:
            return b.load(variable) if lit is None else b.and_(b.load(variable), lit)

        wide = Lanes(b, self.lanes.n, 32)
        place = address(context, b, kinds[0], digits, lane)
        wide.add_to(place, b.zext(found(self.digits), wide.vector))
        for k, variable in ((READS, self.reads), (NEGATIVES, self.negative)):
            place = address(context, b, kinds[1], sums, k)
            b.store(b.add(b.load(place), _sum(b, found(variable))), place)
        place = address(context, b, kinds[1], sums, LARGEST)
        most, old = _most(b, found(self.largest)), b.load(place)
        b.store(b.select(b.icmp_signed(">", most, old), most, old), place)


@instead_of(add_digits)
def _add_digits(counts: Any, n: Any, signed: Any, digits: Any, sums: Any) -> Any:
    def emit(context: Any, b: Any, *args: Any) -> None:
        lanes = Lanes(b, LANES, 8)
        events, base = Events(b, lanes), address(context, b, counts, args[0], 0, 0)
        with b.if_else(args[2]) as branches:
            for branch, is_signed in zip(branches, (True, False), strict=True):
                with branch, each_row(b, constant(0), args[1]) as (i, _):
                    _count(events, lanes.load(row_address(b, base, i)), is_signed)
        events.finish(context, (digits, sums), args[3], args[4])

    return types.void(counts, _LONG, types.boolean, digits, sums), emit


def _count(events: Events, n_met: Any, is_signed: bool) -> None:
    """Emit the events of a row of counts."""
    b, lanes = events.b, events.lanes
    ones = n_met
    if is_signed:
        half = b.lshr(n_met, lanes.all(1))
        more = b.add(n_met, half)
        ones = b.xor(more, half)
        ninth = b.sext(b.icmp_unsigned("<", more, half), lanes.vector)  # -1 if it is 1
        events.take(events.digits, ninth)
        events.add(events.negative, ones_of(b, b.and_(ones, half)))
    events.add(events.digits, ones_of(b, ones))
    is_read = b.icmp_unsigned("!=", n_met, lanes.all(0))
    events.take(events.reads, b.sext(is_read, lanes.vector))
    events.enlarge(n_met)


@instead_of(cut_planes)
def _cut_planes(counts: Any, n: Any, n_planes: Any, planes: Any, largest: Any) -> Any:
    def emit(context: Any, b: Any, *args: Any) -> Any:
        lanes = Lanes(b, LANES, 8)
        base = address(context, b, counts, args[0], 0, 0)
        out = address(context, b, planes, args[3], 0, 0)
        most, n_met = lanes.variable(), cgutils.alloca_once_value(b, constant(0))
        place = address(context, b, largest, args[4], 0)
        b.store(lanes.load(place), most)
        with each_row(b, constant(0), args[1]) as (i, _):
            row = lanes.load(row_address(b, base, i))
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


def ones_of(b: Any, vector: Any) -> Any:
    """Emit how many ones each element has."""
    return _intrinsic(b, "ctpop", vector.type, vector)


def _sum(b: Any, vector: Any) -> Any:
    wide = b.zext(vector, ir.VectorType(ir.IntType(16), vector.type.count))
    total = _intrinsic(b, "vector.reduce.add", ir.IntType(16), wide)
    return b.zext(total, I64)


def _most(b: Any, vector: Any) -> Any:
    return b.zext(_intrinsic(b, "vector.reduce.umax", ir.IntType(8), vector), I64)
