"""The bounds of sums: the one rule by which machines of every fidelity refuse an overflow.

A sum that occurs fits the signed accumulator that its layer declares and the range in which its
requantize step is exact (FORMAT.md 5.1 to 5.4); one that does not is an AccumulatorError.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from bitpim.errors import AccumulatorError
from bitpim_traces.records import LayerRecord

__all__ = ["Bounds", "outside", "reach_of", "wrapped"]

Int64 = npt.NDArray[np.int64]
Integers = npt.NDArray[Any]  # int64, or Python integers where int64 may not hold them

_INT64_ENDS = -(1 << 63), (1 << 63) - 1
_MOST_PRODUCTS = 1 << 62  # sums of products stay below, so that a bias wraps int64 at most once


@dataclass(frozen=True, slots=True)
class Bounds:
    """What the sums of each entry may be, and what inputs can make of them.

    Shapes
    ------
    low, high: (n,) allowed; lowest, highest: (n,) within reach
    """

    low: Int64
    high: Int64
    lowest: Integers
    highest: Integers

    @property
    def can_be_left(self) -> bool:
        """Whether some input could make a sum that is not allowed."""
        return bool(np.any(self.lowest < self.low) or np.any(self.highest > self.high))

    @property
    def wrapped(self) -> tuple[Int64, Int64]:
        """The bounds of sums in int64, which wrap where they leave it.

        Reach is narrower than 2^64, so a sum that has wrapped lies beyond it.
        """
        if self.lowest.dtype != np.object_:
            return self.low, self.high
        wraps_up, wraps_down = self.highest > _INT64_ENDS[1], self.lowest < _INT64_ENDS[0]
        low = np.where(wraps_up, np.maximum(self.low, _clipped(self.lowest)), self.low)
        return low, np.where(wraps_down, np.minimum(self.high, _clipped(self.highest)), self.high)

    def less(self, constants: Integers) -> tuple[Int64, Int64]:
        """The bounds of sums to which constants, one an entry, are still to be added."""
        low, high = self.low.astype(object) - constants, self.high.astype(object) - constants
        return _clipped(low), _clipped(high)

    def unwrapped(self, entry: int, found: int) -> int:
        """The sum that int64 shows as `found`."""
        if found < self.lowest[entry]:
            return found + (1 << 64)
        return found - (1 << 64) if found > self.highest[entry] else found


def _clipped(values: Integers) -> Int64:
    clipped: Int64 = np.clip(values, *_INT64_ENDS).astype(np.int64)
    return clipped


def wrapped(values: Integers) -> Int64:
    """Return Python integers as int64 holds them: modulo 2^64."""
    held = np.array([int(value) & ((1 << 64) - 1) for value in values], np.uint64)
    return held.view(np.int64)


def reach_of(
    where: str, positive: Int64, negative: Int64, bias: Int64, ends: tuple[int, int]
) -> tuple[Integers, Integers]:
    """Return the least and the greatest accumulator of each filter, whatever the input.

    Parameters
    ----------
    positive, negative : sums of each filter's centred weights above and below 0
    ends : lowest and highest centred code, 0 among them

    Raises
    ------
    AccumulatorError
        The products alone could leave 62 bits.
    """
    above, below = positive.astype(object), negative.astype(object)
    lowest, highest = above * ends[0] + below * ends[1], above * ends[1] + below * ends[0]
    if max(-min(lowest, default=0), max(highest, default=0)) >= _MOST_PRODUCTS:
        raise AccumulatorError(
            f"{where}: need products that add up to less than 2^62, got sums within "
            f"{min(lowest)}..{max(highest)}; use narrower codes or smaller filters"
        )
    return lowest + bias, highest + bias


def outside(
    layer: LayerRecord, bounds: Bounds, found: int, channel: int | None = None
) -> AccumulatorError:
    """Return the error of a sum that is not allowed; without a channel it has no accumulator."""
    low, high = int(bounds.low.max()), int(bounds.high.min())
    where = f"layer {layer.index} {layer.name!r} ({layer.kind})"
    if channel is None:
        return AccumulatorError(
            f"{where}: need sums within {low}..{high}, where the requantize step is exact, got "
            f"{found}; use a smaller multiplier and shift"
        )
    bits = layer.accumulator_bits
    if -(1 << (bits - 1)) <= found < 1 << (bits - 1):
        remedy = "use a smaller multiplier and shift"
    else:
        remedy = "widen the accumulator or narrow the codes" if bits < 64 else "narrow the codes"
    return AccumulatorError(
        f"{where}: need sums within {low}..{high} ({bits} bits and the requantize step), got "
        f"{found} in channel {channel}; {remedy}"
    )
