"""Seeded networks: shapes of the originals, values that stay in range, the same every time."""

import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bitpim.proof.reference import run_network
from bitpim_traces import open_trace, write_trace
from bitpim_traces.errors import TraceDataError
from bitpim_traces.numbers.affine import decode
from bitpim_traces.operators import OPERATORS
from bitpim_traces.quantize import Settings
from bitpim_traces.records import REQUANTIZE_MODES
from bitpim_traces.synthetic import (
    NAMES,
    synthetic_float_network,
    synthetic_images,
    synthetic_network,
)

SMALL = [(name, mode) for name in ("lenet5", "mobilenet", "tiny") for mode in REQUANTIZE_MODES]


def n_parameters(name: str, kind: str) -> int:
    network = synthetic_float_network(name)
    return sum(
        layer.weight.size
        for layer in network.layers
        if layer.kind == kind and layer.weight is not None
    )


def test_weights_are_those_of_the_originals() -> None:
    """Numbers of weights without biases, as published or counted by hand."""
    assert n_parameters("vgg16_cifar", "conv2d") == 14_710_464
    assert n_parameters("vgg16_cifar", "linear") == 512 * 10
    assert n_parameters("resnet18", "conv2d") == 11_166_912
    assert n_parameters("resnet20", "conv2d") == 9 * (
        3 * 16 + 6 * 16 * 16 + 16 * 32 + 5 * 32 * 32 + 32 * 64 + 5 * 64 * 64
    )
    assert n_parameters("lenet5", "linear") == 800 * 500 + 500 * 10


@pytest.mark.parametrize(
    ("name", "layer", "shape"),
    [
        ("resnet18", "conv1", (64, 112, 112)),
        ("resnet18", "layer4.1.add", (512, 7, 7)),
        ("resnet20", "layer3.0.pad", (64, 8, 8)),
        ("vgg16_cifar", "pool5", (512, 1, 1)),
        ("lenet5", "pool2", (50, 4, 4)),
        ("mobilenet", "block2.depthwise", (64, 8, 8)),
    ],
)
def test_layer_shapes(name: str, layer: str, shape: tuple[int, ...]) -> None:
    network = synthetic_float_network(name)
    index = [one.name for one in network.layers].index(layer)
    assert network.shapes()[index] == shape


@pytest.mark.parametrize(("name", "mode"), [*SMALL, ("resnet20", "half_up_shift")])
def test_codes_follow_the_float_network(name: str, mode: str) -> None:
    trace = synthetic_network(name, 5, n_samples=2, settings=Settings(requantize=mode))
    outputs = run_network(trace, trace.samples.codes.read(), keep="all")
    bound = 0.25 if mode == "truncate_shift" else 0.06
    for layer in trace.layers:
        assert layer.output_float is not None
        real = layer.output_float.read()
        assert 0.05 < np.sqrt(np.square(real).mean()) < 20, layer.name
        error = decode(outputs[layer.index], layer.output) - real
        assert np.linalg.norm(error) < bound * np.linalg.norm(real), layer.name


def test_tiny_has_every_layer_kind_of_trace_1_0() -> None:
    kinds = {kind for kind, operator in OPERATORS.items() if operator.since == 0}
    assert {layer.kind for layer in synthetic_float_network("tiny").layers} == kinds


def test_the_seed_decides_the_file(tmp_path: Path) -> None:
    def file_of(seed: int, name: str) -> bytes:
        write_trace(synthetic_network("tiny", seed, n_samples=2), tmp_path / name)
        return (tmp_path / name).read_bytes()

    assert file_of(1, "a.h5") == file_of(1, "b.h5")
    assert file_of(1, "a.h5") != file_of(2, "c.h5")
    trace = open_trace(tmp_path / "a.h5")
    assert trace.provenance["seed"] == 1
    assert trace.provenance["quantize"]["weight_bits"] == 8


def test_more_samples_keep_the_first_ones() -> None:
    few, many = synthetic_images(2, (3, 8, 8), 4), synthetic_images(5, (3, 8, 8), 4)
    np.testing.assert_array_equal(few, many[:2])


@given(
    shape=st.tuples(st.integers(1, 3), st.integers(1, 17), st.integers(1, 17)),
    seed=st.integers(0, 99),
)
@settings(max_examples=40, deadline=None)
def test_images_of_any_size_are_normalized(shape: tuple[int, int, int], seed: int) -> None:
    images = synthetic_images(2, shape, seed)
    assert images.shape == (2, *shape)
    assert np.isfinite(images).all()
    if np.prod(shape) > 1:
        np.testing.assert_allclose(images.reshape(2, -1).mean(1), 0, atol=1e-4)
        np.testing.assert_allclose(images.reshape(2, -1).std(1), 1, atol=1e-4)


def test_images_are_smooth_as_photographs_are() -> None:
    image = synthetic_images(1, (3, 64, 64), 0)[0]
    neighbours = np.corrcoef(image[:, :, 1:].ravel(), image[:, :, :-1].ravel())[0, 1]
    assert neighbours > 0.6  # 0 in white noise


def test_labels_are_the_float_answers() -> None:
    trace = synthetic_network("tiny", 0, n_samples=3)
    last = trace.layers[-1].output_float
    assert trace.samples.labels is not None and last is not None
    np.testing.assert_array_equal(trace.samples.labels.read(), last.read().argmax(1))


@pytest.mark.parametrize("values", [{"name": "alexnt"}, {"name": "tiny", "n_samples": 0}])
def test_what_cannot_be_made_is_refused(values: dict[str, Any]) -> None:
    with pytest.raises(TraceDataError, match="synthetic network: need"):
        synthetic_network(**values)


def test_every_name_can_be_made() -> None:
    for name in NAMES:
        if name not in ("vgg16", "alexnet"):  # big; below, and the same code as vgg16_cifar
            assert synthetic_float_network(name).name == name


def test_alexnet_is_made_quickly() -> None:
    began = time.process_time()
    trace = synthetic_network("alexnet")
    assert time.process_time() - began < 30
    sizes = {la.name: la.weight.shape for la in trace.layers if la.weight is not None}
    n_conv = sum(int(np.prod(shape)) for shape in sizes.values() if len(shape) == 4)
    assert n_conv == 2_468_544
    assert [sizes[f"fc{i}"] for i in (6, 7, 8)] == [(4096, 9216), (4096, 4096), (1000, 4096)]
    assert trace.samples.codes.shape == (1, 3, 224, 224)
    shapes = {layer.name: layer.output_shape for layer in trace.layers}
    assert (shapes["conv1"], shapes["pool5"]) == ((64, 55, 55), (256, 6, 6))
