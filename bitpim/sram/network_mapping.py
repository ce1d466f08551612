"""A network laid out on a cache, layer by layer."""

from contextlib import suppress

from bitpim.config import override, own_label, remedies_by_layer, settings_by_layer
from bitpim.digital.codes import need_affine
from bitpim.digital.requantize import need_kind
from bitpim.errors import ConfigError, MappingError, ProgramError
from bitpim.sram.conv_mapping import plan_conv
from bitpim.sram.elementwise_mapping import ELEMENTWISE, plan_digital
from bitpim.sram.plan import CachePlan, LayerPlan
from bitpim.sram.rules import ConvRule
from bitpim.sram.settings import CacheSettings
from bitpim_traces.records import LayerRecord, Quantization, Trace

__all__ = ["plan_layer", "plan_network"]

_WEIGHTED = ("conv2d", "linear")

_MOST_ROWS = 65_536  # that settings may give an array


def plan_network(trace: Trace, settings: CacheSettings, rule: ConvRule) -> CachePlan:
    """Lay out all layers, those with weights by a rule.

    Raises
    ------
    MappingError
        A layer does not fit the arrays, or has codes wider than the machine's operands.
    AccumulatorError
        A sum in the lanes may exceed its rows.
    ConfigError
        Settings by layer fit no layer, do not go together, or change nothing.
    """
    need_affine(trace)
    layers = []
    by_layer = settings_by_layer(settings, trace.layers, _WEIGHTED)
    for layer, its in zip(trace.layers, by_layer, strict=True):
        with remedies_by_layer(its):
            layers.append(plan_layer(layer, trace.input_quantizations(layer), its, rule))
    own = tuple(map(own_label, by_layer))
    return CachePlan(tuple(layers), own if any(own) else ())


def plan_layer(
    layer: LayerRecord,
    quantizations: tuple[Quantization, ...],
    settings: CacheSettings,
    rule: ConvRule,
) -> LayerPlan:
    """Lay out one layer by its settings."""
    where = f"layer {layer.index} {layer.name!r} ({layer.kind})"
    if layer.kind in _WEIGHTED and settings.layers.digital:
        try:
            return plan_digital(layer, quantizations, settings)
        except ConfigError as error:
            raise ConfigError(f"{where}: {error}") from error
    limit = settings.arithmetic.max_operand_bits
    weight = (layer.weight_quantization,) if layer.weight_quantization else ()
    for quantization in (*quantizations, *weight):
        if quantization.bits > limit:
            raise MappingError(
                f"{where}: need codes of at most {limit} bits, got {quantization.bits}; use "
                f"`--set arithmetic.max_operand_bits={quantization.bits}` or quantize the trace to "
                "fewer bits"
            )
    try:
        plan = _plan_kind(layer, quantizations, settings, rule)
    except ProgramError as error:
        rows = _rows_that_fit(layer, quantizations, settings, rule)
        advice = f"use `--set geometry.array_rows={rows}`" if rows else "use narrower codes"
        raise MappingError(
            f"{where}: its program does not fit the {settings.geometry.array_rows} rows of an "
            f"array ({error}); {advice}"
        ) from error
    except ConfigError as error:
        raise ConfigError(f"{where}: {error}") from error
    plan.occupancy(1)  # raises where one dot product needs more lanes than there are
    return plan


def _plan_kind(
    layer: LayerRecord,
    quantizations: tuple[Quantization, ...],
    settings: CacheSettings,
    rule: ConvRule,
) -> LayerPlan:
    need_kind(layer, (*_WEIGHTED, *ELEMENTWISE))
    if layer.kind in _WEIGHTED:
        return plan_conv(layer, quantizations[0], settings, rule)
    return ELEMENTWISE[layer.kind](layer, quantizations, settings)


def _rows_that_fit(
    layer: LayerRecord,
    quantizations: tuple[Quantization, ...],
    settings: CacheSettings,
    rule: ConvRule,
) -> int | None:
    """Return how many rows the programs of a layer fit, doubled until they do; None for none."""
    rows = 2 * settings.geometry.array_rows
    while rows <= _MOST_ROWS:
        taller: CacheSettings = override(settings, [f"geometry.array_rows={rows}"])
        with suppress(ProgramError):
            _plan_kind(layer, quantizations, taller, rule)
            return rows
        rows *= 2
    return None
