"""Residual networks."""

from collections.abc import Sequence

from bitpim_traces.network import FloatLayer
from bitpim_traces.records import Geometry, Params
from bitpim_traces.synthetic.sketch import Sketch

__all__ = ["resnet18", "resnet20"]


def _basic_block(sketch: Sketch, name: str, n_in: int, n_out: int, shortcut: str) -> None:
    source, stride = sketch.last(), 1 if n_in == n_out else 2
    sketch.conv(f"{name}.conv1", (n_in, n_out), 3, stride=stride)
    main = sketch.conv(f"{name}.conv2", (n_out, n_out), 3, activation="none")
    if n_in != n_out and shortcut == "conv":
        source = sketch.conv(
            f"{name}.shortcut", (n_in, n_out), 1, stride=2, activation="none", source=source
        )
    elif n_in != n_out:
        # shortcut A: every other pixel, then channels of zeros on both sides
        every_other = Geometry((1, 1), (2, 2))
        source = sketch.append(FloatLayer(f"{name}.slice", "max_pool2d", (source,), every_other))
        front = (n_out - n_in) // 2
        channels = Params(pads=(front, n_out - n_in - front, 0, 0, 0, 0))
        source = sketch.append(FloatLayer(f"{name}.pad", "pad", (source,), params=channels))
    sketch.add(f"{name}.add", (main, source))


def resnet18(sketch: Sketch, n_classes: int) -> None:
    """Basic blocks, shortcuts by convolution."""
    sketch.conv("conv1", (3, 64), 7, stride=2)
    sketch.pool("pool1", "max_pool2d", 3, 2, padding=1)
    _residual_stages(sketch, (64, 128, 256, 512), 2, 64, "conv")
    side = sketch.input_shape[1] // 32
    sketch.pool("pool", "avg_pool2d", side, side)
    sketch.flatten()
    sketch.linear("fc", 512, n_classes, "none")


def resnet20(sketch: Sketch, n_classes: int) -> None:
    """Basic blocks on small images, shortcuts without weights."""
    sketch.conv("conv1", (3, 16), 3)
    _residual_stages(sketch, (16, 32, 64), 3, 16, "pad")
    sketch.pool("pool", "avg_pool2d", sketch.input_shape[1] // 4, 1)
    sketch.flatten()
    sketch.linear("fc", 64, n_classes, "none")


def _residual_stages(
    sketch: Sketch, widths: Sequence[int], n_blocks: int, n_in: int, shortcut: str
) -> None:
    for stage, n_out in enumerate(widths):
        for block in range(n_blocks):
            _basic_block(sketch, f"layer{stage + 1}.{block}", n_in, n_out, shortcut)
            n_in = n_out
