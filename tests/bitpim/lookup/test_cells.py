"""Faulty cells: where they are, and what they make of a search."""

import numpy as np
import pytest

from bitpim.errors import ConfigError, LayoutError
from bitpim.lookup import cells
from bitpim.lookup.cam import Cam
from bitpim.lookup.cells import CellFaults, Cells
from bitpim.lookup.words import CamWords
from bitpim_kernels.layout import unpack


def test_the_pull_downs_of_a_cell() -> None:
    """Stored 0, 1, don't-care, stuck at match, stuck at mismatch: (by a 0, by a 1)."""
    words = CamWords.from_text(["110X1"])  # bit 0 is the last letter
    faults = CellFaults.from_masks([[0, 0, 0, 1, 0]], [[0, 0, 0, 0, 1]])
    miss = Cells(words, faults).miss()
    assert miss.shape == (2, 5, 1)
    pairs = [(int(miss[0, k, 0]), int(miss[1, k, 0])) for k in range(5)]
    assert pairs == [(1, 0), (0, 0), (0, 1), (0, 0), (1, 1)]
    assert Cells(words, None).miss()[0, :, 0].tolist() == [1, 0, 0, 1, 1]


@pytest.mark.parametrize("n_rows", [1, 63, 64, 65])
@pytest.mark.parametrize("n_bits", [1, 64, 65, 250])
def test_columns_are_the_rows_turned(n_rows: int, n_bits: int) -> None:
    rng = np.random.default_rng(n_rows * n_bits)
    bits, care = rng.integers(0, 2, (2, n_rows, n_bits))
    made = Cells(CamWords.from_bits(bits, care), None)
    for highest_first, rows in ((False, slice(None)), (True, slice(None, None, -1))):
        by_zero, by_one = (unpack(side, n_rows).T for side in made.miss(highest_first))
        assert np.array_equal(by_zero, (bits & care)[rows])
        assert np.array_equal(by_one, (care & ~bits)[rows])


def test_drawn_faults_are_as_many_as_asked_and_the_same_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    drawn = CellFaults.draw(1000, 70, stuck_match=0.05, stuck_mismatch=0.2, seed=4)
    found = drawn.to_dict()
    assert abs(found["stuck_match"] - 3500) < 300 and abs(found["stuck_mismatch"] - 14000) < 500
    assert not np.any(drawn.stuck_match & drawn.stuck_mismatch)
    monkeypatch.setattr(cells, "_BLOCK_CELLS", 1000)  # drawn in blocks
    again = CellFaults.draw(1000, 70, stuck_match=0.05, stuck_mismatch=0.2, seed=4)
    other = CellFaults.draw(1000, 70, stuck_match=0.05, stuck_mismatch=0.2, seed=5)
    assert np.array_equal(drawn.stuck_match, again.stuck_match)
    assert np.array_equal(drawn.stuck_mismatch, again.stuck_mismatch)
    assert not np.array_equal(drawn.stuck_match, other.stuck_match)
    every = CellFaults.draw(3, 5, stuck_match=0.25, stuck_mismatch=0.75)
    assert int(np.bitwise_count(every.stuck_match | every.stuck_mismatch).sum()) == 15


def test_a_memory_all_stuck() -> None:
    words = CamWords.from_text(["0000", "1111"])
    queries = CamWords.from_text(["0101", "XXXX", "0000"])
    agrees = Cam(words, faults=CellFaults.draw(2, 4, stuck_match=1.0))
    assert agrees.search(queries, "ternary").n_matches.tolist() == [2, 2, 2]
    fails = Cam(words, faults=CellFaults.draw(2, 4, stuck_mismatch=1.0))
    assert fails.search(queries, "ternary").n_matches.tolist() == [0, 2, 0]
    distances = fails.search(queries, "best", top_bits=3).distances
    assert distances is not None and distances.tolist() == [[3], [0], [3]]


def test_one_mask_is_enough() -> None:
    mask = [[1, 0, 0], [0, 0, 1]]
    assert CellFaults.from_masks(mask).to_dict() == {"stuck_match": 2, "stuck_mismatch": 0}
    assert CellFaults.from_masks(None, mask).to_dict() == {"stuck_match": 0, "stuck_mismatch": 2}
    assert CellFaults.from_masks(mask).n_rows == 2


def test_masks_that_are_none() -> None:
    one, two = np.ones((2, 70), np.uint8), np.zeros((2, 70), np.uint8)
    two[1, 66] = 1
    with pytest.raises(LayoutError, match="got both in row 1, bit 66"):
        CellFaults.from_masks(one, two)
    for masks in ((None, None), (one, two[:1]), (one[0], None)):
        with pytest.raises(LayoutError, match=r"need masks \(n_rows, n_bits\)"):
            CellFaults.from_masks(*masks)
    packed = np.full((1, 1), 8, np.uint64)
    with pytest.raises(LayoutError, match="need zeros beyond bit 2 in stuck_mismatch"):
        CellFaults(packed & np.uint64(0), packed, 3)
    with pytest.raises(LayoutError, match=r"need stuck_mismatch \(1, 1\) uint64 for 4 bits"):
        CellFaults(packed, packed.astype(np.int64), 4)


@pytest.mark.parametrize(
    ("rates", "said"),
    [
        ({"stuck_match": -0.1}, "shares of 0 or more"),
        ({"stuck_match": 0.6, "stuck_mismatch": 0.5}, "a sum of 1 or less"),
        ({"stuck_mismatch": float("nan")}, "shares of 0 or more"),
        ({"seed": -1}, "a seed of 0 or more"),
        ({"n_rows": 0}, "need 1 row or more"),
        ({"n_bits": 0}, "1 bit or more"),
    ],
)
def test_faults_that_cannot_be_drawn(rates: dict[str, float], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        CellFaults.draw(**{"n_rows": 4, "n_bits": 4, **rates})  # type: ignore[arg-type]
