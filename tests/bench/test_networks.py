"""The real networks as traces: programs of given codes, ResNet-20, their accuracies."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from bench.networks import mobilenetv2, resnet8
from bench.networks.program import build
from bitpim.arrays.periphery import prepare_layer
from bitpim.verify.reference import run_network
from bitpim_traces import open_trace
from bitpim_traces.records import Trace

ROOT = Path(__file__).parents[2]


def outputs(trace: Trace, n_samples: int) -> npt.NDArray[Any]:
    """Output codes of the first samples, in exact integer arithmetic."""
    found = []
    layers = [prepare_layer(x, trace.input_quantizations(x)) for x in trace.layers]
    for start in range(0, n_samples, 32):
        alive = {-1: trace.samples.codes.read(start, min(start + 32, n_samples))}
        for index, layer in enumerate(layers):
            alive[index] = layer.run([alive[i] for i in layer.layer.inputs])
        last = alive[len(layers) - 1]
        found.append(np.array(last).reshape(last.shape[0], -1))
    return np.concatenate(found)


def n_right(trace: Trace, n_samples: int) -> int:
    assert trace.samples.labels is not None
    labels = trace.samples.labels.read(0, n_samples)
    return int((outputs(trace, n_samples).argmax(axis=1) == labels).sum())


# A program of every kind of line, small enough to be recomputed by hand below.
PROGRAM = """a|conv|in|2|relu6
b|dw|a|1|none
c|add|a,b|1|relu
d|avg|c|1|none
e|fc|d|1|none"""


def small_program(folder: Path) -> tuple[Path, dict[str, Any]]:
    rng = np.random.default_rng(1)
    arrays: dict[str, Any] = {"program": np.array(PROGRAM.splitlines())}
    shapes = {"a": (4, 3, 3, 3), "b": (4, 1, 2, 3), "e": (5, 4)}
    for name, scale, zero in (("in", 0.02, 128), ("a", 0.0235, 0), ("b", 0.05, 90)):
        key = "in." if name == "in" else f"{name}.out_"
        arrays[f"{key}scale"] = np.array([scale], np.float32)
        arrays[f"{key}zp"] = np.array([zero], np.int32)
    for name, scale, zero in (("c", 0.04, 0), ("d", 0.04, 0), ("e", 0.1, 77)):
        arrays[f"{name}.out_scale"] = np.array([scale], np.float32)
        arrays[f"{name}.out_zp"] = np.array([zero], np.int32)
    for name, shape in shapes.items():
        arrays[f"{name}.weight"] = rng.integers(0, 256, shape, dtype=np.uint8)
        arrays[f"{name}.bias"] = rng.integers(-500, 500, shape[0]).astype(np.int32)
        arrays[f"{name}.w_scale"] = np.array([0.01], np.float32)
        arrays[f"{name}.w_zp"] = np.array([120], np.int32)
    np.savez(folder / "small.npz", **arrays)
    return folder / "small.npz", arrays


def test_a_program_becomes_layers_of_the_codes_given(tmp_path: Path) -> None:
    path, arrays = small_program(tmp_path)
    codes = np.random.default_rng(2).integers(0, 256, (2, 3, 7, 6), dtype=np.uint8)
    trace = build(
        "small",
        path,
        codes,
        labels=np.array([1, 2], np.int32),
        dataset="noise",
        requantize="fixed_point_half_away",
        signed=False,
    )
    kinds = [layer.kind for layer in trace.layers]
    assert kinds == ["conv2d", "conv2d", "add", "avg_pool2d", "flatten", "linear"]
    first, second = trace.layers[0], trace.layers[1]
    assert first.geometry is not None and second.geometry is not None
    assert first.geometry.padding == (1, 1, 0, 1)  # 7 rows and 6 columns by 2
    assert second.geometry.padding == (0, 1, 1, 1)  # a window of 2 x 3
    assert (second.geometry.groups, first.output_shape) == (4, (4, 4, 3))
    assert first.weight is not None and first.bias is not None
    np.testing.assert_array_equal(first.weight.read(), arrays["a.weight"])
    np.testing.assert_array_equal(first.bias.read(), arrays["a.bias"])
    assert first.clamp == (0, 255)
    np.testing.assert_array_equal(trace.samples.codes.read(), codes)


def test_codes_stand_for_the_real_sums(tmp_path: Path) -> None:
    path, arrays = small_program(tmp_path)
    codes = np.random.default_rng(3).integers(0, 256, (1, 3, 7, 6), dtype=np.uint8)
    trace = build(
        "small",
        path,
        codes,
        labels=np.zeros(1, np.int32),
        dataset="",
        requantize="float_scale_half_even",
        signed=False,
    )
    found = run_network(trace, codes, keep="all")
    real = np.zeros((3, 9, 9))  # rows padded by one on both sides, columns on the right alone
    real[:, 1:8, 0:6] = 0.02 * (codes[0].astype(float) - 128)
    weight = 0.01 * (arrays["a.weight"].astype(float) - 120)
    for y in range(4):
        for x in range(3):
            window = real[:, 2 * y : 2 * y + 3, 2 * x : 2 * x + 3]
            expected = (weight * window).sum(axis=(1, 2, 3)) + 0.0002 * arrays["a.bias"]
            got = 0.0235 * found[0][0, :, y, x]
            np.testing.assert_allclose(got, np.clip(expected, 0, 0.0235 * 255), atol=0.0119)


@pytest.mark.real
def test_resnet8_reaches_its_accuracy(real_data: Path) -> None:
    trace = resnet8.make(real_data, n_samples=1000)
    right = n_right(trace, 1000)
    assert 870 <= right <= 890  # 880 seen; 87 % of all 9,895
    codes = trace.samples.codes.read(0, 4)
    (expected,) = run_network(trace, codes).values()
    np.testing.assert_array_equal(outputs(trace, 4), expected.reshape(4, -1))


@pytest.mark.real
@pytest.mark.slow
def test_mobilenet_finds_57_of_64(real_data: Path) -> None:
    assert abs(n_right(mobilenetv2.make(real_data), 64) - 57) <= 1


@pytest.mark.real
@pytest.mark.slow
def test_resnet20_stays_near_its_float_accuracy(real_data: Path) -> None:
    pytest.importorskip("torch")
    from bench.networks import resnet20

    trace = resnet20.make(real_data, n_samples=600)
    last = trace.layers[-1].output_float
    assert last is not None and trace.samples.labels is not None
    choice = outputs(trace, 600).argmax(axis=1)
    float_choice = last.read().argmax(axis=1)
    labels = trace.samples.labels.read()
    assert np.mean(choice == float_choice) > 0.98
    assert abs(int((choice == labels).sum()) - int((float_choice == labels).sum())) <= 6
    strided = [layer.name for layer in trace.layers if layer.kind in ("max_pool2d", "pad")]
    assert strided == ["layer2.0.slice", "layer2.0.pad", "layer3.0.slice", "layer3.0.pad"]


@pytest.mark.real
def test_the_command_writes_a_trace(real_data: Path, tmp_path: Path) -> None:
    path = tmp_path / "r8.h5"
    command = [sys.executable, "-m", "bench.networks", "resnet8", "--samples", "3", "-o", str(path)]
    done = subprocess.run(
        [*command, "--real-data", str(real_data)], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert open_trace(path).n_samples == 3
    refused = subprocess.run(
        [*command, "--real-data", str(tmp_path)], cwd=ROOT, capture_output=True, text=True
    )
    assert refused.returncode == 3
    assert len(refused.stderr.splitlines()) == 1
