"""Blocks of cells packed into crossbars: shelves of one height each, one above the other.

Blocks come sorted by height. Those of one height stand side by side on shelves as wide as a
crossbar; a shelf that is full is followed by the next, a block that does not fit is cut at the
crossbar's edge, at whole operation units. Shelves are never cut: one that does not fit below the
others opens a new crossbar.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from bitpim.crossbar.array import CrossbarGeometry

__all__ = ["Shelved", "place_on_shelves"]

Ints = npt.NDArray[np.int64]


class Shelved(NamedTuple):
    """Parts of blocks on shelves; columns beyond `widths` up to the padding stay empty.

    Shapes
    ------
    all (n,) int64, in the order of the blocks
    """

    blocks: Ints
    first_columns: Ints
    widths: Ints
    padding: Ints
    crossbars: Ints
    rows: Ints
    columns: Ints


def place_on_shelves(
    heights: Ints, widths: Ints, geometry: CrossbarGeometry, *, pad_ou_columns: bool
) -> Shelved:
    """Return where each block's columns lie.

    With `pad_ou_columns` each block takes whole operation units in width.

    Shapes
    ------
    heights: (n,) 1 to the crossbar's rows, in ascending order
    widths: (n,) 1 or more
    """
    unit = geometry.unit_columns
    taken = -(-widths // unit) * unit if pad_ou_columns else widths
    parts = []
    crossbar, row = 0, 0
    for height, first, stop in _runs(heights):
        block, start, part, shelf, column = _fill(taken[first:stop], geometry.columns, unit)
        n_here = (geometry.rows - row) // height
        each = geometry.rows // height
        later = shelf - n_here
        is_here = shelf < n_here
        at = np.where(is_here, crossbar, crossbar + 1 + later // each)
        top = np.where(is_here, row + shelf * height, later % each * height)
        crossbar, row = int(at[-1]), int(top[-1]) + height
        parts.append((block + first, start, part, at, top, column))
    if not parts:
        return Shelved(*(np.zeros(0, np.int64) for _ in Shelved._fields))
    block, start, part, at, top, column = (np.concatenate(f) for f in zip(*parts, strict=True))
    stored = np.minimum(part, widths[block] - start)
    return Shelved(block, start, stored, part - stored, at, top, column)


def _runs(heights: Ints) -> list[tuple[int, int, int]]:
    """Return each height with the first block that has it and the end of these."""
    firsts = np.flatnonzero(np.diff(heights, prepend=-1))
    stops = np.append(firsts, len(heights))[1:]
    return list(zip(heights[firsts].tolist(), firsts.tolist(), stops.tolist(), strict=True))


def _fill(taken: Ints, n_columns: int, unit: int) -> tuple[Ints, Ints, Ints, Ints, Ints]:
    """Lay blocks end to end on shelves of `n_columns`.

    Returns the parts that lie on one shelf each: block, first column within it, width, shelf and
    column on the shelf.
    """
    ends = np.cumsum(taken)
    starts = ends - taken
    total = int(ends[-1])
    shelf_starts = [0]
    while (limit := shelf_starts[-1] + n_columns) < total:
        # The block that reaches beyond the shelf stays on it for as many whole units as fit.
        start = int(starts[np.searchsorted(ends, limit, "right")])
        shelf_starts.append(start + (limit - start) // unit * unit)
    cuts = np.array(shelf_starts, np.int64)
    edges = np.unique(np.concatenate([starts, cuts]))
    part = np.diff(edges, append=total)
    block = np.searchsorted(ends, edges, "right")
    shelf = np.searchsorted(cuts, edges, "right") - 1
    return block, edges - starts[block], part, shelf, edges - cuts[shelf]
