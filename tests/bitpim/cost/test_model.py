from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bitpim.cost.model import CYCLES, energy, phase_energy_pj, seconds, sensitivity
from bitpim.cost.tables import Price, PriceTable
from bitpim.errors import ConfigError


def table_of(prices: dict[str, float]) -> PriceTable:
    return PriceTable(
        name="t",
        technology="22 nm",
        prices=tuple(
            Price(
                event=event,
                energy_pj=value,
                per="one",
                technology="22 nm",
                source="test",
                confidence="assumed",
            )
            for event, value in sorted(prices.items())
        ),
    )


def test_energy_is_counts_times_prices_and_cycles_are_time() -> None:
    found = energy({"act": 3, "move": 2, CYCLES: 1000}, table_of({"act": 15.4, "move": 8.6}))
    assert found.by_event_pj == {"act": 3 * 15.4, "move": 2 * 8.6}
    assert found.total_pj == pytest.approx(63.4)
    assert found.table == "t"


def test_missing_price_and_negative_count() -> None:
    with pytest.raises(ConfigError, match="no price for event 'move'"):
        energy({"act": 1, "move": 0}, table_of({"act": 1.0}))
    with pytest.raises(ConfigError, match="negative"):
        energy({"act": -1}, table_of({"act": 1.0}))


def test_energies_are_never_mixed_whatever_their_tables_are_called() -> None:
    """Three acts at 1 pJ and three at 2 pJ, both by a table `t`: their sum means nothing."""
    cheap, dear = (energy({"act": 3}, table_of({"act": price})) for price in (1.0, 2.0))
    assert (cheap.table, cheap.total_pj) == ("t", 3.0) and (dear.table, dear.total_pj) == ("t", 6.0)
    with pytest.raises(TypeError):
        cheap + dear  # type: ignore[operator]


counts_and_prices = st.dictionaries(
    st.sampled_from("abcdef"), st.tuples(st.integers(0, 2**40), st.integers(0, 1000)), min_size=1
)


@given(counts_and_prices)
def test_energy_equals_exact_arithmetic(content: dict[str, tuple[int, int]]) -> None:
    table = table_of({event: price / 8 for event, (_, price) in content.items()})
    counts = {event: count for event, (count, _) in content.items()}
    exact = sum((Fraction(n * price, 8) for n, price in content.values()), Fraction())
    assert energy(counts, table).total_pj == float(exact)
    phases = {"one": counts, "two": {**counts, CYCLES: 7}}
    assert phase_energy_pj(phases, table) == {"one": float(exact), "two": float(exact)}


@given(counts_and_prices)
def test_sensitivity_brackets_the_total(content: dict[str, tuple[int, int]]) -> None:
    table = table_of({event: price / 8 for event, (_, price) in content.items()})
    counts = {event: count for event, (count, _) in content.items()}
    total = energy(counts, table).total_pj
    rows = sensitivity(counts, table, 4.0)
    assert {row.event for row in rows} == set(counts)
    assert [row.share for row in rows] == sorted((row.share for row in rows), reverse=True)
    assert sum(row.share for row in rows) == pytest.approx(1.0 if total else 0.0)
    for row in rows:
        part = energy({row.event: counts[row.event]}, table).total_pj
        assert row.low_pj == pytest.approx(total - 0.75 * part)
        assert row.high_pj == pytest.approx(total + 3 * part)


@pytest.mark.parametrize("factor", [1.0, 0.5, float("nan"), float("inf")])
def test_a_factor_that_varies_nothing_is_refused(factor: float) -> None:
    with pytest.raises(ConfigError, match="factor"):
        sensitivity({"act": 1}, table_of({"act": 1.0}), factor)


def test_seconds() -> None:
    assert seconds(119_712, 2.5) == pytest.approx(47.8848e-6)
    with pytest.raises(ConfigError, match="clock"):
        seconds(1, 0.0)
