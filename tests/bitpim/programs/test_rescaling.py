from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bitpim import programs
from bitpim.errors import ProgramError
from bitpim.programs.program import Program
from bitpim.proof.reference import requantize
from tests.array_programs import Rows, draw, run


def rescale_program(
    total_bits: int, multiplier_bits: int, rescale: programs.Rescale, mode: str
) -> Program:
    rows = Rows()
    total, multiplier = rows("total", total_bits), rows("multiplier", multiplier_bits)
    to = rows("product", total_bits + multiplier_bits)
    if mode == "fixed_point_half_away":
        scaled_bits = programs.scaled_width(total_bits, multiplier_bits, rescale.shift)
        scaled = rows("scaled", scaled_bits)
        n_bits = max(scaled_bits - max(-rescale.shift, 0), 1)
        result = rows("result", programs.result_width(n_bits, rescale))
        fields = programs.RescaleRows(total, multiplier, to, result, scaled)
        return programs.requantize_fixed_point(fields, rescale)
    n_bits = max(len(to) - rescale.shift, 1)
    result = rows("result", programs.result_width(n_bits, rescale))
    fields = programs.RescaleRows(total, multiplier, to, result)
    return programs.requantize_shift(fields, rescale, half_up=mode == "half_up_shift")


def plain_rescale(total: int, multiplier: int, rescale: programs.Rescale, mode: str) -> int:
    """The rules of the traces' FORMAT.md, in whole numbers of Python."""
    shift = rescale.shift
    if mode == "truncate_shift":
        y = total * multiplier >> shift
    elif mode == "half_up_shift":
        y = total * multiplier + (1 << shift - 1 if shift else 0) >> shift
    else:
        y = ((total << max(shift, 0)) * multiplier + (1 << 30)) // (1 << 31)
        right = max(-shift, 0)
        magnitude = (2 * abs(y) + (1 << right)) // (1 << right + 1)
        y = magnitude if y >= 0 else -magnitude
    low, high = rescale.clamp
    return min(max(y + rescale.zero_point, low), high)


MODES = ("truncate_shift", "half_up_shift", "fixed_point_half_away")


