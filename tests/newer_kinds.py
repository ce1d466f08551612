"""Random layers of the kinds that trace 1.1 brought, as a part of `tests.strategies`' builder."""

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from bitpim_traces.records import Params, Quantization, Requantize, TensorRecord, axes_of

__all__ = ["NewerKinds", "repeats"]

Array = npt.NDArray[Any]

_MOST_VALUES = 1500
"""Images stay small: the naive models take their time."""


class NewerKinds:
    """What appends one layer of each newer kind; the rest of a builder is in `tests.strategies`."""

    rng: np.random.Generator
    mode: str
    bits: tuple[int, int]
    nodes: list[Any]
    _push: Callable[..., None]
    _fused: Callable[[Quantization], dict[str, Any]]
    _quantized: Callable[[float], Quantization]
    _rescaled: Callable[[float, int], Requantize]

    def _moved(self, kind: str, shape: Any, **more: Any) -> None:
        node = self.nodes[-1]
        self._push(kind, [node], shape, node[2], **more)

    def _slice(self) -> None:
        starts: list[int] = []
        stops: list[int] = []
        steps: list[int] = []
        shape: list[int] = []
        for size in self.nodes[-1][1]:
            start = int(self.rng.integers(size)) if self.rng.integers(2) else 0
            stop = int(self.rng.integers(start + 1, size + 1)) if self.rng.integers(2) else size
            step = int(self.rng.integers(1, 4))
            for numbers, n in ((starts, start), (stops, stop), (steps, step)):
                numbers.append(n)
            shape.append(len(range(start, stop, step)))
        params = Params(starts=tuple(starts), stops=tuple(stops), steps=tuple(steps))
        self._moved("slice", shape, params=params)

    def _permute(self) -> None:
        shape = self.nodes[-1][1]
        axes = tuple(int(n) for n in self.rng.permutation(len(shape)))
        self._moved("permute", [shape[a] for a in axes], params=Params(axes=axes))

    def _reshape(self, rank: int | None = None) -> None:
        rank = int(self.rng.integers(1, 6)) if rank is None else rank
        rest, shape = int(np.prod(self.nodes[-1][1])), []
        for _ in range(rank - 1):
            sizes = [n for n in range(1, rest + 1) if rest % n == 0]
            shape.append(int(self.rng.choice(sizes)))
            rest //= shape[-1]
        place = int(self.rng.integers(rank))
        shape.insert(place, rest)
        self._moved("reshape", shape, params=Params(shape=tuple(shape)))

    def _extend(self) -> None:
        border = str(self.rng.choice(["reflect", "replicate", "circular"]))
        pads: list[int] = []
        for size in self.nodes[-1][1]:
            most = {"reflect": size - 1, "replicate": 3, "circular": size}[border]
            pads += [int(n) for n in self.rng.integers(0, min(most, 3) + 1, 2)]
        shape = [n + pads[2 * i] + pads[2 * i + 1] for i, n in enumerate(self.nodes[-1][1])]
        self._moved("extend", shape, params=Params(pads=tuple(pads), border=border))

    def _dilate(self) -> None:
        channels, height, width = self.nodes[-1][1]
        most = 4 if channels * height * width * 9 < _MOST_VALUES else 2
        down, right = (int(n) for n in self.rng.integers(1, most, 2))
        shape = (channels, (height - 1) * down + 1, (width - 1) * right + 1)
        zero = int(self.nodes[-1][2].zero_point[0])
        self._moved("dilate", shape, params=Params(steps=(down, right)), pad_code=zero)

    def _size(self) -> tuple[int, int]:
        most = max(2, min(14, int((_MOST_VALUES / self.nodes[-1][1][0]) ** 0.5)))
        height, width = (int(n) for n in self.rng.integers(1, most, 2))
        return height, width

    def _resize_nearest(self) -> None:
        size, centred = self._size(), int(self.rng.integers(2))
        shape = (self.nodes[-1][1][0], *size)
        self._moved("resize_nearest", shape, params=Params(size=size, centred=centred))

    def _resize_bilinear(self) -> None:
        node, size, corners = self.nodes[-1], self._size(), int(self.rng.integers(2))
        output = self._quantized(float(node[2].scale[0]) * float(self.rng.uniform(0.4, 1.2)))
        most = 10 if self.mode != "fixed_point_half_away" else min(10, (30 - node[2].bits) // 2)
        bits = int(self.rng.integers(1, most + 1))
        factor = float(node[2].scale[0] / output.scale[0]) / (1 << 2 * bits)
        self._push(
            "resize_bilinear",
            [node],
            (node[1][0], *size),
            output,
            params=Params(size=size, align_corners=corners, share_bits=bits),
            requantize=self._rescaled(factor, node[2].bits + 2 * bits + 1),
            **self._fused(output),
        )

    def _multiply(self) -> None:
        node = self.nodes[-1]
        mates = [n for n in self.nodes if _broadcasts(n[1], node[1])]
        if self.mode == "fixed_point_half_away":  # whose sums fit 32 bits
            mates = [n for n in mates if n[2].bits + node[2].bits < 31]
        if not mates:
            self._permute()
            return
        other = mates[int(self.rng.integers(len(mates)))]
        nodes = [node, other] if self.rng.integers(2) else [other, node]
        shape = [max(a, b) for a, b in zip(node[1], other[1], strict=True)]
        step = float(node[2].scale[0] * other[2].scale[0])
        output = self._quantized(step * 2.0 ** (node[2].bits + other[2].bits - 8))
        bits = node[2].bits + other[2].bits + 2
        requantize = self._rescaled(float(step / output.scale[0]), bits)
        self._push("multiply", nodes, shape, output, requantize=requantize, **self._fused(output))

    def _constant(self) -> None:
        node, shape = self.nodes[-1], list(self.nodes[-1][1])
        for axis in range(len(shape)):
            if self.rng.integers(2):
                shape[axis] = 1
        output = self._quantized(float(node[2].scale[0]))
        dtype = f"{'' if output.signed else 'u'}int{8 if output.bits <= 8 else 16}"
        codes = self.rng.integers(output.code_min, output.code_max + 1, shape).astype(dtype)
        values = TensorRecord.of(codes, axes=axes_of(1 + len(shape))[1:], role="values")
        self._push("constant", [node], shape, output, tensors={"values": values})


def repeats(first: tuple[int, ...], second: tuple[int, ...]) -> bool:
    """Tell whether axes of length 1 make the first shape the second where they are repeated."""
    return len(first) == len(second) and all(
        a in (1, b) for a, b in zip(first, second, strict=True)
    )


def _broadcasts(first: tuple[int, ...], second: tuple[int, ...]) -> bool:
    return len(first) == len(second) and all(
        1 in (a, b) or a == b for a, b in zip(first, second, strict=True)
    )
