"""Reads of listed rows, one digit, one cell, one conversion at a time, in Python integers."""

from collections.abc import Callable, Sequence
from fractions import Fraction
from typing import NamedTuple

from tests.naive.crossbar import Convert, Matrix, half_up, piece

Slices = Sequence[tuple[int, int, int]]
List = tuple[Sequence[int], Sequence[int]]  # rows, columns


class Found(NamedTuple):
    """Sums, reads and opened rows of one input vector; and the partial sums that were read."""

    sums: list[int]
    reads: list[int]  # of each list
    rows: list[int]
    partials: list[int]


def reads_of(
    digits: Sequence[int], rows: Sequence[int], ou_rows: int, packed: bool
) -> list[Sequence[int]]:
    """Return the rows that each read opens."""
    listed = [r for r in rows if digits[r]] if packed else rows
    return [listed[i : i + ou_rows] for i in range(0, len(listed), ou_rows)]


def read_vector(
    x: Sequence[int],
    cells: Matrix,
    factor_of: Callable[[int, int], int],
    lists: Sequence[List],
    n_outputs: int,
    slices: Slices,
    ou_rows: int,
    packed: bool,
    convert: Convert,
) -> Found:
    """Read all lists for one input vector; `factor_of(row, column)` joins what a column reads.

    Each output is rounded once, when all its levels are added up.
    """
    sums: list[int | Fraction] = [0] * n_outputs
    partials = []
    n_reads, n_rows = [0] * len(lists), [0] * len(lists)
    for i, (rows, columns) in enumerate(lists):
        for low, width, slice_factor in slices:
            digits = [piece(code, low, width) for code in x]
            for opened in reads_of(digits, rows, ou_rows, packed):
                n_reads[i] += 1
                n_rows[i] += len(opened)
                for c in columns:
                    partial = sum(digits[r] * cells[r][c] for r in opened)
                    partials.append(partial)
                    level = convert(partial)
                    sums[c % n_outputs] += slice_factor * factor_of(rows[0], c) * level
    return Found([half_up(total) for total in sums], n_reads, n_rows, partials)
