"""Kernels grouped by channel and mask, and what is wrong with blocks that are none of a matrix."""

import re
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bitpim.crossbar.encodings import encode_weights
from bitpim.crossbar.pattern_blocks import group_by_pattern
from bitpim.errors import MappingError
from tests.bitpim.crossbar.kernel_masks import masks

Codes = npt.NDArray[np.uint64]


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


def test_index_bits_term_by_term() -> None:
    codes = np.array([[3, 0], [3, 5], [5, 5], [0, 5], [3, 3]], np.uint64)  # 5 outputs, 2 channels
    blocks = group_by_pattern(codes, 3, n_patterns=2)
    assert blocks.masks.tolist() == [3, 5, 3, 5] and blocks.channels.tolist() == [0, 0, 1, 1]
    storage = blocks.index_storage
    assert storage.output_bits == 8 * 3  # 8 kernels, clog2(5)
    assert (storage.pattern_bits, storage.channel_bits) == (4 * 1, 4 * 1)
    assert storage.width_bits == 4 * 3  # clog2(6)
    assert storage.total_bits == 44


@given(masks(), st.integers(1, 9))
def test_chunks_cut_blocks_at_whole_units(given_masks: tuple[Codes, int], unit_rows: int) -> None:
    blocks = group_by_pattern(*given_masks, n_patterns=3)
    edges = blocks.chunk_edges(unit_rows).tolist()
    chunks = [blocks.rows[a:b].tolist() for a, b in pairwise(edges)]
    expected = [
        rows[at : at + unit_rows].tolist()
        for rows, _ in blocks.rows_and_outputs()
        for at in range(0, len(rows), unit_rows)
    ]
    assert chunks == expected


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"n_positions": 3}, "make 4 rows and 3 outputs, got 2 windows of 3 rows and 3 outputs"),
        ({"n_positions": 65, "n_channels": 0}, "need windows of 1 to 64 rows"),
        ({"n_outputs": 4}, "got 2 windows of 2 rows and 4 outputs"),
        ({"masks": np.array([1, 0], np.uint64)}, "need a row and a kernel in each, got none"),
        ({"kernel_edges": np.array([0, 3, 3])}, "need a row and a kernel in each, got none"),
        ({"outputs": np.array([0, 2, 2])}, "each cell not at level 0 in a block, got row 2, out"),
        ({"channels": np.array([1, 1])}, "each kernel in one block of its channel, got 2 kernels"),
        ({"masks": np.array([2, 3], np.uint64)}, "in a block, got row 0, output 0 in none"),
    ],
)
def test_blocks_of_another_matrix_are_refused(wrong: dict[str, Any], message: str) -> None:
    """Channel 0 keeps position 0 for outputs 0 and 2; channel 1 both positions for output 0."""
    codes = np.array([[1, 3], [0, 0], [1, 0]], np.uint64)
    blocks = group_by_pattern(codes, 2, n_patterns=2)
    weights = np.array([[1, 0, -1], [0, 0, 0], [1, 0, 0], [1, 0, 0]])
    stored = encode_weights(weights, 2, "differential", 1, 4, blocks.kept)
    blocks.check(stored)
    with pytest.raises(MappingError, match=re.escape(message)):
        replace(blocks, **wrong).check(stored)
