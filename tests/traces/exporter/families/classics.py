"""Networks that all the others came from, or nearly."""

from typing import Any

import torch
from torch import nn
from torch.nn import functional as f

from tests.traces.exporter.families.family import Family
from tests.traces.exporter.families.parts import classifier, conv_bn

__all__ = ["CLASSICS"]


def lenet_5() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(3, 4, 3),
        nn.Tanh(),
        nn.AvgPool2d(2),
        nn.Conv2d(4, 6, 3),
        nn.Tanh(),
        nn.Flatten(),
        nn.Linear(6, 8),
        nn.Sigmoid(),
        nn.Linear(8, 5),
    )


class HighWay(nn.Module):
    """A gate chooses between a transform and the input."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.transform, self.gate = nn.Linear(width, width), nn.Linear(width, width)

    def forward(self, x: torch.Tensor) -> Any:
        t = torch.sigmoid(self.gate(x))
        return torch.relu(self.transform(x)) * t + x * (1 - t)


class PaddedShortcut(nn.Module):
    """A shortcut that skips pixels and gains empty channels."""

    def __init__(self, before: int, after: int) -> None:
        super().__init__()
        self.body = nn.Sequential(conv_bn(before, after, 3, 2), conv_bn(after, after, act=None))
        self.extra = (after - before) // 2

    def forward(self, x: torch.Tensor) -> Any:
        out = self.body(x)
        out += f.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, self.extra, self.extra), "constant", 0)
        return f.relu(out)


def _of(name: str, build: Any, origin: str, *needs: str) -> Family:
    return Family(name, build, (3, 8, 8), origin, needs)


CLASSICS = (
    _of("lenet_5", lenet_5, "LeCun et al. 1998", "tanh", "sigmoid", "avg_pool2d"),
    _of(
        "highway",
        lambda: nn.Sequential(nn.Flatten(), nn.Linear(192, 8), HighWay(8), nn.Linear(8, 5)),
        "Srivastava et al. 2015",
        "mul",
        "rsub",
    ),
    _of(
        "padded_shortcut",
        lambda: nn.Sequential(conv_bn(3, 4), PaddedShortcut(4, 8), classifier(8)),
        "akamaster/pytorch_resnet_cifar10, option A",
        "slice",
        "constant_pad_nd",
    ),
)
