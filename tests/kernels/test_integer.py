from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from bitpim_kernels import integer
from bitpim_kernels.integer import Filters
from bitpim_kernels.requantize import UNKNOWN_MODE
from bitpim_kernels.windows import Window
from tests.kernels.test_requantize import make_steps

Form = Callable[[Any], Callable[..., Any]]
Array = npt.NDArray[Any]
NO_FAULT = np.zeros(0, np.int64)


def identity(n: int) -> Any:
    return make_steps("truncate_shift", [1] * n, [0] * n)


def window_over(
    shape: tuple[int, int, int], kernel: tuple[int, int] = (1, 1), **changes: int
) -> Window:
    """Return a window over images (height, width, channels), of strides of 1 unless changed."""
    window = Window(*shape, *kernel, 1, 1, 1, 1, 0, 0, 1, 1)
    return window._replace(**changes)


def naive_convolution(images: Array, weights: Array, bias: Array, window: Window) -> Array:
    """Sum products one by one: images (N, H, W, C), weights (M, C of a group, R, S)."""
    n_filters, per_group, height, width = weights.shape
    groups = window.channels // per_group
    out = np.zeros((images.shape[0], window.rows, window.cols, n_filters), np.int64)
    for b, y, x, m in np.ndindex(*out.shape):
        first = m // (n_filters // groups) * per_group
        total = int(bias[m])
        for i, r, s in np.ndindex(per_group, height, width):
            row, col = y * window.stride_y + r, x * window.stride_x + s
            total += int(images[b, row, col, first + i]) * int(weights[m, i, r, s])
        out[b, y, x, m] = total
    return out


def taps(weights: Array, window: Window) -> Array:
    """Offsets of the window's elements, one run each."""
    down = np.arange(weights.shape[2])[:, None] * window.width
    return ((down + np.arange(weights.shape[3])) * window.channels).ravel().astype(np.int64)


