"""VGG-16 with batch norm at a quarter of its width for CIFAR images, dense or pattern-pruned.

Weights are the float state dicts `vgg16q_dense_cifar10.npz` and `vgg16q_pattern4of9_cifar10.npz`;
activations are calibrated on training images, never on the test images that become the samples.
Weight codes are symmetric (zero point 0), so that a pruned weight is code 0.
"""

from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
from torch import nn

from bench.networks.pruned import with_pruned_weights
from bitpim_traces.exporter import Pixels, Progress, export, load_weights
from bitpim_traces.quantize import Settings
from bitpim_traces.records import Trace

__all__ = ["MEAN", "SETTINGS", "STD", "VARIANTS", "load", "make", "vgg16q"]

# Of 8 settings tried at 8 bits (calibrated on 1,000 training images, compared on 3,000 others),
# least error of the logits: 37.0 dB dense, 36.2 pattern-pruned (minmax 36.9 and 35.9, percentile
# 99.99 33.6 and 33.8, 99.9 23.9 and 24.6); mse for the weights changed nothing.
SETTINGS = Settings(calibration="mse")

MEAN = (0.4914, 0.4822, 0.4465)
STD = (0.2470, 0.2435, 0.2616)

STAGES = ((16, 2), (32, 2), (64, 3), (128, 3), (128, 3))
"""Channels and number of convolutions of each stage; a stage ends in a max pooling."""

VARIANTS = {"dense": "vgg16q_dense_cifar10.npz", "pattern": "vgg16q_pattern4of9_cifar10.npz"}


def vgg16q(n_classes: int = 10) -> nn.Sequential:
    """Build the module: 13 convolutions of 3 x 3, five max poolings, one linear layer."""
    return nn.Sequential(OrderedDict(_modules(n_classes)))


def _modules(n_classes: int) -> Iterator[tuple[str, nn.Module]]:
    before = 3
    for stage, (n_channels, n_convolutions) in enumerate(STAGES, 1):
        for step in range(1, n_convolutions + 1):
            yield f"conv{stage}_{step}", nn.Conv2d(before, n_channels, 3, 1, 1, bias=False)
            yield f"bn{stage}_{step}", nn.BatchNorm2d(n_channels)
            yield f"relu{stage}_{step}", nn.ReLU()
            before = n_channels
        yield f"pool{stage}", nn.MaxPool2d(2)
    yield "flatten", nn.Flatten()
    yield "linear", nn.Linear(before, n_classes)


def load(module: nn.Sequential, path: Path) -> None:
    """Put in the weights of a file whose keys begin with the position of the module."""
    names = [name for name, _ in module.named_children()]
    with np.load(path, allow_pickle=False) as arrays:
        state = {}
        for key in arrays.files:
            position, _, rest = key.partition(".")
            state[f"{names[int(position)]}.{rest}"] = arrays[key]
    load_weights(module, state, where=str(path))


def make(
    real_data: Path,
    *,
    variant: str = "dense",
    settings: Settings = SETTINGS,
    n_samples: int | None = None,
    requantize: str | None = None,
    progress: Progress | None = None,
) -> Trace:
    """Export a variant with the first test images (default: all) as samples.

    `real_data` holds the weights, `cifar10_test.npz` and `cifar10_train_first1000.npz`. The layers
    of the pattern-pruned variant carry `pruning_mask` and `patterns`.
    """
    module = vgg16q()
    load(module, real_data / VARIANTS[variant])
    with np.load(real_data / "cifar10_test.npz") as test:
        images, labels = test["images"][:n_samples], test["labels"][:n_samples]
    with np.load(real_data / "cifar10_train_first1000.npz") as train:
        calibration = train["images"]
    trace = export(
        module,
        Pixels(images, MEAN, STD),
        labels=labels,
        settings=settings if requantize is None else replace(settings, requantize=requantize),
        calibration=calibration,
        name=f"vgg16q_{variant}",
        dataset="CIFAR-10 test",
        progress=progress,
    )
    if variant == "dense":
        return trace
    return with_pruned_weights(trace, n_patterns=8, n_kept=4)
