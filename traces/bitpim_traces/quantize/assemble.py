"""A float network with ranges becomes a trace."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from bitpim_traces.network import FloatNetwork
from bitpim_traces.quantize.settings import Settings
from bitpim_traces.records import Samples, Trace

__all__ = ["References", "quantize_network", "requantize_trace"]

References = Mapping[int, npt.NDArray[np.float32]] | Callable[[int], npt.NDArray[np.float32] | None]
"""Float outputs of the first samples by layer index, at hand or on demand."""


def quantize_network(
    network: FloatNetwork,
    ranges_by_layer: Mapping[int, tuple[float, float]],
    samples: npt.NDArray[np.floating] | Samples,
    *,
    labels: npt.NDArray[np.integer] | None = None,
    settings: Settings | None = None,
    references: References | None = None,
    provenance: Mapping[str, Any] | None = None,
    dataset: str = "",
) -> Trace:
    """Quantize a float network into a trace.

    `network` should have gone through `fuse_activations`. `ranges_by_layer` has the real range of
    every layer's output and of the input (NETWORK_INPUT), as `calibrate` yields it. `samples` are
    float values (N, ...) or a `Samples` record whose codes are kept as they are. Without
    `references` the float forward of this module computes them.
    """
    raise NotImplementedError


def requantize_trace(trace: Trace, settings: Settings | None = None) -> Trace:
    """Quantize the float weights inside a trace to other widths or another mode."""
    raise NotImplementedError
