"""Residual families of timm."""

import functools
from typing import Any

import torch
from torch import nn
from torch.nn import functional as f

from tests.traces.exporter.families.family import Family
from tests.traces.exporter.families.gates import (
    ChannelConvGate,
    SelectiveKernels,
    SplitAttention,
    SqueezeExcite,
)
from tests.traces.exporter.families.parts import Residual, classifier, conv, conv_bn

__all__ = ["TIMM_RESIDUAL"]

Leaky = functools.partial(nn.LeakyReLU, 0.1)


def _downsampled(before: int, after: int) -> nn.Module:
    """The shortcut of ResNet-D: an average, then one pixel."""
    return nn.Sequential(
        nn.AvgPool2d(2, 2, ceil_mode=True, count_include_pad=False),
        conv_bn(before, after, 1, act=None),
    )


def regnet_y() -> nn.Module:
    body = nn.Sequential(
        conv_bn(4, 8, 1),
        conv_bn(8, 8, 3, 2, groups=2),
        SqueezeExcite(8),
        conv_bn(8, 8, 1, act=None),
    )
    return nn.Sequential(
        conv_bn(3, 4), Residual(body, conv_bn(4, 8, 1, 2, act=None)), classifier(8)
    )


def eca_resnet() -> nn.Module:
    body = nn.Sequential(conv_bn(4, 6, 3, 2), conv_bn(6, 6, act=None), ChannelConvGate())
    return nn.Sequential(conv_bn(3, 4), Residual(body, _downsampled(4, 6)), classifier(6))


def sknet() -> nn.Module:
    body = nn.Sequential(conv_bn(4, 6, 1), SelectiveKernels(6), conv_bn(6, 4, 1, act=None))
    return nn.Sequential(conv_bn(3, 4), Residual(body), classifier(4))


def resnest() -> nn.Module:
    body = nn.Sequential(conv_bn(4, 6, 1), SplitAttention(6), conv_bn(6, 4, 1, act=None))
    return nn.Sequential(conv_bn(3, 4), Residual(body), classifier(4))


class Res2Block(nn.Module):
    """Channels in pieces; each piece sees what the one before it became."""

    def __init__(self, channels: int, scale: int = 4, width: int = 2) -> None:
        super().__init__()
        self.conv1 = conv_bn(channels, width * scale, 1)
        self.convs = nn.ModuleList(conv_bn(width, width) for _ in range(scale - 1))
        self.conv3 = conv_bn(width * scale, channels, 1, act=None)
        self.scale = scale

    def forward(self, x: torch.Tensor) -> Any:
        pieces = torch.chunk(self.conv1(x), self.scale, 1)
        found = [self.convs[0](pieces[0])]
        for piece, layer in zip(pieces[1:-1], list(self.convs)[1:], strict=True):
            found.append(layer(found[-1] + piece))
        return f.relu(self.conv3(torch.cat([*found, pieces[-1]], 1)) + x)


def res2net() -> nn.Module:
    return nn.Sequential(conv_bn(3, 4), Res2Block(4), classifier(4))


