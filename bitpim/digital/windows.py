"""Windows of pooling layers: how many elements each window averages."""

import numpy as np
import numpy.typing as npt

from bitpim_traces.records import Geometry

__all__ = ["window_counts"]


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
