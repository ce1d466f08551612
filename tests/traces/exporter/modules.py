"""Small PyTorch modules that the exporter's tests read."""

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn
from torch.nn import functional

from bitpim_traces.exporter import Pixels


class Forward(nn.Module):
    """Calls a function with the module itself, so that it may use the parts given."""

    def __init__(self, run: Callable[[Any, torch.Tensor], Any], **parts: nn.Module) -> None:
        super().__init__()
        for name, part in parts.items():
            self.add_module(name, part)
        self.run = run

    def forward(self, x: torch.Tensor) -> Any:
        return self.run(self, x)


def seeded(module: nn.Module, seed: int = 0) -> nn.Module:
    """Give a module weights and batch statistics that look trained; evaluation mode."""
    torch.manual_seed(seed)
    for part in module.modules():
        if isinstance(part, (nn.Conv2d, nn.Linear)):
            part.reset_parameters()
            if part.bias is not None:
                nn.init.normal_(part.bias, std=0.1)
        if isinstance(part, (nn.BatchNorm2d, nn.BatchNorm1d)):
            if part.affine:
                nn.init.uniform_(part.weight, 0.5, 1.5)
                nn.init.normal_(part.bias, std=0.2)
            if part.running_mean is not None and part.running_var is not None:
                nn.init.normal_(part.running_mean, std=0.2)
                nn.init.uniform_(part.running_var, 0.3, 2.0)
    return module.eval()


class ShortcutBlock(nn.Module):
    """A residual block whose shortcut slices the image and pads the channels with zeros."""

    def __init__(self, before: int, after: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(before, after, 3, stride=2, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(after)
        self.conv2 = nn.Conv2d(after, after, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(after)
        self.extra = (after - before) // 2

    def forward(self, x: torch.Tensor) -> Any:
        y = functional.relu(self.bn1(self.conv1(x)))
        y = self.bn2(self.conv2(y))
        y += functional.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, self.extra, self.extra))
        return functional.relu(y)


class SmallResidual(nn.Module):
    """Stem, one shortcut block, global average, classifier."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            nn.Conv2d(3, 8, 3, padding=1, bias=False), nn.BatchNorm2d(8), nn.ReLU(inplace=True)
        )
        self.block = ShortcutBlock(8, 16)
        self.linear = nn.Linear(16, 10)

    def forward(self, x: torch.Tensor) -> Any:
        x = self.block(self.stem(x))
        x = functional.avg_pool2d(x, x.size()[3])
        return self.linear(x.view(x.size(0), -1))


class InvertedResidual(nn.Module):
    """Expand, depthwise, project, add: the block of mobile networks."""

    def __init__(self, channels: int = 4, expand: int = 3) -> None:
        super().__init__()
        wide = channels * expand
        self.layers = nn.Sequential(
            nn.Conv2d(channels, wide, 1, bias=False),
            nn.BatchNorm2d(wide),
            nn.ReLU6(inplace=True),
            nn.Conv2d(wide, wide, 3, padding=1, groups=wide, bias=False),
            nn.BatchNorm2d(wide),
            nn.ReLU6(inplace=True),
            nn.Conv2d(wide, channels, 1, bias=False),
            nn.BatchNorm2d(channels),
        )

    def forward(self, x: torch.Tensor) -> Any:
        return x + self.layers(x)


class Branches(nn.Module):
    """Two branches of very different scales, joined by a concat."""

    def __init__(self) -> None:
        super().__init__()
        self.small = nn.Conv2d(3, 4, 1)
        self.large = nn.Conv2d(3, 4, 3, padding=1)
        self.after = nn.Conv2d(11, 6, 3, padding=1)

    def forward(self, x: torch.Tensor) -> Any:
        joined = torch.cat([self.small(x), torch.relu(self.large(x)) * 20.0, x], 1)
        return self.after(joined).mean((2, 3))


def weight_at(module: nn.Module, path: str) -> torch.Tensor:
    """Weight of the part at a path."""
    return module.get_parameter(f"{path}.weight")


def small_classifier() -> nn.Sequential:
    torch.manual_seed(1)
    return nn.Sequential(
        nn.Conv2d(1, 6, 3, padding=1, bias=False),
        nn.BatchNorm2d(6),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(6, 8, 3, padding=1, bias=False),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.Dropout(0.1),
        nn.AdaptiveAvgPool2d(2),
        nn.Flatten(),
        nn.Linear(32, 4),
    )


def pictures(n: int, seed: int) -> tuple[Pixels, npt.NDArray[np.int64]]:
    """Bars of four directions under noise: to be learned in seconds."""
    rng = np.random.default_rng(seed)
    labels = np.arange(n) % 4
    images = rng.integers(0, 120, (n, 1, 8, 8), dtype=np.uint8)
    for image, label in zip(images[:, 0], labels, strict=True):
        at = int(rng.integers(1, 7))
        lines = (
            image[at],
            image[:, at],
            np.einsum("ii->i", image),
            np.einsum("ii->i", image[::-1]),
        )
        lines[label][...] = 230
    return Pixels(images, (0.3,), (0.25,)), labels
