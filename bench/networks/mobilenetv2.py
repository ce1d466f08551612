"""MobileNetV2 1.0 at 224 pixels from its published uint8 codes; nothing is quantized again."""

from pathlib import Path

import numpy as np

from bench.networks.program import MODE, build
from bitpim_traces.records import Trace

__all__ = ["make"]


def make(real_data: Path, *, n_samples: int | None = None, requantize: str = MODE) -> Trace:
    """Build the trace with the first photos (default: all 64) as samples.

    `real_data` holds `mobilenetv2_imagenet_uint8.npz` and `imagenet_sample64.npz`. Output class 0
    is the background, so labels are the ImageNet classes plus one.
    """
    with np.load(real_data / "imagenet_sample64.npz") as photos:
        images, labels = photos["images"][:n_samples], photos["labels"][:n_samples]
    return build(
        "mobilenetv2",
        real_data / "mobilenetv2_imagenet_uint8.npz",
        images,
        labels=labels.astype(np.int32) + 1,
        dataset="ImageNet, 64 photos",
        requantize=requantize,
        signed=False,
    )
