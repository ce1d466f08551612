"""Windows packed by shifts: where output positions are pixels of an image, a tap is an offset.

With strides an image falls into phases, of every stride-th pixel each, and output positions are the
pixels of a phase. Each phase of a channel is packed once; what a tap meets at all positions is one
of them, shifted, with padding where the tap lies beyond the image.
"""

from typing import Any

import numpy as np
import numpy.typing as npt

from bitpim_kernels.jit import kernel
from bitpim_kernels.layout import codes_to_planes

__all__ = ["copy_strided", "pack_pixels", "positions_are_pixels"]

_ZERO, _ONE = np.uint64(0), np.uint64(1)
_ALL_ONES = np.uint64(0xFFFFFFFFFFFFFFFF)

Codes = npt.NDArray[Any]
Words = npt.NDArray[np.uint64]


@kernel()
def copy_strided(line: Codes, stride: int, out: Codes) -> None:
    """Copy every stride-th element; the strides of most layers are loops that become vectors."""
    if stride == 1:
        for i in range(out.shape[0]):
            out[i] = line[i]
    elif stride == 2:
        for i in range(out.shape[0]):
            out[i] = line[2 * i]
    else:
        for i in range(out.shape[0]):
            out[i] = line[i * stride]


@kernel()
def _steps(reach: int, stride: int) -> int:
    """Return how many steps of a stride begin before a distance; below zero for those behind."""
    return (reach + stride - 1) // stride


@kernel()
def positions_are_pixels(window: Any) -> bool:
    """Tell whether a window has one output position for each pixel of the first phase."""
    rows = _steps(window.height, window.stride_y)
    cols = _steps(window.width, window.stride_x)
    return bool(window.rows == rows and window.cols == cols)


