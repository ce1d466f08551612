"""`bitpim replay`: files, messages, exit codes."""

import csv
import errno
import io
import os
from pathlib import Path
from typing import Any

import pytest

from bitpim.report.result_file import open_result
from bitpim_traces import open_trace, write_trace
from tests.bitpim.cli.conftest import Referee, Run
from tests.bitpim.test_run import PRICES
from tests.strategies import small_trace

ON = ("--machine", "neural_cache", "--prices", "none")


@pytest.mark.usefixtures("referee")
def test_writes_a_result_and_says_what_it_took(bitpim: Run, net: Path, tmp_path: Path) -> None:
    out = tmp_path / "r.h5"
    code, text, err = bitpim("replay", net, *ON, "-o", out)
    assert (code, err) == (0, "")
    assert "bit fidelity, samples 0:5" in text and "cycles" in text
    assert open_result(out).header.trace_digest == open_trace(net).digest


def test_the_headlines_of_a_machine_are_said(bitpim: Run, bitpim_json: Any, tmp_path: Path) -> None:
    net, out = tmp_path / "net.h5", tmp_path / "r.h5"
    write_trace(small_trace(9, kinds=["conv2d", "flatten", "linear"], bits=(8, 8)), net)
    command = ("replay", net, "-m", "sre", "--set", "numbers.encoding=offset", "-o", out)
    code, text, err = bitpim(*command)
    events = bitpim_json(*command, "--resume")["totals"]["events"]
    assert (code, err) == (0, "") and events["ou_skipped"]
    assert f"events      {events['ou_activation']:,} OU reads, " in text
    assert "% left out, " in text and f"{events['adc_conv_6']:,} conversions" in text
    assert "at 75.19 MHz" in text
    assert "phases" not in text  # all cycles are reads
    dense = bitpim("replay", net, "-m", "dense_crossbar", "-o", out, "--overwrite")[1]
    assert " OU reads, " in dense and "left out" not in dense and "index bits" not in dense


@pytest.mark.usefixtures("referee")
def test_options_reach_the_run(bitpim_json: Any, net: Path, tmp_path: Path) -> None:
    out = tmp_path / "r.h5"
    name = open_trace(net).layers[2].name
    row = bitpim_json(
        "replay", net, *ON, "-o", out, "--samples", "1:4", "--layers", f"{name},0",
        "--fidelity", "integer", "--jobs", 1, "--batch", 2, "--set", "geometry.array_rows=128",
    )  # fmt: skip
    assert (row["samples"], row["fidelity"]) == ([1, 4], "integer")
    assert len(row["layers"]) == 2 and row["totals"]["energy_pj"] is None
    assert "array_rows = { value = 128" in open_result(out).header.preset == row["preset_text"]
    assert row["totals"]["cycles"] == sum(phase["cycles"] for phase in row["phases"]) > 0


@pytest.mark.usefixtures("referee")
@pytest.mark.parametrize("overlap", ["none", "stream"])
def test_cycles_are_those_of_the_report(
    bitpim_json: Any, net: Path, tmp_path: Path, overlap: str
) -> None:
    out = tmp_path / "r.h5"
    row = bitpim_json("replay", net, *ON, "-o", out, "--set", f"timing.phase_overlap={overlap}")
    assert row == {"result": str(out), **bitpim_json("report", out)}
    n_cycles = sum(phase["cycles"] for phase in row["phases"])
    assert (row["totals"]["cycles"] < n_cycles) == (overlap == "stream")


@pytest.mark.usefixtures("referee")
def test_resume_of_a_finished_run_changes_nothing(bitpim: Run, net: Path, tmp_path: Path) -> None:
    out = tmp_path / "r.h5"
    assert bitpim("replay", net, *ON, "-o", out)[0] == 0
    before = out.stat().st_mtime_ns
    assert bitpim("replay", net, *ON, "-o", out, "--resume")[0] == 0
    assert out.stat().st_mtime_ns == before


@pytest.mark.usefixtures("referee")
def test_nothing_is_replaced_unless_one_says_so(bitpim: Run, net: Path, tmp_path: Path) -> None:
    out, command = tmp_path / "r.h5", ("replay", net, *ON, "-o", tmp_path / "r.h5")
    assert bitpim(*command)[0] == 0
    before = out.read_bytes()
    changed = (*command, "--set", "array_rows=128")
    code, text, err = bitpim(*changed)
    assert (code, text, err.count("\n")) == (3, "", 1) and "--overwrite" in err
    code, _, err = bitpim(*changed, "--resume")
    assert code == 3 and "belongs to another run" in err and "--overwrite starts anew" in err
    assert bitpim(*command, "--resume", "--overwrite")[0] == 3
    assert out.read_bytes() == before
    code, text, err = bitpim(*changed, "--overwrite")
    assert (code, err) == (0, "") and "with geometry.array_rows=128" in text


