"""Windows: what convolutions and poolings have in common."""

from bitpim_traces.file_bounds import MAX_PARAMETERS, MAX_WINDOW
from bitpim_traces.operators.operator import Described, Shape, Unfit
from bitpim_traces.records import Geometry

__all__ = ["pooled_shape", "positions"]


def positions(layer: Described, image: Shape) -> tuple[Geometry, tuple[int, int]]:
    """Check a layer's window and yield it with its number of positions on an image.

    Raises
    ------
    Unfit
        There is no window, a number of it is out of bounds, or it does not fit the image.
    """
    window = layer.geometry
    if window is None:
        raise Unfit("@kernel", "a window", "nothing")
    positive = (*window.kernel, *window.stride, *window.dilation, window.groups)
    if not all(1 <= n <= MAX_WINDOW for n in positive):
        need = f"kernel, stride, dilation and groups of 1 to {MAX_WINDOW}"
        raise Unfit("@kernel", need, positive)
    if not all(0 <= n <= MAX_WINDOW for n in window.padding):
        raise Unfit("@padding", f"0 to {MAX_WINDOW}", window.padding)
    if window.kernel[0] * window.kernel[1] > MAX_PARAMETERS:
        raise Unfit("@kernel", f"at most {MAX_PARAMETERS} elements", window.kernel)
    if layer.kind != "avg_pool2d" and window.count_include_pad:
        raise Unfit("@count_include_pad", "0 but for avg_pool2d", 1)
    size = window.output_size(image[1], image[2])
    if min(size) < 1:
        raise Unfit(
            "@kernel", f"a window that fits the image {image} with its padding", window.kernel
        )
    return window, size


def pooled_shape(layer: Described, image: Shape) -> Shape:
    """Work out the output shape of a pooling; every window has an element of the image.

    Raises
    ------
    Unfit
        As for `positions`, there are groups, or a window lies wholly in the padding.
    """
    window, size = positions(layer, image)
    if window.groups != 1:
        raise Unfit("@groups", "1 for pooling", window.groups)
    for axis in range(2):
        if not _windows_see_image(window, image[1 + axis], size[axis], axis):
            need = "an element of the image in every window; reduce the padding"
            raise Unfit("@padding", need, window.padding)
    return (image[0], *size)


def _windows_see_image(window: Geometry, size: int, n_out: int, axis: int) -> bool:
    """Tell whether each window meets an axis of the image; dilated ones can step over it."""
    stride, before = window.stride[axis], window.padding[2 * axis]
    dilation, kernel = window.dilation[axis], window.kernel[axis]
    last = (n_out - 1) * stride - before
    for start in range(-before, min(last + 1, 0), stride):
        first = start % dilation  # position of the first tap at or after the image's edge
        if first >= size or (first - start) // dilation >= kernel:
            return False
    return last < size
