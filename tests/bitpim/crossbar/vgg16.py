"""The 3 x 3 convolutions of VGG-16 on CIFAR, and random patterns for them."""

from itertools import combinations

import numpy as np
import numpy.typing as npt

__all__ = ["VGG16", "random_masks"]

VGG16 = (
    (3, 64, 32),
    (64, 64, 32),
    (64, 128, 16),
    (128, 128, 16),
    (128, 256, 8),
    (256, 256, 8),
    (256, 256, 8),
    (256, 512, 4),
    (512, 512, 4),
    (512, 512, 4),
    (512, 512, 2),
    (512, 512, 2),
    (512, 512, 2),
)
"""Input channels, outputs, and side of the output image."""


def random_masks(
    seed: int, shape: tuple[int, int], n_kept: int, n_patterns: int, zero_share: float
) -> npt.NDArray[np.uint64]:
    """Give each of M x C kernels one of a few random 3 x 3 patterns, or none at all."""
    rng = np.random.default_rng(seed)
    every = [sum(1 << k for k in kept) for kept in combinations(range(9), n_kept)]
    codes = rng.choice(rng.choice(np.array(every, np.uint64), n_patterns, replace=False), shape)
    codes[rng.random(shape) < zero_share] = 0
    return codes
