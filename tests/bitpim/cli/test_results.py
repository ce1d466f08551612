"""`bitpim report`, `compare`, `cost` and `config`: what they print and how they end."""

import csv
import io
import json
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from bitpim.cli import compare, config, cost, report
from bitpim.errors import ConfigError, ResultError
from bitpim.machine.registry import parse_preset
from tests.bitpim.report.small_run import PRICES, run

app = typer.Typer()
app.command()(report.report)
app.command()(compare.compare)
app.command()(cost.cost)
app.add_typer(config.app, name="config")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "net.h5"
    run(path)
    return path


def say(*arguments: str | Path, code: int = 0) -> str:
    done = CliRunner().invoke(app, [str(a) for a in arguments])
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    assert done.exit_code == code, done.output
    return done.output


def values(*arguments: str | Path, code: int = 0) -> Any:
    return json.loads(say(*arguments, "--json", code=code))


def test_report(path: Path, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    assert "conv1" in say("report", path)
    assert len(list(csv.DictReader(io.StringIO(say("report", path, "--csv"))))) == 3
    found = values("report", path, "--plot", tmp_path / "r.png")
    assert found["totals"]["cycles"] == 91
    assert found["layers"][0]["sqnr_db"] == "inf"
    assert (tmp_path / "r.png").read_bytes().startswith(b"\x89PNG")
    say("report", path, "--csv", "--json", code=2)
    named = tmp_path / "result.png"
    named.write_bytes(path.read_bytes())
    assert "need another file than the result" in say("report", named, "--plot", named, code=2)
    assert named.read_bytes() == path.read_bytes()
    with pytest.raises(ResultError, match="cannot be read"):
        say("report", tmp_path / "gone.h5")


def test_compare_ends_with_4_where_results_differ(path: Path, tmp_path: Path) -> None:
    assert "equal in outputs" in say("compare", path, path)
    other = tmp_path / "other.h5"
    run(other, fidelity="integer", priced=False)
    found = values("compare", path, other)
    assert found["equal"] and len(found["notes"]) == 2
    assert "note: fidelity 'bit' and 'integer'" in say("compare", path, other)
    run(other, trace_digest="ff", overwrite=True)
    assert "run: trace_digest: 00ff and ff" in say("compare", path, other, code=4)
    assert values("compare", path, other, code=4)["differences"][0]["where"] == "trace_digest"


def test_compare_shows_the_first_differences(path: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.h5"
    run(other, start=1, stop=8, cuts=[(1, 8)])
    text = say("compare", path, other, "--limit", "2", code=4)
    assert len(text.splitlines()) == 3 and "and more; --limit 4" in text
    assert values("compare", path, other, "--limit", "2", code=4)["more"]
    assert not values("compare", path, other, "--limit", "99", code=4)["more"]


def test_compare_sets_totals_of_the_same_work_side_by_side(path: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.h5"
    assert "ratio" not in say("compare", path, path)
    run(other, fidelity="integer")
    lines = [line.split() for line in say("compare", path, other).splitlines()]
    head = next(i for i, line in enumerate(lines) if line[-1:] == ["ratio"])
    n_cycles, n_acts = f"{7 * (1 + 10 + 2):,}", f"{7 * (3 + 2**40):,}"
    assert lines[head + 1] == ["cycles", n_cycles, n_cycles, "1"]
    assert lines[head + 2] == [
        "energy",
        "pJ",
        *[f"{PRICES.price('act').energy_pj * 7 * (3 + 2**40):,.0f}"] * 2,
        "1",
    ]
    assert lines[head + 3] == ["act", n_acts, n_acts, "1"]
    assert "outputs equal in 3 of 3 layers" in map(" ".join, lines)


def test_cost(path: Path, tmp_path: Path) -> None:
    text = say("cost", path, "--sensitivity", "--factor", "4")
    assert "price table t" in text and "total 19.24 J" in text and "price / 4" in text
    found = values("cost", path)
    assert found["total_pj"] == 2.5 * (21 + 7 * 2**40)
    assert found["events"][0]["price_pj"] == 2.5 and found["sensitivity"] == []
    free = tmp_path / "free.toml"
    free.write_text(PRICES.scaled("act", 0.0).to_toml(), "utf-8")
    assert "free by assumption: act" in say("cost", path, "--prices", free)
    with pytest.raises(ConfigError, match="no price for event 'act'"):
        say("cost", path, "--prices", "neural_cache_22nm")
    run(path, priced=False, overwrite=True)
    with pytest.raises(ConfigError, match="name a table by --prices"):
        say("cost", path)


def test_config() -> None:
    assert parse_preset(say("config", "default")).name == "neural_cache"
    assert parse_preset(values("config", "default")["text"]).name == "neural_cache"
    assert json.loads(say("config", "schema"))["type"] == "object"
    text = say("config", "show", "-p", "neural_cache_mve", "--set", "mapping.batch_size=4")
    assert "set by hand" in text and "presets of neural_cache" in text
    rows = {row["key"]: row for row in values("config", "show")["rows"]}
    assert rows["timing.mac_cycles_calibrated"]["value"] == "236"
    with pytest.raises(ConfigError, match="did you mean 'neural_cache'"):
        say("config", "show", "neural_cach")
