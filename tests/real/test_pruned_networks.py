"""Real networks pruned by lanes, and of few bits, in the cache: every array step of 16 images."""

from collections.abc import Callable
from pathlib import Path

import pytest

from bitpim_traces.quantize import LanePruning, Settings, prune_trace, requantize_trace
from bitpim_traces.records import Trace
from tests.real.test_crossbar_networks import agree

pytestmark = [pytest.mark.real, pytest.mark.slow]

N_IMAGES = 16

COALESCED = ("sparsity.mode=coalesce", "sparsity.coalesce_layers=all")
MODES = {
    "coalesced": COALESCED,
    "lists of arrays": (*COALESCED, "sparsity.gather_list=array"),
    "across arrays": (
        *COALESCED,
        "mapping.pad_channels_to_power_of_two=false",
        "sparsity.lanes_across_arrays=true",
    ),
    "window sums": (*COALESCED, "sparsity.signed_weights=offset"),
    "overlapping": ("sparsity.mode=overlap",),
    "owners side by side": ("sparsity.mode=overlap", "sparsity.owner_reduction=contiguous"),
}


@pytest.fixture(scope="module")
def dense(real_data: Path) -> dict[str, Callable[[], Trace]]:
    pytest.importorskip("torch", reason="the networks are exported from PyTorch")
    from bench.networks import resnet20, squeezenet, vgg16q

    return {
        "resnet20": lambda: resnet20.make(real_data, n_samples=N_IMAGES),
        "vgg16q": lambda: vgg16q.make(real_data, variant="dense", n_samples=N_IMAGES),
        "squeezenet": lambda: squeezenet.make(real_data, n_samples=N_IMAGES),
    }


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("network", ["resnet20", "vgg16q"])
def test_half_of_the_lanes_pruned(
    network: str, mode: str, dense: dict[str, Callable[[], Trace]]
) -> None:
    pruned, _ = prune_trace(dense[network](), LanePruning(0.5))
    agree(pruned, "bit_prudent", N_IMAGES, *MODES[mode])


@pytest.mark.parametrize("mode", ["coalesced", "overlapping"])
def test_ternary_weights(mode: str, dense: dict[str, Callable[[], Trace]]) -> None:
    ternary = requantize_trace(
        dense["resnet20"](), Settings(weight_bits=2, weight_values="ternary", reference_samples=0)
    )
    agree(ternary, "bit_prudent", N_IMAGES, *MODES[mode])
    agree(ternary, "bit_prudent", N_IMAGES, "sparsity.mode=dense")


def test_sparse_squeezenet_as_it_comes(dense: dict[str, Callable[[], Trace]]) -> None:
    agree(dense["squeezenet"](), "bit_prudent", N_IMAGES, *COALESCED)
