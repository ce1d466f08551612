"""Float32 layers in plain NumPy: convolution by im2col and BLAS, pooling by shifted maxima."""

import numpy as np
import numpy.typing as npt

from bitpim_traces.records import Geometry

__all__ = ["avg_pool2d", "clip", "conv2d", "linear", "max_pool2d", "window_counts"]

FloatArray = npt.NDArray[np.float32]

_COLUMNS_BYTES = 1 << 25
"""Bound of the im2col buffer: a block that BLAS likes and that never dominates memory."""


def conv2d(
    x: FloatArray, weight: FloatArray, bias: FloatArray | None, geometry: Geometry
) -> FloatArray:
    """Convolve a batch in float32.

    Shapes
    ------
    x : (N, C, H, W);  weight : (O, C / groups, kH, kW);  bias : (O,);  result : (N, O, oH, oW)
    """
    n, _, height, width = x.shape
    o, groups = weight.shape[0], geometry.groups
    out_h, out_w = geometry.output_size(height, width)
    windows = _windows(x, geometry, (out_h, out_w), 0.0)
    out = np.empty((n, o, out_h, out_w), dtype=np.float32)
    fan_in = weight.shape[1] * geometry.kernel[0] * geometry.kernel[1]
    matrix = np.ascontiguousarray(weight, dtype=np.float32).reshape(groups, o // groups, fan_in)
    n_rows = max(1, _COLUMNS_BYTES // (4 * groups * fan_in * out_w))
    for b in range(n):
        for top in range(0, out_h, n_rows):
            block = windows[b, :, :, :, top : top + n_rows]
            columns = np.ascontiguousarray(block).reshape(groups, fan_in, -1)
            out[b, :, top : top + n_rows] = np.matmul(matrix, columns).reshape(o, -1, out_w)
    if bias is not None:
        out += bias.astype(np.float32)[:, None, None]
    return out


def linear(x: FloatArray, weight: FloatArray, bias: FloatArray | None) -> FloatArray:
    """Multiply a batch (N, I) by a weight (O, I) in float32."""
    out: FloatArray = x @ weight.T.astype(np.float32, copy=False)
    return out if bias is None else out + bias.astype(np.float32)


def max_pool2d(x: FloatArray, geometry: Geometry) -> FloatArray:
    """Take the largest valid element of every window."""
    size = geometry.output_size(x.shape[2], x.shape[3])
    windows = _windows(x, geometry, size, -np.inf)
    out = np.full((*x.shape[:2], *size), -np.inf, dtype=np.float32)
    for r in range(geometry.kernel[0]):
        for s in range(geometry.kernel[1]):
            np.maximum(out, windows[:, :, r, s], out=out)
    return out


def avg_pool2d(x: FloatArray, geometry: Geometry) -> FloatArray:
    """Average every window over its valid (or, with count_include_pad, padded) elements."""
    size = geometry.output_size(x.shape[2], x.shape[3])
    windows = _windows(x, geometry, size, 0.0)
    out = np.zeros((*x.shape[:2], *size), dtype=np.float32)
    for r in range(geometry.kernel[0]):
        for s in range(geometry.kernel[1]):
            out += windows[:, :, r, s]
    rows, columns = window_counts(geometry, x.shape[2], x.shape[3])
    out /= np.outer(rows, columns).astype(np.float32)
    return out


def clip(x: FloatArray, low: float, high: float) -> FloatArray:
    """Keep numbers between two ends."""
    return np.clip(x, np.float32(low), np.float32(high))


def window_counts(
    geometry: Geometry, height: int, width: int
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Count the elements a window averages over, by row and by column of positions.

    The count of a window is the product of its row's and its column's. Valid elements, or with
    `count_include_pad` those inside the padded image.
    """
    counts = []
    for axis, (n, size) in enumerate(
        zip(geometry.output_size(height, width), (height, width), strict=True)
    ):
        before, after = geometry.padding[2 * axis : 2 * axis + 2]
        taps = np.arange(geometry.kernel[axis]) * geometry.dilation[axis]
        places = np.arange(n)[:, None] * geometry.stride[axis] + taps - before
        low, high = (-before, size + after) if geometry.count_include_pad else (0, size)
        counts.append(((places >= low) & (places < high)).sum(axis=1).astype(np.int64))
    return counts[0], counts[1]


def _windows(
    x: FloatArray, geometry: Geometry, size: tuple[int, int], fill: float
) -> npt.NDArray[np.float32]:
    """View a padded copy of `x` as (N, C, kH, kW, oH, oW)."""
    top, _, left, _ = geometry.padding
    need = [
        (size[axis] - 1) * geometry.stride[axis]
        + (geometry.kernel[axis] - 1) * geometry.dilation[axis]
        + 1
        for axis in (0, 1)
    ]
    # need may be smaller than the padded image (floor) or larger (ceil_mode)
    padded = np.full((*x.shape[:2], *need), fill, dtype=np.float32)
    inside_h, inside_w = min(x.shape[2], need[0] - top), min(x.shape[3], need[1] - left)
    if inside_h > 0 and inside_w > 0:
        padded[:, :, top : top + inside_h, left : left + inside_w] = x[:, :, :inside_h, :inside_w]
    n_step, c_step, h_step, w_step = padded.strides
    return np.lib.stride_tricks.as_strided(
        padded,
        shape=(*x.shape[:2], *geometry.kernel, *size),
        strides=(
            n_step,
            c_step,
            h_step * geometry.dilation[0],
            w_step * geometry.dilation[1],
            h_step * geometry.stride[0],
            w_step * geometry.stride[1],
        ),
        writeable=False,
    )
