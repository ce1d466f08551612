"""Weights of two or three values: plus and minus a scale, and for ternary ones 0.

Ternary: a weight whose magnitude is above a threshold becomes plus or minus the mean of those, the
others 0; the threshold is a share of the mean magnitude (0.7: Li et al., Ternary Weight Networks,
2016). Binary: the sign, times the mean magnitude (Rastegari et al., XNOR-Net, 2016). Both means
have the least squared error. Weights that are 0, as pruned ones are, count in no mean.
"""

import numpy as np
import numpy.typing as npt

from bitpim_traces.errors import TraceDataError
from bitpim_traces.numbers.affine import weight_scales
from bitpim_traces.records import Quantization

__all__ = ["TERNARY_THRESHOLD", "binary_weights", "ternary_weights"]

TERNARY_THRESHOLD = 0.7
"""Share of the mean magnitude above which a ternary weight is not 0."""

Floats = npt.NDArray[np.floating]
Codes = npt.NDArray[np.int8]


def ternary_weights(
    weight: Floats,
    *,
    threshold: float = TERNARY_THRESHOLD,
    per_channel: bool = True,
    least_scale: Floats | None = None,
    where: str = "weight",
) -> tuple[Codes, Quantization]:
    """Turn real weights into codes -1, 0 and 1, and yield their quantization.

    `threshold` is a share, from 0 to below 1, of the mean magnitude of a channel or of all. Scales
    are bounded from below by `least_scale`, as for `choose_weight_quantization`.

    Shapes
    ------
    weight, codes : (O, ...);  least_scale : (O,)

    Raises
    ------
    TraceDataError
        A weight is not finite, a scale too large, or the threshold is no such share.
    """
    if not 0 <= threshold < 1:
        raise TraceDataError(f"{where}: need a threshold from 0 to below 1, got {threshold}")
    magnitudes = _magnitudes(weight, per_channel, where)
    bounds = threshold * _mean_of(magnitudes, magnitudes > 0)
    kept = magnitudes > bounds[:, None]
    codes = np.where(kept.reshape(weight.shape), np.sign(weight), 0).astype(np.int8)
    scale = weight_scales(_mean_of(magnitudes, kept), least_scale, where)
    return codes, _quantization(scale, per_channel, binary=False)


def binary_weights(
    weight: Floats,
    *,
    per_channel: bool = True,
    least_scale: Floats | None = None,
    where: str = "weight",
) -> tuple[Codes, Quantization]:
    """Turn real weights into codes -1 and 1, and yield their quantization.

    Shapes
    ------
    weight, codes : (O, ...);  least_scale : (O,)

    Raises
    ------
    TraceDataError
        A weight is 0 or not finite, or a scale too large.
    """
    n_zero = weight.size - int(np.count_nonzero(weight))
    if n_zero:
        raise TraceDataError(
            f"{where}: binary weights are -1 or 1 times a scale and have no zero, got {n_zero} of"
            f" {weight.size} weights that are 0, as pruned ones are; let weight_values be ternary"
            " there"
        )
    magnitudes = _magnitudes(weight, per_channel, where)
    scale = weight_scales(_mean_of(magnitudes, magnitudes > 0), least_scale, where)
    return np.sign(weight).astype(np.int8), _quantization(scale, per_channel, binary=True)


def _magnitudes(weight: Floats, per_channel: bool, where: str) -> Floats:
    if not np.isfinite(weight).all():
        raise TraceDataError(f"{where}: need finite weights, got NaN or infinity")
    return np.abs(weight).reshape(weight.shape[0] if per_channel else 1, -1)


def _mean_of(values: Floats, chosen: npt.NDArray[np.bool_]) -> npt.NDArray[np.float64]:
    """Yield the mean of the chosen values of each row; 0 where there are none."""
    sums = np.sum(values, axis=1, dtype=np.float64, where=chosen)
    means: npt.NDArray[np.float64] = sums / np.maximum(np.count_nonzero(chosen, axis=1), 1)
    return means


def _quantization(
    scale: npt.NDArray[np.float64], per_channel: bool, *, binary: bool
) -> Quantization:
    zero = np.zeros(scale.size, np.int64)
    return Quantization(2, True, scale, zero, 0 if per_channel else None, binary)
