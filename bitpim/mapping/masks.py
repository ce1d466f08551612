"""Which positions of its window each kernel of a layer keeps, as one mask code a kernel.

Bit k of a code stands for position k of the window, row by row. A code of 0 is a kernel that was
pruned whole.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from bitpim.errors import MappingError, TraceDataError
from bitpim_traces.records import LayerRecord

__all__ = ["LayerMasks", "kept_positions", "layer_masks", "mask_codes"]

Codes = npt.NDArray[np.uint64]
Bools = npt.NDArray[np.bool_]

_MAX_POSITIONS = 64


def mask_codes(kept: Bools) -> Codes:
    """Return the mask code of each kernel.

    Shapes
    ------
    kept: (M, C, R*S), True where a weight is kept
    codes: (M, C)

    Raises
    ------
    MappingError
        A window has more than 64 positions.
    """
    n_positions = kept.shape[-1]
    if n_positions > _MAX_POSITIONS:
        raise MappingError(
            f"mask codes: need windows of at most {_MAX_POSITIONS} positions, got {n_positions}; "
            "map this layer densely"
        )
    codes = np.zeros(kept.shape[:-1], np.uint64)
    for k in range(n_positions):
        codes |= kept[..., k].astype(np.uint64) << np.uint64(k)
    return codes


def kept_positions(codes: Codes, n_positions: int) -> Bools:
    """Return which positions each mask code keeps, on a new last axis."""
    shifted = codes[..., np.newaxis] >> np.arange(n_positions, dtype=np.uint64)
    kept: Bools = (shifted & np.uint64(1)) == 1
    return kept


@dataclass(frozen=True, slots=True)
class LayerMasks:
    """The mask code of each kernel of a weighted layer.

    Shapes
    ------
    codes: (M, C) uint64; C are the input channels of one group, the features of a linear layer
    kernel: (R, S); (1, 1) for a linear layer
    patterns: (P,) uint64, sorted, without 0
    """

    codes: Codes
    kernel: tuple[int, int]
    patterns: Codes

    @property
    def n_positions(self) -> int:
        """Positions of the window."""
        return self.kernel[0] * self.kernel[1]

    @property
    def kept(self) -> Bools:
        """Which weights are kept, (M, C, R*S)."""
        return kept_positions(self.codes, self.n_positions)


def layer_masks(layer: LayerRecord) -> LayerMasks:
    """Return the masks of a weighted layer.

    They come from the trace's `pruning_mask` where there is one, else from the weights that differ
    from their zero point. `patterns` are the trace's where it has them, else all masks in use.

    Raises
    ------
    MappingError
        The layer has no weights, or its window has too many positions.
    TraceDataError
        A weight is not zero where the mask drops it, or a kernel's mask is none of the patterns.
    """
    where = f"layer {layer.index} {layer.name!r} ({layer.kind})"
    if layer.weight is None or layer.weight_quantization is None:
        raise MappingError(f"{where}: need a layer with weights, got none; it has no masks")
    weight = layer.weight.read()
    kernel = (weight.shape[2], weight.shape[3]) if weight.ndim == 4 else (1, 1)
    zero = layer.weight_quantization.zero_point.reshape(-1, *[1] * (weight.ndim - 1))
    nonzero = (weight != zero).reshape(*weight.shape[:2], -1)
    kept = nonzero
    if "pruning_mask" in layer.extra:
        kept = _given_mask(where, layer, nonzero)
    codes = mask_codes(kept)
    used = np.unique(codes)
    used = used[used != 0]
    if "patterns" not in layer.extra:
        return LayerMasks(codes, kernel, used)
    patterns = np.unique(layer.extra["patterns"].read().astype(np.uint64))
    _check_covered(where, codes, used, patterns)
    return LayerMasks(codes, kernel, patterns[patterns != 0])


def _given_mask(where: str, layer: LayerRecord, nonzero: Bools) -> Bools:
    mask = layer.extra["pruning_mask"].read()
    if layer.weight is None or mask.shape != layer.weight.shape:
        raise TraceDataError(
            f"{where}: extra/pruning_mask needs the weight's shape, got {mask.shape}; write the "
            "trace again"
        )
    kept: Bools = (mask != 0).reshape(nonzero.shape)
    wrong = nonzero & ~kept
    if wrong.any():
        m, c, k = np.argwhere(wrong)[0]
        raise TraceDataError(
            f"{where}: the mask disagrees with the weights: need 0 where extra/pruning_mask is 0, "
            f"got {int(wrong.sum())} other weights, the first at output {m}, channel {c}, position "
            f"{k}; prune the weights before the trace is written"
        )
    return kept


def _check_covered(where: str, codes: Codes, used: Codes, patterns: Codes) -> None:
    missing = np.setdiff1d(used, patterns)
    if missing.size:
        m, c = np.argwhere(codes == missing[0])[0]
        raise TraceDataError(
            f"{where}: the pattern set does not cover it: need each kernel's mask among the "
            f"{patterns.size} of extra/patterns or 0, got {missing.size} others, such as "
            f"{int(missing[0]):#b} of output {m}, channel {c}; add a pruning_mask or the pattern"
        )
