"""Pattern pruning against exact fractions, and what is refused."""

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bitpim_traces.errors import TraceDataError
from bitpim_traces.masks import LayerMask, mask_codes, with_masks
from bitpim_traces.network import FloatLayer, FloatNetwork
from bitpim_traces.quantize import Settings, calibrate, quantize_network, requantize_trace
from bitpim_traces.quantize.pattern import (
    LayerPruning,
    PatternPruning,
    choose_masks,
    dropped_kernels,
    kernel_energy,
    mask_histogram,
    natural_patterns,
    project,
    random_masks,
    select_patterns,
)
from bitpim_traces.quantize.prune import prune_network
from bitpim_traces.records import Geometry, Trace
from bitpim_traces.synthetic import synthetic_float_network, synthetic_images, weightless_network
from tests.naive import pattern as naive

Weight = np.ndarray[Any, np.dtype[np.float32]]


@st.composite
def weights(draw: st.DrawFn) -> Weight:
    """Weights with many ties and zeros: few distinct magnitudes, sizes down to one kernel."""
    shape = (draw(st.integers(1, 5)), draw(st.integers(1, 4)), 3, 3)
    rng = np.random.default_rng(draw(st.integers(0, 999)))
    levels = draw(st.sampled_from([1, 2, 50]))
    values = rng.integers(-levels, levels + 1, shape) * draw(st.sampled_from([0.1, 1.0, 1e-30]))
    return values.astype(np.float32)


def one_conv(weight: Weight, name: str = "conv") -> FloatNetwork:
    geometry = Geometry((3, 3), padding=(1, 1, 1, 1))
    layer = FloatLayer(name, "conv2d", (-1,), geometry, weight, np.ones(weight.shape[0], "f4"))
    return FloatNetwork("one", (layer,), (weight.shape[1], 4, 4))


@given(weights(), st.integers(1, 9))
def test_natural_patterns_hold_most_energy(weight: Weight, kept: int) -> None:
    codes = natural_patterns(weight, kept)
    for place, kernel in naive.kernels(weight).items():
        assert int(codes[place]) == naive.natural(kernel, kept)


@given(weights(), st.lists(st.integers(1, 511), max_size=9, unique=True))
def test_projection_retains_most_energy_and_ties_go_to_the_lower_code(
    weight: Weight, patterns: list[int]
) -> None:
    codes = project(weight, np.array(patterns, np.uint32))
    for place, kernel in naive.kernels(weight).items():
        assert int(codes[place]) == naive.nearest(kernel, patterns)


@given(
    weights(),
    st.integers(1, 9),
    st.integers(1, 9),
    st.sampled_from([0.0, 0.2, 0.5, 0.9, 1.0]),
)
def test_pruning_a_layer_equals_brute_force(
    weight: Weight, kept: int, n_patterns: int, share: float
) -> None:
    settings = PatternPruning(kept, n_patterns, share, skip_first=False)
    pruned, masks, (report,) = prune_network(one_conv(weight), settings)
    n_kernels = weight.shape[0] * weight.shape[1]
    expected = naive.prune(weight, kept, n_patterns, round(share * n_kernels))
    codes = mask_codes(masks["conv"].mask)
    assert {place: int(codes[place]) for place in expected} == expected
    np.testing.assert_array_equal(pruned.layers[0].weight, weight * masks["conv"].mask)
    # the report, from the brute force
    used = [code for code in expected.values() if code]
    assert set(used) <= set(report.patterns.tolist())
    assert report.counts.tolist() == [used.count(p) for p in report.patterns.tolist()]
    assert (report.n_kernels, report.n_zero_kernels) == (n_kernels, n_kernels - len(used))
    kept_weights = sum(code.bit_count() for code in used)
    assert report.sparsity == pytest.approx(1 - kept_weights / weight.size)
    kernels = naive.kernels(weight)
    left = sum(naive.energy(kernels[place], code) for place, code in expected.items())
    whole = sum(naive.energy(kernel, 511) for kernel in kernels.values())
    assert report.retained_energy == pytest.approx(float(left / whole) if whole else 1.0)


