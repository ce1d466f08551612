"""Float networks become traces whose codes follow the float outputs."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st

from bitpim.proof.reference import run_network
from bitpim_traces.builder import TraceBuilder
from bitpim_traces.errors import TraceDataError
from bitpim_traces.network import FloatLayer, FloatNetwork
from bitpim_traces.numbers.affine import decode, same_quantization
from bitpim_traces.quantize import (
    LayerBits,
    Settings,
    calibrate,
    quantize_network,
    requantize_trace,
)
from bitpim_traces.quantize.float_network import to_float_network
from bitpim_traces.records import (
    REQUANTIZE_MODES,
    Geometry,
    LayerRecord,
    Params,
    Quantization,
    Samples,
    Trace,
)
from bitpim_traces.synthetic import synthetic_float_network, synthetic_images, synthetic_network

ALONG_CHANNELS = Params(concat_axis=0)
N = 6


def tiny(settings: Settings, seed: int = 0, name: str = "tiny") -> Trace:
    network = synthetic_float_network(name, seed)
    images = synthetic_images(N, network.input_shape, seed)
    return quantize_network(
        network, calibrate(network, images, settings), images, settings=settings
    )


def errors(trace: Trace) -> list[float]:
    """Relative error of each layer's real outputs."""
    codes = run_network(trace, trace.samples.codes.read(), keep="all")
    found = []
    for layer in trace.layers:
        assert layer.output_float is not None
        real = layer.output_float.read()
        error = decode(codes[layer.index], layer.output) - real
        found.append(float(np.linalg.norm(error) / np.linalg.norm(real)))
    return found


def by_name(trace: Trace) -> dict[str, LayerRecord]:
    return {layer.name: layer for layer in trace.layers}


@pytest.mark.parametrize("mode", REQUANTIZE_MODES)
@pytest.mark.parametrize("scheme", ["affine", "symmetric"])
@pytest.mark.parametrize("per_channel", [True, False])
def test_codes_follow_the_float_network(mode: str, scheme: str, per_channel: bool) -> None:
    """Every layer kind; a floor instead of rounding costs about twice the error."""
    bound = 0.12 if mode == "truncate_shift" else 0.05
    for seed in range(2):
        trace = tiny(
            Settings(
                requantize=mode,
                activation_scheme=scheme,
                weight_scheme=scheme,
                per_channel=per_channel,
            ),
            seed,
        )
        assert max(errors(trace)) < bound


def test_more_bits_mean_less_error() -> None:
    found = [
        max(errors(tiny(Settings(weight_bits=w, activation_bits=a, accumulator_bits=bits))))
        for w, a, bits in ((3, 4, 32), (5, 6, 32), (8, 8, 32), (12, 12, 40))
    ]
    assert found[0] > 2 * found[1] > 4 * found[2] > 8 * found[3]


@given(
    weight_bits=st.integers(1, 16),
    activation_bits=st.integers(1, 16),
    mode=st.sampled_from(REQUANTIZE_MODES),
    calibration=st.sampled_from(["minmax", "percentile", "mse"]),
    seed=st.integers(0, 9),
)
@examples(max_examples=30, deadline=None)
def test_every_width_runs_or_says_what_it_needs(
    weight_bits: int, activation_bits: int, mode: str, calibration: str, seed: int
) -> None:
    fixed = mode == "fixed_point_half_away"
    settings = Settings(
        weight_bits=weight_bits,
        activation_bits=activation_bits,
        weight_scheme="affine",
        requantize=mode,
        calibration=calibration,
        accumulator_bits=32 if fixed else 44,
    )
    try:
        trace = tiny(settings, seed)
    except TraceDataError as error:
        if "of 1 bit" in str(error):  # its advice works
            assert 1 in (weight_bits, activation_bits)
            advised = replace(settings, weight_scheme="symmetric", activation_scheme="symmetric")
            widths = {layer.output.bits for layer in tiny(advised, seed).layers}
            assert widths <= {activation_bits, max(activation_bits, 2)}
            return
        assert fixed
        assert weight_bits + activation_bits > 20
        assert "accumulator" in str(error) or "fit 32 bits" in str(error)
        return
    for layer, codes in run_network(trace, trace.samples.codes.read(), keep="all").items():
        output = trace.layers[layer].output
        assert output.bits == activation_bits
        assert codes.min() >= output.code_min
        assert codes.max() <= output.code_max


