"""MLPerf Tiny ResNet-8 from its published int8 codes; nothing is quantized again."""

from pathlib import Path

import numpy as np

from bench.networks.program import MODE, build
from bitpim_traces.records import Trace

__all__ = ["make"]


def make(real_data: Path, *, n_samples: int | None = None, requantize: str = MODE) -> Trace:
    """Build the trace with the first CIFAR test images (default: all) as samples.

    `real_data` holds `resnet8_cifar10_int8.npz` and `cifar10_test.npz`. The network takes raw
    pixels less 128 as codes.
    """
    with np.load(real_data / "cifar10_test.npz") as test:
        images, labels = test["images"][:n_samples], test["labels"][:n_samples]
    codes = (images.astype(np.int16) - 128).astype(np.int8)
    return build(
        "resnet8",
        real_data / "resnet8_cifar10_int8.npz",
        codes,
        labels=labels.astype(np.int32),
        dataset="CIFAR-10 test",
        requantize=requantize,
        signed=True,
    )
