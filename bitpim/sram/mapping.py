"""Layers of a trace laid out on Neural Cache, kind by kind."""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from bitpim import programs
from bitpim.digital.requantize import mode_of
from bitpim.digital.windows import window_counts
from bitpim.errors import AccumulatorError, ConfigError, MappingError, ProgramError
from bitpim.programs.program import Field, Program
from bitpim.sram.costs import step_costs
from bitpim.sram.lane_codes import Encoding
from bitpim.sram.lane_programs import (
    Rule,
    Term,
    WindowCorrection,
    average_program,
    clamp_program,
    epilogue_program,
    maximum_program,
    rescale_program,
    sum_program,
)
from bitpim.sram.plan import (
    CachePlan,
    ConvPlan,
    EpiloguePlan,
    LanePlan,
    LaneWork,
    LayerPlan,
    TablePlan,
)
from bitpim.sram.settings import CacheMappingSettings, CacheSettings
from bitpim.sram.transposed import ConvShape, allocate_rows, lay_lanes
from bitpim_traces.records import LayerRecord, Quantization, Trace

__all__ = ["plan_layer", "plan_network"]

Quantizations = tuple[Quantization, ...]


def plan_network(trace: Trace, settings: CacheSettings) -> CachePlan:
    """Lay out all layers.

    Raises
    ------
    MappingError
        A layer does not fit the arrays, or has codes wider than the machine's operands.
    AccumulatorError
        A sum in the lanes may exceed its rows.
    """
    return CachePlan(
        tuple(
            plan_layer(layer, trace.input_quantizations(layer), settings) for layer in trace.layers
        )
    )


def plan_layer(
    layer: LayerRecord, quantizations: Quantizations, settings: CacheSettings
) -> LayerPlan:
    """Lay out one layer."""
    where = f"layer {layer.index} {layer.name!r} ({layer.kind})"
    limit = settings.arithmetic.max_operand_bits
    weight = (layer.weight_quantization,) if layer.weight_quantization else ()
    for quantization in (*quantizations, *weight):
        if quantization.bits > limit:
            raise MappingError(
                f"{where}: codes of {quantization.bits} bits, the machine computes on at most "
                f"{limit} (arithmetic.max_operand_bits); quantize the trace to fewer bits"
            )
    try:
        plan = _PLANS[layer.kind](layer, quantizations, settings)
    except ProgramError as error:
        raise MappingError(
            f"{where}: its program does not fit the {settings.geometry.array_rows} rows of an "
            f"array: {error}"
        ) from error
    plan.occupancy(1)  # raises where one dot product needs more lanes than there are
    return plan


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
    if not settings.arithmetic.host_requantize:
        raise ConfigError(
            f"layer {layer.index} {layer.name!r} ({layer.kind}): the arrays cannot compute it and "
            "arithmetic.host_requantize is off; switch it on or use an integer requantize mode"
        )
    return _table_plan(layer, quantizations, settings, "host")


def _move(layer: LayerRecord, quantizations: Quantizations, settings: CacheSettings) -> TablePlan:
    return _table_plan(layer, quantizations, settings, "move")


def _lane_plan(
    layer: LayerRecord,
    settings: CacheSettings,
    input_rows: int,
    work: list[LaneWork],
    phase: str,
) -> LanePlan:
    bits = layer.output.bits
    return LanePlan(
        layer.index, layer.name, layer.kind, settings, input_rows, bits, tuple(work), phase
    )


def _rule(layer: LayerRecord, entry: int, *, multiplier_bits: int | None = None) -> Rule:
    """Yield the layer's requantize rule for one entry of its arrays.

    An average of a mode that divides has neither multiplier nor shift.
    """
    step = layer.requantize
    assert step is not None
    multiplier = _entry(step.multiplier, entry)
    return Rule(
        mode=mode_of(layer),
        multiplier_bits=multiplier_bits or max(multiplier.bit_length(), 1),
        shift=_entry(step.shift, entry),
        zero_point=int(layer.output.zero_point[0]),
        clamp=layer.clamp,
        code_bits=layer.output.bits,
        signed=layer.output.signed,
    )


def _entry(values: npt.NDArray[np.int32] | None, entry: int) -> int:
    return 0 if values is None else int(values[min(entry, values.size - 1)])


# convolution and linear


