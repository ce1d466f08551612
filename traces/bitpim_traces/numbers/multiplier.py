"""Real scale factors as what hardware multiplies by, for every requantize mode.

Scales are float32 values held in float64, so that the float mode repeats ONNX's float32 steps and
the fixed-point mode TFLite's double steps, each exactly.
"""

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from bitpim_traces.errors import TraceDataError
from bitpim_traces.modes import FIXED_POINT_HALF_AWAY, mode_named
from bitpim_traces.records import Quantization, Requantize

__all__ = [
    "ADD_LEFT_SHIFT",
    "PRODUCT_BITS",
    "add_requantize",
    "average_requantize",
    "concat_requantize",
    "dot_requantize",
    "fixed_point_multiplier",
    "rescale_requantize",
    "shift_multiplier",
]

Scales = npt.NDArray[np.float64]

PRODUCT_BITS = 62
"""|accumulator| * multiplier stays below 2**62, so that adding a half cannot leave int64."""

ADD_LEFT_SHIFT = 20
"""Head room TFLite gives 8-bit operands of an add."""

_MAX_SHIFT = 62


def fixed_point_multiplier(factor: float) -> tuple[int, int]:
    """Yield (multiplier, shift) with factor = multiplier * 2**(shift - 31).

    The multiplier is in [2**30, 2**31), or (0, 0) for factors of 0 or too small for a shift of -31.

    Source
    ------
    TFLite, QuantizeMultiplier: round half away from zero of a frexp mantissa.
    """
    _need_factor(factor, FIXED_POINT_HALF_AWAY.name)
    mantissa, shift = math.frexp(factor)
    # the product is exact in float64 and non-negative: floor(v + 0.5) is half away from zero
    multiplier = math.floor(math.ldexp(mantissa, 31) + 0.5)
    if multiplier == 1 << 31:
        multiplier, shift = 1 << 30, shift + 1
    if factor == 0.0 or shift < -31:
        return 0, 0
    if shift > 30:
        raise TraceDataError(
            f"requantize: fixed_point_half_away needs a factor below 2**30, got {factor:g};"
            " enlarge the output scale"
        )
    return multiplier, shift


def shift_multiplier(
    factor: float, *, multiplier_bits: int, accumulator_bits: int
) -> tuple[int, int]:
    """Yield (multiplier, shift) with factor close to multiplier * 2**-shift, 0 <= shift <= 62.

    The multiplier has `multiplier_bits` significant bits, fewer where the product with a signed
    accumulator of `accumulator_bits` would reach 2**62, or where the factor is below
    2**(multiplier_bits - 63). Its relative error is at most 2**-(significant bits).
    """
    _need_factor(factor, "a shift mode")
    width = min(multiplier_bits, PRODUCT_BITS + 1 - accumulator_bits)
    if width < 1:
        raise TraceDataError(
            f"requantize: no multiplier fits 62-bit products of {accumulator_bits}-bit accumulators"
        )
    if factor == 0.0:
        return 0, 0
    mantissa, exponent = math.frexp(factor)
    multiplier, shift = round(math.ldexp(mantissa, width)), width - exponent
    if multiplier == 1 << width:
        multiplier, shift = multiplier >> 1, shift - 1
    if shift < 0:
        raise TraceDataError(
            f"requantize: need a factor of at most {(1 << width) - 1} for {width}-bit multipliers,"
            f" got {factor:g}; enlarge the output scale"
        )
    if shift > _MAX_SHIFT:
        return round(math.ldexp(factor, _MAX_SHIFT)), _MAX_SHIFT
    return multiplier, shift


def dot_requantize(
    mode: str,
    input_scale: float,
    weight_scale: Scales,
    output_scale: float,
    *,
    multiplier_bits: int = 16,
    accumulator_bits: int = 32,
) -> Requantize:
    """Decide the requantize step of conv2d or linear, one entry per weight scale.

    Source
    ------
    float_scale_half_even: ONNX Runtime, (x_scale * w_scale) / y_scale in float32.
    """
    if mode_named(mode).is_float:
        product = np.float32(input_scale) * weight_scale.astype(np.float32)
        return Requantize(mode, scale=(product / np.float32(output_scale)).astype(np.float32))
    factors = input_scale * weight_scale / output_scale
    return _integer_steps(mode, factors, multiplier_bits, accumulator_bits)


def concat_requantize(
    mode: str, inputs: Sequence[Quantization], output: Quantization, *, multiplier_bits: int = 16
) -> Requantize:
    """Decide the requantize step of each input of a concat whose quantizations differ."""
    scales = np.array([float(q.scale[0]) for q in inputs])
    output_scale = float(output.scale[0])
    if mode_named(mode).is_float:
        return Requantize(mode, scale=scales.astype(np.float32) / np.float32(output_scale))
    return _integer_steps(mode, scales / output_scale, multiplier_bits, 18)


