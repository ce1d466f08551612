from dataclasses import replace
from typing import Any
from unittest.mock import patch

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bitpim.crossbar.array import CrossbarGeometry
from bitpim.crossbar.compressed_layout import ColumnOrder, CompressedMapping, compress_rows
from bitpim.crossbar.dense_layout import DenseMapping
from bitpim.crossbar.encodings import encode_weights
from bitpim.errors import MappingError
from tests.naive.crossbar_mapping import place_cells, unit_reads

Ints = npt.NDArray[np.int64]
ORDERS: tuple[ColumnOrder, ...] = ("weight", "bit_slice")


def sparse(seed: int, n_rows: int, n_outputs: int, share: float) -> Ints:
    rng = np.random.default_rng(seed)
    weights: Ints = rng.integers(-7, 8, (n_rows, n_outputs))
    weights[rng.random((n_rows, n_outputs)) < share] = 0
    return weights


@st.composite
def matrices(draw: st.DrawFn) -> tuple[Ints, CrossbarGeometry]:
    rows, columns = draw(st.integers(1, 12)), draw(st.integers(1, 12))
    ou_rows, ou_columns = draw(st.integers(1, rows)), draw(st.integers(1, columns))
    geometry = CrossbarGeometry(rows, columns, 2, ou_rows, ou_columns)
    shape = draw(st.integers(1, 30)), draw(st.integers(1, 9))
    share = draw(st.sampled_from([0.0, 0.7, 0.95, 1.0]))
    return sparse(draw(st.integers(0, 999)), *shape, share), geometry


def compressed(
    weights: Ints, geometry: CrossbarGeometry, drop: bool, order: ColumnOrder
) -> tuple[CompressedMapping, npt.NDArray[Any]]:
    stored = encode_weights(weights, 4, "differential", 2, geometry.rows)
    found = compress_rows(stored, geometry, drop_zero_rows=drop, column_order=order)
    return found, stored.cells


@given(matrices(), st.booleans(), st.sampled_from(ORDERS))
def test_segments_hold_each_cell_that_is_not_zero_once(
    matrix: tuple[Ints, CrossbarGeometry], drop: bool, order: ColumnOrder
) -> None:
    weights, geometry = matrix
    rows, cells = compressed(weights, geometry, drop, order)
    segments = rows.segments
    met = np.zeros(cells.shape, np.int64)
    for i in range(len(rows.groups)):
        mine = segments.rows[segments.row_edges[i] : segments.row_edges[i + 1]]
        columns = segments.columns[segments.column_edges[i] : segments.column_edges[i + 1]]
        assert 1 <= len(mine) <= geometry.rows and (np.diff(mine) > 0).all()
        assert 1 <= len(columns) <= geometry.unit_columns
        assert not drop or cells[np.ix_(mine, columns)].any(axis=1).all()
        met[np.ix_(mine, columns)] += 1
    assert (met <= 1).all() and (met[cells != 0] == 1).all()
    assert drop or (met == 1).all()
    placed = rows.placements()
    held = place_cells(placed, geometry.rows, geometry.columns)
    assert len(held) == met.sum() == len(set(held.values()))
    expected = unit_reads(placed, geometry.unit_rows, geometry.unit_columns).reshape(-1, 4)
    pieces = rows.pieces
    found = np.zeros((rows.n_crossbars, 4), np.int64)
    counted = (pieces.reads, pieces.rows, pieces.columns, pieces.cells)
    np.add.at(found, pieces.crossbars, np.stack(counted, axis=1))
    assert np.array_equal(found, expected)