def test_histogram_is_sorted_by_count_then_code() -> None:
    codes = np.array([[7, 3], [3, 9], [9, 1]], np.uint32)
    masks, counts = mask_histogram(codes)
    assert (masks.tolist(), counts.tolist()) == ([3, 9, 1, 7], [2, 2, 1, 1])
    assert select_patterns(codes, 3).tolist() == [1, 3, 9]
    assert select_patterns(codes[:0], 3).tolist() == []


def test_bits_of_a_code_are_positions_in_row_order() -> None:
    weight = np.zeros((1, 1, 3, 3), np.float32)
    weight[0, 0, 0, 2], weight[0, 0, 1, 0] = 5, -6
    assert natural_patterns(weight, 2).tolist() == [[0b1100]]


def test_dropped_kernels_are_the_weakest_the_first_of_equals_first() -> None:
    weight = np.ones((2, 3, 3, 3), np.float32)
    weight[1, 2] = 0.5
    assert np.argwhere(dropped_kernels(weight, 2 / 6)).tolist() == [[0, 0], [1, 2]]
    assert kernel_energy(weight)[1].tolist() == [9.0, 9.0, 2.25]
    # 2.5 kernels round to 2, as half to even says
    assert dropped_kernels(weight[:1, :].repeat(5, 0)[:5, :1], 0.5).sum() == 2


def test_one_set_a_network_counts_every_layer() -> None:
    first, second = np.zeros((4, 1, 3, 3), "f4"), np.zeros((4, 1, 3, 3), "f4")
    first[:3, 0, 0, 0], first[3, 0, 2, 2] = 1.0, 1.0  # three kernels of mask 1, one of mask 256
    second[:2, 0, 2, 2], second[2:, 0, 1, 1] = 1.0, 1.0  # two of mask 256, two of mask 16
    convs = {"stem": np.ones((1, 1, 3, 3), "f4"), "a": first, "b": second}
    settings = PatternPruning(kept=1, n_patterns=1)
    own, _ = choose_masks(convs, settings)
    assert {n: m.patterns.tolist() for n, m in own.items() if m.patterns is not None} == {
        "a": [1],
        "b": [16],  # as frequent as 256, and the lower code
    }
    shared, reports = choose_masks(convs, PatternPruning(kept=1, n_patterns=2, scope="network"))
    assert all(m.patterns is not None and m.patterns.tolist() == [1, 256] for m in shared.values())
    assert [r.counts.tolist() for r in reports] == [[3, 1], [2, 2]]
    assert [r.n_natural_masks for r in reports] == [3, 3]
    assert [r.retained_energy for r in reports] == [1.0, 0.5]
    assert reports[1].as_plain()["counts"] == [2, 2]


def test_only_3x3_windows_but_the_first_convolution_are_pruned() -> None:
    network = synthetic_float_network("tiny")
    _, masks, _ = prune_network(network)
    assert list(masks) == ["conv2", "depthwise"]  # conv1 is the first, conv3 is 1 x 1
    every = prune_network(network, PatternPruning(skip_first=False))[1]
    assert list(every) == ["conv1", "conv2", "depthwise"]
    settings = PatternPruning(
        overrides={
            "conv1": LayerPruning(prune=True, kept=2),
            "conv2": LayerPruning(zero_kernel_share=0.5),
            "depthwise": LayerPruning(prune=False),
        }
    )
    pruned, masks, reports = prune_network(network, settings)
    assert [(r.name, r.n_zero_kernels, r.n_kernels) for r in reports] == [
        ("conv1", 0, 12),
        ("conv2", 8, 16),
    ]
    assert masks["conv1"].mask.sum() == 2 * 12
    untouched = [i for i, layer in enumerate(network.layers) if layer.name not in masks]
    assert all(pruned.layers[i].weight is network.layers[i].weight for i in untouched)


