"""Reads of operation units whose rows are listed: find the open rows, read all columns, join.

Columns that open the same rows form a *list*. For each input vector and input slice the rows of a
list that have an input are found once, from bits, and cut into reads; then all its columns are
read, tile by tile. Rows without an input add nothing to a partial sum and are passed over.

Kernels are serial and release the GIL: callers share positions out over threads.
"""

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from bitpim_kernels.jit import kernel
from bitpim_kernels.list_tile import (
    NARROW_LANES,
    WIDE_LANES,
    Converter,
    OpenRows,
    put_bits,
    read_rows,
)
from bitpim_kernels.vector import popcount

__all__ = [
    "RowLists",
    "RowSets",
    "count_active_rows",
    "read_lists",
    "tally_lists",
]

Ints = npt.NDArray[np.int64]
Words = npt.NDArray[np.uint64]


class RowSets(NamedTuple):
    """Sets of rows as bits.

    Shapes
    ------
    first_rows: (n_sets,) first row of each set
    starts: (n_sets + 1,) where each set begins in `masks`
    masks: bit r of a set's word w is row 64 * (first_row // 64 + w) + r
    """

    first_rows: Ints
    starts: Ints
    masks: Words


class RowLists(NamedTuple):
    """Sets of rows, each with the cells of all columns that open it.

    A list's cells are those from its first to its last row; rows between that it does not keep are
    there too, and never read.

    Shapes
    ------
    cut_starts: (n_lists + 1,) where each list begins in `cuts`
    cuts: the row after the last one of each read, where all rows are opened
    cell_starts: (n_lists + 1,) where each begins in `cells`
    cells: flat int8, int16 or int32, tile by tile, row by row
    column_starts: (n_lists + 1,) where each begins in `outputs`, whole narrow tiles
    outputs: int32, output that a column adds to; 0 for columns that only fill a tile
    factors: int32, factor of its sum; 0 for columns that only fill a tile
    """

    sets: RowSets
    cut_starts: Ints
    cuts: Ints
    cell_starts: Ints
    cells: npt.NDArray[Any]
    column_starts: Ints
    outputs: npt.NDArray[np.int32]
    factors: npt.NDArray[np.int32]


@kernel()
def read_lists(
    inputs: Words,
    lists: RowLists,
    adc: Converter,
    input_factors: Ints,
    packed_rows: int,
    opened: OpenRows,
    sums: Ints,
    out: Ints,
) -> None:
    """Add what the digital side makes of all reads to `out`.

    Packed, a read opens the next `packed_rows` rows that have an input, and a list without any is
    not read. With 0 for `packed_rows`, reads end at `cuts`, whatever the inputs. The caller proves
    that partial sums fit the cells' type, and the levels of one column and input slice int32.

    Shapes
    ------
    inputs: (positions, n_slices, n_planes, n_words) bit r of word w is row 64 * w + r
    input_factors: (n_slices,)
    opened: scratch
    sums: (most columns of a list,) scratch
    out: (positions, n_outputs)

    Source: SRE (ISCA 2019; semantics recalled).
    """
    weighted = inputs.shape[2] > 1
    for i in range(lists.sets.first_rows.shape[0]):
        first_row = lists.sets.first_rows[i]
        masks = lists.sets.masks[lists.sets.starts[i] : lists.sets.starts[i + 1]]
        cuts = lists.cuts[lists.cut_starts[i] : lists.cut_starts[i + 1]]
        columns = slice(lists.column_starts[i], lists.column_starts[i + 1])
        outputs, factors = lists.outputs[columns], lists.factors[columns]
        totals = sums[: outputs.shape[0]]
        cells = lists.cells[lists.cell_starts[i] : lists.cell_starts[i + 1]]
        for p in range(inputs.shape[0]):
            totals[:] = 0
            for s in range(inputs.shape[1]):
                n = _list_rows(inputs[p, s], first_row, masks, opened.rows)
                if weighted:
                    _take_digits(inputs[p, s], first_row, n, opened)
                n_reads = _cut(n, cuts, first_row, packed_rows, opened)
                _read_list(cells, opened, n_reads, weighted, adc, input_factors[s], totals)
            for c in range(outputs.shape[0]):
                out[p, outputs[c]] += factors[c] * totals[c]


@kernel()
def _list_rows(planes: Words, first_row: int, masks: Words, rows: npt.NDArray[np.int32]) -> int:
    """List the rows of one set that have an input; return how many."""
    n = 0
    for at in range(masks.shape[0]):
        w = first_row // 64 + at
        word = planes[0, w]
        for k in range(1, planes.shape[0]):
            word |= planes[k, w]
        n += put_bits(rows, n, word & masks[at], 64 * w - first_row)
    return n


