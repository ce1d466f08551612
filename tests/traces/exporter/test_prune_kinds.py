"""Lanes, shared lanes and channels of a module: masks by parameter, held, and in the trace."""

from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch")

import torch
from torch import nn

from bitpim.proof.reference import run_network
from bitpim_traces.errors import TraceDataError
from bitpim_traces.exporter import Training, export, finetune, prune_module
from bitpim_traces.masks import masks_of
from bitpim_traces.numbers.affine import decode
from bitpim_traces.quantize.channels import ChannelPruning
from bitpim_traces.quantize.lanes import LanePruning, PrunedLanes, choose_lane_masks
from bitpim_traces.quantize.overlap import OverlapPruning
from tests.traces.exporter.modules import (
    SmallResidual,
    pictures,
    seeded,
    small_classifier,
    weight_at,
)


def lanes_of(mask: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """What is kept, one number a lane: all of its weights or none."""
    flat = mask.reshape(*mask.shape[:2], -1)
    assert (flat == flat[:, :, :1]).all()
    return flat[:, :, 0]


def test_lanes_go_by_the_weights_of_a_module_and_stay_zero() -> None:
    module = seeded(small_classifier())
    weight = weight_at(module, "4").detach().numpy().copy()
    pruned = prune_module(module, LanePruning(share=0.5))
    assert list(pruned.masks) == ["4.weight"]
    mask = pruned.masks["4.weight"].mask
    norms = np.sqrt(np.square(weight.astype(float)).sum(axis=(2, 3)))
    assert np.array_equal(lanes_of(mask), norms > np.sort(norms.ravel())[23])
    assert np.array_equal(weight_at(module, "4").detach().numpy(), weight * mask)
    (layer,) = pruned.layers
    assert isinstance(layer, PrunedLanes)
    assert layer.n_zero_lanes == 24
    given = pictures(64, 0)
    finetune(module, *given, pruned.masks, Training(learning_rate=0.05))
    assert not weight_at(module, "4").detach().numpy()[mask == 0].any()
    trace = export(module, given[0], masks=pruned.masks)
    assert np.array_equal(masks_of(trace)["4"].mask, mask)


def test_linear_layers_are_pruned_where_the_settings_say_so() -> None:
    module = seeded(small_classifier())
    pruned = prune_module(module, LanePruning(linear=True, overrides={"10": 0.75}))
    assert np.count_nonzero(pruned.masks["10.weight"].mask) == 32
    assert [layer.name for layer in pruned.layers] == ["4", "10"]


def test_filters_of_a_group_share_lanes_and_the_trace_says_which() -> None:
    module = seeded(small_classifier())
    pruned = prune_module(module, OverlapPruning(group=4))
    mask = pruned.masks["4.weight"]
    assert mask.groups is not None
    assert sorted(np.bincount(mask.groups)) == [4, 4]
    for group in (0, 1):
        assert (lanes_of(mask.mask)[mask.groups == group].sum(axis=0) == 1).all()
    given = pictures(32, 0)
    finetune(module, *given, pruned.masks)
    found = masks_of(export(module, given[0], masks=pruned.masks))["4"]
    assert found.groups is not None
    assert np.array_equal(found.groups, mask.groups)


def test_grouped_convolutions_share_lanes_within_their_groups() -> None:
    module = nn.Sequential(nn.Conv2d(1, 8, 1), nn.Conv2d(8, 8, 3, groups=2))
    groups = prune_module(seeded(module), OverlapPruning(group=4)).masks["1.weight"].groups
    assert groups is not None
    assert groups.tolist() == [0, 0, 0, 0, 1, 1, 1, 1]


class Biased(nn.Module):
    """Convolutions with a bias, with a batch norm, with both, and a linear layer with neither."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(1, 6, 3, padding=1)
        self.both = nn.Conv2d(6, 8, 3, padding=1)
        self.norm = nn.BatchNorm2d(8)
        self.last = nn.Conv2d(8, 8, 1, bias=False)
        self.behind = nn.BatchNorm2d(8)
        self.linear = nn.Linear(8, 4, bias=False)

    def forward(self, x: torch.Tensor) -> Any:
        x = torch.relu(self.norm(self.both(torch.relu(self.stem(x)))))
        return self.linear(torch.relu(self.behind(self.last(x))).mean((2, 3)))


def test_channels_are_gone_on_both_sides_and_stay_so() -> None:
    module = seeded(Biased())
    pruning = ChannelPruning(share=0.5, largest_share=0.6, skip_first=False)
    pruned = prune_module(module, pruning, input_shape=(1, 8, 8))
    given = pictures(64, 0)
    finetune(module, *given, pruned.masks, Training(learning_rate=0.05, weight_decay=0.0))
    gone = {
        name: ~pruned.masks[f"{name}.weight"].mask.any(axis=(1, 2, 3))
        for name in ("stem", "both", "last")
    }
    assert sum(int(rows.sum()) for rows in gone.values()) == 11
    assert all(rows.any() for rows in gone.values())
    kept = {name: mask.mask for name, mask in pruned.masks.items()}
    assert np.array_equal(kept["stem.bias"] == 0, gone["stem"])
    for name in ("both.bias", "norm.weight", "norm.bias"):
        assert np.array_equal(kept[name] == 0, gone["both"])
    for name in ("behind.weight", "behind.bias"):
        assert np.array_equal(kept[name] == 0, gone["last"])
    assert np.array_equal(~kept["both.weight"].any(axis=(0, 2, 3)), gone["stem"])
    assert np.array_equal(~kept["linear.weight"].any(axis=0), gone["last"])
    assert set(kept) == {"stem.bias", "both.bias", "norm.weight", "norm.bias"} | {
        f"{name}.weight" for name in ("stem", "both", "last", "linear", "behind")
    } | {"behind.bias"}
    trace = export(module, given[0], masks=pruned.masks)
    outputs = run_network(trace, trace.samples.codes.read(0, 8), keep="all")
    for layer in trace.layers:
        if layer.name in gone:
            zero = decode(outputs[layer.index], layer.output)[:, gone[layer.name]]
            assert not zero.any(), layer.name


def test_channels_that_an_add_joins_go_as_one() -> None:
    module = seeded(SmallResidual())
    pruned = prune_module(module, ChannelPruning(share=0.8), input_shape=(3, 8, 8))
    assert {"block.conv2.weight", "block.bn2.bias", "linear.weight"} <= pruned.masks.keys()
    gone = np.asarray(~pruned.masks["block.conv2.weight"].mask.any(axis=(1, 2, 3)))
    assert np.array_equal(~pruned.masks["linear.weight"].mask.any(axis=0), gone)
    # the channels that the shortcut brings are the stem's, which stays
    assert not gone[4:12].any()


def test_what_cannot_lose_channels_is_refused() -> None:
    module = seeded(small_classifier())
    with pytest.raises(TraceDataError, match="need input_shape"):
        prune_module(module, ChannelPruning())
    twice = nn.Conv2d(4, 4, 1)
    shared = nn.Sequential(nn.Conv2d(1, 4, 1), twice, nn.ReLU(), twice, nn.Flatten())
    with pytest.raises(TraceDataError, match=r"used once.*got '3'"):
        prune_module(seeded(shared), ChannelPruning(), input_shape=(1, 8, 8))
    bare = nn.Sequential(nn.Conv2d(1, 4, 1), nn.BatchNorm2d(4, affine=False))
    with pytest.raises(TraceDataError, match="1: need a batch norm with weights and running"):
        prune_module(bare, ChannelPruning(), input_shape=(1, 8, 8))


def test_masks_are_those_of_the_arrays() -> None:
    module = seeded(small_classifier())
    pruning = LanePruning(share=0.4, rank="network", linear=True, skip_first=False)
    weights = {n: weight_at(module, n).detach().numpy() for n in ("0", "4", "10")}
    expected, _ = choose_lane_masks(weights, pruning)
    for path, mask in prune_module(module, pruning).masks.items():
        assert np.array_equal(mask.mask, expected[path.removesuffix(".weight")].mask)
