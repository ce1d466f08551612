import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bitpim.counts import Counts
from bitpim.crossbar.pieces import ReadCounts, ReadPieces, busiest
from bitpim.errors import LayoutError

heights = st.lists(st.lists(st.integers(1, 5), min_size=1, max_size=3), min_size=1, max_size=3)


@given(heights, heights, st.integers(0, 3), st.integers(0, 2**32))
def test_dense_pieces_count_each_unit_once(
    rows: list[list[int]], columns: list[list[int]], n_samples: int, seed: int
) -> None:
    """Against loops over samples, arrays and units."""
    rng = np.random.default_rng(seed)
    pieces = ReadPieces.dense([np.array(r) for r in rows], [np.array(c) for c in columns])
    n_sources = sum(map(len, rows))
    assert pieces.n_sources == n_sources
    assert pieces.n_crossbars == len(rows) * len(columns)
    done = rng.integers(0, 4, (n_samples, n_sources))
    skipped = rng.integers(0, 4, (n_samples, n_sources))
    found = pieces.counts(done, skipped, "3")
    total, cycles = Counts(), []
    for sample in range(n_samples):
        busiest, first = 0, 0
        for heights_of_array in rows:
            for widths in columns:
                reads = 0
                for source, height in enumerate(heights_of_array, first):
                    for width in widths:
                        n = int(done[sample, source])
                        reads += n
                        total += n * Counts(
                            ou_activation=1,
                            ou_rows=height,
                            ou_cols=width,
                            ou_cells=height * width,
                            dac_drive=height,
                            shift_add=width,
                            adc_conv_3=width,
                        )
                        total += Counts(ou_skipped=int(skipped[sample, source]))
                busiest = max(busiest, reads)
            first += len(heights_of_array)
        cycles.append(busiest)
    assert found.events == total
    assert found.cycles.tolist() == cycles
    again = pieces.unskipped(n_samples, 5, "exact")
    same = pieces.counts(0 * done + 5, 0 * done, "exact")
    assert again.events == same.events
    assert np.array_equal(again.cycles, same.cycles)


def test_crossbars_side_by_side_and_in_turn() -> None:
    one = ReadCounts(Counts(ou_activation=3), np.array([1, 5]))
    two = ReadCounts(Counts(ou_activation=4, ou_skipped=1), np.array([2, 3]))
    beside = ReadCounts.side_by_side([one, two])
    assert beside.events == Counts(ou_activation=7, ou_skipped=1)
    assert beside.cycles.tolist() == [2, 5]
    in_turn = ReadCounts.in_turn([one, two])
    assert in_turn.events == beside.events
    assert in_turn.cycles.tolist() == [1, 5, 2, 3]
    assert ReadCounts.in_turn([]).cycles.shape == (0,)


def test_counts_of_other_shapes_are_refused() -> None:
    pieces = ReadPieces.dense([np.array([2, 1])], [np.array([3])])
    for shape in ((1, 1), (2,)):
        with pytest.raises(LayoutError, match=r"done and skipped \(samples, 2\)"):
            pieces.counts(np.zeros(shape, np.int64), np.zeros(shape, np.int64), "3")
    one, two = np.zeros((1, 2), np.int64), np.zeros((2, 2), np.int64)
    for done, skipped in ((one, two), (two, one)):
        with pytest.raises(LayoutError):
            pieces.counts(done, skipped, "3")


def test_the_busiest_crossbar_of_each_sample() -> None:
    crossbars = np.array([2, 0, 2, 0])
    reads = np.array([[3, 4, 2, 0], [1, 4, 2, 0], [0, 0, 0, 0]])
    assert busiest(crossbars, reads).tolist() == [5, 4, 0]
    none = np.zeros(0, np.int64)
    assert busiest(none, [none, none]).tolist() == [0, 0]
    assert busiest(crossbars, []).tolist() == []
