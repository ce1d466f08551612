from dataclasses import replace

import numpy as np
import pytest

from bitpim.crossbar.array import CrossbarGeometry
from bitpim.errors import LayoutError
from bitpim.placement import Placement, Placements

GEOMETRY = CrossbarGeometry(8, 16, ou_rows=4, ou_columns=4)


def of(*rectangles: tuple[int, ...], kind: str = "pattern") -> Placements:
    table = np.array(rectangles, np.int64).reshape(-1, 10).T
    fields = [*table[:6], table[6].astype(np.uint64), *table[7:]]
    return Placements(GEOMETRY, kind, *fields)


TWO = of((0, 0, 0, 2, 3, 1, 5, 0, 0, 0), (1, 4, 8, 4, 4, 0, 9, 1, 0, 4))


def test_sums_over_rectangles() -> None:
    assert len(TWO) == 2
    assert (TWO.n_crossbars, TWO.used_cells) == (2, 6 + 16)
    assert TWO.utilization == 22 / (2 * 8 * 16)
    assert list(TWO)[1] == TWO[1] == Placement(1, 4, 8, 4, 4, 0, 9, 1, 0, 4)
    assert list(TWO.on(1)) == [TWO[1]]


def test_nothing_takes_nothing() -> None:
    none = of()
    assert (len(none), none.n_crossbars, none.used_cells, none.utilization) == (0, 0, 0, 0.0)
    assert list(none) == []


def test_parts_are_joined_on_crossbars_of_their_own() -> None:
    joined = Placements.joined([TWO, of(), TWO])
    assert joined.crossbars.tolist() == [0, 1, 2, 3]
    assert joined.blocks.tolist() == [0, 1, 2, 3]
    assert joined.labels.dtype == np.uint64 and joined.labels.tolist() == [5, 9, 5, 9]
    assert TWO.crossbars.tolist() == [0, 1]  # what was joined is as it was
    assert joined.utilization == TWO.utilization


def test_parts_number_blocks_and_crossbars_each_on_its_own() -> None:
    """Three blocks on one crossbar, then two blocks on two: 3 + 2 blocks, 1 + 2 crossbars."""
    stacked = of(*((0, 2 * i, 0, 2, 3, 0, 5, i, 0, 0) for i in range(3)))
    joined = Placements.joined([stacked, TWO, stacked])
    assert joined.crossbars.tolist() == [0, 0, 0, 1, 2, 3, 3, 3]
    assert joined.blocks.tolist() == [0, 1, 2, 3, 4, 5, 6, 7]
    assert (joined.n_crossbars, joined.used_cells) == (4, 18 + 22 + 18)
    assert joined.utilization == 58 / (4 * 8 * 16)


def test_what_does_not_go_together_is_refused() -> None:
    with pytest.raises(LayoutError, match="one geometry and kind"):
        Placements.joined([TWO, of(kind="channel")])
    with pytest.raises(LayoutError, match="one geometry and kind"):
        Placements.joined([])
    with pytest.raises(LayoutError, match="'shape'"):
        of(kind="shape")
    with pytest.raises(LayoutError, match=r"lengths \[1, 2\]"):
        replace(TWO, rows=TWO.rows[:1])
