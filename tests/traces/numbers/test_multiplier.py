"""Multipliers and shifts against exact rational arithmetic and TFLite's worked values."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from bitpim_traces.errors import TraceDataError
from bitpim_traces.numbers.affine import choose_quantization
from bitpim_traces.numbers.multiplier import (
    add_requantize,
    average_requantize,
    concat_requantize,
    dot_requantize,
    fixed_point_multiplier,
    shift_multiplier,
)
from bitpim_traces.records import Quantization, Requantize


def per_tensor(scale: float, zero: int = 0, *, bits: int = 8, signed: bool = False) -> Quantization:
    return Quantization(bits, signed, np.array([scale]), np.array([zero], np.int64))


@pytest.mark.parametrize(
    ("factor", "multiplier", "shift"),
    [
        # up to 1.5: cases of TFLite's quantization_util_test; shifts to the left are positive
        (0.25, 0x40000000, -1),
        (0.5 - 5e-9, (1 << 31) - 21, -1),
        (0.5 - 1e-10, 0x40000000, 0),
        (0.5, 0x40000000, 0),
        (1 + 1e-10, 0x40000000, 1),
        (1 + 5e-9, (1 << 30) + 5, 1),
        (1.25, 0x50000000, 1),
        (1.5, 0x60000000, 1),
        (0.0, 0, 0),
        (1.0, 1 << 30, 1),
        (2.0**-31, 1 << 30, -30),
        (2.0**-32, 1 << 30, -31),
        (2.0**-33, 0, 0),
        (2.0**29, 1 << 30, 30),
    ],
)
def test_fixed_point_worked_values(factor: float, multiplier: int, shift: int) -> None:
    assert fixed_point_multiplier(factor) == (multiplier, shift)


@given(factor=st.floats(2.0**-31, 2.0**29))
def test_fixed_point_is_the_nearest_31_bit_mantissa(factor: float) -> None:
    multiplier, shift = fixed_point_multiplier(factor)
    assert 1 << 30 <= multiplier < 1 << 31
    got = Fraction(multiplier) * Fraction(2) ** (shift - 31)
    assert abs(got / Fraction(factor) - 1) <= Fraction(1, 1 << 31)


def test_fixed_point_rounds_halves_away_from_zero() -> None:
    # a mantissa of exactly k + 1/2 in units of 2**-31, k even: half to even would stay at k
    k = (1 << 30) + 2
    assert fixed_point_multiplier((k + 0.5) * 2.0**-31) == (k + 1, 0)


@given(
    factor=st.floats(2.0**-40, 3.0),
    multiplier_bits=st.integers(2, 31),
    accumulator_bits=st.integers(8, 48),
)
def test_shift_multiplier_bounds(
    factor: float, multiplier_bits: int, accumulator_bits: int
) -> None:
    width = min(multiplier_bits, 63 - accumulator_bits)
    multiplier, shift = shift_multiplier(
        factor, multiplier_bits=multiplier_bits, accumulator_bits=accumulator_bits
    )
    assert 0 <= multiplier < 1 << width
    assert 0 <= shift <= 62
    assert (1 << (accumulator_bits - 1)) * multiplier < 1 << 62
    error = abs(Fraction(multiplier, 1 << shift) / Fraction(factor) - 1)
    if shift < 62:
        assert multiplier >= 1 << (width - 1)
        assert error <= Fraction(1, 1 << width)
    else:
        assert error * Fraction(factor) <= Fraction(1, 1 << 63)


def test_shift_multiplier_at_the_ends() -> None:
    def pair(factor: float, bits: int = 16) -> tuple[int, int]:
        return shift_multiplier(factor, multiplier_bits=bits, accumulator_bits=32)

    assert pair(1.0) == (1 << 15, 15)
    assert pair(1 - 2.0**-20) == (1 << 15, 15)  # rounds up to a power of two
    assert pair(65535.0) == (65535, 0)
    assert pair(0.0) == (0, 0)
    assert pair(2.0**-60) == (4, 62)
    assert pair(2.0**-64) == (0, 62)
    for factor in (65535.9, 1e30):
        with pytest.raises(TraceDataError, match="factor of at most 65535"):
            pair(factor)


@pytest.mark.parametrize("factor", [-1.0, np.nan, np.inf])
def test_impossible_factors_are_refused(factor: float) -> None:
    with pytest.raises(TraceDataError, match="finite factor"):
        fixed_point_multiplier(factor)
    with pytest.raises(TraceDataError, match="finite factor"):
        shift_multiplier(factor, multiplier_bits=16, accumulator_bits=32)


def test_fixed_point_factor_too_large_is_refused() -> None:
    with pytest.raises(TraceDataError, match=r"below 2\*\*30"):
        fixed_point_multiplier(2.0**30)


def test_float_scale_repeats_float32_steps() -> None:
    rng = np.random.default_rng(0)
    for _ in range(200):
        x, y = rng.uniform(1e-4, 1, 2).astype(np.float32)
        w = rng.uniform(1e-4, 1, 3).astype(np.float32)
        step = dot_requantize("float_scale_half_even", float(x), w.astype(np.float64), float(y))
        assert step.scale is not None
        assert step.scale.dtype == np.float32
        np.testing.assert_array_equal(step.scale, (x * w) / y)


def test_dot_requantize_has_one_entry_a_weight_scale() -> None:
    scales = np.array([0.5, 0.25, 0.125])
    for mode in ("truncate_shift", "half_up_shift"):
        step = dot_requantize(mode, 1.0, scales, 2.0, multiplier_bits=8)
        assert step.multiplier is not None and step.shift is not None
        assert step.multiplier.tolist() == [128] * 3
        assert step.shift.tolist() == [9, 10, 11]
    step = dot_requantize("fixed_point_half_away", 1.0, scales, 2.0)
    assert step.shift is not None
    assert step.shift.tolist() == [-1, -2, -3]


def test_average_entries_divide_by_the_count() -> None:
    step = average_requantize("half_up_shift", 1.0, 1.0, 9, multiplier_bits=16)
    assert step.multiplier is not None and step.shift is not None
    for n in range(1, 10):
        factor = Fraction(int(step.multiplier[n - 1]), 1 << int(step.shift[n - 1]))
        assert abs(factor * n - 1) <= Fraction(1, 1 << 16)
    assert average_requantize("fixed_point_half_away", 1.0, 1.0, 9).multiplier is None
    real = average_requantize("float_scale_half_even", 0.3, 0.2, 2)
    np.testing.assert_array_equal(real.scale, np.array([0.3 / 0.2, 0.3 / 0.4], np.float32))


def test_concat_scales_each_input_by_its_own_factor() -> None:
    a, b = per_tensor(0.5, 3), per_tensor(0.25, 3)
    step = concat_requantize("half_up_shift", [a, b], a)
    assert step.multiplier is not None and step.shift is not None
    assert step.multiplier.tolist() == [1 << 15, 1 << 15]
    assert step.shift.tolist() == [15, 16]
    other_width = concat_requantize("float_scale_half_even", [a, per_tensor(0.5, 3, bits=7)], a)
    assert other_width.scale is not None
    assert other_width.scale.tolist() == [1.0, 1.0]


@example(scales=[1, 1, 1, 1, 376], output_scale=25, bits=16, accumulator_bits=24)  # 15.04: 15
@example(scales=[1, 1, 1, 1, 388], output_scale=25, bits=16, accumulator_bits=24)  # 15.52: 16
@given(
    scales=st.lists(st.floats(1e-3, 1e3), min_size=2, max_size=5),
    output_scale=st.floats(1e-1, 1e3),
    bits=st.integers(1, 16),
    accumulator_bits=st.sampled_from([24, 32, 40]),
)
def test_shift_add_sums_fit_their_accumulator(
    scales: list[float], output_scale: float, bits: int, accumulator_bits: int
) -> None:
    inputs = [per_tensor(s, 0, bits=bits) for s in scales]

    def decide() -> Requantize:
        output = per_tensor(output_scale)
        return add_requantize("half_up_shift", inputs, output, accumulator_bits=accumulator_bits)

    width = min(16, accumulator_bits - 1 - bits - (len(inputs) - 1).bit_length())
    if round(max(scales) / output_scale) > (1 << width) - 1:  # factors are rounded to multipliers
        with pytest.raises(TraceDataError, match="enlarge the output scale"):
            decide()
        return
    step = decide()
    assert step.multiplier is not None and step.shift is not None
    assert step.shift.shape == (1,)
    largest = sum(int(m) * ((1 << bits) - 1) for m in step.multiplier)
    assert largest < 1 << (accumulator_bits - 1)
    shift = int(step.shift[0])
    for multiplier, scale in zip(step.multiplier, scales, strict=True):
        error = abs(Fraction(int(multiplier), 1 << shift) - Fraction(scale / output_scale))
        assert error <= Fraction(1, 1 << (shift + 1))


def test_tflite_add_parameters() -> None:
    # the add n09 of a published uint8 MobileNetV2: scales and zero points as in its file
    a, b = (
        per_tensor(float(np.float32(0.40149295)), 136),
        per_tensor(float(np.float32(0.27583435)), 119),
    )
    out = per_tensor(float(np.float32(0.43216896)), 133)
    step = add_requantize("fixed_point_half_away", [a, b], out)
    assert step.multiplier is not None and step.shift is not None
    assert step.left_shift == 20
    twice = 2 * float(a.scale[0])
    factors = [0.5, float(b.scale[0]) / twice]
    for multiplier, shift, factor in zip(step.multiplier, step.shift, factors, strict=True):
        got = Fraction(int(multiplier)) * Fraction(2) ** (int(shift) - 31)
        assert abs(got / Fraction(factor) - 1) <= Fraction(1, 1 << 31)
    output = Fraction(step.output_multiplier) * Fraction(2) ** (step.output_shift - 31)
    need = Fraction(twice) / (Fraction(1 << 20) * Fraction(float(out.scale[0])))
    assert abs(output / need - 1) <= Fraction(1, 1 << 31)


@pytest.mark.parametrize(("bits", "zero", "left_shift"), [(8, 0, 20), (11, 0, 20), (16, 0, 15)])
def test_fixed_point_add_keeps_shifted_codes_within_int32(
    bits: int, zero: int, left_shift: int
) -> None:
    q = per_tensor(1.0, zero, bits=bits)
    step = add_requantize("fixed_point_half_away", [q, q], q)
    assert step.left_shift == left_shift
    assert (q.code_max - zero) << step.left_shift < 1 << 31


def test_choices_of_range_and_multiplier_compose() -> None:
    """A code difference of the whole input range lands within half a step of the output's."""
    source = choose_quantization(-1.0, 3.0, bits=8)
    output = choose_quantization(-1.0, 3.5, bits=8)
    step = concat_requantize("half_up_shift", [source], output)
    assert step.multiplier is not None and step.shift is not None
    for code in range(256):
        real = float(source.scale[0]) * (code - int(source.zero_point[0]))
        shift = int(step.shift[0])
        acc = (code - int(source.zero_point[0])) * int(step.multiplier[0])
        got = ((acc + (1 << (shift - 1))) >> shift) + int(output.zero_point[0])
        back = float(output.scale[0]) * (got - int(output.zero_point[0]))
        assert abs(back - real) <= 0.501 * float(output.scale[0])


def test_no_unknown_mode_is_taken_for_a_shift() -> None:
    quantization = choose_quantization(-1.0, 1.0, bits=8)
    two, scales = [quantization, quantization], np.ones(2)
    refused = pytest.raises(TraceDataError, match=r"need a mode of .*, got 'nonsense'")
    with refused:
        add_requantize("nonsense", two, quantization)
    with refused:
        dot_requantize("nonsense", 1.0, scales, 1.0)
    with refused:
        average_requantize("nonsense", 1.0, 1.0, 4)
