from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from bitpim_kernels.carry_save import TOGETHER, add_last, sum_trees
from bitpim_kernels.jit import kernel
from tests.naive.rapidnn import add, value, word

Form = Callable[[Any], Callable[..., Any]]
Array = npt.NDArray[Any]
TOP = 1 << 64


@kernel()
def trees(words: Array, start: int, n: int, last: Array, lane: int) -> None:
    sum_trees(words, start, n, last, lane)


@kernel()
def add_all(last: Array, n_bits: int, out: Array) -> None:
    for start in range(0, out.shape[0], TOGETHER):
        add_last(last, start, n_bits, out)


def two_words(form: Form, lines: list[list[int]], ones: list[int]) -> list[list[int]]:
    """The two words and the carry in that each lane leaves; others keep what they have."""
    most, n = max(map(len, lines)), len(lines)
    words = np.full(5 + most * TOGETHER + 7, 0xABCDEF, np.uint64)
    block = words[5 : 5 + most * TOGETHER].reshape(most, TOGETHER)
    block[:] = 0
    for lane, values in enumerate(lines):
        block[: len(values), lane] = values
    last = np.full((3, 3 * TOGETHER), 9, np.uint64)
    last[2, TOGETHER : 2 * TOGETHER] = 0
    last[2, TOGETHER : TOGETHER + n] = ones
    form(trees)(words, 5, most, last, TOGETHER)
    assert np.all(words[:5] == 0xABCDEF) and np.all(words[-7:] == 0xABCDEF)
    assert np.all(last[:, :TOGETHER] == 9) and np.all(last[:, 2 * TOGETHER :] == 9)
    assert not last[:, TOGETHER + n : 2 * TOGETHER].any()
    left: list[list[int]] = last.T[TOGETHER : TOGETHER + n].tolist()
    return left


def test_three_words_become_two(form: Form) -> None:
    # 0011 + 0101 + 0110: sums 0000, carries 0111 one place higher
    assert two_words(form, [[3, 5, 6], [3, 5, 6]], [0, 1]) == [[0, 14, 0], [0, 15, 0]]


def test_a_word_left_over_comes_last(form: Form) -> None:
    # level 1 makes 0 and 14 of 3, 5, 6; level 2 adds 8: 0000 ^ 1110 ^ 1000 = 0110, carries 1000
    assert two_words(form, [[3, 5, 6, 8]], [2]) == [[7, 16 | 1, 0]]


def test_five_words_are_added_a_third_apart(form: Form) -> None:
    # 1 + 2 + 4 is 7, no carry; then 7, 0 and 8 are 15, no carry; then 15, 0 and 16 are 31
    assert two_words(form, [[1, 2, 4, 8, 16]], [0]) == [[31, 0, 0]]


def test_few_words_are_left_as_they_are(form: Form) -> None:
    found = two_words(form, [[], [9], [9, 4], [9, 4]], [0, 0, 0, 1])
    assert found == [[0, 0, 0], [9, 0, 0], [9, 4, 0], [9, 4, 1]]
    assert two_words(form, [[], [9], [8]], [0, 0, 1]) == [[0, 0, 0], [9, 0, 0], [8, 0, 1]]
    assert two_words(form, [[], []], [0, 0]) == [[0, 0, 0], [0, 0, 0]]


@pytest.mark.parametrize("most", [3, 4, 11, 80])
def test_trees_keep_their_sum(most: int, form: Form) -> None:
    rng = np.random.default_rng(most)
    sizes = [most, *(n * most // TOGETHER for n in range(TOGETHER - 1))]
    lines = [rng.integers(0, TOP, n, np.uint64).tolist() for n in sizes]
    for ones in ([0] * TOGETHER, [max(0, n - 2) + 1 if n else 0 for n in sizes]):
        found = two_words(form, lines, ones)
        assert [sum(left) % TOP for left in found] == [
            (sum(values) + n) % TOP for values, n in zip(lines, ones, strict=True)
        ]
        assert all(left[2] <= 1 for left in found)


@pytest.mark.parametrize("n_bits", [2, 3, 17, 64])
def test_the_last_addition_ripples_to_the_last_bit(n_bits: int, form: Form) -> None:
    rng = np.random.default_rng(n_bits)
    last = rng.integers(0, TOP, (3, 2 * TOGETHER), np.uint64)
    last[2] &= np.uint64(1)
    last[:, 0] = TOP - 1, 0, 1
    last[:, 1] = TOP - 1, 1, 0
    last[:, 2] = 0, 0, 0
    last[:, 3] = TOP // 2, TOP // 2, 1
    last[:, 4] = 0x5555555555555555, 0xAAAAAAAAAAAAAAAB, 0
    out = np.zeros(2 * TOGETHER, np.uint64)
    form(add_all)(last, n_bits, out)
    mask = (1 << n_bits) - 1
    assert [int(total) & mask for total in out] == [
        value([*add(word(int(a), n_bits), word(int(b), n_bits), int(c)), 0]) for a, b, c in last.T
    ]


def test_one_bit_of_carry_moves_in_one_round(form: Form) -> None:
    """A ripple cut short shows that carries move a place at a time."""
    last = np.zeros((3, TOGETHER), np.uint64)
    last[:2, 0] = 0b1111, 1
    out = np.zeros(TOGETHER, np.uint64)
    form(add_all)(last, 2, out)
    assert out[0] == 0b1100
    form(add_all)(last, 5, out)
    assert out.tolist() == [16] + [0] * (TOGETHER - 1)
