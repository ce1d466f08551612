"""`bitpim trace info` and `check`, by the commands' own app."""

import json
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest
from typer.testing import CliRunner

from bitpim.cli.trace import app
from bitpim_traces import open_trace, write_trace
from bitpim_traces.builder import TraceBuilder, WeightCodes, quantization_of
from bitpim_traces.errors import TraceError
from tests.strategies import small_trace
from tests.traces.format_text import example_trace


@pytest.fixture
def example(tmp_path: Path) -> Path:
    write_trace(example_trace(), tmp_path / "example.h5")
    return tmp_path / "example.h5"


def test_info_shows_layers_and_samples(example: Path) -> None:
    shown = CliRunner().invoke(app, ["info", str(example)])
    assert shown.exit_code == 0
    assert "3 layers, 12 weights, 24 multiply-accumulates a sample" in shown.output
    assert "1 sample of 1x4x4, u4 codes, with labels, from by hand" in shown.output
    lines = [line.split() for line in shown.output.splitlines()]
    assert ["0", "conv", "conv2d", "relu", "input", "1x4x4", "1x2x2", "1x1x2x2"] in [
        line[:8] for line in lines
    ]


def test_info_names_codes_of_plus_and_minus_one(tmp_path: Path) -> None:
    signs = quantization_of(1.0, binary=True)
    builder = TraceBuilder("net", (2,), signs)
    weight = WeightCodes(np.array([[1, -1]]), signs)
    builder.linear("fc", -1, weight, quantization_of(1.0, bits=4))
    write_trace(builder.build(np.array([[1, -1]])), tmp_path / "net.h5")
    shown = CliRunner().invoke(app, ["info", str(tmp_path / "net.h5")])
    assert "1 sample of 2, ±1 codes" in shown.output
    assert "±1 -> u4" in shown.output


def test_info_as_json_agrees_with_the_trace(tmp_path: Path) -> None:
    write_trace(small_trace(4, float_noise=True), tmp_path / "net.h5")
    trace = open_trace(tmp_path / "net.h5")
    shown = CliRunner().invoke(app, ["info", str(tmp_path / "net.h5"), "--json"])
    content = json.loads(shown.output)
    assert content["digest"] == trace.digest
    assert content["n_layers"] == len(trace.layers) == len(content["layers"])
    for found, layer in zip(content["layers"], trace.layers, strict=True):
        assert found["kind"] == layer.kind
        assert tuple(found["output_shape"]) == layer.output_shape
        assert (found["requantize"] is None) == (layer.requantize is None)
    assert content["n_macs"] == sum(found["n_macs"] for found in content["layers"])


def test_macs_of_a_grouped_convolution_are_counted_once(tmp_path: Path) -> None:
    """Against the count of products: every output element sums one conv kernel."""
    for seed in range(0, 90, 9):
        trace = small_trace(seed, kinds=["conv2d", "linear"])
        write_trace(trace, tmp_path / "net.h5")
        shown = CliRunner().invoke(app, ["info", str(tmp_path / "net.h5"), "--json"])
        conv, window = trace.layers[0], trace.layers[0].geometry
        assert window is not None
        channels, height, width = conv.output_shape
        products = conv.input_shapes[0][0] // window.groups * window.kernel[0] * window.kernel[1]
        expected = channels * height * width * products
        assert json.loads(shown.output)["layers"][0]["n_macs"] == expected


def test_markup_in_a_name_is_text(tmp_path: Path) -> None:
    trace = example_trace()
    named = replace(trace.layers[0], name="[red]:smile:")
    write_trace(replace(trace, layers=(named, *trace.layers[1:])), tmp_path / "net.h5")
    assert "[red]:smile:" in CliRunner().invoke(app, ["info", str(tmp_path / "net.h5")]).output


def test_check_says_that_a_trace_is_in_order(example: Path) -> None:
    shown = CliRunner().invoke(app, ["check", str(example), "--deep"])
    assert (shown.exit_code, shown.output) == (0, f"{example}: structure and values in order\n")


def test_check_lists_faults_and_exits_3(example: Path) -> None:
    with h5py.File(example, "r+") as file:
        del file["samples/codes"]
        file["layers/0002/weight"][0, 0] = 3
    shown = CliRunner().invoke(app, ["check", str(example), "--deep", "--json"])
    assert shown.exit_code == 3
    where = [fault["where"] for fault in json.loads(shown.output)["faults"]]
    assert {"/samples/codes", "/@digest", "/layers/0002/weight"} == set(where)
    text = CliRunner().invoke(app, ["check", str(example)])
    assert text.exit_code == 3
    assert text.output.splitlines()[-1] == f"{example}: 2 faults"


def test_a_missing_file_is_an_error_of_traces(tmp_path: Path) -> None:
    shown = CliRunner().invoke(app, ["check", str(tmp_path / "none.h5")])
    assert isinstance(shown.exception, TraceError)
