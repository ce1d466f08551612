from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from bitpim_kernels.digit_tile import LARGEST, N_SUMS, NEGATIVES, READS
from bitpim_kernels.group_digits import NUMBERED, add_group_digits
from bitpim_kernels.jit import kernel
from bitpim_kernels.pair_tile import LANES
from tests.naive.rapidnn import binary_digits, signed_digits

Form = Callable[[Any], Callable[..., Any]]
Array = npt.NDArray[Any]


@kernel()
def digits_added(
    tile: Array,
    taps: Array,
    starts: Array,
    first: int,
    stop: int,
    signed: bool,
    lit: Array,
    digits: Array,
    sums: Array,
) -> None:
    add_group_digits(tile, taps, starts, first, stop, signed, lit, digits, sums)


def check(form: Form, tile: Array, lengths: list[int], lit: Array, signed: bool) -> None:
    """Groups 1 .. of some lengths, the first of which is not to be touched."""
    starts = np.cumsum([0, *lengths])
    taps = np.random.default_rng(1).permutation(len(tile)).astype(np.int32)
    digits, sums = np.arange(LANES).astype(np.int32), np.arange(N_SUMS) + 1
    form(digits_added)(tile, taps, starts, 1, len(lengths), signed, lit, digits, sums)
    digits -= np.arange(LANES).astype(np.int32)
    n_reads, n_negatives, largest = 0, 0, LARGEST + 1
    for lane in range(LANES):
        n_digits = 0
        for begin, end in pairwise(starts[1:]):
            codes = tile[taps[begin:end], lane].tolist() if lit[lane] else []
            for code in set(codes):
                n_met = codes.count(code)
                found = signed_digits(n_met) if signed else binary_digits(n_met)
                n_digits += len([digit for digit in found if digit])
                n_negatives += found.count(-1)
                n_reads += 1
                largest = max(largest, n_met)
        assert digits[lane] == n_digits, lane
    expected = np.arange(N_SUMS) + 1
    expected[[READS, NEGATIVES]] += n_reads, n_negatives
    expected[LARGEST] = largest
    assert sums.tolist() == expected.tolist()


@pytest.mark.parametrize("signed", [False, True])
@pytest.mark.parametrize("n_codes", [1, 2, 9, 256])
@pytest.mark.parametrize(
    "lengths",
    [[1, 1], [2, 2], [1, 3], [1, 4], [2, 5], [1, 6, 7, 8], [3, 9], [1, 1, 1, 2, 3, 4, 5, 13],
     [1, NUMBERED - 3, 3], [1, NUMBERED]],
)  # fmt: skip
def test_digits_of_groups(lengths: list[int], n_codes: int, signed: bool, form: Form) -> None:
    rng = np.random.default_rng(n_codes)
    tile = rng.integers(0, n_codes, (sum(lengths), LANES)).astype(np.uint8)
    lit = np.where(np.arange(LANES) % 5 == 3, 0, 255).astype(np.uint8)
    check(form, tile, lengths, lit, signed)


@pytest.mark.parametrize("signed", [False, True])
def test_every_count(signed: bool, form: Form) -> None:
    """Lane l has a code l + 1, or l + 65, or l + 107 times, and others once."""
    for more in (1, 65, 107):
        tile = np.tile(np.arange(NUMBERED + 1)[:, None], LANES).astype(np.uint8)
        for lane in range(LANES):
            tile[: lane + more + 1, lane] = 200
        check(form, tile, [1, NUMBERED], np.full(LANES, 255, np.uint8), signed)


def test_no_groups_have_no_digits(form: Form) -> None:
    tile = np.zeros((3, LANES), np.uint8)
    check(form, tile, [3], np.full(LANES, 255, np.uint8), True)
