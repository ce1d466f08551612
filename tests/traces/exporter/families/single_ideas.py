"""Networks around one idea of wiring or of arithmetic."""

from typing import Any

import torch
from torch import nn
from torch.nn import functional as f

from tests.traces.exporter.families.family import Family
from tests.traces.exporter.families.gates import (
    ChannelGate,
    CoordinateGate,
    HandHardSigmoidGate,
    SpatialGate,
)
from tests.traces.exporter.families.parts import classifier, conv, conv_bn

__all__ = ["SINGLE_IDEAS"]


class BinaryConv(nn.Conv2d):
    """The signs of the weights, and one scale an output channel."""

    def forward(self, x: torch.Tensor) -> Any:
        scale = self.weight.abs().mean((1, 2, 3), keepdim=True)
        weight = scale * torch.sign(self.weight)
        return f.conv2d(torch.sign(x), weight, self.bias, self.stride, self.padding)


def binary() -> nn.Module:
    return nn.Sequential(
        conv_bn(3, 6, act=nn.Hardtanh),
        BinaryConv(6, 8, 3, 2, 1, bias=False),
        nn.BatchNorm2d(8),
        nn.Hardtanh(),
        classifier(8),
    )


class CoordConv(nn.Module):
    """Two channels of coordinates beside the image."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(5, 6, 3, padding=1)
        self.tail = classifier(6)

    def forward(self, x: torch.Tensor) -> Any:
        n, _, rows, columns = x.size()
        y = torch.linspace(-1, 1, rows).view(1, 1, rows, 1).expand(n, 1, rows, columns)
        along = torch.linspace(-1, 1, columns).view(1, 1, 1, columns)
        x = torch.cat([x, y, along.expand(n, 1, rows, columns)], dim=1)
        return self.tail(f.relu(self.conv(x)))


class PositionEmbedding(nn.Module):
    """A learned image of constants, added to the features."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3, padding=1)
        self.position = nn.Parameter(torch.randn(1, 4, 8, 8) * 0.5)
        self.tail = classifier(4)

    def forward(self, x: torch.Tensor) -> Any:
        return self.tail(f.relu(self.conv(x) + self.position))


class Concatenated(nn.Module):
    """Both signs of what a convolution finds."""

    def forward(self, x: torch.Tensor) -> Any:
        return f.relu(torch.cat([x, -x], 1))


