"""Architectures of kuangliu/pytorch-cifar without additions, or with one at most."""

from typing import Any

import torch
from torch import nn
from torch.nn import functional as f

from tests.traces.exporter.families.family import Family
from tests.traces.exporter.families.parts import conv, conv_bn

__all__ = ["CIFAR_CHAINS"]

_SMALL = (3, 8, 8)


class LeNet(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 4, 5)
        self.conv2 = nn.Conv2d(4, 6, 3)
        self.fc1 = nn.Linear(24, 12)
        self.fc2 = nn.Linear(12, 8)
        self.fc3 = nn.Linear(8, 5)

    def forward(self, x: torch.Tensor) -> Any:
        x = f.max_pool2d(f.relu(self.conv1(x)), 2)
        x = f.max_pool2d(f.relu(self.conv2(x)), 2)
        x = x.view(x.size(0), -1)
        return self.fc3(f.relu(self.fc2(f.relu(self.fc1(x)))))


class VGG(nn.Module):
    """Convolutions and poolings by a list; an average over one pixel at the end."""

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        before = 3
        for width in (4, "M", 8, 8, "M", 12, "M"):
            if isinstance(width, str):
                layers.append(nn.MaxPool2d(kernel_size=2, stride=2))
            else:
                layers += [
                    nn.Conv2d(before, width, kernel_size=3, padding=1),
                    nn.BatchNorm2d(width),
                    nn.ReLU(inplace=True),
                ]
                before = width
        self.features = nn.Sequential(*layers, nn.AvgPool2d(kernel_size=1, stride=1))
        self.classifier = nn.Linear(before, 5)

    def forward(self, x: torch.Tensor) -> Any:
        out = self.features(x)
        return self.classifier(out.view(out.size(0), -1))


class InceptionBlock(nn.Module):
    """Four branches, one of them behind a pooling of stride 1."""

    def __init__(self, before: int) -> None:
        super().__init__()
        self.b1 = conv_bn(before, 3, 1)
        self.b2 = nn.Sequential(conv_bn(before, 2, 1), conv_bn(2, 4))
        self.b3 = nn.Sequential(conv_bn(before, 2, 1), conv_bn(2, 3), conv_bn(3, 3))
        self.b4 = nn.Sequential(nn.MaxPool2d(3, stride=1, padding=1), conv_bn(before, 2, 1))

    def forward(self, x: torch.Tensor) -> Any:
        return torch.cat([self.b1(x), self.b2(x), self.b3(x), self.b4(x)], 1)


