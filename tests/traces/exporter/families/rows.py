"""Networks of rows: one-dimensional convolutions, perceptrons, mixers of tokens."""

from typing import Any

import torch
from torch import nn
from torch.nn import functional as f

from tests.traces.exporter.families.family import Family
from tests.traces.exporter.families.parts import Act, conv_bn

__all__ = ["ROWS"]


class M5(nn.Module):
    """Words from sound: a long first window, pooled, averaged over time."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.bn1 = nn.Conv1d(1, 4, kernel_size=8, stride=2), nn.BatchNorm1d(4)
        self.pool1 = nn.MaxPool1d(2)
        self.conv2, self.bn2 = nn.Conv1d(4, 6, kernel_size=3), nn.BatchNorm1d(6)
        self.pool2 = nn.MaxPool1d(2)
        self.fc1 = nn.Linear(6, 5)

    def forward(self, x: torch.Tensor) -> Any:
        x = self.pool1(f.relu(self.bn1(self.conv1(x))))
        x = self.pool2(f.relu(self.bn2(self.conv2(x))))
        x = f.avg_pool1d(x, x.shape[-1])
        out: torch.Tensor = self.fc1(x.permute(0, 2, 1).squeeze(1))
        return out


class Causal(nn.Module):
    """Dilated convolution that sees the past alone: padded on both sides, cut at the end."""

    def __init__(self, before: int, after: int, dilation: int) -> None:
        super().__init__()
        self.cut = dilation
        self.conv = nn.Conv1d(before, after, 2, padding=dilation, dilation=dilation)
        self.same = nn.Conv1d(before, after, 1) if before != after else None

    def forward(self, x: torch.Tensor) -> Any:
        out = f.relu(self.conv(x)[:, :, : -self.cut].contiguous())
        return f.relu(out + (x if self.same is None else self.same(x)))


class TemporalNet(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.network = nn.Sequential(Causal(2, 4, 1), Causal(4, 4, 2))
        self.linear = nn.Linear(4, 5)

    def forward(self, x: torch.Tensor) -> Any:
        return self.linear(self.network(x)[:, :, -1])


def separable_1d() -> nn.Module:
    return nn.Sequential(
        nn.Conv1d(3, 3, 3, padding=1, groups=3),
        nn.Conv1d(3, 6, 1),
        nn.BatchNorm1d(6),
        nn.ReLU(),
        nn.AdaptiveAvgPool1d(1),
        nn.Flatten(),
        nn.Linear(6, 5),
    )


def perceptron(first: Act, second: Act) -> nn.Module:
    return nn.Sequential(
        nn.Linear(12, 16),
        first(),
        nn.Linear(16, 16),
        nn.BatchNorm1d(16),
        second(),
        nn.Linear(16, 5),
    )


class Affine(nn.Module):
    """What stands in ResMLP where others have a layer norm."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.alpha = nn.Parameter(torch.empty(1, 1, channels).uniform_(0.5, 1.5))
        self.beta = nn.Parameter(torch.empty(1, 1, channels).normal_(std=0.2))

    def forward(self, x: torch.Tensor) -> Any:
        return torch.addcmul(self.beta, self.alpha, x)


