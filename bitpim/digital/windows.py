"""Windows of layers: where they lie, and how many elements each pooling window averages."""

import numpy as np
import numpy.typing as npt

from bitpim_kernels.windows import Window
from bitpim_traces.records import Geometry

__all__ = ["elements_met", "padded", "window_counts", "window_of", "windows_by_count"]


def window_of(geometry: Geometry | None, shape: tuple[int, ...]) -> Window:
    """Return the window of a layer over inputs (C, H, W), or (features,): an image of one pixel.

    Without a geometry, as linear layers have none, it sees one pixel.
    """
    geometry = Geometry((1, 1)) if geometry is None else geometry
    channels, height, width = shape if len(shape) == 3 else (shape[0], 1, 1)
    top, _, left, _ = geometry.padding
    return Window(
        height,
        width,
        channels,
        *geometry.kernel,
        *geometry.stride,
        *geometry.dilation,
        top,
        left,
        *geometry.output_size(height, width),
    )


def elements_met(
    window: Window, position: int, channels: npt.NDArray[np.int64], taps: npt.NDArray[np.int64]
) -> npt.NDArray[np.int64]:
    """Return which element of an image (C, H, W) each tap meets at a position; -1 is padding.

    Shapes
    ------
    channels, taps: any, of one shape, which is that of the elements
    """
    row, column = np.divmod(taps, window.kernel_x)
    out_row, out_column = divmod(position, window.cols)
    y = out_row * window.stride_y + row * window.dilation_y - window.top
    x = out_column * window.stride_x + column * window.dilation_x - window.left
    inside = (y >= 0) & (y < window.height) & (x >= 0) & (x < window.width)
    elements: npt.NDArray[np.int64] = (channels * window.height + y) * window.width + x
    return np.where(inside, elements, -1)


def padded(window: Window) -> Window:
    """Return the window over a copy of the image so large that all its positions lie inside."""
    reach_y = (window.rows - 1) * window.stride_y + (window.kernel_y - 1) * window.dilation_y + 1
    reach_x = (window.cols - 1) * window.stride_x + (window.kernel_x - 1) * window.dilation_x + 1
    height, width = window.top + window.height, window.left + window.width
    return window._replace(height=max(height, reach_y), width=max(width, reach_x), top=0, left=0)


def window_counts(geometry: Geometry, shape: tuple[int, ...]) -> npt.NDArray[np.int64]:
    """Yield the number of elements each window averages, (E, F), for an image (C, H, W).

    Elements of the image; with `count_include_pad` those of the padded image, but never those
    beyond it that a ceil-mode window reaches.
    """
    rows, columns = _counts_by_axis(geometry, shape)
    counts: npt.NDArray[np.int64] = rows[:, None] * columns
    return counts


def windows_by_count(geometry: Geometry, shape: tuple[int, ...]) -> dict[int, int]:
    """Yield how many windows of a channel average how many elements, by that number ascending.

    Memory follows one axis of the output, not its size.
    """
    found: dict[int, int] = {}
    rows, columns = (np.unique(n, return_counts=True) for n in _counts_by_axis(geometry, shape))
    for high, n_high in zip(*(values.tolist() for values in rows), strict=True):
        for wide, n_wide in zip(*(values.tolist() for values in columns), strict=True):
            found[high * wide] = found.get(high * wide, 0) + n_high * n_wide
    return dict(sorted(found.items()))


def _counts_by_axis(
    geometry: Geometry, shape: tuple[int, ...]
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Yield the number of rows (E,), and of columns (F,), that each window averages."""
    top, bottom, left, right = geometry.padding
    pads, n_windows = ((top, bottom), (left, right)), geometry.output_size(shape[1], shape[2])
    found = []
    for axis, (size, n_out) in enumerate(zip(shape[1:], n_windows, strict=True)):
        before, after = pads[axis]
        low, high = (-before, size + after) if geometry.count_include_pad else (0, size)
        first = np.arange(n_out, dtype=np.int64) * geometry.stride[axis] - before
        # elements of the window that lie before an end
        ends = (-((first - end) // geometry.dilation[axis]) for end in (low, high))
        below, inside = (np.clip(n, 0, geometry.kernel[axis]) for n in ends)
        found.append(inside - below)
    return found[0], found[1]