@given(matrices(), st.sampled_from(ORDERS), st.sampled_from([1, 2, 3, 256]), st.data())
def test_a_cell_in_no_segment_or_in_two_is_found(
    matrix: tuple[Ints, CrossbarGeometry], order: ColumnOrder, at_once: int, data: st.DataObject
) -> None:
    """However many columns are looked at together."""
    weights, geometry = matrix
    stored = encode_weights(weights, 4, "differential", 2, geometry.rows)
    with (
        patch("bitpim.crossbar.segments.COLUMNS_AT_ONCE", at_once),
        patch("bitpim.crossbar.compressed_layout.COLUMNS_AT_ONCE", at_once),
    ):
        rows = compress_rows(stored, geometry, drop_zero_rows=True, column_order=order)
        found = rows.segments
        whole = compress_rows(stored, geometry, drop_zero_rows=False, column_order=order).segments
        found.check(stored, geometry)
        if not len(found.crossbars):
            return
        hit = data.draw(st.integers(0, len(found.crossbars) - 1))
        columns = found.columns_of(hit)
        height = len(found.rows_of(hit))
        gone = replace(
            found,
            rows=np.delete(found.rows, found.row_edges[hit]),
            row_edges=found.row_edges - (np.arange(len(found.row_edges)) > hit),
        )
        lost = found.rows[found.row_edges[hit]]
        if height > 1:
            column = int(columns[stored.cells[lost, columns] != 0].min())
            with pytest.raises(MappingError, match=f"got row {lost}, column {column} in 0"):
                gone.check(stored, geometry)
        twice = replace(
            whole,
            rows=np.concatenate([whole.rows, whole.rows_of(0)]),
            row_edges=np.append(whole.row_edges, whole.row_edges[-1] + len(whole.rows_of(0))),
            columns=np.concatenate([whole.columns, whole.columns_of(0)]),
            column_edges=np.append(
                whole.column_edges, whole.column_edges[-1] + len(whole.columns_of(0))
            ),
            crossbars=np.append(whole.crossbars, whole.crossbars[-1] + 1),
        )
        with pytest.raises(MappingError, match=f"column {whole.columns_of(0).min()} in 2"):
            twice.check(stored, geometry)


@pytest.mark.parametrize("n_rows", [2**15 - 1, 2**15, 2**15 + 1, 2**15 + 3])
def test_rows_beyond_16_bits(n_rows: int) -> None:
    weights = np.zeros((n_rows, 1), np.int64)
    weights[[0, n_rows - 1]] = 7
    geometry = CrossbarGeometry(64, 4, 2, 8, 2)
    segments = compressed(weights, geometry, True, "weight")[0].segments
    assert segments.rows_of(0).tolist() == [0, n_rows - 1]


@given(matrices(), st.sampled_from(ORDERS))
def test_without_dropping_it_is_the_dense_mapping(
    matrix: tuple[Ints, CrossbarGeometry], order: ColumnOrder
) -> None:
    weights, geometry = matrix
    whole_units = geometry.columns // geometry.unit_columns * geometry.unit_columns
    geometry = CrossbarGeometry(
        geometry.rows, whole_units, 2, geometry.ou_rows, geometry.ou_columns
    )
    rows, cells = compressed(weights, geometry, False, order)
    dense = DenseMapping(cells.shape[0], cells.shape[1], geometry)
    assert rows.n_crossbars == dense.n_crossbars
    found, expected = rows.pieces, dense.pieces
    for name in ("reads", "rows", "columns", "cells"):
        sums = [np.bincount(p.crossbars, getattr(p, name)).tolist() for p in (found, expected)]
        assert sums[0] == sums[1], name
    assert rows.index_bits == 0


def test_orders_of_columns() -> None:
    weights = np.array([[1, 0, 0, 0], [0, 2, 0, 7]])  # cells: 1 | 0 2 . . 3 with slices 3 and 1
    geometry = CrossbarGeometry(4, 4, 2, 4, 2)
    stored = encode_weights(weights, 4, "differential_paired", 2, 4)
    by_weight = compress_rows(stored, geometry, drop_zero_rows=True, column_order="weight")
    assert by_weight.segments.columns.tolist() == [0, 4, 1, 5, 3, 7]  # output 2 keeps no row
    assert by_weight.segments.rows.tolist() == [0, 1, 1]
    assert by_weight.segments.crossbars.tolist() == [0, 0, 1]
    by_slice = compress_rows(stored, geometry, drop_zero_rows=True, column_order="bit_slice")
    assert by_slice.segments.columns.tolist() == [0, 1, 2, 3, 6, 7]
    assert by_slice.segments.rows.tolist() == [0, 1, 1, 1]
    assert by_slice.packs_active_rows  # if not told otherwise


@given(matrices())
def test_index_bits(matrix: tuple[Ints, CrossbarGeometry]) -> None:
    weights, geometry = matrix
    rows, cells = compressed(weights, geometry, True, "bit_slice")
    step = geometry.unit_columns
    groups = [cells[:, at : at + step] for at in range(0, cells.shape[1], step)]
    n_kept = sum(int(group.any(axis=1).sum()) for group in groups)
    assert rows.index_bits == n_kept * (len(cells) - 1).bit_length()
