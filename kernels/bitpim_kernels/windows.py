"""Windows over images, and as lanes: the input element of every tap, for a block of positions."""

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from bitpim_kernels.jit import kernel
from bitpim_kernels.layout import codes_to_planes
from bitpim_kernels.shifted_windows import copy_strided, pack_pixels, positions_are_pixels

__all__ = [
    "Window",
    "fill_chosen_rows",
    "fill_outer_rows",
    "fill_vector_rows",
    "gather_entries",
    "gather_pixels",
    "gather_rows",
    "gather_window",
    "pack_windows",
]

Codes = npt.NDArray[Any]
Words = npt.NDArray[np.uint64]


class Window(NamedTuple):
    """Where a window lies over images of one shape, at `rows` x `cols` output positions.

    The taps of position (y, x) meet the image at ``y * stride_y - top + r * dilation_y`` and
    ``x * stride_x - left + s * dilation_x``; beyond its ends lies padding.
    """

    height: int
    width: int
    channels: int
    kernel_y: int
    kernel_x: int
    stride_y: int
    stride_x: int
    dilation_y: int
    dilation_x: int
    top: int
    left: int
    rows: int
    cols: int

    @property
    def n_taps(self) -> int:
        """Elements of one channel that a window sees."""
        return self.kernel_y * self.kernel_x


