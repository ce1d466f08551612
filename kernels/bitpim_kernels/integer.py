"""Exact integer layers: what the digital periphery computes, fast enough for whole test sets.

Images are channels last (N, H, W, C): a window's row is one contiguous run of codes. Convolutions
read *centred* codes, code minus zero point, from a padded copy in which padding is 0.

Three forms of one sum of products: 16-bit operands with int32 sums (the fast one), the same by
channel for depthwise layers, and int64 sums for whatever the caller cannot prove to fit.

Kernels are serial and release the GIL: callers share a batch out over threads.
"""

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from bitpim_kernels.jit import kernel
from bitpim_kernels.requantize import (
    FIXED_POINT_HALF_AWAY,
    HALF_UP_SHIFT,
    TRUNCATE_SHIFT,
    UNKNOWN_MODE,
    Steps,
    fixed_point,
    note_outside,
    requantize_channels,
    requantize_one,
)
from bitpim_kernels.vector import TILE_FILTERS, TILE_PIXELS, multiply_tile
from bitpim_kernels.windows import Window

__all__ = [
    "ADD_BLOCK",
    "SEGMENT",
    "Filters",
    "add_float",
    "add_integer",
    "average_windows",
    "centre_images",
    "convolve",
    "convolve_depthwise",
    "convolve_wide",
    "look_up",
    "maximum_windows",
]

SEGMENT = 32
"""Output pixels of one row that are summed before they are requantized."""

ADD_BLOCK = 1024
"""Elements that `add_float` and `add_integer` sum before they are requantized."""

Codes = npt.NDArray[Any]
Fault = npt.NDArray[np.int64]


class Filters(NamedTuple):
    """Centred weights in the order a kernel reads them; `runs` says where a pixel's codes lie.

    Shapes
    ------
    weights: convolve (groups, blocks, n_runs, n_pairs, 32) int16; convolve_depthwise (n_runs, C)
        int32; convolve_wide (M, n_runs, run length) int32
    runs: (n_runs,) offsets from the window's first code
    bias: (groups * blocks * 16,), (C,) or (M,) in the accumulator's dtype
    """

    weights: Codes
    runs: npt.NDArray[np.int64]
    bias: Codes
    groups: int


