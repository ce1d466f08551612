"""Channels that are removed: what goes together, what nobody reads any more, and the ranking."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from bitpim_traces.errors import TraceDataError
from bitpim_traces.network import FloatLayer, FloatNetwork
from bitpim_traces.quantize import ChannelPruning, prune_network
from bitpim_traces.quantize.channel_graph import channel_graph
from bitpim_traces.quantize.channels import channel_importance, choose_channel_masks
from bitpim_traces.records import Geometry, Params
from bitpim_traces.synthetic import NAMES, synthetic_float_network, synthetic_images

Array = np.ndarray[Any, Any]


def weights_of(network: FloatNetwork) -> dict[str, Array]:
    return {layer.name: layer.weight for layer in network.layers if layer.weight is not None}


def conv(name: str, source: int, weight: Array, groups: int = 1) -> FloatLayer:
    half = weight.shape[2] // 2
    bias = np.linspace(0.5, 1, weight.shape[0], dtype="f4")
    geometry = Geometry(weight.shape[2:], padding=(half,) * 4, groups=groups)
    return FloatLayer(name, "conv2d", (source,), geometry, weight.astype("f4"), bias, "relu")


def random(*shape: int, seed: int = 0) -> Array:
    return np.asarray(np.random.default_rng([seed, *shape]).standard_normal(shape))


def network_of(*layers: FloatLayer, channels: int = 2) -> FloatNetwork:
    return FloatNetwork("net", layers, (channels, 4, 4))


def test_a_chain_by_hand() -> None:
    """Each layer's filters write what the next one's input channels read; the ends stay."""
    net = network_of(
        conv("a", -1, random(3, 2, 3, 3)),
        conv("depthwise", 0, random(6, 1, 3, 3), groups=3),  # two filters a channel
        FloatLayer("pool", "max_pool2d", (1,), Geometry((2, 2), (2, 2))),
        FloatLayer("flat", "flatten", (2,)),
        FloatLayer("fc", "linear", (3,), weight=random(5, 24).astype("f4")),
        FloatLayer("last", "linear", (4,), weight=random(2, 5).astype("f4")),
    )
    graph = channel_graph(net)
    assert graph.n_sets == 3 + 5
    assert graph.written["a"].tolist() == [0, 1, 2]
    assert graph.read["a"].tolist() == [[-1, -1]]
    assert graph.written["depthwise"].tolist() == [0, 0, 1, 1, 2, 2]
    assert graph.read["depthwise"].tolist() == [[0], [1], [2]]
    assert graph.read["fc"].tolist() == [[0] * 8 + [1] * 8 + [2] * 8]
    assert graph.written["fc"].tolist() == [3, 4, 5, 6, 7]
    assert graph.read["last"].tolist() == [[3, 4, 5, 6, 7]]
    assert graph.written["last"].tolist() == [-1, -1]
    assert graph.n_positions == {"a": 16, "depthwise": 16, "fc": 1, "last": 1}


def test_joins_by_hand() -> None:
    net = network_of(
        conv("a", -1, random(2, 2, 1, 1)),
        conv("b", 0, random(2, 2, 1, 1, seed=1)),
        FloatLayer("sum", "add", (0, 1)),  # joins a and b
        conv("c", 2, random(3, 2, 1, 1)),
        FloatLayer("both", "concat", (2, 3), params=Params(concat_axis=0)),
        conv("d", 4, random(2, 5, 1, 1)),
        FloatLayer("out", "add", (5, -1)),  # meets the input, which stays
    )
    graph = channel_graph(net)
    assert graph.written["a"].tolist() == graph.written["b"].tolist() == [0, 1]
    assert graph.written["c"].tolist() == [2, 3, 4]
    assert graph.read["d"].tolist() == [[0, 1, 2, 3, 4]]
    assert graph.written["d"].tolist() == [-1, -1]
    # a residual network: blocks share what their adds join, and option A joins stages
    assert channel_graph(synthetic_float_network("resnet20")).n_sets == 3 * (16 + 32 + 64) + 64


def test_shuffled_and_grouped_channels_by_hand() -> None:
    """Channels 0 to 3 in two groups are shuffled to 0, 2, 1, 3, and read two a conv group."""
    net = network_of(
        conv("a", -1, random(4, 2, 1, 1)),
        FloatLayer("split", "reshape", (0,), params=Params(shape=(2, 2, 4, 4))),
        FloatLayer("swap", "permute", (1,), params=Params(axes=(1, 0, 2, 3))),
        FloatLayer("joined", "reshape", (2,), params=Params(shape=(4, 4, 4))),
        conv("b", 3, random(4, 2, 1, 1), groups=2),
        conv("c", 4, random(1, 4, 1, 1)),
    )
    graph = channel_graph(net)
    assert graph.read["b"].tolist() == [[0, 2], [1, 3]]
    assert graph.written["b"].tolist() == [4, 5, 6, 7]


@pytest.mark.parametrize("name", sorted({*NAMES} - {"alexnet", "vgg16", "resnet18", "lenet5"}))
def test_nobody_reads_what_is_removed(name: str) -> None:
    """Whatever removed filters put out, the network's answer is the same; it was not before."""
    network = synthetic_float_network(name, 1, side=32 if "v" in name else None)
    pruning = ChannelPruning(0.5, skip_first=False)
    pruned, masks, reports = prune_network(network, pruning)
    weights = weights_of(network)
    _, _, removed = choose_channel_masks(weights, channel_graph(network), pruning)
    images = synthetic_images(1, network.input_shape, 3)
    rng = np.random.default_rng(0)

    def noisy(layer: FloatLayer) -> FloatLayer:
        gone = removed.get(layer.name)
        if gone is None or layer.weight is None:
            return layer
        noise = rng.standard_normal(layer.weight.shape[0], np.float32) * gone
        weight = layer.weight + noise.reshape(-1, *[1] * (layer.weight.ndim - 1))
        bias = 0 if layer.bias is None else layer.bias
        return replace(layer, weight=weight, bias=bias + noise)

    (before,) = network.outputs(images).values()
    (after,) = pruned.outputs(images).values()
    loud = FloatNetwork("loud", tuple(noisy(x) for x in pruned.layers), network.input_shape)
    (answer,) = loud.outputs(images).values()
    np.testing.assert_allclose(answer, after, rtol=1e-5, atol=1e-5 * np.abs(after).max())
    assert not np.allclose(after, before)
    # what they put out is real 0 where nothing follows but a clip
    for index, layer in enumerate(pruned.layers):
        gone = removed.get(layer.name)
        if gone is not None and gone.any():
            (output,) = pruned.outputs(images, [index]).values()
            assert not output[:, gone].any() and layer.weight is not None
            assert not layer.weight[gone].any()
            assert layer.bias is None or not layer.bias[gone].any()
            assert (masks[layer.name].mask[gone] == 0).all()
    by_name = {report.name: report for report in reports}
    assert by_name.keys() == masks.keys()
    assert sum(int(gone.sum()) for gone in removed.values()) > 0