@kernel()
def gather_window(
    images: Codes, channel: int, tap: int, window: Window, pad_code: int, first: int, lanes: Codes
) -> None:
    """Write the codes that one tap of one channel meets at output positions first, first+1, ...

    Shapes
    ------
    images
        (N, channels, height, width)
    lanes
        (n_lanes,): filled; positions beyond the last sample become 0.
    """
    stride = window.stride_x
    y_tap = (tap // window.kernel_x) * window.dilation_y - window.top
    x_tap = (tap % window.kernel_x) * window.dilation_x - window.left
    lane = 0
    while lane < lanes.shape[0]:
        position = first + lane
        x_out = position % window.cols
        row = position // window.cols
        sample = row // window.rows
        n = min(window.cols - x_out, lanes.shape[0] - lane)
        if sample >= images.shape[0]:
            lanes[lane:] = 0
            return
        y = (row % window.rows) * window.stride_y + y_tap
        if y < 0 or y >= window.height:
            lanes[lane : lane + n] = pad_code
        else:
            x = x_out * stride + x_tap
            before = min(n, max(0, (-x + stride - 1) // stride))
            inside = min(n, max(before, (window.width - x + stride - 1) // stride))
            lanes[lane : lane + before] = pad_code
            copy_strided(
                images[sample, channel, y, x + before * stride :],
                stride,
                lanes[lane + before : lane + inside],
            )
            lanes[lane + inside : lane + n] = pad_code
        lane += n


@kernel()
def gather_entries(images: Codes, entries: Any, window: Window, pad_code: int, out: Codes) -> None:
    """Write the codes that each entry meets at the output positions, from the first on.

    Shapes
    ------
    images
        (N, channels, height, width)
    entries
        (n_entries, 2): channel and tap of each.
    out
        (n_entries, n_positions)
    """
    for e in range(entries.shape[0]):
        gather_window(images, entries[e, 0], entries[e, 1], window, pad_code, 0, out[e])


@kernel()
def gather_rows(
    images: Codes, channels: tuple[int, int], window: Window, pad_code: int, first: int, out: Codes
) -> None:
    """Write the window of each output position first, first+1, ... as one row, channel by channel.

    Shapes
    ------
    images
        (N, height, width, channels), C order
    channels
        First channel, and the one after the last.
    out
        (n_positions, n_channels * R * S): columns in the order of flattened OIHW weights.
    """
    n_taps = window.kernel_y * window.kernel_x
    for p in range(out.shape[0]):
        row, x_out = divmod(first + p, window.cols)
        sample, y_out = divmod(row, window.rows)
        for tap in range(n_taps):
            r, s = divmod(tap, window.kernel_x)
            y = y_out * window.stride_y - window.top + r * window.dilation_y
            x = x_out * window.stride_x - window.left + s * window.dilation_x
            n = channels[1] - channels[0]
            if 0 <= y < window.height and 0 <= x < window.width:
                pixel = images[sample, y, x, channels[0] : channels[1]]
                for c in range(n):
                    out[p, c * n_taps + tap] = pixel[c]
            else:
                for c in range(n):
                    out[p, c * n_taps + tap] = pad_code


@kernel()
def gather_pixels(
    images: Codes, channels: tuple[int, int], window: Window, pad_code: int, first: int, out: Codes
) -> None:
    """Write windows as `gather_rows` does, but tap by tap, the channels of a tap side by side."""
    n, begin = channels[1] - channels[0], channels[0]
    step, together = window.dilation_x, 1
    if step == 1 and n == window.channels:  # taps of a line lie side by side in an image too
        together = window.kernel_x
    for p in range(out.shape[0]):
        row, x_out = divmod(first + p, window.cols)
        sample, y_out = divmod(row, window.rows)
        left = x_out * window.stride_x - window.left
        for r in range(window.kernel_y):
            y = y_out * window.stride_y - window.top + r * window.dilation_y
            place = out[p, r * window.kernel_x * n : (r + 1) * window.kernel_x * n]
            if y < 0 or y >= window.height:
                place[:] = pad_code
                continue
            line = images[sample, y].reshape(-1)
            for s in range(0, window.kernel_x, together):
                x = left + s * step
                before = min(together, max(0, -x))
                inside = min(together, max(before, window.width - x))
                place[s * n : (s + before) * n] = pad_code
                source = line[(x + before) * window.channels + begin :]
                copy_strided(source, 1, place[(s + before) * n : (s + inside) * n])
                place[(s + inside) * n : (s + together) * n] = pad_code


@kernel()
def pack_windows(
    images: Codes, entries: Any, window: Window, pad_code: int, first: int, lanes: Codes, out: Words
) -> None:
    """Write bit-planes of the windows at output positions from `first` on, one entry a tap.

    Shapes
    ------
    images
        unsigned (N, channels, height, width)
    entries
        int64 (n_entries, 2): channel and tap of each entry.
    lanes
        (64 * n_words,): scratch of the images' dtype.
    out
        uint64 (n_entries, n_bits, n_words)
    """
    if positions_are_pixels(window):
        pack_pixels(images, entries, window, pad_code, first, out)
        return
    for e in range(entries.shape[0]):
        gather_window(images, entries[e, 0], entries[e, 1], window, pad_code, first, lanes)
        codes_to_planes(lanes, out[e])


@kernel()
def fill_outer_rows(codes: Any, n_bits: int, n_words: int, rows: Words) -> None:
    """Write rows in which group g of `n_words` words holds the bits of codes[g] in every lane.

    Shapes
    ------
    codes
        int64 (n_groups,): two's complement.
    rows
        uint64 (n_bits, n_groups * n_words)
    """
    for bit in range(n_bits):
        for g in range(codes.shape[0]):
            on = (codes[g] >> min(bit, 63)) & 1
            word = np.uint64(0xFFFFFFFFFFFFFFFF) if on else np.uint64(0)
            rows[bit, g * n_words : (g + 1) * n_words] = word


@kernel()
def fill_vector_rows(planes: Words, n_groups: int, rows: Words) -> None:
    """Write rows in which every group of words repeats the same planes.

    Shapes
    ------
    planes
        uint64 (n_bits, n_words)
    rows
        uint64 (n_bits, n_groups * n_words)
    """
    n_words = planes.shape[1]
    for bit in range(planes.shape[0]):
        for g in range(n_groups):
            copy_strided(planes[bit], 1, rows[bit, g * n_words : (g + 1) * n_words])


@kernel()
def fill_chosen_rows(planes: Words, chosen: Any, rows: Words) -> None:
    """Write rows in which group g of words holds planes[chosen[g]], as many planes as rows.

    Rows beyond the planes there are become zero.

    Shapes
    ------
    planes
        uint64 (n_sets, n_bits, n_words)
    chosen
        int64 (n_groups,)
    rows
        uint64 (n_rows, n_groups * n_words)
    """
    n_words = planes.shape[2]
    for bit in range(rows.shape[0]):
        for g in range(chosen.shape[0]):
            row = rows[bit, g * n_words : (g + 1) * n_words]
            if bit < planes.shape[1]:
                copy_strided(planes[chosen[g], bit], 1, row)
            else:
                row[:] = np.uint64(0)