def test_the_same_seed_makes_the_same_codes() -> None:
    one, other = tiny(Settings(), 3), tiny(Settings(), 3)
    for a, b in zip(one.layers, other.layers, strict=True):
        if a.weight is not None and b.weight is not None:
            np.testing.assert_array_equal(a.weight.read(), b.weight.read())
        np.testing.assert_array_equal(a.output.scale, b.output.scale)
    np.testing.assert_array_equal(one.samples.codes.read(), other.samples.codes.read())
    assert one.provenance == other.provenance


def test_layers_that_only_move_codes_keep_their_meaning() -> None:
    layers = by_name(tiny(Settings()))
    for name, source in (("pool1", "concat"), ("pad", "concat"), ("flatten", "pool2")):
        assert same_quantization(layers[name].output, layers[source].output)
        assert layers[name].requantize is None
    assert layers["pool1"].pad_code == layers["pool1"].output.code_min
    assert layers["pad"].pad_code == int(layers["pad"].output.zero_point[0])
    assert layers["concat"].requantize is not None
    tanh = layers["tanh"]
    assert tanh.table is not None
    assert tanh.table.shape == (256,)
    assert same_quantization(tanh.output, tanh.output)
    np.testing.assert_allclose(tanh.output.scale, 2 / 255, rtol=1e-6)


def test_fixed_point_averages_keep_their_meaning_and_others_do_not() -> None:
    for mode in REQUANTIZE_MODES:
        layers = by_name(tiny(Settings(requantize=mode)))
        same = same_quantization(layers["pool2"].output, layers["tanh"].output)
        assert same == (mode == "fixed_point_half_away")


def test_fused_relu_narrows_the_clamp() -> None:
    weight = np.array([[1.0, -1.0], [2.0, 0.5]], np.float32)
    layers = (
        FloatLayer("relu6", "linear", (-1,), weight=weight, activation="relu6"),
        FloatLayer("clamp", "linear", (0,), weight=weight, activation="clamp", clamp=(-0.5, 2.0)),
    )
    network = FloatNetwork("net", layers, (2,))
    x = np.random.default_rng(0).standard_normal((50, 2)).astype(np.float32) * 9
    ranges = {-1: (-30.0, 30.0), 0: (-20.0, 20.0), 1: (-20.0, 20.0)}
    trace = quantize_network(
        network, ranges, x, settings=Settings(activation_scheme="symmetric", activation_bits=6)
    )
    relu6, clamp = trace.layers
    # a range beyond what the activation allows is cut to it
    assert (relu6.output.signed, relu6.clamp) == (False, (0, 63))
    assert (clamp.output.signed, clamp.clamp) == (True, (-8, 31))
    np.testing.assert_allclose(clamp.output.scale, 2 / 31, rtol=1e-6)


def concat_net(second_gain: float) -> FloatNetwork:
    eye = np.eye(2, dtype=np.float32)
    return FloatNetwork(
        "net",
        (
            FloatLayer("a", "linear", (-1,), weight=eye),
            FloatLayer("b", "linear", (-1,), weight=eye * np.float32(second_gain)),
            FloatLayer("cat", "concat", (0, 1), params=ALONG_CHANNELS),
        ),
        (2,),
    )


@pytest.mark.parametrize(("gain", "rescaled"), [(1.0, False), (2.0, True)])
def test_concat_rescales_only_inputs_that_differ(gain: float, rescaled: bool) -> None:
    network = concat_net(gain)
    x = np.random.default_rng(0).standard_normal((20, 2)).astype(np.float32)
    trace = quantize_network(network, calibrate(network, x), x)
    assert (trace.layers[2].requantize is not None) == rescaled
    assert max(errors(trace)) < 0.02


@pytest.mark.parametrize("mode", REQUANTIZE_MODES)
def test_concat_and_average_may_clip(mode: str) -> None:
    layers = (
        FloatLayer(
            "cat", "concat", (-1, -1), activation="clamp", clamp=(-0.5, 1.0), params=ALONG_CHANNELS
        ),
        FloatLayer("pool", "avg_pool2d", (0,), Geometry((2, 2)), activation="relu"),
    )
    network = FloatNetwork("net", layers, (3, 2, 2))
    x = np.random.default_rng(0).standard_normal((32, 3, 2, 2)).astype(np.float32)
    trace = quantize_network(network, calibrate(network, x), x, settings=Settings(requantize=mode))
    assert max(errors(trace)) < 0.06
    assert trace.layers[1].clamp[0] == int(trace.layers[1].output.zero_point[0])


