"""Architectures of kuangliu/pytorch-cifar that are made of sums and dense joins."""

from typing import Any

import torch
from torch import nn
from torch.nn import functional as f

from tests.traces.exporter.families.cifar_blocks import (
    BasicBlock,
    DenseBlock,
    DenseEnd,
    DualPathBlock,
    PreActBlock,
    ResNeXtBlock,
    SimpleTree,
    Transition,
    Tree,
)
from tests.traces.exporter.families.cifar_gated import EfficientBlock, RegNetBlock, SEPreActBlock
from tests.traces.exporter.families.family import Family
from tests.traces.exporter.families.parts import conv

__all__ = ["CIFAR_RESIDUAL"]


class Stages(nn.Module):
    """Stem, blocks, average over what is left of the image, a linear layer."""

    def __init__(self, *blocks: nn.Module, channels: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.conv1, self.bn1 = conv(3, 4), nn.BatchNorm2d(4)
        self.blocks = nn.Sequential(*blocks)
        self.linear = nn.Linear(channels, 5)
        self.dropout = dropout

    def forward(self, x: torch.Tensor) -> Any:
        out = self.blocks(f.relu(self.bn1(self.conv1(x))))
        out = f.avg_pool2d(out, out.size(2))
        out = out.view(out.size(0), -1)
        if self.training and self.dropout > 0:
            out = f.dropout(out, p=self.dropout)
        return self.linear(out)


def _of(
    name: str, original: str, channels: int, *blocks: Any, needs: tuple[str, ...], **options: Any
) -> Family:
    """A family of blocks, each given as its class and arguments."""

    def build() -> nn.Module:
        made = [kind(*arguments) for kind, *arguments in blocks]
        return Stages(*made, channels=channels, **options)

    return Family(name, build, (3, 8, 8), f"kuangliu/pytorch-cifar {original}", needs)


_GATED = ("mul", "sigmoid")

CIFAR_RESIDUAL = (
    _of("resnet", "ResNet18", 8, (BasicBlock, 4, 4, 1), (BasicBlock, 4, 8, 2), needs=("add_",)),
    _of(
        "preact_resnet",
        "PreActResNet18",
        8,
        (PreActBlock, 4, 4, 1),
        (PreActBlock, 4, 8, 2),
        needs=("add_",),
    ),
    _of("resnext", "ResNeXt29", 8, (ResNeXtBlock, 4, 8, 2), needs=("convolution", "add_")),
    _of("senet", "SENet18", 8, (SEPreActBlock, 4, 8, 2), needs=(*_GATED, "avg_pool2d")),
    _of("regnet", "RegNetY_400MF", 8, (RegNetBlock, 4, 8, 2), needs=_GATED),
    _of(
        "densenet",
        "DenseNetBC",
        8,
        (DenseBlock, 4, 3),
        (Transition, 7, 5),
        (DenseBlock, 5, 3),
        (DenseEnd, 8),
        needs=("cat", "avg_pool2d"),
    ),
    _of(
        "dpn",
        "DPN26",
        12,
        (DualPathBlock, 4, 6, 2, 2, True),
        (DualPathBlock, 10, 6, 2, 1, False),
        needs=("slice", "cat", "add"),
    ),
    _of("simple_dla", "SimpleDLA", 6, (SimpleTree, 4, 6, 2), needs=("cat", "add_")),
    _of("dla", "DLA", 6, (Tree, 4, 6, 2), needs=("cat", "add_")),
    _of(
        "efficientnet",
        "EfficientNetB0",
        6,
        (EfficientBlock, 4, 6, 3, 2),
        (EfficientBlock, 6, 6, 5, 1),
        needs=_GATED,
        dropout=0.2,
    ),
)