class CrossStage(nn.Module):
    """Half of the expanded channels pass a stage by."""

    def __init__(self, before: int, after: int) -> None:
        super().__init__()
        self.conv_down = conv_bn(before, after, 3, 2, act=Leaky)
        self.conv_exp = conv_bn(after, after, 1, act=Leaky)
        half = after // 2
        body = nn.Sequential(conv_bn(half, half, 1, act=Leaky), conv_bn(half, half, act=Leaky))
        self.blocks = nn.Sequential(Residual(body, act=None))
        self.conv_transition_b = conv_bn(half, half, 1, act=Leaky)
        self.conv_transition = conv_bn(after, after, 1, act=Leaky)

    def forward(self, x: torch.Tensor) -> Any:
        x = self.conv_exp(self.conv_down(x))
        passed, through = torch.split(x, x.shape[1] // 2, dim=1)
        through = self.conv_transition_b(self.blocks(through)).contiguous()
        return self.conv_transition(torch.cat([passed, through], dim=1))


def cspdarknet() -> nn.Module:
    return nn.Sequential(conv_bn(3, 4, act=Leaky), CrossStage(4, 8), classifier(8))


def darknet() -> nn.Module:
    body = nn.Sequential(conv_bn(6, 4, 1, act=Leaky), conv_bn(4, 6, act=Leaky))
    return nn.Sequential(
        conv_bn(3, 4, act=Leaky),
        conv_bn(4, 6, 3, 2, act=Leaky),
        Residual(body, act=None),
        classifier(6),
    )


class ScaledConv(nn.Conv2d):
    """A convolution whose weights are standardized whenever it runs."""

    def __init__(self, before: int, after: int, size: int = 3, stride: int = 1) -> None:
        super().__init__(before, after, size, stride, size // 2)
        self.gain = nn.Parameter(torch.empty(after, 1, 1, 1).uniform_(0.5, 1.5))
        self.scale = self.weight[0].numel() ** -0.5

    def forward(self, x: torch.Tensor) -> Any:
        weight = f.batch_norm(
            self.weight.reshape(1, self.out_channels, -1),
            None,
            None,
            weight=(self.gain * self.scale).view(-1),
            training=True,
            momentum=0.0,
            eps=1e-6,
        ).reshape_as(self.weight)
        return f.conv2d(x, weight, self.bias, self.stride, self.padding)


class NormFreeBlock(nn.Module):
    """Scaled before and after, without a batch norm; gated, with a gain of its own."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = ScaledConv(channels, channels, 1)
        self.conv2 = ScaledConv(channels, channels)
        self.gate = SqueezeExcite(channels)
        self.skipinit_gain = nn.Parameter(torch.tensor(0.7))

    def forward(self, x: torch.Tensor) -> Any:
        out = f.gelu(x) * 1.7015 * 0.9
        out = self.conv2(f.gelu(self.conv1(out)) * 1.7015)
        out = 2.0 * self.gate(out)
        out.mul_(self.skipinit_gain)
        return out * 0.2 + x


def nfnet() -> nn.Module:
    return nn.Sequential(ScaledConv(3, 4, 3, 2), NormFreeBlock(4), nn.GELU(), classifier(4))


class RepBlock(nn.Module):
    """Three parallel linear branches, one of them a batch norm alone, as they are trained."""

    def __init__(self, before: int, after: int, stride: int) -> None:
        super().__init__()
        self.dense = conv_bn(before, after, 3, stride, act=None)
        self.point = conv_bn(before, after, 1, stride, act=None)
        self.identity = nn.BatchNorm2d(before) if before == after and stride == 1 else None

    def forward(self, x: torch.Tensor) -> Any:
        rest = self.identity(x) if self.identity is not None else 0
        return f.relu(self.dense(x) + self.point(x) + rest)


def repvgg() -> nn.Module:
    return nn.Sequential(RepBlock(3, 4, 2), RepBlock(4, 4, 1), classifier(4))


class SpaceToDepth(nn.Module):
    """Blocks of 2 x 2 pixels become channels, by view and permute."""

    def forward(self, x: torch.Tensor) -> Any:
        n, c, height, width = x.size()
        x = x.view(n, c, height // 2, 2, width // 2, 2)
        x = x.permute(0, 3, 5, 1, 2, 4).contiguous()
        return x.view(n, c * 4, height // 2, width // 2)


class BlurPool(nn.Module):
    """A fixed binomial filter on each channel of a mirrored image, at stride 2."""

    filt: torch.Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        row = torch.tensor([1.0, 2.0, 1.0]) / 4.0
        self.register_buffer("filt", (row[:, None] * row)[None, None].repeat(channels, 1, 1, 1))

    def forward(self, x: torch.Tensor) -> Any:
        x = f.pad(x, (1, 1, 1, 1), "reflect")
        return f.conv2d(x, self.filt, stride=2, groups=self.filt.shape[0])


def tresnet() -> nn.Module:
    slope = functools.partial(nn.LeakyReLU, 1e-3, inplace=True)
    body = nn.Sequential(
        conv_bn(8, 8, act=slope), BlurPool(8), SqueezeExcite(8), conv_bn(8, 8, act=None)
    )
    shortcut = nn.Sequential(nn.AvgPool2d(2, 2), conv_bn(8, 8, 1, act=None))
    return nn.Sequential(
        SpaceToDepth(), conv_bn(12, 8, act=slope), Residual(body, shortcut), classifier(8)
    )


def _separable(before: int, after: int) -> nn.Module:
    return nn.Sequential(
        nn.ReLU(),
        conv(before, before, groups=before),
        conv(before, after, 1),
        nn.BatchNorm2d(after),
    )


def xception() -> nn.Module:
    entry = nn.Sequential(_separable(4, 8), _separable(8, 8), nn.MaxPool2d(3, 2, 1))
    return nn.Sequential(
        conv_bn(3, 4),
        Residual(entry, conv_bn(4, 8, 1, 2, act=None), act=None),
        Residual(_separable(8, 8), act=None),
        nn.ReLU(),
        classifier(8),
    )


def _of(name: str, build: Any, *needs: str, by: str = "") -> Family:
    return Family(name, build, (3, 8, 8), by or f"huggingface/pytorch-image-models {name}", needs)


TIMM_RESIDUAL = (
    _of("regnety", regnet_y, "mul", "sigmoid", "mean"),
    _of("ecaresnet", eca_resnet, "convolution", "expand", "mul", "avg_pool2d"),
    _of("skresnet", sknet, "rsub", "mul", "add"),
    _of("resnest_radix_1", resnest, "mul", "view"),
    _of("res2net", res2net, "split", "cat", "add"),
    _of("cspdarknet", cspdarknet, "split", "leaky_relu", "cat"),
    _of("darknet", darknet, "leaky_relu"),
    _of("nfnet", nfnet, "gelu", "native_batch_norm", "mul_"),
    _of("repvgg", repvgg, "add"),
    _of("tresnet", tresnet, "permute", "reflection_pad2d", "leaky_relu_"),
    _of("xception", xception, "convolution", "relu"),
)
