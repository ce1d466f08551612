"""Rules that need the values: checksums, code ranges, sums that could leave their integers."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from bitpim_traces.cluster_rules import check_cluster_values
from bitpim_traces.codebook import ProductTable
from bitpim_traces.errors import TraceDataError
from bitpim_traces.faults import Fault, Report
from bitpim_traces.masks import check_mask_values
from bitpim_traces.modes import Mode
from bitpim_traces.numbers.multiplier import PRODUCT_BITS
from bitpim_traces.operators import OPERATORS
from bitpim_traces.records import (
    NETWORK_INPUT,
    Geometry,
    LayerRecord,
    Quantization,
    Requantize,
    TensorRecord,
    Trace,
)
from bitpim_traces.tree import DatasetEntry, Tree, blocks, sha256_of

__all__ = ["check_checksums", "check_values", "fit_one_fraction", "looked_up_span"]

Span = tuple[npt.NDArray[Any], npt.NDArray[Any]]
"""Lowest and highest value of a sum, one entry a channel (or one in all).

Python integers where a bias is in them, since int64 does not hold every such sum.
"""

_PRODUCT_LIMIT = 1 << PRODUCT_BITS
_INT32 = (-(1 << 31), (1 << 31) - 1)


def check_checksums(tree: Tree, report: Report) -> None:
    """Read every dataset and compare it with its SHA-256."""
    for path, entry in tree.items():
        if isinstance(entry, DatasetEntry) and "sha256" in entry.attributes:
            try:
                if sha256_of(entry) != entry.attributes["sha256"]:
                    need = "values with the SHA-256 of its attribute"
                    report(Fault(path, need, "other values", "data"))
            except TraceDataError as error:
                report(Fault(path, "values that can be read", str(error), "data"))


def check_values(trace: Trace, report: Report) -> None:
    """Check the values of a trace whose structure and rules are in order."""
    samples = trace.samples
    _check_codes(samples.codes, samples.quantization, "/samples/codes", report)
    _check_labels(trace, report)
    for layer in trace.layers:
        path = f"/layers/{layer.index:04d}"
        if layer.weight is not None and layer.weight_quantization is not None:
            _check_codes(layer.weight, layer.weight_quantization, f"{path}/weight", report)
        for name, tensor in (("table", layer.table), ("values", layer.tensors.get("values"))):
            if tensor is not None:
                _check_codes(tensor, layer.output, f"{path}/{name}", report)
        for name in ("weight_float", "bias_float", "output_float"):
            _check_finite(getattr(layer, name), f"{path}/{name}", report)
        for name in ("constants", "values_float"):
            _check_finite(layer.tensors.get(name), f"{path}/{name}", report)
        _check_sums(trace, layer, path, report)
        check_mask_values(layer, report)
        check_cluster_values(layer, report)


def _parts(tensor: TensorRecord) -> Iterator[tuple[int, npt.NDArray[Any]]]:
    for start, stop in blocks(tensor.shape, tensor.dtype.itemsize):
        yield start, tensor.load(start, stop)  # as they are: a fault is listed, not raised


def _check_codes(
    tensor: TensorRecord, quantization: Quantization, path: str, report: Report
) -> None:
    low, high = quantization.code_min, quantization.code_max
    for start, part in _parts(tensor):
        wrong = (part < low) | (part > high) | (quantization.binary & (part == 0))
        if wrong.any():
            place = tuple(int(n) for n in np.argwhere(wrong)[0])
            report(
                Fault(
                    path,
                    f"{quantization.bits}-bit codes {low}..{high}",
                    f"{int(part[place])} at {(place[0] + start, *place[1:])}",
                    "data",
                )
            )
            return


def _check_finite(tensor: TensorRecord | None, path: str, report: Report) -> None:
    if tensor is not None and not all(np.isfinite(part).all() for _, part in _parts(tensor)):
        report(Fault(path, "finite numbers", "infinite ones or NaN", "data"))


def _check_labels(trace: Trace, report: Report) -> None:
    labels, shape = trace.samples.labels, trace.layers[-1].output_shape
    if labels is None or not labels.shape[0]:
        return
    values = labels.load(0, labels.shape[0])
    highest = shape[0] - 1 if len(shape) == 1 else _INT32[1]
    if values.min() < -1 or values.max() > highest:
        got = f"{int(values.min())}..{int(values.max())}"
        report(Fault("/samples/labels", f"classes 0..{highest}, or -1 for unknown", got, "data"))


def _check_sums(trace: Trace, layer: LayerRecord, path: str, report: Report) -> None:
    """Bound every sum by the codes that can reach it; no sample is needed to see an overflow."""
    requantize = layer.requantize
    ranges = [_code_range(trace, i) for i in layer.inputs]
    if layer.product_table is not None:
        _check_looked_up(trace, layer, layer.product_table, path, report)
        return
    if requantize is None:
        return
    span: Span | None = None
    sums, accumulated = OPERATORS[layer.kind].sums, OPERATORS[layer.kind].accumulated
    if layer.weight is not None:
        span = _weighted_span(layer, ranges[0])
    elif sums == "window" and layer.geometry is not None:
        span = _pooled_span(layer, layer.geometry, requantize.rule, ranges[0])
    if span is not None:
        low, high = int(span[0].min()), int(span[1].max())
        limit = 1 << (layer.accumulator_bits - 1)
        if low < -limit or high >= limit:
            need = f"sums within signed {layer.accumulator_bits} bits"
            report(Fault(path, need, f"{low}..{high} possible", "data"))
            return
        _check_products(requantize, span, path, report)
    elif sums == "terms":
        _check_add(requantize, ranges, path, report)
    elif accumulated is not None:
        low, high = accumulated.reach(layer, ranges)
        _check_products(requantize, (np.array([low]), np.array([high])), path, report)
    else:  # single codes: one entry an input
        ends = np.array(ranges, np.int64)
        _check_products(requantize, (ends[:, 0], ends[:, 1]), path, report)


def _check_looked_up(
    trace: Trace, layer: LayerRecord, table: ProductTable, path: str, report: Report
) -> None:
    """Bound the sums of products by the codes that can reach them."""
    ends = [trace.layers[i].clamp if i != NETWORK_INPUT else None for i in layer.inputs]
    span = looked_up_span(layer, table, ends)
    low, high = int(span[0].min()), int(span[1].max())
    limit = 1 << (layer.accumulator_bits - 1)
    if low < -limit or high >= limit:
        need = f"sums within signed {layer.accumulator_bits} bits"
        report(Fault(path, need, f"{low}..{high} possible", "data"))
    elif layer.requantize is not None:
        _check_products(layer.requantize, span, path, report)
    elif not fit_one_fraction(layer, table, span):
        need = "sums and values within 62 bits at one fraction"
        report(Fault(path, need, f"sums {low}..{high} possible", "data"))


def fit_one_fraction(layer: LayerRecord, table: ProductTable, span: Span) -> bool:
    """Tell whether sums and the output's values can be compared: within 62 bits at one fraction."""
    codebook = layer.output.codebook
    if codebook is None or table.points is not None:
        return True
    up = max(codebook.fraction_bits - table.fraction_bits, 0)
    down = max(table.fraction_bits - codebook.fraction_bits, 0)
    low, high = int(span[0].min()), int(span[1].max())
    least, most = (int(v) for v in codebook.values[[0, -1]])
    return max(-low << up, high << up, -least << down, most << down) < 1 << 61