class MixerBlock(nn.Module):
    """Mixes tokens, then channels, each beside a shortcut with a factor a channel."""

    def __init__(self, tokens: int, channels: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = Affine(channels), Affine(channels)
        self.linear_tokens = nn.Linear(tokens, tokens)
        self.fc1, self.fc2 = nn.Linear(channels, 2 * channels), nn.Linear(2 * channels, channels)
        self.ls1 = nn.Parameter(torch.full((channels,), 0.5))

    def forward(self, x: torch.Tensor) -> Any:
        mixed = self.linear_tokens(self.norm1(x).transpose(1, 2)).transpose(1, 2)
        x = x + self.ls1 * mixed
        return x + self.fc2(f.gelu(self.fc1(self.norm2(x))))


class ResMLP(nn.Module):
    """Patches become tokens; the mean of all tokens is classified."""

    def __init__(self) -> None:
        super().__init__()
        self.proj = nn.Conv2d(3, 6, kernel_size=4, stride=4)
        self.block = MixerBlock(4, 6)
        self.norm = Affine(6)
        self.head = nn.Linear(6, 5)

    def forward(self, x: torch.Tensor) -> Any:
        x = self.proj(x).flatten(2).transpose(1, 2)
        return self.head(self.norm(self.block(x)).mean(dim=1))


class RepMLP(nn.Module):
    """A perceptron over all pixels of each channel, beside a convolution and a gate."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = conv_bn(3, 2)
        self.fc3 = nn.Conv2d(32, 32, 1, groups=2, bias=False)
        self.fc3_bn = nn.BatchNorm1d(2)
        self.local = conv_bn(2, 2, act=None, groups=2)
        self.gate1, self.gate2 = nn.Conv2d(2, 2, 1), nn.Conv2d(2, 2, 1)
        self.head = nn.Linear(2, 5)

    def forward(self, x: torch.Tensor) -> Any:
        x = self.stem(x)
        n, c, rows, columns = x.shape
        gate = self.gate2(f.relu(self.gate1(f.adaptive_avg_pool2d(x, 1))))
        whole = self.fc3(x.reshape(n, -1, 1, 1)).reshape(n, c, rows * columns)
        whole = self.fc3_bn(whole).reshape(n, c, rows, columns)
        out = (whole + self.local(x)) * torch.sigmoid(gate)
        return self.head(out.mean((2, 3)))


class PoolMixer(nn.Module):
    """Tokens are mixed by their neighbours' average, less themselves."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.BatchNorm2d(channels), nn.BatchNorm2d(channels)
        self.pool = nn.AvgPool2d(3, stride=1, padding=1, count_include_pad=False)
        self.fc1, self.fc2 = nn.Conv2d(channels, 8, 1), nn.Conv2d(8, channels, 1)
        self.layer_scale = nn.Parameter(torch.full((channels,), 0.5))

    def forward(self, x: torch.Tensor) -> Any:
        y = self.norm1(x)
        scale = self.layer_scale.unsqueeze(-1).unsqueeze(-1)
        x = x + scale * (self.pool(y) - y)
        return x + self.fc2(f.gelu(self.fc1(self.norm2(x))))


class PoolFormer(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.patch_embed = nn.Conv2d(3, 4, 3, stride=2, padding=1)
        self.block = PoolMixer(4)
        self.head = nn.Linear(4, 5)

    def forward(self, x: torch.Tensor) -> Any:
        return self.head(self.block(self.patch_embed(x)).mean([-2, -1]))


class ConvMixerBlock(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.fn = nn.Sequential(
            nn.Conv2d(channels, channels, 5, groups=channels, padding="same"),
            nn.GELU(),
            nn.BatchNorm2d(channels),
        )
        self.point = nn.Sequential(nn.Conv2d(channels, channels, 1), nn.GELU())
        self.norm = nn.BatchNorm2d(channels)

    def forward(self, x: torch.Tensor) -> Any:
        return self.norm(self.point(self.fn(x) + x))


def conv_mixer() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(3, 4, 2, stride=2),
        nn.GELU(),
        nn.BatchNorm2d(4),
        ConvMixerBlock(4),
        nn.AdaptiveAvgPool2d((1, 1)),
        nn.Flatten(),
        nn.Linear(4, 5),
    )


class NormFreeConvNeXt(nn.Module):
    """A ConvNeXt block in channels-last linear layers, with batch norm for layer norm."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 4, 2, stride=2)
        self.conv_dw = nn.Conv2d(4, 4, 7, padding=3, groups=4)
        self.norm = nn.BatchNorm2d(4)
        self.fc1, self.fc2 = nn.Linear(4, 8), nn.Linear(8, 4)
        self.gamma = nn.Parameter(torch.full((4,), 0.5))
        self.head = nn.Linear(4, 5)

    def forward(self, x: torch.Tensor) -> Any:
        x = self.stem(x)
        y = self.norm(self.conv_dw(x)).permute(0, 2, 3, 1)
        y = self.fc2(f.gelu(self.fc1(y))).permute(0, 3, 1, 2)
        x = y.mul(self.gamma.reshape(1, -1, 1, 1)) + x
        return self.head(x.mean((-2, -1)))


_TIMM = "huggingface/pytorch-image-models "

ROWS = (
    Family(
        "m5",
        M5,
        (1, 48),
        "pytorch/tutorials speech commands, M5 of Dai et al. 2016",
        ("convolution", "permute"),
    ),
    Family(
        "temporal_conv", TemporalNet, (2, 12), "locuslab/TCN", ("convolution", "slice", "select")
    ),
    Family(
        "separable_1d",
        separable_1d,
        (3, 16),
        "ARM-software/ML-KWS-for-MCU DS-CNN, over time alone",
        ("convolution",),
    ),
    Family(
        "mlp_gelu",
        lambda: perceptron(nn.GELU, lambda: nn.GELU("tanh")),
        (12,),
        "Hendrycks and Gimpel 2016, exact and by tanh",
        ("gelu",),
    ),
    Family(
        "mlp_elu",
        lambda: perceptron(nn.ELU, nn.SELU),
        (12,),
        "Clevert et al. 2015; Klambauer et al. 2017",
        ("elu",),
    ),
    Family(
        "mlp_mish",
        lambda: perceptron(nn.Mish, nn.Softplus),
        (12,),
        "Misra 2019; Dugas et al. 2001",
        ("mish", "softplus"),
    ),
    Family("resmlp", ResMLP, (3, 8, 8), _TIMM + "resmlp", ("addcmul", "transpose", "gelu")),
    Family("repmlp", RepMLP, (3, 4, 4), "DingXiaoH/RepMLP", ("view", "mul")),
    Family(
        "poolformer", PoolFormer, (3, 8, 8), _TIMM + "poolformer", ("avg_pool2d", "sub", "gelu")
    ),
    Family("convmixer", conv_mixer, (3, 8, 8), _TIMM + "convmixer", ("gelu", "add")),
    Family(
        "convnext_batch_norm",
        NormFreeConvNeXt,
        (3, 8, 8),
        _TIMM + "convnext, batch norm for layer norm",
        ("permute", "gelu", "mul"),
    ),
)
