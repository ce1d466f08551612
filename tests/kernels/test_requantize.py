from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from bitpim.digital.modes import MODES
from bitpim_kernels.requantize import (
    UNKNOWN_MODE,
    Steps,
    note_outside,
    requantize_channels,
    requantize_one,
    requantize_rows,
)
from bitpim_traces.records import Requantize
from tests.naive.requantize import requantize

Form = Callable[[Any], Callable[..., Any]]
INT32 = 2**31


def make_steps(
    mode: str,
    multiplier: list[int] | None = None,
    shift: list[int] | None = None,
    scale: list[float] | None = None,
    *,
    zero_point: int = 0,
    clamp: tuple[int, int] = (-(2**15), 2**15 - 1),
    bounds: tuple[int, int] = (-(2**62), 2**62),
) -> Steps:
    n = max(len(values) for values in (multiplier or [], shift or [], scale or []))
    return Steps(
        MODES[mode].kernel_code,
        np.array(multiplier or [0] * n, np.int32),
        np.array(shift or [0] * n, np.int32),
        np.array(scale or [0.0] * n, np.float32),
        zero_point,
        *clamp,
        np.full(n, bounds[0], np.int64),
        np.full(n, bounds[1], np.int64),
    )


def rule_of(steps: Steps) -> Requantize:
    mode = next(m.name for m in MODES.values() if m.kernel_code == steps.mode)
    return Requantize(mode, steps.multiplier, steps.shift, steps.scale)


EXAMPLES = [
    # ties, on both sides of zero
    ("float_scale_half_even", 0, 0, 0.5, [(1, 0), (3, 2), (5, 2), (-1, 0), (-3, -2), (-5, -2)]),
    ("fixed_point_half_away", 2**30, 0, 0, [(1, 1), (3, 2), (-1, 0), (-3, -1), (5, 3)]),
    ("fixed_point_half_away", 2**30, -1, 0, [(2, 1), (6, 2), (-2, -1), (-6, -2), (10, 3)]),
    ("fixed_point_half_away", 2**30, 3, 0, [(1, 4), (-1, -4), (100, 400)]),
    ("truncate_shift", 1, 1, 0, [(1, 0), (3, 1), (-1, -1), (-3, -2)]),
    ("half_up_shift", 1, 1, 0, [(1, 1), (3, 2), (-1, 0), (-3, -1)]),
    ("half_up_shift", 3, 0, 0, [(1, 3), (-1, -3)]),
    ("truncate_shift", 2**31 - 1, 62, 0, [(2**31 - 1, 0), (-1, -1)]),
]


@pytest.mark.parametrize(("mode", "multiplier", "shift", "scale", "cases"), EXAMPLES)
def test_worked_examples(
    form: Form,
    mode: str,
    multiplier: int,
    shift: int,
    scale: float,
    cases: list[tuple[int, int]],
) -> None:
    steps = make_steps(mode, [multiplier], [shift], [scale])
    found = [int(form(requantize_one)(np.int64(acc), steps, 0)) for acc, _ in cases]
    assert found == [code for _, code in cases]


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("dtype", [np.int8, np.uint8, np.int16, np.uint16])
def test_both_ends_saturate_and_the_zero_point_is_inside(
    form: Form, mode: str, dtype: type[Any]
) -> None:
    limits = np.iinfo(dtype)
    low, high, zero = int(limits.min) + 1, int(limits.max) - 2, (limits.min + limits.max) // 2
    unit = {"float_scale_half_even": 0, "fixed_point_half_away": 2**30}.get(mode, 1)
    shift = 1 if mode == "fixed_point_half_away" else 0
    steps = make_steps(mode, [unit] * 5, [shift] * 5, [1.0] * 5, zero_point=zero, clamp=(low, high))
    acc = np.array([0, -(2**30), 2**30 - 1, 3, -3], np.int32)
    out = np.full(5, 7, dtype)
    form(requantize_channels)(acc, 0, 5, steps, 0, out)
    assert out.tolist() == [zero, low, high, zero + 3, zero - 3]


