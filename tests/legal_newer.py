"""Random legal layers of the kinds that trace 1.1 brought, for `tests.legal_traces`."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from bitpim_traces.records import (
    REQUANTIZE_MODES,
    Params,
    Quantization,
    Requantize,
    TensorRecord,
    axes_of,
)

__all__ = ["NEWER", "Draw", "rescaled"]

Node = tuple[int, tuple[int, ...], Quantization]
Draw = Any
Parts = dict[str, Any]


def rescaled(draw: Draw, output: Quantization, lengths: Sequence[int], reach: float) -> Requantize:
    """Draw a requantize step of so many entries for sums of this reach."""
    mode = str(draw.rng.choice(REQUANTIZE_MODES))
    n = int(draw.rng.choice(lengths))
    return Requantize(mode, **draw.factors(mode, n, reach, output))


def _reach(source: Quantization) -> int:
    zero = int(source.zero_point[0])
    return max(source.code_max - zero, zero - source.code_min)


def _multiply(draw: Draw, kind: str, nodes: list[Node]) -> Parts:
    (_, first, q0), (_, second, q1) = nodes
    shape = tuple(max(pair) for pair in zip(first, second, strict=False))
    output = draw.quantization()
    step = rescaled(draw, output, (1,), _reach(q0) * _reach(q1) / 2)
    return {"output": output, "shape": shape, "requantize": step}


def _constant(draw: Draw, kind: str, nodes: list[Node]) -> Parts:
    shape = tuple(n if draw.chance(0.5) else 1 for n in nodes[0][1])
    if draw.chance(0.3):
        shape = tuple(draw.size(4) for _ in range(draw.size(5)))
    output = draw.quantization()
    axes = axes_of(1 + len(shape))[1:]
    values = TensorRecord.of(draw.codes(output, shape), axes=axes, role="values")
    clamp = (output.code_min, output.code_max)
    return {"output": output, "shape": shape, "clamp": clamp, "tensors": {"values": values}}


def _slice(draw: Draw, kind: str, nodes: list[Node]) -> Parts:
    ends: list[range] = []
    for n in nodes[0][1]:
        start = draw.below(n)
        ends.append(range(start, start + 1 + draw.below(n - start), draw.size(3)))
    names = {"starts": "start", "stops": "stop", "steps": "step"}
    params = Params({k: tuple(getattr(r, v) for r in ends) for k, v in names.items()})
    return {"output": nodes[0][2], "shape": tuple(map(len, ends)), "params": params}


def _permute(draw: Draw, kind: str, nodes: list[Node]) -> Parts:
    axes = tuple(int(n) for n in draw.rng.permutation(len(nodes[0][1])))
    shape = tuple(nodes[0][1][axis] for axis in axes)
    return {"output": nodes[0][2], "shape": shape, "params": Params(axes=axes)}


def _reshape(draw: Draw, kind: str, nodes: list[Node]) -> Parts:
    rest, shape = int(np.prod(nodes[0][1])), []
    for _ in range(2 if draw.chance(0.6) else draw.below(5)):
        shape.append(int(draw.rng.choice([n for n in range(1, rest + 1) if rest % n == 0])))
        rest //= shape[-1]
    made = (rest, *shape)
    return {"output": nodes[0][2], "shape": made, "params": Params(shape=made)}


def _extend(draw: Draw, kind: str, nodes: list[Node]) -> Parts:
    border = str(draw.rng.choice(["reflect", "replicate", "circular"]))
    pads = tuple(draw.below(3) for _ in range(6))
    shape = tuple(n + pads[2 * i] + pads[2 * i + 1] for i, n in enumerate(nodes[0][1]))
    params = Params(pads=pads, border=border)
    return {"output": nodes[0][2], "shape": shape, "params": params}


def _dilate(draw: Draw, kind: str, nodes: list[Node]) -> Parts:
    _, (channels, height, width), source = nodes[0]
    steps = draw.size(3), draw.size(3)
    shape = (channels, (height - 1) * steps[0] + 1, (width - 1) * steps[1] + 1)
    zero = int(source.zero_point[0])
    return {"output": source, "shape": shape, "params": Params(steps=steps), "pad_code": zero}


def _resize(draw: Draw, kind: str, nodes: list[Node]) -> Parts:
    size = draw.size(9), draw.size(9)
    parts: Parts = {"output": nodes[0][2], "shape": (nodes[0][1][0], *size)}
    if kind == "resize_nearest":
        return parts | {"params": Params(size=size, centred=draw.below(2))}
    output, bits = draw.quantization(), draw.size(12)
    step = rescaled(draw, output, (1,), _reach(nodes[0][2]) * 4.0**bits)
    params = Params(size=size, align_corners=draw.below(2), share_bits=bits)
    return parts | {"output": output, "params": params, "requantize": step}


NEWER: dict[str, Callable[[Draw, str, list[Node]], Parts | None]] = {
    "multiply": _multiply,
    "constant": _constant,
    "slice": _slice,
    "permute": _permute,
    "reshape": _reshape,
    "extend": _extend,
    "dilate": _dilate,
    "resize_nearest": _resize,
    "resize_bilinear": _resize,
}
"""What draws the parts of each kind's layers."""