def looked_up_span(
    layer: LayerRecord, table: ProductTable, ends: Sequence[tuple[int, int] | None]
) -> Span:
    """Bound the sums of each output channel, or each number of elements, or in all."""

    def reach(row_ends: tuple[int, int] | None) -> Span:
        first, last = row_ends or (0, table.products.shape[1] - 1)
        part = table.products[:, first : last + 1]
        return np.minimum(part.min(axis=1), 0), np.maximum(part.max(axis=1), 0)

    low, high = reach(ends[0])
    if layer.weight is not None:
        n_out = layer.weight.shape[0]
        below, above = np.zeros(n_out, object), np.zeros(n_out, object)
        for start, part in _parts(layer.weight):
            rows = part.reshape(part.shape[0], -1)
            below[start : start + len(rows)] = low[rows].astype(object).sum(axis=1)
            above[start : start + len(rows)] = high[rows].astype(object).sum(axis=1)
        bias = 0 if layer.bias is None else layer.bias.read().astype(object)
        return below + np.minimum(bias, 0), above + np.maximum(bias, 0)
    if OPERATORS[layer.kind].sums == "window":
        n_elements = np.arange(1, len(low) + 1).astype(object)
        return low * n_elements, high * n_elements
    reaches = [reach(end) for end in ends]
    lows = np.array([int(r[0][i]) for i, r in enumerate(reaches)], object)
    highs = np.array([int(r[1][i]) for i, r in enumerate(reaches)], object)
    if OPERATORS[layer.kind].sums == "terms":
        return lows.sum(keepdims=True), highs.sum(keepdims=True)
    return lows, highs


