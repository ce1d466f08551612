"""Cuts between clusters: worked by hand, and k-means against every way to cut."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from bitpim_traces.quantize.cluster_bounds import BOUNDARIES, by_count, by_importance, by_kmeans
from bitpim_traces.records import CLUSTER_BOUNDARIES
from tests.naive import clusters as naive


@given(st.lists(st.integers(0, 60), min_size=2, max_size=16), st.integers(2, 4))
@settings(max_examples=200, deadline=None)
def test_no_way_to_cut_is_better_than_kmeans(values: list[int], n: int) -> None:
    if len({*values}) < n:
        return
    shares = sorted(values, reverse=True)
    cuts = by_kmeans(np.array(shares), n)
    numbers = [sum(rank >= cut for cut in cuts) for rank in range(len(shares))]
    assert {*numbers} == {*range(n)}
    assert len({(share, k) for share, k in zip(shares, numbers, strict=True)}) == len({*values})
    assert naive.cost_of(shares, numbers) == naive.cost_of(shares, naive.by_kmeans(shares, n))


def test_kmeans_of_many_values_parts_the_groups_that_are_there() -> None:
    dice = np.random.default_rng(3)
    groups = [dice.integers(low, low + 5000, 4000) for low in (1_000_000, 700_000, 300_000, 10_000)]
    shares = np.sort(np.concatenate(groups))[::-1].astype(np.int64)
    assert by_kmeans(shares, 4) == [4000, 8000, 12000]


def test_worked_cuts() -> None:
    shares = np.array([8, 4, 2, 1, 1], np.int64)
    assert by_count(shares, 2) == [3]
    assert by_count(shares, 3) == [2, 4]
    assert by_importance(shares, 2) == [1]  # 8 of 16: the next begins the second half
    assert by_importance(shares, 4) == [1, 1, 2]  # cluster 1 is empty
    assert by_importance(np.full(5, 2), 4) == [2, 3, 4]  # 2.5, 5 and 7.5 of 10
    assert by_kmeans(shares, 2) == [1]
    assert by_kmeans(shares, 3) == [1, 2]
    assert set(BOUNDARIES) == set(CLUSTER_BOUNDARIES)
