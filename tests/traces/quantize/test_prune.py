"""Networks and traces pruned through one door; few-valued weights and activations, end to end."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bitpim.proof.reference import run_network
from bitpim_traces import check_trace, open_trace, write_trace
from bitpim_traces.errors import TraceDataError
from bitpim_traces.masks import LayerMask, masks_of
from bitpim_traces.network import FloatLayer, FloatNetwork
from bitpim_traces.quantize import (
    ChannelPruning,
    GivenMasks,
    LanePruning,
    LayerBits,
    OverlapPruning,
    PatternPruning,
    PrunedLanes,
    Settings,
    calibrate,
    prune_network,
    prune_trace,
    quantize_network,
    requantize_trace,
)
from bitpim_traces.quantize.lanes import choose_lane_masks
from bitpim_traces.quantize.prune import joined_mask
from bitpim_traces.records import Geometry, LayerRecord, Trace
from bitpim_traces.synthetic import (
    synthetic_float_network,
    synthetic_images,
    synthetic_network,
    weightless_network,
)

EVERY = [
    LanePruning(0.5),
    OverlapPruning(2),
    ChannelPruning(0.4, skip_first=False),
    PatternPruning(3, 2),
]


def layer_of(trace: Trace, name: str) -> LayerRecord:
    return next(layer for layer in trace.layers if layer.name == name)


@pytest.fixture(scope="module", params=["symmetric", "affine"])
def dense(request: pytest.FixtureRequest) -> Trace:
    return synthetic_network("tiny", 3, n_samples=3, settings=Settings(weight_scheme=request.param))


@pytest.mark.parametrize("pruning", EVERY, ids=lambda p: type(p).__name__)
def test_a_pruned_trace_differs_in_what_is_pruned_alone(
    dense: Trace, pruning: Any, tmp_path: Path
) -> None:
    pruned, reports = prune_trace(dense, pruning)
    write_trace(pruned, tmp_path / "p.h5")
    assert check_trace(tmp_path / "p.h5", deep=True) == []
    network, expected, _ = prune_network(synthetic_float_network("tiny", 3), pruning)
    floats = {layer.name: layer for layer in network.layers}
    masks = masks_of(open_trace(tmp_path / "p.h5"))
    assert {r.name for r in reports} == masks.keys() == expected.keys()
    for before, after in zip(dense.layers, pruned.layers, strict=True):
        if before.name not in masks:
            assert after == replace(before, output_float=after.output_float)
            continue
        mask = masks[before.name].mask
        np.testing.assert_array_equal(mask, expected[before.name].mask)
        assert before.weight is not None and after.weight is not None
        assert before.weight_quantization is not None
        zero = before.weight_quantization.zero_point.reshape(-1, *[1] * (mask.ndim - 1))
        codes = np.where(mask == 1, before.weight.read(), zero)
        np.testing.assert_array_equal(after.weight.read(), codes)
        assert after.weight.dtype == before.weight.dtype
        real = floats[before.name]
        assert after.weight_float is not None and after.bias_float is not None
        np.testing.assert_array_equal(after.weight_float.read(), real.weight)
        np.testing.assert_array_equal(after.bias_float.read(), real.bias)
        assert after.bias is not None and before.bias is not None and real.bias is not None
        gone = real.bias == 0
        np.testing.assert_array_equal(after.bias.read(), before.bias.read() * ~gone)
        assert after.bias.dtype == before.bias.dtype
    # references are those of the pruned network, for as many samples as there were
    samples = dense.samples
    real_samples = (
        samples.codes.read() - samples.quantization.zero_point
    ) * samples.quantization.scale
    outputs = network.outputs(real_samples.astype("f4"), range(len(network.layers)))
    for before, after in zip(dense.layers, pruned.layers, strict=True):
        assert after.output_float is not None and before.output_float is not None
        assert after.output_float.shape == before.output_float.shape
        np.testing.assert_allclose(
            after.output_float.read(), outputs[after.index], rtol=1e-5, atol=1e-5
        )
    assert pruned.provenance["pruned_from"]["digest"] == dense.digest


def test_removed_channels_are_zero_points() -> None:
    trace = synthetic_network("resnet20", 1, n_samples=1)
    pruned, _ = prune_trace(trace, ChannelPruning(0.4, skip_first=False))
    outputs = run_network(pruned, pruned.samples.codes.read(), keep="all")
    n_removed = 0
    for name, mask in masks_of(pruned).items():
        layer = layer_of(pruned, name)
        gone = ~mask.mask.reshape(len(mask.mask), -1).any(axis=1)
        n_removed += int(gone.sum())
        assert (outputs[layer.index][:, gone] == layer.output.zero_point).all()
    assert n_removed > 50


def test_several_ways_go_one_after_another(dense: Trace) -> None:
    ways: list[Any] = [
        PatternPruning(3, 4),
        LanePruning(0.5),
        OverlapPruning(2, overrides={"depthwise": 1}),
    ]
    together, reports = prune_trace(dense, ways)
    network = synthetic_float_network("tiny", 3)
    masks: dict[str, LayerMask] = {}
    for way in ways:
        network, new, _ = prune_network(network, way)
        for name, mask in new.items():
            masks[name] = joined_mask(masks.get(name), mask)
    found = masks_of(together)
    assert found.keys() == masks.keys()
    for name, mask in found.items():
        weight = next(x.weight for x in network.layers if x.name == name)
        assert weight is not None and not weight[mask.mask == 0].any()
        np.testing.assert_array_equal(mask.mask, masks[name].mask)
    both = found["conv2"]
    assert both.patterns is not None and both.groups is not None
    assert both.n_zero_kernels >= 8
    (report,) = [r for r in reports if r.name == "conv2"]
    assert isinstance(report, PrunedLanes)
    assert report.n_zero_lanes == both.n_zero_kernels and report.n_groups == 2
    assert [one["way"] for one in together.provenance["prune"][1:]] == ["lanes", "overlap"]
    # masks in a trace are held by what comes later
    once, _ = prune_trace(dense, ways[0])
    twice, _ = prune_trace(once, ways[1:])
    for name, mask in masks_of(twice).items():
        np.testing.assert_array_equal(mask.mask, found[name].mask)


def test_masks_join() -> None:
    ones = np.ones((1, 2, 1, 2), np.uint8)
    left = np.array([1, 0, 1, 0], np.uint8).reshape(1, 2, 1, 2)
    lane = np.array([1, 1, 0, 0], np.uint8).reshape(1, 2, 1, 2)
    patterns, groups = np.array([1], np.uint32), np.zeros(1, np.int32)
    pruned = LayerMask(left, patterns)
    joined = joined_mask(pruned, LayerMask(lane, groups=groups))
    assert joined.mask.ravel().tolist() == [1, 0, 0, 0]
    assert joined.patterns is patterns and joined.groups is groups
    # a free mask that breaks a pattern leaves masks free, and a pattern over a free mask stands
    right = LayerMask(np.array([0, 1, 1, 0], np.uint8).reshape(1, 2, 1, 2))
    both = LayerMask(ones, np.array([3], np.uint32))
    assert joined_mask(both, right).patterns is None
    assert joined_mask(right, both).mask.tolist() == ones.tolist()
    assert joined_mask(None, right) is right


def test_requantize_prunes_too_and_holds_masks(dense: Trace) -> None:
    pruned = requantize_trace(dense, Settings(weight_bits=4), LanePruning(0.5))
    assert pruned.provenance["prune"]["way"] == "lanes"
    held = requantize_trace(pruned, Settings(weight_values="ternary"))
    for name, mask in masks_of(held).items():
        np.testing.assert_array_equal(mask.mask, masks_of(pruned)[name].mask)
        weight = layer_of(held, name).weight
        assert weight is not None
        codes = weight.read()
        assert set(np.unique(codes)) == {-1, 0, 1} and not codes[mask.mask == 0].any()
    with pytest.raises(TraceDataError, match="'conv2': binary weights are -1 or 1 times a scale"):
        requantize_trace(pruned, Settings(weight_values="binary"))
    mixed = {name: LayerBits(weight_values="ternary") for name in masks_of(pruned)}
    trace = requantize_trace(pruned, Settings(weight_values="binary", overrides=mixed))
    quantization = layer_of(trace, "conv1").weight_quantization
    assert quantization is not None and quantization.binary
    with pytest.raises(TraceDataError, match="prune: layer 'conv1': binary weights are -1 or 1"):
        prune_trace(trace, LanePruning(0.5, skip_first=False))


def test_without_float_numbers_magnitudes_are_those_of_codes(dense: Trace) -> None:
    bare = replace(
        dense,
        layers=tuple(
            replace(r, weight_float=None, bias_float=None, output_float=None) for r in dense.layers
        ),
    )
    for pruning in (LanePruning(0.5), ChannelPruning(0.4, skip_first=False)):
        pruned, _ = prune_trace(bare, pruning)
        known, _ = prune_trace(dense, pruning)
        assert all(r.output_float is None for r in pruned.layers)
        for one, other in zip(pruned.layers, known.layers, strict=True):
            if one.weight is not None and other.weight is not None:
                np.testing.assert_array_equal(one.weight.read(), other.weight.read())
            if one.bias is not None and other.bias is not None:
                np.testing.assert_array_equal(one.bias.read(), other.bias.read())


def test_masks_that_are_given(dense: Trace) -> None:
    shape = (4, 4, 3, 3)
    half = np.zeros(shape, np.uint8)
    half[::2] = 1
    pruned, (report,) = prune_trace(
        dense, GivenMasks({"conv2": LayerMask(half)}, {"file": "m.npz"})
    )
    assert report.sparsity == 0.5
    assert pruned.provenance["prune"] == {"way": "masks", "file": "m.npz", "layers": ["conv2"]}
    bias, before = layer_of(pruned, "conv2").bias, layer_of(dense, "conv2").bias
    assert bias is not None and before is not None
    np.testing.assert_array_equal(bias.read(), before.read())  # none of a mask's business
    for masks, message in (
        ({"conv2": LayerMask(half[:2])}, r"'conv2': need a mask of shape \(4, 4, 3, 3\)"),
        ({"pool1": LayerMask(half)}, "'pool1': need masks of layers with weights, got none"),
        ({"conv2": LayerMask(0 * half)}, "'conv2': need a weight that is left, got all 144"),
        ({"conv2": LayerMask(half, groups=np.zeros(4, np.int32))}, "filters 0 and 2 of group 0"),
    ):
        with pytest.raises(TraceDataError, match=message):
            prune_trace(dense, GivenMasks(masks))


def test_alexnet_has_the_lanes_it_is_asked_for() -> None:
    """Shares by layer, 0.5 % to 43 % of the lanes of its convolutions; linear layers stay."""
    shares = {"conv1": 0.0052, "conv2": 0.0918, "conv3": 0.2934, "conv4": 0.3530, "conv5": 0.4334}
    rng = np.random.default_rng(0)
    weights: dict[str, Any] = {}
    for layer in weightless_network("alexnet").layers:
        if layer.weight is not None:
            is_conv = layer.kind == "conv2d"
            drawn = rng.standard_normal(layer.weight.shape, np.float32) if is_conv else layer.weight
            weights[layer.name] = drawn
    masks, reports = choose_lane_masks(weights, LanePruning(0.0, overrides=shares))
    assert {r.name: round(r.n_zero_lanes / r.n_lanes, 4) for r in reports} == shares
    assert list(masks) == list(shares)


# --- few values


@pytest.mark.parametrize("bits", [0, 17, -1])
def test_widths_that_no_code_has(bits: int) -> None:
    every: list[dict[str, Any]] = [
        {"weight_bits": bits},
        {"activation_bits": bits},
        {"output_bits": bits},
        {"overrides": {"fc": LayerBits(bits)}},
        {"overrides": {"fc": LayerBits(activation_bits=bits)}},
    ]
    for values in every:
        with pytest.raises(TraceDataError, match=f"from 1 to 16, got {bits}"):
            Settings(**values)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"weight_values": "two"}, "need weight_values among codes, ternary, binary, got 'two'"),
        ({"activation_values": "two"}, "need activation_values among codes, binary"),
        ({"ternary_threshold": 1.0}, "need ternary_threshold from 0 to below 1, got 1.0"),
        ({"overrides": {"a": LayerBits(weight_values="x")}}, r"overrides\['a'\] among codes"),
        (
            {"weight_values": "ternary", "overrides": {"a": LayerBits(8)}},
            r"overrides\['a'\]: weight_bits are of codes, and weights there are ternary",
        ),
        (
            {"overrides": {"a": LayerBits(activation_bits=3, activation_values="binary")}},
            "need activation_bits or binary activation_values, got both",
        ),
    ],
)
def test_values_that_are_refused(values: dict[str, Any], message: str) -> None:
    with pytest.raises(TraceDataError, match=message):
        Settings(**values)


def test_what_is_not_chosen_leaves_no_trace() -> None:
    plain = Settings(overrides={"a": LayerBits(4)}).as_plain()
    assert not {"weight_values", "ternary_threshold", "activation_values"} & plain.keys()
    assert plain["overrides"] == {"a": {"weight_bits": 4, "activation_bits": None}}
    own = {"a": LayerBits(weight_values="codes")}
    plain = Settings(weight_values="ternary", ternary_threshold=0.5, overrides=own).as_plain()
    assert (plain["weight_values"], plain["ternary_threshold"]) == ("ternary", 0.5)
    assert plain["overrides"]["a"]["weight_values"] == "codes"


def test_any_width_from_1_to_8_mixed_from_layer_to_layer() -> None:
    network = synthetic_float_network("tiny", 3)
    images = synthetic_images(2, network.input_shape, 3)
    names = [layer.name for layer in network.layers if layer.weight is not None]
    for shift in range(8):
        bits = {name: 1 + (i * 3 + shift) % 8 for i, name in enumerate(names)}
        own = {name: LayerBits(b, max(2, b)) for name, b in bits.items()}
        settings = Settings(overrides=own)
        trace = quantize_network(
            network, calibrate(network, images, settings), images, settings=settings
        )
        for name, b in bits.items():
            layer = layer_of(trace, name)
            assert layer.weight_quantization is not None
            assert layer.weight_quantization.binary == (b == 1)
            assert layer.weight_quantization.bits == max(2, b)
            assert layer.output.bits == max(2, b)
        run_network(trace, trace.samples.codes.read())


def signs_network() -> FloatNetwork:
    """A binary network: signs before each layer but the first, a max pooling between."""
    rng = np.random.default_rng(0)

    def conv(name: str, source: int, n_in: int) -> FloatLayer:
        weight = rng.standard_normal((8, n_in, 3, 3)).astype("f4")
        window = Geometry((3, 3), padding=(1, 1, 1, 1))
        return FloatLayer(name, "conv2d", (source,), window, weight, np.zeros(8, "f4"))

    return FloatNetwork(
        "signs",
        (
            conv("conv1", -1, 3),
            FloatLayer("sign1", "activation", (0,), activation="sign"),
            conv("conv2", 1, 8),
            FloatLayer("pool", "max_pool2d", (2,), Geometry((2, 2), (2, 2))),
            FloatLayer("sign2", "activation", (3,), activation="sign"),
            FloatLayer("flat", "flatten", (4,)),
            FloatLayer("fc", "linear", (5,), weight=rng.standard_normal((3, 128)).astype("f4")),
        ),
        (3, 8, 8),
    )


def test_binary_weights_and_activations_end_to_end(tmp_path: Path) -> None:
    network = signs_network()
    images = synthetic_images(4, network.input_shape, 0)
    settings = Settings(
        weight_values="binary",
        activation_values="binary",
        overrides={
            "conv1": LayerBits(8, weight_values="codes"),
            "fc": LayerBits(weight_values="ternary"),
        },
    )
    ranges = calibrate(network, images, settings)
    trace = quantize_network(network, ranges, images, settings=settings)
    write_trace(trace, tmp_path / "b.h5")
    assert check_trace(tmp_path / "b.h5", deep=True) == []
    read = open_trace(tmp_path / "b.h5")
    assert {r.name: r.output.binary for r in read.layers if r.output.binary} == dict.fromkeys(
        ["sign1", "sign2", "flat"], True
    )
    outputs = run_network(read, read.samples.codes.read(), keep="all")
    for index, name in ((1, "sign1"), (4, "sign2")):
        before = read.quantization_of(read.layers[index].inputs[0])
        real = outputs[read.layers[index].inputs[0]] - before.zero_point
        np.testing.assert_array_equal(outputs[index], np.where(real < 0, -1, 1), err_msg=name)
        assert (real == 0).any() or name == "sign2"
    quantization = layer_of(read, "conv2").weight_quantization
    assert quantization is not None and quantization.binary
    # without the setting a sign has three values
    three = quantize_network(
        network, ranges, images, settings=Settings(activation_bits=1, activation_scheme="symmetric")
    )
    assert not layer_of(three, "sign1").output.binary
    for own, message in (
        ({"conv2": LayerBits(activation_values="binary")}, "'conv2' be binary, which only the fun"),
        (
            {"pool": LayerBits(weight_values="binary")},
            "weight bits or values to 'pool', without we",
        ),
    ):
        with pytest.raises(TraceDataError, match=message):
            quantize_network(network, ranges, images, settings=Settings(overrides=own))
