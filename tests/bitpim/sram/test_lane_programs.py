"""Programs of whole layers against the formulas they stand for, on arrays of stale rows."""

from collections.abc import Sequence
from fractions import Fraction

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bitpim.digital.modes import MODES
from bitpim.errors import ProgramError
from bitpim.sram.lane_programs import (
    RequantizeRule,
    Term,
    WindowCorrection,
    average_program,
    clamp_program,
    epilogue_program,
    maximum_program,
    rescale_program,
    sum_program,
)
from bitpim.sram.lanes import LaneProgram
from tests.array_programs import draw
from tests.naive import requantize as naive
from tests.naive.cache_arrays import run_lane_program

INTEGER_MODES = ("truncate_shift", "half_up_shift", "fixed_point_half_away")
N = 70
Codes = npt.NDArray[np.int64]


def rule(mode: str, shift: int, multiplier_bits: int = 7, signed: bool = True) -> RequantizeRule:
    clamp = (-120, 125) if signed else (3, 250)
    return RequantizeRule(
        MODES[mode], multiplier_bits, shift, -5 if signed else 130, clamp, 8, signed
    )


def rescaled(mode: str, acc: int, multiplier: int, rule: RequantizeRule) -> int:
    rules = {
        "truncate_shift": naive.truncate_shift,
        "half_up_shift": naive.half_up_shift,
        "fixed_point_half_away": naive.fixed_point_half_away,
    }
    code = rules[mode](acc, multiplier, rule.shift) + rule.zero_point
    return min(max(code, rule.clamp[0]), rule.clamp[1])


