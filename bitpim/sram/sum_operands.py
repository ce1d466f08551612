"""What the programs from sums to codes take for an output, computed by exact arithmetic.

Tiles that make codes are recorded without those that made the sums: what lanes must have summed is
x (w - zero) of the filter, what its held weights add beyond, and the zero point that they leave
times the sum of the window.
"""

from typing import Any

import numpy as np
import numpy.typing as npt

from bitpim.sram.conv_layer import accumulators_of
from bitpim.sram.conv_plan import ConvPlan
from bitpim.sram.weighted_layer import WeightedLayer
from bitpim.sram.window_entries import WindowEntries

__all__ = ["SumOperands"]

Codes = npt.NDArray[Any]
Int64 = npt.NDArray[np.int64]


class SumOperands:
    """The operands of a layer's outputs; `codes` are its weights as lane codes, (M, n_entries)."""

    def __init__(self, layer: WeightedLayer, codes: Codes, plan: ConvPlan) -> None:
        self._layer = layer
        self._accumulators = accumulators_of(layer, codes, plan)
        self._centred = codes.astype(np.int64) - layer.zeros[:, None]
        self._summed = np.zeros(codes.shape, np.bool_)  # by the window sum of each filter
        self._surplus = np.zeros(codes.shape[0], np.int64)
        self._low_rows = np.full(codes.shape[0], layer.inputs.bits)
        for group in (part.group for part in plan.parts):
            self._summed[group.filters] = group.used(layer.shape.n_entries)
            self._surplus[group.filters] = group.hold(codes[group.filters]).surplus
            if group.window_rows is not None:
                self._low_rows[group.filters] = group.window_rows

    def of(self, windows: WindowEntries, filters: Int64, positions: Int64) -> dict[str, Int64]:
        """Return each operand by its name, (n,), of filters at positions of an image."""
        step = self._layer.record.requantize
        assert step is not None and step.multiplier is not None
        conv_groups = self._layer.conv_group_of(filters)
        entries = np.arange(self._layer.shape.n_entries)
        items = zip(filters.tolist(), positions.tolist(), conv_groups.tolist(), strict=True)
        sums, totals = np.zeros((2, filters.size), np.int64)
        for i, (f, position, conv_group) in enumerate(items):
            codes = windows.at(position, conv_group, entries)
            low = codes & ((1 << int(self._low_rows[f])) - 1)
            totals[i] = low[self._summed[f]].sum()
            sums[i] = codes @ self._centred[f]
        known = self._accumulators
        sums += self._surplus[filters] + known.zeros[filters] * totals
        multipliers = np.broadcast_to(step.multiplier.astype(np.int64), self._surplus.shape)
        return {
            "sum": sums >> known.shifts[filters],
            "total": known.offsets[filters],
            "multiplier": multipliers[filters],
            "window": totals,
            "weight_zero": known.zeros[filters],
        }
