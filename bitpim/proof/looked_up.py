"""The referee's layers of codebooks: products are looked up and added, sums take the nearest value.

Where a table holds the products as they are, without rounding, the same sums are made of values
multiplied; that is proven on the table itself.
"""

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from bitpim.proof.requantize import need_bits, requantize
from bitpim.proof.windows import (
    exact_matmul,
    fault,
    geometry_of,
    need_pad_code,
    taps,
    where_of,
    window_counts,
)
from bitpim_traces.codebook import ProductTable
from bitpim_traces.records import LayerRecord, Quantization

__all__ = ["RULES", "nearest"]

Int64 = npt.NDArray[np.int64]

_BLOCK_ELEMENTS = 1 << 22


def nearest(values: Int64, queries: Int64) -> Int64:
    """Yield the place of the value nearest to each query; of two the lower."""
    flat, step = queries.reshape(-1), max(1, _BLOCK_ELEMENTS // len(values))
    found = np.empty(flat.shape, np.int64)
    for start in range(0, flat.size, step):
        part = flat[start : start + step]
        found[start : start + step] = np.abs(part[:, None] - values).argmin(axis=1)
    return found.reshape(queries.shape)


def _conv2d(layer: LayerRecord, inputs: list[Int64], quants: Sequence[Quantization]) -> Int64:
    geometry, zero = geometry_of(layer), int(quants[0].zero_point[0])
    need_pad_code(layer, zero)
    codes, weight = inputs[0], _weight_codes(layer)
    n, groups = codes.shape[0], geometry.groups
    n_out, per_group = weight.shape[:2]
    if weight.shape[2:] != geometry.kernel or per_group * groups != codes.shape[1]:
        raise fault(layer, f"weight {weight.shape} does not fit {geometry}")
    height, width = geometry.output_size(*codes.shape[2:])
    add = _adding(layer, quants[0])
    acc = np.zeros((n, groups, n_out // groups, height * width), dtype=np.int64)
    for (r, s), seen in taps(geometry, codes, fill=zero):
        tap = weight[:, :, r, s].reshape(groups, n_out // groups, per_group)
        acc += add(tap, seen.reshape(n, groups, per_group, height * width))
    return _finish(layer, acc.reshape(n, n_out, height, width))


def _linear(layer: LayerRecord, inputs: list[Int64], quants: Sequence[Quantization]) -> Int64:
    add = _adding(layer, quants[0])
    acc = add(_weight_codes(layer), inputs[0].reshape(*inputs[0].shape, 1))
    return _finish(layer, acc[..., 0])


def _weight_codes(layer: LayerRecord) -> Int64:
    if layer.weight is None:
        raise fault(layer, "need a weight, got none")
    codes: Int64 = layer.weight.read().astype(np.int64)
    return codes


def _adding(layer: LayerRecord, quant: Quantization) -> Callable[[Int64, Int64], Int64]:
    """Yield what adds up products of weight codes (..., O, I) and input codes (..., I, P)."""
    table, weight = _table(layer), layer.weight_quantization
    if weight is None or weight.codebook is None or quant.codebook is None:
        raise fault(layer, "need codebooks of weight and input, got affine codes")
    extra = table.fraction_bits - weight.codebook.fraction_bits - quant.codebook.fraction_bits
    w, u = weight.codebook.values, quant.codebook.values
    if 0 <= extra < 16 and np.array_equal(np.multiply.outer(w, u) << extra, table.products):
        return lambda tap, seen: exact_matmul(w[tap], u[seen]) << extra

    def look_up(tap: Int64, seen: Int64) -> Int64:
        total = np.zeros((*seen.shape[:-2], tap.shape[-2], seen.shape[-1]), np.int64)
        for i in range(tap.shape[-1]):
            total += table.products[tap[..., :, i, None], seen[..., None, i, :]]
        return total

    return look_up


def _finish(layer: LayerRecord, acc: Int64) -> Int64:
    """Add the bias, check the accumulator, encode or scale."""
    if layer.bias is not None:
        acc = acc + layer.bias.read().astype(np.int64).reshape(-1, *(1,) * (acc.ndim - 2))
    need_bits(acc, layer.accumulator_bits, where_of(layer))
    if layer.output.codebook is not None:
        return _encoded(layer, acc)
    step = layer.requantize
    if step is None or step.multiplier is None or step.shift is None:
        raise fault(layer, "need a requantize step with shifts for an affine output, got none")
    spread = (-1, *(1,) * (acc.ndim - 2))
    entries = step.multiplier.reshape(spread), step.shift.reshape(spread)
    scaled = requantize(acc, step.mode, *entries, where=where_of(layer))
    return np.clip(scaled + int(layer.output.zero_point[0]), *layer.clamp)


def _encoded(layer: LayerRecord, acc: Int64) -> Int64:
    """Take the nearest y of a table of points, if there is one; then the code of its value."""
    table, codebook = _table(layer), layer.output.codebook
    assert codebook is not None
    y, fraction_bits = acc, table.fraction_bits
    if table.points is not None:
        y = table.points[nearest(table.points[:, 0], acc), 1]
        fraction_bits = codebook.fraction_bits
    up = max(codebook.fraction_bits - fraction_bits, 0)
    down = max(fraction_bits - codebook.fraction_bits, 0)
    need_bits(y, 62 - up, where_of(layer))
    need_bits(codebook.values, 62 - down, where_of(layer))
    return np.clip(nearest(codebook.values << down, y << up), *layer.clamp)


def _avg_pool2d(layer: LayerRecord, inputs: list[Int64], quants: Sequence[Quantization]) -> Int64:
    geometry, zero = geometry_of(layer), int(quants[0].zero_point[0])
    count = window_counts(geometry, *inputs[0].shape[2:])
    if count.size and count.min() < 1:
        raise fault(layer, "need windows that see at least one element, got one that sees none")
    products, acc = _table(layer).products, np.zeros((), np.int64)
    for _, seen in taps(geometry, inputs[0], fill=zero):
        acc = acc + products[count - 1, seen]
    return _finish(layer, acc)


def _add(layer: LayerRecord, inputs: list[Int64], quants: Sequence[Quantization]) -> Int64:
    acc = np.zeros((), np.int64)
    for row, codes in zip(_table(layer).products, inputs, strict=True):
        acc = acc + row[codes]
    return _finish(layer, acc)


def _concat(layer: LayerRecord, inputs: list[Int64], quants: Sequence[Quantization]) -> Int64:
    parts = [row[codes] for row, codes in zip(_table(layer).products, inputs, strict=True)]
    axis = layer.params.integer("concat_axis") + 1
    return _finish(layer, np.concatenate(parts, axis=axis))


def _table(layer: LayerRecord) -> ProductTable:
    if layer.product_table is None:
        raise fault(layer, "need a product table, got none")
    return layer.product_table


RULES = {
    "conv2d": _conv2d,
    "linear": _linear,
    "avg_pool2d": _avg_pool2d,
    "add": _add,
    "concat": _concat,
}
"""What each kind does whose inputs have codebooks."""
