from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from bitpim_kernels.jit import kernel
from bitpim_kernels.pair_tile import (
    LANES,
    LARGEST,
    LONGEST,
    N_SUMS,
    NEGATIVES,
    PLANES,
    READS,
    add_digits,
    add_new_digits,
    count_codes,
    count_taps,
    cut_planes,
    number_taps,
)
from tests.naive.rapidnn import binary_digits, signed_digits

Form = Callable[[Any], Callable[..., Any]]
Array = npt.NDArray[Any]
LIT = np.full(LANES, 255, np.uint8)


@kernel()
def taps_counted(
    tile: Array, taps: Array, starts: Array, stop: int, lit: Array, rows: Array, counts: Array
) -> None:
    count_taps(tile, taps, starts, 1, stop, lit, rows, counts)


@kernel()
def taps_numbered(
    tile: Array, taps: Array, starts: Array, stop: int, rows: Array, counts: Array
) -> None:
    number_taps(tile, taps, starts, 1, stop, rows, counts)


@kernel()
def codes_counted(
    tile: Array, taps: Array, starts: Array, lit: Array, rows: Array, counts: Array, n_codes: int
) -> None:
    count_codes(tile, taps, starts, 1, lit, rows, counts, n_codes)


@kernel()
def digits_added(counts: Array, n: int, signed: bool, digits: Array, sums: Array) -> None:
    add_digits(counts, n, signed, digits, sums)


@kernel()
def new_digits_added(
    counts: Array, n: int, signed: bool, lit: Array, digits: Array, sums: Array
) -> None:
    add_new_digits(counts, n, signed, lit, digits, sums)


@kernel()
def planes_cut(counts: Array, n: int, n_planes: int, planes: Array, largest: Array) -> int:
    return cut_planes(counts, n, n_planes, planes, largest)


class Case:
    """Groups of some lengths, the first of which is not to be touched."""

    def __init__(self, lengths: list[int], n_codes: int, seed: int = 0) -> None:
        rng = np.random.default_rng(seed)
        n = sum(lengths)
        self.tile = rng.integers(0, n_codes, (n, LANES)).astype(np.uint8)
        self.taps = rng.permutation(n).astype(np.int32)
        self.starts = np.cumsum([0, *lengths])
        self.lit = np.where(np.arange(LANES) % 5 == 3, 0, 255).astype(np.uint8)
        self.rows = np.full((LONGEST, LANES), 77, np.uint8)
        self.counts = np.full((LONGEST, LANES), 88, np.uint8)
        self.stop = len(lengths)
        self.n = n - lengths[0]

    def columns(self) -> list[list[list[int]]]:
        """The codes of each group in each lane."""
        ends = zip(self.starts[1:-1], self.starts[2:], strict=True)
        return [self.tile[self.taps[a:b]].T.tolist() for a, b in ends]


GROUPS = [
    [1, 1], [2, 2], [1, 3], [1, 4], [2, 5], [1, 6, 7, 8], [3, 9], [1, 1, 1, 2, 3, 4, 5, 13],
    [1, LONGEST],
]  # fmt: skip


@pytest.mark.parametrize("lengths", GROUPS)
@pytest.mark.parametrize("n_codes", [1, 2, 256])
def test_taps_of_a_group_are_counted(lengths: list[int], n_codes: int, form: Form) -> None:
    c = Case(lengths, n_codes)
    form(taps_counted)(c.tile, c.taps, c.starts, c.stop, c.lit, c.rows, c.counts)
    at = 0
    for group in c.columns():
        for lane, codes in enumerate(group):
            here = slice(at, at + len(codes))
            assert c.rows[here, lane].tolist() == codes
            expected = [
                0 if code in codes[:i] or not c.lit[lane] else codes.count(code)
                for i, code in enumerate(codes)
            ]
            assert c.counts[here, lane].tolist() == expected
        at += len(group[0])
    assert at == c.n and np.all(c.counts[at:] == 88) and np.all(c.rows[at:] == 77)


@pytest.mark.parametrize("lengths", GROUPS)
@pytest.mark.parametrize("n_codes", [1, 2, 256])
def test_taps_of_a_group_are_numbered(lengths: list[int], n_codes: int, form: Form) -> None:
    c = Case(lengths, n_codes)
    form(taps_numbered)(c.tile, c.taps, c.starts, c.stop, c.rows, c.counts)
    at = 0
    for group in c.columns():
        for lane, codes in enumerate(group):
            expected = [codes[: i + 1].count(code) for i, code in enumerate(codes)]
            assert c.counts[at : at + len(codes), lane].tolist() == expected
        at += len(group[0])
    assert np.all(c.counts[at:] == 88)


