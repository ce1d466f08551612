from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from bitpim_kernels.digit_tile import (
    LARGEST,
    N_SUMS,
    NEGATIVES,
    PLANES,
    READS,
    add_digits,
    cut_planes,
)
from bitpim_kernels.jit import kernel
from bitpim_kernels.pair_tile import LANES, LONGEST
from tests.naive.rapidnn import binary_digits, signed_digits

Form = Callable[[Any], Callable[..., Any]]
Array = npt.NDArray[Any]


@kernel()
def digits_added(counts: Array, n: int, signed: bool, digits: Array, sums: Array) -> None:
    add_digits(counts, n, signed, digits, sums)


@kernel()
def planes_cut(counts: Array, n: int, n_planes: int, planes: Array, largest: Array) -> int:
    return cut_planes(counts, n, n_planes, planes, largest)


def digits_of(n: int, signed: bool) -> list[int]:
    return [digit for digit in (signed_digits(n) if signed else binary_digits(n)) if digit]


@pytest.mark.parametrize("signed", [False, True])
@pytest.mark.parametrize("first", [0, 60, 107, 150, 192])
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


def test_no_rows_have_no_digits(form: Form) -> None:
    counts, digits = np.ones((LONGEST, LANES), np.uint8), np.zeros(LANES, np.int32)
    sums = np.zeros(N_SUMS, np.int64)
    form(digits_added)(counts, 0, True, digits, sums)
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
