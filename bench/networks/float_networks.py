"""Real classifiers as float networks, with the images to train them on and to measure them with."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from torch import nn

from bench.networks import perceptron, resnet20, vgg16q
from bitpim_traces.exporter import Pixels, Progress, load_weights, read_network
from bitpim_traces.network import FloatNetwork

__all__ = ["FLOAT_NETWORKS", "RealNetwork", "float_network"]


@dataclass(frozen=True, slots=True, eq=False)
class RealNetwork:
    """A trained network without batch norm, test images, and training images, with labels.

    Of CIFAR-10 there are the first 20,000 training images that were recovered, and 9,895 test
    images; of MNIST all.
    """

    network: FloatNetwork
    module: nn.Module
    test: Pixels
    test_labels: npt.NDArray[Any]
    taught: Pixels
    taught_labels: npt.NDArray[Any]
    dataset: str


def float_network(name: str, real_data: Path, *, progress: Progress | None = None) -> RealNetwork:
    """Load one of FLOAT_NETWORKS; the perceptron is trained first, within a minute or two."""
    return FLOAT_NETWORKS[name](real_data, progress)


def _perceptron(real_data: Path, progress: Progress | None) -> RealNetwork:
    module = perceptron.train(real_data, progress=progress)
    images, labels = perceptron.test_images(real_data)
    with np.load(real_data / perceptron.TRAIN) as arrays:
        taught, taught_labels = arrays["images"], arrays["labels"]
    network, _ = read_network(module, (1, 28, 28), name="perceptron")
    test = (Pixels(images), labels)
    return RealNetwork(network, module, *test, Pixels(taught), taught_labels, "MNIST test")


def _resnet20(real_data: Path, progress: Progress | None) -> RealNetwork:
    module = resnet20.ResNet20()
    load_weights(module, real_data / "resnet20_cifar10.npz")
    return _of_cifar(module, "resnet20", real_data, resnet20.MEAN, resnet20.STD)


def _vgg16q_dense(real_data: Path, progress: Progress | None) -> RealNetwork:
    module = vgg16q.vgg16q()
    vgg16q.load(module, real_data / vgg16q.VARIANTS["dense"])
    return _of_cifar(module, "vgg16q_dense", real_data, vgg16q.MEAN, vgg16q.STD)


def _of_cifar(
    module: nn.Module,
    name: str,
    real_data: Path,
    mean: tuple[float, ...],
    std: tuple[float, ...],
) -> RealNetwork:
    test, test_labels = _pictures(real_data / "cifar10_test.npz", mean, std)
    taught, taught_labels = _pictures(real_data / "cifar10_train_first20000.npz", mean, std)
    network, _ = read_network(module, (3, 32, 32), name=name)
    dataset = "CIFAR-10 test"
    return RealNetwork(network, module, test, test_labels, taught, taught_labels, dataset)


def _pictures(
    path: Path, mean: tuple[float, ...], std: tuple[float, ...]
) -> tuple[Pixels, npt.NDArray[Any]]:
    with np.load(path) as arrays:
        return Pixels(arrays["images"], mean, std), arrays["labels"]


FLOAT_NETWORKS: dict[str, Callable[[Path, Progress | None], RealNetwork]] = {
    "perceptron": _perceptron,
    "resnet20": _resnet20,
    "vgg16q_dense": _vgg16q_dense,
}
