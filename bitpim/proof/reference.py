"""The referee: what every layer of a trace means, in plain NumPy int64.

It shares no code with the kernels, the arrays or the machines, so that an error there cannot
hide here. It is written to be read beside `traces/FORMAT.md`: one short function a rule.

Exactness. All sums are integers. A matrix product goes through float64 (BLAS) only where every
partial sum is proven to be an integer below 2**53, so that no addition rounds; else it is int64.

Memory. Samples are taken in blocks of about BLOCK_ELEMENTS elements, and never less than one
image, so the peak follows the layer and not the batch.
"""

import math
from collections.abc import Collection, Iterator, Sequence
from fractions import Fraction
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from bitpim.errors import AccumulatorError
from bitpim.proof import looked_up
from bitpim.proof.moves import MOVES
from bitpim.proof.requantize import divide_half_away, need_bits, requantize, round_half_even
from bitpim.proof.windows import (
    exact_matmul,
    fault,
    geometry_of,
    need_pad_code,
    taps,
    where_of,
    window_counts,
)
from bitpim_traces.records import (
    NETWORK_INPUT,
    LayerRecord,
    Quantization,
    Requantize,
    Trace,
)

__all__ = ["code_dtype", "iter_network", "requantize", "run_layer", "run_network"]

Codes = npt.NDArray[Any]
Int64 = npt.NDArray[np.int64]

_NOTHING = np.zeros((), np.int64)  # what sums of arrays begin with
BLOCK_ELEMENTS = 1 << 22
"""Elements (8 bytes each) of a layer's input plus output that are worked on at once."""


def code_dtype(quantization: Quantization) -> np.dtype[Any]:
    """Yield the dtype that holds codes of this quantization in memory."""
    width = 8
    while width < quantization.bits:
        width *= 2
    return np.dtype(f"{'' if quantization.signed else 'u'}int{width}")


def run_network(
    trace: Trace, codes: Codes, *, keep: Literal["all"] | Collection[int] | None = None
) -> dict[int, Codes]:
    """Run a batch of input codes through all layers; yield layer outputs by layer index.

    `keep=None` keeps what no layer reads (the outputs of the network), `"all"` everything, a
    collection of indices those layers.
    """
    read = {source for layer in trace.layers for source in layer.inputs}
    if keep is None:
        wanted = {layer.index for layer in trace.layers} - read
    elif isinstance(keep, str):
        wanted = {layer.index for layer in trace.layers}
    else:
        wanted = set(keep)
    return {index: out for index, out in iter_network(trace, codes) if index in wanted}


def iter_network(trace: Trace, codes: Codes) -> Iterator[tuple[int, Codes]]:
    """Run a batch layer by layer; yield (layer index, output codes) as each one is ready.

    An output is forgotten here as soon as its last reader has run.
    """
    trace.samples.codes.check(codes)
    last_reader = {source: layer.index for layer in trace.layers for source in layer.inputs}
    alive: dict[int, Codes] = {NETWORK_INPUT: codes}
    for layer in trace.layers:
        inputs = [alive[source] for source in layer.inputs]
        out = run_layer(layer, inputs, trace.input_quantizations(layer))
        alive[layer.index] = out
        for source in {*layer.inputs, layer.index}:
            if last_reader.get(source, layer.index) == layer.index:
                del alive[source]
        yield layer.index, out


