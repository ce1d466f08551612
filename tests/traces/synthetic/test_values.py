"""Values of the float networks neither die out nor explode, whatever the seed."""

import numpy as np
import pytest

from bitpim_traces.errors import TraceDataError
from bitpim_traces.synthetic import (
    synthetic_float_network,
    synthetic_images,
    synthetic_network,
    weightless_network,
)
from bitpim_traces.synthetic.sketch import HARDSWISH_GAIN

NEW = ("mobilenetv3_small", "shufflenetv2_x1_0", "senet18", "unet")


@pytest.mark.parametrize("name", NEW)
@pytest.mark.parametrize("seed", [0, 1])
def test_values_stay_in_range(name: str, seed: int) -> None:
    """At their true size: in small images windows of depthwise convolutions see padding alone."""
    network = synthetic_float_network(name, seed)
    images = synthetic_images(1, network.input_shape, seed)
    for index, _, output in network.forward(images):
        size = float(np.sqrt(np.square(output).mean()))
        assert 0.15 < size < 5, network.layers[index].name
        assert np.abs(output).max() < 100, network.layers[index].name


@pytest.mark.parametrize("name", ["mobilenetv3_small", "senet18"])
def test_gates_tell_channels_apart(name: str) -> None:
    network = synthetic_float_network(name)
    gates = [i for i, layer in enumerate(network.layers) if layer.name.endswith(".gate")]
    found = network.outputs(synthetic_images(1, network.input_shape), gates)
    spreads = [float(found[i].std()) for i in gates]
    assert len(spreads) > 7 and min(spreads) > 0.01 and np.mean(spreads) > 0.05


def test_what_hardswish_leaves() -> None:
    """What the gain says of it, by the mean over a bell curve."""
    x = np.linspace(-12, 12, 200_001)
    bell = np.exp(-x * x / 2)

    def mean_square_after(size: float) -> float:
        before = np.sqrt(2) * HARDSWISH_GAIN * size * x
        after = before * np.clip(before + 3, 0, 6) / 6
        return float((bell * after**2).sum() / bell.sum() / size**2)

    assert round(1 - mean_square_after(1.0), 2) == 0.08
    assert round(mean_square_after(1000.0) - 1, 2) == 0.14


def test_images_of_another_side() -> None:
    trace = synthetic_network("unet", side=16)
    assert trace.samples.codes.shape == (1, 3, 16, 16)
    assert trace.provenance["parameters"]["side"] == 16
    assert trace.samples.labels is None  # an image has no class
    with pytest.raises(TraceDataError, match="'fc6'"):
        weightless_network("alexnet", side=64)