def two_layers(first: Array, second: Array) -> tuple[FloatNetwork, dict[str, Array]]:
    net = network_of(conv("a", -1, first), conv("b", 0, second))
    return net, weights_of(net)


def test_importance_by_hand() -> None:
    """Filters of norm 2 and 6, readers of 1 and 3: over their means 0.5 and 1.5, twice."""
    first = np.array([[2.0, 0.0], [-3.0, 3.0]]).reshape(2, 2, 1, 1)
    second = np.array([[1.0, 0.0], [0.0, -3.0]]).reshape(2, 2, 1, 1)
    net, weights = two_layers(first, second)
    graph = channel_graph(net)
    none = {"macs": 0.0, "parameters": 0.0}

    def importance(**values: Any) -> list[float]:
        return list(channel_importance(weights, graph, ChannelPruning(**values)))

    assert importance(**none) == [1.0, 3.0]
    assert importance(readers=0.0, **none) == [0.5, 1.5]
    assert importance(filters=0.0, readers=2.0, **none) == [1.0, 3.0]
    assert importance() == [0.5, 1.5]  # all cost the same, once and once again
    of_l2 = importance(readers=0.0, norm="l2", **none)
    norms = np.array([2.0, 18**0.5])
    np.testing.assert_allclose(of_l2, norms / norms.mean())


def test_costs_by_hand() -> None:
    """A channel of conv a costs 3 and 2 weights at 16 positions, one of fc 16 + 1 at one."""
    net = network_of(
        conv("a", -1, np.ones((1, 3, 1, 1))),
        FloatLayer("flat", "flatten", (0,)),
        FloatLayer("fc", "linear", (1,), weight=np.ones((1, 16), "f4")),
        FloatLayer("last", "linear", (2,), weight=np.ones((1, 1), "f4")),
        channels=3,
    )
    graph, weights = channel_graph(net), weights_of(net)
    # parameters: channel of a 3 + 16 read by fc, of fc 16 + 1; positions: 3 x 16 + 16, 16 + 1
    parameters, macs = np.array([19, 17]), np.array([64, 17])
    for n_macs, n_parameters in ((0.0, 1.0), (1.0, 0.0), (1.0, 2.0)):
        cost = n_macs * macs / macs.mean() + n_parameters * parameters / parameters.mean()
        pruning = ChannelPruning(macs=n_macs, parameters=n_parameters, readers=0.0)
        found = channel_importance(weights, graph, pruning)
        np.testing.assert_allclose(found, [1 / cost[0], 1 / cost[1]])


