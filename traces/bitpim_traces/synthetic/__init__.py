"""Seeded networks with the shapes of well-known ones, made without PyTorch.

Weights are random, scaled so that values neither die out nor explode; images are random with the
low-frequency look of photographs. The same name, seed and numpy make the same trace.
"""

from bitpim_traces.synthetic.images import synthetic_images
from bitpim_traces.synthetic.networks import (
    synthetic_float_network,
    synthetic_network,
    weightless_network,
)
from bitpim_traces.synthetic.registry import NAMES, likeness_of

__all__ = [
    "NAMES",
    "likeness_of",
    "synthetic_float_network",
    "synthetic_images",
    "synthetic_network",
    "weightless_network",
]
