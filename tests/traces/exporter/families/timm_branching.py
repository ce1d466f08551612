"""Families of timm that join many branches or keep several resolutions."""

from typing import Any

import torch
from torch import nn
from torch.nn import functional as f

from tests.traces.exporter.families.family import Family
from tests.traces.exporter.families.gates import EffectiveGate
from tests.traces.exporter.families.parts import Joined, Residual, classifier, conv_bn

__all__ = ["TIMM_BRANCHING"]


class Fuse(nn.Module):
    """Each resolution becomes the sum of all, brought to its size."""

    def __init__(self, high: int, low: int) -> None:
        super().__init__()
        self.up = nn.Sequential(
            conv_bn(low, high, 1, act=None), nn.Upsample(scale_factor=2, mode="nearest")
        )
        self.down = conv_bn(high, low, 3, 2, act=None)

    def forward(self, x: torch.Tensor, y: torch.Tensor) -> Any:
        return f.relu(x + self.up(y)), f.relu(self.down(x) + y)


class HRNet(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem = conv_bn(3, 4)
        self.transition = conv_bn(4, 6, 3, 2)
        self.branch = Residual(nn.Sequential(conv_bn(4, 4), conv_bn(4, 4, act=None)))
        self.fuse = Fuse(4, 6)
        self.down = conv_bn(4, 6, 3, 2)
        self.classifier = classifier(6)

    def forward(self, x: torch.Tensor) -> Any:
        x = self.stem(x)
        x, y = self.fuse(self.branch(x), self.transition(x))
        return self.classifier(self.down(x) + y)


class OneShotJoin(nn.Module):
    """All intermediate maps are joined once, mixed, gated and added to the input."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(conv_bn(channels, channels) for _ in range(2))
        self.concat = conv_bn(3 * channels, channels, 1)
        self.ese = EffectiveGate(channels)

    def forward(self, x: torch.Tensor) -> Any:
        found = [x]
        for layer in self.layers:
            found.append(layer(found[-1]))
        return self.ese(self.concat(torch.cat(found, dim=1))) + x


def vovnet() -> nn.Module:
    return nn.Sequential(
        conv_bn(3, 4), OneShotJoin(4), nn.MaxPool2d(3, stride=2, ceil_mode=True), classifier(4)
    )


class HarmonicBlock(nn.Module):
    """Layer k reads the layers k - 1, k - 2, k - 4 that exist; odd layers leave the block."""

    def __init__(self, channels: int, growth: int) -> None:
        super().__init__()
        self.reads = [(0,), (1, 0), (2,), (3, 2, 0)]
        widths = [channels]
        self.layers = nn.ModuleList()
        for reads in self.reads:
            self.layers.append(conv_bn(sum(widths[i] for i in reads), growth, act=nn.ReLU6))
            widths.append(growth)

    def forward(self, x: torch.Tensor) -> Any:
        found = [x]
        for reads, layer in zip(self.reads, self.layers, strict=True):
            joined = [found[i] for i in reads]
            found.append(layer(torch.cat(joined, 1) if len(joined) > 1 else joined[0]))
        return torch.cat([found[1], found[3], found[4]], 1)


def hardnet() -> nn.Module:
    return nn.Sequential(conv_bn(3, 4, act=nn.ReLU6), HarmonicBlock(4, 2), classifier(6))


def _asymmetric(before: int, mid: int, after: int) -> nn.Module:
    return nn.Sequential(
        conv_bn(before, mid, 1),
        nn.Conv2d(mid, mid, (1, 7), padding=(0, 3), bias=False),
        nn.BatchNorm2d(mid, eps=0.001),
        nn.ReLU(inplace=True),
        nn.Conv2d(mid, after, (7, 1), padding=(3, 0), bias=False),
        nn.BatchNorm2d(after, eps=0.001),
        nn.ReLU(inplace=True),
    )


class ForkedBranch(nn.Module):
    """A branch that splits at its end into a row and a column of pixels."""

    def __init__(self, before: int, mid: int) -> None:
        super().__init__()
        self.first = conv_bn(before, mid, 1)
        self.row = nn.Conv2d(mid, mid, (1, 3), padding=(0, 1))
        self.column = nn.Conv2d(mid, mid, (3, 1), padding=(1, 0))

    def forward(self, x: torch.Tensor) -> Any:
        x = self.first(x)
        return torch.cat([f.relu(self.row(x)), f.relu(self.column(x))], 1)


def inception_v3() -> nn.Module:
    pooled = nn.Sequential(nn.AvgPool2d(3, stride=1, padding=1), conv_bn(4, 2, 1))
    return nn.Sequential(
        conv_bn(3, 4),
        Joined(conv_bn(4, 2, 1), _asymmetric(4, 2, 3), ForkedBranch(4, 2), pooled),
        nn.Dropout(0.2),
        classifier(11),
    )


def inception_v4() -> nn.Module:
    reduction = Joined(
        nn.MaxPool2d(3, stride=2),
        conv_bn(4, 3, 3, 2, padding=0),
        nn.Sequential(conv_bn(4, 2, 1), conv_bn(2, 3, 3, 2, padding=0)),
    )
    average = nn.AvgPool2d(3, stride=1, padding=1, count_include_pad=False)
    pooled = nn.Sequential(average, conv_bn(10, 2, 1))
    return nn.Sequential(
        conv_bn(3, 4),
        reduction,
        Joined(conv_bn(10, 2, 1), _asymmetric(10, 2, 3), pooled),
        classifier(7),
    )


class ScaledResidual(nn.Module):
    """A residual that is scaled down before it is added."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.branches = Joined(conv_bn(channels, 2, 1), _asymmetric(channels, 2, 2))
        self.conv2d = nn.Conv2d(4, channels, 1)

    def forward(self, x: torch.Tensor) -> Any:
        return f.relu(self.conv2d(self.branches(x)) * 0.17 + x)


def inception_resnet() -> nn.Module:
    return nn.Sequential(conv_bn(3, 4), ScaledResidual(4), classifier(4))


class Fire(nn.Module):
    def __init__(self, before: int, squeezed: int, expanded: int) -> None:
        super().__init__()
        self.squeeze = nn.Conv2d(before, squeezed, 1)
        self.expand1x1 = nn.Conv2d(squeezed, expanded, 1)
        self.expand3x3 = nn.Conv2d(squeezed, expanded, 3, padding=1)

    def forward(self, x: torch.Tensor) -> Any:
        x = f.relu(self.squeeze(x))
        return torch.cat([f.relu(self.expand1x1(x)), f.relu(self.expand3x3(x))], 1)


def squeezenet() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(3, 4, 3, 2),
        nn.ReLU(inplace=True),
        nn.MaxPool2d(3, stride=2, ceil_mode=True),
        Fire(4, 2, 4),
        nn.Dropout(0.5),
        nn.Conv2d(8, 5, 1),
        nn.ReLU(inplace=True),
        nn.AdaptiveAvgPool2d((1, 1)),
        nn.Flatten(),
    )


def _of(name: str, build: Any, *needs: str, by: str = "", size: int = 8) -> Family:
    origin = by or f"huggingface/pytorch-image-models {name}"
    return Family(name, build, (3, size, size), origin, needs)


TIMM_BRANCHING = (
    _of("hrnet", HRNet, "upsample_nearest2d", "add"),
    _of("vovnet_ese", vovnet, "hardsigmoid", "mul", "cat"),
    _of("hardnet", hardnet, "cat", "hardtanh"),
    _of("inception_v3", inception_v3, "cat", "avg_pool2d"),
    _of("inception_v4", inception_v4, "cat", "max_pool2d_with_indices", "avg_pool2d", size=9),
    _of("inception_resnet_v2", inception_resnet, "mul", "add"),
    _of("squeezenet", squeezenet, "cat", by="pytorch/vision squeezenet1_1", size=12),
)
