from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from bitpim_kernels import operands, pairs
from bitpim_kernels.carry_save import TOGETHER
from bitpim_kernels.digit_tile import LARGEST, N_SUMS, NEGATIVES, READS, SATURATED
from bitpim_kernels.pair_tile import LANES, LONGEST
from bitpim_kernels.pairs import Groups, Rules
from tests.naive.rapidnn import binary_digits, signed_digits

WORD = 1 << 64

# Filter 1 of two, 9 taps: weight 0 at taps 4, 2, 0, 7, 8, weight 2 at 1, 3, 5, 6.
GROUPS = Groups(
    taps=np.array([*range(9), 4, 2, 0, 7, 8, 1, 3, 5, 6], np.int32),
    firsts=np.array([0, 1, 3]),
    starts=np.array([0, 9, 14, 18]),
    weights=np.array([1, 0, 2]),
    products=np.array([[10, 20, 30], [0, 0, 0], [1, 2, 3]], np.uint64),
    biases=np.array([500, 600], np.uint64),
)
# Lane 0: weight 0 meets code 1 five times; weight 2 code 0 twice, code 2 twice.
# Lane 1: weight 0 meets code 0 three times, code 2 twice; weight 2 codes 0, 1 twice, 2.
CODES = np.array([[1, 0, 1, 2, 1, 0, 2, 1, 1], [0, 1, 2, 1, 0, 0, 2, 0, 2]], np.uint8)


@pytest.fixture(params=["jit", "python"])
def kernels(request: pytest.FixtureRequest, in_python: Callable[..., None]) -> Any:
    if request.param == "python":
        in_python(operands, pairs)
    return operands


def listed(
    kernels: Any, rules: Rules, groups: Groups = GROUPS, codes: Any = CODES
) -> tuple[list[list[int]], Any, Any]:
    """The operands of filter 1 in each lane, sorted; the lists; the events."""
    tile = pairs.empty_tile(codes.shape[1], groups.products.shape[1])
    lists = pairs.empty_lists(np.zeros(codes.shape[1] + 2, np.uint8))
    assert pairs.lay_tile(codes[:, :, None], 0, tile) == len(codes)
    sums = np.zeros(N_SUMS, np.int64)
    for _ in range(2):  # what was listed before leaves nothing behind
        sums[:] = 0
        kernels.list_operands(groups, 1, rules, tile, lists, sums)
    sums[LARGEST] = max(sums[LARGEST], tile.largest.max())
    lengths = lists.ends.astype(int) - lists.starts
    assert lengths.tolist() == [n * TOGETHER for n in lists.n_words.tolist()]
    assert not lengths[len(codes) :].any()
    places = zip(lists.starts.tolist(), lists.ends.tolist(), strict=True)
    found = [sorted(lists.words[a:b:TOGETHER].tolist()) for a, b in places]
    return found[: len(codes)], lists, sums


@pytest.mark.parametrize("longest", [0, 4, LONGEST])
def test_binary_digits_are_listed(longest: int, kernels: Any) -> None:
    """5 = 4 + 1, 3 = 2 + 1, 2 = 2; the group of 5 taps is longer than the table has codes."""
    found, lists, sums = listed(kernels, Rules(False, 62, 64, longest))
    assert found[0] == sorted([600, 20, 80, 2, 6])
    assert found[1] == sorted([600, 10, 20, 60, 1, 4, 3])
    assert not lists.last[2].any()
    assert (sums[READS], sums[LARGEST], sums[SATURATED]) == (3 + 5, 5, 0)


@pytest.mark.parametrize("longest", [0, 4, LONGEST])
def test_signed_digits_are_listed(longest: int, kernels: Any) -> None:
    """5 = 4 + 1, 3 = 4 - 1: the inverted word of -1 is not of the product but one less."""
    found, lists, sums = listed(kernels, Rules(True, 62, 64, longest))
    assert found[0] == sorted([600, 20, 80, 2, 6])
    assert found[1] == sorted([600, 40, WORD - 1 - 10, 60, 1, 4, 3])
    assert lists.last[2].tolist() == [0, 1] + [0] * (LANES - 2)
    assert (sums[READS], sums[LARGEST], sums[SATURATED]) == (3 + 5, 5, 0)


