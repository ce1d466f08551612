import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from bitpim.crossbar.array import CrossbarGeometry
from bitpim.crossbar.shelves import place_on_shelves
from tests.naive.crossbar_mapping import shelve


@st.composite
def shelvings(draw: st.DrawFn) -> tuple[CrossbarGeometry, list[tuple[int, int]]]:
    rows, columns = draw(st.integers(1, 12)), draw(st.integers(1, 20))
    geometry = CrossbarGeometry(rows, columns, ou_columns=draw(st.integers(1, columns)))
    block = st.tuples(st.integers(1, min(rows, 9)), st.integers(1, 50))
    blocks = sorted(draw(st.lists(block, max_size=12)), key=lambda b: b[0])
    return geometry, blocks


@given(shelvings(), st.booleans())
def test_parts_lie_where_a_walk_puts_them(
    shelving: tuple[CrossbarGeometry, list[tuple[int, int]]], pad: bool
) -> None:
    geometry, blocks = shelving
    table = np.array(blocks, np.int64).reshape(-1, 2).T
    found = place_on_shelves(table[0], table[1], geometry, pad_ou_columns=pad)
    unit = geometry.unit_columns
    expected = shelve(blocks, geometry.rows, geometry.columns, unit, pad=pad)
    parts = (found.blocks, found.widths + found.padding, found.crossbars, found.rows, found.columns)
    assert list(zip(*(part.tolist() for part in parts), strict=True)) == expected
    stored = np.bincount(found.blocks, found.widths, len(blocks))
    assert stored.tolist() == table[1].tolist()
    assert (found.first_columns % unit == 0).all()  # a block is cut at whole units only
    assert (found.widths > 0).all()


def test_a_picture_of_shelves() -> None:
    """Crossbars of 4 rows and 10 columns, units of 4 columns: two shelves of 8 padded columns."""
    heights, widths = np.array([2, 2, 2, 3]), np.array([3, 9, 4, 1])
    geometry = CrossbarGeometry(4, 10, ou_columns=4)
    padded = place_on_shelves(heights, widths, geometry, pad_ou_columns=True)
    assert padded.blocks.tolist() == [0, 1, 1, 2, 3]
    assert padded.widths.tolist() == [3, 4, 5, 4, 1]
    assert padded.padding.tolist() == [1, 0, 3, 0, 3]
    assert padded.first_columns.tolist() == [0, 0, 4, 0, 0]
    assert padded.columns.tolist() == [0, 4, 0, 0, 0]
    assert padded.rows.tolist() == [0, 0, 2, 0, 0]
    assert padded.crossbars.tolist() == [0, 0, 0, 1, 2]
    tight = place_on_shelves(heights, widths, geometry, pad_ou_columns=False)
    assert tight.widths.tolist() == [3, 4, 5, 4, 1]
    assert tight.columns.tolist() == [0, 3, 0, 5, 0]
    assert tight.crossbars.tolist() == [0, 0, 0, 0, 1]