@settings(max_examples=80, deadline=None)
@given(
    mode=st.sampled_from(MODES),
    total_bits=st.integers(1, 32),
    shift=st.integers(0, 40),
    zero_point=st.integers(-128, 255),
    signed=st.booleans(),
    seed=st.integers(0, 2**32 - 1),
)
def test_requantize_is_the_plain_formula(
    mode: str, total_bits: int, shift: int, zero_point: int, signed: bool, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    bits = (-128, 127) if signed else (0, 255)
    low, high = sorted(rng.integers(*bits, 2, endpoint=True).tolist())
    if mode == "fixed_point_half_away":
        shift = max(min(32 - total_bits, 30) - shift, -31)  # from the largest left shift on
    rescale = programs.Rescale(shift, zero_point, (low, high), 8)
    total = draw(rng, total_bits, True, 65)
    multiplier_bits = 31 if mode == "fixed_point_half_away" else int(rng.integers(1, 32))
    multiplier = draw(rng, multiplier_bits, False, 65)
    if mode == "fixed_point_half_away":
        multiplier |= 1 << 30
    program = rescale_program(total_bits, multiplier_bits, rescale, mode)
    got = run(program, total=total, multiplier=multiplier)("result", signed=signed, bits=8)
    expected = [
        plain_rescale(int(t), int(m), rescale, mode) for t, m in zip(total, multiplier, strict=True)
    ]
    assert got.tolist() == expected
    shifts = np.array([shift])
    scaled = requantize(total, mode, multiplier=multiplier, shift=shifts)
    assert np.array_equal(got, np.clip(scaled + zero_point, low, high))


@pytest.mark.parametrize(
    ("mode", "shift", "expected"),
    [
        # -2.5 -1.5 -0.5 0.5 1.5 2.5 -0.75 -0.25 0.25 0.75; fixed point rounds to halves first
        ("truncate_shift", 2, [-3, -2, -1, 0, 1, 2, -1, -1, 0, 0]),
        ("half_up_shift", 2, [-2, -1, 0, 1, 2, 3, -1, 0, 0, 1]),
        ("fixed_point_half_away", -1, [-3, -2, -1, 1, 2, 3, -1, 0, 1, 1]),
    ],
)
def test_ties_go_where_the_mode_says(mode: str, shift: int, expected: list[int]) -> None:
    quarters = np.array([-10, -6, -2, 2, 6, 10, -3, -1, 1, 3])
    multiplier = 1 << 30 if mode == "fixed_point_half_away" else 1
    rescale = programs.Rescale(shift, 0, (-128, 127), 8)
    program = rescale_program(8, multiplier.bit_length(), rescale, mode)
    got = run(program, total=quarters, multiplier=multiplier)("result", signed=True, bits=8)
    assert got.tolist() == expected
    assert got.tolist() == [plain_rescale(int(q), multiplier, rescale, mode) for q in quarters]


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(
    ("clamp", "zero_point"), [((0, 255), 255), ((0, 255), 0), ((-128, 127), -128)]
)
def test_requantize_saturates_at_both_ends(
    mode: str, clamp: tuple[int, int], zero_point: int
) -> None:
    total = np.array([-(1 << 31), -(1 << 31) + 1, -1, 0, 1, (1 << 31) - 1])
    multiplier = (1 << 31) - 1
    rescale = programs.Rescale(0, zero_point, clamp, 8)
    program = rescale_program(32, 31, rescale, mode)
    assert program.n_rows <= 256
    got = run(program, total=total, multiplier=multiplier)
    codes = got("result", signed=clamp[0] < 0, bits=8)
    assert codes.tolist() == [plain_rescale(int(t), multiplier, rescale, mode) for t in total]
    assert codes[0] == clamp[0]
    assert codes[-1] == clamp[1]


def test_requantize_cycles_are_the_formula_it_states() -> None:
    for mode, total, multiplier, shift in product(MODES, (9, 32), (7, 31), (0, 5)):
        shift = -shift if mode == "fixed_point_half_away" else shift
        program = rescale_program(total, multiplier, programs.Rescale(shift, 3, (0, 255), 8), mode)
        r = program.field("result").width
        cycles = 2 * total + 2 + (multiplier - 1) * (total + 4) + r + 3 * r + 8 + 4
        if mode == "fixed_point_half_away":
            cycles += 2 + program.field("scaled").width + (2 - shift if shift else 1)
        else:
            cycles += 2 if mode == "half_up_shift" and shift else 1
        assert program.n_steps == cycles


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 64), st.booleans(), st.integers(0, 2**32 - 1))
def test_average_rounds_half_away(count: int, signed: bool, seed: int) -> None:
    rng = np.random.default_rng(seed)
    codes = np.stack([draw(rng, 8, signed, 65) for _ in range(count)])
    total = codes.sum(axis=0)
    n = 8 + count.bit_length() + 1
    rows = Rows()
    total_rows, average, divisor, not_divisor, rest = (
        rows(name, n) for name in ("total", "average", "count", "not_count", "rest")
    )
    sign = rows("sign", 1) if signed else None
    fields = programs.AverageRows(total_rows, average, divisor, not_divisor, rest, sign)
    program = programs.average(fields, count, signed=signed)
    got = run(program, total=total)("average", signed)
    magnitude = (2 * np.abs(total) + count) // (2 * count)
    assert np.array_equal(got, np.sign(total) * magnitude)
    assert 2 * program.n_steps == 2 * n + 2 * n + 2 + 3 * n * n + 9 * n + signed * (2 + 8 * n + 12)


def test_wrong_numbers_are_one_line() -> None:
    for mode, rescale, message in (
        ("truncate_shift", programs.Rescale(0, 0, (0, 256), 8), "need bounds of 8 bits"),
        ("truncate_shift", programs.Rescale(0, 0, (-129, 0), 8), "need bounds of 8 bits"),
        ("truncate_shift", programs.Rescale(0, 0, (5, 4), 8), "low <= high, got 5 and 4"),
        ("truncate_shift", programs.Rescale(-1, 0, (0, 255), 8), "need a shift >= 0, got -1"),
        ("fixed_point_half_away", programs.Rescale(32, 0, (0, 255), 8), "shift <= 31"),
    ):
        with pytest.raises(ProgramError, match=message):
            rescale_program(8, 8, rescale, mode)
    rows = Rows()
    fields = programs.AverageRows(*[rows(name, 4) for name in "abcde"])
    for count, signed, message in ((0, False, "count in 1..15"), (3, True, "row `sign`")):
        with pytest.raises(ProgramError, match=message):
            programs.average(fields, count, signed=signed)