@pytest.mark.parametrize("longest", [0, 4, LONGEST])
@pytest.mark.parametrize(
    ("bits", "signed", "lanes", "n_saturated"),
    [
        (1, False, ([600, 20, 1, 3], [600, 10, 30, 1, 2, 3]), 3 + 3),
        (2, False, ([600, 20, 40, 2, 6], [600, 10, 20, 60, 1, 4, 3]), 1),
        (2, True, ([600, 80, WORD - 21, 2, 6], [600, 40, WORD - 11, 60, 1, 4, 3]), 1),
        (3, False, ([600, 20, 80, 2, 6], [600, 10, 20, 60, 1, 4, 3]), 0),
    ],
)
def test_counters_saturate(
    bits: int,
    signed: bool,
    lanes: tuple[list[int], list[int]],
    n_saturated: int,
    longest: int,
    kernels: Any,
) -> None:
    found, _, sums = listed(kernels, Rules(signed, bits, 64, longest))
    assert found == [sorted(lane) for lane in lanes]
    assert (sums[SATURATED], sums[LARGEST]) == (n_saturated, 5)


def test_without_biases(kernels: Any) -> None:
    groups = GROUPS._replace(biases=np.zeros(0, np.uint64))
    found, _, _ = listed(kernels, Rules(False, 62, 64, LONGEST), groups)
    assert found[0] == sorted([20, 80, 2, 6])


@pytest.mark.parametrize("longest", [0, 4, LONGEST])
@pytest.mark.parametrize(("signed", "n_negative"), [(False, 0), (True, 1)])
def test_digits_are_counted(longest: int, signed: bool, n_negative: int, kernels: Any) -> None:
    tile = pairs.empty_tile(9, 3)
    pairs.lay_tile(CODES[:, :, None], 0, tile)
    digits, sums = np.full((2, LANES), 9, np.int32), np.zeros(N_SUMS, np.int64)
    kernels.count_digits(GROUPS, Rules(signed, 62, 64, longest), tile, digits, sums)
    assert digits.tolist() == [lane + [0] * (LANES - 2) for lane in ([4, 4], [4, 6])]
    assert (sums[READS], sums[LARGEST], sums[NEGATIVES]) == (8 + 6, 5, n_negative + signed)


@pytest.mark.parametrize("n_codes", [3, LONGEST, 256, 300])
@pytest.mark.parametrize("signed", [False, True])
def test_a_group_longer_than_a_row_of_counts(signed: bool, n_codes: int, kernels: Any) -> None:
    """600 taps of one weight: counts of 300 and more, in parts of 255, or code by code."""
    codes = np.stack([np.arange(600) % 2, np.full(600, n_codes - 1)]).astype("<u2")
    whole = codes.astype(np.uint8)[:, :, None] if n_codes <= 256 else codes.view(np.uint8)
    tile, lists = pairs.empty_tile(600, n_codes), pairs.empty_lists(np.zeros(602, np.uint8))
    assert pairs.lay_tile(whole.reshape(2, 600, -1), 0, tile) == 2
    groups = Groups(
        np.arange(600).astype(np.int32),
        np.array([0, 1]),
        np.array([0, 600]),
        np.array([1]),
        np.arange(2 * n_codes, dtype=np.uint64).reshape(2, n_codes),
        np.zeros(0, np.uint64),
    )
    rules = Rules(signed, 62, 64, LONGEST if n_codes <= 256 else 0)
    digits, sums = np.zeros((1, LANES), np.int32), np.zeros(N_SUMS, np.int64)
    kernels.count_digits(groups, rules, tile, digits, sums)
    expected = [[signed_digits(n) if signed else binary_digits(n) for n in (300, 600)]]
    lengths = [len([d for d in found if d]) for found in expected[0]]
    assert digits[0, :3].tolist() == [2 * lengths[0], lengths[1], 0]
    assert (sums[READS], sums[LARGEST]) == (3, 600)
    again = np.zeros(N_SUMS, np.int64)
    kernels.list_operands(groups, 0, rules, tile, lists, again)
    assert lists.n_words[:3].tolist() == digits[0, :3].tolist()
    totals = [
        lists.words[a:b:TOGETHER].sum() + ones
        for a, b, ones in zip(lists.starts, lists.ends, lists.last[2], strict=True)
    ]
    assert totals[:2] == [300 * (n_codes + n_codes + 1), 600 * (2 * n_codes - 1)]
    assert (again[READS], again[LARGEST]) == (3, 600) and not tile.counters.any()