@pytest.mark.usefixtures("referee")
def test_what_was_changed_stands_in_every_header(
    bitpim: Run, bitpim_json: Any, net: Path, tmp_path: Path
) -> None:
    out, plain = tmp_path / "r.h5", tmp_path / "p.h5"
    prices = tmp_path / "prices.toml"
    prices.write_text(PRICES, "utf-8")
    change, said = ("--set", "array_rows=128"), "preset neural_cache with geometry.array_rows=128"
    bitpim("replay", net, *ON, "-o", plain)
    kept = ("replay", net, *ON, *change, "-o", out)
    told = [
        bitpim(*kept)[1],
        bitpim("report", out)[1],
        bitpim("verify", net, out)[1],
        bitpim("verify", net, "-m", "neural_cache", *change)[1],
        bitpim("plan", net, "-m", "neural_cache", *change)[1],
        bitpim("compare", plain, out)[1],
        bitpim("cost", out, "--prices", prices)[1],
        bitpim("config", "show", *change)[1],
    ]
    assert [said in text for text in told] == [True] * len(told)
    rows = list(csv.DictReader(io.StringIO(bitpim("report", out, "--csv")[1])))
    assert {(row["preset"], row["settings"]) for row in rows} == {
        ("neural_cache", "geometry.array_rows=128")
    }
    other = csv.DictReader(io.StringIO(bitpim("report", plain, "--csv")[1]))
    assert {row["settings_digest"] for row in other}.isdisjoint(r["settings_digest"] for r in rows)
    for values in (
        bitpim_json(*kept, "--resume"),
        bitpim_json("report", out),
        bitpim_json("plan", net, "-m", "neural_cache", *change),
        bitpim_json("cost", out, "--prices", prices),
        bitpim_json("config", "show", *change),
        bitpim_json("presets", "neural_cache", *change),
    ):
        assert (values["preset"], values["settings"]) == (
            "neural_cache",
            {"geometry.array_rows": 128},
        )


WRONG = [
    (["--machine", "neural_cash"], 3, "did you mean 'neural_cache'?"),
    ([*ON, "--preset", "neural_cach"], 3, "did you mean"),
    ([*ON, "--set", "geometry.rows=1"], 3, "unknown key"),
    ([*ON, "--set", "geometry.array_rows=many"], 3, "array_rows"),
    (["--machine", "neural_cache", "--prices", "nothing"], 3, "unknown price table"),
    ([*ON, "--samples", "0:99"], 3, "samples 0:99"),
    ([*ON, "--samples", "x"], 3, "START:STOP"),
    ([*ON, "--layers", "99"], 3, "layers 0 to 5"),
    ([*ON, "--fidelity", "half"], 2, "half"),
    ([*ON, "--jobs", "0"], 2, "jobs"),
    ([], 2, "--machine"),
]


@pytest.mark.usefixtures("referee")
@pytest.mark.parametrize(("arguments", "code", "words"), WRONG)
def test_a_wrong_word_is_one_line(
    bitpim: Run, net: Path, tmp_path: Path, arguments: list[str], code: int, words: str
) -> None:
    got, out, err = bitpim("replay", net, *arguments, "-o", tmp_path / "r.h5")
    assert (got, out) == (code, "")
    assert words in err and err.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["net.h5"]


@pytest.mark.usefixtures("referee")
def test_a_trace_that_is_none_is_one_line(bitpim: Run, tmp_path: Path) -> None:
    rubbish = tmp_path / "rubbish.h5"
    rubbish.write_bytes(b"no trace")
    for name in (rubbish, tmp_path / "absent.h5", tmp_path):
        code, out, err = bitpim("replay", name, *ON, "-o", tmp_path / "r.h5")
        assert (code, out, err.count("\n")) == (3, "", 1)
        assert str(name) in err


@pytest.mark.usefixtures("referee")
@pytest.mark.parametrize("number", [errno.EACCES, errno.EROFS, errno.ENOSPC])
def test_a_folder_that_takes_nothing_is_one_line(
    bitpim: Run, net: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    real = os.open

    def refuse(path: Any, flags: int, *rest: Any, **more: Any) -> int:
        if "r.h5" in str(path) and flags & os.O_CREAT:
            raise OSError(number, os.strerror(number), str(path))
        return real(path, flags, *rest, **more)

    monkeypatch.setattr(os, "open", refuse)
    code, out, err = bitpim("replay", net, *ON, "-o", tmp_path / "r.h5")
    assert (code, out, err.count("\n")) == (3, "", 1)
    assert os.strerror(number) in err
    assert [path.name for path in tmp_path.iterdir()] == ["net.h5"]


def test_an_impatient_user_learns_how_to_go_on(
    bitpim: Run, net: Path, tmp_path: Path, referee: type[Referee], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(referee, "prepare", raise_interrupt)
    code, out, err = bitpim("replay", net, *ON, "-o", tmp_path / "r.h5")
    assert (code, out) == (130, "")
    assert err.startswith("bitpim: interrupted; ") and "--resume" in err and err.count("\n") == 1


def raise_interrupt(*_: object, **__: object) -> None:
    raise KeyboardInterrupt
