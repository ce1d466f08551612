"""The three layouts in one form: cells, indices, events of a position, reads, placements."""

from typing import Any

import numpy as np
import pytest

from bitpim.crossbar.array import CrossbarGeometry
from bitpim.crossbar.compressed_layout import (
    CompressedLayout,
    CompressedMapping,
    compress_rows,
)
from bitpim.crossbar.dense_layout import DenseLayout, DenseMapping
from bitpim.crossbar.encodings import encode_weights
from bitpim.crossbar.layout import Layout, MatrixMapping
from bitpim.crossbar.number_coding import NumberCoding
from bitpim.crossbar.pattern_blocks import group_by_pattern
from bitpim.crossbar.pattern_layout import PatternLayout, PatternMapping, lay_blocks
from bitpim_traces.records import Geometry
from tests.naive.crossbar_mapping import place_cells
from tests.one_layer import one_layer

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
    assert mapped.position_events.to_dict() == {}
    assert {p.label for p in mapped.placements()} == {0, 1}  # input channels


def test_pattern_blocks_scatter_each_stored_kernel() -> None:
    """Six kernels in four blocks: masks 5 and 7 of one channel, 2 and 6 of the other."""
    mapped = patterns()
    assert mapped.used_cells == (3 + 3 + 2 + 1 + 1 + 2) * N_COLUMNS
    assert mapped.index_bits == 6 * 2 + 4 * (2 + 1 + 3)
    assert mapped.position_events.to_dict() == {"accum_scatter": 6, "index_read_bit": 36}
    assert {p.label for p in mapped.placements()} == {0b111, 0b101, 0b010, 0b110}


def test_compressed_rows_read_their_numbers() -> None:
    """8 columns: of 4 outputs the plus bit, then the minus bits, which are all zero.

    Outputs 0 to 2 have rows 0, 1, 2 and 4; output 3, the only plus bit of its group, 4 and 5.
    """
    mapped = compressed()
    assert mapped.used_cells == 4 * 3 + 2 * 3
    assert mapped.index_bits == (4 + 2) * 3
    assert mapped.position_events.to_dict() == {"index_read_bit": 18}
    assert mapped.pieces.reads.tolist() == [1, 1]


# what a layout says of itself, and what its arguments change


def pattern_layout(**changed: Any) -> PatternLayout:
    arguments: dict[str, Any] = {
        "row_blocks": "array",
        "zero_skip": "none",
        "pad_ou_columns": False,
        "other_kernels": "dense",
    }
    return PatternLayout(**(arguments | changed))


def compressed_layout(**changed: Any) -> CompressedLayout:
    arguments: dict[str, Any] = {
        "drop_zero_rows": True,
        "pack_active_rows": False,
        "column_order": "weight",
    }
    return CompressedLayout(**(arguments | changed))


def test_layouts_name_the_argument_that_has_them_read_all() -> None:
    for skip in ("bit_plane", "vector"):
        dense: Any = DenseLayout(row_blocks="array", zero_skip=skip)
        assert dense.skips_unless == pattern_layout(zero_skip=skip).skips_unless == "zero_skip=none"
    assert compressed_layout(pack_active_rows=True).skips_unless == "pack_active_rows=false"
    reads_all: list[Layout] = [
        DenseLayout(row_blocks="array", zero_skip="none"),
        pattern_layout(),
        compressed_layout(),
    ]
    assert [layout.skips_unless for layout in reads_all] == [None] * 3
    assert [layout.keeps_columns_whole for layout in reads_all] == [True, False, False]


CODING = NumberCoding(GEOMETRY, "offset", 16, "trace")


def test_conv_groups_are_laid_out_each() -> None:
    """Of 6 channels and outputs in 3 groups: 2 channels of 9 rows by 2 outputs of 8 cells."""
    layer = one_layer(3, (6, 4, 4), 6, Geometry((3, 3), groups=3)).layers[0]
    layouts: list[Layout] = [
        DenseLayout(row_blocks="window", zero_skip="none"),
        pattern_layout(),
        compressed_layout(),
    ]
    for layout, rule in zip(layouts, ("dense", "patterns", "row_compression"), strict=True):
        parts = layout.lay(layer, CODING)
        assert [part.rule for part in parts] == [rule] * 3
        assert all(0 < part.used_cells <= 18 * 16 for part in parts)
    assert compressed_layout(drop_zero_rows=False).lay(layer, CODING)[0].rule == "dense"


def test_padding_takes_whole_units_in_width() -> None:
    """A kernel alone in its block: 8 cells, in units of 3 columns."""
    layer = one_layer(4, (1, 3, 3), 1, Geometry((3, 3))).layers[0]
    for pad, padding in ((False, 0), (True, 1)):
        (mapping,) = pattern_layout(pad_ou_columns=pad).lay(layer, CODING)
        assert mapping.placements().padding.tolist() == [padding]


@pytest.mark.parametrize("kernel", [(1, 1), (3, 3), (2, 3)])
def test_masks_lay_other_kernels_where_told(kernel: tuple[int, int]) -> None:
    layer = one_layer(5, (2, 4, 4), 3, Geometry(kernel)).layers[0]
    linear = one_layer(5, (4,), 3).layers[0]
    for told in ("dense", "patterns"):
        layout = pattern_layout(other_kernels=told)
        by_mask = told == "patterns" or kernel == (3, 3)
        assert layout.lay(layer, CODING)[0].rule == ("patterns" if by_mask else "dense")
        assert layout.lay(linear, CODING)[0].rule == "dense"
