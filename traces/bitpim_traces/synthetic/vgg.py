"""VGG."""

from bitpim_traces.synthetic.sketch import Sketch

__all__ = ["vgg16"]


def vgg16(sketch: Sketch, n_classes: int) -> None:
    """Blocks of 3 x 3 convolutions; three linear layers, or one where a pixel is left."""
    n_in = 3
    for stage, widths in enumerate(((64,) * 2, (128,) * 2, (256,) * 3, (512,) * 3, (512,) * 3)):
        for position, n_out in enumerate(widths):
            sketch.conv(f"conv{stage + 1}_{position + 1}", (n_in, n_out), 3)
            n_in = n_out
        sketch.pool(f"pool{stage + 1}", "max_pool2d", 2, 2)
    side = sketch.input_shape[1] // 32
    sketch.flatten()
    if side > 1:
        sketch.linear("fc6", 512 * side * side, 4096)
        sketch.linear("fc7", 4096, 4096)
        sketch.linear("fc8", 4096, n_classes, "none")
    else:
        sketch.linear("fc", 512, n_classes, "none")
