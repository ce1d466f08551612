from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bitpim.arrays.events import SRAM_EVENTS
from bitpim.cost.model import CYCLES
from bitpim.cost.tables import list_price_tables, load_prices, parse_prices
from bitpim.errors import ConfigError

HEAD = '[table]\nname = "t"\ntechnology = "22 nm"\n'
REST = 'per = "one"\ntechnology = "22 nm"\nsource = "me"\nconfidence = "assumed"\n'
GOOD = HEAD + "[prices.act]\nenergy_pj = 2.5\n" + REST


def test_the_papers_prices() -> None:
    table = load_prices("neural_cache_22nm")
    assert table.price("sram_compute_cycle").energy_pj == 15.4
    assert table.price("sram_access_cycle").energy_pj == 8.6
    assert table.price("dram_byte").energy_pj * 4 == 640
    assert table.price("bus_byte").confidence == "assumed"


@pytest.mark.parametrize("name", list_price_tables())
def test_every_packaged_table_reads_back_equal(name: str) -> None:
    table = load_prices(name)
    assert table.name == name
    assert parse_prices(table.to_toml()) == table


def test_every_event_of_cache_arrays_is_priced() -> None:
    load_prices("neural_cache_22nm").require(set(SRAM_EVENTS) - {CYCLES})


def test_a_missing_price_is_named() -> None:
    table = parse_prices(GOOD)
    with pytest.raises(ConfigError, match=r"table t: no price for event 'acd'; did you mean 'act'"):
        table.price("acd")
    with pytest.raises(ConfigError, match="'zzz'"):
        table.require(["act", "zzz"])


def test_scaled_changes_one_price_in_a_copy() -> None:
    table = parse_prices(GOOD + "[prices.b]\nenergy_pj = 1\n" + REST)
    scaled = table.scaled("act", 2)
    assert [p.energy_pj for p in scaled.prices] == [5.0, 1.0]
    assert [p.energy_pj for p in table.prices] == [2.5, 1.0]
    with pytest.raises(ConfigError):
        table.scaled("zzz", 2)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("x = [", "not TOML"),
        ("", "needs a [table]"),
        (HEAD, "needs a [table]"),
        (HEAD + "[price.a]\n", "unknown table 'price'; did you mean 'prices'?"),
        (HEAD + "[prices]\na = 3\n", "prices.a: need a table, got 3"),
        (GOOD.replace("2.5", "-1.0"), "prices.act: energy_pj"),
        (GOOD.replace("2.5", "inf"), "prices.act: energy_pj"),
        (GOOD.replace("2.5", "nan"), "prices.act: energy_pj"),
        (GOOD.replace("2.5", "true"), "prices.act: energy_pj"),
        (GOOD.replace("2.5", '"2.5"'), "prices.act: energy_pj"),
        (GOOD.replace('"assumed"', '"sure"'), "prices.act: confidence"),
        (GOOD.replace('source = "me"\n', ""), "prices.act: source: Field required"),
        (GOOD.replace('"one"', '""'), "prices.act: per"),
        (GOOD + "colour = 3\n", "prices.act: colour"),
        (GOOD.replace('name = "t"\n', ""), "name: Field required"),
    ],
)
def test_a_bad_table_says_where_and_what(text: str, said: str) -> None:
    with pytest.raises(ConfigError) as error:
        parse_prices(text)
    assert said in str(error.value)
    assert "\n" not in str(error.value)


def test_load_prices_from_a_file(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(GOOD, "utf-8")
    assert load_prices(path) == parse_prices(GOOD)
    for name, said in (("gone.toml", "cannot be read"), ("neural_cache_22", "did you mean")):
        with pytest.raises(ConfigError, match=said):
            load_prices(name)


@given(st.text(min_size=1), st.floats(0, 1e300), st.text(min_size=1))
def test_any_price_survives_a_round_trip(event: str, energy_pj: float, source: str) -> None:
    table = parse_prices(GOOD)
    price = table.prices[0].model_copy(
        update={"event": event, "energy_pj": energy_pj, "source": source}
    )
    changed = table.model_copy(update={"prices": (price,)})
    assert parse_prices(changed.to_toml()) == changed