def test_a_scale_that_overflows_float32_saturates(form: Form) -> None:
    steps = make_steps("float_scale_half_even", scale=[3e38, 3e38], clamp=(-128, 127))
    out = np.zeros(2, np.int8)
    form(requantize_channels)(np.array([2**30, -(2**30)], np.int32), 0, 2, steps, 0, out)
    assert out.tolist() == [127, -128]


@settings(max_examples=150, deadline=None)
@given(
    st.sampled_from(sorted(MODES)),
    st.lists(st.integers(-INT32, INT32 - 1), min_size=1, max_size=20),
    st.integers(0, 2**30 - 1),
    st.integers(0, 31),
)
@example("float_scale_half_even", [2**24 + 1, 2**24 + 3, -(2**24) - 1], 2**20, 20)
@example("fixed_point_half_away", [-INT32, INT32 - 1], 0, 31)
def test_channels_equal_exact_fractions(
    mode: str, accumulators: list[int], seed: int, shift: int
) -> None:
    n = len(accumulators)
    rng = np.random.default_rng(seed)
    multiplier = rng.integers(2**30 if mode == "fixed_point_half_away" else 0, INT32, n)
    shifts = (shift + np.arange(n)) % 32
    if mode == "fixed_point_half_away":
        shifts = -shifts
    scale = np.ldexp(rng.uniform(0.5, 1.0, n), -shifts).astype(np.float32)
    steps = make_steps(mode, multiplier.tolist(), shifts.tolist(), scale.tolist(), zero_point=-5)
    rule = rule_of(steps)
    expected = [
        min(max(requantize(acc, rule, m) - 5, -(2**15)), 2**15 - 1)
        for m, acc in enumerate(accumulators)
    ]
    for dtype in (np.int32, np.int64):
        acc = np.array([9, *accumulators], dtype)
        out = np.zeros(n, np.int16)
        requantize_channels(acc, 1, n, steps, 0, out)
        assert out.tolist() == expected


def test_channels_write_only_their_own_part(form: Form) -> None:
    steps = make_steps("truncate_shift", [1, 2, 3, 4], [0] * 4)
    out = np.full(4, 50, np.int8)
    form(requantize_channels)(np.array([9, 10, 11], np.int32), 1, 2, steps, 1, out)
    assert out.tolist() == [50, 20, 33, 50]


def test_the_first_sum_out_of_bounds_is_noted_once(form: Form) -> None:
    steps = make_steps("truncate_shift", [1] * 4, [0] * 4, bounds=(-10, 10))
    fault = np.zeros(3, np.int64)
    note = form(note_outside)
    note(np.array([10, -10, 0, 5], np.int32), 0, 4, steps, 0, fault)
    assert fault.tolist() == [0, 0, 0]
    note(np.array([0, 0, -11, 12], np.int32), 1, 3, steps, 1, fault)
    assert fault.tolist() == [1, 2, -11]
    note(np.array([99, 99, 99, 99], np.int32), 0, 4, steps, 0, fault)
    assert fault.tolist() == [1, 2, -11]


def test_each_channel_has_bounds_of_its_own(form: Form) -> None:
    steps = make_steps("truncate_shift", [1] * 4, [0] * 4)
    steps = steps._replace(low=np.array([-5, -20, -10, -10]), high=np.array([5, 20, 10, 10]))
    for acc, noted in (([0, -15, -12, 0], [1, 2, -12]), ([0, 15, 12, 0], [1, 2, 12])):
        fault = np.zeros(3, np.int64)
        form(note_outside)(np.array(acc, np.int64), 0, 4, steps, 0, fault)
        assert fault.tolist() == noted


