"""One layer of a float network becomes one of a trace: its numbers are decided here."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from bitpim_traces.builder import Activation, TraceBuilder, WeightCodes
from bitpim_traces.errors import TraceDataError
from bitpim_traces.functions import FUNCTIONS
from bitpim_traces.modes import HALF_UP_SHIFT, mode_named
from bitpim_traces.network import FloatLayer
from bitpim_traces.numbers.affine import (
    MIN_SCALE,
    choose_quantization,
    choose_weight_quantization,
    encode,
    encode_weight,
    real_values,
    same_quantization,
)
from bitpim_traces.numbers.few_values import binary_weights, ternary_weights
from bitpim_traces.operators import OPERATORS
from bitpim_traces.quantize.settings import Settings
from bitpim_traces.records import Quantization, Requantize

__all__ = ["Ranges", "append_layer", "codes_of", "range_of"]

Ranges = Mapping[int, tuple[float, float]]

_BIAS_HEAD_ROOM = 3
"""A bias code takes at most 2**(accumulator_bits - 3): the rest of the accumulator is for sums."""


def append_layer(
    builder: TraceBuilder,
    layer: FloatLayer,
    ranges: Ranges,
    settings: Settings,
    *,
    bits: int,
    is_last: bool,
) -> None:
    """Decide one layer's numbers and append it; `bits` is the width of its output codes.

    Raises
    ------
    TraceDataError
        A range is missing, a number is not finite, or a sum could leave its accumulator.
    """
    operator = OPERATORS[layer.kind]
    if is_last and settings.raw_output:
        _append_raw(builder, layer, replace(settings, per_channel=False))
    elif operator.has_weight:
        output = _output(builder, layer, ranges, bits, settings)
        _append_weighted(builder, layer, output, settings)
    elif operator.fixed:
        _append_constant(builder, layer, bits, settings)
    elif operator.keeps_codes:
        builder.keep(layer)
    elif layer.activation == "sign" and settings.activation_values_of(layer.name) == "binary":
        _append_signs(builder, layer)
    elif layer.kind == "activation" and not operator.is_table(layer.activation):
        builder.clip(layer.name, layer.inputs[0], _activation(layer))
    elif _keeps(builder, layer, settings):
        _append_rescaled(builder, layer, builder.quantization(layer.inputs[0]))
    else:
        _append_rescaled(builder, layer, _output(builder, layer, ranges, bits, settings))


def _activation(layer: FloatLayer) -> Activation:
    return Activation(layer.activation, layer.clamp)


def _keeps(builder: TraceBuilder, layer: FloatLayer, settings: Settings) -> bool:
    """Tell whether a layer that may rescale its codes keeps those of its inputs."""
    if layer.kind == "avg_pool2d":
        return mode_named(settings.requantize).divides
    inputs = [builder.quantization(i) for i in layer.inputs]
    return layer.kind == "concat" and all(same_quantization(q, inputs[0]) for q in inputs)


def _where(builder: TraceBuilder, layer: FloatLayer) -> str:
    return f"layer {len(builder.layers)} {layer.name!r}"


def _output(
    builder: TraceBuilder, layer: FloatLayer, ranges: Ranges, bits: int, settings: Settings
) -> Quantization:
    """Choose the quantization of a layer's output by its range, or by its function's ends."""
    where = _where(builder, layer)
    bottom, top = layer.clamp_range
    function = FUNCTIONS.get(layer.activation)
    if function is not None:
        bottom, top = function.ends
    if function is not None and function.is_bounded:
        low, high = function.ends
    else:
        low, high = range_of(ranges, len(builder.layers), where)
    low, high = min(max(low, bottom), top), max(min(high, top), bottom)
    return choose_quantization(low, high, bits=bits, scheme=settings.activation_scheme, where=where)


def _append_rescaled(builder: TraceBuilder, layer: FloatLayer, output: Quantization) -> None:
    """Append a layer without weights whose codes are of another quantization, or may be."""
    name, source, activation = layer.name, layer.inputs[0], _activation(layer)
    if layer.kind == "add":
        builder.add(name, layer.inputs, output, activation=activation)
    elif layer.kind == "concat":
        axis = layer.params.integer("concat_axis")
        builder.concat(name, layer.inputs, axis=axis, output=output, activation=activation)
    elif layer.kind == "avg_pool2d" and layer.geometry is not None:
        builder.avg_pool2d(name, source, layer.geometry, output=output, activation=activation)
    elif OPERATORS[layer.kind].accumulated is not None:
        builder.accumulate(layer, output, activation=activation)
    else:
        constants = layer.tensors.get("constants")
        builder.lookup(name, source, layer.activation, output, constants=constants)


def _append_signs(builder: TraceBuilder, layer: FloatLayer) -> None:
    """Append signs of -1 and 1 alone: that of 0 is 1."""
    before = builder.quantization(layer.inputs[0])
    codes = np.arange(before.code_min, before.code_max + 1)
    table = np.where(real_values(codes, before) < 0, -1, 1)
    output = Quantization(2, True, np.ones(1), np.zeros(1, np.int64), binary=True)
    builder.lookup(layer.name, layer.inputs[0], layer.activation, output, table=table)


def _append_weighted(
    builder: TraceBuilder,
    layer: FloatLayer,
    output: Quantization,
    settings: Settings,
    step: Requantize | None = None,
) -> None:
    source, where = builder.quantization(layer.inputs[0]), _where(builder, layer)
    weight = _weight_codes(layer, source, settings, where)
    more: dict[str, Any] = {"activation": _activation(layer), "requantize": step}
    if layer.geometry is not None and layer.kind == "conv2d":
        builder.conv2d(layer.name, layer.inputs[0], weight, output, layer.geometry, **more)
    else:
        builder.linear(layer.name, layer.inputs[0], weight, output, **more)


def _append_raw(builder: TraceBuilder, layer: FloatLayer, settings: Settings) -> None:
    """Append the last layer with its accumulators as output codes."""
    where = _where(builder, layer)
    if not OPERATORS[layer.kind].has_weight:
        raise TraceDataError(
            f"{where}: need a network that ends in a conv2d or linear for raw_output, got"
            f" {layer.kind}; leave raw_output out"
        )
    source = builder.quantization(layer.inputs[0])
    weight = _weight_codes(layer, source, settings, where)
    unit, one = source.scale * weight.quantization.scale, np.ones(1, np.int32)
    output = Quantization(settings.accumulator_bits, True, unit, np.zeros(1, np.int64))
    step = Requantize(HALF_UP_SHIFT.name, multiplier=one, shift=0 * one)
    _append_weighted(builder, layer, output, settings, step)


def _append_constant(
    builder: TraceBuilder, layer: FloatLayer, bits: int, settings: Settings
) -> None:
    """Quantize values that all samples share over their own range."""
    values = layer.tensors["values"]
    where = f"layer {len(builder.layers)} {layer.name!r}"
    ends = float(values.min()), float(values.max())
    quantization = choose_quantization(
        *ends, bits=bits, scheme=settings.activation_scheme, where=where
    )
    codes = encode(values, quantization)
    builder.constant(layer.name, codes, quantization, source=layer.inputs[0], values_float=values)


def _weight_codes(
    layer: FloatLayer, source: Quantization, settings: Settings, where: str
) -> WeightCodes:
    """Quantize a weight and its bias; the bias bounds the weight's scale from below."""
    assert layer.weight is not None
    input_scale = float(source.scale[0])
    least = None
    if layer.bias is not None:
        if not np.isfinite(layer.bias).all():
            raise TraceDataError(f"{where}: need a finite bias, got NaN or infinity")
        room = 2.0 ** (settings.accumulator_bits - _BIAS_HEAD_ROOM)
        least = np.abs(layer.bias.astype(np.float64)) / (input_scale * room)
        least = np.where(least > 0, np.maximum(least, MIN_SCALE), 0.0)
    codes, quantization = codes_of(layer.name, layer.weight, settings, least, where)
    bias = None
    if layer.bias is not None:
        real = layer.bias.astype(np.float64) / (input_scale * quantization.scale)
        bias = np.rint(real).astype(np.int64)
    return WeightCodes(
        codes,
        quantization,
        bias,
        weight_float=layer.weight,
        bias_float=layer.bias,
    )


