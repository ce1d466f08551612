"""Networks that RAPIDNN and the crossbar machines are compared on, as each of them takes them.

RAPIDNN runs codebooks of 64 values and needs codes: how many pairs occur depends on them. Where
there is no folder of real traces, weights and images are random; shapes are the networks' own.
ISAAC and PipeLayer get outlines of the same shapes in 16-bit codes, as their papers have them.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np

from bench.codebook_traces import LARGEST, codebook_trace
from bench.reproduce.outlines import outline, perceptron
from bench.reproduce.pipelines import CODES
from bitpim_traces.network import FloatLayer, FloatNetwork
from bitpim_traces.quantize import CodebookSettings, quantize_codebooks
from bitpim_traces.records import NETWORK_INPUT, Trace
from bitpim_traces.synthetic import synthetic_float_network
from bitpim_traces.synthetic.images import synthetic_images

__all__ = ["NETWORKS", "Compared", "compared", "random_perceptron"]

SIZES = (784, 512, 512, 10)
N_SEEN = 4
SEED = 11


@dataclass(frozen=True, slots=True)
class Compared:
    """One network: for machines of tables, and for crossbars. `real` where images are real."""

    name: str
    tables: Trace
    codes: Trace
    real: bool


def random_perceptron(sizes: tuple[int, ...] = SIZES, seed: int = SEED) -> FloatNetwork:
    """Make linear layers of random weights, relu between them."""
    rng = np.random.default_rng(seed)
    layers = []
    for index, (n_inputs, n_outputs) in enumerate(pairwise(sizes)):
        weight = rng.standard_normal((n_outputs, n_inputs)) * np.sqrt(2 / n_inputs)
        layers.append(
            FloatLayer(
                f"fc{index + 1}",
                "linear",
                (index - 1 if index else NETWORK_INPUT,),
                weight=weight.astype(np.float32),
                bias=np.zeros(n_outputs, np.float32),
                activation="relu" if index < len(sizes) - 2 else "none",
            )
        )
    return FloatNetwork("perceptron", tuple(layers), (sizes[0],))


def _clustered(network: FloatNetwork, size: int) -> Trace:
    """Cluster a random network and what it makes of random images."""
    images = synthetic_images(N_SEEN, _as_image(network.input_shape), SEED)
    return quantize_codebooks(
        network,
        images.reshape(N_SEEN, *network.input_shape),
        settings=CodebookSettings(weight_codes=size, input_codes=size, reference_samples=0),
    )


def _as_image(shape: tuple[int, ...]) -> tuple[int, int, int]:
    if len(shape) == 3:
        return shape[0], shape[1], shape[2]
    return 1, 1, shape[0]


NETWORKS: Mapping[str, tuple[Callable[[], FloatNetwork], Callable[[], Trace], str | None]] = {
    # what it is called: float network of random weights, outline, name of the real trace
    "perceptron": (random_perceptron, lambda: perceptron(*SIZES, codes=CODES), "perceptron"),
    "resnet20": (
        lambda: synthetic_float_network("resnet20", SEED),
        lambda: outline("resnet20", codes=CODES),
        "resnet20",
    ),
    "vgg16_cifar": (
        lambda: synthetic_float_network("vgg16_cifar", SEED),
        lambda: outline("vgg16_cifar", codes=CODES),
        None,
    ),
}
"""What is compared; VGG-16 has no real weights at full width."""


def compared(name: str, traces: Path | None = None, size: int = LARGEST) -> Compared:
    """Return one of NETWORKS; of a folder of real traces, its own where it is there.

    Raises
    ------
    FileNotFoundError
        The folder lacks the network's trace.
    """
    make, crossbars, real = NETWORKS[name]
    if traces is not None and real is not None and size == LARGEST:
        return Compared(name, codebook_trace(real, traces, None), crossbars(), real=True)
    return Compared(name, _clustered(make(), size), crossbars(), real=False)
