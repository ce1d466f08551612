"""`bitpim verify`: equal, not equal, and where first."""

import json
import shutil
from pathlib import Path
from typing import Any

import h5py
import pytest

from bitpim.proof.reference import run_network
from bitpim_traces import open_trace, write_trace
from tests.bitpim.cli.conftest import Referee, Run
from tests.strategies import small_trace

ON = ("--machine", "neural_cache")


@pytest.mark.usefixtures("referee")
def test_an_equal_machine_is_l0(bitpim: Run, bitpim_json: Any, net: Path) -> None:
    code, out, err = bitpim("verify", net, *ON)
    assert (code, err) == (0, "")
    assert "L0" in out.splitlines()[-1]
    assert "SQNR" in out and "top-1 agreement" in out
    found = bitpim_json("verify", net, *ON, "--samples", "2:4")
    assert found["equal"] is True and found["samples"] == [2, 4]
    assert all(layer["n_samples"] == 2 for layer in found["layers"])


def test_the_first_mismatch_is_named(bitpim: Run, net: Path, referee: type[Referee]) -> None:
    referee.wrong = 3
    trace = open_trace(net)
    expected = run_network(trace, trace.samples.codes.read(), keep=[3])[3].flat[-1]
    code, out, err = bitpim("verify", net, *ON)
    assert code == 4
    assert "NO" in out and "L0" not in out
    assert f"layer 3 {trace.layers[3].name!r}, sample 4," in err
    assert f"need {expected}, got {expected ^ 1}" in err and err.count("\n") == 1
    code, out, _ = bitpim("verify", net, *ON, "--json")
    assert code == 4 and '"sample": 4' in out


@pytest.mark.usefixtures("referee")
def test_a_result_file_is_verified_by_its_digests(
    bitpim: Run, bitpim_json: Any, net: Path, tmp_path: Path
) -> None:
    out = tmp_path / "r.h5"
    arguments = ("replay", net, *ON, "--prices", "none", "-o", out, "--samples", "1:")
    assert bitpim(*arguments, "--layers", "1,4")[0] == 0
    found = bitpim_json("verify", net, out)
    assert found["equal"] is True and [layer["index"] for layer in found["layers"]] == [1, 4]
    assert all(layer["n_samples"] == 4 for layer in found["layers"])


def test_a_wrong_result_file_names_layer_and_sample(
    bitpim: Run, net: Path, tmp_path: Path, referee: type[Referee]
) -> None:
    referee.wrong = 2
    out = tmp_path / "r.h5"
    bitpim("replay", net, *ON, "--prices", "none", "-o", out, "--batch", 3)
    code, _, err = bitpim("verify", net, out, "--no-rerun")
    assert code == 4
    assert "layer 2" in err and "sample 2:" in err and "2 of 5 samples differ" in err
    code, _, err = bitpim("verify", net, out)  # now in one batch, so its last sample alone is wrong
    assert code == 4
    assert "outputs: not what the run gives: layer 2" in err and "sample 2: another" in err


@pytest.mark.usefixtures("referee")
def test_a_result_of_another_trace_is_refused(bitpim: Run, net: Path, tmp_path: Path) -> None:
    out, other = tmp_path / "r.h5", tmp_path / "other.h5"
    bitpim("replay", net, *ON, "--prices", "none", "-o", out)
    write_trace(small_trace(10, n_samples=5), other)
    code, _, err = bitpim("verify", other, out)
    assert code == 3 and "need the trace it was made from" in err and err.count("\n") == 1


@pytest.mark.usefixtures("referee")
def test_a_damaged_result_is_refused(bitpim: Run, net: Path, tmp_path: Path) -> None:
    out, damaged = tmp_path / "r.h5", tmp_path / "damaged.h5"
    bitpim("replay", net, *ON, "--prices", "none", "-o", out)
    shutil.copy(out, damaged)
    with h5py.File(damaged, "r+") as file:
        file["layers/0000/digests"][0] = 0
    code, _, err = bitpim("verify", net, damaged)
    assert code == 3 and err.count("\n") == 1


def test_one_of_result_and_machine(bitpim: Run, net: Path) -> None:
    assert bitpim("verify", net)[0] == 2
    assert bitpim("verify", net, "r.h5", *ON)[0] == 2


def test_an_adc_that_is_lossy_by_setting_is_said(bitpim: Run, tmp_path: Path) -> None:
    net, out = tmp_path / "net.h5", tmp_path / "r.h5"
    write_trace(small_trace(9, kinds=["conv2d", "flatten", "linear"], bits=(8, 8)), net)
    machine = ("--machine", "dense_crossbar", "--preset", "dense_crossbar_8bit")
    lossy = (*machine, "--set", "converter.adc_bits=1", "--set", "numbers.overflow=saturate")
    assert bitpim("replay", net, *lossy, "-o", out)[0] == 0
    for command in (("verify", net, *lossy), ("verify", net, out)):
        code, text, err = bitpim(*command)
        assert code == 4 and "layer 0" in err
        assert text.splitlines()[-1].startswith("L2: 0 of 3 layers equal the referee; ")
        assert "as the settings have it: ADC clip of 1 bit, partial sums 0 to 27" in text
        code, text, _ = bitpim(*command, "--json")
        found = json.loads(text)
        assert (code, found["exactness"]) == (4, "L2") and "clip of 1 bit" in found["lossy"]
    code, text, _ = bitpim("verify", net, *machine)
    assert code == 0 and text.splitlines()[-1].startswith("L0")
