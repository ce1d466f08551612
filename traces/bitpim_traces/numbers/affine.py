"""Real numbers as codes, and back: by scale and zero point, or by a codebook.

Affine codes stand for real = scale * (code - zero_point), those of a codebook for its values.

Every scale is a float32 value (held in float64), rounded up so that the observed range stays
representable; real 0 always has a code of its own. Codes are rounded half to even and saturate.
"""

import math

import numpy as np
import numpy.typing as npt

from bitpim_traces.codebook import Codebook
from bitpim_traces.errors import TraceDataError
from bitpim_traces.records import Quantization

__all__ = [
    "MAX_SCALE",
    "MIN_SCALE",
    "choose_quantization",
    "choose_weight_quantization",
    "code_dtype",
    "decode",
    "encode",
    "encode_weight",
    "real_values",
    "same_quantization",
    "up_to_float32",
    "weight_scales",
]

Floats = npt.NDArray[np.floating]

MIN_SCALE = 2.0**-60
"""Least scale chosen: products of two stay normal float32 numbers."""

MAX_SCALE = 2.0**60
"""Largest scale chosen, for the same reason."""

_SHRINKS = np.linspace(1.0, 0.3, 29)
"""Shares of the full range that the search for the least squared error tries."""

_BLOCK_VALUES = 1 << 21
"""Values encoded at once: float64 copies of a large weight would dominate memory."""

_N_CODES_SEARCHED = 1 << 22
"""Weights beyond this many a row of channels are searched on an even subset."""


def choose_quantization(
    low: float, high: float, *, bits: int, scheme: str = "affine", where: str = "range"
) -> Quantization:
    """Choose a per-tensor quantization for real values from `low` to `high`.

    The range is widened to hold 0. "affine": unsigned codes, any zero point. "symmetric": zero
    point 0, unsigned where no value is negative, else signed; of 1 bit with both signs the codes
    are -1, 0 and 1, which take 2 bits to store. Values within the range come back
    from `decode(encode(x))` within half a scale. A range of nothing but 0 gets scale 1.

    Raises
    ------
    TraceDataError
        The range is not finite, is upside down or too large, or 1 bit has to hold two signs.
    """
    if not (math.isfinite(low) and math.isfinite(high) and low <= high):
        raise TraceDataError(f"{where}: need a finite range (low <= high), got ({low}, {high})")
    low, high = min(low, 0.0), max(high, 0.0)
    signed = scheme == "symmetric" and low < 0
    _need_one_sign(where, scheme, bits, low, high)
    bits = max(bits, 2) if signed else bits
    levels = (1 << (bits - 1)) - 1 if signed else (1 << bits) - 1
    span = max(high, -low) if scheme == "symmetric" else high - low
    scale = _scale_of(span, levels, where)
    zero = 0
    if scheme == "affine":
        zero = min(max(round(-low / scale), 0), levels)
    return Quantization(bits, signed, np.array([scale]), np.array([zero], np.int64))


def choose_weight_quantization(
    weight: Floats,
    *,
    bits: int,
    per_channel: bool = True,
    scheme: str = "symmetric",
    least_scale: Floats | None = None,
    method: str = "minmax",
    where: str = "weight",
) -> Quantization:
    """Choose the quantization of a weight whose first axis is the output channel.

    Symmetric codes are signed and leave out the most negative one. Of 1 bit they are -1 and 1 (and
    0 where a weight is 0, as pruned ones are; then they take 2 bits in a file); the scale is then
    the mean of |w| where w is not 0, of least squared error (Rastegari et al., XNOR-Net, 2016). A
    channel of nothing but zeros takes the largest scale of the tensor. `least_scale` holds each
    channel's lower bound of the scale, so that its bias fits the accumulator. `method` "mse"
    shrinks each scale to the least squared error.

    Shapes
    ------
    weight : (O, ...);  least_scale : (O,)
    """
    if not np.isfinite(weight).all():
        raise TraceDataError(f"{where}: need finite weights, got NaN or infinity")
    symmetric = scheme == "symmetric"
    rows = weight.reshape(weight.shape[0] if per_channel else 1, -1)
    low = np.minimum(rows.min(axis=1), 0.0).astype(np.float64)
    high = np.maximum(rows.max(axis=1), 0.0).astype(np.float64)
    _need_one_sign(where, scheme, bits, float(low.min()), float(high.max()))
    share = np.ones(rows.shape[0])
    one_bit = symmetric and bits == 1
    if one_bit:
        n_left = np.maximum(np.count_nonzero(rows, axis=1), 1)
        bits, levels, span = 2, 1, np.abs(rows).sum(axis=1, dtype=np.float64) / n_left
    else:
        levels = (1 << (bits - 1)) - 1 if symmetric else (1 << bits) - 1
        if method == "mse":
            share = _least_error_share(rows, low, high, levels, symmetric)
        span = (np.maximum(high, -low) if symmetric else high - low) * share
    scale = weight_scales(span / levels, least_scale, where)
    zero = np.zeros(scale.size, np.int64)
    if not symmetric:
        zero = np.clip(np.rint(-low * share / scale), 0, levels).astype(np.int64)
    binary = one_bit and bool(weight.all())
    return Quantization(bits, symmetric, scale, zero, 0 if per_channel else None, binary)


