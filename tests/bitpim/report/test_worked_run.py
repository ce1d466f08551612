"""Cycles, time, energy and their shares in a report, against figures worked by hand.

The run and all its sums are in `worked_run`.
"""

import csv
import io
from pathlib import Path

import pytest

from bitpim.report.compare_results import compare_results
from bitpim.report.result_file import Result, open_result
from bitpim.report.rows import layer_rows, phase_rows
from bitpim.report.tables import as_csv, as_text
from tests.bitpim.report.worked_run import price_table, write_run


@pytest.fixture(scope="module")
def result(tmp_path_factory: pytest.TempPathFactory) -> Result:
    return open_result(write_run(tmp_path_factory.mktemp("worked") / "net.h5"))


def test_counts_and_energy_are_those_of_all_batches(result: Result) -> None:
    conv, fc = result.layers
    assert conv.counts == {"load": {"act": 20}, "mac": {"act": 30, "adc": 10}}
    assert fc.counts == {"mac": {"adc": 40}, "out": {"sure": 100}}
    assert dict(conv.cycles) == {"load": 50, "mac": 150}
    assert dict(fc.cycles) == {"mac": 300, "out": 500}
    assert {p: e for p, e in conv.energy_pj.items() if e} == {"load": 60.0, "mac": 195.0}
    assert {p: e for p, e in fc.energy_pj.items() if e} == {"mac": 420.0, "out": 60.0}
    assert (conv.total_energy_pj, fc.total_energy_pj, result.total_energy_pj) == (255, 480, 735)
    assert result.events() == {"act": 50, "adc": 50, "sure": 100}
    assert (result.n_cycles, result.elapsed_cycles, result.header.n_samples) == (1000, 1000, 5)


def test_shares_by_phase(result: Result) -> None:
    """Cycles and energy are shared otherwise: half the cycles are `out`, most energy is `mac`."""
    rows = {row["phase"]: row for row in phase_rows(result)}
    assert list(rows) == ["load", "mac", "out"]
    assert {p: row["cycles"] for p, row in rows.items()} == {"load": 50, "mac": 450, "out": 500}
    assert [row["cycles_share"] for row in rows.values()] == [0.05, 0.45, 0.5]
    assert {p: row["energy_pj"] for p, row in rows.items()} == {"load": 60, "mac": 615, "out": 60}
    assert [row["energy_share"] for row in rows.values()] == [60 / 735, 615 / 735, 60 / 735]


def test_figures_by_layer(result: Result) -> None:
    conv, fc = layer_rows(result)
    assert (conv["cycles"], fc["cycles"]) == (200, 800)
    assert (conv["time_s"], fc["time_s"]) == (pytest.approx(100e-9), pytest.approx(400e-9))
    assert (conv["energy_pj"], fc["energy_pj"]) == (255, 480)
    assert (conv["utilization"], fc["utilization"]) == (0.25, 0.625)
    assert (conv["events"], fc["events"]) == ({"act": 50, "adc": 10}, {"adc": 40, "sure": 100})
    assert (conv["headlines"], fc["headlines"]) == ({"of all": 10 / 60}, {"of all": 1.0})


def test_totals(result: Result) -> None:
    totals = result.to_dict()["totals"]
    assert (totals["samples"], totals["cycles"], totals["energy_pj"]) == (5, 1000, 735)
    assert totals["time_s"] == pytest.approx(500e-9)
    assert totals["headlines"] == {"of all": 0.5}


def test_layers_that_stream_beside_computing(tmp_path: Path) -> None:
    """Layer by layer: 150 of conv, 500 of fc. All phases together it would be max(550, 450)."""
    result = open_result(write_run(tmp_path / "net.h5", overlaps=True))
    assert [row["cycles"] for row in layer_rows(result)] == [150, 500]
    assert result.to_dict()["totals"]["cycles"] == 650
    assert result.to_dict()["totals"]["time_s"] == pytest.approx(325e-9)
    assert [row["cycles"] for row in phase_rows(result)] == [50, 450, 500]
    text = as_text(result)
    assert "cycles      650, 325 ns at 2 GHz, 130 a sample (streaming beside computing)" in text
    assert lines_of(text, "Layers")[1].endswith("25.0 % 150 23.1 % 75 ns 255 pJ")


def lines_of(text: str, title: str) -> list[str]:
    """Yield the rows of a table, its head first, words one space apart."""
    lines = text.split(f"\n{title}\n")[1].split("\n\n")[0].splitlines()
    return [" ".join(line.split()) for line in lines]


def test_the_text_says_the_same(result: Result) -> None:
    text = as_text(result)
    assert "samples 3:8\n" in text
    assert "cycles      1,000, 500 ns at 2 GHz, 200 a sample\n" in text
    assert "energy      735 pJ, 147 pJ a sample, by t (prices 71 % assumed" in text
    assert lines_of(text, "Layers") == [
        "# layer kind arrays passes utilization cycles share time energy",
        "0 conv conv2d 3 2 25.0 % 200 20.0 % 100 ns 255 pJ",
        "1 fc linear 1 1 62.5 % 800 80.0 % 400 ns 480 pJ",
    ]
    assert lines_of(text, "Cycles by phase") == [
        "layer load mac out",
        "conv 50 150 -",
        "fc - 300 500",
    ]
    assert lines_of(text, "Phases") == [
        "phase cycles share energy share of it",
        "load 50 5.0 % 60 pJ 8.2 %",
        "mac 450 45.0 % 615 pJ 83.7 %",
        "out 500 50.0 % 60 pJ 8.2 %",
    ]
    assert lines_of(text, "Headlines")[1:] == [
        "conv 16.7 %",
        "fc 100.0 %",
        "all 50.0 %",
    ]


def test_the_csv_says_the_same(result: Result) -> None:
    conv, fc = csv.DictReader(io.StringIO(as_csv(result)))
    assert (conv["cycles"], conv["energy_pj"], conv["utilization"]) == ("200", "255.0", "0.25")
    assert [conv[f"energy_pj.{p}"] for p in ("load", "mac", "out")] == ["60.0", "195.0", "0.0"]
    assert [fc[f"energy_pj.{p}"] for p in ("load", "mac", "out")] == ["0.0", "420.0", "60.0"]
    assert [fc[f"cycles.{p}"] for p in ("load", "mac", "out")] == ["0", "300", "500"]
    assert [fc[f"events.{e}"] for e in ("act", "adc", "sure")] == ["0", "40", "100"]


def test_without_prices_shares_of_cycles_stay(tmp_path: Path) -> None:
    result = open_result(write_run(tmp_path / "net.h5", priced=False))
    assert [row["energy_share"] for row in phase_rows(result)] == [0.0, 0.0, 0.0]
    assert [row["cycles_share"] for row in phase_rows(result)] == [0.05, 0.45, 0.5]


def test_two_price_tables_of_one_name_are_told_apart(tmp_path: Path) -> None:
    """Each result keeps the table it was priced by, whatever it is called.

    With an act of 5 pJ instead of 3, 50 acts cost 100 pJ more.
    """
    mine = open_result(write_run(tmp_path / "a.h5"))
    other = open_result(write_run(tmp_path / "b.h5", price_table(act=5.0)))
    assert mine.prices_name == other.prices_name == "t"
    assert (mine.total_energy_pj, other.total_energy_pj) == (735, 835)
    found = compare_results(mine, other)
    assert found.is_equal
    assert found.notes == ("price tables named 't' both, but of other prices",)
    renamed = open_result(write_run(tmp_path / "c.h5", price_table("u")))
    assert compare_results(mine, renamed).notes == ("prices 't' and 'u'",)
