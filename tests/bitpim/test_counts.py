import re

import pytest

from bitpim.counts import EVENTS, Counts, define_events
from bitpim.errors import AccumulatorError, ConfigError


def test_counts_add_repeat_and_compare() -> None:
    one = Counts(cycles=2, tag_load=1)
    two = Counts(cycles=5)
    assert one + two == Counts(tag_load=1, cycles=7)
    assert one * 3 == 3 * one == Counts(cycles=6, tag_load=3)
    assert one * 0 == Counts()
    assert one.on_arrays(3) == Counts(cycles=2, tag_load=3)
    assert one != two
    assert Counts(tag_load=0) == Counts()
    assert hash(one + two) == hash(two + one)
    assert one["carry_store"] == 0
    assert list(one) == list(EVENTS)
    assert one.to_dict() == {"cycles": 2, "tag_load": 1}
    assert repr(one) == "Counts(cycles=2, tag_load=1)"


def test_wrong_counts_are_refused() -> None:
    with pytest.raises(ConfigError, match="got 'cycle'"):
        Counts(cycle=1)
    with pytest.raises(ConfigError, match="got -1"):
        Counts(cycles=-1)
    with pytest.raises(KeyError):
        Counts()["cycle"]
    assert Counts(cycles=2**63 - 1)["cycles"] == 2**63 - 1
    with pytest.raises(AccumulatorError, match="2\\^63"):
        Counts(cycles=2**62) * 2
    with pytest.raises(TypeError):
        Counts() * 1.5  # type: ignore[operator]


def test_every_adc_of_1_to_16_bits_has_its_event() -> None:
    widths = {int(name[9:]) for name in EVENTS if re.fullmatch(r"adc_conv_\d+", name)}
    assert widths == set(range(1, 17))


def test_arrays_of_another_kind_count_their_own_events() -> None:
    define_events({"toy_spin": "one turn of a toy"})
    define_events({"toy_spin": "one turn of a toy"})  # a module may be loaded again
    assert EVENTS["toy_spin"] == "one turn of a toy"
    assert (Counts(toy_spin=2) + Counts(toy_spin=1)).to_dict() == {"toy_spin": 3}


@pytest.mark.parametrize(
    ("name", "meaning", "words"),
    [
        ("tag_load", "another thing", "means 'a compute cycle that loads the tag latch' already"),
        ("tag load", "two words", "need a word of letters, digits and _"),
        ("toy_turn", "", "and what one of it is, got ''"),
    ],
)
def test_an_event_has_one_meaning(name: str, meaning: str, words: str) -> None:
    known = dict(EVENTS)
    with pytest.raises(ConfigError, match=re.escape(words)):
        define_events({"toy_hop": "one hop", name: meaning})
    assert dict(EVENTS) == known
