"""`--set KEY@LAYERS=VALUE` on the commands that take settings."""

from pathlib import Path
from typing import Any

import pytest

from bitpim_traces import write_trace
from tests.bitpim.cli.conftest import Run
from tests.strategies import small_trace

KINDS = ["conv2d", "max_pool2d", "conv2d", "flatten", "linear"]
ON = ("-m", "dense_crossbar", "-p", "dense_crossbar_8bit")
SET = ("--set", "adc_bits@conv*=4", "--set", "layers.digital@linear_4=true",
       "--set", "overflow=saturate")  # fmt: skip
TYPED = "converter.adc_bits@conv*=4 numbers.overflow=saturate layers.digital@linear_4=true"


@pytest.fixture
def net(tmp_path: Path) -> Path:
    path = tmp_path / "net.h5"
    write_trace(small_trace(42, kinds=KINDS, mode="half_up_shift", bits=(8, 8)), path)
    return path


def test_every_command_takes_and_tells_them(
    bitpim: Run, bitpim_json: Any, net: Path, tmp_path: Path
) -> None:
    out, plain = tmp_path / "r.h5", tmp_path / "plain.h5"
    code, text, err = bitpim("plan", net, *ON, *SET)
    assert (code, err) == (0, "") and TYPED in text
    rows = [line.split() for line in text.splitlines()]
    assert "own_settings" in rows[2] and "converter.adc_bits=4" in rows[3]
    assert rows[7][3] == "digital" and "layers.digital=true" in rows[7]
    code, text, err = bitpim("replay", net, *ON, *SET, "-o", out)
    assert (code, err) == (0, "") and TYPED in text
    row = bitpim_json("report", out)
    assert row["settings"]["converter.adc_bits@conv*"] == 4
    assert row["layers"][4]["own_settings"] == "layers.digital=true"
    assert row["layers"][4]["events"].keys() == {"edram_access_256b"}
    assert "settings of its own" in bitpim("report", out)[1]
    assert bitpim_json("cost", out)["total_pj"] > 0
    assert bitpim("replay", net, *ON, "-o", plain)[0] == 0
    code, text, err = bitpim("compare", out, plain)
    assert code == 4 and f"with {TYPED} and preset dense_crossbar_8bit" in text
    code, text, err = bitpim("verify", net, out)
    assert code == 4 and "(in 'conv2d_0', 'conv2d_2')" in text
    assert "computed again and equal: run, outputs, " in text
    assert bitpim("verify", net, *ON, "--set", "digital@conv*=true")[0] == 0
    code, text, err = bitpim("replay", net, *ON, *SET[2:], "-o", out, "--resume")
    assert code == 3 and "preset" in err


def test_settings_are_shown_and_written_with_them(
    bitpim: Run, bitpim_json: Any, tmp_path: Path
) -> None:
    code, text, err = bitpim("config", "show", "isaac", "--set", "adc_bits@conv*=6")
    assert (code, err) == (0, "")
    assert "isaac, preset isaac with converter.adc_bits@conv*=6: " in text
    assert any(line.startswith("converter.adc_bits@conv* ") for line in text.splitlines())
    assert "by layer, as KEY@LAYERS, too: converter.dac_bits, " in text
    shown = bitpim_json("config", "show", "neural_cache")
    assert shown["by_layer"][-1] == "layers.digital"
    text = bitpim("presets", "isaac", "--set", "digital@conv1=true")[1]
    assert '[layers]\n"digital@conv1" = { value = true, source = "set by hand"' in text
    path = tmp_path / "mine.toml"
    path.write_text(text.replace('name = "isaac"', 'name = "mine"'))
    assert "layers.digital@conv1" in bitpim("config", "show", "isaac", "-p", path)[1]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("ou_rows@conv*=4", "geometry.ou_rows is one for all layers; those that may be given by"),
        ("adc_bits@conf2d_0=4", "fits no layer; the closest are 'conv2d_0'"),
        ("adc_bits@*=40", "converter.adc_bits@*: need 1 to 16 bits, got 40"),
        ("digital@max*=true", "need a layer of kind conv2d or linear, got 'max_pool2d_1'"),
    ],
)
@pytest.mark.parametrize("command", ["plan", "replay", "verify"])
def test_a_wrong_one_is_one_line(
    bitpim: Run, net: Path, tmp_path: Path, command: str, change: str, said: str
) -> None:
    more = ("-o", tmp_path / "r.h5") if command == "replay" else ()
    code, out, err = bitpim(command, net, *ON, *more, "--set", change)
    assert (code, out) == (3, "") and said in err and err.count("\n") == 1
    assert not (tmp_path / "r.h5").exists()
