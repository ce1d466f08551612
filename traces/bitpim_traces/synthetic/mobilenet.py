"""MobileNets: inverted residuals with depthwise convolutions."""

from bitpim_traces.synthetic.gates import GATED_SHARE, squeeze_excite
from bitpim_traces.synthetic.sketch import (
    HARDSWISH_GAIN,
    LINEAR_GAIN,
    RESIDUAL_GAIN,
    Sketch,
)

__all__ = ["mobilenet", "mobilenetv3_small"]


def mobilenet(sketch: Sketch, n_classes: int) -> None:
    """A small MobileNetV2: inverted residuals with depthwise convolutions and relu6."""
    sketch.conv("conv1", (3, 16), 3, stride=2, activation="relu6")
    n_in = 16
    for block, (n_out, stride) in enumerate(((16, 1), (24, 2), (24, 1), (32, 2), (32, 1))):
        source, wide = sketch.last(), 4 * n_in
        name = f"block{block + 1}"
        sketch.conv(f"{name}.expand", (n_in, wide), 1, activation="relu6")
        sketch.conv(
            f"{name}.depthwise", (wide, wide), 3, stride=stride, groups=wide, activation="relu6"
        )
        sketch.conv(f"{name}.reduce", (wide, n_out), 1, activation="none")
        if stride == 1 and n_in == n_out:
            sketch.add(f"{name}.add", (sketch.last(), source), "none")
        n_in = n_out
    sketch.conv("conv2", (32, 128), 1, activation="relu6")
    sketch.pool("pool", "avg_pool2d", sketch.input_shape[1] // 8, 1)
    sketch.flatten()
    sketch.linear("fc", 128, n_classes, "none")


_SMALL = (
    # conv kernel, expanded, out, gated, activation, stride
    (3, 16, 16, True, "relu", 2),
    (3, 72, 24, False, "relu", 2),
    (3, 88, 24, False, "relu", 1),
    (5, 96, 40, True, "hardswish", 2),
    (5, 240, 40, True, "hardswish", 1),
    (5, 240, 40, True, "hardswish", 1),
    (5, 120, 48, True, "hardswish", 1),
    (5, 144, 48, True, "hardswish", 1),
    (5, 288, 96, True, "hardswish", 2),
    (5, 576, 96, True, "hardswish", 1),
    (5, 576, 96, True, "hardswish", 1),
)
"""The blocks of MobileNetV3-Small: table 2 of Howard et al. 2019."""


def mobilenetv3_small(sketch: Sketch, n_classes: int) -> None:
    """Inverted residuals, gated, with hardswish, as in torchvision."""
    _active(sketch, "conv1", (3, 16), 3, "hardswish", stride=2)
    n_in = 16
    for block, (conv_kernel, wide, n_out, gated, activation, stride) in enumerate(_SMALL):
        source, name = sketch.last(), f"block{block + 1}"
        if wide != n_in:
            _active(sketch, f"{name}.expand", (n_in, wide), 1, activation)
        _active(
            sketch,
            f"{name}.depthwise",
            (wide, wide),
            conv_kernel,
            activation,
            stride=stride,
            groups=wide,
        )
        if gated:
            squeeze_excite(sketch, name, _eighths(wide // 4), "hardsigmoid")
        adds = stride == 1 and n_in == n_out
        gain = (RESIDUAL_GAIN if adds else LINEAR_GAIN) / (GATED_SHARE if gated else 1.0)
        sketch.conv(f"{name}.project", (wide, n_out), 1, activation="none", gain=gain)
        if adds:
            sketch.add(f"{name}.add", (sketch.last(), source), "none")
        n_in = n_out
    _active(sketch, "conv2", (96, 576), 1, "hardswish")
    sketch.global_pool("pool")
    sketch.flatten()
    sketch.linear("fc1", 576, 1024, "none", HARDSWISH_GAIN)
    sketch.function("fc1.hardswish", "hardswish")
    sketch.linear("fc2", 1024, n_classes, "none")


def _active(
    sketch: Sketch,
    name: str,
    channels: tuple[int, int],
    conv_kernel: int,
    activation: str,
    *,
    stride: int = 1,
    groups: int = 1,
) -> None:
    """Append a convolution and its activation, which is fused where it is relu."""
    if activation == "relu":
        sketch.conv(name, channels, conv_kernel, stride=stride, groups=groups)
        return
    sketch.conv(
        name,
        channels,
        conv_kernel,
        stride=stride,
        groups=groups,
        activation="none",
        gain=HARDSWISH_GAIN,
    )
    sketch.function(f"{name}.{activation}", activation)


def _eighths(n: int) -> int:
    """Round to a multiple of 8, at least 8."""
    return max(8, (n + 4) // 8 * 8)
