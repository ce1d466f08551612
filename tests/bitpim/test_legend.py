"""How counts are read: figures, texts, time with overlap; and what is refused, whoever wrote it."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bitpim.errors import ConfigError
from bitpim.legend import Headline, Legend

COUNTS = {"look": 30, "miss": 10, "row": 1234, "turn_4": 1000, "turn_5": 234, "turned": 7}


@pytest.mark.parametrize(
    ("headline", "value", "text"),
    [
        (Headline("x", ("look",)), 30, "30"),
        (Headline("x", ("look", "miss")), 40, "40"),
        (Headline("x", ("turn_*",)), 1234, "1,234"),
        (Headline("x", ("turn_*", "turn_4")), 1234, "1,234"),  # each event once
        (Headline("x", ("*",)), sum(COUNTS.values()), "2,515"),
        (Headline("x", ("gone",)), 0, "0"),
        (Headline("x", ("row",), ("look",), "ratio"), 1234 / 30, "41.1"),
        (Headline("x", ("miss",), ("look", "miss"), "share"), 0.25, "25.0 %"),
        (Headline("x", ("gone",), ("look",), "share"), 0.0, "0.0 %"),
        (Headline("x", ("row",), ("gone",), "ratio"), None, "-"),
    ],
)
def test_a_figure_and_its_text(headline: Headline, value: float | None, text: str) -> None:
    assert (headline.value(COUNTS), headline.text(COUNTS)) == (value, text)
    assert headline.occurs(COUNTS) == (headline.events != ("gone",) or headline.of == ("look",))
    assert not headline.occurs({"other": 3}) or headline.events == ("*",)


def test_a_layer_takes_its_phases_in_turn_or_the_longer_of_two() -> None:
    cycles = {"load": 5, "work": 11, "store": 8}
    in_turn = Legend(1.0, ("load", "store"))
    assert in_turn.elapsed(cycles) == 24
    beside = Legend(1.0, ("load", "store"), overlaps=True)
    assert beside.elapsed(cycles) == 13
    assert beside.elapsed({"load": 5, "work": 11}) == 11
    assert (beside.elapsed({}), Legend().elapsed(cycles)) == (0, 24)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: Headline("", ("a",)), "need a name on one line"),
        (lambda: Headline("a\nb", ("a",)), "need a name on one line"),
        (lambda: Headline("\x1b[31m", ("a",)), "need a name on one line"),
        (lambda: Headline("a", ()), "need events"),
        (lambda: Headline("a", ("",)), "need a tuple of names"),
        (lambda: Headline("a", "look"), "need a tuple of names, got 'look'"),  # type: ignore[arg-type]
        (lambda: Headline("a", ("a",), ("b",)), "unless it is a count"),
        (lambda: Headline("a", ("a",), (), "share"), "others to divide them by"),
        (lambda: Headline("a", ("a",), (), "sum"), "form of count, ratio, share, got 'sum'"),  # type: ignore[arg-type]
        (lambda: Legend(0.0), "clock above 0 GHz, or none, got 0.0"),
        (lambda: Legend(float("nan")), "clock above 0"),
        (lambda: Legend(float("inf")), "clock above 0"),
        (lambda: Legend(True), "clock above 0"),
        (lambda: Legend("2.5"), "clock above 0"),  # type: ignore[arg-type]
        (lambda: Legend(1.0, "load"), "streaming phases: need a tuple"),  # type: ignore[arg-type]
        (lambda: Legend(1.0, (), 1), "overlaps needs true or false"),  # type: ignore[arg-type]
        (lambda: Legend(1.0, pipelined="no"), "pipelined needs true or false"),  # type: ignore[arg-type]
        (lambda: Legend(1.0, headlines=[Headline("a", ("a",))]), "tuple of headlines"),  # type: ignore[arg-type]
        (lambda: Legend(1.0, headlines=(Headline("a", ("b",)),) * 2), "different names"),
    ],
)
def test_what_is_no_legend_is_refused(make: Any, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        make()


WORDS = st.text(st.characters(codec="utf-8"), min_size=1).filter(
    lambda word: word.isprintable() and word == word.strip()
)
NAMES = st.lists(WORDS, min_size=1, max_size=3).map(tuple)
HEADLINES = st.one_of(
    st.builds(Headline, WORDS, NAMES),
    st.builds(Headline, WORDS, NAMES, NAMES, st.sampled_from(["ratio", "share"])),
)
LEGENDS = st.builds(
    Legend,
    st.none() | st.floats(0, exclude_min=True, allow_infinity=False),
    st.lists(WORDS, max_size=3).map(tuple),
    st.booleans(),
    st.lists(HEADLINES, max_size=3, unique_by=lambda h: h.name).map(tuple),
    st.booleans(),
)


@given(LEGENDS, st.dictionaries(st.text(), st.integers(0, 2**63 - 1)))
def test_a_legend_survives_json(legend: Legend, counts: dict[str, int]) -> None:
    plain = json.loads(json.dumps(legend.to_dict()))
    again = Legend.from_dict(plain | {"new in a later version": 3})
    assert again == legend
    assert again.figures(counts) == legend.figures(counts)
    for headline in legend.headlines:
        assert headline.text(counts).isprintable()


JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text() | st.just(10**400),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)
PLACES = st.sampled_from(
    [("clock_ghz",), ("streaming",), ("overlaps",), ("pipelined",), ("headlines",)]
    + [("headlines", 0)]
    + [("headlines", 0, key) for key in ("name", "events", "of", "form")]
)
PLAIN = Legend(2.5, ("load",), True, (Headline("a", ("b",), ("c",), "share"),), True).to_dict()


@given(PLACES, JSON)
def test_any_json_in_a_legend_is_one_or_a_config_error(place: tuple[Any, ...], value: Any) -> None:
    content = json.loads(json.dumps(PLAIN))
    at = content
    for step in place[:-1]:
        at = at[step]
    at[place[-1]] = value
    try:
        legend = Legend.from_dict(content)
    except ConfigError as error:
        assert "\n" not in str(error)
    else:
        json.dumps(legend.to_dict(), allow_nan=False)
        assert Legend.from_dict(legend.to_dict()) == legend


@given(JSON)
def test_any_json_is_a_legend_or_a_config_error(value: Any) -> None:
    with pytest.raises(ConfigError):
        Legend.from_dict(value)


@pytest.mark.parametrize("key", ["clock_ghz", "streaming", "overlaps", "headlines"])
def test_a_value_left_out_is_refused(key: str) -> None:
    content = {name: value for name, value in PLAIN.items() if name != key}
    with pytest.raises(ConfigError, match=f"missing.*{key}"):
        Legend.from_dict(content)


def through(by_layer: list[int], n_samples: int) -> int:
    """When the last sample leaves a row of stages, each of which holds one sample at a time."""
    free = [0] * len(by_layer)
    out = 0
    for _ in range(n_samples):
        out = 0
        for stage, cycles in enumerate(by_layer):
            out = free[stage] = max(out, free[stage]) + cycles
    return out


@given(st.lists(st.integers(0, 9), max_size=5), st.integers(0, 6))
def test_a_pipeline_takes_what_samples_take_that_follow_each_other_through_it(
    by_layer: list[int], n_samples: int
) -> None:
    in_all = [cycles * n_samples for cycles in by_layer]
    assert Legend(pipelined=True).elapsed_in_all(in_all, n_samples) == through(by_layer, n_samples)
    assert Legend().elapsed_in_all(in_all, n_samples) == sum(by_layer) * n_samples


def test_a_legend_says_of_a_pipeline_only_where_there_is_one() -> None:
    """Results of machines without one are what they were before there was any."""
    assert "pipelined" not in Legend(1.0).to_dict()
    assert Legend(1.0, pipelined=True).to_dict()["pipelined"] is True
    assert not Legend.from_dict(Legend(1.0).to_dict()).pipelined