def run_layer(
    layer: LayerRecord, inputs: Sequence[Codes], input_quantizations: Sequence[Quantization]
) -> Codes:
    """Run one layer on a batch of codes.

    Shapes
    ------
    inputs: (n_samples, *layer.input_shapes[i]) each; result: (n_samples, *layer.output_shape).

    Raises
    ------
    TraceDataError
        Shapes or numbers of the layer contradict each other.
    AccumulatorError
        A sum that really occurs does not fit the accumulator that has to hold it.
    """
    rules = _RULES if layer.product_table is None else looked_up.RULES
    rule = rules.get(layer.kind)
    if rule is None:
        raise fault(layer, f"need a kind of {', '.join(rules)}, got {layer.kind!r}")
    for shape, codes in zip(layer.input_shapes, inputs, strict=True):
        if codes.shape[1:] != shape:
            raise fault(layer, f"need input codes of shape {shape}, got {codes.shape[1:]}")
    n_samples = inputs[0].shape[0]
    out = np.empty((n_samples, *layer.output_shape), dtype=code_dtype(layer.output))
    shapes = (*layer.input_shapes, layer.output_shape)
    per_sample = sum(int(np.prod(shape, dtype=np.int64)) for shape in shapes)
    step = max(1, BLOCK_ELEMENTS // max(1, per_sample))
    for start in range(0, n_samples, step):
        block = [codes[start : start + step].astype(np.int64) for codes in inputs]
        result = rule(layer, block, input_quantizations)
        if result.shape[1:] != layer.output_shape:
            raise fault(layer, f"need output shape {layer.output_shape}, got {result.shape[1:]}")
        out[start : start + step] = result
    return out


# --- layers: int64 codes of a block of samples in, int64 codes out


def _conv2d(layer: LayerRecord, inputs: list[Int64], quants: Sequence[Quantization]) -> Int64:
    geometry, zero = geometry_of(layer), _zero_point(quants[0])
    need_pad_code(layer, zero)
    centred = inputs[0] - zero
    weight = _weight(layer)
    n, groups = centred.shape[0], geometry.groups
    n_out, per_group = weight.shape[:2]
    if weight.shape[2:] != geometry.kernel or per_group * groups != centred.shape[1]:
        raise fault(layer, f"weight {weight.shape} does not fit {geometry}")
    height, width = geometry.output_size(*centred.shape[2:])
    _need_products(layer, centred, weight)
    acc = np.zeros((n, groups, n_out // groups, height * width), dtype=np.int64)
    for (r, s), seen in taps(geometry, centred, fill=0):
        tap = weight[:, :, r, s].reshape(groups, n_out // groups, per_group)
        acc += exact_matmul(tap, seen.reshape(n, groups, per_group, height * width))
    acc = acc.reshape(n, n_out, height, width)
    return _finish_channels(layer, acc)


def _linear(layer: LayerRecord, inputs: list[Int64], quants: Sequence[Quantization]) -> Int64:
    centred = inputs[0] - _zero_point(quants[0])
    if layer.weight is None:
        raise fault(layer, "need a weight, got none")
    n_out, n_in = layer.weight.shape
    acc = np.empty((centred.shape[0], n_out), dtype=np.int64)
    step = max(1, BLOCK_ELEMENTS // max(1, n_in))
    for start in range(0, n_out, step):
        rows = _weight(layer, start, min(start + step, n_out))
        _need_products(layer, centred, rows)
        acc[:, start : start + step] = exact_matmul(centred, rows.T)
    return _finish_channels(layer, acc)


def _finish_channels(layer: LayerRecord, acc: Int64) -> Int64:
    """Add the bias, check the accumulator, requantize per output channel (axis 1), clamp."""
    n_out, per_channel = acc.shape[1], (-1,) + (1,) * (acc.ndim - 2)
    if layer.bias is not None:
        if layer.bias.shape != (n_out,):
            raise fault(layer, f"need a bias of shape {(n_out,)}, got {layer.bias.shape}")
        bias = layer.bias.read().astype(np.int64)
        for o in range(n_out):  # before the addition, which could wrap
            need_bits(acc[:, o], layer.accumulator_bits, where_of(layer), int(bias[o]))
        acc = acc + bias.reshape(per_channel)
    else:
        need_bits(acc, layer.accumulator_bits, where_of(layer))
    entries = {name: v.reshape(per_channel) for name, v in _entries(layer, n_out).items()}
    return _scaled(layer, acc, entries)


def _max_pool2d(layer: LayerRecord, inputs: list[Int64], quants: Sequence[Quantization]) -> Int64:
    geometry, lowest = geometry_of(layer), quants[0].code_min
    need_pad_code(layer, lowest)
    out: Int64 | None = None
    for _, seen in taps(geometry, inputs[0], fill=lowest):
        out = seen.copy() if out is None else np.maximum(out, seen)
    assert out is not None  # a window has at least one element
    return out


def _avg_pool2d(layer: LayerRecord, inputs: list[Int64], quants: Sequence[Quantization]) -> Int64:
    geometry, zero = geometry_of(layer), _zero_point(quants[0])
    rule = _requantize_of(layer)
    centred = inputs[0] - zero
    acc = sum((seen for _, seen in taps(geometry, centred, fill=0)), start=_NOTHING)
    count = window_counts(geometry, *centred.shape[2:])
    if count.size and count.min() < 1:
        raise fault(layer, "need windows that see at least one element, got one that sees none")
    if rule.mode == "fixed_point_half_away":  # TFLite divides the sum of raw codes
        acc += zero * count
        need_bits(acc, layer.accumulator_bits, where_of(layer))
        return np.clip(divide_half_away(acc, count), *layer.clamp)
    need_bits(acc, layer.accumulator_bits, where_of(layer))
    n_window = geometry.kernel[0] * geometry.kernel[1]
    entries = {name: v[count - 1] for name, v in _entries(layer, n_window).items()}
    return _scaled(layer, acc, entries)


def _add(layer: LayerRecord, inputs: list[Int64], quants: Sequence[Quantization]) -> Int64:
    rule, where, entries = _requantize_of(layer), where_of(layer), _entries(layer, len(inputs))
    if rule.mode == "float_scale_half_even":
        total = _add_float(entries["scale"], inputs, quants, _zero_point(layer.output))
        return np.clip(total, *layer.clamp)
    centred = [codes - _zero_point(quant) for codes, quant in zip(inputs, quants, strict=True)]
    multiplier, shift = entries["multiplier"], entries["shift"]
    if rule.mode == "fixed_point_half_away":
        acc = _NOTHING
        for term, m, s in zip(centred, multiplier, shift, strict=True):
            acc = acc + requantize(term << rule.left_shift, rule.mode, m, s, where=where)
        last = np.array(rule.output_multiplier), np.array(rule.output_shift)
        return _clamp(layer, requantize(acc, rule.mode, *last, where=where))
    acc = sum((q * int(m) for q, m in zip(centred, multiplier, strict=True)), start=_NOTHING)
    return _clamp(layer, requantize(acc, rule.mode, np.array(1), shift[0], where=where))


@np.errstate(over="ignore")  # infinities saturate
def _add_float(
    scales: npt.NDArray[Any], inputs: list[Int64], quants: Sequence[Quantization], zero_out: int
) -> Int64:
    """Add as onnxruntime does: zero points gathered first, then raw codes, last input first.

    Every product is exact in float64 and every sum is rounded once to float32, which is what a
    fused multiply-add does. The output zero point is inside the sum.

    Source
    ------
    QLinearAdd of onnxruntime on x86 with FMA; tests/golden/onnx_qlinear.
    """
    terms = list(zip(scales.astype(np.float64), inputs, quants, strict=True))[::-1]
    zeros = np.float32(0)
    for scale, _, quant in terms:
        zeros = np.float32(scale * _zero_point(quant) + np.float64(zeros))
    shape = np.broadcast_shapes(*(codes.shape for codes in inputs))
    total = np.full(shape, np.float32(zero_out) - zeros)
    for scale, codes, _ in terms:
        total = (scale * codes + total.astype(np.float64)).astype(np.float32)
    return round_half_even(total)


def _concat(layer: LayerRecord, inputs: list[Int64], quants: Sequence[Quantization]) -> Int64:
    parts = [
        _rescale(layer, codes, quant, i, len(inputs))
        for i, (codes, quant) in enumerate(zip(inputs, quants, strict=True))
    ]
    return np.concatenate(parts, axis=layer.params.integer("concat_axis") + 1)


def _activation(layer: LayerRecord, inputs: list[Int64], quants: Sequence[Quantization]) -> Int64:
    if layer.activation in ("relu", "relu6", "clamp"):
        return _rescale(layer, inputs[0], quants[0], 0, 1)
    if layer.table is None:
        raise fault(layer, f"need a table for {layer.activation}, got none")
    n_codes, n_channels = quants[0].code_max - quants[0].code_min + 1, layer.output_shape[0]
    if layer.table.shape not in ((n_codes,), (n_channels, n_codes)):
        raise fault(layer, f"need a table of {n_codes} codes, got shape {layer.table.shape}")
    rows = np.atleast_2d(layer.table.read().astype(np.int64))
    places = inputs[0] - quants[0].code_min
    channel = np.arange(n_channels if len(rows) > 1 else 1)
    return rows[channel.reshape(-1, *(1,) * (places.ndim - 2)), places]


def _multiply(layer: LayerRecord, inputs: list[Int64], quants: Sequence[Quantization]) -> Int64:
    first, second = (q - _zero_point(quant) for q, quant in zip(inputs, quants, strict=True))
    return _scaled(layer, first * second, _entries(layer, 1))


def _resize_bilinear(
    layer: LayerRecord, inputs: list[Int64], quants: Sequence[Quantization]
) -> Int64:
    acc, corners = inputs[0] - _zero_point(quants[0]), bool(layer.params.integer("align_corners"))
    whole = 2 ** layer.params.integer("share_bits")
    for axis, n_out in enumerate(layer.params.integers("size"), start=2):
        rows = []
        for i in range(n_out):
            place = _place(i, acc.shape[axis], n_out, corners)
            first = math.floor(place)
            share = math.floor(whole * (place - first) + Fraction(1, 2))
            near, far = (acc.take(min(p, acc.shape[axis] - 1), axis) for p in (first, first + 1))
            rows.append((whole - share) * near + share * far)
        acc = np.stack(rows, axis)
    return _scaled(layer, acc, _entries(layer, 1))


def _place(i: int, n_in: int, n_out: int, corners: bool) -> Fraction:
    """Yield where output pixel i lies among the input's."""
    if corners:
        return Fraction(i * (n_in - 1), max(n_out - 1, 1))
    place = (i + Fraction(1, 2)) * Fraction(n_in, n_out) - Fraction(1, 2)
    return min(max(place, Fraction(0)), Fraction(n_in - 1))


def _constant(layer: LayerRecord, inputs: list[Int64], quants: Sequence[Quantization]) -> Int64:
    if "values" not in layer.tensors:
        raise fault(layer, "need values, got none")
    values = layer.tensors["values"].read().astype(np.int64)
    return np.repeat(values[None], inputs[0].shape[0], axis=0)


_RULES = {
    "conv2d": _conv2d,
    "linear": _linear,
    "max_pool2d": _max_pool2d,
    "avg_pool2d": _avg_pool2d,
    "add": _add,
    "concat": _concat,
    "activation": _activation,
    "multiply": _multiply,
    "constant": _constant,
    "resize_bilinear": _resize_bilinear,
    **MOVES,
}


# --- small parts


def _rescale(
    layer: LayerRecord, codes: Int64, quant: Quantization, entry: int, n_entries: int
) -> Int64:
    """Requantize codes by one entry (identity without a rule) and clamp."""
    if layer.requantize is None:
        return np.clip(codes, *layer.clamp)
    entries = {name: v[entry] for name, v in _entries(layer, n_entries).items()}
    return _scaled(layer, codes - _zero_point(quant), entries)


def _scaled(layer: LayerRecord, acc: Int64, entries: dict[str, npt.NDArray[Any]]) -> Int64:
    """Requantize by entries that broadcast against the accumulator, add zero point, clamp."""
    mode = _requantize_of(layer).mode
    return _clamp(layer, requantize(acc, mode, where=where_of(layer), **entries))


def _clamp(layer: LayerRecord, scaled: Int64) -> Int64:
    return np.clip(scaled + _zero_point(layer.output), *layer.clamp)


def _weight(layer: LayerRecord, start: int = 0, stop: int | None = None) -> Int64:
    """Read weight codes of output channels start:stop, less their zero point."""
    if layer.weight is None or layer.weight_quantization is None:
        raise fault(layer, "need a weight and its quantization, got none")
    codes = layer.weight.read(start, stop).astype(np.int64)
    zero = layer.weight_quantization.zero_point
    zero = zero if zero.size == 1 else zero[start:stop]
    return codes - zero.astype(np.int64).reshape((-1,) + (1,) * (codes.ndim - 1))


def _zero_point(quantization: Quantization) -> int:
    return int(quantization.zero_point[0])  # inputs and outputs are quantized per tensor


def _entries(layer: LayerRecord, n: int) -> dict[str, npt.NDArray[Any]]:
    """Yield the arrays of the requantize step with n entries each; a single entry serves all."""
    rule = _requantize_of(layer)
    wanted = ("scale",) if rule.mode == "float_scale_half_even" else ("multiplier", "shift")
    out = {}
    for name in wanted:
        values = getattr(rule, name)
        if values is None or values.size not in (1, n):
            got = "none" if values is None else values.size
            raise fault(layer, f"need 1 or {n} entries of requantize {name}, got {got}")
        out[name] = np.broadcast_to(values.reshape(-1), (n,))
    return out


def _requantize_of(layer: LayerRecord) -> Requantize:
    if layer.requantize is None:
        raise fault(layer, "need a requantize step, got none")
    return layer.requantize


def _need_products(layer: LayerRecord, centred: Int64, weight: Int64) -> None:
    """Raise unless any sum of these products lies below 2**62, so that int64 never wraps."""
    largest = int(np.abs(centred).max(initial=0)) * int(np.abs(weight).max(initial=0))
    if largest * weight[0].size >= 1 << 62:
        raise AccumulatorError(
            f"{where_of(layer)}: need products below 2**62 in sum, got {weight[0].size} of "
            f"{largest} at most; use narrower codes or smaller filters"
        )
