"""A network that is quick to run."""

from bitpim_traces.network import FloatLayer
from bitpim_traces.records import Params
from bitpim_traces.synthetic.sketch import Sketch

__all__ = ["tiny"]


def tiny(sketch: Sketch, n_classes: int) -> None:
    """Every layer kind of trace 1.0 once, in a few thousand multiply-accumulates."""
    first = sketch.conv("conv1", (3, 4), 3)
    left = sketch.conv("conv2", (4, 4), 3, activation="none")
    both = sketch.add("add", (left, first))
    right = sketch.conv("conv3", (4, 5), 1, source=both)
    sketch.append(FloatLayer("concat", "concat", (both, right), params=Params(concat_axis=0)))
    sketch.pool("pool1", "max_pool2d", 2, 2)
    sketch.append(
        FloatLayer("pad", "pad", (sketch.last(),), params=Params(pads=(0, 0, 0, 1, 1, 0)))
    )
    sketch.conv("depthwise", (9, 9), 3, stride=2, groups=9, activation="none")
    sketch.append(FloatLayer("tanh", "activation", (sketch.last(),), activation="tanh"))
    sketch.pool("pool2", "avg_pool2d", 2, 2)
    sketch.flatten()
    side = (sketch.input_shape[1] // 2 + 2) // 2 // 2
    sketch.linear("fc", 9 * side * side, n_classes, "none")
