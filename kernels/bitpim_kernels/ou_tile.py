"""Reads of operation units, many columns at once: AND, count the ones, convert, add up.

A *field* is the input bits, or the cell bits of one column, that meet in one OU row block: row r of
the block is bit r. Fields are integers of 16, 32 or 64 bits, one or more words a block; a row of
fields of neighbouring columns fills vector registers, one lane a column.

`read_tile` is plain Python, and below is what a compiled kernel does in its place.
"""

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from llvmlite import ir
from numba import types
from numba.core import cgutils

from bitpim_kernels.ir import (
    Lanes,
    address,
    constant,
    index_or_last,
    instead_of,
    is_contiguous,
    shape_of,
)

__all__ = ["TILE_BITS", "TILE_POSITIONS", "TileRead", "lanes_of", "read_tile"]

TILE_POSITIONS = 4
"""Positions (input vectors) that one `read_tile` reads: they share the loads of the cells."""

TILE_BITS = 1024
"""Bits of a row of fields: two registers of 512 bits share each broadcast of an input field."""

Fields = npt.NDArray[Any]


class TileRead(NamedTuple):
    """How many reads one tile makes, and how their fields lie.

    A partial sum is the sum over planes i, k of 2^(i + k) * ones(input plane i & cell plane k); the
    last `n_negative` cell planes hold cells that are subtracted before the conversion, and start
    again at significance 0. It is clamped to `low` (at most 0) .. `high`, or converted by steps,
    then added up over the blocks in the lane's own width: the caller proves that nothing leaves it.
    """

    n_blocks: int
    n_words: int
    n_input_planes: int
    n_cell_planes: int
    n_negative: int
    input_stride: int  # fields from one input plane to the next
    cell_stride: int  # rows of fields from one cell plane to the next
    low: int
    high: int


def lanes_of(bits: int) -> int:
    """Return the columns of one tile, for fields of so many bits."""
    return TILE_BITS // bits


def read_tile(
    inputs: Fields,
    position: int,
    n: int,
    at: int,
    cells: Fields,
    first: int,
    read: TileRead,
    steps: npt.NDArray[np.int64],
    totals: npt.NDArray[np.int32],
    column: int,
) -> None:
    """Add the converted partial sums of 1 to 4 positions to ``totals[:n, column:]``, one tile wide.

    Shapes
    ------
    inputs: (positions, fields) uint16, uint32 or uint64; the tile's begin at field `at`
    cells: (rows, lanes) of the same dtype; the tile's begin at row `first`
    steps: (n_steps, 2) a partial sum of at least the first reads as the second more; no clamp then
    totals: (n or more, columns)
    """
    for p in range(n):
        for lane in range(cells.shape[1]):
            total = 0
            for block in range(read.n_blocks):
                partial = _partial_sum(
                    inputs[position + p, at:], cells[first:, lane], read, block * read.n_words
                )
                if len(steps):
                    total += sum(int(rise) for reached, rise in steps if partial >= reached)
                else:
                    total += min(max(partial, int(read.low)), int(read.high))
            totals[p, column + lane] += total


def _partial_sum(inputs: Fields, cells: Fields, read: TileRead, word: int) -> int:
    partial = 0
    n_positive = read.n_cell_planes - read.n_negative
    for i in range(read.n_input_planes):
        for k in range(read.n_cell_planes):
            ones = 0
            for w in range(word, word + read.n_words):
                x, g = inputs[i * read.input_stride + w], cells[k * read.cell_stride + w]
                ones += (int(x) & int(g)).bit_count()
            partial += (ones << (i + k)) if k < n_positive else -(ones << (i + k - n_positive))
    return partial


_PLAIN_FORMS = ((1, 1), (2, 1), (1, 2), (2, 2), (1, 4), (2, 4))
"""Words and cell planes that have code of their own: OUs to 64 and 128 rows, cells of 1, 2, 4."""

_LONG = types.int64


