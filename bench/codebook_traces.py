"""Real networks as traces of codebooks, made once into a folder: what accuracy is measured on.

Values of activations are those of the first 1,000 training images; samples are all test images, and
the float network's answers to all of them are kept. Smaller codebooks are levels of the trees of
the largest; re-training is done for a size of its own.
"""

from dataclasses import replace
from functools import lru_cache
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from bench.networks.float_networks import RealNetwork, float_network
from bitpim import open_trace
from bitpim_traces import write_trace
from bitpim_traces.exporter import Pixels, Retrained, Retraining, retrain
from bitpim_traces.exporter.forward import torch_forward
from bitpim_traces.network import FloatNetwork
from bitpim_traces.quantize import CodebookSettings, at_level, quantize_codebooks
from bitpim_traces.records import TensorRecord, Trace

__all__ = ["LARGEST", "N_CALIBRATION", "at_size", "codebook_trace", "float_answers"]

LARGEST = 64
"""Values of the codebooks of weights and of activations: the paper's largest."""

VALUE_BITS = 16
"""Width of the values of codebooks: so wide that accuracy is that of their number alone."""

N_CALIBRATION = 1000
_BATCH = 250


def codebook_trace(
    name: str,
    folder: Path,
    real_data: Path | None,
    size: int = LARGEST,
    retraining: Retraining | None = None,
    n_taught: int | None = None,
) -> Trace:
    """Open a network's trace of codebooks in a folder; a missing one is made of `real_data`.

    With `retraining` its weights are trained on with codebooks of `size`, on the first `n_taught`
    training images (default: all there are).

    Raises
    ------
    FileNotFoundError
        It is missing, and there is no folder of real data.
    """
    told = "" if retraining is None else f"_retrained{retraining.epochs}x{n_taught or 'all'}"
    path = folder / f"{name}_{size}{told}.h5"
    if not path.exists():
        if real_data is None:
            raise FileNotFoundError(f"{path}: no such trace; give --real-data to make it")
        folder.mkdir(parents=True, exist_ok=True)
        real = _real(name, real_data)
        settings = CodebookSettings(
            weight_codes=size,
            input_codes=size,
            value_bits=VALUE_BITS,
            calibration_samples=N_CALIBRATION,
        )
        trained = None
        if retraining is not None:
            trained = _retrained(real, settings, retraining, n_taught)
        write_trace(_trace(real, trained, settings), path)
    return open_trace(path)


@lru_cache(maxsize=1)
def _real(name: str, real_data: Path) -> RealNetwork:
    return float_network(name, real_data)


def _first(images: Pixels, n: int | None) -> Pixels:
    return replace(images, images=images.images[:n])


def _retrained(
    real: RealNetwork, settings: CodebookSettings, retraining: Retraining, n_taught: int | None
) -> Retrained:
    """Train on with clustered weights; no test image decides which epoch is the best."""
    return retrain(
        real.network,
        _first(real.taught, n_taught),
        real.taught_labels[:n_taught],
        settings,
        retraining,
        calibration=_first(real.taught, N_CALIBRATION),
    )


def _trace(real: RealNetwork, trained: Retrained | None, settings: CodebookSettings) -> Trace:
    """Cluster a network, and give the trace what `real`, not re-trained, answers to its images."""
    n_images, n_seen = real.test.shape[0], min(N_CALIBRATION, real.taught.shape[0])
    made = quantize_codebooks(
        real.network if trained is None else trained.network,
        real.test.read(0, n_images),
        labels=real.test_labels,
        settings=settings,
        calibration=real.taught.read(0, n_seen),
        codebooks=None if trained is None else trained.codebooks,
        dataset=real.dataset,
    )
    answers = TensorRecord.of(
        float_answers(real.network, real.test), axes="NC", role="output_float", units="real"
    )
    layers = (*made.layers[:-1], replace(made.layers[-1], output_float=answers))
    return replace(made, layers=layers)


def float_answers(network: FloatNetwork, images: Pixels) -> npt.NDArray[np.float32]:
    """Return the scores of a float network for all images, (n_images, n_classes)."""
    found = []
    for start in range(0, images.shape[0], _BATCH):
        inputs = torch.from_numpy(images.read(start, min(start + _BATCH, images.shape[0])))
        (scores,) = torch_forward(network, inputs).values()
        found.append(scores.numpy())
    return np.concatenate(found)


def at_size(trace: Trace, size: int) -> Trace:
    """Return the network with codebooks of a level of its trees, of weights and of activations."""
    return at_level(trace, weight_levels=size, input_levels=size)
