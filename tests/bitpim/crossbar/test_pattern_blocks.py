from itertools import pairwise

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from bitpim.crossbar.array import CrossbarGeometry
from bitpim.crossbar.dense_blocks import DenseBlocks
from bitpim.crossbar.pattern_blocks import bits_for, group_by_pattern, lay_patterns
from tests.bitpim.crossbar.vgg16 import VGG16, random_masks
from tests.naive.crossbar_mapping import place_cells, unit_reads

Codes = npt.NDArray[np.uint64]


@st.composite
def masks(draw: st.DrawFn) -> tuple[Codes, int]:
    """Codes of few different masks, whole and empty kernels among them."""
    n_positions = draw(st.sampled_from([1, 2, 9, 9, 9, 25, 64]))
    full = (1 << n_positions) - 1
    few = [*draw(st.lists(st.integers(0, full), min_size=1, max_size=4)), 0, full]
    shape = (draw(st.integers(1, 12)), draw(st.integers(1, 5)))
    return draw(hnp.arrays(np.uint64, shape, elements=st.sampled_from(few))), n_positions


@st.composite
def geometries(draw: st.DrawFn) -> CrossbarGeometry:
    rows, columns = draw(st.integers(1, 30)), draw(st.integers(1, 30))
    ou_rows, ou_columns = draw(st.integers(1, min(rows, 9))), draw(st.integers(1, columns))
    return CrossbarGeometry(rows, columns, ou_rows=ou_rows, ou_columns=ou_columns)


