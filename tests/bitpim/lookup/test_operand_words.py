"""Operands of a neuron: their digits, their tree, and the one sum they all have."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bitpim.errors import ProgramError
from bitpim.lookup.operand_words import OperandWords, digit_of
from bitpim.programs.nor_sums import csa_levels
from bitpim_kernels.carry_save import TOGETHER, sum_trees
from tests.naive.rapidnn import binary_digits, signed_digits


@given(st.integers(0, 2**62))
def test_digits_are_those_of_a_count(count: int) -> None:
    for signed, digits in ((False, binary_digits(count)), (True, signed_digits(count))):
        places = range(max(len(digits), 1) + 2)
        assert [digit_of(count, k, signed=signed) for k in places] == [
            digits[k] if k < len(digits) else 0 for k in places
        ]


@given(
    st.lists(st.tuples(st.integers(-(2**40), 2**40), st.booleans()), max_size=40),
    st.sampled_from([2, 17, 48, 64]),
)
def test_a_tree_adds_all_and_leaves_two(operands: list[tuple[int, bool]], width: int) -> None:
    words, levels, adders = OperandWords(max(len(operands), 1), width), 0, 0
    n_inverted = 0
    for number, wanted in operands:
        inverted = wanted and n_inverted <= len(operands) - 2
        words.put(number, inverted=inverted)
        n_inverted += inverted
    while words.held["listed"][0] > 2:
        adders += words.add_level()
        levels += 1
        assert (words.held["operands"] <= np.uint64((1 << width) - 1)).all()
        assert not words.held["operands"][int(words.held["listed"][0]) :].any()
    assert (levels, adders) == (csa_levels(len(operands)), max(0, len(operands) - 2))
    taken, total = 0, 0
    for number, wanted in operands:
        inverted = wanted and taken <= len(operands) - 2
        taken += inverted
        total += -number if inverted else number
    found = words.add_last()
    assert (found - total) % (1 << width) == 0 and -(1 << width - 1) <= found < 1 << width - 1
    assert not any(held.any() for held in words.held.values())


@given(st.integers(1, 30), st.integers(0, 2**32 - 1))
def test_words_stand_where_the_tree_of_a_layer_has_them(n: int, seed: int) -> None:
    drawn = np.random.default_rng(seed).integers(0, 2**63, n, np.uint64)
    words = OperandWords(n, 64)
    for number in drawn.tolist():
        words.put(number, inverted=False)
    words.held["missing"][0] = max(0, n - 2) // 2
    laid, last = np.zeros((n, TOGETHER), np.uint64), np.zeros((3, TOGETHER), np.uint64)
    laid[:] = drawn[:, None]
    last[2] = words.held["missing"][0]
    sum_trees(laid.reshape(-1), 0, n, last, 0)
    while words.held["listed"][0] > 2:
        words.add_level()
    left = [*words.held["operands"][:2, 0].tolist(), 0][:2]
    assert left == last[:2, 0].tolist() and int(words.held["missing"][0]) == last[2, 0]


def test_a_level_of_two_changes_nothing() -> None:
    words = OperandWords(3, 8)
    for number in (-1, 5):
        words.put(number, inverted=False)
    assert words.add_level() == 0
    assert words.held["operands"][:, 0].tolist() == [255, 5, 0]
    words.put(1, inverted=True)
    with pytest.raises(ProgramError, match="need room for one more, got 3"):
        words.put(0, inverted=False)


def test_the_last_addition_takes_one_that_is_missing() -> None:
    """It has one carry to begin with; more than one would be another sum than the array makes."""
    words = OperandWords(4, 12)
    words.put(5, inverted=True)
    words.put(100, inverted=False)
    assert words.add_last() == 95
    words.put(5, inverted=True)
    words.put(6, inverted=True)
    with pytest.raises(ProgramError, match="need at most 1 missing from inverted operands, got 2"):
        words.add_last()
    assert words.held["listed"][0] == 2
