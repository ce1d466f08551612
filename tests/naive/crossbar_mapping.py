"""Slow, obvious mappings onto crossbars: one cell, one block, one operation unit at a time."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from bitpim.placement import Placement

__all__ = ["Cell", "dense_reads", "place_cells", "shelve", "unit_reads"]

Cell = tuple[int, int, int]
"""Block, row within it, column within it."""


def place_cells(
    placements: Iterable[Placement], n_rows: int, n_columns: int
) -> dict[tuple[int, int, int], Cell]:
    """Put every cell where its placement says; nothing may lie outside or on something else."""
    held: dict[tuple[int, int, int], Cell] = {}
    empty: set[tuple[int, int, int]] = set()
    for p in placements:
        assert p.height > 0 and p.width > 0 and p.padding >= 0 and p.crossbar >= 0
        for i in range(p.height):
            for j in range(p.width + p.padding):
                row, column = p.row + i, p.column + j
                assert 0 <= row < n_rows and 0 <= column < n_columns
                at = (p.crossbar, row, column)
                assert at not in held and at not in empty
                if j < p.width:
                    held[at] = (p.block, p.first_row + i, p.first_column + j)
                else:
                    empty.add(at)
    return held


def shelve(
    blocks: Sequence[tuple[int, int]], n_rows: int, n_columns: int, unit: int, *, pad: bool
) -> list[tuple[int, int, int, int, int]]:
    """Lay (height, width) blocks, sorted by height, on shelves.

    Yields (block, width, crossbar, row, column) of each part; width includes the padding.
    """
    parts = []
    crossbar, row, column, shelf_height = 0, 0, 0, 0
    for b, (height, width) in enumerate(blocks):
        left = -(-width // unit) * unit if pad else width
        if height != shelf_height:  # a shelf of its own height
            row, column, shelf_height = row + shelf_height, 0, height
            if row + height > n_rows:
                crossbar, row = crossbar + 1, 0
        while left:
            room = n_columns - column
            part = left if left <= room else room // unit * unit
            if part:
                parts.append((b, part, crossbar, row, column))
                left, column = left - part, column + part
            if left:
                row, column = row + height, 0
                if row + height > n_rows:
                    crossbar, row = crossbar + 1, 0
    return parts


def dense_reads(n_rows: int, n_columns: int, geometry: Any, window: int | None) -> dict[int, int]:
    """Count the operation units of each crossbar of a dense matrix, row by row."""
    units: dict[int, set[tuple[int, int]]] = defaultdict(set)
    n_across = -(-n_columns // geometry.columns)
    crossbar_row, row, opened, block = 0, 0, 0, 0
    for k in range(n_rows):
        whole = window is not None and window <= geometry.rows
        if row == geometry.rows or (
            whole and window and k % window == 0 and row + window > geometry.rows
        ):
            crossbar_row, row, opened, block = crossbar_row + 1, 0, 0, block + 1
        elif opened == geometry.unit_rows or (whole and window and k % window == 0 and row):
            opened, block = 0, block + 1
        for column in range(n_columns):
            across, inside = divmod(column, geometry.columns)
            crossbar = crossbar_row * n_across + across
            units[crossbar].add((block, inside // geometry.unit_columns))
        row, opened = row + 1, opened + 1
    return {crossbar: len(found) for crossbar, found in units.items()}


def unit_reads(
    placements: Iterable[Placement], unit_rows: int, unit_columns: int
) -> npt.NDArray[np.int64]:
    """Count, for each crossbar, its reads, rows, columns and cells, unit by unit.

    Units never mix placements; a placement's rows and columns are opened so many at a time.
    """
    found: dict[int, npt.NDArray[np.int64]] = defaultdict(lambda: np.zeros(4, np.int64))
    for p in placements:
        for top in range(0, p.height, unit_rows):
            for left in range(0, p.width, unit_columns):
                height, width = min(unit_rows, p.height - top), min(unit_columns, p.width - left)
                found[p.crossbar] += [1, height, width, height * width]
    return np.array([found[crossbar] for crossbar in range(max(found, default=-1) + 1)])
