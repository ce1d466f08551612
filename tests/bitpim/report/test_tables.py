import csv
import io
import math
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given

from bitpim.legend import Headline, Legend
from bitpim.report.result_file import Result, open_result
from bitpim.report.rows import label_of, layer_rows, phase_rows
from bitpim.report.tables import as_csv, as_text
from tests.bitpim.report.small_run import LEGEND, run
from tests.bitpim.test_legend import LEGENDS


@pytest.fixture(scope="module")
def result(tmp_path_factory: pytest.TempPathFactory) -> Result:
    path = tmp_path_factory.mktemp("r") / "net.h5"
    run(path)
    return open_result(path)


def unpriced(result: Result) -> Result:
    layers = tuple(replace(layer, energy_pj={}) for layer in result.layers)
    return replace(result, layers=layers, prices_name="", prices_text="")


def test_rows_hold_what_the_result_holds(result: Result) -> None:
    rows = layer_rows(result)
    assert [row["name"] for row in rows] == ["conv1", "pool", "fc"]
    conv = rows[0]
    assert conv["cycles"] == 77 and conv["cycles_by_phase"] == {"load": 7, "mac": 70}
    assert conv["time_s"] == pytest.approx(77 / 2.5e9)
    assert conv["energy_pj"] == 52.5 and conv["events"] == {"act": 21}
    assert conv["headlines"] == {"acts": 21, "of all": 1.0}
    assert (conv["utilization"], conv["passes"]) == (0.5, None)
    assert (conv["n_references"], conv["max_abs"], conv["sqnr_db"]) == (2, 0.25, math.inf)
    assert (rows[1]["n_references"], rows[1]["max_abs"]) == (0, None)


def test_phases_add_up(result: Result) -> None:
    rows = {row["phase"]: row for row in phase_rows(result)}
    assert {name: row["cycles"] for name, row in rows.items()} == {"load": 7, "mac": 70, "pool": 14}
    for share in ("cycles_share", "energy_share"):
        assert sum(row[share] for row in rows.values()) == pytest.approx(1)
    assert sum(row["energy_pj"] for row in rows.values()) == result.total_energy_pj


def test_time_of_a_layer_with_and_without_overlap(result: Result) -> None:
    streamed = replace(result, legend=replace(LEGEND, overlaps=True))
    assert [row["cycles"] for row in layer_rows(result)] == [77, 14, 0]
    assert [row["cycles"] for row in layer_rows(streamed)] == [70, 14, 0]
    assert (result.elapsed_cycles, streamed.elapsed_cycles, streamed.n_cycles) == (91, 84, 91)
    assert streamed.to_dict()["totals"]["time_s"] == pytest.approx(84 / 2.5e9)
    assert (
        "cycles      84, 33.6 ns at 2.5 GHz, 12 a sample (streaming beside computing)"
        in as_text(streamed)
    )
    assert "streaming" not in as_text(result)


def test_without_a_legend_there_is_no_time_and_no_headline(result: Result) -> None:
    strange = replace(result, legend=Legend())
    assert layer_rows(strange)[0]["time_s"] is None
    assert strange.to_dict()["totals"]["headlines"] == {}
    text = as_text(strange)
    assert "cycles      91, 13 a sample" in text and "Headlines" not in text


@pytest.mark.parametrize(
    ("preset", "name"),
    [
        ("[preset]\nname = 'p'\n", "p"),
        ("preset = 3", "unknown"),
        ("[preset]\nname = 3", "unknown"),
        ("", "unknown"),
        ("x", "unknown"),
        ("x = " + "[" * 20_000, "unknown"),
    ],
)
def test_the_preset_is_named_where_its_text_can_be_read(
    result: Result, preset: str, name: str
) -> None:
    other = replace(result, header=replace(result.header, preset=preset))
    assert label_of(other).name == name and f"preset {name}, bit" in as_text(other)


def test_csv_reads_back(result: Result) -> None:
    rows = list(csv.DictReader(io.StringIO(as_csv(result))))
    assert [row["name"] for row in rows] == ["conv1", "pool", "fc"]
    assert rows[0]["cycles.mac"] == "70" and rows[0]["energy_pj.mac"] == "52.5"
    assert rows[1]["cycles.mac"] == "0" and rows[1]["events.act"] == str(7 * 2**40)
    assert "energy_pj.mac" not in as_csv(unpriced(result))