def test_pruning_a_pruned_network_changes_nothing() -> None:
    settings = PatternPruning(zero_kernel_share=0.25)
    once, masks, _ = prune_network(synthetic_float_network("tiny"), settings)
    twice, again, reports = prune_network(once, settings)
    for name, mask in masks.items():
        np.testing.assert_array_equal(mask.mask, again[name].mask)
    for one, other in zip(once.layers, twice.layers, strict=True):
        np.testing.assert_array_equal(one.weight, other.weight)
    assert [r.retained_energy for r in reports] == [1.0, 1.0]


@pytest.mark.parametrize("scope", ["layer", "network"])
def test_random_masks_have_the_sparsity_stated(scope: str) -> None:
    shapes = {
        layer.name: layer.weight.shape
        for layer in weightless_network("vgg16_cifar").layers
        if layer.kind == "conv2d" and layer.weight is not None
    }
    assert sum(math.prod(shape) for shape in shapes.values()) == 14_710_464
    own = {"conv5_1": LayerPruning(zero_kernel_share=0.75)}
    settings = PatternPruning(zero_kernel_share=0.25, scope=scope, overrides=own)
    masks = random_masks(shapes, settings, seed=4)
    assert masks.keys() == shapes.keys() - {"conv1_1"}
    for name, mask in masks.items():
        share = 0.75 if name in own else 0.25
        assert mask.mask.shape == shapes[name]
        assert mask.sparsity == pytest.approx(1 - (1 - share) * 4 / 9, abs=1e-12)
        codes, counts = np.unique(mask_codes(mask.mask), return_counts=True)
        assert mask.patterns is not None
        assert codes.tolist() == [0, *mask.patterns.tolist()] and len(codes) == 9
        assert counts[0] == mask.n_zero_kernels == share * codes_of(shapes[name])
        assert counts[1:].min() > 0.8 * counts[1:].mean()  # drawn evenly
    sets = {tuple(m.patterns.tolist()) for m in masks.values() if m.patterns is not None}
    assert (len(sets) == 1) == (scope == "network")
    again, other = random_masks(shapes, settings, 4), random_masks(shapes, settings, 5)
    assert all((again[name].mask == masks[name].mask).all() for name in masks)
    assert any((other[name].mask != masks[name].mask).any() for name in masks)


def codes_of(shape: tuple[int, ...]) -> int:
    return shape[0] * shape[1]


def test_random_masks_meet_a_published_sparsity() -> None:
    """4 entries and the 1 / 3.6 strongest conv kernels kept: 87.7 %, as known of VGG-16."""
    settings = PatternPruning(zero_kernel_share=1 - 1 / 3.6, skip_first=False)
    (mask,) = random_masks({"a": (512, 512, 3, 3)}, settings).values()
    assert mask.n_zero_kernels == 512 * 512 - 72818
    assert mask.sparsity == pytest.approx(0.877, abs=5e-4)


def test_all_masks_there_are_can_be_drawn() -> None:
    masks = random_masks({"a": (40, 40, 3, 3)}, PatternPruning(8, 99, skip_first=False))
    assert masks["a"].patterns is not None and masks["a"].patterns.size == 9


# --- quantization


@pytest.mark.parametrize("per_channel", [True, False])
@pytest.mark.parametrize("scheme", ["affine", "symmetric"])
@pytest.mark.parametrize("bits", [2, 4, 8, 13])
@pytest.mark.parametrize("method", ["minmax", "mse"])
def test_masked_weights_become_their_zero_point(
    per_channel: bool, scheme: str, bits: int, method: str
) -> None:
    trace, masks = pruned_tiny(
        Settings(
            weight_bits=bits,
            weight_scheme=scheme,
            per_channel=per_channel,
            weight_calibration=method,
        )
    )
    for name, mask in masks.items():
        (layer,) = [layer for layer in trace.layers if layer.name == name]
        assert layer.weight is not None and layer.weight_quantization is not None
        zero = layer.weight_quantization.zero_point.reshape(-1, 1, 1, 1)
        codes = layer.weight.read().astype(int)
        assert (np.broadcast_to(zero, codes.shape)[mask.mask == 0] == codes[mask.mask == 0]).all()
        if scheme == "affine" and per_channel and bits == 8:
            assert np.unique(zero).size > 1  # the zero points do differ
    with_masks(trace, masks)


