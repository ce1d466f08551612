"""Layers of codebooks, element by element in plain Python integers, as FORMAT.md 5.7 reads."""

import itertools
from collections.abc import Iterator, Sequence
from fractions import Fraction
from typing import Any

import numpy as np
import numpy.typing as npt

from bitpim_traces.codebook import Codebook
from bitpim_traces.records import LayerRecord, Quantization

__all__ = ["encoded", "exact_product", "layer_codes", "layer_sums", "round_half_away", "taps_of"]

Codes = npt.NDArray[Any]


def round_half_away(value: Fraction) -> int:
    """Round to nearest, ties away from zero."""
    size = int(abs(value) + Fraction(1, 2))
    return size if value >= 0 else -size


def exact_product(weight: Codebook, w: int, source: Codebook, u: int) -> Fraction:
    """Multiply two values of codebooks as real numbers."""
    unit = Fraction(2) ** -(weight.fraction_bits + source.fraction_bits)
    return int(weight.values[w]) * int(source.values[u]) * unit


def nearest(values: Sequence[Fraction], query: Fraction) -> int:
    """Tell which value is nearest; of two the first."""
    return min(range(len(values)), key=lambda r: (abs(query - values[r]), r))


def encoded(layer: LayerRecord, total: int) -> int:
    """Make the code of one sum."""
    table, codebook = layer.product_table, layer.output.codebook
    assert table is not None
    if codebook is None:
        step = layer.requantize
        assert step is not None
        assert step.multiplier is not None
        assert step.shift is not None
        m, s = int(step.multiplier[0]), int(step.shift[0])
        half = (1 << (s - 1)) if step.mode == "half_up_shift" and s else 0
        code = ((total * m + half) >> s) + int(layer.output.zero_point[0])
    else:
        y = total * Fraction(2) ** -table.fraction_bits
        unit = Fraction(2) ** -codebook.fraction_bits
        if table.points is not None:
            row = nearest([Fraction(int(x)) for x in table.points[:, 0]], Fraction(total))
            y = int(table.points[row, 1]) * unit
        code = nearest([int(v) * unit for v in codebook.values], y)
    return min(max(code, layer.clamp[0]), layer.clamp[1])


def taps_of(
    layer: LayerRecord, shape: tuple[int, ...], y: int, x: int
) -> Iterator[tuple[Any, ...]]:
    """Yield (r, s, row, column, inside, in the padding) of a window at one position."""
    g = layer.geometry
    assert g is not None
    top, bottom, left, right = g.padding
    for r, s in itertools.product(range(g.kernel[0]), range(g.kernel[1])):
        row = y * g.stride[0] + r * g.dilation[0] - top
        column = x * g.stride[1] + s * g.dilation[1] - left
        inside = 0 <= row < shape[1] and 0 <= column < shape[2]
        padding = -top <= row < shape[1] + bottom and -left <= column < shape[2] + right
        yield r, s, row, column, inside, padding


def layer_sums(
    layer: LayerRecord, inputs: Sequence[Codes], quants: Sequence[Quantization]
) -> npt.NDArray[Any]:
    """Add products up for one sample; inputs without the sample axis."""
    table = layer.product_table
    assert table is not None
    products = table.products
    sums = np.zeros(layer.output_shape, object)
    zero = int(quants[0].zero_point[0])
    bias = None if layer.bias is None else layer.bias.read()
    weight = None if layer.weight is None else layer.weight.read()
    for place in np.ndindex(*layer.output_shape):
        total = 0 if bias is None else int(bias[place[0]])
        if layer.kind == "linear":
            assert weight is not None
            for i, u in enumerate(inputs[0]):
                total += int(products[weight[place[0], i], u])
        elif layer.kind == "conv2d":
            assert weight is not None
            assert layer.geometry is not None
            per_group = weight.shape[1]
            first = place[0] // (weight.shape[0] // layer.geometry.groups) * per_group
            for r, s, row, column, inside, _ in taps_of(layer, inputs[0].shape, *place[1:]):
                for i in range(per_group):
                    u = int(inputs[0][first + i, row, column]) if inside else zero
                    total += int(products[weight[place[0], i, r, s], u])
        elif layer.kind == "avg_pool2d":
            assert layer.geometry is not None
            seen = list(taps_of(layer, inputs[0].shape, *place[1:]))
            counted = 5 if layer.geometry.count_include_pad else 4
            n = sum(tap[counted] for tap in seen)
            for _, _, row, column, inside, _ in seen:
                if inside:
                    total += int(products[n - 1, inputs[0][place[0], row, column]])
        elif layer.kind == "add":
            for i, codes in enumerate(inputs):
                at = tuple(0 if n == 1 else k for k, n in zip(place, codes.shape, strict=True))
                total += int(products[i, codes[at]])
        else:
            axis, left = layer.params.integer("concat_axis"), list(place)
            for i, codes in enumerate(inputs):
                if left[axis] < codes.shape[axis]:
                    total += int(products[i, codes[tuple(left)]])
                    break
                left[axis] -= codes.shape[axis]
        sums[place] = total
    return sums


def layer_codes(
    layer: LayerRecord, inputs: Sequence[Codes], quants: Sequence[Quantization]
) -> Codes:
    """Run one layer with a product table on one sample."""
    sums = layer_sums(layer, inputs, quants)
    return np.array([encoded(layer, t) for t in sums.flat], np.int64).reshape(sums.shape)
