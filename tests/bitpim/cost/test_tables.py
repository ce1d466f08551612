from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bitpim.config import setting_rows
from bitpim.cost.model import CYCLES
from bitpim.cost.tables import list_price_tables, load_prices, parse_prices
from bitpim.counts import CAM_EVENTS, RNA_EVENTS, SPIKE_EVENTS, SRAM_EVENTS
from bitpim.errors import ConfigError
from bitpim.machine.registry import list_presets, load_preset

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


CROSSBAR_MACHINES = ("dense_crossbar", "isaac", "pattern_crossbar", "sre")
UNCONVERTED = {
    *("ou_activation", "ou_skipped", "ou_rows", "ou_cols", "ou_cells", "dac_drive", "shift_add"),
    *("accum_scatter", "index_read_bit", "edram_access_256b"),
}
ADC_WIDTHS: dict[str, list[int]] = {
    "isaac": [*range(1, 11)],
    "mnsim2": [4, 6, 8, 10],
    "newton": [*range(1, 10)],
    "ousim": [*range(1, 17)],
    "sre": [*range(1, 11)],
    "yu2020": [*range(1, 11)],
}


def pj(table: str, event: str) -> float:
    return load_prices(table).price(event).energy_pj


CAM_TABLES = {"eva_cam_45nm": 0.73, "ndcam_45nm": 0.2}
RNA_TABLES = {"rapidnn_45nm": {"nor_cycle": 3.7}, "rapidnn_gates": {"nor_gate_cell": 0.1}}
"""What a search of 64 rows in one stage costs, pJ."""


def test_tables_are_of_the_cache_of_crossbars_or_of_cams() -> None:
    own = {"neural_cache_22nm", "pipelayer"}
    assert set(list_price_tables()) == {*own, *ADC_WIDTHS, *CAM_TABLES, *RNA_TABLES}


@pytest.mark.parametrize("name", RNA_TABLES)
def test_tables_of_lookup_price_each_act_once(name: str) -> None:
    """By the power of blocks over 1 ns, or by the cells that gates drive; searches alike."""
    table = load_prices(name)
    searches = {"cam_search", "cam_stage", "cam_row", "cam_survivor"}
    assert set(table.events) == {*RNA_EVENTS, "nor_init_cell", *searches}
    paid = {price.event: price.energy_pj for price in table.prices if price.energy_pj}
    assert paid == {"counter_cycle": 0.7, "cam_row": 0.2 / 64, **RNA_TABLES[name]}
    assert all(table.price(event).confidence in ("recalled", "assumed") for event in paid)


def test_every_event_of_spike_trains_is_priced_and_none_twice() -> None:
    """A wordline's spike pays for the array; what it crosses, and the counts, are in that."""
    table = load_prices("pipelayer")
    assert set(table.events) == {*SPIKE_EVENTS, "shift_add"}
    paid = {price.event: price.energy_pj for price in table.prices if price.energy_pj}
    assert paid == {"spike": 1.08, "reram_read": 1.08, "reram_write": 3910.0}


@pytest.mark.parametrize("name", CAM_TABLES)
def test_cam_tables_price_a_search_by_its_rows(name: str) -> None:
    """64 rows in a stage cost what the source says of them, and nothing is counted twice."""
    table = load_prices(name)
    assert set(table.events) == set(CAM_EVENTS)
    assert 64 * pj(name, "cam_row") == pytest.approx(CAM_TABLES[name], rel=1e-12)
    assert [price.event for price in table.prices if price.energy_pj] == ["cam_row"]
    parts = 0.001 + 0.065 + 0.291 + 0.142 + 0.231
    assert pytest.approx(parts, rel=1e-12) == CAM_TABLES["eva_cam_45nm"]
    assert load_prices("ndcam_45nm").price("cam_row").confidence == "recalled"


@pytest.mark.parametrize("name", ADC_WIDTHS)
def test_crossbar_tables_price_all_events_but_the_converters_they_do_not_know(name: str) -> None:
    table = load_prices(name)
    conversions = [f"adc_conv_{width}" for width in ADC_WIDTHS[name]]
    assert set(table.events) == UNCONVERTED | set(conversions)
    prices = [table.price(event).energy_pj for event in conversions]
    assert prices == sorted(set(prices))
    assert prices[0] > 0
    with pytest.raises(
        ConfigError, match=r"adc_conv_exact. \(.*ideal converter.* no price\); .*--prices none"
    ):
        table.require(["adc_conv_exact"])


@pytest.mark.parametrize("machine", CROSSBAR_MACHINES)
def test_every_table_but_one_prices_every_preset_of_crossbars(machine: str) -> None:
    for preset in list_presets(machine):
        settings = {row.key: row.value for row in setting_rows(load_preset(machine, preset))}
        for name in set(ADC_WIDTHS) - {"mnsim2"}:
            conversion = f"adc_conv_{settings['converter.adc_bits']}"
            load_prices(name).require({*UNCONVERTED, conversion})


