"""Mobile families of timm: depthwise convolutions, gates, hard activations."""

from typing import Any

import torch
from torch import nn
from torch.nn import functional as f

from tests.traces.exporter.families.family import Family
from tests.traces.exporter.families.gates import SqueezeExcite
from tests.traces.exporter.families.parts import Act, classifier, conv, conv_bn

__all__ = ["TIMM_MOBILE"]

_SMALL = (3, 8, 8)


class MobileBlock(nn.Module):
    """Expand, depthwise, gate, project, and add where the shape stays."""

    def __init__(
        self,
        before: int,
        after: int,
        stride: int,
        act: Act,
        size: int = 3,
        gate: nn.Module | None = None,
    ) -> None:
        super().__init__()
        wide = 2 * before
        self.conv_pw = conv_bn(before, wide, 1, act=act)
        self.conv_dw = conv_bn(wide, wide, size, stride, act=act, groups=wide)
        self.se = gate if gate is not None else nn.Identity()
        self.conv_pwl = conv_bn(wide, after, 1, act=None)
        self.has_skip = stride == 1 and before == after
        self.drop_path = DropPath(0.1)

    def forward(self, x: torch.Tensor) -> Any:
        out = self.conv_pwl(self.se(self.conv_dw(self.conv_pw(x))))
        return self.drop_path(out) + x if self.has_skip else out


class DropPath(nn.Module):
    """Stochastic depth: nothing in evaluation."""

    def __init__(self, share: float) -> None:
        super().__init__()
        self.share = share

    def forward(self, x: torch.Tensor) -> Any:
        if self.share == 0.0 or not self.training:
            return x
        kept = x.new_empty(x.shape[0], 1, 1, 1).bernoulli_(1 - self.share)
        return x * kept / (1 - self.share)


def mobilenet_v3() -> nn.Module:
    gate = SqueezeExcite(12, 4, gate=nn.Hardsigmoid)
    return nn.Sequential(
        conv_bn(3, 4, act=nn.Hardswish),
        MobileBlock(4, 6, 2, nn.ReLU),
        MobileBlock(6, 6, 1, nn.Hardswish, 5, gate),
        nn.AdaptiveAvgPool2d(1),
        nn.Conv2d(6, 8, 1),
        nn.Hardswish(),
        nn.Flatten(1),
        nn.Linear(8, 5),
    )


def efficientnet_lite() -> nn.Module:
    return nn.Sequential(
        conv_bn(3, 4, 3, 2, act=nn.ReLU6),
        MobileBlock(4, 6, 1, nn.ReLU6, 5),
        MobileBlock(6, 6, 1, nn.ReLU6),
        classifier(6),
    )


def efficientnet_v2() -> nn.Module:
    fused = nn.Sequential(conv_bn(4, 8, act=nn.SiLU), conv_bn(8, 4, 1, act=None))
    return nn.Sequential(
        conv_bn(3, 4, 3, 2, act=nn.SiLU),
        fused,
        MobileBlock(4, 4, 1, nn.SiLU, gate=SqueezeExcite(8, 2, act=nn.SiLU)),
        classifier(4),
    )


def mnasnet() -> nn.Module:
    return nn.Sequential(
        conv_bn(3, 4, 3, 2),
        conv_bn(4, 4, groups=4),
        conv_bn(4, 4, 1, act=None),
        MobileBlock(4, 4, 1, nn.ReLU),
        MobileBlock(4, 6, 1, nn.ReLU, 5, SqueezeExcite(8)),
        classifier(6),
    )


class GhostModule(nn.Module):
    """Half of the maps by a convolution, the other half cheaply from those."""

    def __init__(self, before: int, after: int, act: Act | None = nn.ReLU) -> None:
        super().__init__()
        self.after = after
        half = (after + 1) // 2
        self.primary_conv = conv_bn(before, half, 1, act=act)
        self.cheap_operation = conv_bn(half, half, act=act, groups=half)

    def forward(self, x: torch.Tensor) -> Any:
        x1 = self.primary_conv(x)
        out = torch.cat([x1, self.cheap_operation(x1)], dim=1)
        return out[:, : self.after, :, :]


class GhostBottleneck(nn.Module):
    def __init__(self, before: int, mid: int, after: int, stride: int) -> None:
        super().__init__()
        self.ghost1 = GhostModule(before, mid)
        self.conv_dw = conv_bn(mid, mid, 3, stride, act=None, groups=mid)
        self.se = SqueezeExcite(mid, gate=nn.Hardsigmoid)
        self.ghost2 = GhostModule(mid, after, act=None)
        self.shortcut = nn.Sequential(
            conv_bn(before, before, 3, stride, act=None, groups=before),
            conv_bn(before, after, 1, act=None),
        )

    def forward(self, x: torch.Tensor) -> Any:
        out = self.ghost2(self.se(self.conv_dw(self.ghost1(x))))
        out += self.shortcut(x)
        return out


