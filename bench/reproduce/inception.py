"""Inception v3 at 299 pixels as layer shapes without weights: enough to plan it.

Shapes are the standard definition of Szegedy et al. 2016 as TensorFlow's slim writes it [recalled];
they add up to 21,751,136 convolution weights and 2,048,000 of the classifier, as published models
have. Codes are 8 bits unsigned with a zero point, as in TensorFlow; BatchNorm is folded.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from bitpim_traces.records import Geometry, LayerRecord, Quantization, Requantize, TensorRecord

__all__ = ["CODES", "Shape", "inception_v3", "record"]

CODES = Quantization(8, False, np.ones(1), np.full(1, 128, np.int64))
MULTIPLIER_BITS = 16
SHIFT = 24


@dataclass(frozen=True, slots=True)
class Shape:
    """One layer; `valid` pads nothing, else outputs are ceil(size / stride)."""

    name: str
    kind: str
    n_in: int
    size: int
    n_out: int
    kernel: tuple[int, int] = (1, 1)
    stride: int = 1
    valid: bool = False

    @property
    def geometry(self) -> Geometry:
        """Window, with the padding split as TensorFlow splits it."""
        padding = []
        for reach in self.kernel:
            n = -(-self.size // self.stride)
            total = 0 if self.valid else max((n - 1) * self.stride + reach - self.size, 0)
            padding += [total // 2, total - total // 2]
        top, bottom, left, right = padding
        return Geometry(self.kernel, (self.stride,) * 2, (top, bottom, left, right))

    @property
    def size_out(self) -> int:
        """Output height and width."""
        return self.geometry.output_size(self.size, self.size)[0]

    @property
    def n_weights(self) -> int:
        """Weights of a convolution or linear layer."""
        taps = self.kernel[0] * self.kernel[1]
        return self.n_in * self.n_out * taps if self.kind in ("conv2d", "linear") else 0

    @property
    def n_macs(self) -> int:
        """Multiply-accumulates of one image."""
        return self.n_weights * (self.size_out**2 if self.kind == "conv2d" else 1)


Step = tuple[int, int, int]  # rows and columns of the conv kernel, output channels
Branch = Sequence[Step]


def _branch(name: str, n_in: int, size: int, steps: Branch, *, halves: bool) -> Iterator[Shape]:
    """Yield convolutions in a row; where the module halves, the last one has stride 2."""
    for position, (r, s, n_out) in enumerate(steps):
        last = halves and position == len(steps) - 1
        yield Shape(
            f"{name}_{position}_{r}x{s}",
            "conv2d",
            n_in,
            size,
            n_out,
            (r, s),
            2 if last else 1,
            valid=last,
        )
        n_in = n_out


def _module(
    name: str, n_in: int, size: int, branches: Sequence[Branch], pooled: int | None
) -> list[Shape]:
    """Yield parallel branches and their concat; `pooled` None is a module that halves."""
    halves = pooled is None
    layers = [
        layer
        for b, steps in enumerate(branches)
        for layer in _branch(f"{name}/branch{b}", n_in, size, steps, halves=halves)
    ]
    n_out = sum(branch[-1][2] for branch in branches)
    if pooled is None:
        pool = Shape(f"{name}/pool", "max_pool2d", n_in, size, n_in, (3, 3), 2, valid=True)
        return [*layers, pool, Shape(f"{name}/concat", "concat", 0, pool.size_out, n_out + n_in)]
    pool = Shape(f"{name}/pool", "avg_pool2d", n_in, size, n_in, (3, 3))
    one = Shape(f"{name}/branch_pool_1x1", "conv2d", n_in, size, pooled)
    return [*layers, pool, one, Shape(f"{name}/concat", "concat", 0, size, n_out + pooled)]


def _stem() -> list[Shape]:
    return [
        Shape("Conv2d_1a_3x3", "conv2d", 3, 299, 32, (3, 3), 2, valid=True),
        Shape("Conv2d_2a_3x3", "conv2d", 32, 149, 32, (3, 3), valid=True),
        Shape("Conv2d_2b_3x3", "conv2d", 32, 147, 64, (3, 3)),
        Shape("MaxPool_3a_3x3", "max_pool2d", 64, 147, 64, (3, 3), 2, valid=True),
        Shape("Conv2d_3b_1x1", "conv2d", 64, 73, 80),
        Shape("Conv2d_4a_3x3", "conv2d", 80, 73, 192, (3, 3), valid=True),
        Shape("MaxPool_5a_3x3", "max_pool2d", 192, 71, 192, (3, 3), 2, valid=True),
    ]


def _fours(name: str, n_in: int, size: int, pooled: int) -> list[Shape]:
    branches = [[(1, 1, 64)], [(1, 1, 48), (5, 5, 64)], [(1, 1, 64), (3, 3, 96), (3, 3, 96)]]
    return _module(name, n_in, size, branches, pooled)


def _sevens(name: str, width: int) -> list[Shape]:
    short = [(1, 1, width), (1, 7, width), (7, 1, 192)]
    long = [(1, 1, width), (7, 1, width), (1, 7, width), (7, 1, width), (1, 7, 192)]
    return _module(name, 768, 17, [[(1, 1, 192)], short, long], 192)


def _last(name: str, n_in: int) -> list[Shape]:
    """Yield the modules whose branches fork: a 1 x 3 and a 3 x 1 convolution side by side."""
    layers = _module(name, n_in, 8, [[(1, 1, 320)], [(1, 1, 384)], [(1, 1, 448), (3, 3, 384)]], 192)
    forks = [
        Shape(f"{name}/branch{b}_fork_{r}x{s}", "conv2d", 384, 8, 384, (r, s))
        for b in (1, 2)
        for r, s in ((1, 3), (3, 1))
    ]
    return [*layers[:-1], *forks, Shape(f"{name}/concat", "concat", 0, 8, 2048)]


def inception_v3() -> tuple[Shape, ...]:
    """List all layers in execution order."""
    halved = [(1, 1, 64), (3, 3, 96), (3, 3, 96)]
    turned = [(1, 1, 192), (1, 7, 192), (7, 1, 192), (3, 3, 192)]
    return (
        *_stem(),
        *_fours("Mixed_5b", 192, 35, 32),
        *_fours("Mixed_5c", 256, 35, 64),
        *_fours("Mixed_5d", 288, 35, 64),
        *_module("Mixed_6a", 288, 35, [[(3, 3, 384)], halved], None),
        *_sevens("Mixed_6b", 128),
        *_sevens("Mixed_6c", 160),
        *_sevens("Mixed_6d", 160),
        *_sevens("Mixed_6e", 192),
        *_module("Mixed_7a", 768, 17, [[(1, 1, 192), (3, 3, 320)], turned], None),
        *_last("Mixed_7b", 1280),
        *_last("Mixed_7c", 2048),
        Shape("AvgPool_1a_8x8", "avg_pool2d", 2048, 8, 2048, (8, 8), valid=True),
        Shape("Logits", "linear", 2048, 1, 1000),
    )


def _no_values(start: int, stop: int) -> npt.NDArray[np.uint8]:
    raise ValueError(f"shapes only: there are no values {start}:{stop} to read")


def _tensor(shape: tuple[int, ...], axes: str, role: str) -> TensorRecord:
    return TensorRecord(shape, np.dtype(np.uint8), axes, "code", role, _no_values)


def record(index: int, shape: Shape, n_shifts: int = 1) -> LayerRecord:
    """Make the layer record a plan needs: all of it but values.

    Filters shift by one number, or by so many in turn, as where each channel has a scale.
    """
    n_steps = shape.kernel[0] * shape.kernel[1] if shape.kind == "avg_pool2d" else 1
    shifts = np.full(n_steps, SHIFT, np.int32)
    if shape.n_weights and n_shifts > 1:
        n_steps = shape.n_out
        shifts = (SHIFT - np.arange(n_steps) % n_shifts).astype(np.int32)
    multipliers = np.full(n_steps, (1 << MULTIPLIER_BITS) - 1, np.int32)
    step = Requantize("truncate_shift", multipliers, shifts)
    weight = {
        "conv2d": ((shape.n_out, shape.n_in, *shape.kernel), "OIHW"),
        "linear": ((shape.n_out, shape.n_in), "OI"),
    }.get(shape.kind)
    is_linear = shape.kind == "linear"
    side, side_out = (shape.size,) * 2, (shape.size_out,) * 2
    n_in = shape.n_in or shape.n_out  # a concat joins what it yields
    return LayerRecord(
        index,
        shape.name,
        shape.kind,
        (index - 1,),
        ((n_in,) if is_linear else (n_in, *side),),
        (shape.n_out,) if is_linear else (shape.n_out, *side_out),
        CODES,
        None if is_linear or shape.kind == "concat" else shape.geometry,
        "relu" if shape.kind == "conv2d" else "none",
        (128, 255) if shape.kind == "conv2d" else (0, 255),
        None if shape.kind in ("max_pool2d", "concat") else step,
        pad_code=0 if shape.kind == "max_pool2d" else 128,
        weight=None if weight is None else _tensor(*weight, "weight"),
        weight_quantization=None if weight is None else CODES,
    )