def weight_scales(
    wanted: Floats, least_scale: Floats | None, where: str
) -> npt.NDArray[np.float64]:
    """Yield float32 scales of a weight from those that are wanted, one a channel or one for all.

    A channel that wants 0 takes the largest of the others; none is below `least_scale`.

    Shapes
    ------
    wanted : (O,) or (1,);  least_scale : (O,)

    Raises
    ------
    TraceDataError
        A scale is too large.
    """
    scale = np.array([_scale_of(float(s), 1, where) if s > 0 else 0.0 for s in wanted])
    least = np.zeros(1) if least_scale is None else np.asarray(least_scale, dtype=np.float64)
    least = least if scale.size == least.size else least.max(keepdims=True)
    scale[scale == 0] = scale.max() if scale.max() > 0 else _default_scale(least)
    scale = np.maximum(scale, least)
    if scale.max() > MAX_SCALE:
        raise TraceDataError(
            f"{where}: need a bias that a scale of 2**60 can reach, got one that needs"
            f" {scale.max():g}"
        )
    return np.array([up_to_float32(s) for s in scale])


def encode_weight(
    weight: Floats, quantization: Quantization, *, bits: int
) -> npt.NDArray[np.integer]:
    """Turn real weights into codes; symmetric ones of 1 bit by their sign alone."""
    if bits == 1 and quantization.signed:
        return np.sign(weight).astype(code_dtype(quantization))
    return encode(weight, quantization)