def _code_range(trace: Trace, index: int) -> tuple[int, int]:
    """Yield the lowest and highest (code - zero_point) a layer can put out; 0 is among them."""
    quantization = trace.quantization_of(index)
    zero = int(quantization.zero_point[0])
    low, high = quantization.code_min, quantization.code_max
    if index != NETWORK_INPUT:
        low, high = trace.layers[index].clamp
    return min(low - zero, 0), max(high - zero, 0)


def _weighted_span(layer: LayerRecord, codes: tuple[int, int]) -> Span:
    """Bound the accumulator of every output channel over all inputs there can be."""
    weight, quantization = layer.weight, layer.weight_quantization
    assert weight is not None
    assert quantization is not None
    n_out = weight.shape[0]
    zero = np.broadcast_to(quantization.zero_point, (n_out,))
    positive, negative = np.zeros(n_out, np.int64), np.zeros(n_out, np.int64)
    for start, part in _parts(weight):
        flat = part.reshape(part.shape[0], -1).astype(np.int64)
        flat -= zero[start : start + part.shape[0], None]
        positive[start : start + part.shape[0]] = np.maximum(flat, 0).sum(axis=1)
        negative[start : start + part.shape[0]] = np.minimum(flat, 0).sum(axis=1)
    bias = np.zeros(n_out, np.int64) if layer.bias is None else layer.bias.read().astype(np.int64)
    above, below = positive.astype(object), negative.astype(object)
    return above * codes[0] + below * codes[1] + bias, above * codes[1] + below * codes[0] + bias


def _pooled_span(layer: LayerRecord, window: Geometry, mode: Mode, codes: tuple[int, int]) -> Span:
    """Bound the sum of 1, 2, ... elements of a window."""
    n = np.arange(1, window.kernel[0] * window.kernel[1] + 1)
    zero = 0
    if mode.divides:  # sums raw codes
        zero = int(layer.output.zero_point[0])
    return np.minimum((codes[0] + zero) * n, 0), np.maximum((codes[1] + zero) * n, 0)


def _check_products(requantize: Requantize, span: Span, path: str, report: Report) -> None:
    """Check that scaling keeps the intermediate product in its integer."""
    if requantize.multiplier is None or requantize.shift is None:
        return
    multipliers = [int(m) for m in requantize.multiplier]
    shifts = [int(s) for s in requantize.shift]
    for k in range(max(len(multipliers), len(span[0]))):
        low, high = (int(end[k % len(end)]) for end in span)
        multiplier, shift = multipliers[k % len(multipliers)], shifts[k % len(shifts)]
        if requantize.rule.shifts_left:
            up = max(shift, 0)
            if low << up < _INT32[0] or high << up > _INT32[1]:
                got = f"{low << up}..{high << up} possible for entry {k}"
                report(Fault(path, "sums << shift within 32 bits", got, "data"))
                return
        elif max(-low, high) * multiplier >= _PRODUCT_LIMIT:
            got = f"{max(-low, high)} x {multiplier} possible for entry {k}"
            report(Fault(path, "sums x multiplier below 2^62", got, "data"))
            return


def _check_add(
    requantize: Requantize, ranges: list[tuple[int, int]], path: str, report: Report
) -> None:
    if requantize.multiplier is None or requantize.shift is None:
        return
    if not requantize.rule.rounds_terms:
        pairs = zip(ranges, requantize.multiplier, strict=True)
        reach = sum(max(-low, high) * int(m) for (low, high), m in pairs)
        if reach >= _PRODUCT_LIMIT:
            report(Fault(path, "the scaled sum below 2^62", f"{reach} possible", "data"))
        return
    left = requantize.left_shift
    ends = np.array([[low << left, high << left] for low, high in ranges], dtype=object)
    if min(ends[:, 0]) < _INT32[0] or max(ends[:, 1]) > _INT32[1]:
        got = f"{min(ends[:, 0])}..{max(ends[:, 1])} possible"
        report(Fault(path, "codes << left_shift within 32 bits", got, "data"))
        return
    span = ends[:, 0].astype(np.int64), ends[:, 1].astype(np.int64)
    _check_products(requantize, span, path, report)
    bound = 1.0
    for (low, high), m, s in zip(ends, requantize.multiplier, requantize.shift, strict=True):
        bound += max(-int(low), int(high)) * int(m) * 2.0 ** (int(s) - 31) + 1.0
    if bound * 2.0 ** max(requantize.output_shift, 0) > _INT32[1]:
        report(Fault(path, "the scaled sum within 32 bits", f"{int(bound)} possible", "data"))
