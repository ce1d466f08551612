"""The real networks as traces: programs of given codes, masks of pruned ones, accuracies."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from bench.networks import mobilenetv2, resnet8
from bench.networks.program import build
from bench.networks.pruned import with_pruned_weights
from bitpim.digital.layers import prepare_layer
from bitpim.proof.reference import run_network
from bitpim_traces import open_trace
from bitpim_traces.errors import TraceDataError
from bitpim_traces.masks import PATTERNS, PRUNING_MASK, LayerMask, masks_of
from bitpim_traces.network import FloatLayer, FloatNetwork
from bitpim_traces.quantize import Settings, calibrate, quantize_network
from bitpim_traces.records import Geometry, Trace

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


def masked_trace(*masks: str, settings: Settings | None = None) -> Trace:
    """Convolutions of 2 x 2 whose kernels keep the weights at the ones of a mask; no other zeros.

    A mask such as "1010 0110" gives one conv kernel a word to a layer of one channel.
    """
    layers = []
    for index, mask in enumerate(masks):
        kept = np.array([[float(bit) for bit in word] for word in mask.split()])
        values = np.array([0.5, -0.25, 1.0, -1.0])  # none of them near 0 in 8 bits
        weight = (kept * values).reshape(-1, 1, 2, 2).astype(np.float32)
        layers.append(
            FloatLayer(f"c{index}", "conv2d", (-1,), geometry=Geometry((2, 2)), weight=weight)
        )
    network = FloatNetwork("masked", tuple(layers), (1, 3, 3))
    inputs = np.random.default_rng(1).normal(size=(2, 1, 3, 3)).astype(np.float32)
    ranges = calibrate(network, inputs, settings)
    return quantize_network(network, ranges, inputs, settings=settings)


@pytest.mark.parametrize("scheme", ["symmetric", "affine"])
def test_masks_are_where_float_weights_are_zero(scheme: str) -> None:
    given = masked_trace("1010 0110 0000", "1111", settings=Settings(weight_scheme=scheme))
    masks = masks_of(with_pruned_weights(given))
    assert masks["c0"].mask.reshape(3, 4).tolist() == [[1, 0, 1, 0], [0, 1, 1, 0], [0] * 4]
    assert masks["c1"].mask.all()
    assert masks["c0"].patterns is None


def test_patterns_are_those_of_the_pruned_layers_together() -> None:
    given = masked_trace("1010 0110 0000", "1111", "0011 0101")
    masks = masks_of(with_pruned_weights(given, n_patterns=4, n_kept=2))
    # bit k is position k: 1010 has bits 0 and 2
    assert masks["c0"].patterns is not None and masks["c2"].patterns is not None
    assert masks["c0"].patterns.tolist() == [5, 6, 10, 12]
    assert masks["c2"].patterns.tolist() == [5, 6, 10, 12]
    assert masks["c1"].patterns is None


@pytest.mark.parametrize(("n_patterns", "n_kept"), [(3, 2), (4, 3)])
def test_a_network_of_other_patterns_is_refused(n_patterns: int, n_kept: int) -> None:
    given = masked_trace("1010 0110", "0011 0101")
    with pytest.raises(TraceDataError, match="got 4 that keep 2"):
        with_pruned_weights(given, n_patterns=n_patterns, n_kept=n_kept)


def pruned_weights_are_zero(trace: Trace) -> bool:
    """Tell whether masks, float zeros and codes 0 agree: every float zero has code 0."""
    for layer in trace.layers:
        if layer.weight is None:
            continue
        assert layer.weight_float is not None and layer.weight_quantization is not None
        mask = layer.extra[PRUNING_MASK].read()
        assert mask.dtype == np.uint8 and mask.shape == layer.weight.shape
        np.testing.assert_array_equal(mask, layer.weight_float.read() != 0)
        assert not layer.weight_quantization.zero_point.any()
        if layer.weight.read()[mask == 0].any():
            return False
    return True


@pytest.mark.real
@pytest.mark.parametrize(("variant", "n_right"), [("dense", 169), ("pattern", 172)])
def test_vgg16q_keeps_its_float_answers(variant: str, n_right: int, real_data: Path) -> None:
    pytest.importorskip("torch")
    from bench.networks import vgg16q

    trace = vgg16q.make(real_data, variant=variant, n_samples=200)
    kinds = [layer.kind for layer in trace.layers]
    assert [kinds.count(k) for k in ("conv2d", "max_pool2d", "linear")] == [13, 5, 1]
    assert trace.layers[0].name == "conv1_1" and len(kinds) == 20
    widths = [layer.output_shape for layer in trace.layers if layer.kind == "max_pool2d"]
    assert widths == [(16, 16, 16), (32, 8, 8), (64, 4, 4), (128, 2, 2), (128, 1, 1)]
    last = trace.layers[-1].output_float
    assert last is not None and trace.samples.labels is not None
    labels, real = trace.samples.labels.read(), last.read().argmax(axis=1)
    assert abs(int((real == labels).sum()) - n_right) <= 1  # of the float network
    codes = outputs(trace, 200)
    assert np.mean(codes.argmax(axis=1) == real) > 0.98
    (expected,) = run_network(trace, trace.samples.codes.read(0, 2)).values()
    np.testing.assert_array_equal(codes[:2], expected.reshape(2, -1))


@pytest.mark.real
@pytest.mark.slow
@pytest.mark.parametrize(("variant", "n_float"), [("dense", 8245), ("pattern", 8310)])
def test_vgg16q_reaches_its_accuracy_on_all_images(
    variant: str, n_float: int, real_data: Path
) -> None:
    pytest.importorskip("torch")
    from bench.networks import vgg16q

    trace = vgg16q.make(real_data, variant=variant)
    last = trace.layers[-1].output_float
    assert last is not None and trace.samples.labels is not None
    labels = trace.samples.labels.read()
    assert abs(int((last.read().argmax(axis=1) == labels).sum()) - n_float) <= 1
    assert abs(n_right(trace, 9895) - n_float) <= 30  # 8,244 and 8,316 seen


@pytest.mark.real
def test_the_pattern_pruned_network_keeps_4_of_9_in_8_patterns(real_data: Path) -> None:
    pytest.importorskip("torch")
    from bench.networks import vgg16q

    trace = vgg16q.make(real_data, variant="pattern", n_samples=2)
    assert pruned_weights_are_zero(trace)
    masks = masks_of(trace)
    assert masks.pop("linear").mask.all() and masks.pop("conv1_1").mask.all()
    assert len(masks) == 12
    for name, layer in masks.items():
        assert set(layer.mask.sum(axis=(2, 3)).ravel().tolist()) == {4}, name
        assert layer.patterns is not None
        assert layer.patterns.tolist() == [23, 27, 54, 58, 184, 216, 432, 464], name
    dense = vgg16q.make(real_data, variant="dense", n_samples=2)
    assert not any(layer.extra for layer in dense.layers)


@pytest.mark.real
@pytest.mark.slow
def test_squeezenet_is_sparse_without_patterns(real_data: Path) -> None:
    pytest.importorskip("torch")
    from bench.networks import squeezenet

    trace = squeezenet.make(real_data, n_samples=2)
    assert pruned_weights_are_zero(trace)
    assert not any(PATTERNS in layer.extra for layer in trace.layers)
    weights = [layer.weight.read() for layer in trace.layers if layer.weight is not None]
    masks: list[LayerMask] = list(masks_of(trace).values())
    assert len(weights) == len(masks) == 26
    n_weights = sum(weight.size for weight in weights)
    assert n_weights == 1_244_448
    # 33.6 % of all parameters, the 3,944 biases among them
    n_kept = sum(int(layer.mask.sum()) for layer in masks)
    assert (n_kept + 3944) / (n_weights + 3944) == pytest.approx(0.336, abs=5e-4)
    assert sum(layer.kind == "concat" for layer in trace.layers) == 8
    assert trace.samples.quantization.zero_point.tolist() == [114]  # pixels of both signs
    pools = [layer for layer in trace.layers if layer.kind == "max_pool2d"]
    assert [layer.output_shape[1:] for layer in pools] == [(54, 54), (27, 27), (13, 13)]
    assert trace.layers[-3].output_shape == (1000, 15, 15)  # padded by 1
    assert trace.layers[-3].activation == "relu"
    found = outputs(trace, 2)
    (expected,) = run_network(trace, trace.samples.codes.read()).values()
    np.testing.assert_array_equal(found, expected.reshape(2, -1))
    assert n_right(trace, 2) == 2


@pytest.mark.real
@pytest.mark.slow
def test_squeezenet_finds_38_of_64(real_data: Path) -> None:
    pytest.importorskip("torch")
    from bench.networks import squeezenet

    trace = squeezenet.make(real_data)
    last = trace.layers[-1].output_float
    assert last is not None and trace.samples.labels is not None
    logits, labels = last.read(), trace.samples.labels.read()
    ranked = np.argsort(-logits, axis=1)[:, :5] == labels[:, None]
    assert abs(int(ranked[:, 0].sum()) - 39) <= 1
    assert abs(int(ranked.any(axis=1).sum()) - 53) <= 1
    assert abs(n_right(trace, 64) - 38) <= 2


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
