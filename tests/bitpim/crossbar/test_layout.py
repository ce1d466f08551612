"""The three mappings in one form: cells, indices, events of a position, reads, placements."""

from typing import Any

import numpy as np
import pytest

from bitpim.crossbar.array import CrossbarGeometry
from bitpim.crossbar.compressed_layout import CompressedMapping, compress_rows
from bitpim.crossbar.dense_layout import DenseMapping
from bitpim.crossbar.encodings import encode_weights
from bitpim.crossbar.layout import MatrixMapping
from bitpim.crossbar.pattern_blocks import group_by_pattern
from bitpim.crossbar.pattern_layout import PatternMapping, lay_blocks
from tests.naive.crossbar_mapping import place_cells

GEOMETRY = CrossbarGeometry(16, 10, 2, 4, 3)
MASKS = np.array([[0b111, 0], [0b101, 0b010], [0b111, 0b010], [0, 0b110]], np.uint64)
N_COLUMNS = 3  # of a weight in pattern blocks


def dense() -> DenseMapping:
    return DenseMapping(18, 12, GEOMETRY, 9)


def patterns() -> PatternMapping:
    blocks = group_by_pattern(MASKS, 3, n_patterns=4)
    return lay_blocks(blocks, N_COLUMNS, GEOMETRY, pad_ou_columns=True)


def compressed() -> CompressedMapping:
    kept = (MASKS[:, :, np.newaxis] >> np.arange(3, dtype=np.uint64)) & np.uint64(1)
    weights = kept.astype(np.int64).reshape(4, 6).T
    stored = encode_weights(weights, 2, "differential", 2, 16)
    return compress_rows(stored, GEOMETRY, drop_zero_rows=True, column_order="bit_slice")


MAPS: dict[str, Any] = {"dense": dense, "patterns": patterns, "compressed": compressed}


@pytest.mark.parametrize("name", MAPS)
def test_reads_cells_and_placements_agree(name: str) -> None:
    mapped: MatrixMapping = MAPS[name]()
    placed, pieces = mapped.placements(), mapped.pieces
    place_cells(placed, GEOMETRY.rows, GEOMETRY.columns)  # none on another, none outside
    assert placed.n_crossbars == mapped.n_crossbars == pieces.n_crossbars > 0
    assert placed.used_cells == mapped.used_cells
    assert int(pieces.cells.sum()) == mapped.used_cells  # each cell is crossed once
    assert set(pieces.crossbars.tolist()) == set(range(mapped.n_crossbars))
    reads_of = np.bincount(pieces.crossbars, pieces.reads)
    assert mapped.pieces.unskipped(1, 1, "5").cycles.tolist() == [reads_of.max()]


def test_a_dense_matrix_has_all_cells_and_no_index() -> None:
    mapped = dense()
    assert (mapped.used_cells, mapped.index_bits) == (18 * 12, 0)
    assert mapped.position_events.as_dict() == {}
    assert {p.label for p in mapped.placements()} == {0, 1}  # input channels


def test_pattern_blocks_scatter_each_stored_kernel() -> None:
    """Six kernels in four blocks: masks 5 and 7 of one channel, 2 and 6 of the other."""
    mapped = patterns()
    assert mapped.used_cells == (3 + 3 + 2 + 1 + 1 + 2) * N_COLUMNS
    assert mapped.index_bits == 6 * 2 + 4 * (2 + 1 + 3)
    assert mapped.position_events.as_dict() == {"accum_scatter": 6, "index_read_bit": 36}
    assert {p.label for p in mapped.placements()} == {0b111, 0b101, 0b010, 0b110}


def test_compressed_rows_read_their_numbers() -> None:
    """8 columns: of 4 outputs the plus bit, then the minus bits, which are all zero.

    Outputs 0 to 2 have rows 0, 1, 2 and 4; output 3, the only plus bit of its group, 4 and 5.
    """
    mapped = compressed()
    assert mapped.used_cells == 4 * 3 + 2 * 3
    assert mapped.index_bits == (4 + 2) * 3
    assert mapped.position_events.as_dict() == {"index_read_bit": 18}
    assert mapped.pieces.reads.tolist() == [1, 1]