def codes_of(
    name: str,
    weight: npt.NDArray[np.floating],
    settings: Settings,
    least: npt.NDArray[np.float64] | None,
    where: str,
) -> tuple[npt.NDArray[np.integer], Quantization]:
    """Turn a layer's weight into codes of all values, of three or of two.

    Shapes
    ------
    weight, codes : (O, ...);  least : (O,), bounds of the scales from below
    """
    values, per_channel = settings.weight_values_of(name), settings.per_channel
    if values == "binary":
        return binary_weights(weight, per_channel=per_channel, least_scale=least, where=where)
    if values == "ternary":
        return ternary_weights(
            weight,
            threshold=settings.ternary_threshold,
            per_channel=per_channel,
            least_scale=least,
            where=where,
        )
    bits = settings.weight_bits_of(name)
    quantization = choose_weight_quantization(
        weight,
        bits=bits,
        per_channel=per_channel,
        scheme=settings.weight_scheme,
        least_scale=least,
        method=settings.weight_calibration,
        where=where,
    )
    return encode_weight(weight, quantization, bits=bits), quantization


def range_of(ranges: Ranges, index: int, where: str) -> tuple[float, float]:
    """Yield the range that was observed of a layer."""
    if index not in ranges:
        raise TraceDataError(f"{where}: need a range of its values, got none; calibrate first")
    return ranges[index]
