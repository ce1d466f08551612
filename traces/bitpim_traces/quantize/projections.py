"""Weights projected onto structured sets: the nearest weight that keeps whole groups, or patterns.

A group of a convolution's weight is what one kind of pruning drops together: a filter, an input
channel, a lane (one conv kernel), or a shape, which is one place (channel, row, column) of all
filters. The nearest weight keeps the groups of most energy as they are. After Zhang et al., "A
systematic DNN weight pruning framework using alternating direction method of multipliers" (ECCV
2018), and its structured sequel.
"""

import numpy as np
import numpy.typing as npt

from bitpim_traces.errors import TraceDataError
from bitpim_traces.masks import masks_from_codes
from bitpim_traces.quantize.lanes import weakest
from bitpim_traces.quantize.pattern import kernel_energy, natural_patterns, project, select_patterns

__all__ = ["GROUPED", "group_mask", "natural_set", "pattern_mask"]

GROUPED = {
    "filter": (1, 2, 3),
    "channel": (0, 2, 3),
    "shape": (0,),
    "lane": (2, 3),
}
"""Kinds of groups, with the axes of a weight (O, I, R, S) that a group runs along."""

Floats = npt.NDArray[np.floating]
MaskArray = npt.NDArray[np.uint8]
MaskCodes = npt.NDArray[np.uint32]


def group_mask(weight: Floats, kind: str, share: float) -> MaskArray:
    """Yield what the nearest weight without `share` of its groups keeps.

    Their number is rounded to the nearest, half to even; of equal energies the first is dropped.

    Shapes
    ------
    weight : (O, I, R, S);  mask : the same, 0 or 1

    Raises
    ------
    TraceDataError
        Nothing would be left.
    """
    energy = np.square(weight.astype(np.float64)).sum(axis=GROUPED[kind], keepdims=True)
    kept = np.ones(energy.size, np.uint8)
    kept[_least(energy, share, kind).ravel()] = 0
    return np.ascontiguousarray(np.broadcast_to(kept.reshape(energy.shape), weight.shape))


def natural_set(weight: Floats, kept: int, n_patterns: int) -> MaskCodes:
    """Yield the most frequent natural masks of the kernels that are not nothing but 0.

    Shapes
    ------
    weight : (O, I, 3, 3);  patterns : (P,), ascending
    """
    alive = weight.any(axis=(2, 3))
    return select_patterns(natural_patterns(weight, kept)[alive], n_patterns)


def pattern_mask(weight: Floats, patterns: MaskCodes, share: float) -> MaskArray:
    """Yield what the nearest weight keeps whose kernels have a pattern, and `share` of them none.

    Dropped are the conv kernels of least energy under the pattern that retains most of it.

    Shapes
    ------
    weight : (O, I, 3, 3);  patterns : (P,);  mask : (O, I, 3, 3), 0 or 1

    Raises
    ------
    TraceDataError
        Nothing would be left.
    """
    codes = project(weight, patterns)
    retained = kernel_energy(weight * masks_from_codes(codes, (3, 3)))
    codes[_least(retained, share, "pattern")] = 0
    return masks_from_codes(codes, (3, 3))


def _least(energy: npt.NDArray[np.float64], share: float, kind: str) -> npt.NDArray[np.bool_]:
    """Say which groups are dropped."""
    n_dropped = round(share * energy.size)
    if n_dropped >= energy.size:
        raise TraceDataError(
            f"projection: need a share that leaves a {kind} of {energy.size}, got {share};"
            " lower it, or leave the layer out"
        )
    return weakest(energy, n_dropped)
