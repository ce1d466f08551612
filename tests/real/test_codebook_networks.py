"""Real networks as lookup tables: every array step of 16 images, and their quality."""

from pathlib import Path

import numpy as np
import pytest

from bitpim.machine.registry import make_machine
from bitpim_traces.quantize import CodebookSettings, quantize_codebooks
from tests.real.test_crossbar_networks import agree

pytestmark = [pytest.mark.real, pytest.mark.slow]

N_IMAGES = 200
FLOAT_RIGHT = {"perceptron": 0.97, "resnet20": 0.90, "vgg16q_dense": 0.80}
"""Share of the first images that the float networks get right, less a few images."""


@pytest.mark.parametrize("name", FLOAT_RIGHT)
def test_networks_of_codebooks_of_64(name: str, real_data: Path) -> None:
    pytest.importorskip("torch", reason="the networks are read by PyTorch")
    from bench.networks.float_networks import float_network

    real = float_network(name, real_data)
    trace = quantize_codebooks(
        real.network,
        real.test.read(0, N_IMAGES),
        calibration=real.taught.read(0, 300),
        labels=real.test_labels[:N_IMAGES],
        settings=CodebookSettings(reference_samples=0),
    )
    agree(trace, "rapidnn", 16)
    prepared = make_machine("rapidnn").prepare(trace, fidelity="integer", jobs=2)
    *_, last = prepared.run_batch(trace.samples.codes.read())
    right = last.codes.reshape(N_IMAGES, -1).argmax(axis=1) == real.test_labels[:N_IMAGES]
    assert np.mean(right) >= FLOAT_RIGHT[name]
