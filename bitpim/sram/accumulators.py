"""The exact accumulators behind the sums of lanes, where a program cannot take them further."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from bitpim.digital.requantize import RequantizeSteps, raise_if_outside
from bitpim_traces.records import LayerRecord

__all__ = ["Accumulators"]

Codes = npt.NDArray[Any]
Int64 = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Accumulators:
    """How a layer's sums are corrected and, on the CPU, requantized.

    Attributes
    ----------
    offsets : (M,) added to the sum of a filter
    shifts : (M,) places by which its sum is shifted before
    zeros : (M,) times the sum of the filter's window, taken off
    """

    layer: LayerRecord
    steps: RequantizeSteps
    offsets: Int64
    zeros: Int64
    shifts: Int64

    def of(self, sums: Codes, windows: Codes | None, filters: Int64) -> Int64:
        """Correct the sums of filters on the first axis; `filters` names them.

        Raises
        ------
        AccumulatorError
            An accumulator leaves its bounds.
        """
        shifts, offsets = self.shifts[filters][:, None], self.offsets[filters][:, None]
        out: Int64 = (sums.astype(np.int64) << shifts) + offsets
        if windows is not None:
            out -= self.zeros[filters][:, None] * windows
        steps = self.steps.kernel_steps
        low, high = steps.low[filters][:, None], steps.high[filters][:, None]
        for row, lane in np.argwhere((out < low) | (out > high))[:1]:
            raise_if_outside(self.layer, self.steps, np.array([1, filters[row], out[row, lane]]))
        return out

    @np.errstate(over="ignore")  # infinities saturate
    def host_codes(self, totals: Int64, filters: Int64) -> Int64:
        """Requantize by float32 scales, half to even, as the CPU does."""
        steps = self.steps.kernel_steps
        scaled = totals.astype(np.float32) * steps.scale[filters][:, None]
        low, high = steps.clamp_low - steps.zero_point, steps.clamp_high - steps.zero_point
        codes: Int64 = np.clip(np.rint(scaled), low, high).astype(np.int64)
        return codes + steps.zero_point
