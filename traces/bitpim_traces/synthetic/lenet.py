"""LeNet."""

from bitpim_traces.network import FloatLayer
from bitpim_traces.records import Geometry
from bitpim_traces.synthetic.sketch import Sketch

__all__ = ["lenet5"]


def lenet5(sketch: Sketch, n_classes: int) -> None:
    """Caffe's LeNet: 20 and 50 conv kernels, no padding."""
    for position, channels in enumerate(((1, 20), (20, 50)), start=1):
        shape = (channels[1], channels[0], 5, 5)
        sketch.append(
            FloatLayer(
                f"conv{position}",
                "conv2d",
                (sketch.last(),),
                Geometry((5, 5)),
                sketch.weight(shape, 1.0),
                sketch.bias(channels[1]),
            )
        )
        sketch.pool(f"pool{position}", "max_pool2d", 2, 2)
    sketch.flatten()
    sketch.linear("fc1", 800, 500)
    sketch.linear("fc2", 500, n_classes, "none")