def _conv(layer: LayerRecord, quantizations: Quantizations, settings: CacheSettings) -> ConvPlan:
    where = f"layer {layer.index} {layer.name!r} ({layer.kind})"
    encoding = Encoding.of(quantizations[0])
    assert layer.weight_quantization is not None
    weight = Encoding.of(layer.weight_quantization)
    mapping, n_rows = settings.mapping, settings.geometry.array_rows
    shape = _conv_shape(layer)
    layout = lay_lanes(
        shape,
        split_limit_taps=mapping.filter_split_limit_taps,
        pack_limit_channels=mapping.filter_pack_limit_channels,
        pad_to_power_of_two=mapping.pad_channels_to_power_of_two,
    )
    sum_bits, levels, final_bits = _sum_widths(mapping, layout.n_levels)
    largest = encoding.code_max * weight.code_max
    n_products = shape.in_channels * shape.n_taps
    _need_bits(where, layout.taps_per_lane * largest, sum_bits, "mapping.partial_sum_bits")
    _need_bits(where, n_products * largest, final_bits, "mapping.reduction_fixed_bits")
    widths = {"input_bits": encoding.bits, "weight_bits": weight.bits, "sum_bits": sum_bits}
    taps = layout.taps_per_lane
    rows = allocate_rows(where, n_rows=n_rows, taps=taps, final_bits=final_bits, **widths)
    correction = _correction(weight, encoding, n_products)
    tap, window_tap = _taps(**widths, n_rows=n_rows)
    return ConvPlan(
        layer.index,
        layer.name,
        layer.kind,
        settings,
        shape,
        layout,
        rows,
        weight.bits,
        encoding.bits,
        layer.output.bits,
        sum_bits,
        final_bits,
        layer.accumulator_bits,
        step_costs(settings.timing, level_bits=levels, **widths),
        tap,
        window_tap,
        correction,
        _epilogue(layer, quantizations, settings, final_bits, correction),
    )


def _conv_shape(layer: LayerRecord) -> ConvShape:
    assert layer.weight is not None
    return ConvShape(
        in_channels=layer.weight.shape[1],
        n_taps=int(np.prod(layer.weight.shape[2:], dtype=np.int64)),
        out_channels=layer.weight.shape[0],
        groups=layer.geometry.groups if layer.geometry else 1,
        n_positions=int(np.prod(layer.output_shape[1:], dtype=np.int64)),
    )


def _sum_widths(mapping: CacheMappingSettings, n_levels: int) -> tuple[int, list[int], int]:
    """Yield the bits of a lane's sum, of the operands of each level, and of the outcome."""
    sum_bits = mapping.partial_sum_bits
    if mapping.reduction_bits == "grow":
        return sum_bits, [sum_bits + i for i in range(n_levels)], sum_bits + n_levels
    fixed = max(sum_bits, mapping.reduction_fixed_bits)
    return sum_bits, [fixed] * n_levels, fixed if n_levels else sum_bits


def _need_bits(where: str, largest: int, bits: int, key: str) -> None:
    if largest.bit_length() > bits:
        raise AccumulatorError(
            f"{where}: sums in the lanes reach {largest}, which needs {largest.bit_length()} bits, "
            f"{key} gives {bits}; raise it or use narrower codes"
        )


def _taps(input_bits: int, weight_bits: int, sum_bits: int, n_rows: int) -> tuple[Program, Program]:
    """Yield the programs of one tap: with a weight, and without for window sums."""
    x = Field("x", 0, input_bits)
    weight = Field("w", x.stop, weight_bits)
    product = Field("product", weight.stop, input_bits + weight_bits)
    total = Field("sum", product.stop, sum_bits)
    return (
        programs.multiply_accumulate(x, weight, product, total, n_rows=n_rows),
        programs.accumulate(x, total, n_rows=n_rows),
    )


def _correction(weight: Encoding, inputs: Encoding, n_products: int) -> WindowCorrection | None:
    zeros = {int(z) for z in weight.zero_point}
    if zeros == {0}:
        return None
    window_bits = (n_products * inputs.code_max).bit_length()
    zero = min(zeros)
    if len(zeros) == 1 and zero & (zero - 1) == 0:
        return WindowCorrection(window_bits, zero.bit_length() - 1, 0)
    return WindowCorrection(window_bits, None, max(zeros).bit_length())


def _epilogue(
    layer: LayerRecord,
    quantizations: Quantizations,
    settings: CacheSettings,
    final_bits: int,
    correction: WindowCorrection | None,
) -> tuple[EpiloguePlan, ...]:
    """Group filters by shift: lanes in lock step shift alike."""
    if mode_of(layer).is_float:
        _host(layer, quantizations, settings)
        return ()
    step = layer.requantize
    assert step is not None and step.multiplier is not None and step.shift is not None
    n_filters = layer.output_shape[0]
    shifts = np.broadcast_to(step.shift, (n_filters,))
    bits = max(int(step.multiplier.max()).bit_length(), 1)
    parts = []
    for shift in np.unique(shifts):
        filters = np.flatnonzero(shifts == shift).astype(np.int64)
        rule = _rule(layer, int(filters[0]), multiplier_bits=bits)
        program = epilogue_program(
            final_bits, layer.accumulator_bits, correction, rule, settings.geometry.array_rows
        )
        parts.append(EpiloguePlan(filters, program))
    return tuple(parts)


