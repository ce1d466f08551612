"""Networks that answer with an image: segmentation, super-resolution, style, detection."""

from typing import Any

import torch
from torch import nn
from torch.nn import functional as f

from tests.traces.exporter.families.family import Family
from tests.traces.exporter.families.parts import conv_bn

__all__ = ["DENSE_PREDICTION"]


class UNet(nn.Module):
    """Down and up again; what came down is joined to what goes up."""

    def __init__(self, up: nn.Module, widened: int) -> None:
        super().__init__()
        self.inc = conv_bn(3, 4)
        self.down = nn.Sequential(nn.MaxPool2d(2), conv_bn(4, 8))
        self.up = up
        self.conv = conv_bn(4 + widened, 4)
        self.outc = nn.Conv2d(4, 2, kernel_size=1)

    def forward(self, x: torch.Tensor) -> Any:
        x1 = self.inc(x)
        x2 = self.up(self.down(x1))
        rows, columns = x1.size(2) - x2.size(2), x1.size(3) - x2.size(3)
        sides = [columns // 2, columns - columns // 2, rows // 2, rows - rows // 2]
        return self.outc(self.conv(torch.cat([x1, f.pad(x2, sides)], dim=1)))


def unet_transposed() -> nn.Module:
    return UNet(nn.ConvTranspose2d(8, 4, kernel_size=2, stride=2), 4)


def unet_bilinear() -> nn.Module:
    return UNet(nn.Upsample(scale_factor=2, mode="bilinear", align_corners=True), 8)


class FCN(nn.Module):
    """Scores of two resolutions, added and brought to the size of the image."""

    def __init__(self) -> None:
        super().__init__()
        self.pool3 = conv_bn(3, 4, 3, 2)
        self.pool4 = conv_bn(4, 6, 3, 2)
        self.score3 = nn.Conv2d(4, 2, 1)
        self.score4 = nn.Conv2d(6, 2, 1)
        self.upscore2 = nn.ConvTranspose2d(2, 2, 4, stride=2, padding=1, bias=False)
        self.upscore8 = nn.ConvTranspose2d(2, 2, 4, stride=2, padding=1, bias=False)

    def forward(self, x: torch.Tensor) -> Any:
        x3 = self.pool3(x)
        x4 = self.upscore2(self.score4(self.pool4(x3)))
        return self.upscore8(self.score3(x3) + x4)


class GlobalBranch(nn.Module):
    """One value a channel, spread over the image again."""

    def __init__(self, before: int, after: int) -> None:
        super().__init__()
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.conv = conv_bn(before, after, 1)

    def forward(self, x: torch.Tensor) -> Any:
        size = x.shape[-2:]
        return f.interpolate(
            self.conv(self.pool(x)), size=size, mode="bilinear", align_corners=False
        )


class DeepLab(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.backbone = conv_bn(3, 4, 3, 2)
        self.aspp = nn.ModuleList(
            [conv_bn(4, 2, 1), conv_bn(4, 2, dilation=2), conv_bn(4, 2, dilation=3)]
        )
        self.pooled = GlobalBranch(4, 2)
        self.project = nn.Sequential(conv_bn(8, 4, 1), nn.Dropout(0.5), nn.Conv2d(4, 2, 1))

    def forward(self, x: torch.Tensor) -> Any:
        size = x.shape[-2:]
        x = self.backbone(x)
        x = self.project(torch.cat([*(branch(x) for branch in self.aspp), self.pooled(x)], 1))
        return f.interpolate(x, size=size, mode="bilinear", align_corners=False)


class ESPCN(nn.Module):
    """Super-resolution: channels become pixels at the end."""

    def __init__(self) -> None:
        super().__init__()
        self.feature_maps = nn.Sequential(
            nn.Conv2d(1, 6, 5, padding=2), nn.Tanh(), nn.Conv2d(6, 4, 3, padding=1), nn.Tanh()
        )
        self.sub_pixel = nn.Sequential(nn.Conv2d(4, 4, 3, padding=1), nn.PixelShuffle(2))

    def forward(self, x: torch.Tensor) -> Any:
        return torch.clamp(self.sub_pixel(self.feature_maps(x)), -4.0, 4.0)


def autoencoder() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(1, 6, 3, stride=2, padding=1),
        nn.ReLU(),
        nn.Conv2d(6, 8, 3, stride=2, padding=1),
        nn.ReLU(),
        nn.ConvTranspose2d(8, 6, 3, stride=2, padding=1, output_padding=1),
        nn.ReLU(),
        nn.ConvTranspose2d(6, 1, 3, stride=2, padding=1, output_padding=1),
        nn.Sigmoid(),
    )


class Styled(nn.Module):
    """Mirrored borders before every convolution; a residual; nearest pixels on the way up."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = self._layer(3, 4, 2)
        self.res1, self.res2 = self._layer(4, 4, 1), self._layer(4, 4, 1)
        self.up = self._layer(4, 4, 1)
        self.last = nn.Sequential(nn.ReflectionPad2d(1), nn.Conv2d(4, 3, 3))

    @staticmethod
    def _layer(before: int, after: int, stride: int) -> nn.Module:
        return nn.Sequential(
            nn.ReflectionPad2d(1), conv_bn(before, after, 3, stride, act=None, padding=0)
        )

    def forward(self, x: torch.Tensor) -> Any:
        x = f.relu(self.conv1(x))
        x = self.res2(f.relu(self.res1(x))) + x
        x = f.interpolate(x, scale_factor=2.0, mode="nearest")
        return self.last(f.relu(self.up(x)))


class TinyYolo(nn.Module):
    """Two grids of boxes, as one row of them a sample."""

    def __init__(self) -> None:
        super().__init__()
        self.front = nn.Sequential(self._layer(3, 4), nn.MaxPool2d(2, 2), self._layer(4, 6))
        self.back = nn.Sequential(nn.MaxPool2d(2, 2), self._layer(6, 8))
        self.last = nn.Sequential(nn.ZeroPad2d((0, 1, 0, 1)), nn.MaxPool2d(2, 1))
        self.lateral = self._layer(8, 4)
        self.head1 = nn.Conv2d(8, 6, 1)
        self.head2 = nn.Conv2d(10, 6, 1)

    @staticmethod
    def _layer(before: int, after: int) -> nn.Module:
        return conv_bn(before, after, act=lambda: nn.LeakyReLU(0.1, inplace=True))

    def forward(self, x: torch.Tensor) -> Any:
        near = self.front(x)
        far = self.last(self.back(near))
        grown = f.interpolate(self.lateral(far), scale_factor=2, mode="nearest")
        grids = [self.head1(far), self.head2(torch.cat([grown, near], 1))]
        return torch.cat([self._boxes(grid) for grid in grids], 1)

    @staticmethod
    def _boxes(grid: torch.Tensor) -> torch.Tensor:
        n, _, rows, columns = grid.shape
        return grid.view(n, 2, 3, rows, columns).permute(0, 1, 3, 4, 2).reshape(n, -1, 3)


class Pyramid(nn.Module):
    """Feature pyramid: top-down sums of nearest pixels."""

    def __init__(self) -> None:
        super().__init__()
        self.c1, self.c2 = conv_bn(3, 4, 3, 2), conv_bn(4, 6, 3, 2)
        self.lateral1, self.lateral2 = nn.Conv2d(4, 4, 1), nn.Conv2d(6, 4, 1)
        self.smooth = nn.Conv2d(4, 4, 3, padding=1)

    def forward(self, x: torch.Tensor) -> Any:
        c1 = self.c1(x)
        p2 = self.lateral2(self.c2(c1))
        p1 = f.interpolate(p2, size=c1.shape[2:], mode="nearest") + self.lateral1(c1)
        return self.smooth(p1)


_RGB, _GREY = (3, 8, 8), (1, 8, 8)

DENSE_PREDICTION = (
    Family(
        "unet_transposed",
        unet_transposed,
        (3, 9, 9),
        "milesial/Pytorch-UNet",
        ("cat", "convolution", "constant_pad_nd"),
    ),
    Family(
        "unet_bilinear",
        unet_bilinear,
        _RGB,
        "milesial/Pytorch-UNet, bilinear",
        ("upsample_bilinear2d",),
    ),
    Family("fcn", FCN, _RGB, "shelhamer/fcn.berkeleyvision.org FCN-16s", ("convolution", "add")),
    Family(
        "deeplab_v3", DeepLab, _RGB, "pytorch/vision deeplabv3", ("upsample_bilinear2d", "mean")
    ),
    Family(
        "espcn",
        ESPCN,
        _GREY,
        "pytorch/examples super_resolution; Shi et al. 2016",
        ("pixel_shuffle", "tanh"),
    ),
    Family(
        "autoencoder",
        autoencoder,
        _GREY,
        "L1aoXingyu/pytorch-beginner conv_autoencoder",
        ("convolution", "sigmoid"),
    ),
    Family(
        "style_transfer",
        Styled,
        _RGB,
        "pytorch/examples fast_neural_style, batch norm for instance norm",
        ("reflection_pad2d", "upsample_nearest2d"),
    ),
    Family(
        "yolo_tiny",
        TinyYolo,
        _RGB,
        "eriklindernoren/PyTorch-YOLOv3 yolov3-tiny",
        ("leaky_relu_", "upsample_nearest2d", "permute"),
    ),
    Family(
        "feature_pyramid",
        Pyramid,
        _RGB,
        "Lin et al. 2017, feature pyramid networks",
        ("upsample_nearest2d", "add"),
    ),
)
