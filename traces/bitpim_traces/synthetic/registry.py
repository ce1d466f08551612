"""The networks by name."""

from collections.abc import Callable
from dataclasses import dataclass

from bitpim_traces.errors import TraceDataError
from bitpim_traces.synthetic.alexnet import alexnet
from bitpim_traces.synthetic.lenet import lenet5
from bitpim_traces.synthetic.mobilenet import mobilenet, mobilenetv3_small
from bitpim_traces.synthetic.resnet import resnet18, resnet20
from bitpim_traces.synthetic.senet import senet18
from bitpim_traces.synthetic.shufflenet import shufflenetv2_x1_0
from bitpim_traces.synthetic.sketch import Sketch
from bitpim_traces.synthetic.tiny import tiny
from bitpim_traces.synthetic.unet import unet
from bitpim_traces.synthetic.vgg import vgg16

__all__ = ["NAMES", "SHAPES", "NetworkShape", "likeness_of", "shape_named"]


@dataclass(frozen=True, slots=True)
class NetworkShape:
    """A network without its numbers.

    Attributes
    ----------
    make : appends its layers, so many classes at the end, to a sketch
    input_shape : (C, H, W) of its images
    likeness : whose shape it has
    """

    make: Callable[[Sketch, int], None]
    input_shape: tuple[int, int, int]
    n_classes: int
    likeness: str


SHAPES = {
    "alexnet": NetworkShape(alexnet, (3, 224, 224), 1000, "torchvision's, one tower"),
    "vgg16": NetworkShape(vgg16, (3, 224, 224), 1000, "torchvision's"),
    "vgg16_cifar": NetworkShape(vgg16, (3, 32, 32), 10, "VGG-16's, one linear layer"),
    "resnet18": NetworkShape(resnet18, (3, 224, 224), 1000, "torchvision's"),
    "resnet20": NetworkShape(resnet20, (3, 32, 32), 10, "He et al. 2016, shortcuts of option A"),
    "senet18": NetworkShape(senet18, (3, 32, 32), 10, "kuangliu's pytorch-cifar"),
    "lenet5": NetworkShape(lenet5, (1, 28, 28), 10, "Caffe's"),
    "mobilenet": NetworkShape(mobilenet, (3, 32, 32), 10, "a small MobileNetV2"),
    "mobilenetv3_small": NetworkShape(
        mobilenetv3_small, (3, 224, 224), 1000, "torchvision's; Howard et al. 2019"
    ),
    "shufflenetv2_x1_0": NetworkShape(
        shufflenetv2_x1_0, (3, 224, 224), 1000, "torchvision's; Ma et al. 2018"
    ),
    "unet": NetworkShape(unet, (3, 64, 64), 2, "Ronneberger et al. 2015, three small levels"),
    "tiny": NetworkShape(tiny, (3, 8, 8), 5, "nobody's: every kind of trace 1.0"),
}
"""All of them, by the names that files and commands use."""

NAMES = tuple(SHAPES)
"""Networks `synthetic_network` can make."""


def shape_named(name: str) -> NetworkShape:
    """Return the network of a name.

    Raises
    ------
    TraceDataError
        The name is unknown.
    """
    if name not in SHAPES:
        raise TraceDataError(
            f"synthetic network: need a name among {', '.join(NAMES)}, got {name!r}"
        )
    return SHAPES[name]


def likeness_of(name: str) -> str:
    """Say whose shape a network has.

    Raises
    ------
    TraceDataError
        The name is unknown.
    """
    return shape_named(name).likeness
