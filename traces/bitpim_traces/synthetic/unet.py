"""U-Net: an encoder, a decoder, and what each level of the one hands to the other."""

from collections.abc import Sequence

from bitpim_traces.network import FloatLayer
from bitpim_traces.records import Geometry
from bitpim_traces.synthetic.sketch import LINEAR_GAIN, Sketch

__all__ = ["WIDTHS", "unet"]

WIDTHS = (16, 32, 64)
"""Channels of each level; the original has five, of 64 to 1024."""


def unet(sketch: Sketch, n_classes: int, widths: Sequence[int] = WIDTHS) -> None:
    """As Ronneberger et al. 2015, padded, with fewer levels and channels."""
    skips, n_in = [], sketch.input_shape[0]
    for level, n_out in enumerate(widths, start=1):
        if level > 1:
            sketch.pool(f"down{level}.pool", "max_pool2d", 2, 2)
        skips.append(_double_conv(sketch, f"down{level}", n_in, n_out))
        n_in = n_out
    for level in range(len(widths) - 1, 0, -1):
        n_out = widths[level - 1]
        wide = _transposed_conv(sketch, f"up{level}", n_in, n_out)
        sketch.concat(f"up{level}.concat", (skips[level - 1], wide))
        _double_conv(sketch, f"up{level}", 2 * n_out, n_out)
        n_in = n_out
    sketch.conv("head", (n_in, n_classes), 1, activation="none", gain=LINEAR_GAIN)


def _double_conv(sketch: Sketch, name: str, n_in: int, n_out: int) -> int:
    sketch.conv(f"{name}.conv1", (n_in, n_out), 3)
    return sketch.conv(f"{name}.conv2", (n_out, n_out), 3)


def _transposed_conv(sketch: Sketch, name: str, n_in: int, n_out: int) -> int:
    """Append a transposed convolution of 2 x 2 with stride 2: each window meets one pixel."""
    sketch.dilate(f"{name}.dilate", 2)
    gain = 2 * LINEAR_GAIN  # a quarter of each window is not zero
    return sketch.append(
        FloatLayer(
            f"{name}.transposed",
            "conv2d",
            (sketch.last(),),
            Geometry((2, 2), padding=(1, 1, 1, 1)),
            sketch.weight((n_out, n_in, 2, 2), gain),
            sketch.bias(n_out),
        )
    )
