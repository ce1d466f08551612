"""Gates: channels or pixels scaled by numbers computed from them, in each family's spelling."""

from typing import Any

import torch
from torch import nn
from torch.nn import functional as f

from tests.traces.exporter.families.parts import Act, conv_bn, spatial_mean

__all__ = [
    "ChannelConvGate",
    "ChannelGate",
    "CoordinateGate",
    "EffectiveGate",
    "HandHardSigmoidGate",
    "SelectiveKernels",
    "SpatialGate",
    "SplitAttention",
    "SqueezeExcite",
]


class SqueezeExcite(nn.Module):
    """mean, reduce, activation, expand, gate, multiply."""

    def __init__(
        self, channels: int, reduced: int = 2, act: Act = nn.ReLU, gate: Act = nn.Sigmoid
    ) -> None:
        super().__init__()
        self.conv_reduce = nn.Conv2d(channels, reduced, 1)
        self.act = act()
        self.conv_expand = nn.Conv2d(reduced, channels, 1)
        self.gate = gate()

    def forward(self, x: torch.Tensor) -> Any:
        gate = self.conv_expand(self.act(self.conv_reduce(spatial_mean(x))))
        return x * self.gate(gate)


class ChannelConvGate(nn.Module):
    """A one-dimensional convolution along the channels' means."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv1d(1, 1, kernel_size=3, padding=1, bias=False)

    def forward(self, x: torch.Tensor) -> Any:
        y = x.mean((2, 3)).view(x.shape[0], 1, -1)
        y = self.conv(y).view(x.shape[0], -1, 1, 1).sigmoid()
        return x * y.expand_as(x)


class EffectiveGate(nn.Module):
    """One linear map of the means, and a hard sigmoid."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.fc = nn.Conv2d(channels, channels, kernel_size=1)
        self.gate = nn.Hardsigmoid()

    def forward(self, x: torch.Tensor) -> Any:
        return x * self.gate(self.fc(x.mean((2, 3), keepdim=True)))


class SelectiveKernels(nn.Module):
    """Two branches of other windows, weighed by channel; of two, a softmax is a sigmoid."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.small = conv_bn(channels, channels)
        self.large = conv_bn(channels, channels, dilation=2)
        self.reduce = conv_bn(channels, 4, 1)
        self.select = nn.Conv2d(4, channels, 1)

    def forward(self, x: torch.Tensor) -> Any:
        small, large = self.small(x), self.large(x)
        together = spatial_mean(small + large)
        share = torch.sigmoid(self.select(self.reduce(together)))
        return small * share + large * (1.0 - share)


class SplitAttention(nn.Module):
    """Split attention of radix 1, whose softmax is a sigmoid."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = conv_bn(channels, channels, groups=2)
        self.fc1 = nn.Conv2d(channels, 4, 1, groups=2)
        self.bn1 = nn.BatchNorm2d(4)
        self.fc2 = nn.Conv2d(4, channels, 1, groups=2)

    def forward(self, x: torch.Tensor) -> Any:
        x = self.conv(x)
        gap = f.adaptive_avg_pool2d(x, 1)
        attention = self.fc2(f.relu(self.bn1(self.fc1(gap))))
        return x * torch.sigmoid(attention.view(x.shape[0], -1)).view(x.shape[0], -1, 1, 1)


class HandHardSigmoidGate(nn.Module):
    """A gate of clamped means, as early ports of MobileNetV3 write it."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.fc = nn.Linear(channels, channels)

    def forward(self, x: torch.Tensor) -> Any:
        n, c, _, _ = x.size()
        y = self.fc(f.adaptive_avg_pool2d(x, 1).view(n, c))
        return x * (f.relu6(y + 3.0) / 6.0).view(n, c, 1, 1)


class SpatialGate(nn.Module):
    """Each pixel is scaled by a gate that has seen mean and maximum over the channels."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(2, 1, 7, padding=3, bias=False)

    def forward(self, x: torch.Tensor) -> Any:
        mean = torch.mean(x, dim=1, keepdim=True)
        largest, _ = torch.max(x, dim=1, keepdim=True)
        return x * torch.sigmoid(self.conv(torch.cat([mean, largest], dim=1)))


class ChannelGate(nn.Module):
    """Mean and maximum go through the same perceptron."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.mlp = nn.Sequential(nn.Conv2d(channels, 2, 1), nn.ReLU(), nn.Conv2d(2, channels, 1))

    def forward(self, x: torch.Tensor) -> Any:
        seen = self.mlp(x.mean((2, 3), keepdim=True)) + self.mlp(x.amax((2, 3), keepdim=True))
        return x * torch.sigmoid(seen)


class CoordinateGate(nn.Module):
    """Rows and columns are averaged apart, mixed together, and gate apart again."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.mix = conv_bn(channels, 4, 1, act=nn.Hardswish)
        self.rows, self.columns = nn.Conv2d(4, channels, 1), nn.Conv2d(4, channels, 1)

    def forward(self, x: torch.Tensor) -> Any:
        _, _, height, width = x.size()
        by_row = x.mean(3, keepdim=True)
        by_column = x.mean(2, keepdim=True).permute(0, 1, 3, 2)
        y = self.mix(torch.cat([by_row, by_column], dim=2))
        by_row, by_column = torch.split(y, [height, width], dim=2)
        along = self.columns(by_column.permute(0, 1, 3, 2)).sigmoid()
        return x * self.rows(by_row).sigmoid() * along
