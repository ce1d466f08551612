"""`trace synth` and `trace quantize`: files, and one line for what is wrong."""

from pathlib import Path

import pytest
import typer

from bitpim.cli import trace_make
from bitpim_traces import open_trace


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    trace_make.synth("tiny", tmp_path / "tiny.h5", seed=3, samples=2)
    return tmp_path / "tiny.h5"


def test_synth_writes_and_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "net.h5"
    trace_make.synth("tiny", path, samples=2)
    said = capsys.readouterr()
    trace = open_trace(path)
    assert (trace.name, trace.n_samples) == ("tiny", 2)
    assert f"{path}: tiny, 12 layers, 2 samples, digest {trace.digest[:16]}" in said.out
    assert said.err == ""


def test_quantize_takes_widths_mode_and_any_setting(tiny: Path, tmp_path: Path) -> None:
    trace_make.quantize(
        str(tiny),
        tmp_path / "q.h5",
        weight_bits=4,
        activation_bits=6,
        requantize="truncate_shift",
        more=["per_channel=false", "weight_bits@fc=7", "percentile=99.5", "output_bits=9"],
    )
    trace = open_trace(tmp_path / "q.h5")
    widths = {la.name: la.weight_quantization for la in trace.layers}
    assert widths["conv1"] is not None and widths["fc"] is not None
    assert (widths["conv1"].bits, widths["fc"].bits, widths["fc"].scale.size) == (4, 7, 1)
    assert (trace.layers[0].output.bits, trace.layers[-1].output.bits) == (6, 9)
    assert trace.layers[0].requantize is not None
    assert trace.layers[0].requantize.mode == "truncate_shift"
    assert trace.provenance["quantize"]["percentile"] == 99.5


def test_quantize_never_replaces_what_it_reads(tiny: Path) -> None:
    before = tiny.read_bytes()
    with pytest.raises(typer.BadParameter, match="need another file than the trace it reads"):
        trace_make.quantize(str(tiny), tiny)
    assert tiny.read_bytes() == before


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ("percentile", "need KEY=VALUE"),
        ("weight_bts=3", "need a key among weight_bits"),
        ("overrides=3", "need a key among"),
        ("weight_bits=three", "need a whole number for weight_bits, got 'three'"),
        ("percentile=x", "need a number for percentile"),
        ("per_channel=maybe", "need true or false for per_channel"),
        ("calibration=max", "need calibration among minmax"),
        (
            "calibration@fc=mse",
            "need weight_bits, activation_bits, weight_values, activation_values before @fc",
        ),
        ("accumulator_bits=64", "need accumulator_bits from 8 to 48"),
    ],
)
def test_a_wrong_setting_is_an_error_of_the_command_line(
    tmp_path: Path, more: str, message: str
) -> None:
    with pytest.raises(typer.BadParameter) as error:
        trace_make.synth("tiny", tmp_path / "x.h5", more=[more])
    assert message in error.value.message
    assert not list(tmp_path.iterdir())


def test_an_unknown_network_is_an_error_of_the_command_line(tmp_path: Path) -> None:
    with pytest.raises(typer.BadParameter, match="need a network among alexnet"):
        trace_make.synth("alexnt", tmp_path / "x.h5")


def test_help_names_every_network_and_setting() -> None:
    from dataclasses import fields
    from typing import get_args, get_type_hints

    from bitpim_traces.quantize import Settings
    from bitpim_traces.synthetic import NAMES

    hints = get_type_hints(trace_make.synth, include_extras=True)
    for name in NAMES:
        assert name in get_args(hints["name"])[1].help
    named = " ".join([get_args(hints["more"])[1].help, *hints])
    for setting in fields(Settings):
        assert setting.name in named or setting.name == "overrides"
