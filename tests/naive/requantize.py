"""Requantize rules in exact fractions: slow and obvious."""

import math
from collections.abc import Sequence
from fractions import Fraction

from bitpim_traces.records import Requantize

__all__ = [
    "add_float",
    "fixed_point_half_away",
    "float32",
    "float_scale_half_even",
    "half_away",
    "half_up_shift",
    "requantize",
    "truncate_shift",
]

HALF = Fraction(1, 2)


def half_away(value: Fraction) -> int:
    """Round to the nearest integer, ties away from zero."""
    away = math.floor(abs(value) + HALF)
    return away if value >= 0 else -away


def float32(value: Fraction | int) -> Fraction:
    """Round to the nearest float32, ties to even (normal numbers and zero only)."""
    if value == 0:
        return Fraction(0)
    size, exponent = abs(Fraction(value)), 0
    while size >= _power_of_two(exponent + 1):
        exponent += 1
    while size < _power_of_two(exponent):
        exponent -= 1
    step = _power_of_two(exponent - 23)
    return round(Fraction(value) / step) * step  # Python rounds fractions half to even


def _power_of_two(exponent: int) -> Fraction:
    return Fraction(2**exponent) if exponent >= 0 else Fraction(1, 2**-exponent)


def float_scale_half_even(acc: int, scale: float) -> int:
    """ONNX: the product of two float32 values, rounded to float32, then to an integer."""
    return round(float32(float32(acc) * Fraction(scale)))


def fixed_point_half_away(acc: int, multiplier: int, shift: int) -> int:
    """TFLite: a high multiplication that rounds, then a division that rounds."""
    x = acc * 2 ** max(shift, 0)
    assert -(2**31) <= x < 2**31
    high = math.floor(Fraction(x * multiplier, 2**31) + HALF)
    return half_away(Fraction(high, 2 ** max(-shift, 0)))


def truncate_shift(acc: int, multiplier: int, shift: int) -> int:
    """Drop the bits below the point."""
    return math.floor(Fraction(acc * multiplier, 2**shift))


def half_up_shift(acc: int, multiplier: int, shift: int) -> int:
    """Round to nearest, ties toward plus infinity."""
    return math.floor(Fraction(acc * multiplier, 2**shift) + HALF)


def requantize(acc: int, rule: Requantize, entry: int) -> int:
    """Requantize by one entry of a rule; a rule of one entry serves all."""
    if rule.mode == "float_scale_half_even":
        assert rule.scale is not None
        return float_scale_half_even(acc, float(rule.scale[entry % rule.scale.size]))
    assert rule.multiplier is not None and rule.shift is not None
    multiplier = int(rule.multiplier[entry % rule.multiplier.size])
    shift = int(rule.shift[entry % rule.shift.size])
    rules = {
        "fixed_point_half_away": fixed_point_half_away,
        "truncate_shift": truncate_shift,
        "half_up_shift": half_up_shift,
    }
    return rules[rule.mode](acc, multiplier, shift)


def add_float(
    codes: Sequence[int], zeros: Sequence[int], scales: Sequence[float], zero_out: int
) -> int:
    """Add as onnxruntime does; every line rounds once to float32. The zero point is inside."""
    gathered = Fraction(0)
    for zero, scale in reversed(list(zip(zeros, scales, strict=True))):
        gathered = float32(zero * Fraction(scale) + gathered)
    total = float32(zero_out - gathered)
    for code, scale in reversed(list(zip(codes, scales, strict=True))):
        total = float32(code * Fraction(scale) + total)
    return round(total)