def test_the_least_important_go_first_from_both_layers() -> None:
    first = np.arange(1.0, 9.0).reshape(4, 2, 1, 1)
    second = np.ones((3, 4, 1, 1))
    net, weights = two_layers(first, second)
    graph = channel_graph(net)
    masks, reports, removed = choose_channel_masks(
        weights, graph, ChannelPruning(0.5, skip_first=False)
    )
    assert removed["a"].tolist() == [True, True, False, False]
    assert masks["a"].mask[:, 0, 0, 0].tolist() == [0, 0, 1, 1]
    assert masks["b"].mask[:, :, 0, 0].tolist() == [[0, 0, 1, 1]] * 3
    assert not removed["b"].any()
    assert [(r.n_lanes, r.n_zero_lanes) for r in reports] == [(8, 4), (12, 6)]


def test_grouped_convolutions_lose_their_own_channels() -> None:
    """Filters 0 to 2 of b read channels 0 and 1, filters 3 to 5 channels 2 and 3; 1 is removed."""
    first = np.array([4.0, 1.0, 5.0, 6.0]).reshape(4, 1, 1, 1) * np.ones((1, 2, 1, 1))
    net = network_of(
        conv("a", -1, first),
        conv("b", 0, np.ones((6, 2, 3, 3)), groups=2),
        conv("c", 1, np.ones((1, 6, 1, 1))),
    )
    weights, graph = weights_of(net), channel_graph(net)
    pruning = ChannelPruning(0.1, skip_first=False, overrides={"b": 0.0})
    masks, _, removed = choose_channel_masks(weights, graph, replace(pruning, share=0.25))
    assert removed["a"].tolist() == [False, True, False, False]
    assert masks["b"].mask[:, :, 1, 1].tolist() == [[1, 0]] * 3 + [[1, 1]] * 3
    # what a channel of a costs: its filter of 2, and the 3 conv kernels of 9 that read it
    of_size = replace(pruning, macs=0.0, readers=0.0, filters=1.0)
    importance = channel_importance(weights, graph, of_size)
    parameters = np.array([2.0 + 27] * 4 + [18.0 + 1] * 6)
    worth = np.array([1.0, 0.25, 1.25, 1.5, *[1.0] * 6])
    np.testing.assert_allclose(importance, worth / (parameters / parameters.mean()))


def test_layers_keep_what_settings_say() -> None:
    network = synthetic_float_network("resnet20", 2)
    weights, graph = weights_of(network), channel_graph(network)

    def shares(**values: Any) -> dict[str, float]:
        removed = choose_channel_masks(weights, graph, ChannelPruning(**values))[2]
        return {name: float(gone.mean()) for name, gone in removed.items() if gone.any()}

    first = next(iter(weights))
    every = shares(share=0.6, skip_first=False)
    assert first in every and max(every.values()) <= 0.9
    assert first not in shares(share=0.6)
    assert max(shares(share=0.2, largest_share=0.25).values()) <= 0.25
    one = list(every)[3]
    assert one not in shares(share=0.6, overrides={one: 0.0})
    assert shares(share=0.1, overrides={one: 0.0625})[one] <= 0.0625
    with pytest.raises(TraceDataError, match=r"need \d+ channels to remove, got \d+ that layers"):
        shares(share=0.6, largest_share=0.25)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"share": 1.0}, "channels: need share from 0 to below 1"),
        ({"norm": "l0"}, "need norm among l1, l2"),
        ({"macs": -1.0}, "need macs of at least 0, got -1.0"),
        ({"readers": float("inf")}, "need readers of at least 0"),
        ({"filters": 0.0, "readers": 0.0}, "need filters or readers above 0"),
        ({"overrides": {"a": 1.0}}, r"need overrides\['a'\] from 0 to below 1"),
        ({"largest_share": -0.5}, "need largest_share"),
    ],
)
def test_settings_that_are_refused(values: dict[str, Any], message: str) -> None:
    with pytest.raises(TraceDataError, match=message):
        ChannelPruning(**values)


def test_networks_that_are_refused() -> None:
    net, weights = two_layers(np.ones((4, 2, 1, 1)), np.ones((2, 4, 1, 1)))
    graph = channel_graph(net)
    with pytest.raises(TraceDataError, match="need 1 channels to remove, got 0 that layers may"):
        choose_channel_masks(weights, graph)  # all is written by the first layer
    with pytest.raises(TraceDataError, match="overrides that name layers with weights, got 'x'"):
        choose_channel_masks(weights, graph, ChannelPruning(overrides={"x": 0.1}))
    weights["b"] = weights["b"] * np.float32("nan")
    with pytest.raises(TraceDataError, match="'b': need finite weights"):
        choose_channel_masks(weights, graph, ChannelPruning(skip_first=False))
