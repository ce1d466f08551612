"""Windows of layers: where they lie, and how many elements each pooling window averages."""

import numpy as np
import numpy.typing as npt

from bitpim_kernels.windows import Window
from bitpim_traces.records import Geometry

__all__ = ["padded", "window_counts", "window_of"]


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
    rows, columns = geometry.output_size(shape[1], shape[2])
    top, bottom, left, right = geometry.padding
    pads = ((top, bottom), (left, right))
    per_axis = []
    for axis, (size, n_out) in enumerate(((shape[1], rows), (shape[2], columns))):
        before, after = pads[axis]
        low, high = (-before, size + after) if geometry.count_include_pad else (0, size)
        first = np.arange(n_out)[:, None] * geometry.stride[axis] - before
        at = first + np.arange(geometry.kernel[axis]) * geometry.dilation[axis]
        per_axis.append(((at >= low) & (at < high)).sum(axis=1))
    counts: npt.NDArray[np.int64] = per_axis[0][:, None] * per_axis[1]
    return counts
