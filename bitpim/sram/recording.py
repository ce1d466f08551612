"""Layers of a plan made ready to be recorded, kind by kind."""

from collections.abc import Sequence

from bitpim.errors import ConfigError
from bitpim.sram.conv_plan import ConvPlan
from bitpim.sram.conv_recorder import ConvRecorder
from bitpim.sram.elementwise_plan import LanePlan
from bitpim.sram.lane_recorder import LaneRecorder
from bitpim.sram.plan import LayerPlan
from bitpim_traces.records import LayerRecord, Quantization

__all__ = ["layer_recorder"]


def layer_recorder(
    layer: LayerRecord, quantizations: Sequence[Quantization], plan: LayerPlan
) -> ConvRecorder | LaneRecorder:
    """Lay a layer out to be recorded.

    Raises
    ------
    ConfigError
        No array computes it.
    """
    if isinstance(plan, ConvPlan):
        return ConvRecorder(layer, quantizations[0], plan)
    if isinstance(plan, LanePlan):
        return LaneRecorder(layer, quantizations, plan)
    raise ConfigError(
        f"{plan.where}: no array computes it, its codes move or the CPU makes them; record a layer "
        "that arrays compute"
    )
