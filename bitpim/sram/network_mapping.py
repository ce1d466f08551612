"""A network laid out on a cache, layer by layer."""

from bitpim.errors import MappingError, ProgramError
from bitpim.sram.conv_mapping import plan_conv
from bitpim.sram.elementwise_mapping import ELEMENTWISE
from bitpim.sram.plan import CachePlan, LayerPlan
from bitpim.sram.rules import ConvRule
from bitpim.sram.settings import CacheSettings
from bitpim_traces.records import LayerRecord, Quantization, Trace

__all__ = ["plan_layer", "plan_network"]


def plan_network(trace: Trace, settings: CacheSettings, rule: ConvRule) -> CachePlan:
    """Lay out all layers, those with weights by a rule.

    Raises
    ------
    MappingError
        A layer does not fit the arrays, or has codes wider than the machine's operands.
    AccumulatorError
        A sum in the lanes may exceed its rows.
    """
    return CachePlan(
        tuple(
            plan_layer(layer, trace.input_quantizations(layer), settings, rule)
            for layer in trace.layers
        )
    )


def plan_layer(
    layer: LayerRecord,
    quantizations: tuple[Quantization, ...],
    settings: CacheSettings,
    rule: ConvRule,
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
        plan: LayerPlan
        if layer.weight is not None:
            plan = plan_conv(layer, quantizations[0], settings, rule)
        else:
            plan = ELEMENTWISE[layer.kind](layer, quantizations, settings)
    except ProgramError as error:
        raise MappingError(
            f"{where}: its program does not fit the {settings.geometry.array_rows} rows of an "
            f"array: {error}"
        ) from error
    plan.occupancy(1)  # raises where one dot product needs more lanes than there are
    return plan
