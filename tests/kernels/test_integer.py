from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from bitpim_kernels import integer
from bitpim_kernels.integer import Filters, Pool, Window
from tests.kernels.test_requantize import make_steps

Form = Callable[[Any], Callable[..., Any]]
Array = npt.NDArray[Any]
NO_FAULT = np.zeros(0, np.int64)


def identity(n: int) -> Any:
    return make_steps("truncate_shift", [1] * n, [0] * n)


def naive_convolution(images: Array, weights: Array, bias: Array, window: Window) -> Array:
    """Sum products one by one: images (N, H, W, C), weights (M, C of a group, R, S)."""
    n_filters, per_group, height, width = weights.shape
    out = np.zeros((images.shape[0], window.rows, window.cols, n_filters), np.int64)
    for b, y, x, m in np.ndindex(*out.shape):
        first = m // (n_filters // window.groups) * per_group
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
    window = Window(height, width, channels, groups, rows, cols, step_y, step_x)
    rng = np.random.default_rng(0)
    images = rng.integers(-9, 10, (2, height, width, channels))
    weights = rng.integers(-9, 10, (n_filters, channels // groups, tall, wide))
    bias = rng.integers(-99, 100, n_filters)
    expected = naive_convolution(images, weights, bias, window)

    flat = np.append(images.ravel(), [77, 77])  # what an odd run reads beyond the end is not used
    runs, steps = taps(weights, window), identity(n_filters)
    out = np.zeros(expected.shape, np.int16)
    narrow = Filters(tiles(weights, groups), runs, spread_bias(bias, groups))
    sums = np.full((integer.SEGMENT, narrow.bias.size), 5, np.int32)
    form(integer.convolve)(flat.astype(np.int16), window, narrow, steps, sums, out, NO_FAULT)
    assert np.array_equal(out, expected)

    out[:] = 0
    order = weights.transpose(0, 2, 3, 1).reshape(n_filters, tall * wide, channels // groups)
    wide_filters = Filters(order.astype(np.int32), runs, bias)
    acc = np.full(n_filters, 5)
    images32 = flat.astype(np.int32)
    form(integer.convolve_wide)(images32, window, wide_filters, steps, acc, out, NO_FAULT)
    assert np.array_equal(out, expected)

    if groups == channels == n_filters:
        out[:] = 0
        by_run = np.ascontiguousarray(order[:, :, 0].T).astype(np.int32)
        depthwise = Filters(by_run, runs, bias.astype(np.int32))
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
    window = Window(1, 4, 4, 1, 1, 1, 1, 1)
    bias = np.zeros(16, np.int32)
    bias[0] = rest - 32767 * 32767
    sums = np.zeros((integer.SEGMENT, 16), np.int32)
    out = np.zeros((1, 1, 1, 1), np.int16)
    filters = Filters(weights, np.zeros(1, np.int64), bias)
    form(integer.convolve)(codes, window, filters, identity(1), sums, out, NO_FAULT)
    assert sums[0, 0] == 2**31 - 1


def test_a_sum_out_of_bounds_is_noted(form: Form) -> None:
    window = Window(1, 3, 1, 1, 1, 3, 1, 1)
    steps = make_steps("truncate_shift", [1], [0], bounds=(-4, 5))
    codes, out = np.array([1, 2, 3, 0, 0]), np.zeros((1, 1, 3, 1), np.int8)
    runs = np.zeros(1, np.int64)
    fault = np.zeros(3, np.int64)
    bias = np.zeros(16, np.int32)
    weight = np.array([[[[2] + [0] * 31]]], np.int16).reshape(1, 1, 1, 1, 32)
    sums = np.zeros((integer.SEGMENT, 16), np.int32)
    filters = Filters(weight, runs, bias)
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
    pool = Pool(2, 2, 2, 2, 1, 1, 1, 1, -1, -1)  # padded above and to the left
    out = np.zeros((1, 2, 2, 1), np.int8)
    form(integer.maximum_windows)(codes, pool, -128, out)
    assert out.ravel().tolist() == [-5, -7, -8, -4]
    acc, fault = np.zeros(1, np.int64), np.zeros(3, np.int64)
    steps = make_steps("half_up_shift", [12, 6, 4, 3], [0] * 4)  # a twelfth, so that all divide
    out16 = np.zeros((1, 2, 2, 1), np.int16)
    form(integer.average_windows)(codes, pool, -10, steps, acc, out16, fault)
    assert out16.ravel().tolist() == [12 * 5, 6 * (3 + 1), 12 * 2, 6 * (4 + 6)]
    assert fault.tolist() == [0, 0, 0]


@pytest.mark.parametrize(("zero_point", "bottom"), [(0, -1), (3, 3)])
def test_means_of_raw_codes_round_half_away(form: Form, zero_point: int, bottom: int) -> None:
    codes = np.array([1, 2, -1, -2], np.int8).reshape(1, 2, 2, 1)
    pool = Pool(1, 2, 1, 2, 1, 1, 0, 0, bottom, bottom)
    steps = make_steps("fixed_point_half_away", [1, 1], [0, 0], clamp=(-128, 127))
    out = np.zeros((1, 2, 1, 1), np.int8)
    acc, fault = np.zeros(1, np.int64), np.zeros(3, np.int64)
    form(integer.average_windows)(codes, pool, zero_point, steps, acc, out, fault)
    assert out.ravel().tolist() == [2, -2]


def test_dilated_windows_skip(form: Form) -> None:
    codes = np.arange(5, dtype=np.uint8).reshape(1, 1, 5, 1)
    out = np.zeros((1, 1, 3, 1), np.uint8)
    pool = Pool(1, 2, 1, 1, 1, 2, 0, 0, 0, 0)
    form(integer.maximum_windows)(codes, pool, 0, out)
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
