"""One lane an output element, codes that only move, or the CPU's work; no weights in lanes."""

from collections.abc import Callable, Mapping

import numpy as np

from bitpim.digital.requantize import mode_of
from bitpim.digital.windows import windows_by_count
from bitpim.sram.elementwise_plan import LanePlan, LaneWork
from bitpim.sram.lane_codes import LaneCodes
from bitpim.sram.lane_programs import (
    RequantizeRule,
    Term,
    average_program,
    clamp_program,
    maximum_program,
    product_program,
    rescale_program,
    sum_program,
)
from bitpim.sram.plan import LayerPlan, TablePlan
from bitpim.sram.requantize_rule import need_host, requantize_rule
from bitpim.sram.settings import CacheSettings
from bitpim_traces.records import LayerRecord, Quantization

__all__ = ["ELEMENTWISE", "plan_digital"]

Quantizations = tuple[Quantization, ...]


def _n_bytes(shape: tuple[int, ...], bits: int) -> int:
    return -(-int(np.prod(shape, dtype=np.int64)) * bits // 8)


def _table_plan(
    layer: LayerRecord, quantizations: Quantizations, settings: CacheSettings, phase: str
) -> TablePlan:
    pairs = zip(layer.input_shapes, quantizations, strict=True)
    read = sum(_n_bytes(shape, q.bits) for shape, q in pairs)
    written = _n_bytes(layer.output_shape, layer.output.bits)
    return TablePlan(layer.index, layer.name, layer.kind, settings, read, written, phase)


def _host(layer: LayerRecord, quantizations: Quantizations, settings: CacheSettings) -> TablePlan:
    """Let the CPU compute the layer, if the preset lets it."""
    need_host(layer, settings)
    return _table_plan(layer, quantizations, settings, "host")


def plan_digital(
    layer: LayerRecord, quantizations: Quantizations, settings: CacheSettings
) -> TablePlan:
    """Leave a layer to the CPU although the arrays could compute it.

    Raises
    ------
    ConfigError
        The preset has no CPU for it.
    """
    need_host(layer, settings, "leave out layers.digital")
    return _table_plan(layer, quantizations, settings, "host")


def _move(layer: LayerRecord, quantizations: Quantizations, settings: CacheSettings) -> TablePlan:
    return _table_plan(layer, quantizations, settings, "move")


def _lane_plan(
    layer: LayerRecord,
    settings: CacheSettings,
    work: list[LaneWork],
    phase: str,
) -> LanePlan:
    bits = layer.output.bits
    return LanePlan(layer.index, layer.name, layer.kind, settings, bits, tuple(work), phase)


def _max_pool(
    layer: LayerRecord, quantizations: Quantizations, settings: CacheSettings
) -> LayerPlan:
    assert layer.geometry is not None
    n_taps = layer.geometry.kernel[0] * layer.geometry.kernel[1]
    if n_taps == 1:
        return _move(layer, quantizations, settings)  # a strided copy
    bits = quantizations[0].bits
    program = maximum_program(bits, settings.geometry.array_rows)
    work = LaneWork(n_taps, int(np.prod(layer.output_shape)), program, n_taps)
    return _lane_plan(layer, settings, [work], "pooling")


def _avg_pool(
    layer: LayerRecord, quantizations: Quantizations, settings: CacheSettings
) -> LayerPlan:
    mode = mode_of(layer)
    if mode.is_float:
        return _host(layer, quantizations, settings)
    assert layer.geometry is not None
    n_taps = layer.geometry.kernel[0] * layer.geometry.kernel[1]
    bits, encoding = quantizations[0].bits, LaneCodes.of(quantizations[0])
    by_count = windows_by_count(layer.geometry, layer.input_shapes[0])
    work = []
    for count, n_windows in by_count.items():
        # padding holds the zero point, so that it adds nothing; a mean is one of raw codes
        zero = int(encoding.zero_point[0])
        offset = n_taps * zero - (count * (zero - encoding.offset) if mode.divides else 0)
        program = average_program(
            bits,
            n_taps,
            offset,
            requantize_rule(layer, count - 1),
            count,
            settings.geometry.array_rows,
        )
        work.append(LaneWork(count, n_windows * layer.output_shape[0], program, n_taps))
    return _lane_plan(layer, settings, work, "pooling")


def _add(layer: LayerRecord, quantizations: Quantizations, settings: CacheSettings) -> LayerPlan:
    mode, step = mode_of(layer), layer.requantize
    if mode.is_float:
        return _host(layer, quantizations, settings)
    assert step is not None and step.multiplier is not None and step.shift is not None
    terms = []
    for i, quantization in enumerate(quantizations):
        zero = int(LaneCodes.of(quantization).zero_point[0])
        shift = int(step.shift[i]) if mode.rounds_terms else None
        terms.append(Term(quantization.bits, zero, int(step.multiplier[i]), shift))
    rule = requantize_rule(layer, 0, multiplier_bits=1)
    if mode.rounds_terms:
        rule = _with_shift(rule, step.output_shift)
    program = sum_program(
        tuple(terms),
        step.left_shift if mode.rounds_terms else 0,
        step.output_multiplier if mode.rounds_terms else 1,
        rule,
        settings.geometry.array_rows,
    )
    work = LaneWork(0, int(np.prod(layer.output_shape)), program)
    return _lane_plan(layer, settings, [work], "add")


def _multiply(
    layer: LayerRecord, quantizations: Quantizations, settings: CacheSettings
) -> LayerPlan:
    if mode_of(layer).is_float:
        return _host(layer, quantizations, settings)
    bits, zeros = (
        (values[0], values[1])
        for values in (
            [q.bits for q in quantizations],
            [int(LaneCodes.of(q).zero_point[0]) for q in quantizations],
        )
    )
    program = product_program(bits, zeros, requantize_rule(layer, 0), settings.geometry.array_rows)
    work = LaneWork(0, int(np.prod(layer.output_shape)), program)
    return _lane_plan(layer, settings, [work], "multiply")


def _with_shift(rule: RequantizeRule, shift: int) -> RequantizeRule:
    return RequantizeRule(
        rule.mode,
        rule.multiplier_bits,
        shift,
        rule.zero_point,
        rule.clamp,
        rule.code_bits,
        rule.signed,
    )


def _concat(layer: LayerRecord, quantizations: Quantizations, settings: CacheSettings) -> LayerPlan:
    if layer.requantize is not None:
        return _code_by_code(layer, quantizations, settings, "requantize")
    if layer.clamp == (layer.output.code_min, layer.output.code_max):
        return _move(layer, quantizations, settings)
    return _code_by_code(layer, quantizations, settings, "activation")


def _code_by_code(
    layer: LayerRecord, quantizations: Quantizations, settings: CacheSettings, phase: str
) -> LayerPlan:
    """Requantize the codes of each input, or clamp them where the layer has no such step."""
    if layer.requantize is not None and mode_of(layer).is_float:
        return _host(layer, quantizations, settings)
    work, n_rows = [], settings.geometry.array_rows
    for i, quantization in enumerate(quantizations):
        encoding = LaneCodes.of(quantization)
        if layer.requantize is None:
            bounds = (layer.clamp[0] + encoding.offset, layer.clamp[1] + encoding.offset)
            program = clamp_program(encoding.bits, bounds, n_rows)
        else:
            zero, rule = int(encoding.zero_point[0]), requantize_rule(layer, i)
            program = rescale_program(encoding.bits, zero, rule, n_rows)
        work.append(LaneWork(i, int(np.prod(layer.input_shapes[i])), program))
    return _lane_plan(layer, settings, work, phase)


def _activation(
    layer: LayerRecord, quantizations: Quantizations, settings: CacheSettings
) -> LayerPlan:
    if layer.table is not None:
        return _host(layer, quantizations, settings)
    return _code_by_code(layer, quantizations, settings, "activation")


ELEMENTWISE: Mapping[str, Callable[[LayerRecord, Quantizations, CacheSettings], LayerPlan]] = {
    "max_pool2d": _max_pool,
    "avg_pool2d": _avg_pool,
    "add": _add,
    "concat": _concat,
    "activation": _activation,
    "multiply": _multiply,
    "resize_bilinear": _host,
    **dict.fromkeys(
        ("constant", "dilate", "extend", "flatten", "pad", "permute", "reshape", "resize_nearest"),
        _move,
    ),
    "slice": _move,
}
"""What lays out each kind of layer without weights."""