@pytest.mark.parametrize("mode", sorted(MODES))
@pytest.mark.parametrize("saturate", [False, True])
def test_rows_are_their_channels_after_a_constant(form: Form, mode: str, saturate: bool) -> None:
    """Each row, alone or not, is what `requantize_channels` makes of it; no other column is met."""
    rng = np.random.default_rng(5)
    steps = make_steps(mode, [2**30 + m for m in range(5)], [0] * 5, [0.5] * 5, zero_point=3)
    if mode in ("truncate_shift", "half_up_shift"):
        steps = make_steps(mode, [3, 1, 2, 5, 4], [1, 2, 0, 3, 1], zero_point=3)
    sums = rng.integers(-500, 500, (4, 3))
    constants = np.array([-100, 0, 7], np.int64)
    expected = np.full((4, 5), 99, np.int16)
    for row, acc in zip(expected, sums + constants, strict=True):
        requantize_channels(acc, 0, 3, steps, 1, row)
    out, fault = np.full((4, 5), 99, np.int16), np.zeros(3, np.int64)
    form(requantize_rows)(sums, constants, steps, 1, saturate, fault, out)
    assert np.array_equal(out, expected)
    assert not fault.any()


def test_rows_out_of_bounds_saturate_or_are_noted(form: Form) -> None:
    """Bounds hold the sum before its constant, at both ends inclusive."""
    steps = make_steps("truncate_shift", [1] * 4, [0] * 4)
    low, high = np.array([0, 0, -15, -5]), np.array([0, 0, 5, 15])  # -10 to 10 with the constant
    steps = steps._replace(low=low, high=high)
    constants = np.array([5, -5], np.int64)

    def read(sums: list[list[int]], saturate: bool) -> tuple[Any, list[int]]:
        out, fault = np.zeros((len(sums), 4), np.int16), np.zeros(3, np.int64)
        given_sums = np.array(sums, np.int64)
        form(requantize_rows)(given_sums, constants, steps, 2, saturate, fault, out)
        return out[:, 2:].tolist(), fault.tolist()

    assert read([[5, 15], [-15, -5]], False) == ([[10, 10], [-10, -10]], [0, 0, 0])
    wide = [[5, 15], [5, 16], [-16, -6]]
    assert read(wide, True) == ([[10, 10], [10, 10], [-10, -10]], [0, 0, 0])
    codes, fault = read(wide, False)
    assert fault == [1, 3, 16] and codes[0] == [10, 10]
    assert read([[2**62, 0]], True)[0] == [[10, -5]]
    assert read([[-(2**62), 0]], False)[1] == [1, 2, -(2**62)]


def test_no_rows_write_nothing(form: Form) -> None:
    steps = make_steps("truncate_shift", [1], [0])
    out, fault = np.zeros((0, 1), np.int8), np.zeros(3, np.int64)
    sums = np.zeros((0, 1), np.int64)
    form(requantize_rows)(sums, np.ones(1, np.int64), steps, 0, False, fault, out)
    assert not fault.any()


@pytest.mark.parametrize("code", [-1, 4, 7])
def test_a_mode_without_a_branch_is_refused(form: Form, code: int) -> None:
    """By every kernel that branches on it, before it writes a code."""
    steps = make_steps("half_up_shift", [1], [0])._replace(mode=code)
    with pytest.raises(ValueError, match="another") as refused:
        form(requantize_one)(np.int64(3), steps, 0)
    assert str(refused.value) == UNKNOWN_MODE
    out = np.full((1, 1), 99, np.int8)
    with pytest.raises(ValueError, match=UNKNOWN_MODE):
        form(requantize_channels)(np.array([3], np.int32), 0, 1, steps, 0, out[0])
    with pytest.raises(ValueError, match=UNKNOWN_MODE):
        sums, fault = np.ones((1, 1), np.int64), np.zeros(3, np.int64)
        form(requantize_rows)(sums, np.ones(1, np.int64), steps, 0, False, fault, out)
    assert out[0, 0] == 99