@pytest.mark.parametrize(("n", "n_codes"), [(1, 1), (2, 1), (7, 7), (40, 3), (LONGEST, 40)])
def test_codes_of_a_group_are_counted(n: int, n_codes: int, form: Form) -> None:
    c = Case([3, n, 5], n_codes)
    form(codes_counted)(c.tile, c.taps, c.starts, c.lit, c.rows, c.counts, n_codes)
    for lane, codes in enumerate(c.columns()[0]):
        expected = [codes.count(code) if c.lit[lane] else 0 for code in range(n_codes)]
        assert c.counts[:n_codes, lane].tolist() == expected
        assert c.rows[:n_codes, lane].tolist() == list(range(n_codes))
    assert np.all(c.counts[n_codes:] == 88)


def digits_of(n: int, signed: bool) -> list[int]:
    return [digit for digit in (signed_digits(n) if signed else binary_digits(n)) if digit]


@pytest.mark.parametrize("signed", [False, True])
@pytest.mark.parametrize("first", [0, 60, 107])
def test_digits_of_every_count(first: int, signed: bool, form: Form) -> None:
    """Every count up to the longest group: one a lane, and a count of 3 below some of them."""
    row = np.arange(first, first + LANES).astype(np.uint8)
    counts = np.stack([row, np.where(row > 100, 0, 3).astype(np.uint8), np.zeros_like(row) + 99])
    digits, sums = np.arange(LANES).astype(np.int32), np.arange(N_SUMS) + 1
    form(digits_added)(counts, 2, signed, digits, sums)
    expected = [[digits_of(int(n), signed) for n in lane] for lane in counts[:2].T]
    assert (digits - np.arange(LANES)).tolist() == [len(a) + len(b) for a, b in expected]
    added = sums - np.arange(N_SUMS) - 1
    assert added[READS] == np.count_nonzero(counts[:2])
    assert added[NEGATIVES] == sum((a + b).count(-1) for a, b in expected)
    assert sums[LARGEST] == max(LARGEST + 1, counts[:2].max())
    assert np.count_nonzero(added) == 2 + (sums[LARGEST] > LARGEST + 1) - (not signed)


@pytest.mark.parametrize("signed", [False, True])
def test_numbers_add_up_to_the_digits_of_counts(signed: bool, form: Form) -> None:
    """Lane l has a code l + 1 times, and another once; one lane holds nothing."""
    numbers = np.ones((LANES + 1, LANES), np.uint8)
    for lane in range(LANES):
        numbers[: lane + 1, lane] = range(1, lane + 2)
        numbers[lane + 1 :, lane] = 1  # codes met once each
    lit = LIT.copy()
    lit[40] = 0
    digits, sums = np.zeros(LANES, np.int32), np.zeros(N_SUMS, np.int64)
    form(new_digits_added)(numbers, LANES + 1, signed, lit, digits, sums)
    once = [LANES - lane for lane in range(LANES)]
    found = [digits_of(lane + 1, signed) for lane in range(LANES)]
    expected = [len(d) + n for d, n in zip(found, once, strict=True)]
    assert digits.tolist() == [0 if lane == 40 else n for lane, n in enumerate(expected)]
    negatives = [d.count(-1) for d in found]
    assert sums[NEGATIVES] == sum(negatives) - negatives[40]
    assert sums[READS] == sum(n + 1 for lane, n in enumerate(once) if lane != 40)
    assert sums[LARGEST] == LANES


def test_no_rows_have_no_digits(form: Form) -> None:
    counts, digits = np.ones((LONGEST, LANES), np.uint8), np.zeros(LANES, np.int32)
    sums = np.zeros(N_SUMS, np.int64)
    form(digits_added)(counts, 0, True, digits, sums)
    form(new_digits_added)(counts, 0, True, LIT, digits, sums)
    assert not digits.any() and not sums.any()


@pytest.mark.parametrize("n_planes", [1, 3, 8])
def test_counts_are_cut_into_planes(n_planes: int, form: Form) -> None:
    rng = np.random.default_rng(n_planes)
    counts = rng.integers(0, 1 << n_planes, (LONGEST, LANES)).astype(np.uint8)
    counts[:2, 7] = 0
    planes = np.full((LONGEST, PLANES), 5, np.uint64)
    largest = rng.integers(0, 1 << n_planes, LANES).astype(np.uint8)
    before = largest.copy()
    assert form(planes_cut)(counts, 3, n_planes, planes, largest) == np.count_nonzero(counts[:3])
    assert largest.tolist() == np.maximum(before, counts[:3].max(0)).tolist()
    for row in range(3):
        bits = [int(plane) for plane in planes[row]]
        for lane in range(LANES):
            value = sum(((bits[k] >> lane) & 1) << k for k in range(n_planes))
            assert value == counts[row, lane]
        assert bits[n_planes] == 0 and bits[n_planes + 1 :] == [5] * (PLANES - n_planes - 1)
    assert np.all(planes[3:] == 5)
