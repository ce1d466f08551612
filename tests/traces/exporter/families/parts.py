"""Pieces that several families share; whatever makes a family its own is written there."""

from collections.abc import Callable
from typing import Any

import torch
from torch import nn

__all__ = ["Act", "Joined", "Residual", "classifier", "conv", "conv_bn", "spatial_mean"]

Act = Callable[[], nn.Module]


def conv(before: int, after: int, size: int = 3, stride: int = 1, **options: Any) -> nn.Conv2d:
    """A convolution without bias that keeps the size of the image at stride 1."""
    dilation = options.get("dilation", 1)
    given: dict[str, Any] = {"bias": False, "padding": dilation * (size // 2), **options}
    return nn.Conv2d(before, after, size, stride, **given)


def conv_bn(
    before: int,
    after: int,
    size: int = 3,
    stride: int = 1,
    act: Act | None = nn.ReLU,
    **options: Any,
) -> nn.Sequential:
    """Convolution, batch norm, activation."""
    layers = [conv(before, after, size, stride, **options), nn.BatchNorm2d(after)]
    return nn.Sequential(*layers, *([act()] if act is not None else []))


def classifier(channels: int, classes: int = 5) -> nn.Sequential:
    """Global average and a linear layer."""
    return nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, classes))


def spatial_mean(x: torch.Tensor) -> torch.Tensor:
    """The mean of each channel, as an image of one pixel."""
    return x.mean((2, 3), keepdim=True)


class Residual(nn.Module):
    """act(body(x) + shortcut(x)); without `act` the sum itself."""

    def __init__(
        self, body: nn.Module, shortcut: nn.Module | None = None, act: Act | None = nn.ReLU
    ) -> None:
        super().__init__()
        self.body = body
        self.shortcut = shortcut if shortcut is not None else nn.Identity()
        self.act = act() if act is not None else nn.Identity()

    def forward(self, x: torch.Tensor) -> Any:
        return self.act(self.body(x) + self.shortcut(x))


class Joined(nn.Module):
    """The channels of several branches beside one another."""

    def __init__(self, *branches: nn.Module) -> None:
        super().__init__()
        self.branches = nn.ModuleList(branches)

    def forward(self, x: torch.Tensor) -> Any:
        return torch.cat([branch(x) for branch in self.branches], 1)