def ghostnet() -> nn.Module:
    return nn.Sequential(conv_bn(3, 4), GhostBottleneck(4, 7, 6, 2), classifier(6))


class BlazeBlock(nn.Module):
    """Padded below and to the right, depthwise; the shortcut pools and gains empty channels."""

    def __init__(self, before: int, after: int, stride: int) -> None:
        super().__init__()
        self.stride, self.extra = stride, after - before
        padding = 0 if stride == 2 else 1
        self.convs = nn.Sequential(
            nn.Conv2d(before, before, 3, stride, padding, groups=before),
            nn.Conv2d(before, after, 1),
        )
        self.max_pool = nn.MaxPool2d(stride, stride)

    def forward(self, x: torch.Tensor) -> Any:
        h = f.pad(x, (0, 2, 0, 2), "constant", 0) if self.stride == 2 else x
        if self.stride == 2:
            x = self.max_pool(x)
        if self.extra > 0:
            x = f.pad(x, (0, 0, 0, 0, 0, self.extra), "constant", 0)
        return f.relu(self.convs(h) + x)


class BlazeFace(nn.Module):
    """Scores of two grids, joined as one row of anchors."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 4, 5, 2)
        self.backbone1 = nn.Sequential(BlazeBlock(4, 4, 1), BlazeBlock(4, 6, 2))
        self.backbone2 = BlazeBlock(6, 8, 2)
        self.classifier_8 = nn.Conv2d(6, 2, 1)
        self.classifier_16 = nn.Conv2d(8, 3, 1)

    def forward(self, x: torch.Tensor) -> Any:
        x = f.pad(x, (1, 2, 1, 2), "constant", 0)
        x = self.backbone1(f.relu(self.stem(x)))
        h = self.backbone2(x)
        n = x.shape[0]
        c1 = self.classifier_8(x).permute(0, 2, 3, 1).reshape(n, -1, 1)
        c2 = self.classifier_16(h).permute(0, 2, 3, 1).reshape(n, -1, 1)
        return torch.cat((c1, c2), dim=1).sigmoid()


class MobileFaceNet(nn.Module):
    """One slope a channel below zero; a depthwise convolution over the whole image at the end."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Sequential(conv_bn(3, 4, 3, 2, act=None), nn.PReLU(4))
        self.expand = nn.Sequential(conv_bn(4, 8, 1, act=None), nn.PReLU(8))
        self.depth = nn.Sequential(conv_bn(8, 8, act=None, groups=8), nn.PReLU(8))
        self.project = conv_bn(8, 4, 1, act=None)
        self.whole = conv_bn(4, 4, 4, act=None, groups=4, padding=0)
        self.linear = nn.Linear(4, 5)
        for part in self.modules():
            if isinstance(part, nn.PReLU):
                nn.init.uniform_(part.weight, 0.05, 0.4)

    def forward(self, x: torch.Tensor) -> Any:
        x = self.conv1(x)
        x = x + self.project(self.depth(self.expand(x)))
        return self.linear(self.whole(x).flatten(1))


def _of(name: str, build: Any, *needs: str, size: tuple[int, ...] = _SMALL, by: str = "") -> Family:
    return Family(name, build, size, by or f"huggingface/pytorch-image-models {name}", needs)


def depth_multiplier() -> nn.Module:
    return nn.Sequential(
        conv(3, 9, groups=3), conv_bn(9, 6, 1), conv(6, 12, 3, 2, groups=6), classifier(12)
    )


TIMM_MOBILE = (
    _of("mobilenetv3", mobilenet_v3, "hardswish", "hardsigmoid", "mul"),
    _of("efficientnet_lite", efficientnet_lite, "hardtanh", "add"),
    _of("efficientnetv2", efficientnet_v2, "silu", "mul"),
    _of("mnasnet", mnasnet, "mul", "sigmoid"),
    _of("ghostnet", ghostnet, "cat", "slice", "hardsigmoid"),
    _of("blazeface", BlazeFace, "constant_pad_nd", "permute", by="hollance/BlazeFace-PyTorch"),
    _of("mobilefacenet", MobileFaceNet, "_prelu_kernel", by="Chen et al. 2018, MobileFaceNets"),
    _of(
        "depth_multiplier",
        depth_multiplier,
        "convolution",
        by="Chollet 2017, depthwise convolutions of several outputs a channel",
    ),
)
