"""Networks of MNSIM-2.0 as plain float modules: a list of layers, each with what it reads."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import nn

from tests.traces.exporter.families.family import Family

__all__ = ["MNSIM"]

Layer = tuple[Any, ...]


class Sum(nn.Module):
    def forward(self, *inputs: torch.Tensor) -> Any:
        return inputs[0] + inputs[1]


class View(nn.Module):
    def forward(self, x: torch.Tensor) -> Any:
        return x.view(x.size(0), -1)


_SIMPLE: dict[str, Callable[[], nn.Module]] = {
    "relu": nn.ReLU,
    "view": View,
    "dropout": nn.Dropout,
    "sum": Sum,
}


def _made(kind: str, sizes: Sequence[int]) -> nn.Module:
    if kind == "conv":
        before, after, size, stride, padding = (*sizes, *(3, 1, 1)[len(sizes) - 2 :])
        return nn.Conv2d(before, after, size, stride, padding, bias=False)
    if kind == "fc":
        before, after = sizes
        return nn.Linear(before, after, bias=False)
    if kind == "pool":
        return nn.MaxPool2d(2, 2)
    return _SIMPLE[kind]()


class Listed(nn.Module):
    """Layer by layer; one that says nothing reads the layer before it."""

    def __init__(self, layers: Sequence[Layer]) -> None:
        super().__init__()
        self.layer_list = nn.ModuleList()
        self.reads: list[tuple[int, ...]] = []
        for kind, *arguments in layers:
            reads = tuple(arguments) if kind == "sum" else (-1,)
            if kind == "conv" and isinstance(arguments[-1], tuple):
                reads = arguments.pop()
            self.reads.append(reads)
            self.layer_list.append(_made(kind, arguments))

    def forward(self, x: torch.Tensor) -> Any:
        outputs = [x]
        for i, layer in enumerate(self.layer_list):
            outputs.append(layer(*(outputs[back + i + 1] for back in self.reads[i])))
        return outputs[-1]


def _convs(*widths: int) -> list[Layer]:
    """Convolutions with their activation; 0 is a pooling."""
    layers: list[Layer] = []
    before = 3
    for width in widths:
        if not width:
            layers.append(("pool",))
        else:
            layers += [("conv", before, width), ("relu",)]
            before = width
    return layers


LENET: list[Layer] = [
    ("conv", 3, 4, 5, 1, 0),
    ("relu",),
    ("pool",),
    ("conv", 4, 6, 5, 1, 0),
    ("relu",),
    ("pool",),
    ("conv", 6, 8, 2, 1, 0),
    ("relu",),
    ("view",),
    ("fc", 8, 8),
    ("relu",),
    ("fc", 8, 5),
]
ALEXNET: list[Layer] = [
    ("conv", 3, 4, 3, 2, 1),
    ("relu",),
    ("pool",),
    ("conv", 4, 8),
    ("relu",),
    ("pool",),
    ("conv", 8, 8),
    ("relu",),
    ("conv", 8, 6),
    ("relu",),
    ("pool",),
    ("view",),
    ("fc", 6, 12),
    ("relu",),
    ("fc", 12, 5),
]
VGG8 = [
    *_convs(4, 4, 0, 6, 6, 0),
    ("conv", 6, 8, 3, 1, 0),
    ("relu",),
    ("pool",),
    ("view",),
    ("fc", 8, 5),
]
VGG16 = [
    *_convs(6, 6, 0, 6, 6, 0, 8, 8, 8, 0),
    ("view",),
    ("fc", 8, 8),
    ("dropout",),
    ("relu",),
    ("fc", 8, 8),
    ("dropout",),
    ("relu",),
    ("fc", 8, 5),
]
RESNET18: list[Layer] = [
    ("conv", 3, 4),
    ("relu",),
    ("conv", 4, 4),
    ("relu",),
    ("conv", 4, 4),
    ("sum", -1, -4),
    ("relu",),
    ("conv", 4, 6, 3, 2, 1),
    ("relu",),
    ("conv", 6, 6),
    ("conv", 4, 6, 1, 2, 0, (-4,)),
    ("sum", -1, -2),
    ("relu",),
    ("pool",),
    ("pool",),
    ("view",),
    ("fc", 6, 5),
]

_ORIGIN = "thu-nics/MNSIM-2.0, Interface/network.py, "

MNSIM = (
    Family("mnsim_lenet", lambda: Listed(LENET), (3, 20, 20), _ORIGIN + "lenet", ("relu",)),
    Family("mnsim_alexnet", lambda: Listed(ALEXNET), (3, 16, 16), _ORIGIN + "alexnet", ("mm",)),
    Family("mnsim_vgg8", lambda: Listed(VGG8), (3, 16, 16), _ORIGIN + "vgg8", ("view",)),
    Family("mnsim_vgg16", lambda: Listed(VGG16), (3, 8, 8), _ORIGIN + "vgg16", ("relu",)),
    Family("mnsim_resnet18", lambda: Listed(RESNET18), (3, 8, 8), _ORIGIN + "resnet18", ("add",)),
)