def test_values_hold_the_run(result: Result) -> None:
    found = result.to_dict()
    assert (found["trace"], found["samples"], found["prices"]) == ("net", [2, 9], "t")
    assert found["totals"]["cycles"] == 91
    assert found["totals"]["energy_pj"] == result.total_energy_pj
    assert found["figures"]["accuracy"] == 6 / 7
    assert unpriced(result).to_dict()["totals"]["energy_pj"] is None


def test_text_shows_what_matters(result: Result) -> None:
    text = as_text(result)
    for piece in (
        "net on neural_cache",
        "cycles      91, 36.4 ns at 2.5 GHz, 13 a sample",
        "conv1",
        "max_pool2d",
    ):
        assert piece in text
    assert "accuracy    0.8571, 6 of 7" in text and "agreement   1 of 2 with" in text
    assert "max abs error" in text and "by t (prices" in text
    assert all(line == line.rstrip() for line in text.splitlines())
    plain = as_text(replace(unpriced(result), figures=None))
    assert not any(word in plain for word in ("energy", "accuracy", "max abs error"))


def test_headlines_of_each_layer_that_has_any_and_of_all(result: Result) -> None:
    headlines = (
        Headline("looks", ("look",)),
        Headline("left out", ("miss",), ("look", "miss"), "share"),
        Headline("rows a look", ("row",), ("look",), "ratio"),
        Headline("turns", ("turn_*",)),
    )
    looks = {"look": 3, "miss": 1, "row": 20, "turn_4": 48, "turn_5": 1000, "turned": 7}
    first, second, third = result.layers
    layers = (
        replace(first, counts={"one": looks}),
        replace(second, counts={"two": {"other": 9}}),
        replace(third, counts={"one": {"miss": 4}}),
    )
    other = replace(unpriced(result), layers=layers, legend=Legend(1.0, headlines=headlines))
    lines = [line.split() for line in as_text(other).split("Headlines\n")[1].splitlines()]
    assert lines[:5] == [
        ["layer", "looks", "left", "out", "rows", "a", "look", "turns"],
        ["conv1", "3", "25.0", "%", "6.7", "1,048"],
        ["fc", "0", "100.0", "%", "-", "0"],
        ["all", "3", "62.5", "%", "6.7", "1,048"],
        [],
    ]
    assert other.to_dict()["totals"]["headlines"]["left out"] == 5 / 8
    assert other.to_dict()["layers"][1]["headlines"]["left out"] is None


def test_a_share_of_nothing_left_out_is_still_told(result: Result) -> None:
    share = Headline("left out", ("miss",), ("look", "miss"), "share")
    layers = (replace(result.layers[0], counts={"one": {"look": 3}}), *result.layers[1:])
    text = as_text(replace(unpriced(result), layers=layers, legend=Legend(headlines=(share,))))
    assert ["conv1", "0.0", "%"] in [line.split() for line in text.splitlines()]


@given(legend=LEGENDS)
def test_any_legend_can_be_shown(result: Result, legend: Legend) -> None:
    other = replace(result, legend=legend)
    text = as_text(other)
    assert ("streaming beside computing" in text) == legend.overlaps
    assert list(other.to_dict()["totals"]["headlines"]) == [h.name for h in legend.headlines]
    text.encode()


def test_cycles_by_phase_are_shown_where_several_phases_take_any(result: Result) -> None:
    assert "Cycles by phase\nlayer  load  mac  pool\n" in as_text(result)
    first = replace(result.layers[0], cycles={"load": 0, "mac": 70})
    text = as_text(replace(result, layers=(first,)))
    assert "Cycles by" not in text and "passes" not in text


def test_a_title_is_on_one_line_over_the_narrowest_table(result: Result) -> None:
    first = replace(result.layers[0], name="x", cycles={"a": 1, "b": 2}, counts={})
    text = as_text(replace(result, layers=(first,), phases=("a", "b")))
    assert "\nCycles by phase\nlayer  a  b\nx      1  2\n" in text


def test_names_are_shown_as_they_are(result: Result) -> None:
    name = "[red]a\nb[/red] \\[x]"
    layers = (replace(result.layers[0], name=name), *result.layers[1:])
    text = as_text(replace(result, layers=layers))
    assert "[red]a b[/red]" in text


def test_a_result_without_layers(result: Result, tmp_path: Path) -> None:
    empty = replace(result, layers=(), phases=(), figures=None)
    assert "cycles      0" in as_text(empty)
    assert as_csv(empty).strip() == ""
    assert empty.to_dict()["layers"] == []
