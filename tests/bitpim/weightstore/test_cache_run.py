import pytest
from hypothesis import given
from hypothesis import strategies as st

from bitpim.errors import ConfigError, LayoutError
from bitpim.weightstore import cache_run
from bitpim.weightstore.access_stream import whole_lines
from bitpim.weightstore.cache_run import BETWEEN, run_inputs
from bitpim.weightstore.cache_settings import CacheSettings
from tests.naive.weight_cache import NAMES, Line, run
from tests.weight_lines import caches, lines_of, naive_cache, networks, tables_of


@given(networks(), st.data())
def test_every_input_counts_as_the_naive_cache_counts(
    lines: list[Line], data: st.DataObject
) -> None:
    n_clusters = max((line.cluster for line in lines), default=0) + 1
    settings = data.draw(caches(n_clusters))
    network = lines_of(lines, max((line.layer for line in lines), default=0) + 1, n_clusters)
    iterations = data.draw(st.lists(st.integers(1, n_clusters), max_size=9))
    between = data.draw(st.sampled_from(BETWEEN))
    remembered = data.draw(st.sampled_from([0, 200, 1 << 20]))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cache_run, "MOST_REMEMBERED", remembered)
        found = run_inputs(network, settings, iterations, between)
    naive, totals = naive_cache(lines, settings), dict.fromkeys(NAMES, 0)
    for i, n in enumerate(iterations):
        if between == "reset_per_input":
            naive = naive_cache(lines, settings)
        expected = run(naive, n)
        assert tables_of(found.of_input(i)) == expected
        for name in NAMES:
            totals[name] += sum(counts[name] for table in expected for counts in table.values())
    assert {name: int(getattr(found.total, name).sum()) for name in NAMES} == totals
    assert found.between == between


def test_an_input_of_a_kind_that_was_met_is_not_read_again() -> None:
    """After one input a cache of four lines of ten always holds the same: two courses of 100."""
    lines, settings = whole_lines([[5, 5]]), CacheSettings(256)
    steady = run_inputs(lines, settings, [2] * 100)
    assert steady.course_of_input.tolist() == [0] + [1] * 99
    assert steady.total.accesses.tolist() == [[1000, 500]]
    apart = run_inputs(lines, settings, [2, 1] * 50, "reset_per_input")
    assert apart.course_of_input.tolist() == [0, 1] * 50


def test_what_takes_too_much_memory_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    """After the first input two kinds follow each other: nothing is known of either, or of both."""
    lines, settings = whole_lines([[5, 5]]), CacheSettings(256)
    for most, n_courses in ((0, 8), (1 << 20, 3)):
        monkeypatch.setattr(cache_run, "MOST_REMEMBERED", most)
        assert len(run_inputs(lines, settings, [2, 1] * 4).courses) == n_courses


def test_a_steady_state_fetches_once_what_a_reset_fetches_for_every_input() -> None:
    """Six lines in a cache of eight, inputs of 2, 1 and 2 iterations: 6 misses, or 6 + 3 + 6."""
    lines, settings = whole_lines([[3, 3]]), CacheSettings(512, ways=8)
    steady = run_inputs(lines, settings, [2, 1, 2])
    apart = run_inputs(lines, settings, [2, 1, 2], "reset_per_input")
    assert steady.total.cold_misses.tolist() == steady.total.misses.tolist() == [[3, 3]]
    assert apart.total.cold_misses.tolist() == apart.total.misses.tolist() == [[9, 6]]
    assert steady.total.accesses.tolist() == apart.total.accesses.tolist() == [[15, 6]]
    assert apart.of_input(1).misses.tolist() == [[[3, 0]]]


def test_a_run_without_inputs_counts_nothing() -> None:
    found = run_inputs(whole_lines([[3, 3]]), CacheSettings(512), [])
    assert found.courses == () and found.total.accesses.tolist() == [[0, 0]]


def test_wrong_runs_are_said() -> None:
    lines, settings = whole_lines([[3, 3]]), CacheSettings(512)
    with pytest.raises(ConfigError, match="between steady_state or reset_per_input, got 'reset'"):
        run_inputs(lines, settings, [1], "reset")
    with pytest.raises(LayoutError, match="input 0: need 1 to 2 iterations"):
        run_inputs(lines, settings, [3])