def run(program: LaneProgram, stream: Sequence[Codes] = (), /, **operands: Codes) -> Codes:
    """Run, and see that the cycles counted are those the program states."""
    used = {name: operands[name] for name in program.inputs}
    codes, counts = run_lane_program(program, 256, used, stream)
    n_arrays = -(-codes.size // 256)
    assert counts["sram_compute_cycle"] == n_arrays * program.n_steps(len(stream))
    return codes


def draw_multiplier(rng: np.random.Generator, mode: str) -> tuple[Codes, int, int]:
    """Yield multipliers, their bits, and a shift that leaves about 8 bits of 16."""
    if mode == "fixed_point_half_away":
        return rng.integers(1 << 30, 1 << 31, N), 31, -int(rng.integers(0, 9))
    return draw(rng, 7, False, N), 7, int(rng.integers(0, 16))


@settings(max_examples=50, deadline=None)
@given(
    mode=st.sampled_from(INTEGER_MODES),
    zero=st.sampled_from(["none", "power", "one", "channels"]),
    signed=st.booleans(),
    seed=st.integers(0, 2**32 - 1),
)
def test_sums_become_codes(mode: str, zero: str, signed: bool, seed: int) -> None:
    rng = np.random.default_rng(seed)
    sum_bits, window_bits, accumulator_bits = 14, 10, int(rng.integers(20, 27))
    multiplier, bits, shift = draw_multiplier(rng, mode)
    sums, window = draw(rng, sum_bits, False, N), draw(rng, window_bits, False, N)
    zeros = {
        "none": np.zeros(N, np.int64),
        "power": np.full(N, 1 << int(rng.integers(0, 8))),
        "one": np.full(N, 201),
        "channels": draw(rng, 8, False, N),
    }[zero]
    correction = None
    if zero == "power":
        correction = WindowCorrection(window_bits, int(zeros[0]).bit_length() - 1, 0)
    elif zero != "none":
        correction = WindowCorrection(window_bits, None, 8)
    total = draw(rng, 15, True, N)
    wanted = rule(mode, shift, bits, signed)
    program = epilogue_program(sum_bits, accumulator_bits, correction, wanted, 256)
    got = run(
        program,
        sum=sums,
        total=total,
        multiplier=multiplier,
        window=window,
        weight_zero=zeros,
    )
    accumulators = total + sums - zeros * window
    expected = [
        rescaled(mode, int(a), int(m), wanted)
        for a, m in zip(accumulators, multiplier, strict=True)
    ]
    assert got.tolist() == expected


def test_a_sum_as_wide_as_the_accumulator_wraps_back() -> None:
    """Sums of raw codes may pass the accumulator that the corrected sum fits."""
    program = epilogue_program(20, 16, None, rule("truncate_shift", 0), 256)
    sums = np.array([65_000, 65_535, 70_000 % 65_536])
    total = 10 - np.array([65_000, 65_535, 70_000])
    wrapped = ((total + 32_768) % 65_536) - 32_768
    got = run(program, sum=sums, total=wrapped, multiplier=np.ones(3, np.int64))
    assert got.tolist() == [5, 5, 5]


@settings(max_examples=40, deadline=None)
@given(
    mode=st.sampled_from(INTEGER_MODES),
    bits=st.integers(1, 8),
    signed=st.booleans(),
    seed=st.integers(0, 2**32 - 1),
)
def test_an_operand_is_centred_and_rescaled(mode: str, bits: int, signed: bool, seed: int) -> None:
    rng = np.random.default_rng(seed)
    multiplier, width, shift = draw_multiplier(rng, mode)
    zero = int(rng.integers(0, 1 << bits))
    x = draw(rng, bits, False, N)
    wanted = rule(mode, shift, width, signed)
    got = run(rescale_program(bits, zero, wanted, 256), x=x, multiplier=multiplier)
    expected = [
        rescaled(mode, int(a) - zero, int(m), wanted) for a, m in zip(x, multiplier, strict=True)
    ]
    assert got.tolist() == expected


@settings(max_examples=40, deadline=None)
@given(
    n=st.integers(1, 4),
    half_up=st.booleans(),
    signed=st.booleans(),
    seed=st.integers(0, 2**32 - 1),
)
def test_operands_are_added_by_a_common_shift(
    n: int, half_up: bool, signed: bool, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    mode = INTEGER_MODES[half_up]
    terms = [
        Term(
            int(b := rng.integers(1, 9)),
            int(rng.integers(0, 1 << b)),
            int(rng.choice([0, 1, int(rng.integers(1, 1 << 12))])),
        )
        for _ in range(n)
    ]
    wanted = rule(mode, int(rng.integers(0, 14)), 1, signed)
    operands = {f"x{i}": draw(rng, term.bits, False, N) for i, term in enumerate(terms)}
    got = run(sum_program(tuple(terms), 0, 1, wanted, 256), **operands)
    total = sum(
        (operands[f"x{i}"] - term.zero_point) * term.multiplier for i, term in enumerate(terms)
    )
    assert got.tolist() == [rescaled(mode, int(t), 1, wanted) for t in np.asarray(total)]


@settings(max_examples=30, deadline=None)
@given(
    n=st.integers(2, 3),
    left_shift=st.integers(0, 20),
    signed=st.booleans(),
    seed=st.integers(0, 2**32 - 1),
)
def test_operands_are_added_by_the_fixed_point_rule(
    n: int, left_shift: int, signed: bool, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    mode = "fixed_point_half_away"
    terms = [
        Term(8, int(rng.choice([0, 128, 255])), int(rng.integers(1 << 30, 1 << 31)), -int(s))
        for s in rng.integers(0, 5, n)
    ]
    multiplier = int(rng.integers(1 << 30, 1 << 31))
    wanted = rule(mode, -int(rng.integers(0, left_shift + 1)), 1, signed)
    operands = {f"x{i}": draw(rng, 8, False, N) for i in range(n)}
    got = run(sum_program(tuple(terms), left_shift, multiplier, wanted, 256), **operands)
    expected = []
    for lane in range(N):
        total = 0
        for i, term in enumerate(terms):
            assert term.shift is not None
            x = int(operands[f"x{i}"][lane] - term.zero_point) << left_shift
            total += naive.fixed_point_half_away(x, term.multiplier, term.shift)
        expected.append(rescaled(mode, total, multiplier, wanted))
    assert got.tolist() == expected


@pytest.mark.parametrize("bits", [1, 5, 8, 16])
@pytest.mark.parametrize("n_taps", [1, 2, 9])
def test_the_largest_of_a_window(bits: int, n_taps: int) -> None:
    rng = np.random.default_rng(bits)
    stream = [draw(rng, bits, False, 300) for _ in range(n_taps)]
    got = run(maximum_program(bits, 256), stream)
    assert np.array_equal(got, np.max(stream, axis=0))


@settings(max_examples=40, deadline=None)
@given(
    mode=st.sampled_from(INTEGER_MODES),
    count=st.integers(1, 30),
    n_padding=st.integers(0, 6),
    zero=st.sampled_from([0, 1, 128, 255]),
    signed=st.booleans(),
    seed=st.integers(0, 2**32 - 1),
)
def test_averages(
    mode: str, count: int, n_padding: int, zero: int, signed: bool, seed: int
) -> None:
    """Padding holds the zero point; the sum less an offset is rescaled, or divided by a count."""
    rng = np.random.default_rng(seed)
    codes = [draw(rng, 8, False, N) for _ in range(count)]
    stream = codes + [np.full(N, zero)] * n_padding
    n_taps = len(stream)
    centred = np.sum(codes, axis=0) - count * zero
    if mode == "fixed_point_half_away":
        code_offset = 128 if signed else 0  # of the encoding: raw = encoded - offset
        offset = n_taps * zero - count * (zero - code_offset)
        wanted = rule(mode, 0, 1, signed)
        raw = np.sum(codes, axis=0) - count * code_offset
        program = average_program(8, n_taps, offset, wanted, count, 256)
        low, high = wanted.clamp
        expected = [min(max(naive.half_away(Fraction(int(r), count)), low), high) for r in raw]
        assert run(program, stream).tolist() == expected
        return
    wanted = rule(mode, 9, 9, signed)
    multiplier = 512 // count
    program = average_program(8, n_taps, n_taps * zero, wanted, count, 256)
    got = run(program, stream, multiplier=np.full(N, multiplier % 512))
    assert got.tolist() == [rescaled(mode, int(c), multiplier % 512, wanted) for c in centred]


@pytest.mark.parametrize(
    ("bits", "bounds"), [(1, (0, 0)), (8, (0, 255)), (8, (17, 17)), (5, (3, 30))]
)
def test_clamps(bits: int, bounds: tuple[int, int]) -> None:
    x = np.arange(1 << bits)
    assert np.array_equal(run(clamp_program(bits, bounds, 256), x=x), np.clip(x, *bounds))


def test_a_program_that_needs_more_rows_is_one_line() -> None:
    wanted = rule("half_up_shift", 3, 31)
    with pytest.raises(ProgramError, match=r"need .* rows for field .*, got 100"):
        epilogue_program(24, 32, WindowCorrection(16, None, 8), wanted, 100)