def pruned_tiny(settings: Settings) -> tuple[Trace, dict[str, LayerMask]]:
    network = synthetic_float_network("tiny", 3)
    pruned, masks, _ = prune_network(network, PatternPruning(zero_kernel_share=0.2))
    images = synthetic_images(3, network.input_shape)
    ranges = calibrate(pruned, images, settings)
    return quantize_network(pruned, ranges, images, settings=settings), masks


def test_masks_are_held_when_a_trace_is_quantized_again() -> None:
    trace, masks = pruned_tiny(Settings())
    again = requantize_trace(with_masks(trace, masks), Settings(weight_bits=5))
    assert {layer.name for layer in again.layers if layer.extra} == set(masks)
    for layer in again.layers:
        if layer.extra:
            mask = layer.extra["pruning_mask"].read()
            np.testing.assert_array_equal(mask, masks[layer.name].mask)
            assert layer.weight_float is not None
            assert not layer.weight_float.read()[mask == 0].any()


def test_a_trace_is_pruned_when_it_is_quantized_again() -> None:
    network = synthetic_float_network("tiny", 3)
    images = synthetic_images(3, network.input_shape)
    trace = quantize_network(network, calibrate(network, images, Settings()), images)
    pruned = requantize_trace(trace, pruning=PatternPruning(kept=2))
    expected, masks, _ = prune_network(network, PatternPruning(kept=2))
    assert pruned.provenance["prune"]["kept"] == 2
    for layer, ours in zip(pruned.layers, expected.layers, strict=True):
        if ours.weight is not None:
            assert layer.weight_float is not None
            np.testing.assert_array_equal(layer.weight_float.read(), ours.weight)
        assert ("patterns" in layer.extra) == (layer.name in masks)
    # the references are those of the pruned network
    last = pruned.layers[-1].output_float
    assert last is not None
    real = np.float32(trace.samples.quantization.scale[0]) * (
        trace.samples.codes.read().astype(np.float32) - trace.samples.quantization.zero_point[0]
    )
    (answers,) = expected.outputs(real).values()
    np.testing.assert_allclose(last.read(), answers, rtol=1e-5, atol=1e-6)


# --- what is refused


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"kept": 0}, "pruning: need kept from 1 to 9, got 0"),
        ({"kept": 10}, "pruning: need kept from 1 to 9, got 10"),
        ({"n_patterns": 0}, "need n_patterns of at least 1, got 0"),
        ({"zero_kernel_share": 1.01}, "need zero_kernel_share from 0 to 1, got 1.01"),
        ({"zero_kernel_share": math.nan}, "need zero_kernel_share from 0 to 1, got nan"),
        ({"scope": "net"}, "need scope among layer, network, got 'net'"),
        ({"overrides": {"a": LayerPruning(kept=0)}}, "overrides['a']: need kept from 1"),
        (
            {"scope": "network", "overrides": {"a": LayerPruning(kept=3)}},
            "overrides['a']: need kept and n_patterns of the network",
        ),
    ],
)
def test_settings_out_of_range_are_refused(values: dict[str, Any], message: str) -> None:
    with pytest.raises(TraceDataError) as error:
        PatternPruning(**values)
    assert message in str(error.value)


def test_what_cannot_be_pruned_is_refused() -> None:
    conv = np.ones((2, 2, 3, 3), np.float32)
    with pytest.raises(TraceDataError, match="need a 3 x 3 convolution to prune, got 1, the first"):
        prune_network(one_conv(conv))
    with pytest.raises(TraceDataError, match="need a 3 x 3 convolution to prune, got 0"):
        choose_masks({"a": np.ones((2, 2, 5, 5), np.float32)})
    with pytest.raises(TraceDataError, match=r"overrides of 3 x 3 convolutions \(conv\), got 'fc'"):
        prune_network(one_conv(conv), PatternPruning(overrides={"fc": LayerPruning(kept=2)}))
    conv[1, 1, 1, 1] = np.inf
    with pytest.raises(TraceDataError, match="layer 'conv': need finite weights"):
        prune_network(one_conv(conv), PatternPruning(skip_first=False))
