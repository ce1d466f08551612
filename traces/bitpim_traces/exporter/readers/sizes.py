"""Images of other sizes: padding and cropping, and resizing."""

import math
from collections.abc import Sequence

import numpy as np
import torch

from bitpim_traces.exporter.calls import Call, Reader, Value
from bitpim_traces.exporter.drafts import Draft, refuse
from bitpim_traces.exporter.readers.selections import cut
from bitpim_traces.records import Params

__all__ = ["READERS"]

_SHARE_BITS = 10
_BORDERS = ("reflect", "replicate", "circular")


def read_pad(call: Call) -> Draft | Value:
    """Read padding and cropping of any axis but the batch."""
    pads = [int(p) for p in call.arguments["pad" if "pad" in call.arguments else "padding"]]
    mode = call.arguments.get("mode", "constant")
    for border, name in (("reflect", "reflection"), ("replicate", "replication")):
        mode = border if f"{name}_pad" in call.operator else mode
    source = call.first()
    n_axes = len(source.shape)
    pads += [0] * (2 * n_axes + 2 - len(pads))
    if any(pads[2 * n_axes :]):
        raise refuse(call.where, "padding of axes other than the batch", f"pad = {pads}")
    sides = [(pads[2 * k], pads[2 * k + 1]) for k in reversed(range(n_axes))]
    ends = [(max(-a, 0), n - max(-b, 0), 1) for (a, b), n in zip(sides, source.shape, strict=True)]
    if any(start >= stop for start, stop, _ in ends):
        raise refuse(call.where, "at least one element to be left", f"pad = {pads}")
    source = cut(call, source, ends)
    sides = [(max(a, 0), max(b, 0)) for a, b in sides]
    if not any(map(any, sides)):
        return source
    image, sides = _as_image(call, source, sides)
    value = call.arguments.get("value")
    if mode in _BORDERS:
        return _around(call, "extend", image, sides, border=mode)
    if mode != "constant":
        raise refuse(call.where, f"padding by constant, {', '.join(_BORDERS)}", f"mode {mode}")
    number = 0.0 if value is None else float(value)
    if number == -math.inf:
        return _around(call, "low_pad", image, sides)
    padded = _around(call, "pad", image, sides)
    if number == 0.0:
        return padded
    if not math.isfinite(number):
        raise refuse(call.where, "padding with a finite number, or -inf", f"value {number}")
    inner = tuple(slice(a, a + n) for (a, _), n in zip(sides, image.shape, strict=True))
    frame = np.full(tuple(a + n + b for (a, b), n in zip(sides, image.shape, strict=True)), number)
    frame[inner] = 0.0
    return call.draft("add", padded, call.fixed(frame.reshape(call.shape)))


def _as_image(
    call: Call, source: Value, sides: list[tuple[int, int]]
) -> tuple[Value, list[tuple[int, int]]]:
    """Yield a value as an image, with what each of its axes is padded by."""
    shape = list(source.shape)
    while len(shape) < 3:
        shape.insert(1, 1)
        sides = [sides[0], (0, 0), *sides[1:]]
    if len(shape) > 3:
        got = f"shape N x {list(source.shape)}"
        raise refuse(call.where, "an input of at most 3 axes beside the batch to pad", got)
    return call.reshaped(source, shape), sides


def _around(
    call: Call, kind: str, image: Value, sides: Sequence[tuple[int, int]], **more: str
) -> Value:
    pads = tuple(n for side in sides for n in side)
    shape = tuple(a + n + b for (a, b), n in zip(sides, image.shape, strict=True))
    params = Params(pads=pads, **more)
    padded = call.put(call.draft(kind, image, shape=shape, params=params))
    return call.reshaped(padded, call.shape)


def _resized(kind: str) -> Reader:
    def read(call: Call) -> Draft | Value:
        source = call.first()
        flat = len(source.shape) == 2
        if len(source.shape) not in (2, 3):
            got = f"shape N x {list(source.shape)}"
            raise refuse(call.where, "an N x C x H x W or N x C x L input", got)
        sizes = source.shape[1:], call.shape[1:]
        for n_in, n_out, factor in zip(*sizes, _factors(call, len(sizes[0])), strict=True):
            if factor is not None and n_in * factor != n_out:
                got = f"{n_in} x {factor:g} for {n_out}"
                remedy = "give size= or recompute_scale_factor=True"
                raise refuse(call.where, "a scale factor that yields whole pixels", got, remedy)
            if kind == "nearest":
                _need_exact_places(call, n_in, n_out)
        image = call.as_image(source) if flat else source
        size = (1, *call.shape[1:]) if flat else call.shape[1:]
        if kind == "nearest":
            params = Params(size=size, centred=int(_is_centred(call)))
        else:
            corners = int(bool(call.arguments["align_corners"]))
            params = Params(size=size, align_corners=corners, share_bits=_SHARE_BITS)
        shape = (image.shape[0], *size)
        draft = call.draft(f"resize_{kind}", image, shape=shape, params=params)
        return call.reshaped(call.put(draft), call.shape)

    return read


def _is_centred(call: Call) -> bool:
    return "exact" in call.operator


def _need_exact_places(call: Call, n_in: int, n_out: int) -> None:
    """Refuse sizes for which PyTorch, which reckons in float32, takes another pixel."""
    mode = "nearest-exact" if _is_centred(call) else "nearest"
    line = torch.arange(n_in, dtype=torch.float32)[None, None]
    found = torch.nn.functional.interpolate(line, size=n_out, mode=mode)[0, 0].numpy()
    exact = (2 * np.arange(n_out) + _is_centred(call)) * n_in // (2 * n_out)
    differ = np.flatnonzero(found != exact)
    if differ.size:
        i = differ[0]
        got = f"{n_in} to {n_out}, where it takes {found[i]:.0f} for place {i}, not {exact[i]}"
        need = "sizes for which PyTorch's float32 finds the nearest pixel"
        raise refuse(call.where, need, got, "resize to another size, a power of 2 times as large")


def _factors(call: Call, n_axes: int) -> list[float | None]:
    """Yield the scale factors that PyTorch uses; None where it takes the ratio of the sizes."""
    listed = call.arguments.get("scale_factors")
    if listed is not None:
        return [float(factor) for factor in listed]
    names = {1: ("scales",), 2: ("scales_h", "scales_w")}[n_axes]
    given = [call.arguments.get(name) for name in names]
    return [None if factor is None else float(factor) for factor in given]


READERS: dict[str, Reader] = {
    **dict.fromkeys(("pad", "constant_pad_nd"), read_pad),
    **dict.fromkeys((f"reflection_pad{n}d" for n in (1, 2)), read_pad),
    **dict.fromkeys((f"replication_pad{n}d" for n in (1, 2)), read_pad),
    **dict.fromkeys(("upsample_nearest1d", "upsample_nearest2d"), _resized("nearest")),
    **dict.fromkeys(
        ("_upsample_nearest_exact1d", "_upsample_nearest_exact2d"), _resized("nearest")
    ),
    **dict.fromkeys(("upsample_linear1d", "upsample_bilinear2d"), _resized("bilinear")),
}
