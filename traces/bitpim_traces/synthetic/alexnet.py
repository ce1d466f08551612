"""AlexNet."""

from bitpim_traces.network import FloatLayer
from bitpim_traces.records import NETWORK_INPUT, Geometry
from bitpim_traces.synthetic.sketch import Sketch

__all__ = ["alexnet"]


def alexnet(sketch: Sketch, n_classes: int) -> None:
    """One tower, as in torchvision, at 224 pixels."""
    sketch.append(
        FloatLayer(
            "conv1",
            "conv2d",
            (NETWORK_INPUT,),
            Geometry((11, 11), (4, 4), (2, 2, 2, 2)),
            sketch.weight((64, 3, 11, 11), 1.0),
            sketch.bias(64),
            "relu",
        )
    )
    sketch.pool("pool1", "max_pool2d", 3, 2)
    sketch.conv("conv2", (64, 192), 5)
    sketch.pool("pool2", "max_pool2d", 3, 2)
    for name, channels in (("conv3", (192, 384)), ("conv4", (384, 256)), ("conv5", (256, 256))):
        sketch.conv(name, channels, 3)
    sketch.pool("pool5", "max_pool2d", 3, 2)
    sketch.flatten()
    sketch.linear("fc6", 9216, 4096)
    sketch.linear("fc7", 4096, 4096)
    sketch.linear("fc8", 4096, n_classes, "none")
