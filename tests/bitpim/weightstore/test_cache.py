"""Caches against the naive one, line by line, and against closed forms."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bitpim.errors import ConfigError, LayoutError
from bitpim.weightstore.access_stream import NetworkLines, whole_lines
from bitpim.weightstore.cache import CacheCounts, WeightCache, uncached
from bitpim.weightstore.cache_settings import CacheSettings
from tests.naive.weight_cache import Line, NaiveCache, run
from tests.weight_lines import caches, lines_of, naive_cache, networks, tables_of


def cache_of(lines: NetworkLines, n_held: int, ways: int = 0, pinned: int = 0) -> WeightCache:
    """A cache of so many whole lines of 64 bytes; fully associative without `ways`."""
    return WeightCache(lines, CacheSettings(64 * n_held, 64, ways or n_held, pinned))


def totals(counts: CacheCounts) -> dict[str, int]:
    return {name: int(column.sum()) for name, column in counts._asdict().items()}


def held_by(cache: NaiveCache) -> list[bool]:
    places = {n for held in cache.sets.values() for n in held}
    return [cache.alike(n)[0] in places for n in range(len(cache.lines))]


@given(networks(), st.data())
def test_every_count_is_the_naive_one_input_after_input(
    lines: list[Line], data: st.DataObject
) -> None:
    n_clusters = max((line.cluster for line in lines), default=0) + 1
    settings = data.draw(caches(n_clusters))
    network = lines_of(lines, max((line.layer for line in lines), default=0) + 1, n_clusters)
    cache, naive = WeightCache(network, settings), naive_cache(lines, settings)
    for n in data.draw(st.lists(st.integers(1, n_clusters), min_size=1, max_size=4)):
        assert tables_of(cache.run(n)) == run(naive, n)
        assert cache.holds.tolist() == held_by(naive)


@given(networks(), st.data())
def test_portions_are_read_in_any_order(lines: list[Line], data: st.DataObject) -> None:
    n_clusters = max((line.cluster for line in lines), default=0) + 1
    settings = data.draw(caches(n_clusters))
    network = lines_of(lines, max((line.layer for line in lines), default=0) + 1, n_clusters)
    cache, naive = WeightCache(network, settings), naive_cache(lines, settings)
    portions = data.draw(st.lists(st.integers(0, network.n_lines.size - 1), max_size=20))
    found = cache.read(portions)
    expected = [
        naive.read(n)
        for portion in portions
        for n, line in enumerate(lines)
        if (line.layer, line.cluster) == divmod(portion, n_clusters)
    ]
    for name, value in totals(found).items():
        assert value == sum(counts[name] for counts in expected), name


@given(networks(), st.data())
def test_a_state_is_put_back(lines: list[Line], data: st.DataObject) -> None:
    n_clusters = max((line.cluster for line in lines), default=0) + 1
    settings = data.draw(caches(n_clusters))
    network = lines_of(lines, max((line.layer for line in lines), default=0) + 1, n_clusters)
    cache = WeightCache(network, settings)
    empty = cache.state
    fresh = tables_of(cache.run(n_clusters))
    state, holds = cache.state, cache.holds
    again = tables_of(cache.run(n_clusters))
    cache.restore(state)
    assert cache.holds.tolist() == holds.tolist()
    assert tables_of(cache.run(n_clusters)) == again
    cache.empty()
    assert cache.state == empty and not cache.holds.any()
    assert tables_of(cache.run(n_clusters)) == fresh


@pytest.mark.parametrize("ways", [1, 2, 5, 10])
def test_what_fits_is_fetched_once(ways: int) -> None:
    """Three layers of 2, 1 and 2 lines a cluster are 10: each misses once, and never leaves."""
    cache = cache_of(whole_lines([[2, 2], [1, 1], [2, 2]]), 10, ways)
    first, second = cache.run(2), cache.run(2)
    assert first.misses.sum(axis=0).tolist() == [[2, 2], [1, 1], [2, 2]]
    assert first.cold_misses.tolist() == first.misses.tolist()
    assert totals(second)["misses"] == totals(second)["evictions"] == 0
    assert totals(first)["accesses"] == totals(second)["hits"] == 5 + 10
    assert totals(first)["bytes_fetched"] == 10 * 64


@pytest.mark.parametrize("n_held", [1, 2, 5, 9])
def test_a_round_over_more_lines_than_are_held_never_hits(n_held: int) -> None:
    """The line that is read next is always the one used longest ago, and has just left."""
    cache = cache_of(whole_lines([[10]]), n_held)
    for n_rounds in (1, 2, 3):
        found = totals(cache.run(1))
        cold = 10 if n_rounds == 1 else 0
        assert (found["hits"], found["misses"], found["cold_misses"]) == (0, 10, cold)
        assert found["evictions"] == (10 - n_held if n_rounds == 1 else 10)
        assert found["bypasses"] == 0


def test_a_round_over_more_lines_than_a_set_holds_hits_in_the_other_sets() -> None:
    """Ten lines in four sets of two ways: sets 0 and 1 have three lines each and never hit, sets 2
    and 3 have two each, and always do: 4 of 10."""
    cache = cache_of(whole_lines([[10]]), 8, 2)
    cache.run(1)
    assert totals(cache.run(1))["hits"] == 4


def test_pinned_lines_hit_where_nothing_else_does() -> None:
    """Two layers of three lines a cluster, 12 in all, in a cache of 8, the first cluster pinned.

    Its 6 lines stay. The other 6 are read in turn through the 2 ways left, and never hit. So an
    iteration of both clusters hits 6 times of 12, and without pinning never.
    """
    lines = whole_lines([[3, 3], [3, 3]])
    pinned, plain = cache_of(lines, 8, pinned=1), cache_of(lines, 8)
    for cache in (pinned, plain):
        cache.read(lines.reads(2))
    found, without = pinned.read(lines.reads(2)), plain.read(lines.reads(2))
    assert found.hits.tolist() == [[3, 0], [3, 0]]
    assert Fraction(found.hit_rate) == Fraction(1, 2) and without.hit_rate == 0
    assert found.evictions.tolist() == [[0, 3], [0, 3]] and not found.bypasses.any()


def test_lines_bypass_a_set_that_is_full_of_pinned_ones() -> None:
    """Five pinned lines and a cache of four: four stay, all others are fetched whenever read.

    Layer 0 has lines 0, 1 (pinned), 2, layer 1 has 3, 4, 5 (pinned), 6, in one set of 4.
    Line 2 gets in as third, and leaves for line 4.
    """
    lines = whole_lines([[2, 1], [3, 1]])
    cache = cache_of(lines, 4, pinned=1)
    first = cache.read(lines.reads(2))
    assert first.bypasses.tolist() == [[0, 0], [1, 1]]
    assert first.evictions.tolist() == [[0, 0], [1, 0]]
    assert cache.holds.tolist() == [True, True, False, True, True, False, False]
    second = cache.read(lines.reads(2))
    assert second.hits.tolist() == [[2, 0], [2, 0]]
    assert second.bypasses.tolist() == second.misses.tolist() == [[0, 1], [1, 1]]
    assert not second.evictions.any() and not second.cold_misses.any()
    assert second.bytes_fetched.tolist() == [[0, 64], [64, 64]]


def test_a_line_of_several_segments_drives_out_as_many_as_it_needs() -> None:
    """One set of two ways of 64 bytes: 16 segments of 8 and four tags.

    Lines of 16, 9, 40, 64 and 1 bytes take 2, 2, 5, 8 and 1 segments. The first three fill 9 of 16,
    the fourth needs 8: the oldest leaves. The fifth finds 15 taken, and all four tags are then
    given. The first line, 2 segments, drives out the second, for a tag and for room at once.
    """
    n_bytes = np.array([16, 9, 40, 64, 1])
    lines = NetworkLines(np.full((5, 1), 1), n_bytes, np.full(5, 64), -(-n_bytes // 32))
    cache = WeightCache(lines, CacheSettings(128, 64, 2, held="segments"))
    found = cache.read([0, 1, 2, 3, 4])
    assert found.evictions.ravel().tolist() == [0, 0, 0, 1, 0]
    assert cache.holds.tolist() == [False, True, True, True, True]
    assert found.bytes_fetched.ravel().tolist() == n_bytes.tolist()
    assert found.raw_bytes_fetched.ravel().tolist() == [64] * 5
    assert found.bursts.ravel().tolist() == [1, 1, 2, 2, 1]
    again = cache.read([0])
    assert again.evictions.ravel().tolist() == [1, 0, 0, 0, 0]
    assert cache.holds.tolist() == [True, False, True, True, True]


def test_short_lines_stop_at_the_tags_of_a_set() -> None:
    """Lines of one byte take a segment of 8 each; two ways of twice the tags hold four of them."""
    lines = NetworkLines(np.array([[5]]), np.ones(5, int), np.ones(5, int), np.ones(5, int))
    cache = WeightCache(lines, CacheSettings(128, 64, 2, held="segments"))
    assert cache.run(1).evictions.tolist() == [[[1]]]
    assert cache.holds.tolist() == [False, True, True, True, True]


def test_lines_of_one_content_share_a_place() -> None:
    """Contents A B A A C B: three are fetched, by the first line of each, and the others hit."""
    contents = np.array([5, 9, 5, 5, -1, 9])
    lines = NetworkLines(
        np.array([[2, 1], [1, 2]]), np.full(6, 64), np.full(6, 64), np.ones(6, int), contents
    )
    settings = CacheSettings(192, 64, 3, deduplicate=True)
    found = WeightCache(lines, settings).read(lines.reads(2))
    assert found.misses.tolist() == [[2, 0], [0, 1]]
    assert found.hits.tolist() == [[0, 1], [1, 1]]
    apart = WeightCache(lines, CacheSettings(192, 64, 3)).read(lines.reads(2))
    assert apart.misses.sum() == 6


def test_a_content_lies_in_the_set_of_its_first_line() -> None:
    """Two sets of one way, and lines A B B A C: all of A in set 0, as line 0 is, all of B in set 1,
    as line 1, and C in set 0. So A is out when it is read again, and B is in."""
    full, contents = np.full(5, 64), np.array([0, 1, 1, 0, 2])
    lines = NetworkLines(np.full((5, 1), 1), full, full, np.ones(5, int), contents)
    cache = WeightCache(lines, CacheSettings(128, 64, 1, deduplicate=True))
    found = cache.read([0, 1, 2, 3, 4, 3, 2])
    assert found.misses.ravel().tolist() == [1, 1, 0, 1, 1]
    assert found.evictions.ravel().tolist() == [0, 0, 0, 1, 1]
    assert cache.holds.tolist() == [True, True, True, True, False]


def test_a_content_is_pinned_where_one_of_its_lines_is() -> None:
    """Line 1 of cluster 1 comes first and is like line 2 of cluster 0: it stays for its sake."""
    lines = NetworkLines(
        np.array([[0, 1], [0, 1], [1, 0]]), np.full(3, 64), np.full(3, 64), np.ones(3, int),
        np.array([7, 8, 7]),
    )  # fmt: skip
    cache = WeightCache(lines, CacheSettings(64, 64, 1, 1, deduplicate=True))
    found = cache.read(lines.reads(2))
    assert found.bypasses.tolist() == [[0, 0], [0, 1], [0, 0]]
    assert found.hits.tolist() == [[0, 0], [0, 0], [1, 0]]


@pytest.mark.parametrize("n_clusters", range(1, 9))
def test_bytes_without_a_cache_and_with_an_ideal_one(n_clusters: int) -> None:
    """Iteration k fetches all clusters so far, the sum over j <= k of their bytes; a cache that
    holds all fetches each once. For equal clusters that is K (K + 1) / 2 to K: (K + 1) / 2."""
    n_lines = np.full((3, n_clusters), 4)
    lines = whole_lines(n_lines, 64, 32)
    without = uncached(lines, n_clusters)
    for k, n_bytes in enumerate(without.bytes_fetched.sum(axis=(1, 2)).tolist(), 1):
        assert n_bytes == sum(3 * 4 * 64 for _ in range(k))
    ideal = totals(cache_of(lines, 12 * n_clusters).run(n_clusters))
    plain = totals(without)
    ratio = Fraction(plain["bytes_fetched"], ideal["bytes_fetched"])
    assert ratio == Fraction(n_clusters + 1, 2)
    assert plain["accesses"] == plain["misses"] == ideal["accesses"]
    assert plain["hits"] == plain["cold_misses"] == plain["evictions"] == plain["bypasses"] == 0
    assert plain["bursts"] == 2 * plain["misses"]


def test_bytes_without_a_cache_are_those_of_each_cluster() -> None:
    n_bytes, raw = np.array([3, 5, 7, 11, 13]), np.array([1, 10, 100, 1000, 10000])
    lines = NetworkLines(np.array([[1, 2], [2, 0]]), n_bytes, raw, np.array([1, 2, 3, 4, 5]))
    found = uncached(lines, 2)
    assert found.bytes_fetched.tolist() == [[[3, 0], [24, 0]], [[3, 12], [24, 0]]]
    assert found.raw_bytes_fetched.tolist() == [[[1, 0], [11000, 0]], [[1, 110], [11000, 0]]]
    assert found.bursts.tolist() == [[[1, 0], [9, 0]], [[1, 5], [9, 0]]]
    assert found.accesses.tolist() == [[[1, 0], [2, 0]], [[1, 2], [2, 0]]]


def test_counts_are_added_and_taken_several_times() -> None:
    lines = whole_lines([[2, 1]])
    counts = cache_of(lines, 2).run(2)
    once = counts.over_iterations()
    assert once.accesses.tolist() == [[4, 1]]
    assert once.times(3).plus(once).accesses.tolist() == [[16, 4]]
    assert all(column.dtype == np.int64 for column in counts)
    assert cache_of(whole_lines([[0]]), 1).run(1).hit_rate == 0


def test_a_cache_larger_than_all_lines_has_no_more_sets_than_lines() -> None:
    cache = cache_of(whole_lines([[3]]), 1 << 30, 1)
    assert totals(cache.run(1))["cold_misses"] == 3 and totals(cache.run(1))["hits"] == 3


def test_settings_that_do_not_fit_the_lines_are_said() -> None:
    lines = whole_lines([[2, 3], [2, 3]])
    with pytest.raises(ConfigError, match=r"pinned_clusters of 0 to 2, .* got 3"):
        cache_of(lines, 4, pinned=3)
    with pytest.raises(LayoutError, match="contents of all lines to deduplicate"):
        WeightCache(lines, CacheSettings(256, deduplicate=True))
    n_bytes = np.where(np.arange(10) == 6, 65, 64)
    longer = NetworkLines(lines.n_lines, n_bytes, n_bytes, lines.bursts)
    with pytest.raises(LayoutError, match="layer 1, cluster 0, line 1: need 64 bytes at most, got"):
        WeightCache(longer, CacheSettings(256))


def test_a_state_of_another_cache_is_said() -> None:
    lines = whole_lines([[2, 3]])
    cache, other = cache_of(lines, 4), cache_of(lines, 4)
    cache.run(2)
    with pytest.raises(LayoutError, match="need an earlier state of this cache, got another's"):
        other.restore(cache.state)
    assert not other.holds.any()


@pytest.mark.parametrize("n", [0, 3])
def test_iterations_that_are_none_are_said(n: int) -> None:
    lines = whole_lines([[2, 3], [2, 3]])
    with pytest.raises(LayoutError, match=f"need 1 to 2 iterations, as there are .* got {n}"):
        cache_of(lines, 4).run(n)
    with pytest.raises(LayoutError, match=f"need 1 to 2 iterations, as there are .* got {n}"):
        uncached(lines, n)


@pytest.mark.parametrize("portions", [[4], [-1], [0.5], [[0]], 1])
def test_portions_that_are_none_are_said(portions: object) -> None:
    cache = cache_of(whole_lines([[2, 3], [2, 3]]), 4)
    with pytest.raises(LayoutError, match="need portions of 0 to 3, in a row, got"):
        cache.read(portions)  # type: ignore[arg-type]
    assert not cache.holds.any()
