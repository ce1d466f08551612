import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bitpim.crossbar.array import CrossbarGeometry
from bitpim.crossbar.dense_layout import DenseMapping, RowBlocks
from tests.bitpim.crossbar.vgg16 import VGG16
from tests.naive.crossbar_mapping import dense_reads, place_cells


@st.composite
def geometries(draw: st.DrawFn) -> CrossbarGeometry:
    rows, columns = draw(st.integers(1, 13)), draw(st.integers(1, 13))
    ou_rows = draw(st.none() | st.integers(1, rows))
    ou_columns = draw(st.none() | st.integers(1, columns))
    return CrossbarGeometry(rows, columns, ou_rows=ou_rows, ou_columns=ou_columns)


@given(
    geometries(),
    st.integers(1, 40),
    st.integers(1, 30),
    st.integers(1, 12),
    st.sampled_from(["array", "window"]),
)
def test_units_of_every_crossbar_are_those_of_a_walk(
    geometry: CrossbarGeometry, n_rows: int, n_columns: int, channel_rows: int, blocks: RowBlocks
) -> None:
    mapping = DenseMapping(n_rows, n_columns, geometry, channel_rows, blocks)
    window = channel_rows if blocks == "window" and channel_rows > 1 else None
    expected = dense_reads(n_rows, n_columns, geometry, window)
    pieces = mapping.pieces
    found = dict.fromkeys(range(mapping.n_crossbars), 0)
    for crossbar, reads in zip(pieces.crossbars.tolist(), pieces.reads.tolist(), strict=True):
        found[crossbar] += reads
    assert found == expected
    assert int(pieces.cells.sum()) == n_rows * n_columns
    heights = np.concatenate(mapping.row_heights)
    assert heights.sum() == n_rows and heights.min() > 0
    placed = mapping.placements()
    held = place_cells(placed, geometry.rows, geometry.columns)
    assert sorted(held.values()) == [(0, i, j) for i in range(n_rows) for j in range(n_columns)]
    assert all(p.label == p.first_row // channel_rows for p in placed)
    assert placed.n_crossbars == mapping.n_crossbars and placed.used_cells == n_rows * n_columns


def test_windows_stay_whole() -> None:
    geometry = CrossbarGeometry(20, 8, ou_rows=4, ou_columns=8)
    mapping = DenseMapping(27, 8, geometry, 9, "window")
    assert [heights.tolist() for heights in mapping.row_heights] == [[4, 4, 1, 4, 4, 1], [4, 4, 1]]
    taller = DenseMapping(30, 8, geometry, 25, "window")
    assert [heights.tolist() for heights in taller.row_heights] == [[4] * 5, [4, 4, 2]]


@pytest.mark.parametrize(
    ("unit", "window", "blocks", "drawn"),
    [
        (16, 9, "window", 9),  # a unit ends where the window does
        (9, 9, "window", 9),
        (4, 9, "window", 4),
        (16, 25, "window", 16),  # taller than an array: tiled as any rows are
        (16, 9, "array", 16),
    ],
)
def test_units_are_drawn_as_tall_as_they_are_read(
    unit: int, window: int, blocks: RowBlocks, drawn: int
) -> None:
    geometry = CrossbarGeometry(20, 8, ou_rows=unit, ou_columns=8)
    placed = DenseMapping(2 * window, 8, geometry, window, blocks).placements()
    assert placed.geometry.unit_rows == drawn


@pytest.mark.parametrize(
    ("cells", "reads", "n_crossbars"), [(2, 69_599_232, 121), (4, 139_198_464, 234)]
)
def test_vgg16_on_cifar(cells: int, reads: int, n_crossbars: int) -> None:
    """The closed forms of the traditional mapping: 8-bit inputs, 9 x 8 units, 512 x 512 arrays."""
    geometry = CrossbarGeometry(512, 512, ou_rows=9, ou_columns=8)
    found_reads = found_crossbars = 0
    for n_channels, n_outputs, size in VGG16:
        windows = DenseMapping(n_channels * 9, n_outputs * cells, geometry, 9, "window")
        found_reads += 8 * size**2 * int(windows.pieces.reads.sum())
        found_crossbars += DenseMapping(n_channels * 9, n_outputs * cells, geometry).n_crossbars
    assert (found_reads, found_crossbars) == (reads, n_crossbars)
