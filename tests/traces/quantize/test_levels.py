"""Coarser codebooks: the levels of the tree that a codebook is the leaves of."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bitpim_traces.codebook import Codebook
from bitpim_traces.errors import TraceDataError
from bitpim_traces.quantize.codebook_tree import tree_codebook
from bitpim_traces.quantize.levels import coarser, depth_of
from bitpim_traces.quantize.value_counts import Counted


def drawn(seed: int, depth: int, n: int = 200) -> Codebook:
    stream = np.random.default_rng(seed).normal(scale=40, size=n).astype(np.int64)
    values, counts = np.unique(stream, return_counts=True)
    return tree_codebook(Counted(values, counts, 4), depth=depth, value_bits=12)


@given(seed=st.integers(0, 99), depth=st.integers(1, 4), n=st.sampled_from([1, 3, 200]))
@settings(max_examples=60, deadline=None)
def test_a_level_is_the_tree_of_that_depth(seed: int, depth: int, n: int) -> None:
    fine = drawn(seed, depth, n)
    for size in (1 << d for d in range(1, depth + 1)):
        made, codes = coarser(fine, size)
        same = drawn(seed, depth_of(size), n)
        if n == 200:  # of a few values each is a leaf, as soon as there are leaves enough
            assert made.same_as(same)
            assert (made.levels is None) == (same.levels is None) == (size == 2)
        if n == 200 and made.levels is not None and same.levels is not None:
            np.testing.assert_array_equal(made.levels, same.levels)
        assert codes.shape == (fine.n_codes,)
        assert (np.diff(codes) >= 0).all()
        assert codes[fine.zero_code] == made.zero_code
        assert {*codes.tolist()} == {*range(made.n_codes)}


def test_a_level_of_a_level_is_that_of_the_whole_tree() -> None:
    fine = drawn(3, 6)
    half, to_half = coarser(fine, 16)
    twice, to_twice = coarser(half, 4)
    once, to_once = coarser(fine, 4)
    assert twice.same_as(once)
    np.testing.assert_array_equal(to_twice[to_half], to_once)


def test_the_whole_tree_is_its_own_level() -> None:
    fine = drawn(1, 3)
    made, codes = coarser(fine, 8)
    assert made is fine
    assert codes.tolist() == list(range(fine.n_codes))


def test_what_is_no_level_is_refused() -> None:
    with pytest.raises(TraceDataError, match=r"w: need a size among 2, 4, 8.* got 12"):
        coarser(drawn(0, 4), 12, "w")
    with pytest.raises(TraceDataError, match="w: need a size of at most 16, which its tree has"):
        coarser(drawn(0, 4), 32, "w")
    plain = Codebook(np.array([-1, 0, 4]), 2, 8)
    with pytest.raises(TraceDataError, match="w: need the levels of a tree, got none"):
        coarser(plain, 2, "w")