def test_a_dead_channel_with_a_bias_fits_the_accumulator() -> None:
    """Its own scale would be so small that the bias code left any accumulator."""
    weight = np.array([[1e-20, 1e-20], [1.0, 1.0], [0.0, 0.0]], np.float32)
    bias = np.array([3.0, -1.0, 2.0], np.float32)
    network = FloatNetwork("net", (FloatLayer("fc", "linear", (-1,), None, weight, bias),), (2,))
    x = np.random.default_rng(0).standard_normal((20, 2)).astype(np.float32)
    for mode in REQUANTIZE_MODES:
        for accumulator_bits in (24, 32):
            settings = Settings(requantize=mode, accumulator_bits=accumulator_bits)
            trace = quantize_network(network, calibrate(network, x), x, settings=settings)
            record = trace.layers[0]
            assert record.bias is not None
            assert np.abs(record.bias.read()).max() <= 1 << (accumulator_bits - 3)
            assert max(errors(trace)) < 0.02


def test_a_sum_that_could_overflow_names_layer_and_bits() -> None:
    with pytest.raises(TraceDataError, match=r"layer 0 'conv1' \(conv2d\): need an accumulator"):
        tiny(Settings(weight_bits=16, activation_bits=16))


def test_wide_accumulators_have_int64_biases() -> None:
    trace = tiny(Settings(weight_bits=16, activation_bits=16, accumulator_bits=40))
    assert {la.bias.dtype.name for la in trace.layers if la.bias is not None} == {"int64"}
    assert max(errors(trace)) < 1e-3


def test_overrides_and_output_bits() -> None:
    settings = Settings(
        output_bits=12,
        overrides={
            "input": LayerBits(activation_bits=5),
            "conv1": LayerBits(weight_bits=3, activation_bits=6),
        },
    )
    trace = tiny(settings)
    layers = by_name(trace)
    assert trace.samples.quantization.bits == 5
    assert layers["conv1"].output.bits == 6
    assert layers["conv1"].weight_quantization is not None
    assert layers["conv1"].weight_quantization.bits == 3
    assert layers["conv2"].output.bits == 8
    assert layers["fc"].output.bits == 12
    assert layers["fc"].output.scale.size == 1


def test_output_bits_reach_the_layer_that_decides() -> None:
    """The last layer only reshapes: the width belongs to the average before it."""
    layers = (
        FloatLayer("relu", "activation", (-1,), activation="relu"),
        FloatLayer("pool", "avg_pool2d", (0,), Geometry((2, 2))),
        FloatLayer("flat", "flatten", (1,)),
    )
    network = FloatNetwork("net", layers, (3, 2, 2))
    x = np.random.default_rng(0).standard_normal((4, 3, 2, 2)).astype(np.float32)
    trace = quantize_network(network, calibrate(network, x), x, settings=Settings(output_bits=12))
    assert [layer.output.bits for layer in trace.layers] == [8, 12, 12]


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"conv": LayerBits(4)}, "did you mean 'conv"),
        ({"pool1": LayerBits(4)}, "without weight"),
        ({"pool1": LayerBits(activation_bits=4)}, "keeps the codes of its input"),
    ],
)
def test_overrides_that_cannot_be_met_are_refused(overrides: Any, message: str) -> None:
    with pytest.raises(TraceDataError, match=message):
        tiny(Settings(overrides=overrides))


def test_given_sample_codes_are_kept() -> None:
    old = tiny(Settings())
    network = to_float_network(old)
    ranges = calibrate(network, decode(old.samples.codes.read(), old.samples.quantization))
    trace = quantize_network(network, ranges, old.samples, settings=Settings(weight_bits=5))
    assert trace.samples.quantization is old.samples.quantization
    np.testing.assert_array_equal(trace.samples.codes.read(), old.samples.codes.read())
    assert isinstance(trace.samples, Samples)


