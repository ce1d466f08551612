"""Layers of any shape with channels pruned, and places where lanes go wrong."""

from typing import Any

import numpy as np

from bitpim_traces.records import REQUANTIZE_MODES, Geometry, Trace
from tests.one_layer import one_layer, quantization
from tests.toy_rules import with_channels_pruned

__all__ = ["PLACES", "SAME", "random_layer", "random_pruned"]

SAME = Geometry((3, 3), padding=(1, 1, 1, 1))


def random_layer(seed: int) -> Trace:
    """Draw a layer of any shape, pruned, with zero points at the ends or between."""
    rng = np.random.default_rng(seed)
    groups = int(rng.choice([1, 1, 2, 3]))
    n_filters = groups * int(rng.integers(1, 9))
    low, high = (-128, 127) if seed % 2 else (0, 255)
    zeros = rng.choice([low, high, *rng.integers(low, high, 3)], n_filters)
    weights = quantization(8, zeros if seed % 3 else int(zeros[0]), signed=bool(seed % 2))
    inputs = quantization(8, int(rng.choice([0, 255, 77])))
    mode = REQUANTIZE_MODES[seed % len(REQUANTIZE_MODES)]
    more: dict[str, Any] = {"inputs": inputs, "weights": weights, "mode": mode}
    more["n_samples"] = int(rng.integers(1, 4))
    if seed % 5 == 4:
        return one_layer(seed, (int(rng.integers(1, 70)),), n_filters, **more)
    size = rng.integers(1, 8, 2)
    kernel = rng.integers(1, 5, 2)
    padding = (*rng.integers(0, 4, 2), *rng.integers(0, 4, 2))
    dilation = rng.integers(1, 3, 2)
    need = dilation * (kernel - 1) + 1
    room = size + np.array([padding[0] + padding[1], padding[2] + padding[3]])
    kernel = np.where(need <= room, kernel, 1)
    geometry = Geometry(
        (int(kernel[0]), int(kernel[1])),
        (int(rng.integers(1, 4)), int(rng.integers(1, 4))),
        tuple(int(p) for p in padding),  # type: ignore[arg-type]
        (int(dilation[0]), int(dilation[1])),
        groups=groups,
    )
    image = (groups * int(rng.integers(1, 7)), int(size[0]), int(size[1]))
    return one_layer(seed, image, n_filters, geometry, **more)


def random_pruned(seed: int) -> Trace:
    return with_channels_pruned(random_layer(seed), seed, (0.0, 0.5, 0.9)[seed % 3])


PLACES: dict[str, Trace] = {
    "one pixel": one_layer(30, (4, 1, 1), 6, Geometry((1, 1))),
    "one channel": one_layer(31, (1, 6, 5), 6, SAME),
    "one filter": one_layer(32, (6, 4, 4), 1, SAME),
    "a kernel beyond its image": one_layer(33, (3, 2, 2), 5, Geometry((5, 5), padding=(2,) * 4)),
    "filters side by side": one_layer(
        34, (33,), 200, weights=quantization(8, np.arange(200)), n_samples=3
    ),
    "positions beyond a block": one_layer(35, (2, 40, 60), 3, Geometry((1, 1))),
    "depthwise": one_layer(36, (9, 6, 6), 9, Geometry((3, 3), (2, 1), (1,) * 4, groups=9)),
    "sums beyond their bounds": one_layer(37, (9, 4, 4), 6, SAME, accumulator_bits=20),
}