@given(masks())
def test_every_kernel_is_in_the_block_of_its_channel_and_mask(
    given_masks: tuple[Codes, int],
) -> None:
    codes, n_positions = given_masks
    blocks = group_by_pattern(codes, n_positions, 7)
    seen = np.zeros_like(codes)
    for b in range(blocks.n_blocks):
        mine = blocks.outputs[blocks.kernel_edges[b] : blocks.kernel_edges[b + 1]]
        assert mine.size and (np.diff(mine) > 0).all()
        seen[mine, blocks.channels[b]] = blocks.masks[b]
        rows = blocks.rows[blocks.row_edges[b] : blocks.row_edges[b + 1]]
        positions = [k for k in range(n_positions) if int(blocks.masks[b]) >> k & 1]
        assert rows.tolist() == [blocks.channels[b] * n_positions + k for k in positions]
        assert blocks.heights[b] == len(positions) > 0
    assert np.array_equal(seen, codes)
    columns = (blocks.heights, blocks.channels, blocks.masks)
    keys = list(zip(*(column.tolist() for column in columns), strict=True))
    assert keys == sorted(set(keys))
    kept = [
        [int(codes[m, row // n_positions]) >> (row % n_positions) & 1 for m in range(len(codes))]
        for row in range(codes.shape[1] * n_positions)
    ]
    assert np.array_equal(blocks.kept, np.array(kept, np.bool_))
    assert blocks.n_weights == int(blocks.kept.sum())


@given(masks(), geometries(), st.integers(1, 4), st.booleans())
def test_every_stored_weight_has_its_cells_once_and_its_reads(
    given_masks: tuple[Codes, int], geometry: CrossbarGeometry, n_columns: int, pad: bool
) -> None:
    blocks = group_by_pattern(*given_masks, n_patterns=7)
    layout = lay_patterns(blocks, n_columns, geometry, pad_ou_columns=pad)
    held = place_cells(layout.placed, geometry.rows, geometry.columns)
    sizes = zip(blocks.heights.tolist(), blocks.n_kernels.tolist(), strict=True)
    assert sorted(held.values()) == [
        (b, i, j)
        for b, (height, width) in enumerate(sizes)
        for i in range(height)
        for j in range(width * n_columns)
    ]
    assert layout.placed.used_cells == blocks.n_weights * n_columns
    assert [p.label for p in layout.placed] == [int(blocks.masks[p.block]) for p in layout.placed]
    expected = unit_reads(layout.placed, geometry.unit_rows, geometry.unit_columns)
    pieces = layout.pieces()
    found = np.zeros((layout.n_crossbars, 4), np.int64)
    columns = (pieces.reads, pieces.rows, pieces.columns, pieces.cells)
    np.add.at(found, pieces.crossbars, np.stack(columns, axis=1))
    assert np.array_equal(found, expected.reshape(-1, 4))


@given(masks(), geometries())
def test_sources_are_sets_of_rows_that_one_unit_opens(
    given_masks: tuple[Codes, int], geometry: CrossbarGeometry
) -> None:
    blocks = group_by_pattern(*given_masks, n_patterns=1)
    layout = lay_patterns(blocks, 2, geometry, pad_ou_columns=True)
    starts, ends = blocks.row_edges[:-1].tolist(), blocks.row_edges[1:].tolist()
    expected = [
        (at, min(at + geometry.unit_rows, end))
        for start, end in zip(starts, ends, strict=True)
        for at in range(start, end, geometry.unit_rows)
    ]
    edges = layout.source_edges.tolist()
    assert list(pairwise(edges)) == expected
    pieces = layout.pieces()
    assert set(pieces.sources.tolist()) == set(range(len(expected)))
    sizes = np.diff(layout.source_edges)
    assert np.array_equal(pieces.rows, pieces.reads * sizes[pieces.sources])
    by_source = np.bincount(pieces.sources, pieces.columns, len(expected))
    source_blocks = np.searchsorted(blocks.row_edges, layout.source_edges[:-1], "right") - 1
    assert by_source.tolist() == (2 * blocks.n_kernels[source_blocks]).tolist()


def test_index_bits_term_by_term() -> None:
    codes = np.array([[3, 0], [3, 5], [5, 5], [0, 5], [3, 3]], np.uint64)  # 5 outputs, 2 channels
    blocks = group_by_pattern(codes, 3, n_patterns=2)
    assert blocks.masks.tolist() == [3, 5, 3, 5] and blocks.channels.tolist() == [0, 0, 1, 1]
    storage = blocks.index_storage
    assert storage.output_bits == 8 * 3  # 8 kernels, clog2(5)
    assert (storage.pattern_bits, storage.channel_bits) == (4 * 1, 4 * 1)
    assert storage.width_bits == 4 * 3  # clog2(6)
    assert storage.total_bits == 44


@pytest.mark.parametrize(("n", "bits"), [(0, 0), (1, 0), (2, 1), (3, 2), (512, 9), (513, 10)])
def test_bits_for_so_many_values(n: int, bits: int) -> None:
    assert bits_for(n) == bits


def test_a_layer_pruned_whole_takes_nothing() -> None:
    blocks = group_by_pattern(np.zeros((4, 3), np.uint64), 9, 0)
    layout = lay_patterns(blocks, 2, CrossbarGeometry(), pad_ou_columns=True)
    assert (blocks.n_blocks, layout.n_crossbars, blocks.index_storage.total_bits) == (0, 0, 0)
    assert layout.pieces().n_sources == 0 and layout.source_edges.tolist() == [0]


@pytest.mark.parametrize(
    ("n_kept", "zero_share", "n_patterns", "cells", "sparsity", "area", "reads"),
    [
        (2, 0.30, 8, 2, 84.4, 5.04, 1.31),
        (2, 0.30, 8, 4, 84.4, 5.57, 1.39),
        (2, 0.40, 8, 2, 86.7, 5.04, 1.50),
        (3, 0.50, 8, 2, 83.3, 4.17, 1.77),
        (4, 0.40, 8, 2, 73.3, 3.27, 1.51),
    ],
)
def test_vgg16_with_random_patterns(
    n_kept: int,
    zero_share: float,
    n_patterns: int,
    cells: int,
    sparsity: float,
    area: float,
    reads: float,
) -> None:
    """Sparsity, area and reads against the dense mapping; ratios derived by a program of others."""
    geometry = CrossbarGeometry(512, 512, ou_rows=9, ou_columns=8)
    dense, laid, weights = np.zeros(2), np.zeros(2), np.zeros(2)
    for i, (n_channels, n_outputs, size) in enumerate(VGG16):
        codes = random_masks(i, (n_outputs, n_channels), n_kept, n_patterns, zero_share)
        blocks = group_by_pattern(codes, 9, n_patterns)
        layout = lay_patterns(blocks, cells, geometry, pad_ou_columns=True)
        n_rows, n_columns = n_channels * 9, n_outputs * cells
        windows = DenseBlocks(n_rows, n_columns, geometry, 9)
        n_dense = DenseBlocks(n_rows, n_columns, geometry).n_crossbars
        dense += n_dense, size**2 * windows.n_reads
        laid += layout.n_crossbars, size**2 * int(layout.pieces().reads.sum())
        weights += blocks.n_weights, codes.size * 9
    assert 100 * (1 - weights[0] / weights[1]) == pytest.approx(sparsity, abs=0.1)
    assert (dense / laid).tolist() == pytest.approx([area, reads], rel=0.02)