@kernel()
def _light(row: Any, start: int, stop: int) -> None:
    """Set the bits of some lanes."""
    while start < stop:
        n = min(stop - start, 64 - start % 64)
        row[start // 64] |= (_ALL_ONES >> np.uint64(64 - n)) << np.uint64(start % 64)
        start += n


@kernel()
def _find_taps(window: Any, first: int, n_samples: int, inside: Words, beyond: Words) -> None:
    """Tell for each tap at which positions it meets the image, and at which padding.

    Shapes
    ------
    inside, beyond
        (n_taps, n_words): cleared before; positions beyond the last sample stay clear.
    """
    n_lanes = min(64 * inside.shape[1], n_samples * window.rows * window.cols - first)
    for tap in range(inside.shape[0]):
        dy = (tap // window.kernel_x) * window.dilation_y - window.top
        dx = (tap % window.kernel_x) * window.dilation_x - window.left
        begin = _steps(-dx, window.stride_x)
        end = _steps(window.width - dx, window.stride_x)
        lane = 0
        while lane < n_lanes:
            x = (first + lane) % window.cols
            y = ((first + lane) // window.cols) % window.rows * window.stride_y + dy
            n = min(window.cols - x, n_lanes - lane)
            before = min(n, max(0, begin - x))
            after = min(n, max(before, end - x))
            if y < 0 or y >= window.height:
                after = before
            _light(beyond[tap], lane, lane + before)
            _light(inside[tap], lane + before, lane + after)
            _light(beyond[tap], lane + after, lane + n)
            lane += n


@kernel()
def _gather_pixels(images: Codes, channel: int, start: int, lanes: Any) -> None:
    """Write the codes of one channel at positions from `start` on; elsewhere 0."""
    n_pixels = images.shape[2] * images.shape[3]
    lane = min(lanes.shape[0], max(0, -start))
    lanes[:lane] = 0
    while lane < lanes.shape[0]:
        sample, pixel = divmod(start + lane, n_pixels)
        if sample >= images.shape[0]:
            lanes[lane:] = 0
            return
        n = min(n_pixels - pixel, lanes.shape[0] - lane)
        copy_strided(images[sample, channel].reshape(-1)[pixel:], 1, lanes[lane : lane + n])
        lane += n


@kernel()
def _gather_phase(
    images: Codes, channel: int, window: Any, phase: tuple[int, int], start: int, lanes: Any
) -> None:
    """Write the codes of one phase of a channel at positions from `start` on; elsewhere 0."""
    rows, cols, stride = window.rows, window.cols, window.stride_x
    n_samples, n = images.shape[0], lanes.shape[0]
    n_there = _steps(window.width - phase[1], stride)  # a later phase may be a column short
    lane = min(n, max(0, -start))
    lanes[:lane] = 0
    row, x = divmod(start + lane, cols)
    sample, y = divmod(row, rows)
    while lane < n:
        if sample >= n_samples:
            lanes[lane:] = 0
            return
        y_in = y * window.stride_y + phase[0]
        there = 0
        if y_in < window.height:
            there = min(max(n_there - x, 0), n - lane)
            line = images[sample, channel, y_in, phase[1] + x * stride :]
            copy_strided(line, stride, lanes[lane : lane + there])
        ahead = min(cols - x, n - lane)
        for k in range(lane + there, lane + ahead):
            lanes[k] = 0
        lane += ahead
        x = 0
        y += 1
        if y == rows:
            y = 0
            sample += 1


@kernel()
def pack_pixels(
    images: Codes, entries: Any, window: Any, pad_code: int, first: int, out: Words
) -> None:
    """Write bit-planes of windows as `pack_windows` does, where positions are pixels.

    Shapes
    ------
    images
        unsigned (N, channels, height, width)
    entries
        int64 (n_entries, 2): channel and tap of each entry; a channel's lie side by side.
    out
        uint64 (n_entries, n_bits, n_words)
    """
    n_bits, n_words = out.shape[1], out.shape[2]
    n_taps = window.kernel_y * window.kernel_x
    down = (window.kernel_y - 1) * window.dilation_y - window.top
    right = (window.kernel_x - 1) * window.dilation_x - window.left
    reach_y = _steps(max(window.top, down, 0), window.stride_y)
    reach_x = _steps(max(window.left, right, 0), window.stride_x)
    margin = (reach_y * window.cols + reach_x) // 64 + 1  # words before and after, for all taps
    n_phases = window.stride_y * window.stride_x
    lanes = np.empty(64 * (n_words + 2 * margin), images.dtype)
    planes = np.empty((n_phases, n_bits, n_words + 2 * margin), np.uint64)
    packed = np.full(n_phases, -1, np.int64)  # of which channel
    inside = np.zeros((n_taps, n_words), np.uint64)
    beyond = np.zeros((n_taps, n_words), np.uint64)
    _find_taps(window, first, images.shape[0], inside, beyond)
    for e in range(entries.shape[0]):
        channel, tap = entries[e, 0], entries[e, 1]
        dy = (tap // window.kernel_x) * window.dilation_y - window.top
        dx = (tap % window.kernel_x) * window.dilation_x - window.left
        dy, phase_y = divmod(dy, window.stride_y)
        dx, phase_x = divmod(dx, window.stride_x)
        phase = phase_y * window.stride_x + phase_x
        if packed[phase] != channel:
            start = first - 64 * margin
            if n_phases == 1:
                _gather_pixels(images, channel, start, lanes)
            else:
                _gather_phase(images, channel, window, (phase_y, phase_x), start, lanes)
            codes_to_planes(lanes, planes[phase])
            packed[phase] = channel
        at = 64 * margin + dy * window.cols + dx
        _shift_planes(planes[phase], at, inside[tap], beyond[tap], pad_code, out[e])


@kernel()
def _shift_planes(
    planes: Words, at: int, inside: Any, beyond: Any, pad_code: int, out: Words
) -> None:
    """Write lane l + at of each plane into lane l where it is inside, and padding beyond."""
    skip, down, up = at // 64, np.uint64(at % 64), np.uint64(63 - at % 64)
    for k in range(out.shape[0]):
        row, line = planes[k, skip:], out[k]
        pad = _ALL_ONES if (pad_code >> k) & 1 else _ZERO
        for w in range(line.shape[0]):
            word = (row[w] >> down) | ((row[w + 1] << _ONE) << up)
            line[w] = (word & inside[w]) | (beyond[w] & pad)