def test_anchors_of_the_crossbar_tables() -> None:
    assert pj("yu2020", "ou_activation") == 4.8
    assert pj("yu2020", "adc_conv_8") == 1.67
    assert pj("yu2020", "dac_drive") == 0.0182
    assert pj("isaac", "adc_conv_8") == 1.667
    assert 128 * 128 * pj("isaac", "ou_cells") == pytest.approx(30, rel=1e-3)
    assert 72 * pj("isaac", "ou_cells") == pytest.approx(0.13, abs=0.005)
    assert 9 * pj("ousim", "dac_drive") == pytest.approx(0.029, abs=0.0005)
    assert 72 * pj("ousim", "ou_cells") == pytest.approx(0.0011, abs=0.00001)
    assert pj("sre", "adc_conv_6") == pytest.approx(0.6425 / 1.2, rel=1e-3)
    assert pj("newton", "adc_conv_9") == 2.583
    assert pj("mnsim2", "adc_conv_8") == 2.0 * (8 + 2)


def test_normalizations_differ_by_more_than_100_times_so_tables_are_never_mixed() -> None:
    for event in ("ou_cells", "dac_drive"):
        assert pj("isaac", event) > 100 * pj("ousim", event)
    assert pj("yu2020", "ou_activation") > 30 * 72 * pj("isaac", "ou_cells")
    assert pj("ousim", "adc_conv_8") == pytest.approx(pj("isaac", "adc_conv_8"), rel=1e-3)


@pytest.mark.parametrize(("name", "known"), [("ousim", 8), ("sre", 6), ("yu2020", 8)])
def test_other_converters_follow_the_rule_that_the_table_states(name: str, known: int) -> None:
    table = load_prices(name)
    step = pj(name, f"adc_conv_{known}") * (known + 1) / 2**known
    for width in ADC_WIDTHS[name]:
        price = table.price(f"adc_conv_{width}")
        assert price.energy_pj == pytest.approx(step * 2**width / (width + 1), rel=1e-3)
        if width != known:
            assert f"2^{width} / {width + 1}" in price.source
            assert (price.confidence == "assumed") == (name != "ousim")
    assert pj("yu2020", "adc_conv_6") == pytest.approx(pj("sre", "adc_conv_6"), rel=0.01)


def test_isaacs_narrow_converters_cost_as_much_a_bit_as_four_bits() -> None:
    for width in (1, 2, 3):
        price = load_prices("isaac").price(f"adc_conv_{width}")
        assert price.energy_pj == pytest.approx(pj("isaac", "adc_conv_4") / 4 * width)
        assert price.confidence == "assumed"


def test_newtons_converter_pays_by_the_bit() -> None:
    for width in ADC_WIDTHS["newton"]:
        assert pj("newton", f"adc_conv_{width}") == pytest.approx(2.583 * width / 9)


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
        (HEAD + "[zeta]\n[alpha]\n", "unknown table 'alpha'"),
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


@pytest.mark.parametrize("name", ["gone.toml", "folder/gone", "folder\\gone"])
def test_what_looks_like_a_file_is_one(name: str) -> None:
    with pytest.raises(ConfigError) as error:
        load_prices(name)
    assert str(error.value).startswith(f"price file {name}: cannot be read")


@given(st.text(min_size=1), st.floats(0, 1e30), st.text(min_size=1))
def test_any_price_survives_a_round_trip(event: str, energy_pj: float, source: str) -> None:
    table = parse_prices(GOOD)
    price = table.prices[0].model_copy(
        update={"event": event, "energy_pj": energy_pj, "source": source}
    )
    changed = table.model_copy(update={"prices": (price,)})
    assert parse_prices(changed.to_toml()) == changed


def test_a_file_of_a_packaged_name_has_the_same_events_and_prices(tmp_path: Path) -> None:
    """One price more, one fewer, one other: each would pass for the packaged table in a header."""
    text = load_prices("isaac").to_toml()
    path = tmp_path / "mine.toml"
    path.write_text(text)
    assert load_prices(path) == load_prices("isaac")
    start = text.index("[prices.")
    stop = text.index("[prices.", start + 1)
    event = text[start : text.index("]", start)].removeprefix("[prices.").strip('"')
    one = text[start:stop]
    other = one.replace("energy_pj = ", "energy_pj = 1")
    more = one.replace(event, "made_up")
    for changed, named in ((text[:start] + text[stop:], event), (text + more, "made_up"),
                           (text.replace(one, other), event)):  # fmt: skip
        path.write_text(changed)
        with pytest.raises(ConfigError, match=rf"'isaac' and has another price of {named}; "):
            load_prices(path)
