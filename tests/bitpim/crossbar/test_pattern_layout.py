from itertools import pairwise

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bitpim.crossbar.array import CrossbarGeometry
from bitpim.crossbar.dense_layout import DenseMapping
from bitpim.crossbar.pattern_blocks import group_by_pattern
from bitpim.crossbar.pattern_layout import lay_blocks
from tests.bitpim.crossbar.kernel_masks import masks
from tests.bitpim.crossbar.vgg16 import VGG16, random_masks
from tests.naive.crossbar_mapping import place_cells, unit_reads

Codes = npt.NDArray[np.uint64]


@st.composite
def geometries(draw: st.DrawFn) -> CrossbarGeometry:
    rows, columns = draw(st.integers(1, 30)), draw(st.integers(1, 30))
    ou_rows, ou_columns = draw(st.integers(1, min(rows, 9))), draw(st.integers(1, columns))
    return CrossbarGeometry(rows, columns, ou_rows=ou_rows, ou_columns=ou_columns)


@given(masks(), geometries(), st.integers(1, 4), st.booleans())
def test_every_stored_weight_has_its_cells_once_and_its_reads(
    given_masks: tuple[Codes, int], geometry: CrossbarGeometry, n_columns: int, pad: bool
) -> None:
    blocks = group_by_pattern(*given_masks, n_patterns=7)
    mapping = lay_blocks(blocks, n_columns, geometry, pad_ou_columns=pad)
    held = place_cells(mapping.placed, geometry.rows, geometry.columns)
    sizes = zip(blocks.heights.tolist(), blocks.n_kernels.tolist(), strict=True)
    assert sorted(held.values()) == [
        (b, i, j)
        for b, (height, width) in enumerate(sizes)
        for i in range(height)
        for j in range(width * n_columns)
    ]
    assert mapping.placed.used_cells == blocks.n_weights * n_columns
    assert [p.label for p in mapping.placed] == [int(blocks.masks[p.block]) for p in mapping.placed]
    expected = unit_reads(mapping.placed, geometry.unit_rows, geometry.unit_columns)
    pieces = mapping.pieces
    found = np.zeros((mapping.n_crossbars, 4), np.int64)
    columns = (pieces.reads, pieces.rows, pieces.columns, pieces.cells)
    np.add.at(found, pieces.crossbars, np.stack(columns, axis=1))
    assert np.array_equal(found, expected.reshape(-1, 4))


@given(masks(), geometries())
def test_sources_are_sets_of_rows_that_one_unit_opens(
    given_masks: tuple[Codes, int], geometry: CrossbarGeometry
) -> None:
    blocks = group_by_pattern(*given_masks, n_patterns=1)
    mapping = lay_blocks(blocks, 2, geometry, pad_ou_columns=True)
    starts, ends = blocks.row_edges[:-1].tolist(), blocks.row_edges[1:].tolist()
    expected = [
        (at, min(at + geometry.unit_rows, end))
        for start, end in zip(starts, ends, strict=True)
        for at in range(start, end, geometry.unit_rows)
    ]
    edges = mapping.source_edges.tolist()
    assert list(pairwise(edges)) == expected
    pieces = mapping.pieces
    assert set(pieces.sources.tolist()) == set(range(len(expected)))
    sizes = np.diff(mapping.source_edges)
    assert np.array_equal(pieces.rows, pieces.reads * sizes[pieces.sources])
    by_source = np.bincount(pieces.sources, pieces.columns, len(expected))
    source_blocks = np.searchsorted(blocks.row_edges, mapping.source_edges[:-1], "right") - 1
    assert by_source.tolist() == (2 * blocks.n_kernels[source_blocks]).tolist()


def test_a_layer_pruned_whole_takes_nothing() -> None:
    blocks = group_by_pattern(np.zeros((4, 3), np.uint64), 9, 0)
    mapping = lay_blocks(blocks, 2, CrossbarGeometry(), pad_ou_columns=True)
    assert (blocks.n_blocks, mapping.n_crossbars, blocks.index_storage.total_bits) == (0, 0, 0)
    assert mapping.pieces.n_sources == 0 and mapping.source_edges.tolist() == [0]


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
        mapping = lay_blocks(blocks, cells, geometry, pad_ou_columns=True)
        n_rows, n_columns = n_channels * 9, n_outputs * cells
        windows = DenseMapping(n_rows, n_columns, geometry, 9, "window")
        n_dense = DenseMapping(n_rows, n_columns, geometry).n_crossbars
        dense += n_dense, size**2 * int(windows.pieces.reads.sum())
        laid += mapping.n_crossbars, size**2 * int(mapping.pieces.reads.sum())
        weights += blocks.n_weights, codes.size * 9
    assert 100 * (1 - weights[0] / weights[1]) == pytest.approx(sparsity, abs=0.1)
    assert (dense / laid).tolist() == pytest.approx([area, reads], rel=0.02)
