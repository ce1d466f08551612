import csv
import io
import math
from dataclasses import replace
from pathlib import Path

import pytest

from bitpim.config import override, to_toml
from bitpim.machines.registry import default_text, load_preset
from bitpim.report.result_file import Result, open_result
from bitpim.report.tables import (
    STREAM_PHASES,
    as_csv,
    as_dict,
    as_text,
    elapsed_cycles,
    layer_rows,
    phase_rows,
    timing_of,
)
from tests.bitpim.report.small_run import run


@pytest.fixture(scope="module")
def result(tmp_path_factory: pytest.TempPathFactory) -> Result:
    path = tmp_path_factory.mktemp("r") / "net.h5"
    run(path, preset=default_text("neural_cache"))
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
    layer = replace(result.layers[0], cycles={"filter_load": 5, "input_stream": 9, "mac": 11})
    assert {"filter_load", "input_stream"} <= STREAM_PHASES
    assert elapsed_cycles(layer, "none") == 25
    assert elapsed_cycles(layer, "stream") == 14
    assert elapsed_cycles(replace(layer, cycles={"mac": 11, "output": 2}), "stream") == 11
    settings = override(load_preset("neural_cache"), ["timing.phase_overlap=stream"])
    streamed = replace(result, header=replace(result.header, preset=to_toml(settings)))
    assert timing_of(streamed) == (2.5, "stream")
    assert "streaming beside computing" in as_text(streamed)


def test_an_unknown_preset_has_no_time(result: Result) -> None:
    strange = replace(result, header=replace(result.header, preset="[preset]\nmachine = 'x'\n"))
    assert timing_of(strange) == (None, "none")
    assert layer_rows(strange)[0]["time_s"] is None
    assert "cycles 91, 13 a sample" in as_text(strange)


def test_csv_reads_back(result: Result) -> None:
    rows = list(csv.DictReader(io.StringIO(as_csv(result))))
    assert [row["name"] for row in rows] == ["conv1", "pool", "fc"]
    assert rows[0]["cycles.mac"] == "70" and rows[0]["energy_pj.mac"] == "52.5"
    assert rows[1]["cycles.mac"] == "0" and rows[1]["events.act"] == str(7 * 2**40)
    assert "energy_pj.mac" not in as_csv(unpriced(result))


def test_values_hold_the_run(result: Result) -> None:
    found = as_dict(result)
    assert (found["trace"], found["samples"], found["prices"]) == ("net", [2, 9], "t")
    assert found["totals"]["cycles"] == 91
    assert found["totals"]["energy_pj"] == result.total_energy_pj
    assert found["figures"]["accuracy"] == 6 / 7
    assert as_dict(unpriced(result))["totals"]["energy_pj"] is None


def test_text_shows_what_matters(result: Result) -> None:
    text = as_text(result)
    for piece in ("net on neural_cache", "cycles 91 = 36.4 ns, 13 a sample", "conv1", "max_pool2d"):
        assert piece in text
    assert "accuracy 0.8571 over 7 labelled samples" in text and "0.5000 over 2 samples" in text
    assert "max abs error" in text and "price table t" in text
    assert all(line == line.rstrip() for line in text.splitlines())
    plain = as_text(replace(unpriced(result), figures=None))
    assert not any(word in plain for word in ("energy", "accuracy", "max abs error"))


def test_reads_of_crossbars_stand_for_their_cycles(result: Result) -> None:
    reads = {"ou_activation": 3, "ou_skipped": 1, "ou_rows": 20, "adc_conv_4": 48, "adc_conv_5": 2}
    first, second, third = result.layers
    layers = (
        replace(first, counts={"read": reads | {"index_read_bit": 1000}}),
        replace(second, counts={"buffer": {"edram_access_256b": 9}}),
        replace(third, counts={"read": {"ou_skipped": 4}}),
    )
    text = as_text(replace(result, layers=layers))
    lines = [line.split() for line in text.splitlines()]
    assert "Cycles by phase" not in text and "passes" not in text
    assert ["conv1", "3", "25.0", "%", "6.7", "50", "1,000"] in lines
    assert ["fc", "0", "100.0", "%", "-", "0", "0"] in lines
    assert ["all", "3", "62.5", "%", "6.7", "50", "1,000"] in lines
    assert "Reads of" not in as_text(result) and "Cycles by phase" in as_text(result)


def test_names_are_shown_as_they_are(result: Result) -> None:
    name = "[red]a\nb[/red] \\[x]"
    layers = (replace(result.layers[0], name=name), *result.layers[1:])
    text = as_text(replace(result, layers=layers))
    assert "[red]a b[/red]" in text


def test_a_result_without_layers(result: Result, tmp_path: Path) -> None:
    empty = replace(result, layers=(), phases=(), figures=None)
    assert "cycles 0" in as_text(empty)
    assert as_csv(empty).strip() == ""
    assert as_dict(empty)["layers"] == []