def encode(values: Floats, quantization: Quantization) -> npt.NDArray[np.integer]:
    """Turn real values into codes: round half to even, then saturate.

    Codes of a codebook are those of its nearest value, the lower of two. Per-channel quantizations
    run along their `axis`. `values` has at least one axis.

    Raises
    ------
    TraceDataError
        A value is NaN.
    """
    if quantization.codebook is not None:
        return _nearest_codes(values, quantization, quantization.codebook)
    scale, zero = _along_axis(quantization, values.ndim)
    scale = np.broadcast_to(scale, (values.shape[0], *scale.shape[1:]))
    zero = np.broadcast_to(zero, scale.shape)
    result = np.empty(values.shape, dtype=code_dtype(quantization))
    step = max(1, _BLOCK_VALUES * values.shape[0] // max(1, values.size))
    for start in range(0, values.shape[0], step):
        part = slice(start, start + step)
        codes = np.divide(values[part], scale[part], dtype=np.float64)
        np.rint(codes, out=codes)
        codes += zero[part]
        if np.isnan(codes).any():
            raise TraceDataError("encode: need real values, got NaN")
        result[part] = np.clip(codes, quantization.code_min, quantization.code_max, out=codes)
    return result


def decode(codes: npt.NDArray[np.integer], quantization: Quantization) -> npt.NDArray[np.float32]:
    """Turn codes into the real values they stand for, in float32."""
    return real_values(codes, quantization).astype(np.float32)


def real_values(
    codes: npt.NDArray[np.integer], quantization: Quantization
) -> npt.NDArray[np.float64]:
    """Turn codes into the real values they stand for, in float64."""
    if quantization.codebook is not None:
        values = quantization.codebook.values * quantization.codebook.scale
        found: npt.NDArray[np.float64] = values[codes]
        return found
    scale, zero = _along_axis(quantization, codes.ndim)
    real: npt.NDArray[np.float64] = (codes - zero) * scale
    return real


def code_dtype(quantization: Quantization) -> np.dtype[np.integer]:
    """Yield the dtype codes have in memory; of more than 64 bits, which no trace may have, 64."""
    width = next((n for n in (8, 16, 32) if quantization.bits <= n), 64)
    return np.dtype(f"{'' if quantization.signed else 'u'}int{width}")


def same_quantization(one: Quantization, other: Quantization) -> bool:
    """Say whether two quantizations give every code the same meaning."""
    if one.codebook is not None:
        return one.codebook.same_as(other.codebook)
    if other.codebook is not None:
        return False
    return (
        (one.bits, one.signed, one.axis, one.binary)
        == (other.bits, other.signed, other.axis, other.binary)
        and np.array_equal(one.scale, other.scale)
        and np.array_equal(one.zero_point, other.zero_point)
    )


def _nearest_codes(
    values: Floats, quantization: Quantization, codebook: Codebook
) -> npt.NDArray[np.integer]:
    """Return the code of the nearest value of a codebook, the lower of two."""
    real = codebook.values * codebook.scale
    last_lower = (real[:-1] + real[1:]) / 2  # exact: values have at most 32 bits
    result = np.empty(values.shape, dtype=code_dtype(quantization))
    step = max(1, _BLOCK_VALUES * values.shape[0] // max(1, values.size))
    for start in range(0, values.shape[0], step):
        part = slice(start, start + step)
        if np.isnan(values[part]).any():
            raise TraceDataError("encode: need real values, got NaN")
        result[part] = np.searchsorted(last_lower, values[part].astype(np.float64), side="left")
    return result


def up_to_float32(value: float) -> float:
    """Yield the least float32 that is not below `value`."""
    nearest = np.float32(value)
    if float(nearest) < value:
        nearest = np.nextafter(nearest, np.float32(np.inf))
    return float(nearest)


def _scale_of(span: float, levels: int, where: str) -> float:
    """Scale that spreads `span` over `levels` steps, within MIN_SCALE and MAX_SCALE."""
    if span == 0:
        return 1.0
    scale = span / levels
    if scale > MAX_SCALE:
        raise TraceDataError(
            f"{where}: need values a scale of 2**60 can reach, got a span of {span:g}"
        )
    return up_to_float32(max(scale, MIN_SCALE))


def _need_one_sign(where: str, scheme: str, bits: int, low: float, high: float) -> None:
    """Refuse affine codes of 1 bit for values of both signs: all would be code 0 or 1 alike."""
    if scheme == "affine" and bits == 1 and low < 0 < high:
        raise TraceDataError(
            f"{where}: affine codes of 1 bit hold values of one sign, got some from {low:g} to"
            f" {high:g}; use the symmetric scheme, whose codes of 1 bit are -1 and 1, or more bits"
        )


def _default_scale(least: Floats) -> float:
    """Scale of a weight of nothing but zeros: fine enough for its bias, or 1."""
    bound = float(least.max())
    return bound if bound > 0 else 1.0


def _least_error_share(
    rows: Floats, low: Floats, high: Floats, levels: int, symmetric: bool
) -> npt.NDArray[np.float64]:
    """Share of each row's range whose quantization has the least squared error."""
    step = max(1, rows.size // _N_CODES_SEARCHED)
    sample = rows[:, ::step].astype(np.float32)
    span = np.maximum(high, -low) if symmetric else high - low
    span = np.where(span > 0, span, 1.0)
    best_error = np.full(rows.shape[0], np.inf)
    best = np.ones(rows.shape[0])
    for share in _SHRINKS:
        scale = (span * share / levels)[:, None].astype(np.float32)
        zero = np.zeros_like(scale) if symmetric else np.rint(-low[:, None] * share / scale)
        bottom = -levels if symmetric else 0
        codes = np.clip(np.rint(sample / scale) + zero.astype(np.float32), bottom, levels)
        error = np.square((codes - zero.astype(np.float32)) * scale - sample).mean(axis=1)
        better = error < best_error
        best_error[better] = error[better]
        best[better] = share
    return best


def _along_axis(
    quantization: Quantization, ndim: int
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int64]]:
    shape = [1] * ndim
    if quantization.axis is not None:
        shape[quantization.axis] = -1
    return quantization.scale.reshape(shape), quantization.zero_point.reshape(shape)
