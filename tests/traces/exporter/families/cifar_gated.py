"""Blocks with a gate, as kuangliu/pytorch-cifar wires them."""

from typing import Any

import torch
from torch import nn
from torch.nn import functional as f

from tests.traces.exporter.families.cifar_blocks import PreActBlock, shortcut_of
from tests.traces.exporter.families.parts import conv, conv_bn

__all__ = ["EfficientBlock", "RegNetBlock", "SEPreActBlock"]


class SEPreActBlock(PreActBlock):
    """Each channel is scaled by a gate that has seen all channels."""

    def __init__(self, before: int, after: int, stride: int) -> None:
        super().__init__(before, after, stride)
        self.fc1 = nn.Conv2d(after, 2, kernel_size=1)
        self.fc2 = nn.Conv2d(2, after, kernel_size=1)

    def forward(self, x: torch.Tensor) -> Any:
        out = f.relu(self.bn1(x))
        shortcut = self.shortcut(out) if hasattr(self, "shortcut") else x
        out = self.conv2(f.relu(self.bn2(self.conv1(out))))
        w = f.avg_pool2d(out, out.size(2))
        w = torch.sigmoid(self.fc2(f.relu(self.fc1(w))))
        out = out * w
        out += shortcut
        return out


class RegNetBlock(nn.Module):
    """Grouped bottleneck with a gate behind its middle."""

    def __init__(self, before: int, after: int, stride: int) -> None:
        super().__init__()
        self.front = nn.Sequential(
            conv_bn(before, after, 1), conv_bn(after, after, 3, stride, groups=2)
        )
        self.se1 = nn.Conv2d(after, 2, kernel_size=1)
        self.se2 = nn.Conv2d(2, after, kernel_size=1)
        self.back = conv_bn(after, after, 1, act=None)
        self.shortcut = shortcut_of(before, after, stride)

    def forward(self, x: torch.Tensor) -> Any:
        out = self.front(x)
        w = f.adaptive_avg_pool2d(out, (1, 1))
        out = out * self.se2(f.relu(self.se1(w))).sigmoid()
        out = self.back(out)
        out += self.shortcut(x)
        return f.relu(out)


def swish(x: torch.Tensor) -> torch.Tensor:
    """The function as the repository writes it out."""
    return x * x.sigmoid()


class EfficientBlock(nn.Module):
    """Expand, depthwise, gate, project; the sum of a sample may be dropped in training."""

    def __init__(self, before: int, after: int, size: int, stride: int) -> None:
        super().__init__()
        wide = 2 * before
        self.conv1, self.bn1 = conv(before, wide, 1), nn.BatchNorm2d(wide)
        self.conv2, self.bn2 = conv(wide, wide, size, stride, groups=wide), nn.BatchNorm2d(wide)
        self.se1 = nn.Conv2d(wide, 2, kernel_size=1)
        self.se2 = nn.Conv2d(2, wide, kernel_size=1)
        self.conv3, self.bn3 = conv(wide, after, 1), nn.BatchNorm2d(after)
        self.has_skip = stride == 1 and before == after

    def forward(self, x: torch.Tensor) -> Any:
        out = swish(self.bn1(self.conv1(x)))
        out = swish(self.bn2(self.conv2(out)))
        gate = f.adaptive_avg_pool2d(out, (1, 1))
        out = out * self.se2(swish(self.se1(gate))).sigmoid()
        out = self.bn3(self.conv3(out))
        if self.has_skip:
            if self.training:
                kept = (torch.rand(x.size(0), 1, 1, 1) < 0.8).float() / 0.8
                out = out * kept
            out = out + x
        return out
