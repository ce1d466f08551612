"""The float network: shapes, forward against PyTorch, fusing of activations."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bitpim_traces.errors import TraceDataError
from bitpim_traces.float_forward import window_counts
from bitpim_traces.network import FloatLayer, FloatNetwork, fuse_activations
from bitpim_traces.records import Geometry, Params

torch = pytest.importorskip("torch")
F = torch.nn.functional


def one_layer(layer: FloatLayer, shape: tuple[int, ...]) -> FloatNetwork:
    return FloatNetwork("net", (layer,), shape)


def output_of(network: FloatNetwork, x: Any, batch: int = 16) -> Any:
    return network.outputs(x, batch=batch)[len(network.layers) - 1]


@given(
    size=st.tuples(st.integers(1, 9), st.integers(1, 9)),
    conv_kernel=st.tuples(st.integers(1, 4), st.integers(1, 4)),
    stride=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    padding=st.tuples(*[st.integers(0, 3)] * 4),
    dilation=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    channels=st.sampled_from([(1, 1, 1), (3, 2, 1), (4, 6, 2), (3, 3, 3), (2, 6, 2)]),
    seed=st.integers(0, 99),
)
@settings(max_examples=60, deadline=None)
def test_conv2d_equals_pytorch(
    size: Any, conv_kernel: Any, stride: Any, padding: Any, dilation: Any, channels: Any, seed: Any
) -> None:
    n_in, n_out, groups = channels
    geometry = Geometry(conv_kernel, stride, padding, dilation, groups)
    rng = np.random.default_rng(seed)
    weight = rng.standard_normal((n_out, n_in // groups, *conv_kernel)).astype(np.float32)
    bias = rng.standard_normal(n_out).astype(np.float32)
    layer = FloatLayer("conv", "conv2d", (-1,), geometry, weight, bias)
    top, bottom, left, right = padding
    reach = [d * (k - 1) + 1 for d, k in zip(dilation, conv_kernel, strict=True)]
    if size[0] + top + bottom < reach[0] or size[1] + left + right < reach[1]:
        with pytest.raises(TraceDataError, match="need a window that fits"):
            one_layer(layer, (n_in, *size))
        return
    x = rng.standard_normal((3, n_in, *size)).astype(np.float32)
    need = F.conv2d(
        F.pad(torch.from_numpy(x), (left, right, top, bottom)),
        torch.from_numpy(weight),
        torch.from_numpy(bias),
        stride,
        0,
        dilation,
        groups,
    ).numpy()
    network = one_layer(layer, (n_in, *size))
    got = output_of(network, x, batch=2)
    assert network.shapes() == (need.shape[1:],)
    np.testing.assert_allclose(got, need, atol=1e-5)


def test_conv2d_in_blocks_of_rows_equals_pytorch(monkeypatch: Any) -> None:
    """An image whose columns do not fit the buffer is convolved a few rows at a time."""
    monkeypatch.setattr("bitpim_traces.float_forward._COLUMNS_BYTES", 4 * 18 * 7 * 2)
    x = np.random.default_rng(0).standard_normal((2, 2, 9, 9)).astype(np.float32)
    weight = np.random.default_rng(1).standard_normal((5, 2, 3, 3)).astype(np.float32)
    network = one_layer(FloatLayer("conv", "conv2d", (-1,), Geometry((3, 3)), weight), (2, 9, 9))
    need = F.conv2d(torch.from_numpy(x), torch.from_numpy(weight)).numpy()
    np.testing.assert_allclose(output_of(network, x), need, atol=1e-5)


@given(
    size=st.integers(1, 10),
    window=st.integers(1, 4),
    stride=st.integers(1, 4),
    half=st.integers(0, 2),
    dilation=st.integers(1, 2),
    ceil_mode=st.booleans(),
    include=st.booleans(),
    seed=st.integers(0, 99),
)
@settings(max_examples=80, deadline=None)
def test_pooling_equals_pytorch(
    size: Any,
    window: Any,
    stride: Any,
    half: Any,
    dilation: Any,
    ceil_mode: Any,
    include: Any,
    seed: Any,
) -> None:
    padding = min(half, window // 2)
    x = np.random.default_rng(seed).standard_normal((2, 3, size, size + 1)).astype(np.float32)
    geometry = Geometry(
        (window, window), (stride, stride), (padding,) * 4, (dilation,) * 2, 1, ceil_mode
    )
    average = replace(geometry, dilation=(1, 1), count_include_pad=include)
    tensor = torch.from_numpy(x)
    cases: list[tuple[str, Geometry, Callable[[], Any]]] = [
        (
            "max_pool2d",
            geometry,
            lambda: F.max_pool2d(tensor, window, stride, padding, dilation, ceil_mode),
        ),
        (
            "avg_pool2d",
            average,
            lambda: F.avg_pool2d(tensor, window, stride, padding, ceil_mode, include),
        ),
    ]
    for kind, g, function in cases:
        try:
            need = function().numpy()
        except RuntimeError:  # no window fits
            need = None
        if need is None or not np.isfinite(need).all():  # a window sees nothing but padding
            with pytest.raises(TraceDataError, match="layer 0 'pool'"):
                one_layer(FloatLayer("pool", kind, (-1,), g), x.shape[1:])
            continue
        got = output_of(one_layer(FloatLayer("pool", kind, (-1,), g), x.shape[1:]), x)
        np.testing.assert_allclose(got, need, atol=1e-6, err_msg=f"{kind} {g}")


def test_asymmetric_max_padding_counts_as_minus_infinity() -> None:
    x = -np.ones((1, 1, 2, 2), np.float32)
    geometry = Geometry((2, 2), (1, 1), (1, 0, 0, 1))
    network = one_layer(FloatLayer("pool", "max_pool2d", (-1,), geometry), (1, 2, 2))
    np.testing.assert_array_equal(output_of(network, x), -np.ones((1, 1, 2, 2)))


def test_window_counts_with_asymmetric_padding() -> None:
    geometry = Geometry((3, 2), (2, 1), (1, 0, 0, 1))
    rows, columns = window_counts(geometry, 4, 3)
    assert rows.tolist() == [2, 3]
    assert columns.tolist() == [2, 2, 1]
    rows, columns = window_counts(replace(geometry, count_include_pad=True), 4, 3)
    assert rows.tolist() == [3, 3]
    assert columns.tolist() == [2, 2, 2]


def dag() -> FloatNetwork:
    """Add, concat, pad, flatten and every activation in one network."""
    rng = np.random.default_rng(7)

    def conv(name: str, n_in: int, n_out: int, source: int, activation: str = "none") -> FloatLayer:
        weight = rng.standard_normal((n_out, n_in, 1, 1)).astype(np.float32)
        return FloatLayer(
            name, "conv2d", (source,), Geometry((1, 1)), weight, activation=activation
        )

    layers = (
        conv("a", 2, 3, -1),
        conv("b", 2, 3, -1, "relu6"),
        FloatLayer("sum", "add", (0, 1, 0), activation="clamp", clamp=(-1.0, 2.5)),
        FloatLayer("cat", "concat", (2, -1), params=Params(concat_axis=0)),
        FloatLayer("pad", "pad", (3,), params=Params(pads=(1, 0, 0, 2, 1, 0))),
        FloatLayer("tanh", "activation", (4,), activation="tanh"),
        FloatLayer("sigmoid", "activation", (5,), activation="sigmoid"),
        FloatLayer("flat", "flatten", (6,)),
        FloatLayer(
            "fc", "linear", (7,), weight=rng.standard_normal((4, 6 * 4 * 4)).astype(np.float32)
        ),
    )
    return FloatNetwork("dag", layers, (2, 2, 3))


def test_dag_equals_pytorch() -> None:
    network = dag()
    x = np.random.default_rng(1).standard_normal((5, 2, 2, 3)).astype(np.float32) * 3
    t = torch.from_numpy(x)
    weight = [None if la.weight is None else torch.from_numpy(la.weight) for la in network.layers]
    a, b = F.conv2d(t, weight[0]), F.relu6(F.conv2d(t, weight[1]))
    cat = torch.cat([(a + b + a).clamp(-1.0, 2.5), t], 1)
    flat = torch.sigmoid(torch.tanh(F.pad(cat, (1, 0, 0, 2, 1, 0)))).flatten(1)
    need = F.linear(flat, weight[8]).numpy()
    assert network.shapes()[3:5] == ((5, 2, 3), (6, 4, 4))
    np.testing.assert_allclose(output_of(network, x, batch=2), need, rtol=1e-5, atol=1e-5)


def test_forward_yields_every_layer_of_every_batch_in_order() -> None:
    network = dag()
    seen = [
        (index, start, out.shape[0])
        for index, start, out in network.forward(np.zeros((5, 2, 2, 3)), batch=3)
    ]
    assert seen == [(i, 0, 3) for i in range(9)] + [(i, 3, 2) for i in range(9)]


def test_an_empty_batch_yields_empty_outputs() -> None:
    network = dag()
    assert network.outputs(np.zeros((0, 2, 2, 3)))[8].shape == (0, 4)


def test_sigmoid_is_stable_at_both_ends() -> None:
    network = one_layer(FloatLayer("s", "activation", (-1,), activation="sigmoid"), (3,))
    with np.errstate(over="raise"):
        got = output_of(network, np.array([[-200.0, 0.0, 200.0]]))
    assert got.tolist() == [[0.0, 0.5, 1.0]]


def relu_net(*activations: Any, extra_reader: bool = False) -> FloatNetwork:
    layers = [FloatLayer("fc", "linear", (-1,), weight=np.eye(3, dtype=np.float32))]
    for i, (kind, clamp) in enumerate(activations):
        layers.append(FloatLayer(f"act{i}", "activation", (i,), activation=kind, clamp=clamp))
    if extra_reader:
        layers.append(FloatLayer("sum", "add", (len(layers) - 1, 0)))
    return FloatNetwork("net", tuple(layers), (3,))


@pytest.mark.parametrize(
    ("activations", "kind", "clamp"),
    [
        ([("relu", None)], "relu", (0.0, np.inf)),
        ([("relu", None), ("relu6", None)], "relu6", (0.0, 6.0)),
        ([("relu6", None), ("clamp", (-1.0, 4.0))], "clamp", (0.0, 4.0)),
        ([("clamp", (-2.0, -1.0)), ("relu", None)], "clamp", (0.0, 0.0)),
    ],
)
def test_activations_fuse_without_changing_the_result(
    activations: Any, kind: Any, clamp: Any
) -> None:
    network = relu_net(*activations)
    fused = fuse_activations(network)
    assert len(fused.layers) == 1
    assert fused.layers[0].name == "fc"
    assert (fused.layers[0].activation, fused.layers[0].clamp_range) == (kind, clamp)
    x = np.random.default_rng(0).standard_normal((50, 3)) * 5
    np.testing.assert_array_equal(output_of(fused, x), output_of(network, x))


def test_an_operator_that_others_read_keeps_its_activation_apart() -> None:
    network = relu_net(("relu", None), extra_reader=True)
    fused = fuse_activations(network)
    assert [layer.kind for layer in fused.layers] == ["linear", "activation", "add"]
    x = np.random.default_rng(0).standard_normal((9, 3))
    np.testing.assert_array_equal(output_of(fused, x), output_of(network, x))


def test_sigmoid_and_an_activation_after_pooling_stay_apart() -> None:
    pool = FloatLayer("pool", "max_pool2d", (-1,), Geometry((2, 2)))
    relu = FloatLayer("relu", "activation", (0,), activation="relu")
    network = FloatNetwork("net", (pool, relu), (1, 4, 4))
    assert len(fuse_activations(network).layers) == 2
    assert len(fuse_activations(relu_net(("sigmoid", None))).layers) == 2


EYE = np.eye(3, dtype=np.float32)


@pytest.mark.parametrize(
    ("layer", "shape", "message"),
    [
        (FloatLayer("x", "conv3d", (-1,)), (3,), "need a kind among"),
        (FloatLayer("x", "linear", (0,), weight=EYE), (3,), "need inputs from -1"),
        (FloatLayer("x", "linear", (-1,), weight=EYE), (4,), r"weight: need shape \(3, 4\)"),
        (FloatLayer("x", "linear", (-1,), weight=EYE), (3, 1, 1), "flatten it first"),
        (
            FloatLayer("x", "linear", (-1,), weight=EYE, bias=EYE[0, :2]),
            (3,),
            "bias: need shape",
        ),
        (FloatLayer("x", "linear", (-1, -1), weight=EYE), (3,), "need exactly 1 inputs, got 2"),
        (FloatLayer("x", "add", (-1,)), (3,), "need 2 or more inputs, got 1"),
        (
            FloatLayer("x", "concat", (-1, -1), params=Params(concat_axis=1)),
            (3,),
            "axis: need 0 to 0, got 1",
        ),
        (FloatLayer("x", "activation", (-1,)), (3,), "other than none"),
        (FloatLayer("x", "activation", (-1,), activation="clamp"), (3,), "need clamp="),
        (FloatLayer("x", "max_pool2d", (-1,)), (3, 2, 2), "need a window, got nothing"),
        (
            FloatLayer("x", "max_pool2d", (-1,), Geometry((3, 3))),
            (3, 2, 2),
            "need a window that fits",
        ),
        (
            FloatLayer("x", "pad", (-1,), params=Params(pads=(0, 0, -1, 0, 0, 0))),
            (3, 2, 2),
            "pads: need num",
        ),
        (FloatLayer("x", "flatten", (-1,)), (3, 0, 2), "positive sizes"),
        (FloatLayer("x", "flatten", (-1,), activation="relu"), (3,), "a layer of its own"),
        (FloatLayer("x", "add", (-1, -1), activation="tanh"), (3,), "a layer of its own"),
    ],
)
def test_a_malformed_layer_is_named(layer: Any, shape: Any, message: Any) -> None:
    with pytest.raises(TraceDataError, match=message):
        one_layer(layer, shape)


def test_inputs_of_another_shape_are_refused() -> None:
    with pytest.raises(TraceDataError, match="need inputs of shape"):
        list(dag().forward(np.zeros((1, 2, 3, 2))))
