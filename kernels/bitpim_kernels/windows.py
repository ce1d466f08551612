"""Windows of an image as lanes: the input element of every tap, for a block of output positions."""

from typing import Any

import numpy as np
import numpy.typing as npt

from bitpim_kernels.jit import kernel
from bitpim_kernels.layout import codes_to_planes

__all__ = [
    "fill_chosen_rows",
    "fill_outer_rows",
    "fill_vector_rows",
    "gather_rows",
    "gather_window",
    "pack_windows",
    "window_vector",
]

Codes = npt.NDArray[Any]
Words = npt.NDArray[np.uint64]


def window_vector(
    kernel_size: tuple[int, int],
    stride: tuple[int, int],
    padding_top_left: tuple[int, int],
    dilation: tuple[int, int],
    output_size: tuple[int, int],
) -> npt.NDArray[np.int64]:
    """Yield the ten sizes a window kernel needs: R S, strides, pads, dilations, E F."""
    return np.array(
        [*kernel_size, *stride, *padding_top_left, *dilation, *output_size], dtype=np.int64
    )


@kernel()
def _copy_strided(line: Codes, stride: int, out: Codes) -> None:
    """Copy every stride-th element; stride 1 is a loop the compiler turns into vector moves."""
    if stride == 1:
        for i in range(out.shape[0]):
            out[i] = line[i]
    else:
        for i in range(out.shape[0]):
            out[i] = line[i * stride]


@kernel()
def gather_window(
    images: Codes, channel: int, tap: int, window: Any, pad_code: int, first: int, lanes: Codes
) -> None:
    """Write the codes that one tap of one channel meets at output positions first, first+1, ...

    Shapes
    ------
    images
        (N, C, H, W)
    window
        int64 (10,): `window_vector`.
    lanes
        (n_lanes,): filled; positions beyond the last sample become 0.
    """
    n_rows, n_columns = images.shape[2], images.shape[3]
    n_out_rows, n_out_columns = window[8], window[9]
    y_tap = (tap // window[1]) * window[6] - window[4]
    x_tap = (tap % window[1]) * window[7] - window[5]
    lane = 0
    while lane < lanes.shape[0]:
        position = first + lane
        x_out = position % n_out_columns
        row = position // n_out_columns
        sample = row // n_out_rows
        n = min(n_out_columns - x_out, lanes.shape[0] - lane)
        if sample >= images.shape[0]:
            lanes[lane:] = 0
            return
        y = (row % n_out_rows) * window[2] + y_tap
        if y < 0 or y >= n_rows:
            lanes[lane : lane + n] = pad_code
        else:
            x = x_out * window[3] + x_tap
            before = min(n, max(0, (-x + window[3] - 1) // window[3]))
            inside = min(n, max(before, (n_columns - x + window[3] - 1) // window[3]))
            lanes[lane : lane + before] = pad_code
            _copy_strided(
                images[sample, channel, y, x + before * window[3] :],
                window[3],
                lanes[lane + before : lane + inside],
            )
            lanes[lane + inside : lane + n] = pad_code
        lane += n


@kernel()
def gather_rows(
    images: Codes, channels: tuple[int, int], window: Any, pad_code: int, first: int, out: Codes
) -> None:
    """Write the window of each output position first, first+1, ... as one row, channel by channel.

    Shapes
    ------
    images
        (N, H, W, C), C order
    channels
        First channel, and the one after the last.
    window
        int64 (10,): `window_vector`.
    out
        (n_positions, n_channels * R * S): columns in the order of flattened OIHW weights.
    """
    n_rows, n_columns = images.shape[1], images.shape[2]
    n_taps = window[0] * window[1]
    for p in range(out.shape[0]):
        row, x_out = divmod(first + p, window[9])
        sample, y_out = divmod(row, window[8])
        for tap in range(n_taps):
            y = y_out * window[2] - window[4] + (tap // window[1]) * window[6]
            x = x_out * window[3] - window[5] + (tap % window[1]) * window[7]
            n = channels[1] - channels[0]
            if 0 <= y < n_rows and 0 <= x < n_columns:
                pixel = images[sample, y, x, channels[0] : channels[1]]
                for c in range(n):
                    out[p, c * n_taps + tap] = pixel[c]
            else:
                for c in range(n):
                    out[p, c * n_taps + tap] = pad_code


@kernel()
def pack_windows(
    images: Codes, entries: Any, window: Any, pad_code: int, first: int, lanes: Codes, out: Words
) -> None:
    """Write bit-planes of the windows at output positions from `first` on, one entry a tap.

    Shapes
    ------
    images
        unsigned (N, C, H, W)
    entries
        int64 (n_entries, 2): channel and tap of each entry.
    lanes
        (64 * n_words,): scratch of the images' dtype.
    out
        uint64 (n_entries, n_bits, n_words)
    """
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
            _copy_strided(planes[bit], 1, rows[bit, g * n_words : (g + 1) * n_words])


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
                _copy_strided(planes[chosen[g], bit], 1, row)
            else:
                row[:] = np.uint64(0)
