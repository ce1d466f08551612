"""Every layer kind, one output element at a time, in Python integers."""

from collections.abc import Iterator, Sequence
from fractions import Fraction
from typing import Any

import numpy as np
import numpy.typing as npt

from bitpim_traces.records import Geometry, LayerRecord, Quantization, Trace
from tests.naive.requantize import add_float, fixed_point_half_away, half_away, requantize

__all__ = ["run_layer", "run_network"]

Array = npt.NDArray[Any]


def run_network(trace: Trace, codes: Array) -> dict[int, Array]:
    """Yield the output of every layer."""
    outputs: dict[int, Array] = {-1: codes.astype(np.int64)}
    for layer in trace.layers:
        inputs = [outputs[i] for i in layer.inputs]
        outputs[layer.index] = run_layer(layer, inputs, trace.input_quantizations(layer))
    del outputs[-1]
    return outputs


def run_layer(
    layer: LayerRecord, inputs: Sequence[Array], quantizations: Sequence[Quantization]
) -> Array:
    """Yield the output codes of one layer as int64."""
    zeros = [int(q.zero_point[0]) for q in quantizations]
    out = np.zeros((inputs[0].shape[0], *layer.output_shape), np.int64)
    for at in np.ndindex(*out.shape):
        images = [x[at[0]] for x in inputs]
        out[at] = _ELEMENTS[layer.kind](layer, images, zeros, quantizations, at[1:])
    return out


def _clamp(layer: LayerRecord, value: int) -> int:
    return min(max(value, layer.clamp[0]), layer.clamp[1])


def _finish(layer: LayerRecord, acc: int, entry: int) -> int:
    assert layer.requantize is not None
    zero = int(layer.output.zero_point[0])
    return _clamp(layer, requantize(acc, layer.requantize, entry) + zero)


def _window(geometry: Geometry, y: int, x: int) -> Iterator[tuple[int, int, int, int]]:
    """Yield (r, s, row, column) in image coordinates; may lie outside the image."""
    for r in range(geometry.kernel[0]):
        for s in range(geometry.kernel[1]):
            row = y * geometry.stride[0] + r * geometry.dilation[0] - geometry.padding[0]
            column = x * geometry.stride[1] + s * geometry.dilation[1] - geometry.padding[2]
            yield r, s, row, column


def _inside(image: Array, row: int, column: int) -> bool:
    height, width = image.shape[1:]
    return 0 <= row < int(height) and 0 <= column < int(width)


def _dot_end(layer: LayerRecord, acc: int, o: int) -> int:
    return _finish(layer, acc + (0 if layer.bias is None else int(layer.bias.read()[o])), o)


def _weight_of(layer: LayerRecord, o: int) -> Array:
    assert layer.weight is not None and layer.weight_quantization is not None
    zero = layer.weight_quantization.zero_point
    return layer.weight.read()[o].astype(np.int64) - int(zero[o % zero.size])  # type: ignore[no-any-return]


def _conv2d(layer: LayerRecord, images: Any, zeros: Any, _: Any, at: Any) -> int:
    (image,), geometry, (o, y, x) = images, layer.geometry, at
    assert geometry is not None
    weight = _weight_of(layer, o)
    first = o // (layer.output_shape[0] // geometry.groups) * weight.shape[0]
    acc = 0
    for i in range(weight.shape[0]):
        for r, s, row, column in _window(geometry, y, x):
            if _inside(image, row, column):
                acc += (int(image[first + i, row, column]) - zeros[0]) * int(weight[i, r, s])
    return _dot_end(layer, acc, o)


def _linear(layer: LayerRecord, images: Any, zeros: Any, _: Any, at: Any) -> int:
    weight = _weight_of(layer, at[0])
    acc = sum((int(a) - zeros[0]) * int(w) for a, w in zip(images[0], weight, strict=True))
    return _dot_end(layer, acc, at[0])


def _max_pool2d(layer: LayerRecord, images: Any, zeros: Any, _: Any, at: Any) -> int:
    (image,), (c, y, x) = images, at
    assert layer.geometry is not None
    seen = [(row, col) for _, _, row, col in _window(layer.geometry, y, x)]
    return max(int(image[c, row, col]) for row, col in seen if _inside(image, row, col))


