"""Codebooks by clustering: equal to the tree written out, and what every tree must keep."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from bitpim_traces.codebook import Codebook
from bitpim_traces.quantize.codebook_tree import MAX_DEPTH, tree_codebook
from bitpim_traces.quantize.value_counts import Counted
from tests.naive import codebook as naive

STREAMS = st.one_of(
    st.lists(st.integers(-9, 9), min_size=1, max_size=60),
    st.lists(st.integers(-32768, 32767), min_size=1, max_size=40),
    st.lists(st.sampled_from([-32768, -1, 0, 1, 32767]), min_size=1, max_size=40),
)


def of(stream: list[int], depth: int, times: int = 1) -> Codebook:
    values, counts = np.unique(np.array(stream, np.int64), return_counts=True)
    return tree_codebook(Counted(values, counts * times, 3), depth=depth, value_bits=16)


def rows_of(made: Codebook) -> list[list[int]]:
    """Values of every depth, by leaf."""
    return [*([] if made.levels is None else made.levels.tolist()), made.values.tolist()]


@given(stream=STREAMS, depth=st.integers(1, 4))
@example(stream=[0], depth=3)
@example(stream=[7] * 3, depth=2)
@example(stream=[-4, -4, 6], depth=1)
@example(stream=[0] * 90 + [5, 6, 9], depth=3)  # both quartiles are 0
@example(stream=[1, 2, 3, 4], depth=1)  # 2.5 is midway
@settings(max_examples=200, deadline=None)
def test_a_tree_is_the_one_written_out(stream: list[int], depth: int) -> None:
    leaves, levels = naive.tree(stream, depth)
    made = of(stream, depth)
    assert made.values.tolist() == leaves
    assert rows_of(made) == [*levels, leaves]
    assert (made.fraction_bits, made.value_bits) == (3, 16)


@given(stream=STREAMS, depth=st.integers(1, MAX_DEPTH))
@settings(max_examples=150, deadline=None)
def test_values_rise_and_0_is_one_at_every_level(stream: list[int], depth: int) -> None:
    made = of(stream, depth)
    assert 2 <= made.n_codes <= 1 << depth
    assert (np.diff(made.values) > 0).all()
    assert made.values[made.zero_code] == 0
    rows = rows_of(made)
    assert len(rows) == depth
    for above, below in pairwise(rows):
        assert above == sorted(above)
        assert above[made.zero_code] == 0
        # one ancestor: what is one value at a depth is one value above
        assert len({*zip(above, below, strict=True)}) == len({*below})
    for depth_there, row in enumerate(rows, 1):
        assert len({*row}) <= 1 << depth_there


@given(stream=STREAMS, depth=st.integers(1, 6), times=st.integers(2, 1 << 30))
@settings(max_examples=60, deadline=None)
def test_how_often_all_occurred_does_not_matter(stream: list[int], depth: int, times: int) -> None:
    assert rows_of(of(stream, depth)) == rows_of(of(stream, depth, times))


@given(stream=STREAMS, depth=st.integers(2, MAX_DEPTH))
@settings(max_examples=100, deadline=None)
def test_a_finer_level_has_no_larger_error(stream: list[int], depth: int) -> None:
    leaf_of = {x: n for n, node in enumerate(naive.leaf_nodes(stream, depth)) for x in node}
    by_tree = [
        sum((x - row[leaf_of[x]]) ** 2 for x in stream) for row in rows_of(of(stream, depth))
    ]
    assert by_tree == sorted(by_tree, reverse=True)


def test_a_depth_is_the_level_of_a_deeper_tree() -> None:
    stream = np.random.default_rng(0).normal(scale=900, size=3000).astype(int).tolist()
    deep, flat = of(stream, 6), of(stream, 4)
    assert deep.levels is not None
    assert deep.n_codes == 64
    np.testing.assert_array_equal(np.unique(deep.levels[3]), flat.values)
    np.testing.assert_array_equal(deep.levels[3], np.repeat(flat.values, 4))  # a prefix of the code


@pytest.mark.parametrize("sign", [1, -1])
def test_one_huge_outlier_gets_a_code_and_spoils_no_other(sign: int) -> None:
    stream = [*range(100), sign * 30_000]
    made = of(stream, 4)
    assert sign * 30_000 in made.values.tolist()
    near = made.values[np.abs(made.values) < 100]
    assert len(near) >= 8


def test_large_sums_stay_exact() -> None:
    values, counts = np.array([32765, 32766, 32767]), np.array([1, 2, 1])
    one, many = (
        tree_codebook(Counted(values, counts * times, 0), depth=2, value_bits=16)
        for times in (1, 1 << 45)
    )
    assert one.values.tolist() == many.values.tolist() == [0, 32765, 32766, 32767]
