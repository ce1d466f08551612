import pytest

from bitpim.counts import EVENTS, Counts
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
    assert one.as_dict() == {"cycles": 2, "tag_load": 1}
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
