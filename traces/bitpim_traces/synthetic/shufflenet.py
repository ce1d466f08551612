"""ShuffleNetV2: half of the channels pass a block as they are, then both halves are mingled."""

from bitpim_traces.synthetic.sketch import LINEAR_GAIN, Sketch

__all__ = ["shufflenetv2_x1_0"]

_STAGES = ((116, 4), (232, 8), (464, 4))
"""Channels and units of each stage: table 5 of Ma et al. 2018, 1 x."""


def shufflenetv2_x1_0(sketch: Sketch, n_classes: int) -> None:
    """At width 1, as in torchvision."""
    sketch.conv("conv1", (3, 24), 3, stride=2)
    sketch.pool("pool1", "max_pool2d", 3, 2, padding=1)
    n_in = 24
    for stage, (n_out, n_units) in enumerate(_STAGES, start=2):
        for unit in range(n_units):
            _unit(sketch, f"stage{stage}.{unit}", n_in, n_out)
            n_in = n_out
    sketch.conv("conv5", (n_in, 1024), 1)
    sketch.global_pool("pool")
    sketch.flatten()
    sketch.linear("fc", 1024, n_classes, "none")


def _unit(sketch: Sketch, name: str, n_in: int, n_out: int) -> None:
    """Append a unit; the first one of a stage halves the image, and both branches compute."""
    source, half = sketch.last(), n_out // 2
    if n_in == n_out:
        left = sketch.channels(f"{name}.left", source, 0, half)
        right = sketch.channels(f"{name}.right", source, half, n_out)
    else:
        right = source
        _depthwise(sketch, f"{name}.branch1.depthwise", n_in, 2, source)
        left = sketch.conv(f"{name}.branch1.conv", (n_in, half), 1)
    n_right = sketch.shape(right)[0]
    sketch.conv(f"{name}.branch2.conv1", (n_right, half), 1, source=right)
    _depthwise(sketch, f"{name}.branch2.depthwise", half, 1 if n_in == n_out else 2, sketch.last())
    right = sketch.conv(f"{name}.branch2.conv2", (half, half), 1)
    sketch.concat(f"{name}.concat", (left, right))
    _shuffle(sketch, name)


def _depthwise(sketch: Sketch, name: str, n: int, stride: int, source: int) -> None:
    sketch.conv(
        name,
        (n, n),
        3,
        stride=stride,
        groups=n,
        activation="none",
        source=source,
        gain=LINEAR_GAIN,
    )


def _shuffle(sketch: Sketch, name: str) -> None:
    """Take channels from both halves in turn."""
    channels, height, width = sketch.shape()
    sketch.reshape(f"{name}.halves", (2, channels // 2, height, width))
    sketch.permute(f"{name}.mingle", (1, 0, 2, 3))
    sketch.reshape(f"{name}.join", (channels, height, width))