def rescale_requantize(
    mode: str,
    units: Scales,
    output: Quantization,
    *,
    multiplier_bits: int = 16,
    accumulator_bits: int = 32,
) -> Requantize:
    """Decide the requantize step of accumulators whose 1 stands for `units`, one entry each."""
    factors = units / float(output.scale[0])
    if mode_named(mode).is_float:
        return Requantize(mode, scale=factors.astype(np.float32))
    return _integer_steps(mode, factors, multiplier_bits, accumulator_bits)


def average_requantize(
    mode: str,
    input_scale: float,
    output_scale: float,
    n_elements: int,
    *,
    multiplier_bits: int = 16,
    accumulator_bits: int = 32,
) -> Requantize:
    """Decide the requantize step of average pooling: entry n - 1 serves windows of n elements.

    fixed_point_half_away has no factors: TFLite divides the sum of raw codes, with input and
    output quantized alike.
    """
    if mode_named(mode).divides:
        return Requantize(mode)
    factors = input_scale / (output_scale * np.arange(1, n_elements + 1, dtype=np.float64))
    if mode_named(mode).is_float:
        return Requantize(mode, scale=factors.astype(np.float32))
    return _integer_steps(mode, factors, multiplier_bits, accumulator_bits)


def add_requantize(
    mode: str,
    inputs: Sequence[Quantization],
    output: Quantization,
    *,
    multiplier_bits: int = 16,
    accumulator_bits: int = 32,
) -> Requantize:
    """Decide the requantize step of an add of any number of inputs.

    The shift modes share one shift; their multipliers are as wide as keeps the sum within
    `accumulator_bits`.

    Source
    ------
    fixed_point_half_away: TFLite ADD, scaled by twice the largest input scale.
    """
    scales = np.array([float(q.scale[0]) for q in inputs])
    output_scale = float(output.scale[0])
    if mode_named(mode).is_float:
        return Requantize(mode, scale=scales.astype(np.float32) / np.float32(output_scale))
    if mode_named(mode).rounds_terms:
        return _add_fixed_point(mode, inputs, scales, output_scale)
    head_room = accumulator_bits - 1 - max(_span_bits(q) for q in inputs)
    width = min(multiplier_bits, head_room - math.ceil(math.log2(len(inputs))))
    if width < 1:
        raise TraceDataError(
            f"requantize: need an accumulator wider than {accumulator_bits} bits to add"
            f" {len(inputs)} inputs of {max(q.bits for q in inputs)} bits"
        )
    _, shift = shift_multiplier(
        float(scales.max()) / output_scale, multiplier_bits=width, accumulator_bits=2
    )
    multipliers = [round(math.ldexp(float(s) / output_scale, shift)) for s in scales]
    return Requantize(
        mode, multiplier=np.array(multipliers, np.int32), shift=np.array([shift], np.int32)
    )


def _span_bits(quantization: Quantization) -> int:
    """Bits of the largest |code - zero point| that can occur."""
    zero = int(quantization.zero_point[0])
    return max(quantization.code_max - zero, zero - quantization.code_min).bit_length()


def _add_fixed_point(
    mode: str, inputs: Sequence[Quantization], scales: Scales, output_scale: float
) -> Requantize:
    left_shift = min(ADD_LEFT_SHIFT, 31 - max(_span_bits(q) for q in inputs))
    # two inputs: TFLite's twice the largest scale; more: the next power of two, so sums fit int32
    common = float(1 << math.ceil(math.log2(len(inputs)))) * float(scales.max())
    steps = [fixed_point_multiplier(float(s) / common) for s in scales]
    output = fixed_point_multiplier(common / (float(1 << left_shift) * output_scale))
    return Requantize(
        mode,
        multiplier=np.array([m for m, _ in steps], np.int32),
        shift=np.array([s for _, s in steps], np.int32),
        output_multiplier=output[0],
        output_shift=output[1],
        left_shift=left_shift,
    )


def _integer_steps(
    mode: str, factors: Scales, multiplier_bits: int, accumulator_bits: int
) -> Requantize:
    if mode_named(mode).shifts_left:
        steps = [fixed_point_multiplier(float(f)) for f in factors]
    else:
        steps = [
            shift_multiplier(
                float(f), multiplier_bits=multiplier_bits, accumulator_bits=accumulator_bits
            )
            for f in factors
        ]
    return Requantize(
        mode,
        multiplier=np.array([m for m, _ in steps], np.int32),
        shift=np.array([s for _, s in steps], np.int32),
    )


def _need_factor(factor: float, where: str) -> None:
    if not (math.isfinite(factor) and factor >= 0):
        raise TraceDataError(
            f"requantize: {where} needs a finite factor of at least 0, got {factor}"
        )
