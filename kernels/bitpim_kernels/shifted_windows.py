"""Windows packed by shifts: where output positions are the pixels of an image, a tap is an offset.

Each channel is packed once; what a tap meets at all positions is that, shifted, with padding where
the tap lies beyond the image.
"""

from typing import Any

import numpy as np
import numpy.typing as npt

from bitpim_kernels.jit import kernel
from bitpim_kernels.layout import codes_to_planes

__all__ = ["pack_pixels", "positions_are_pixels"]

_ZERO, _ONE = np.uint64(0), np.uint64(1)
_ALL_ONES = np.uint64(0xFFFFFFFFFFFFFFFF)

Codes = npt.NDArray[Any]
Words = npt.NDArray[np.uint64]


@kernel()
def positions_are_pixels(window: Any) -> bool:
    """Tell whether a window has one output position a pixel."""
    steps = window.stride_y == 1 and window.stride_x == 1
    return bool(steps and window.rows == window.height and window.cols == window.width)


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
    n_lanes = min(64 * inside.shape[1], n_samples * window.height * window.width - first)
    for tap in range(inside.shape[0]):
        dy = (tap // window.kernel_x) * window.dilation_y - window.top
        dx = (tap % window.kernel_x) * window.dilation_x - window.left
        lane = 0
        while lane < n_lanes:
            x = (first + lane) % window.width
            y = ((first + lane) // window.width) % window.height + dy
            n = min(window.width - x, n_lanes - lane)
            before = min(n, max(0, -dx - x))
            after = min(n, max(before, window.width - dx - x))
            if y < 0 or y >= window.height:
                after = before
            _light(beyond[tap], lane, lane + before)
            _light(inside[tap], lane + before, lane + after)
            _light(beyond[tap], lane + after, lane + n)
            lane += n


@kernel()
def _copy(line: Codes, out: Codes) -> None:
    for i in range(out.shape[0]):
        out[i] = line[i]


@kernel()
def _gather_pixels(images: Codes, channel: int, start: int, lanes: Any) -> None:
    """Write the codes of one channel at positions from `start` on; where there are none, 0."""
    n_samples, _, height, width = images.shape
    lane = max(0, -start)
    lanes[:lane] = 0
    while lane < lanes.shape[0]:
        x = (start + lane) % width
        row = (start + lane) // width
        if row // height >= n_samples:
            lanes[lane:] = 0
            return
        n = min(width - x, lanes.shape[0] - lane)
        _copy(images[row // height, channel, row % height, x:], lanes[lane : lane + n])
        lane += n


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
    reach = max(window.top, down) * window.width + max(window.left, right)
    margin = max(reach, 0) // 64 + 1  # words before and after, for taps that look there
    lanes = np.empty(64 * (n_words + 2 * margin), images.dtype)
    planes = np.empty((n_bits, n_words + 2 * margin), np.uint64)
    inside = np.zeros((n_taps, n_words), np.uint64)
    beyond = np.zeros((n_taps, n_words), np.uint64)
    _find_taps(window, first, images.shape[0], inside, beyond)
    packed = -1
    for e in range(entries.shape[0]):
        channel, tap = entries[e, 0], entries[e, 1]
        if channel != packed:
            start = first - 64 * margin
            _gather_pixels(images, channel, start, lanes)
            codes_to_planes(lanes, planes)
            packed = channel
        dy = (tap // window.kernel_x) * window.dilation_y - window.top
        dx = (tap % window.kernel_x) * window.dilation_x - window.left
        at = 64 * margin + dy * window.width + dx
        for k in range(n_bits):
            pad = _ALL_ONES if (pad_code >> k) & 1 else _ZERO
            _shift(planes[k, at // 64 :], at % 64, inside[tap], beyond[tap], pad, out[e, k])


@kernel()
def _shift(row: Any, n: int, inside: Any, beyond: Any, pad: np.uint64, out: Any) -> None:
    """Write lane l + n of a row into lane l where it is inside, and padding beyond."""
    down, up = np.uint64(n), np.uint64(63 - n)
    for w in range(out.shape[0]):
        word = (row[w] >> down) | ((row[w + 1] << _ONE) << up)
        out[w] = (word & inside[w]) | (beyond[w] & pad)
