"""The PyTorch twin of whole networks computes the network of the trace."""

import numpy as np
import pytest

from bitpim_traces.synthetic import synthetic_network

pytest.importorskip("torch")


@pytest.mark.parametrize("name", ["resnet20", "lenet5"])
def test_it_gives_the_float_outputs_of_the_trace(name: str) -> None:
    from bench.float_network import FloatNetwork, real_images

    trace = synthetic_network(name, n_samples=2)
    expected = trace.layers[-1].output_float
    assert expected is not None
    found = FloatNetwork(trace)(real_images(trace, trace.samples.codes.read())).numpy()
    # input codes are rounded pixels, so outputs are near and not equal
    error = np.linalg.norm(found - expected.read()) / np.linalg.norm(expected.read())
    assert 0 < error < 0.02


def test_a_layer_it_lacks_is_named() -> None:
    from bench.float_network import FloatNetwork

    with pytest.raises(ValueError, match="concat"):
        FloatNetwork(synthetic_network("tiny"))
