"""PyTorch's run of a float network: against NumPy's, in any batch, in memory or in a file."""

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("torch")

import torch

from bitpim_traces.errors import TraceDataError
from bitpim_traces.exporter import Floats, calibrate, read_network, torch_forward
from bitpim_traces.network import FloatLayer, FloatNetwork
from bitpim_traces.quantize import Settings
from bitpim_traces.quantize import calibrate as calibrate_in_numpy
from bitpim_traces.records import Geometry, Params
from tests.traces.exporter.modules import SmallResidual, seeded

SHAPE = (3, 8, 8)


def network() -> FloatNetwork:
    return read_network(seeded(SmallResidual()), SHAPE)[0]


def inputs(n: int, shape: tuple[int, ...] = SHAPE, seed: int = 0) -> npt.NDArray[np.float32]:
    return np.random.default_rng(seed).normal(size=(n, *shape)).astype(np.float32)


@st.composite
def windows(draw: st.DrawFn) -> tuple[str, Geometry, tuple[int, int, int]]:
    kind = draw(st.sampled_from(["conv2d", "max_pool2d", "avg_pool2d"]))
    kernel = draw(st.tuples(st.integers(1, 4), st.integers(1, 4)))
    dilated = st.integers(1, 2)
    # a side's padding below the window's size, so that no window lies wholly in it
    padding = tuple(draw(st.integers(0, (kernel[i // 2] + 1) // 2 - 1)) for i in range(4))
    geometry = Geometry(
        kernel=kernel,
        stride=draw(st.tuples(st.integers(1, 3), st.integers(1, 3))),
        padding=(padding[0], padding[1], padding[2], padding[3]),
        dilation=draw(st.tuples(dilated, dilated)),
        groups=draw(st.sampled_from([1, 2, 4])) if kind == "conv2d" else 1,
        ceil_mode=kind != "conv2d" and draw(st.booleans()),
        count_include_pad=kind == "avg_pool2d" and draw(st.booleans()),
    )
    return kind, geometry, (4, draw(st.integers(7, 11)), draw(st.integers(7, 11)))


@settings(max_examples=60, deadline=None)
@given(window=windows(), seed=st.integers(0, 99))
def test_any_window_is_the_same_in_torch_and_numpy(
    window: tuple[str, Geometry, tuple[int, int, int]], seed: int
) -> None:
    kind, geometry, shape = window
    rng = np.random.default_rng(seed)
    weight = None
    if kind == "conv2d":
        size = (8, 4 // geometry.groups, *geometry.kernel)
        weight = rng.normal(size=size).astype(np.float32)
    layer = FloatLayer("w", kind, (-1,), geometry=geometry, weight=weight)
    one = FloatNetwork("one", (layer,), shape)
    x = inputs(2, shape, seed)
    found = torch_forward(one, torch.from_numpy(x))[0].numpy()
    assert found.shape == (2, *one.shapes()[0])
    np.testing.assert_allclose(found, one.outputs(x)[0], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("method", ["minmax", "percentile", "mse"])
def test_ranges_are_those_of_the_numpy_forward(method: str) -> None:
    chosen = Settings(calibration=method, percentile=99.0)
    x = inputs(20)
    found = calibrate.observe_ranges(network(), Floats(x), chosen)
    expected = calibrate_in_numpy(network(), x, chosen)
    assert found.keys() == expected.keys()
    for index, ends in expected.items():
        # a histogram bin is the finest that percentile and mse can see
        width = max(abs(end) for end in ends) / 500
        np.testing.assert_allclose(found[index], ends, rtol=1e-4, atol=width)


def test_batches_do_not_change_ranges_or_references(monkeypatch: pytest.MonkeyPatch) -> None:
    x = Floats(inputs(7))
    ranges = calibrate.observe_ranges(network(), x, Settings())
    references = calibrate.references_of(network(), x, 5)
    logits = calibrate.logits_of(network(), x)
    monkeypatch.setattr(calibrate, "_BATCH_VALUES", 1)
    monkeypatch.setattr(calibrate, "_MEMORY_BYTES", 0)
    assert calibrate.batch_of(network()) == 1
    one_by_one = calibrate.references_of(network(), x, 5)
    for index, values in references.items():
        assert isinstance(one_by_one[index], np.memmap)
        np.testing.assert_allclose(one_by_one[index], values, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(calibrate.logits_of(network(), x), logits, rtol=1e-4, atol=1e-5)
    for index, ends in calibrate.observe_ranges(network(), x, Settings()).items():
        np.testing.assert_allclose(ends, ranges[index], rtol=1e-4, atol=1e-5)


def test_progress_tells_every_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Any] = []
    monkeypatch.setattr(calibrate, "batch_of", lambda _: 3)
    calibrate.observe_ranges(network(), Floats(inputs(7)), Settings(), lambda *a: seen.append(a))
    assert seen == [("calibrating", n, 7) for n in (3, 6, 7)]


def test_answers_of_calibration_are_not_computed_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calibrate, "batch_of", lambda _: 3)
    x, net = inputs(11), network()
    answers: calibrate.Answers = {}
    ranges = calibrate.observe_ranges(net, Floats(x[:7]), Settings(), None, answers)
    assert ranges == calibrate.observe_ranges(net, Floats(x[:7]), Settings())
    assert list(answers) == [(0, 3), (3, 6), (6, 7)]
    expected = calibrate.logits_of(net, Floats(x))
    for start, stop in answers:
        np.testing.assert_allclose(answers[start, stop], expected[start:stop], rtol=1e-4, atol=1e-5)
    marked = {place: values + 1000.0 for place, values in answers.items()}
    found = calibrate.logits_of(net, Floats(x), None, marked)
    # the last piece took one sample where three run together here, which may round otherwise
    np.testing.assert_array_equal(found[:6], np.concatenate([marked[0, 3], marked[3, 6]]))
    np.testing.assert_array_equal(found[6:], expected[6:])
    found = calibrate.logits_of(net, Floats(x[:7]), None, marked)
    np.testing.assert_array_equal(found, np.concatenate(list(marked.values())))


@pytest.mark.parametrize("activation", ["relu", "clamp"])
def test_what_is_read_again_is_not_written_to(activation: str) -> None:
    rng = np.random.default_rng(2)
    weight = rng.normal(size=(3, 3, 1, 1)).astype(np.float32)
    clamp = (-0.5, 0.5) if activation == "clamp" else None
    layers = (
        FloatLayer("limit", "activation", (-1,), activation=activation, clamp=clamp),
        FloatLayer(
            "conv",
            "conv2d",
            (-1,),
            Geometry((1, 1)),
            weight=weight,
            activation=activation,
            clamp=clamp,
        ),
        FloatLayer("flat", "max_pool2d", (1,), Geometry((1, 1)), activation="none"),
        FloatLayer("add", "add", (0, 2), activation=activation, clamp=clamp),
        FloatLayer("all", "concat", (-1, 0, 1, 3), params=Params(concat_axis=0)),
    )
    net, x = FloatNetwork("net", layers, SHAPE), inputs(2)
    before = x.copy()
    found = torch_forward(net, torch.from_numpy(x), range(len(layers)))
    np.testing.assert_array_equal(x, before)
    for index, values in net.outputs(x, range(len(layers))).items():
        np.testing.assert_allclose(found[index].numpy(), values, rtol=1e-5, atol=1e-6)


def test_nothing_is_kept_that_no_layer_reads() -> None:
    alive: list[int] = []
    net = network()

    def observe(index: int, values: torch.Tensor) -> None:
        alive.append(index)

    assert torch_forward(net, torch.from_numpy(inputs(1)), (), observe) == {}
    assert alive == list(range(len(net.layers)))
    whole = torch_forward(net, torch.from_numpy(inputs(1)), range(len(net.layers)))
    assert sorted(whole) == alive


def test_calibration_without_samples_is_refused() -> None:
    with pytest.raises(TraceDataError, match="at least one sample"):
        calibrate.observe_ranges(network(), Floats(inputs(0)), Settings())
