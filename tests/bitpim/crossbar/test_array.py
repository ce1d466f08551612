from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bitpim.counts import Counts
from bitpim.crossbar.adc import Adc
from bitpim.crossbar.array import Crossbar, CrossbarGeometry
from bitpim.errors import ArrayBoundsError, ConfigError, LayoutError
from tests.naive import crossbar as naive


@given(
    st.integers(1, 60),
    st.integers(1, 40),
    st.integers(1, 9),
    st.none() | st.integers(1, 12),
)
def test_units_tile_arrays_and_windows(
    n_rows: int, rows: int, ou_rows: int, window: int | None
) -> None:
    geometry = CrossbarGeometry(rows, rows, 1, min(ou_rows, rows), min(ou_rows, rows))
    n_rows = n_rows if window is None else window * (1 + n_rows // window)
    expected = naive.row_blocks(n_rows, rows, geometry.unit_rows, window)
    by_array = geometry.row_units(n_rows, window)
    assert [n for units in by_array for n in units.tolist()] == [len(block) for block in expected]
    used = geometry.rows_used(window)
    assert [int(units.sum()) for units in by_array[:-1]] == [used] * (len(by_array) - 1)
    if window is not None and window <= rows:
        assert used == rows - rows % window
    if window is None:
        across = geometry.column_units(n_rows)
        assert [units.tolist() for units in across] == [units.tolist() for units in by_array]


def test_one_read_and_its_counts() -> None:
    array = Crossbar(CrossbarGeometry(12, 10, 2, 9, 8), Adc("clip", 3))
    array.program(np.full((3, 2), 3), 1, 4)
    assert array.cells.sum() == 18
    assert array.read_ou([1] * 9, range(9), range(8)).tolist() == [0, 0, 0, 0, 7, 7, 0, 0]
    events = {"ou_activation": 1, "ou_rows": 9, "ou_cols": 8, "dac_drive": 9, "adc_conv_3": 8}
    events["ou_cells"] = 72
    assert array.counts == Counts(**events)
    assert array.read_ou([0, 0], (1, 2), (5, 4), skip_zero=True).tolist() == [0, 0]
    assert array.counts == Counts(**events, ou_skipped=1)
    assert array.read_packed([1, 0, 1, 1], (0, 1, 2, 3), (4,)).tolist() == [6]
    assert array.counts["ou_activation"] == 2
    assert array.read_packed([0], (0,), (4,)).tolist() == [0]
    assert array.counts["ou_skipped"] == 2


def test_reads_are_readings_that_count_for_steps() -> None:
    """Reads of 5 and of 4 of 9 cells; 2 bits are thirds of 9."""
    array = Crossbar(CrossbarGeometry(9, 1, 1, 9), Adc("round", 2))
    array.program(np.ones((9, 1), np.int64))
    assert array.read_ou([1] * 5, range(5), (0,)).tolist() == [2]
    assert array.read_packed([1] * 4, range(4), (0,)).tolist() == [1]
    assert array.step == 3
    assert Crossbar(CrossbarGeometry(9, 1, 1, 9), Adc("clip", 2)).step == 1
    paired = Crossbar(CrossbarGeometry(9, 1, 1, 9), Adc("symmetric", 3), paired=True)
    assert paired.step == Fraction(9, 7)
    assert paired.read_ou([0], (0,), (0,)).tolist() == [1]


def test_packed_literal_reads_split_at_the_unit() -> None:
    array = Crossbar(CrossbarGeometry(6, 1, 1, 2), Adc("clip", 1))
    array.program(np.ones((6, 1), np.int64))
    assert array.read_packed([1, 1, 0, 1, 1, 1], range(6), (0,)).tolist() == [3]  # 2, 2, 1 clipped
    assert array.counts["ou_activation"] == 3
    assert array.counts["ou_rows"] == 5


def test_training_operations_are_exact_and_cells_saturate() -> None:
    rng = np.random.default_rng(8)
    array = Crossbar(CrossbarGeometry(7, 5, 4), paired=True)
    cells = rng.integers(-15, 16, (7, 5))
    array.program(cells)
    down, across = rng.integers(-9, 10, 7), rng.integers(-9, 10, 5)
    assert np.array_equal(array.vector_matrix(down), down @ cells)
    assert np.array_equal(array.matrix_vector(across), cells @ across)
    array.update(down, across)
    changed = cells + np.outer(down, across)
    assert np.abs(changed).max() > 15
    assert np.array_equal(array.cells, np.clip(changed, -15, 15))
    assert array.counts == Counts(crossbar_read=2, crossbar_update=1)
    unpaired = Crossbar(CrossbarGeometry(1, 2, 2))
    unpaired.update([1], [-5, 5])
    assert unpaired.cells.tolist() == [[0, 3]]
    with pytest.raises(LayoutError, match="need 7 integers"):
        array.vector_matrix(across)
    with pytest.raises(LayoutError, match="need integer numbers"):
        array.update(down * 0.5, across)


@pytest.mark.parametrize(
    "bad",
    [
        {"rows": 0},
        {"columns": 2**16 + 1},
        {"cell_bits": 9},
        {"dac_bits": 0},
        {"ou_rows": 129},
        {"ou_columns": 129},
        {"ou_rows": 0},
    ],
)
def test_impossible_geometries_are_refused(bad: dict[str, int]) -> None:
    with pytest.raises(ConfigError, match=f"{next(iter(bad))} needs 1 to"):
        CrossbarGeometry(**bad)


def test_wrong_reads_and_cells_are_refused() -> None:
    array = Crossbar(CrossbarGeometry(12, 10, 2, 9, 8))
    for rows, columns in ((range(10), (0,)), ((0, 0), (0,)), ((12,), (0,)), ((0,), range(9))):
        with pytest.raises(ArrayBoundsError):
            array.read_ou([1] * len(rows), rows, columns)
    for inputs in ([1], [1, 2], [1, -1], [0.5, 1]):
        with pytest.raises(LayoutError):
            array.read_ou(inputs, (0, 1), (0,))
    with pytest.raises(ArrayBoundsError, match=r"need cells within \(12, 10\)"):
        array.program(np.ones((2, 2), np.int64), 11, 0)
    with pytest.raises(LayoutError, match=r"levels within 0\.\.3"):
        array.program(np.array([[4]]))
