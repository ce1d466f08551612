"""Windows, exact products and errors: what the referee's rules have in common."""

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from bitpim.errors import TraceDataError
from bitpim_traces.records import Geometry, LayerRecord

__all__ = [
    "exact_matmul",
    "fault",
    "geometry_of",
    "need_pad_code",
    "taps",
    "where_of",
    "window_counts",
]

Int64 = npt.NDArray[np.int64]


def exact_matmul(a: Int64, b: Int64) -> Int64:
    """Multiply integer matrices exactly."""
    product: Int64
    bound = a.shape[-1] * int(np.abs(a).max(initial=0)) * int(np.abs(b).max(initial=0))
    if bound < 1 << 53:  # no partial sum exceeds the bound, so float64 never rounds
        product = (a.astype(np.float64) @ b.astype(np.float64)).astype(np.int64)
    else:
        product = a @ b
    return product


def taps(geometry: Geometry, image: Int64, fill: int) -> Iterator[tuple[tuple[int, int], Int64]]:
    """Yield, for each element (r, s) of the window, what all window positions see there."""
    n, channels, height, width = image.shape
    top, _, left, _ = geometry.padding
    (step_y, step_x), (apart_y, apart_x) = geometry.stride, geometry.dilation
    rows, cols = geometry.output_size(height, width)
    # The last window may end before the image does, or (ceil_mode) beyond the padding.
    tall = max(top + height, (rows - 1) * step_y + apart_y * (geometry.kernel[0] - 1) + 1)
    wide = max(left + width, (cols - 1) * step_x + apart_x * (geometry.kernel[1] - 1) + 1)
    padded = np.full((n, channels, tall, wide), fill, dtype=np.int64)
    padded[:, :, top : top + height, left : left + width] = image
    for r in range(geometry.kernel[0]):
        for s in range(geometry.kernel[1]):
            y, x = r * apart_y, s * apart_x
            below, right = y + rows * step_y, x + cols * step_x
            yield (r, s), padded[:, :, y:below:step_y, x:right:step_x]


def window_counts(geometry: Geometry, height: int, width: int) -> Int64:
    """Yield how many elements each pooling window divides by, (rows, columns)."""
    top, bottom, left, right = geometry.padding
    counts = []
    for axis, (size, before, after) in enumerate(((height, top, bottom), (width, left, right))):
        starts = np.arange(geometry.output_size(height, width)[axis]) * geometry.stride[axis]
        seen = starts[:, None] + np.arange(geometry.kernel[axis]) * geometry.dilation[axis]
        low, high = before, before + size
        if geometry.count_include_pad:
            low, high = 0, before + size + after
        counts.append(((seen >= low) & (seen < high)).sum(axis=1, dtype=np.int64))
    product: Int64 = counts[0][:, None] * counts[1]
    return product


def geometry_of(layer: LayerRecord) -> Geometry:
    """Return the window of a layer; raise where it has none."""
    if layer.geometry is None:
        raise fault(layer, "need a geometry, got none")
    return layer.geometry


def need_pad_code(layer: LayerRecord, need: int) -> None:
    """Raise where padded positions hold another code than they have to."""
    geometry = geometry_of(layer)
    if (any(geometry.padding) or geometry.ceil_mode) and layer.pad_code != need:
        raise fault(layer, f"need pad_code {need}, got {layer.pad_code}")


def where_of(layer: LayerRecord) -> str:
    """Name a layer, for messages."""
    return f"layer {layer.index} {layer.name!r} ({layer.kind})"


def fault(layer: LayerRecord, text: str) -> TraceDataError:
    """Return the error of a layer whose numbers contradict each other."""
    return TraceDataError(f"{where_of(layer)}: {text}; mend the trace")
