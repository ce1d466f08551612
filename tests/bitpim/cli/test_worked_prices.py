"""What the command line says of energy, prices and shares, against figures worked by hand.

The run and all its sums are in `tests/bitpim/report/worked_run.py`: 50 acts of 3 pJ (recalled), 50
adcs of 10.5 pJ (assumed), 100 sures of 0.6 pJ (found): 150 + 525 + 60 = 735 pJ in 5 samples.
"""

import json
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from bitpim.cli import compare, cost
from bitpim.errors import ConfigError
from bitpim.machine.registry import prices_of
from bitpim.report.result_file import open_result
from bitpim.report.summary import result_lines
from tests.bitpim.report.worked_run import price_table, write_run

app = typer.Typer()
app.command()(cost.cost)
app.command()(compare.compare)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return write_run(tmp_path / "net.h5")


def say(*arguments: str | Path) -> str:
    done = CliRunner().invoke(app, [str(a) for a in arguments])
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    return done.output


def values(*arguments: str | Path) -> Any:
    return json.loads(say(*arguments, "--json"))


def words(text: str) -> list[str]:
    """Yield the lines of a text, words one space apart."""
    return [" ".join(line.split()) for line in text.splitlines()]


def test_a_result_in_a_few_lines(path: Path) -> None:
    """Of 735 pJ, 525 are of assumed prices (71 %), 150 of recalled (20 %), 60 of found (8 %)."""
    lines = words("\n".join(result_lines(open_result(path))))
    assert lines[0] == "accuracy 0.4000, 2 of 5"
    assert lines[1] == "agreement 1 of 2 with the float network"
    assert lines[2] == "cycles 1,000, 500 ns at 2 GHz, 200 a sample"
    assert (
        lines[3]
        == "energy 735 pJ, 147 pJ a sample, by t (prices 71 % assumed, 20 % recalled, 8 % found)"
    )
    assert lines[4] == "events 50.0 % of all"
    assert lines[-1].split("  ")[0].endswith("out 50 % ▓ mac 45 % ▒ load 5 %")


def test_prices_of_one_confidence_are_added(tmp_path: Path) -> None:
    """With both assumed, 675 of 735 pJ are: 92 %."""
    table = price_table()
    same = tuple(
        price.model_copy(update={"confidence": "found" if price.event == "sure" else "assumed"})
        for price in table.prices
    )
    path = write_run(tmp_path / "net.h5", table.model_copy(update={"prices": same}))
    lines = words("\n".join(result_lines(open_result(path))))
    assert lines[3] == "energy 735 pJ, 147 pJ a sample, by t (prices 92 % assumed, 8 % found)"


def test_the_summary_in_plain_values(path: Path) -> None:
    found = open_result(path).to_dict()
    totals = found["totals"]
    assert (totals["cycles"], totals["energy_pj"], found["prices"]) == (1000, 735, "t")
    cycles = {row["phase"]: row["cycles"] for row in found["phases"]}
    assert cycles == {"load": 50, "mac": 450, "out": 500}
    assert totals["events"] == {"act": 50, "adc": 50, "sure": 100}


def test_cost_by_event(path: Path) -> None:
    lines = words(say("cost", path))
    assert lines[3:7] == [
        "event count pJ each energy share confidence source; one event is",
        "adc 50 10.5 525 pJ 71.4 % assumed me (22 nm); one",
        "act 50 3 150 pJ 20.4 % recalled me (22 nm); one",
        "sure 100 0.6 60 pJ 8.2 % found me (22 nm); one",
    ]
    assert lines[-1] == "total 735 pJ, 147 pJ a sample"
    found = values("cost", path)
    assert found["total_pj"] == 735
    assert {row["event"]: row["energy_pj"] for row in found["events"]} == {
        "act": 150,
        "adc": 525,
        "sure": 60,
    }


def test_only_what_is_assumed_free_is_free_by_assumption(tmp_path: Path) -> None:
    """An adc that costs nothing is assumed; an act that does is recalled, and not told."""
    free = price_table().scaled("adc", 0.0).scaled("act", 0.0)
    path = write_run(tmp_path / "net.h5", free)
    assert words(say("cost", path))[-2:] == [
        "total 60 pJ, 12 pJ a sample",
        "free by assumption: adc",
    ]


def test_sensitivity_to_each_price(path: Path) -> None:
    """Twice the price of an adc adds 525 pJ, half of it takes 262.5 off."""
    rows = {row["event"]: row for row in values("cost", path, "--sensitivity")["sensitivity"]}
    assert (rows["adc"]["low_pj"], rows["adc"]["high_pj"]) == (735 - 262.5, 735 + 525)
    assert (rows["act"]["low_pj"], rows["act"]["high_pj"]) == (735 - 75, 735 + 150)
    assert rows["adc"]["share"] == 525 / 735
    lines = words(say("cost", path, "--sensitivity"))
    assert "adc 71.4 % 472.5 pJ 1.26 nJ assumed" in lines
    assert "act 20.4 % 660 pJ 885 pJ recalled" in lines


def test_a_file_that_bears_the_name_of_the_results_table_is_another_table(
    path: Path, tmp_path: Path
) -> None:
    """The result was priced by `t` with an act of 3 pJ; a file `t` says 5: 100 pJ more."""
    mine = tmp_path / "t.toml"
    mine.write_text(price_table(act=5.0).to_toml(), "utf-8")
    assert values("cost", path)["total_pj"] == 735
    assert values("cost", path, "--prices", mine)["total_pj"] == 835
    other = write_run(tmp_path / "other.h5", price_table(act=5.0))
    assert values("cost", other)["total_pj"] == 835
    lines = words(say("compare", path, other))
    assert lines[0] == "note: price tables named 't' both, but of other prices"
    assert "energy pJ 735 835 0.8802" in lines


def test_a_file_may_not_bear_the_name_of_a_packaged_table_with_other_prices(
    tmp_path: Path,
) -> None:
    packaged = prices_of("neural_cache")
    mine = tmp_path / "mine.toml"
    mine.write_text(packaged.to_toml(), "utf-8")
    assert prices_of("neural_cache", str(mine)) == packaged
    doubled = packaged.scaled("sram_compute_cycle", 2.0)
    mine.write_text(doubled.to_toml(), "utf-8")
    with pytest.raises(ConfigError, match=r"another price of sram_compute_cycle; give it a name"):
        prices_of("neural_cache", str(mine))
    mine.write_text(doubled.model_copy(update={"name": "mine"}).to_toml(), "utf-8")
    read = prices_of("neural_cache", str(mine))
    price = packaged.price("sram_compute_cycle").energy_pj
    assert read.price("sram_compute_cycle").energy_pj == 2 * price
    fewer = packaged.model_copy(update={"prices": packaged.prices[2:]})
    mine.write_text(fewer.to_toml(), "utf-8")
    with pytest.raises(ConfigError, match=r"\(and 1 more\)"):
        prices_of("neural_cache", str(mine))