def _avg_pool2d(layer: LayerRecord, images: Any, zeros: Any, _: Any, at: Any) -> int:
    (image,), (c, y, x), geometry = images, at, layer.geometry
    assert geometry is not None and layer.requantize is not None
    top, bottom, left, right = geometry.padding
    acc = n = 0
    for _, _, row, column in _window(geometry, y, x):
        if _inside(image, row, column):
            acc, n = acc + int(image[c, row, column]) - zeros[0], n + 1
        elif geometry.count_include_pad:
            inside = -top <= row < image.shape[1] + bottom
            n += inside and -left <= column < image.shape[2] + right
    if layer.requantize.mode == "fixed_point_half_away":
        return _clamp(layer, half_away(Fraction(acc + zeros[0] * n, n)))
    return _finish(layer, acc, n - 1)


def _repeated(image: Array, at: Sequence[int]) -> int:
    """Yield an element; an axis of length 1 holds the same one everywhere."""
    return int(image[tuple(0 if n == 1 else i for i, n in zip(at, image.shape, strict=True))])


def _multiply(layer: LayerRecord, images: Any, zeros: Any, _: Any, at: Any) -> int:
    first, second = (_repeated(image, at) - z for image, z in zip(images, zeros, strict=True))
    return _finish(layer, first * second, 0)


def _constant(layer: LayerRecord, images: Any, zeros: Any, _: Any, at: Any) -> int:
    return int(layer.tensors["values"].read()[at])


def _reshape(layer: LayerRecord, images: Any, zeros: Any, _: Any, at: Any) -> int:
    place = 0
    for i, n in zip(at, layer.output_shape, strict=True):
        place = place * n + i
    return int(images[0].flat[place])


def _permute(layer: LayerRecord, images: Any, zeros: Any, _: Any, at: Any) -> int:
    source = [0] * len(at)
    for i, axis in zip(at, layer.params.integers("axes"), strict=True):
        source[axis] = i
    return int(images[0][tuple(source)])


def _slice(layer: LayerRecord, images: Any, zeros: Any, _: Any, at: Any) -> int:
    starts, steps = layer.params.integers("starts"), layer.params.integers("steps")
    return int(images[0][tuple(b + i * s for i, b, s in zip(at, starts, steps, strict=True))])


def _extend(layer: LayerRecord, images: Any, zeros: Any, _: Any, at: Any) -> int:
    pads, border, source = layer.params.integers("pads"), layer.params["border"], []
    for axis, (i, n) in enumerate(zip(at, images[0].shape, strict=True)):
        place = i - pads[2 * axis]
        if border == "reflect":
            place = -place if place < 0 else place
            place = 2 * (n - 1) - place if place >= n else place
        elif border == "replicate":
            place = 0 if place < 0 else min(place, n - 1)
        else:
            place = place + n if place < 0 else place - n if place >= n else place
        source.append(place)
    return int(images[0][tuple(source)])


