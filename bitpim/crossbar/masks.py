"""Which positions of its window each conv kernel of a layer keeps, as one mask code a kernel.

Bit k of a code stands for position k of the window, row by row. A code of 0 is a kernel that was
pruned whole.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from bitpim.errors import MappingError
from bitpim_traces.faults import raising_report
from bitpim_traces.masks import (
    MAX_POSITIONS,
    PATTERNS,
    PRUNING_MASK,
    check_mask,
    check_mask_values,
    mask_codes,
)
from bitpim_traces.records import LayerRecord

__all__ = ["LayerMasks", "kept_positions", "layer_masks"]

Codes = npt.NDArray[np.uint64]


def kept_positions(codes: Codes, n_positions: int) -> npt.NDArray[np.bool_]:
    """Return which positions each mask code keeps, on a new last axis."""
    shifted = codes[..., np.newaxis] >> np.arange(n_positions, dtype=np.uint64)
    kept: npt.NDArray[np.bool_] = (shifted & np.uint64(1)) == 1
    return kept


@dataclass(frozen=True, slots=True)
class LayerMasks:
    """The mask code of each kernel of a weighted layer.

    Shapes
    ------
    codes: (M, C) uint64; C are the input channels of one group, the features of a linear layer
    patterns: (P,) uint64, ascending, without 0
    """

    codes: Codes
    n_positions: int
    patterns: Codes


def layer_masks(layer: LayerRecord) -> LayerMasks:
    """Return the masks of a weighted layer.

    They come from the trace's pruning mask where there is one, else from the weights that differ
    from their zero point. Patterns are the trace's where it has them, else all masks in use.

    Raises
    ------
    MappingError
        The layer has no weights, or its window has too many positions for mask codes.
    TraceDataError
        A weight is not zero where the mask drops it, or a kernel's mask is none of the patterns.
    """
    where = f"layer {layer.index} {layer.name!r} ({layer.kind})"
    if layer.weight is None or layer.weight_quantization is None:
        raise MappingError(f"{where}: need a layer with weights, got none; it has no masks")
    window = layer.weight.shape[2:] or (1, 1)
    if window[0] * window[1] > MAX_POSITIONS:
        raise MappingError(
            f"{where}: need a window of at most {MAX_POSITIONS} positions for masks, got "
            f"{window[0]} x {window[1]}; use `--set mapping.other_kernels=dense`"
        )
    advice = "mend the weights, the mask or the patterns that disagree before the trace is written"
    report = raising_report(where, advice)
    check_mask(layer, report)
    check_mask_values(layer, report)
    if PRUNING_MASK in layer.extra:
        kept = layer.extra[PRUNING_MASK].read() != 0
    else:
        weight = layer.weight.read()
        zero = layer.weight_quantization.zero_point.reshape(-1, *[1] * (weight.ndim - 1))
        kept = weight != zero
    codes = mask_codes(kept.reshape(*kept.shape[:2], *window)).astype(np.uint64)
    if PATTERNS in layer.extra:
        patterns = layer.extra[PATTERNS].read().astype(np.uint64)
    else:
        patterns = np.unique(codes)
    return LayerMasks(codes, window[0] * window[1], patterns[patterns != 0])