class GoogLeNet(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.pre = conv_bn(3, 6)
        self.a3 = InceptionBlock(6)
        self.maxpool = nn.MaxPool2d(3, stride=2, padding=1)
        self.avgpool = nn.AvgPool2d(4, stride=1)
        self.linear = nn.Linear(12, 5)

    def forward(self, x: torch.Tensor) -> Any:
        out = self.avgpool(self.maxpool(self.a3(self.pre(x))))
        return self.linear(out.view(out.size(0), -1))


class MobileNet(nn.Module):
    """Depthwise, then pointwise."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = conv_bn(3, 4)
        self.layers = nn.Sequential(
            *(
                nn.Sequential(conv_bn(before, before, 3, stride, groups=before), pointwise)
                for before, after, stride in ((4, 8, 1), (8, 12, 2))
                for pointwise in [conv_bn(before, after, 1)]
            )
        )
        self.linear = nn.Linear(12, 5)

    def forward(self, x: torch.Tensor) -> Any:
        out = f.avg_pool2d(self.layers(self.stem(x)), 2)
        out = f.avg_pool2d(out, 2)
        return self.linear(out.view(out.size(0), -1))


class InvertedResidual(nn.Module):
    """Expand, depthwise, project; added to a shortcut where the stride is 1."""

    def __init__(self, before: int, after: int, stride: int) -> None:
        super().__init__()
        wide = 2 * before
        self.stride = stride
        self.conv1, self.bn1 = conv(before, wide, 1), nn.BatchNorm2d(wide)
        self.conv2, self.bn2 = conv(wide, wide, 3, stride, groups=wide), nn.BatchNorm2d(wide)
        self.conv3, self.bn3 = conv(wide, after, 1), nn.BatchNorm2d(after)
        self.shortcut = conv_bn(before, after, 1, act=None) if before != after else nn.Sequential()

    def forward(self, x: torch.Tensor) -> Any:
        out = f.relu(self.bn1(self.conv1(x)))
        out = f.relu(self.bn2(self.conv2(out)))
        out = self.bn3(self.conv3(out))
        return out + self.shortcut(x) if self.stride == 1 else out


class MobileNetV2(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.bn1 = conv(3, 4), nn.BatchNorm2d(4)
        self.layers = nn.Sequential(
            InvertedResidual(4, 6, 1), InvertedResidual(6, 6, 1), InvertedResidual(6, 8, 2)
        )
        self.conv2, self.bn2 = conv(8, 12, 1), nn.BatchNorm2d(12)
        self.linear = nn.Linear(12, 5)

    def forward(self, x: torch.Tensor) -> Any:
        out = self.layers(f.relu(self.bn1(self.conv1(x))))
        out = f.avg_pool2d(f.relu(self.bn2(self.conv2(out))), 4)
        return self.linear(out.view(out.size(0), -1))


class Shuffle(nn.Module):
    """[N, C] to [N, groups, C / groups], swapped, and flat again."""

    def __init__(self, groups: int) -> None:
        super().__init__()
        self.groups = groups

    def forward(self, x: torch.Tensor) -> Any:
        n, c, height, width = x.size()
        g = self.groups
        return x.view(n, g, c // g, height, width).permute(0, 2, 1, 3, 4).reshape(x.shape)


class ShuffleBottleneck(nn.Module):
    """Grouped, shuffled, depthwise, grouped; joined to a pooled shortcut or added to it."""

    def __init__(self, before: int, after: int, stride: int) -> None:
        super().__init__()
        self.stride = stride
        mid = after // 2
        self.conv1, self.bn1 = conv(before, mid, 1, groups=2), nn.BatchNorm2d(mid)
        self.shuffle = Shuffle(2)
        self.conv2, self.bn2 = conv(mid, mid, 3, stride, groups=mid), nn.BatchNorm2d(mid)
        self.conv3, self.bn3 = conv(mid, after, 1, groups=2), nn.BatchNorm2d(after)
        pool = nn.AvgPool2d(3, stride=2, padding=1)
        self.shortcut = pool if stride == 2 else nn.Sequential()

    def forward(self, x: torch.Tensor) -> Any:
        out = self.shuffle(f.relu(self.bn1(self.conv1(x))))
        out = f.relu(self.bn2(self.conv2(out)))
        out = self.bn3(self.conv3(out))
        rest = self.shortcut(x)
        return f.relu(torch.cat([out, rest], 1)) if self.stride == 2 else f.relu(out + rest)


class ShuffleNet(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.bn1 = conv(3, 4, 1), nn.BatchNorm2d(4)
        self.layer1 = nn.Sequential(ShuffleBottleneck(4, 8, 2), ShuffleBottleneck(12, 12, 1))
        self.linear = nn.Linear(12, 5)

    def forward(self, x: torch.Tensor) -> Any:
        out = self.layer1(f.relu(self.bn1(self.conv1(x))))
        out = f.avg_pool2d(out, 4)
        return self.linear(out.view(out.size(0), -1))


class ShuffleUnit(nn.Module):
    """Half of the channels pass by; both halves are shuffled afterwards."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        half = channels // 2
        self.right = nn.Sequential(
            conv_bn(half, half, 1),
            conv_bn(half, half, 3, act=None, groups=half),
            conv_bn(half, half, 1),
        )
        self.shuffle = Shuffle(2)

    def forward(self, x: torch.Tensor) -> Any:
        c = int(x.size(1) * 0.5)
        passed, rest = x[:, :c, :, :], x[:, c:, :, :]
        return self.shuffle(torch.cat([passed, self.right(rest)], 1))


class ShuffleDown(nn.Module):
    """Both branches halve the image, and together double the channels."""

    def __init__(self, before: int, after: int) -> None:
        super().__init__()
        half = after // 2
        self.left = nn.Sequential(
            conv_bn(before, before, 3, 2, act=None, groups=before), conv_bn(before, half, 1)
        )
        self.right = nn.Sequential(
            conv_bn(before, half, 1),
            conv_bn(half, half, 3, 2, act=None, groups=half),
            conv_bn(half, half, 1),
        )
        self.shuffle = Shuffle(2)

    def forward(self, x: torch.Tensor) -> Any:
        return self.shuffle(torch.cat([self.left(x), self.right(x)], 1))


class ShuffleNetV2(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem = conv_bn(3, 4)
        self.layers = nn.Sequential(ShuffleDown(4, 8), ShuffleUnit(8))
        self.linear = nn.Linear(8, 5)

    def forward(self, x: torch.Tensor) -> Any:
        out = f.avg_pool2d(self.layers(self.stem(x)), 4)
        return self.linear(out.view(out.size(0), -1))


class SepConv(nn.Module):
    """A convolution in as many groups as it has inputs."""

    def __init__(self, before: int, after: int, size: int, stride: int) -> None:
        super().__init__()
        self.conv1 = conv(before, after, size, stride, groups=before)
        self.bn1 = nn.BatchNorm2d(after)

    def forward(self, x: torch.Tensor) -> Any:
        return self.bn1(self.conv1(x))


class CellB(nn.Module):
    """Two sums of two branches, joined and mixed."""

    def __init__(self, before: int, after: int, stride: int) -> None:
        super().__init__()
        self.stride = stride
        self.sep_conv1 = SepConv(before, after, 7, stride)
        self.sep_conv2 = SepConv(before, after, 3, stride)
        self.sep_conv3 = SepConv(before, after, 5, stride)
        self.conv1, self.bn1 = conv(before, after, 1), nn.BatchNorm2d(after)
        self.conv2, self.bn2 = conv(2 * after, after, 1), nn.BatchNorm2d(after)

    def forward(self, x: torch.Tensor) -> Any:
        y1, y2 = self.sep_conv1(x), self.sep_conv2(x)
        y3 = f.max_pool2d(x, kernel_size=3, stride=self.stride, padding=1)
        if self.stride == 2:
            y3 = self.bn1(self.conv1(y3))
        y4 = self.sep_conv3(x)
        y = torch.cat([f.relu(y1 + y2), f.relu(y3 + y4)], 1)
        return f.relu(self.bn2(self.conv2(y)))


class PNASNet(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem = conv_bn(3, 4)
        self.layers = nn.Sequential(CellB(4, 4, 1), CellB(4, 8, 2))
        self.linear = nn.Linear(8, 5)

    def forward(self, x: torch.Tensor) -> Any:
        out = f.avg_pool2d(self.layers(self.stem(x)), 4)
        return self.linear(out.view(out.size(0), -1))


def _of(name: str, build: type[nn.Module], *needs: str, size: tuple[int, ...] = _SMALL) -> Family:
    return Family(name, build, size, f"kuangliu/pytorch-cifar {build.__name__}", needs)


CIFAR_CHAINS = (
    _of("lenet", LeNet, "max_pool2d_with_indices", "view", size=(3, 16, 16)),
    _of("vgg", VGG, "max_pool2d_with_indices", "avg_pool2d"),
    _of("googlenet", GoogLeNet, "cat", "max_pool2d_with_indices"),
    _of("mobilenet", MobileNet, "convolution", "avg_pool2d"),
    _of("mobilenetv2", MobileNetV2, "add"),
    _of("shufflenet", ShuffleNet, "permute", "view", "avg_pool2d"),
    _of("shufflenetv2", ShuffleNetV2, "slice", "permute", "cat"),
    _of("pnasnet", PNASNet, "cat", "add", "max_pool2d_with_indices"),
)