def _dilate(layer: LayerRecord, images: Any, zeros: Any, _: Any, at: Any) -> int:
    (c, y, x), (down, right) = at, layer.params.integers("steps")
    if y % down or x % right:
        return int(zeros[0])
    return int(images[0][c, y // down, x // right])


def _resize_nearest(layer: LayerRecord, images: Any, zeros: Any, _: Any, at: Any) -> int:
    (image,), (c, *places), half = images, at, Fraction(layer.params.integer("centred"), 2)
    sizes = zip(places, image.shape[1:], layer.params.integers("size"), strict=True)
    y, x = (int((i + half) * n_in / n_out) for i, n_in, n_out in sizes)
    return int(image[c, y, x])


def _resize_bilinear(layer: LayerRecord, images: Any, zeros: Any, _: Any, at: Any) -> int:
    (image,), (c, *places), whole = images, at, 2 ** layer.params.integer("share_bits")
    sides = []
    for i, n_in, n_out in zip(places, image.shape[1:], layer.params.integers("size"), strict=True):
        if layer.params.integer("align_corners"):
            place = Fraction(i * (n_in - 1), n_out - 1) if n_out > 1 else Fraction(0)
        else:
            place = Fraction(2 * i + 1, 2) * Fraction(n_in, n_out) - Fraction(1, 2)
        place = min(max(place, Fraction(0)), Fraction(n_in - 1))
        first = int(place)
        share = int((place - first) * whole + Fraction(1, 2))
        sides.append(((first, whole - share), (min(first + 1, int(n_in) - 1), share)))
    acc = 0
    for y, down in sides[0]:
        for x, across in sides[1]:
            acc += (int(image[c, y, x]) - zeros[0]) * down * across
    return _finish(layer, acc, 0)


def _add(layer: LayerRecord, images: Any, zeros: Any, _: Any, at: Any) -> int:
    rule, codes = layer.requantize, [_repeated(image, at) for image in images]
    assert rule is not None
    zero_out = int(layer.output.zero_point[0])
    if rule.mode == "float_scale_half_even":
        assert rule.scale is not None
        return _clamp(layer, add_float(codes, zeros, [float(s) for s in rule.scale], zero_out))
    assert rule.multiplier is not None and rule.shift is not None
    centred = [code - zero for code, zero in zip(codes, zeros, strict=True)]
    multipliers = [int(m) for m in rule.multiplier]
    if rule.mode == "fixed_point_half_away":
        acc = sum(
            fixed_point_half_away(q << rule.left_shift, m, int(s))
            for q, m, s in zip(centred, multipliers, rule.shift, strict=True)
        )
        total = fixed_point_half_away(acc, rule.output_multiplier, rule.output_shift)
        return _clamp(layer, total + zero_out)
    acc = sum(q * m for q, m in zip(centred, multipliers, strict=True))
    half = 2 ** int(rule.shift[0]) // 2 if rule.mode == "half_up_shift" else 0
    return _clamp(layer, (acc + half) // 2 ** int(rule.shift[0]) + zero_out)


def _rescaled(layer: LayerRecord, code: int, zero: int, entry: int) -> int:
    if layer.requantize is None:
        return _clamp(layer, code)
    return _finish(layer, code - zero, entry)


def _concat(layer: LayerRecord, images: Any, zeros: Any, _: Any, at: Any) -> int:
    axis, place = layer.params.integer("concat_axis"), list(at)
    for entry, image in enumerate(images):
        if place[axis] < image.shape[axis]:
            return _rescaled(layer, int(image[tuple(place)]), zeros[entry], entry)
        place[axis] -= image.shape[axis]
    raise AssertionError(f"{at} lies in no input")


def _flatten(layer: LayerRecord, images: Any, zeros: Any, _: Any, at: Any) -> int:
    return int(images[0].ravel()[at[0]])


def _pad(layer: LayerRecord, images: Any, zeros: Any, _: Any, at: Any) -> int:
    source = tuple(at[axis] - layer.params.integers("pads")[2 * axis] for axis in range(3))
    inside = all(0 <= s < n for s, n in zip(source, images[0].shape, strict=True))
    return int(images[0][source]) if inside else int(zeros[0])


def _activation(layer: LayerRecord, images: Any, zeros: Any, quants: Any, at: Any) -> int:
    code = int(images[0][at])
    if layer.table is not None:
        table = layer.table.read()
        row = table[at[0]] if table.ndim == 2 else table
        return int(row[code - quants[0].code_min])
    return _rescaled(layer, code, zeros[0], 0)


_ELEMENTS = {
    "conv2d": _conv2d,
    "linear": _linear,
    "max_pool2d": _max_pool2d,
    "avg_pool2d": _avg_pool2d,
    "add": _add,
    "concat": _concat,
    "flatten": _flatten,
    "pad": _pad,
    "activation": _activation,
    "multiply": _multiply,
    "constant": _constant,
    "reshape": _reshape,
    "permute": _permute,
    "slice": _slice,
    "extend": _extend,
    "dilate": _dilate,
    "resize_nearest": _resize_nearest,
    "resize_bilinear": _resize_bilinear,
}