def tiles(weights: Array, groups: int) -> Array:
    """Weights as `convolve` reads them, placed one by one."""
    n_filters, per_group, height, width = weights.shape
    share, n_pairs = n_filters // groups, (per_group + 1) // 2
    out = np.zeros((groups, (share + 15) // 16, height * width, n_pairs, 32), np.int16)
    for m, i, r, s in np.ndindex(*weights.shape):
        g, f = divmod(m, share)
        out[g, f // 16, r * width + s, i // 2, 2 * (f % 16) + i % 2] = weights[m, i, r, s]
    return out


def spread_bias(bias: Array, groups: int) -> Array:
    share = bias.size // groups
    out = np.zeros((groups, (share + 15) // 16 * 16), np.int32)
    out[:, :share] = bias.reshape(groups, share)
    return out.ravel()


SHAPES = [
    # channels, filters, groups, image height and width, conv kernel, stride
    (1, 1, 1, (1, 1), (1, 1), (1, 1)),
    (3, 5, 1, (4, 6), (3, 2), (1, 1)),
    (2, 17, 1, (3, 9), (2, 3), (2, 2)),
    (4, 6, 2, (3, 7), (3, 3), (1, 2)),
    (6, 6, 2, (2, 38), (1, 2), (1, 1)),
    (3, 3, 3, (4, 5), (2, 2), (1, 2)),
]


@pytest.mark.parametrize("shape", SHAPES)
def test_convolutions_sum_every_product_once(form: Form, shape: Any) -> None:
    channels, n_filters, groups, (height, width), (tall, wide), (step_y, step_x) = shape
    rows, cols = (height - tall) // step_y + 1, (width - wide) // step_x + 1
    window = window_over(
        (height, width, channels),
        (tall, wide),
        rows=rows,
        cols=cols,
        stride_y=step_y,
        stride_x=step_x,
    )
    rng = np.random.default_rng(0)
    images = rng.integers(-9, 10, (2, height, width, channels))
    weights = rng.integers(-9, 10, (n_filters, channels // groups, tall, wide))
    bias = rng.integers(-99, 100, n_filters)
    expected = naive_convolution(images, weights, bias, window)

    flat = np.append(images.ravel(), [77, 77])  # what an odd run reads beyond the end is not used
    runs, steps = taps(weights, window), identity(n_filters)
    out = np.zeros(expected.shape, np.int16)
    narrow = Filters(tiles(weights, groups), runs, spread_bias(bias, groups), groups)
    sums = np.full((integer.SEGMENT, narrow.bias.size), 5, np.int32)
    form(integer.convolve)(flat.astype(np.int16), window, narrow, steps, sums, out, NO_FAULT)
    assert np.array_equal(out, expected)

    out[:] = 0
    order = weights.transpose(0, 2, 3, 1).reshape(n_filters, tall * wide, channels // groups)
    wide_filters = Filters(order.astype(np.int32), runs, bias, groups)
    acc = np.full(n_filters, 5)
    images32 = flat.astype(np.int32)
    form(integer.convolve_wide)(images32, window, wide_filters, steps, acc, out, NO_FAULT)
    assert np.array_equal(out, expected)

    if groups == channels == n_filters:
        out[:] = 0
        by_run = np.ascontiguousarray(order[:, :, 0].T).astype(np.int32)
        depthwise = Filters(by_run, runs, bias.astype(np.int32), groups)
        acc32 = np.full(n_filters, 5, np.int32)
        run = form(integer.convolve_depthwise)
        run(flat.astype(np.int16), window, depthwise, steps, acc32, out, NO_FAULT)
        assert np.array_equal(out, expected)


def test_narrow_sums_are_exact_at_the_ends_of_int32(form: Form) -> None:
    """A pair of the largest products, beside a bias that brings the sum to the last int32."""
    codes = np.array([32767, -32768, 32767, 0, 0], np.int16)
    weights = np.zeros((1, 1, 1, 2, 32), np.int16)
    weights[0, 0, 0, :, 0] = 32767
    weights[0, 0, 0, :, 1] = -32767
    rest = 2**31 - 1 - (32767 * 32767 + 32768 * 32767)
    window = window_over((1, 4, 4))
    bias = np.zeros(16, np.int32)
    bias[0] = rest - 32767 * 32767
    sums = np.zeros((integer.SEGMENT, 16), np.int32)
    out = np.zeros((1, 1, 1, 1), np.int16)
    filters = Filters(weights, np.zeros(1, np.int64), bias, 1)
    form(integer.convolve)(codes, window, filters, identity(1), sums, out, NO_FAULT)
    assert sums[0, 0] == 2**31 - 1


def test_a_sum_out_of_bounds_is_noted(form: Form) -> None:
    window = window_over((1, 3, 1), cols=3)
    steps = make_steps("truncate_shift", [1], [0], bounds=(-4, 5))
    codes, out = np.array([1, 2, 3, 0, 0]), np.zeros((1, 1, 3, 1), np.int8)
    runs = np.zeros(1, np.int64)
    fault = np.zeros(3, np.int64)
    bias = np.zeros(16, np.int32)
    weight = np.array([[[[2] + [0] * 31]]], np.int16).reshape(1, 1, 1, 1, 32)
    sums = np.zeros((integer.SEGMENT, 16), np.int32)
    filters = Filters(weight, runs, bias, 1)
    form(integer.convolve)(codes.astype(np.int16), window, filters, steps, sums, out, fault)
    assert fault.tolist() == [1, 0, 6]


def test_images_are_centred_inside_zeroed_borders(form: Form) -> None:
    codes = np.arange(2 * 2 * 3 * 2, dtype=np.uint8).reshape(2, 2, 3, 2)
    for dtype in (np.int16, np.int32):
        out = np.full((2, 5, 6, 2), 99, dtype)
        form(integer.centre_images)(codes, 7, 1, 2, out)
        expected = np.zeros_like(out)
        expected[:, 1:3, 2:5] = codes.astype(dtype) - 7
        assert np.array_equal(out, expected)


def test_windows_look_only_at_the_image(form: Form) -> None:
    codes = np.array([[-5, -7, -9], [-8, -6, -4]], np.int8).reshape(1, 2, 3, 1)
    window = window_over((2, 3, 1), (2, 2), stride_y=2, stride_x=2, top=1, left=1)
    out = np.zeros((1, 2, 2, 1), np.int8)
    form(integer.maximum_windows)(codes, window, -128, out)
    assert out.ravel().tolist() == [-5, -7, -8, -4]
    acc, fault = np.zeros(1, np.int64), np.zeros(3, np.int64)
    steps = make_steps("half_up_shift", [12, 6, 4, 3], [0] * 4)  # a twelfth, so that all divide
    out16 = np.zeros((1, 2, 2, 1), np.int16)
    counts = np.array([[1, 2], [1, 2]])
    form(integer.average_windows)(codes, window, counts, -10, steps, acc, out16, fault)
    assert out16.ravel().tolist() == [12 * 5, 6 * (3 + 1), 12 * 2, 6 * (4 + 6)]
    assert fault.tolist() == [0, 0, 0]


@pytest.mark.parametrize("zero_point", [0, 3])
def test_means_of_raw_codes_round_half_away(form: Form, zero_point: int) -> None:
    codes = np.array([1, 2, -1, -2], np.int8).reshape(1, 2, 2, 1)
    window = window_over((2, 2, 1), (1, 2), stride_x=2)
    counts = np.full((2, 1), 2)
    steps = make_steps("fixed_point_half_away", [1, 1], [0, 0], clamp=(-128, 127))
    out = np.zeros((1, 2, 1, 1), np.int8)
    acc, fault = np.zeros(1, np.int64), np.zeros(3, np.int64)
    form(integer.average_windows)(codes, window, counts, zero_point, steps, acc, out, fault)
    assert out.ravel().tolist() == [2, -2]


@pytest.mark.parametrize(("code", "total"), [(100, 200), (-100, -200), (75, None), (-75, None)])
def test_a_sum_of_a_window_out_of_bounds_is_noted(form: Form, code: int, total: int | None) -> None:
    codes = np.full((1, 1, 2, 1), code, np.int8)
    steps = make_steps("truncate_shift", [1, 1], [1, 1], bounds=(-150, 150))
    acc, out, fault = np.zeros(1, np.int64), np.zeros((1, 1, 1, 1), np.int8), np.zeros(3, np.int64)
    window = window_over((1, 2, 1), (1, 2))
    form(integer.average_windows)(codes, window, np.full((1, 1), 2), 0, steps, acc, out, fault)
    assert fault.tolist() == ([0, 0, 0] if total is None else [1, 0, total])


def test_dilated_windows_skip(form: Form) -> None:
    codes = np.arange(5, dtype=np.uint8).reshape(1, 1, 5, 1)
    out = np.zeros((1, 1, 3, 1), np.uint8)
    window = window_over((1, 5, 1), (1, 2), dilation_x=2)
    form(integer.maximum_windows)(codes, window, 0, out)
    assert out.ravel().tolist() == [2, 3, 4]


def test_float_sums_start_from_the_last_input(form: Form) -> None:
    """2**24 + 1 + 1 in float32 depends on the order; the last input is added first."""
    codes = (np.array([1], np.int32), np.array([1], np.int32), np.array([2**24], np.int32))
    total, out = np.zeros(integer.ADD_BLOCK, np.float32), np.zeros(1, np.int32)
    scales = np.ones(3)
    clamp = (-(2**25), 2**25)
    form(integer.add_float)(codes, scales, np.float32(0), clamp, total, out)
    assert out[0] == 2**24
    form(integer.add_float)(codes[::-1], scales, np.float32(0), clamp, total, out)
    assert out[0] == 2**24 + 2


def test_integer_sums(form: Form) -> None:
    codes = (np.array([5, 250], np.uint8), np.array([7, 0], np.uint8))
    zeros = np.array([5, 3])
    total, out = np.zeros(integer.ADD_BLOCK, np.int64), np.zeros(2, np.int16)
    terms = make_steps("half_up_shift", [3, 5], [1, 1])
    last = make_steps("half_up_shift", [1] * integer.ADD_BLOCK, [3] * integer.ADD_BLOCK)
    add = form(integer.add_integer)
    add(codes, zeros, terms, 0, last, total, out, NO_FAULT)
    assert out.tolist() == [(20 + 4) // 8, (245 * 3 - 15 + 4) // 8]
    terms = make_steps("fixed_point_half_away", [2**30, 2**30], [0, 1])  # a half, and one
    last = make_steps("fixed_point_half_away", [2**30] * 1024, [-3] * 1024)  # a sixteenth
    add(codes, zeros, terms, 4, last, total, out, NO_FAULT)
    assert out.tolist() == [4, 120]  # 64 / 16, and (1960 - 48) / 16 = 119.5 away from zero


def test_tables_are_read_into_columns(form: Form) -> None:
    codes = np.array([[-2, 1], [0, -1]], np.int8)
    table = np.array([10, 20, 30, 40], np.uint8)
    out = np.full((2, 4), 7, np.uint8)
    form(integer.look_up)(codes, -2, table, 1, out)
    assert out.tolist() == [[7, 10, 40, 7], [7, 30, 20, 7]]


def test_a_mode_without_a_branch_is_refused(form: Form) -> None:
    """By the layers that branch on it themselves; the others do so in `requantize`."""
    one, fault = np.ones((1, 1, 1, 1), np.int8), np.zeros(3, np.int64)
    acc, out = np.zeros(1, np.int64), np.full((1, 1, 1, 1), 99, np.int8)
    known = make_steps("half_up_shift", [1] * integer.ADD_BLOCK, [0] * integer.ADD_BLOCK)
    total = np.zeros(integer.ADD_BLOCK, np.int64)
    for code in (0, -1, 4):
        steps = known._replace(mode=code)
        if code:
            with pytest.raises(ValueError, match=UNKNOWN_MODE):
                window, counts = window_over((1, 1, 1)), np.ones((1, 1), np.int64)
                form(integer.average_windows)(one, window, counts, 0, steps, acc, out, fault)
        with pytest.raises(ValueError, match=UNKNOWN_MODE):  # the float mode has its own kernel
            inputs = (one.ravel(), one.ravel())
            zeros = np.zeros(2, np.int64)
            form(integer.add_integer)(inputs, zeros, steps, 0, known, total, out.ravel(), fault)
    assert out.item() == 99