class _Tile(Lanes):
    """Emits the reads of a tile: all loops in registers, sums of all positions side by side."""

    def __init__(self, builder: Any, width: int, read: Any, steps: Any, n_steps: Any) -> None:
        super().__init__(builder, lanes_of(width), width)
        self.steps, self.n_steps = steps, n_steps
        names = TileRead._fields
        self.read = {name: builder.extract_value(read, i) for i, name in enumerate(names)}
        self.sums = [self.variable() for _ in range(TILE_POSITIONS)]
        self.partials = [self.variable() for _ in range(TILE_POSITIONS)]
        name = f"llvm.ctpop.v{self.n}i{width}"
        kind = ir.FunctionType(self.vector, [self.vector])
        self.ctpop = cgutils.get_or_insert_function(builder.module, kind, name)

    def row(self, base: Any, index: Any) -> Any:
        b = self.builder
        return self.load(b.gep(base, [b.mul(index, constant(self.n))]))

    def ones(self, x: Any, cells: Any) -> Any:
        return self.builder.call(self.ctpop, [self.builder.and_(self.splat(x), cells)])

    def add_steps(self, total: Any, partial: Any) -> None:
        """Add the rises of all steps that the partial sums reach."""
        b = self.builder
        with cgutils.for_range(b, self.n_steps) as step:
            at = b.mul(step.index, constant(2))
            places = (b.gep(self.steps, [b.add(at, constant(i))]) for i in range(2))
            reached, rise = (self.splat(b.load(place)) for place in places)
            self.add_to(total, b.select(b.icmp_signed(">=", partial, reached), rise, self.all(0)))

    def plain(self, n_words: int, n_planes: int, inputs: list[Any], cells: Any) -> None:
        """One input plane, words and cell planes known: no loop inside that over blocks."""
        b = self.builder
        with cgutils.for_range(b, self.read["n_blocks"]) as block:
            word = b.mul(block.index, constant(n_words))
            words = [b.add(word, constant(w)) for w in range(n_words)]
            planes = [b.mul(constant(k), self.read["cell_stride"]) for k in range(n_planes)]
            rows = [[self.row(cells, b.add(plane, w)) for w in words] for plane in planes]
            for position, total in zip(inputs, self.sums, strict=True):
                fields = [b.load(b.gep(position, [w])) for w in words]
                partial = self.all(0)
                for plane_rows in reversed(rows):  # doubled from plane to plane
                    partial = b.add(partial, partial)
                    for x, row in zip(fields, plane_rows, strict=True):
                        partial = b.add(partial, self.ones(x, row))
                self.add_to(total, self.at_most(partial, self.splat(self.read["high"])))

    def general(self, inputs: list[Any], cells: Any) -> None:
        """Any number of planes and words."""
        b, read = self.builder, self.read
        n_positive = b.sub(read["n_cell_planes"], read["n_negative"])
        with cgutils.for_range(b, read["n_blocks"]) as block:
            base = b.mul(block.index, read["n_words"])
            for partial in self.partials:
                b.store(self.all(0), partial)
            with (
                cgutils.for_range(b, read["n_cell_planes"]) as k,
                cgutils.for_range(b, read["n_input_planes"]) as i,
            ):
                negative = b.icmp_signed(">=", k.index, n_positive)
                plane = b.select(negative, b.sub(k.index, n_positive), k.index)
                factor = b.shl(constant(1), b.add(i.index, plane))
                factor = self.splat(b.select(negative, b.neg(factor), factor))
                in_cells = b.add(b.mul(k.index, read["cell_stride"]), base)
                in_inputs = b.add(b.mul(i.index, read["input_stride"]), base)
                with cgutils.for_range(b, read["n_words"]) as word:
                    row = self.row(cells, b.add(in_cells, word.index))
                    for position, partial in zip(inputs, self.partials, strict=True):
                        x = b.load(b.gep(position, [b.add(in_inputs, word.index)]))
                        self.add_to(partial, b.mul(self.ones(x, row), factor))
            for place, total in zip(self.partials, self.sums, strict=True):
                self.convert(total, b.load(place))

    def convert(self, total: Any, partial: Any) -> None:
        """Add what the converter makes of partial sums of either sign."""
        with self.builder.if_else(self.has_steps()) as (stepped, clamped):
            with stepped:
                self.add_steps(total, partial)
            with clamped:
                within = self.at_most(partial, self.splat(self.read["high"]))
                self.add_to(total, self.at_least(within, self.splat(self.read["low"])))

    def has_steps(self) -> Any:
        return self.builder.icmp_signed(">", self.n_steps, constant(0))

    def is_plain(self, n_words: int, n_planes: int) -> Any:
        b, read = self.builder, self.read
        known = {"n_input_planes": 1, "n_words": n_words, "n_cell_planes": n_planes}
        found = b.icmp_signed("==", read["n_negative"], constant(0))
        found = b.and_(found, b.not_(self.has_steps()))
        for name, value in known.items():
            found = b.and_(found, b.icmp_signed("==", read[name], constant(value)))
        return found

    def reads(self, inputs: list[Any], cells: Any, forms: tuple[tuple[int, int], ...]) -> None:
        """Emit the first plain form that fits, else the general one."""
        if not forms:
            self.general(inputs, cells)
            return
        with self.builder.if_else(self.is_plain(*forms[0])) as (fits, other):
            with fits:
                self.plain(*forms[0], inputs, cells)
            with other:
                self.reads(inputs, cells, forms[1:])

    def add_totals(self, places: list[Any]) -> None:
        """Add the sums of the lanes in int32; load all before storing any."""
        b, totals = self.builder, Lanes(self.builder, self.n, 32)
        pairs = zip(places, self.sums, strict=True)
        found = [b.add(totals.load(place), totals.of(b.load(total))) for place, total in pairs]
        for place, value in zip(places, found, strict=True):
            totals.store(value, place)


@instead_of(read_tile)
def _read_tile(
    inputs: Any,
    position: Any,
    n: Any,
    at: Any,
    cells: Any,
    first: Any,
    read: Any,
    steps: Any,
    totals: Any,
    column: Any,
) -> Any:
    if not is_contiguous(inputs, cells, steps, totals):
        return None

    def emit(context: Any, b: Any, *args: Any) -> None:
        offsets = [index_or_last(b, p, args[2]) for p in range(TILE_POSITIONS)]
        rows = [b.add(args[1], p) for p in offsets]
        found = [address(context, b, inputs, args[0], row, args[3]) for row in rows]
        n_steps, _ = shape_of(context, b, steps, args[7])
        steps_at = address(context, b, steps, args[7], 0, 0)
        tile = _Tile(b, cells.dtype.bitwidth, args[6], steps_at, n_steps)
        for place in tile.sums:
            b.store(tile.all(0), place)
        tile.reads(found, address(context, b, cells, args[4], args[5], 0), _PLAIN_FORMS)
        tile.add_totals([address(context, b, totals, args[8], p, args[9]) for p in offsets])

    signature = types.void(inputs, _LONG, _LONG, _LONG, cells, _LONG, read, steps, totals, _LONG)
    return signature, emit
