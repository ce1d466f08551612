"""Blocks of sums and joins, as kuangliu/pytorch-cifar wires them."""

from typing import Any

import torch
from torch import nn
from torch.nn import functional as f

from tests.traces.exporter.families.parts import conv, conv_bn

__all__ = [
    "BasicBlock",
    "DenseBlock",
    "DenseEnd",
    "DualPathBlock",
    "PreActBlock",
    "ResNeXtBlock",
    "SimpleTree",
    "Transition",
    "Tree",
    "shortcut_of",
]


def shortcut_of(before: int, after: int, stride: int) -> nn.Module:
    if stride == 1 and before == after:
        return nn.Sequential()
    return conv_bn(before, after, 1, stride, act=None)


class BasicBlock(nn.Module):
    def __init__(self, before: int, after: int, stride: int) -> None:
        super().__init__()
        self.conv1, self.bn1 = conv(before, after, 3, stride), nn.BatchNorm2d(after)
        self.conv2, self.bn2 = conv(after, after), nn.BatchNorm2d(after)
        self.shortcut = shortcut_of(before, after, stride)

    def forward(self, x: torch.Tensor) -> Any:
        out = f.relu(self.bn1(self.conv1(x)))
        out = self.bn2(self.conv2(out))
        out += self.shortcut(x)
        return f.relu(out)


class PreActBlock(nn.Module):
    """Batch norm and activation before each convolution; the shortcut starts behind the first."""

    def __init__(self, before: int, after: int, stride: int) -> None:
        super().__init__()
        self.bn1, self.conv1 = nn.BatchNorm2d(before), conv(before, after, 3, stride)
        self.bn2, self.conv2 = nn.BatchNorm2d(after), conv(after, after)
        if stride != 1 or before != after:
            self.shortcut = nn.Sequential(conv(before, after, 1, stride))

    def forward(self, x: torch.Tensor) -> Any:
        out = f.relu(self.bn1(x))
        shortcut = self.shortcut(out) if hasattr(self, "shortcut") else x
        out = self.conv2(f.relu(self.bn2(self.conv1(out))))
        out += shortcut
        return out


class ResNeXtBlock(nn.Module):
    """A bottleneck whose middle is grouped."""

    def __init__(self, before: int, after: int, stride: int) -> None:
        super().__init__()
        mid = after // 2
        self.body = nn.Sequential(
            conv_bn(before, mid, 1),
            conv_bn(mid, mid, 3, stride, groups=2),
            conv_bn(mid, after, 1, act=None),
        )
        self.shortcut = shortcut_of(before, after, stride)

    def forward(self, x: torch.Tensor) -> Any:
        out = self.body(x)
        out += self.shortcut(x)
        return f.relu(out)


class DualPathBlock(nn.Module):
    """The first channels are added to the input's, the others joined to them."""

    def __init__(self, before: int, kept: int, dense: int, stride: int, first: bool) -> None:
        super().__init__()
        self.kept = kept
        self.body = nn.Sequential(
            conv_bn(before, 4, 1),
            conv_bn(4, 4, 3, stride, groups=2),
            conv_bn(4, kept + dense, 1, act=None),
        )
        self.shortcut: nn.Module = nn.Sequential()
        if first:
            self.shortcut = conv_bn(before, kept + dense, 1, stride, act=None)

    def forward(self, x: torch.Tensor) -> Any:
        out, x, d = self.body(x), self.shortcut(x), self.kept
        return f.relu(torch.cat([x[:, :d] + out[:, :d], x[:, d:], out[:, d:]], 1))


class Root(nn.Module):
    def __init__(self, before: int, after: int) -> None:
        super().__init__()
        self.conv, self.bn = conv(before, after, 1), nn.BatchNorm2d(after)

    def forward(self, xs: list[torch.Tensor]) -> Any:
        return f.relu(self.bn(self.conv(torch.cat(xs, 1))))


class SimpleTree(nn.Module):
    """Two blocks in a row whose outputs meet in a root."""

    def __init__(self, before: int, after: int, stride: int = 1) -> None:
        super().__init__()
        self.root = Root(2 * after, after)
        self.left_tree = BasicBlock(before, after, stride)
        self.right_tree = BasicBlock(after, after, 1)

    def forward(self, x: torch.Tensor) -> Any:
        out1 = self.left_tree(x)
        return self.root([out1, self.right_tree(out1)])


class Tree(nn.Module):
    """A tree of two levels: its root reads its input, a tree of one level and two blocks."""

    def __init__(self, before: int, after: int, stride: int = 1) -> None:
        super().__init__()
        self.root = Root(4 * after, after)
        self.level_1 = SimpleTree(before, after, stride)
        self.prev_root = BasicBlock(before, after, stride)
        self.left_node = BasicBlock(after, after, 1)
        self.right_node = BasicBlock(after, after, 1)

    def forward(self, x: torch.Tensor) -> Any:
        xs = [self.prev_root(x)]
        x = self.level_1(x)
        xs.append(x)
        for node in (self.left_node, self.right_node):
            x = node(x)
            xs.append(x)
        return self.root(xs)


class DenseBlock(nn.Module):
    """Bottleneck whose output is joined to its input."""

    def __init__(self, before: int, growth: int) -> None:
        super().__init__()
        self.bn1, self.conv1 = nn.BatchNorm2d(before), conv(before, 2 * growth, 1)
        self.bn2, self.conv2 = nn.BatchNorm2d(2 * growth), conv(2 * growth, growth)

    def forward(self, x: torch.Tensor) -> Any:
        out = self.conv1(f.relu(self.bn1(x)))
        out = self.conv2(f.relu(self.bn2(out)))
        return torch.cat([out, x], 1)


class Transition(nn.Module):
    def __init__(self, before: int, after: int) -> None:
        super().__init__()
        self.bn, self.conv = nn.BatchNorm2d(before), conv(before, after, 1)

    def forward(self, x: torch.Tensor) -> Any:
        return f.avg_pool2d(self.conv(f.relu(self.bn(x))), 2)


class DenseEnd(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.bn = nn.BatchNorm2d(channels)

    def forward(self, x: torch.Tensor) -> Any:
        return f.relu(self.bn(x))