@kernel()
def _take_digits(planes: Words, first_row: int, n: int, opened: OpenRows) -> None:
    for j in range(n):
        row = first_row + opened.rows[j]
        digit = np.uint64(0)
        for k in range(planes.shape[0]):
            bit = (planes[k, row // 64] >> np.uint64(row % 64)) & np.uint64(1)
            digit |= bit << np.uint64(k)
        opened.digits[j] = np.int64(digit)


@kernel()
def _cut(n: int, cuts: Ints, first_row: int, packed_rows: int, opened: OpenRows) -> int:
    """Cut n open rows into reads; return how many."""
    if packed_rows > 0:
        n_reads = (n + packed_rows - 1) // packed_rows
        for r in range(n_reads):
            opened.ends[r] = min(n, (r + 1) * packed_rows)
        return n_reads
    at = 0
    for r in range(cuts.shape[0]):
        while at < n and opened.rows[at] < cuts[r] - first_row:
            at += 1
        opened.ends[r] = at
    return len(cuts)


@kernel()
def _read_list(
    cells: npt.NDArray[Any],
    opened: OpenRows,
    n_reads: int,
    weighted: bool,
    adc: Converter,
    factor: int,
    sums: Ints,
) -> None:
    n_columns = sums.shape[0]
    height = cells.shape[0] // n_columns
    column = 0
    while column < n_columns:
        wide = n_columns - column >= WIDE_LANES
        at = column * height
        read_rows(cells, at, wide, weighted, opened, n_reads, adc, factor, sums, column)
        column += WIDE_LANES if wide else NARROW_LANES


@kernel()
def tally_lists(
    inputs: Words,
    repeats: Ints,
    lists: RowLists,
    packed_rows: int,
    least: int,
    opened: OpenRows,
    out: Ints,
) -> None:
    """Count how often each partial sum occurs in reads that have an input.

    A read of input slice s is counted ``repeats[s]`` times.

    Shapes
    ------
    inputs, packed_rows, opened: as `read_lists`
    repeats: (n_slices,)
    out: (n,) ``out[y - least]`` counts partial sum y; added to
    """
    for i in range(lists.sets.first_rows.shape[0]):
        first_row = lists.sets.first_rows[i]
        masks = lists.sets.masks[lists.sets.starts[i] : lists.sets.starts[i + 1]]
        cuts = lists.cuts[lists.cut_starts[i] : lists.cut_starts[i + 1]]
        factors = lists.factors[lists.column_starts[i] : lists.column_starts[i + 1]]
        cells = lists.cells[lists.cell_starts[i] : lists.cell_starts[i + 1]]
        for p in range(inputs.shape[0]):
            for s in range(inputs.shape[1]):
                n = _list_rows(inputs[p, s], first_row, masks, opened.rows)
                _take_digits(inputs[p, s], first_row, n, opened)
                n_reads = _cut(n, cuts, first_row, packed_rows, opened)
                for c in range(factors.shape[0]):
                    if factors[c] != 0:
                        _tally_column(
                            cells, factors.shape[0], c, n_reads, opened, repeats[s], least, out
                        )


@kernel()
def _tally_column(
    cells: npt.NDArray[Any],
    n_columns: int,
    column: int,
    n_reads: int,
    opened: OpenRows,
    times: int,
    least: int,
    out: Ints,
) -> None:
    height = cells.shape[0] // n_columns
    n_wide = n_columns // WIDE_LANES * WIDE_LANES
    lanes = WIDE_LANES if column < n_wide else NARROW_LANES
    in_tile = column % lanes
    at = (column - in_tile) * height + in_tile
    start = np.int64(0)
    for r in range(n_reads):
        end = np.int64(opened.ends[r])
        if end > start:
            partial = np.int64(0)
            for j in range(start, end):
                partial += np.int64(opened.digits[j]) * cells[at + opened.rows[j] * lanes]
            out[partial - least] += times
        start = end


@kernel()
def count_active_rows(
    inputs: Words,
    repeats: Ints,
    sets: RowSets,
    packed_rows: int,
    per_sample: int,
    first: int,
    out: Ints,
) -> None:
    """Count, for each sample and set, the work that its inputs give.

    ``out[..., 0]`` counts input slices and positions in which a row has an input, ``out[..., 1]``
    positions in which one has in any slice, ``out[..., 2]`` rows with an input, and
    ``out[..., 3]`` reads of up to `packed_rows` of them; input slice s counts ``repeats[s]`` times.
    The inputs begin at position `first` of a sample of `per_sample` positions.

    Shapes
    ------
    inputs: as `read_lists`
    repeats: (n_slices,)
    out: (samples, n_sets, 4), added to
    """
    for i in range(sets.first_rows.shape[0]):
        first_word = sets.first_rows[i] // 64
        masks = sets.masks[sets.starts[i] : sets.starts[i + 1]]
        for p in range(inputs.shape[0]):
            found = out[(first + p) // per_sample, i]
            busy = np.int64(0)
            for s in range(inputs.shape[1]):
                n = np.int64(0)
                for at in range(masks.shape[0]):
                    word = inputs[p, s, 0, first_word + at]
                    for k in range(1, inputs.shape[2]):
                        word |= inputs[p, s, k, first_word + at]
                    n += popcount(word & masks[at])
                busy += repeats[s] * (n > 0)
                found[2] += repeats[s] * n
                found[3] += repeats[s] * ((n + packed_rows - 1) // packed_rows)
            found[0] += busy
            found[1] += busy > 0