class Maxout(nn.Module):
    """The largest of two maps a channel."""

    def forward(self, x: torch.Tensor) -> Any:
        n, c, rows, columns = x.shape
        return x.view(n, c // 2, 2, rows, columns).max(dim=2)[0]


class MaxFeatureMap(nn.Module):
    """The larger of two halves, pixel by pixel."""

    def forward(self, x: torch.Tensor) -> Any:
        first, second = torch.split(x, x.shape[1] // 2, 1)
        return torch.max(first, second)


class HandSwish(nn.Module):
    def forward(self, x: torch.Tensor) -> Any:
        return x * torch.sigmoid(x)


class HandHardSwish(nn.Module):
    def forward(self, x: torch.Tensor) -> Any:
        return x * f.relu6(x + 3.0, inplace=True) / 6.0


class GlobalMax(nn.Module):
    """The largest pixel of each channel, beside the mean."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.fc = nn.Linear(2 * channels, 5)

    def forward(self, x: torch.Tensor) -> Any:
        largest = f.adaptive_max_pool2d(x, 1).flatten(1)
        return self.fc(torch.cat([largest, torch.amax(x, (2, 3)) - x.mean((2, 3))], 1))


class MeanOfMeans(nn.Module):
    """The mean of columns, then of rows, as early code writes it."""

    def forward(self, x: torch.Tensor) -> Any:
        return x.mean(3).mean(2)


class OctaveConv(nn.Module):
    """High and low frequencies, each from both."""

    def __init__(self) -> None:
        super().__init__()
        self.h2h, self.l2l = conv(4, 4), conv(4, 4)
        self.h2l, self.l2h = conv(4, 4), conv(4, 4)
        self.split_h, self.split_l = conv(3, 4), conv(3, 4)
        self.fc = nn.Linear(8, 5)

    def forward(self, x: torch.Tensor) -> Any:
        high, low = self.split_h(x), self.split_l(f.avg_pool2d(x, 2))
        grown = f.interpolate(self.l2h(low), scale_factor=2, mode="nearest")
        high, low = self.h2h(high) + grown, self.l2l(low) + self.h2l(f.avg_pool2d(high, 2))
        pooled = [f.adaptive_avg_pool2d(part, 1).flatten(1) for part in (f.relu(high), f.relu(low))]
        return self.fc(torch.cat(pooled, 1))


class Focus(nn.Module):
    """Four shifted grids of pixels become channels."""

    def forward(self, x: torch.Tensor) -> Any:
        grids = [x[..., ::2, ::2], x[..., 1::2, ::2], x[..., ::2, 1::2], x[..., 1::2, 1::2]]
        return torch.cat(grids, 1)


class PooledPyramid(nn.Module):
    """The same small pooling three times; all results are joined."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.m = nn.MaxPool2d(5, 1, 2)
        self.cv2 = conv_bn(4 * channels, channels, 1, act=nn.SiLU)

    def forward(self, x: torch.Tensor) -> Any:
        y1 = self.m(x)
        y2 = self.m(y1)
        return self.cv2(torch.cat((x, y1, y2, self.m(y2)), 1))


class Standardized(nn.Module):
    """Pixels are normalized inside, and kept within three deviations."""

    mean: torch.Tensor
    std: torch.Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor([0.1, -0.2, 0.3]).view(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor([0.9, 1.1, 1.3]).view(1, 3, 1, 1))

    def forward(self, x: torch.Tensor) -> Any:
        return ((x - self.mean) / self.std).clamp(-3.0, 3.0)


def _around(idea: nn.Module, before: int = 4, after: int = 4) -> nn.Module:
    """Convolution, batch norm, the idea, and a classifier."""
    return nn.Sequential(conv_bn(3, before, act=None), idea, classifier(after))


def _of(name: str, build: Any, origin: str, *needs: str) -> Family:
    return Family(name, build, (3, 8, 8), origin, needs)


SINGLE_IDEAS = (
    _of("binary", binary, "Rastegari et al. 2016, XNOR-Net", "sign", "hardtanh"),
    _of("coord_conv", CoordConv, "Liu et al. 2018, CoordConv", "cat"),
    _of("position_embedding", PositionEmbedding, "Islam et al. 2020, learned positions", "add"),
    _of("crelu", lambda: _around(Concatenated(), 4, 8), "Shang et al. 2016, CReLU", "neg", "cat"),
    _of("maxout", lambda: _around(Maxout(), 8, 4), "Goodfellow et al. 2013, Maxout", "max"),
    _of("light_cnn", lambda: _around(MaxFeatureMap(), 8, 4), "AlfredXiangWu/LightCNN", "maximum"),
    _of("hand_swish", lambda: _around(HandSwish()), "Ramachandran et al. 2017", "mul", "sigmoid"),
    _of(
        "hand_hard_swish",
        lambda: _around(HandHardSwish()),
        "kuan-wang/pytorch-mobilenet-v3",
        "hardtanh_",
        "div",
    ),
    _of(
        "hand_hard_sigmoid",
        lambda: _around(HandHardSigmoidGate(4)),
        "d-li14/mobilenetv3.pytorch",
        "hardtanh",
        "mul",
    ),
    _of(
        "global_max",
        lambda: nn.Sequential(conv_bn(3, 4), GlobalMax(4)),
        "Oquab et al. 2015",
        "amax",
        "sub",
    ),
    _of(
        "mean_of_means",
        lambda: nn.Sequential(conv_bn(3, 5), MeanOfMeans(), nn.Linear(5, 5)),
        "pytorch/vision mobilenetv2, 2019",
        "mean",
    ),
    _of("bam", lambda: _around(SpatialGate()), "Jongchan/attention-module, spatial", "mean", "max"),
    _of(
        "cbam",
        lambda: _around(ChannelGate(4)),
        "Jongchan/attention-module, channels",
        "amax",
        "mul",
    ),
    _of(
        "coordinate_attention",
        lambda: _around(CoordinateGate(4)),
        "houqb/CoordAttention",
        "mean",
        "split_with_sizes",
    ),
    _of(
        "octave",
        OctaveConv,
        "Chen et al. 2019, octave convolution",
        "upsample_nearest2d",
        "avg_pool2d",
    ),
    _of(
        "focus",
        lambda: nn.Sequential(Focus(), conv_bn(12, 4, act=nn.SiLU), classifier(4)),
        "ultralytics/yolov5 Focus",
        "slice",
        "silu",
    ),
    _of(
        "pooled_pyramid",
        lambda: _around(PooledPyramid(4)),
        "ultralytics/yolov5 SPPF",
        "silu",
        "cat",
    ),
    _of(
        "normalized_inside",
        lambda: nn.Sequential(Standardized(), conv_bn(3, 4), classifier(4)),
        "pytorch/examples fast_neural_style, normalize_batch",
        "sub",
        "div",
        "clamp",
    ),
)