# elementwise layers


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
    return _lane_plan(layer, settings, n_taps * bits, [work], "pooling")


def _avg_pool(
    layer: LayerRecord, quantizations: Quantizations, settings: CacheSettings
) -> LayerPlan:
    mode = mode_of(layer)
    if mode.is_float:
        return _host(layer, quantizations, settings)
    assert layer.geometry is not None
    n_taps = layer.geometry.kernel[0] * layer.geometry.kernel[1]
    bits, encoding = quantizations[0].bits, Encoding.of(quantizations[0])
    counts = window_counts(layer.geometry, layer.input_shapes[0])
    work = []
    for count in np.unique(counts).tolist():
        # padding holds the zero point, so that it adds nothing; a mean is one of raw codes
        zero = int(encoding.zero_point[0])
        offset = n_taps * zero - (count * (zero - encoding.offset) if mode.divides else 0)
        program = average_program(
            bits,
            n_taps,
            offset,
            _rule(layer, count - 1),
            count,
            settings.geometry.array_rows,
        )
        n_outputs = int((counts == count).sum()) * layer.output_shape[0]
        work.append(LaneWork(count, n_outputs, program, n_taps))
    return _lane_plan(layer, settings, n_taps * bits, work, "pooling")


def _add(layer: LayerRecord, quantizations: Quantizations, settings: CacheSettings) -> LayerPlan:
    mode, step = mode_of(layer), layer.requantize
    if mode.is_float:
        return _host(layer, quantizations, settings)
    assert step is not None and step.multiplier is not None and step.shift is not None
    terms = []
    for i, quantization in enumerate(quantizations):
        zero = int(Encoding.of(quantization).zero_point[0])
        shift = int(step.shift[i]) if mode.rounds_terms else None
        terms.append(Term(quantization.bits, zero, int(step.multiplier[i]), shift))
    rule = _rule(layer, 0, multiplier_bits=1)
    if mode.rounds_terms:
        rule = _with_shift(rule, step.output_shift)
    program = sum_program(
        terms,
        step.left_shift if mode.rounds_terms else 0,
        step.output_multiplier if mode.rounds_terms else 1,
        rule,
        settings.geometry.array_rows,
    )
    rows = sum(q.bits for q in quantizations)
    work = LaneWork(0, int(np.prod(layer.output_shape)), program)
    return _lane_plan(layer, settings, rows, [work], "add")


def _with_shift(rule: Rule, shift: int) -> Rule:
    return Rule(
        rule.mode,
        rule.multiplier_bits,
        shift,
        rule.zero_point,
        rule.clamp,
        rule.code_bits,
        rule.signed,
    )


def _concat(layer: LayerRecord, quantizations: Quantizations, settings: CacheSettings) -> LayerPlan:
    if layer.requantize is None:
        return _move(layer, quantizations, settings)
    if mode_of(layer).is_float:
        return _host(layer, quantizations, settings)
    work = []
    for i, quantization in enumerate(quantizations):
        zero = int(Encoding.of(quantization).zero_point[0])
        program = rescale_program(
            quantization.bits, zero, _rule(layer, i), settings.geometry.array_rows
        )
        work.append(LaneWork(i, int(np.prod(layer.input_shapes[i])), program))
    rows = max(q.bits for q in quantizations)
    return _lane_plan(layer, settings, rows, work, "requantize")


def _activation(
    layer: LayerRecord, quantizations: Quantizations, settings: CacheSettings
) -> LayerPlan:
    if layer.table is not None:
        return _host(layer, quantizations, settings)
    encoding = Encoding.of(quantizations[0])
    bounds = (layer.clamp[0] + encoding.offset, layer.clamp[1] + encoding.offset)
    program = clamp_program(encoding.bits, bounds, settings.geometry.array_rows)
    work = LaneWork(0, int(np.prod(layer.output_shape)), program)
    return _lane_plan(layer, settings, encoding.bits, [work], "activation")


_PLANS: dict[str, Callable[[LayerRecord, Quantizations, CacheSettings], LayerPlan]] = {
    "conv2d": _conv,
    "linear": _conv,
    "max_pool2d": _max_pool,
    "avg_pool2d": _avg_pool,
    "add": _add,
    "concat": _concat,
    "flatten": _move,
    "pad": _move,
    "activation": _activation,
}