def test_references_at_hand_on_demand_or_none() -> None:
    network = concat_net(2.0)
    x = np.random.default_rng(0).standard_normal((5, 2)).astype(np.float32)
    ranges = calibrate(network, x)
    outputs = network.outputs(x[:3], [0, 1, 2])
    asked: list[int] = []

    def ask(index: int) -> Any:
        asked.append(index)
        return outputs[index]

    settings = Settings(reference_samples=3)
    for references in (None, outputs, ask):
        trace = quantize_network(network, ranges, x, settings=settings, references=references)
        assert asked == []
        for layer in trace.layers:
            assert layer.output_float is not None
            np.testing.assert_array_equal(layer.output_float.read(1), outputs[layer.index][1:])
        asked.clear()
    bare = quantize_network(network, ranges, x, settings=Settings(reference_samples=0))
    assert all(layer.output_float is None for layer in bare.layers)


def test_a_missing_range_is_named() -> None:
    network = concat_net(1.0)
    with pytest.raises(TraceDataError, match="layer 1 'b': need a range"):
        quantize_network(network, {-1: (0, 1), 0: (0, 1)}, np.zeros((1, 2), np.float32))


@pytest.mark.parametrize("field", ["weight", "bias"])
def test_numbers_that_are_not_finite_are_refused(field: str) -> None:
    layer = FloatLayer("fc", "linear", (-1,), None, np.ones((2, 2), "f4"), np.ones(2, "f4"))
    values = getattr(layer, field)
    values[0] = np.nan
    network = FloatNetwork("net", (layer,), (2,))
    with pytest.raises(TraceDataError, match=f"layer 0 'fc': need .*finite {field}"):
        quantize_network(network, {-1: (0, 1), 0: (0, 1)}, np.zeros((1, 2), np.float32))


def test_requantize_trace_to_the_same_settings_changes_nothing_but_ranges() -> None:
    """Weights, bias codes and samples come back; ranges are observed on decoded samples."""
    old = tiny(Settings())
    new = requantize_trace(old)
    for a, b in zip(old.layers, new.layers, strict=True):
        assert (a.name, a.kind, a.inputs, a.output_shape) == (
            b.name,
            b.kind,
            b.inputs,
            b.output_shape,
        )
        if a.weight is not None and b.weight is not None:
            np.testing.assert_array_equal(a.weight.read(), b.weight.read())
        np.testing.assert_allclose(a.output.scale, b.output.scale, rtol=0.05)
    np.testing.assert_array_equal(old.samples.codes.read(), new.samples.codes.read())
    assert max(errors(new)) < 0.05


@pytest.mark.parametrize("mode", REQUANTIZE_MODES)
def test_requantize_trace_to_other_widths_and_back(mode: str) -> None:
    old = synthetic_network("tiny", 1, n_samples=N)
    narrow = requantize_trace(old, Settings(weight_bits=4, activation_bits=5, requantize=mode))
    assert {la.output.bits for la in narrow.layers} == {5}
    assert narrow.samples.quantization.bits == 5
    assert {la.requantize.mode for la in narrow.layers if la.requantize is not None} == {mode}
    wide = requantize_trace(narrow, Settings(requantize=mode))
    for a, b in zip(old.layers, wide.layers, strict=True):
        if a.weight is not None and b.weight is not None:
            np.testing.assert_array_equal(a.weight.read(), b.weight.read())
    assert old.samples.labels is not None and wide.samples.labels is not None
    np.testing.assert_array_equal(wide.samples.labels.read(), old.samples.labels.read())


def test_requantize_trace_needs_float_weights() -> None:
    old = tiny(Settings())
    layers = tuple(replace(layer, weight_float=None) for layer in old.layers)
    with pytest.raises(TraceDataError, match=r"layer 0 'conv1' .*need weights in float"):
        requantize_trace(replace(old, layers=layers))


def test_requantize_trace_needs_the_float_values_of_constants() -> None:
    codes = Quantization(8, True, np.ones(1), np.zeros(1, np.int64))
    builder = TraceBuilder("net", (3,), codes)
    builder.constant("it", np.arange(4, dtype=np.int8), codes)
    old = builder.build(np.zeros((2, 3), np.int8))
    bare = replace(old.layers[0], tensors={"values": old.layers[0].tensors["values"]})
    with pytest.raises(TraceDataError, match=r"layer 0 'it' .*need values in float"):
        requantize_trace(replace(old, layers=(bare,)))
    assert requantize_trace(old).layers[0].kind == "constant"