@kernel()
def centre_images(codes: Codes, zero_point: int, top: int, left: int, out: Codes) -> None:
    """Write codes minus the zero point into the middle of zeroed images.

    Shapes
    ------
    codes: (N, H, W, C)
    out: (N, padded H, padded W, C) int16 or int32
    """
    n, height, width, channels = codes.shape
    tall, wide = out.shape[1], out.shape[2]
    for i in range(n * tall):
        target = out[i // tall, i % tall].reshape(wide * channels)
        y = i % tall - top
        if y < 0 or y >= height:
            target[:] = 0
        else:
            row = codes[i // tall, y].reshape(width * channels)
            begin = left * channels
            end = begin + width * channels
            target[:begin] = 0
            for j in range(width * channels):
                target[begin + j] = np.int32(row[j]) - np.int32(zero_point)
            target[end:] = 0


@kernel()
def convolve(
    images: npt.NDArray[np.int16],
    window: Window,
    filters: Filters,
    steps: Steps,
    sums: npt.NDArray[np.int32],
    out: Codes,
    fault: Fault,
) -> None:
    """Write convolved, requantized codes; every sum is proven to fit int32.

    The window lies over images whose padding is in them already: its `top` and `left` are 0.

    Shapes
    ------
    images: flat, N images (height, width, channels) and two codes more
    sums: (SEGMENT, groups * blocks * 16) scratch
    out: (N, rows, cols, M)
    fault: (3,), or (0,) when the bounds need no look
    """
    groups, blocks = filters.groups, filters.weights.shape[1]
    per_row = (window.cols + SEGMENT - 1) // SEGMENT
    n_filters = out.shape[3] // groups
    step = window.stride_x * window.channels
    for unit in range(out.shape[0] * window.rows * per_row):
        i, y = unit // per_row // window.rows, unit // per_row % window.rows
        x = unit % per_row * SEGMENT
        n = min(SEGMENT, window.cols - x)
        start = (i * window.height + y * window.stride_y) * window.width * window.channels
        start += x * step
        for p in range(n):
            sums[p, :] = filters.bias
        for g in range(groups):
            at = start + g * (window.channels // groups)
            for b in range(blocks):
                weights = filters.weights[g, b]
                first = (g * blocks + b) * TILE_FILTERS
                for p in range(0, n, TILE_PIXELS):
                    rest = min(TILE_PIXELS, n - p)
                    acc = sums[p : p + rest]
                    multiply_tile(
                        images, at + p * step, step, rest, filters.runs, weights, acc, first
                    )
        for p in range(n):
            for g in range(groups):
                at, first = g * blocks * TILE_FILTERS, g * n_filters
                if fault.shape[0] > 0:
                    note_outside(sums[p], at, n_filters, steps, first, fault)
                requantize_channels(sums[p], at, n_filters, steps, first, out[i, y, x + p])


@kernel()
def convolve_depthwise(
    images: npt.NDArray[np.int16],
    window: Window,
    filters: Filters,
    steps: Steps,
    acc: npt.NDArray[np.int32],
    out: Codes,
    fault: Fault,
) -> None:
    """Write convolved, requantized codes when every channel is its own group with one filter.

    Shapes
    ------
    As `convolve`, with one accumulator a channel: acc (C,) scratch.
    """
    channels = acc.shape[0]
    for unit in range(out.shape[0] * window.rows * window.cols):
        i, y = unit // window.cols // window.rows, unit // window.cols % window.rows
        x = unit % window.cols
        start = (i * window.height + y * window.stride_y) * window.width
        start = (start + x * window.stride_x) * channels
        for m in range(channels):  # a loop: Numba's slice assignment measured 0.8 as fast here
            acc[m] = filters.bias[m]
        for r in range(filters.runs.shape[0]):
            seen = images[start + filters.runs[r] : start + filters.runs[r] + channels]
            weight = filters.weights[r]
            for m in range(channels):
                acc[m] += np.int32(seen[m]) * weight[m]
        if fault.shape[0] > 0:
            note_outside(acc, 0, channels, steps, 0, fault)
        requantize_channels(acc, 0, channels, steps, 0, out[i, y, x])


@kernel()
def convolve_wide(
    images: npt.NDArray[np.int32],
    window: Window,
    filters: Filters,
    steps: Steps,
    acc: npt.NDArray[np.int64],
    out: Codes,
    fault: Fault,
) -> None:
    """Write convolved, requantized codes with int64 sums, for any groups.

    Shapes
    ------
    As `convolve`, with images int32 and one accumulator a filter: acc (M,) scratch.
    """
    n_filters, _, length = filters.weights.shape
    per_group = n_filters // filters.groups
    group_channels = window.channels // filters.groups
    for unit in range(out.shape[0] * window.rows * window.cols):
        i, y = unit // window.cols // window.rows, unit // window.cols % window.rows
        x = unit % window.cols
        start = (i * window.height + y * window.stride_y) * window.width
        start = (start + x * window.stride_x) * window.channels
        for m in range(n_filters):
            total = np.int64(filters.bias[m])
            for r in range(filters.runs.shape[0]):
                at = start + filters.runs[r] + m // per_group * group_channels
                for k in range(length):
                    total += np.int64(images[at + k]) * np.int64(filters.weights[m, r, k])
            acc[m] = total
        if fault.shape[0] > 0:
            note_outside(acc, 0, n_filters, steps, 0, fault)
        requantize_channels(acc, 0, n_filters, steps, 0, out[i, y, x])


@kernel()
def maximum_windows(codes: Codes, window: Window, lowest: int, out: Codes) -> None:
    """Write the largest code of each window; `lowest` where a window sees no image.

    Shapes
    ------
    codes: (N, height, width, channels)
    out: (N, rows, cols, channels)
    """
    n, rows, cols, channels = out.shape
    for line in range(n * rows):
        i = line // rows
        for x in range(cols):
            best = out[i, line % rows, x]
            best[:] = lowest
            for r in range(window.kernel_y):
                y_in = line % rows * window.stride_y + r * window.dilation_y - window.top
                if y_in < 0 or y_in >= window.height:
                    continue
                for s in range(window.kernel_x):
                    x_in = x * window.stride_x + s * window.dilation_x - window.left
                    if x_in < 0 or x_in >= window.width:
                        continue
                    seen = codes[i, y_in, x_in]
                    for m in range(channels):
                        best[m] = max(best[m], seen[m])


@kernel()
def _sum_window(
    image: Codes, window: Window, y: int, x: int, zero_point: int, acc: npt.NDArray[np.int64]
) -> None:
    """Sum the centred codes of one window by channel; padding adds 0."""
    acc[:] = 0
    for r in range(window.kernel_y):
        y_in = y * window.stride_y + r * window.dilation_y - window.top
        if y_in < 0 or y_in >= window.height:
            continue
        for s in range(window.kernel_x):
            x_in = x * window.stride_x + s * window.dilation_x - window.left
            if x_in < 0 or x_in >= window.width:
                continue
            seen = image[y_in, x_in]
            for m in range(acc.shape[0]):
                acc[m] += np.int64(seen[m]) - zero_point


@kernel()
def average_windows(
    codes: Codes,
    window: Window,
    counts: npt.NDArray[np.int64],
    zero_point: int,
    steps: Steps,
    acc: npt.NDArray[np.int64],
    out: Codes,
    fault: Fault,
) -> None:
    """Write the requantized mean of each window; entry n - 1 of the steps serves n positions.

    In the mode fixed_point_half_away the mean is of raw codes, rounded half away from zero.

    Shapes
    ------
    codes: (N, height, width, channels)
    counts: (rows, cols) elements that each window averages
    acc: (channels,) scratch
    out: (N, rows, cols, channels)
    fault: (3,)
    """
    n, rows, cols, channels = out.shape
    divides = steps.mode == FIXED_POINT_HALF_AWAY
    for unit in range(n * rows * cols):
        i, y, x = unit // cols // rows, unit // cols % rows, unit % cols
        count = counts[y, x]
        _sum_window(codes[i], window, y, x, zero_point, acc)
        for m in range(channels):
            total = acc[m] + (zero_point * count if divides else 0)
            if fault[0] == 0 and (total < steps.low[count - 1] or total > steps.high[count - 1]):
                fault[0], fault[1], fault[2] = 1, m, total
            if divides:
                size = (2 * abs(total) + count) // (2 * count)
                mean = size if total >= 0 else -size
                out[i, y, x, m] = min(max(mean, steps.clamp_low), steps.clamp_high)
            else:
                out[i, y, x, m] = requantize_one(total, steps, count - 1)


@kernel()
def add_float(
    codes: tuple[Codes, ...],
    scales: npt.NDArray[np.float64],
    start: np.float32,
    clamp: tuple[int, int],
    total: npt.NDArray[np.float32],
    out: Codes,
) -> None:
    """Write the sum of scaled codes, last input first, each addition rounded to float32.

    Shapes
    ------
    codes: flat, of one dtype, one for each of `scales`
    total: (ADD_BLOCK,) scratch
    out: flat

    Source
    ------
    QLinearAdd of onnxruntime with fused multiply-add.
    """
    low, high = np.float32(clamp[0]), np.float32(clamp[1])
    for at in range(0, out.shape[0], ADD_BLOCK):
        n = min(ADD_BLOCK, out.shape[0] - at)
        total[:] = start
        for back in range(len(codes)):
            i = len(codes) - 1 - back
            scale, seen = scales[i], codes[i][at : at + n]
            for e in range(n):
                total[e] = np.float32(scale * np.float64(seen[e]) + np.float64(total[e]))
        target = out[at : at + n]
        for e in range(n):
            target[e] = np.int32(min(max(np.rint(total[e]), low), high))


@kernel()
def add_integer(
    codes: tuple[Codes, ...],
    zero_points: npt.NDArray[np.int64],
    terms: Steps,
    left_shift: int,
    steps: Steps,
    total: npt.NDArray[np.int64],
    out: Codes,
    fault: Fault,
) -> None:
    """Write the requantized sum of scaled codes, in any integer mode.

    Shapes
    ------
    codes: flat, of one dtype, one for each entry of `terms`
    steps: ADD_BLOCK equal entries
    total: (ADD_BLOCK,) scratch
    out: flat
    fault: (3,), or (0,) when the bounds need no look
    """
    for at in range(0, out.shape[0], ADD_BLOCK):
        n = min(ADD_BLOCK, out.shape[0] - at)
        total[:] = 0
        for i in range(len(codes)):
            seen, zero = codes[i][at : at + n], zero_points[i]
            multiplier, shift = terms.multiplier[i], terms.shift[i]
            if terms.mode == FIXED_POINT_HALF_AWAY:
                for e in range(n):
                    x = (np.int64(seen[e]) - zero) << np.int64(left_shift)
                    total[e] += fixed_point(x, multiplier, shift)
            elif terms.mode in (TRUNCATE_SHIFT, HALF_UP_SHIFT):
                for e in range(n):
                    total[e] += (np.int64(seen[e]) - zero) * np.int64(multiplier)
            else:
                raise ValueError(UNKNOWN_MODE)
        if fault.shape[0] > 0:
            note_outside(total, 0, n, steps, 0, fault)
        requantize_channels(total, 0, n, steps, 0, out[at : at + n])


@kernel()
def look_up(codes: Codes, lowest: int, table: Codes, at: int, out: Codes) -> None:
    """Write the table's entry for every code, into columns from `at` on.

    Shapes
    ------
    codes: (rows, width)
    table: (code_max - lowest + 1,)
    out: (rows, at + width or more)
    """
    rows, width = codes.shape
    for r in range(rows):
        seen = codes[r]
        target = out[r]
        for j in range(width):
            target[at + j] = table[np.int64(seen[j]) - lowest]
