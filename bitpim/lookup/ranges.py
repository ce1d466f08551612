"""Intervals of words as prefixes, each of which is one ternary search.

An interval is cut into the fewest blocks of words that agree in their highest bits and have any
value below: the largest aligned block that fits, from the lower end on. There are at most
``2 * n_bits - 2`` of them, or one where n_bits is 1.

Source: range to prefix expansion of ternary memories; standard.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from bitpim.errors import ConfigError
from bitpim.lookup.lines import top_mask
from bitpim.lookup.words import CamWords
from bitpim_kernels.layout import unpack

__all__ = ["Prefixes", "expand", "need_ordered"]

Bits = npt.NDArray[np.bool_]
Indices = npt.NDArray[np.int64]
Packed = npt.NDArray[np.uint64]


@dataclass(frozen=True, slots=True)
class Prefixes:
    """The prefixes of several intervals, each interval's in ascending order.

    Shapes
    ------
    starts: (n_intervals,) where those of each begin
    """

    words: CamWords
    starts: Indices


def need_ordered(low: CamWords, high: CamWords) -> None:
    """Refuse intervals whose upper end is below the lower.

    Raises
    ------
    ConfigError
        The first such query.
    """
    above = np.zeros(len(low), np.bool_)  # low > high, as far as words have been looked at
    for word in range(low.bits.shape[1]):
        a, b = low.bits[:, word], high.bits[:, word]
        above = (a > b) | ((a == b) & above)
    if np.any(above):
        query = int(np.argmax(above))
        here = slice(query, query + 1)
        raise ConfigError(
            f"search range: query {query}: need low <= high, got {low[here].to_text()[0]} > "
            f"{high[here].to_text()[0]}; exchange them"
        )


def expand(low: CamWords, high: CamWords) -> Prefixes:
    """Return the prefixes of intervals, both ends within; low is at most high."""
    n_bits = low.n_bits
    mine, theirs = unpack(low.bits, n_bits) == 1, unpack(high.bits, n_bits) == 1
    chosen, n_free = _slots(mine, theirs, n_bits)
    query, slot = np.nonzero(chosen)
    free = n_free[query, slot]
    from_low = slot <= n_bits
    bits = np.where(from_low[:, None], low.bits[query], high.bits[query])
    is_step = (slot > 0) & (slot <= 2 * n_bits)
    above = np.array([top_mask(n_bits, n_bits - k) for k in range(n_bits + 1)])
    bits[is_step] ^= (above[:-1] ^ above[1:])[free[is_step]]
    care = above[free]
    starts = np.concatenate([[0], np.cumsum(chosen.sum(axis=1))[:-1]]).astype(np.int64)
    return Prefixes(CamWords(bits & care, care, n_bits), starts[: len(low)])


def _slots(low: Bits, high: Bits, n_bits: int) -> tuple[Bits, Indices]:
    """Return which of the prefixes that there may be there are, and how many bits each leaves free.

    Slot 0 is the block at the lower end; slots 1..n_bits climb from it, bit by bit; as many go down
    to the block at the upper end, the last slot. The ends first differ in bit `top`. Below it the
    lower side has a block wherever its bit is 0, and the upper side wherever its bit is 1.
    """
    place = np.arange(n_bits)
    top = np.where(low != high, place, -1).max(axis=1)[:, None]
    low_end = np.minimum(_n_trailing(~low), top)
    high_end = np.minimum(_n_trailing(high), top)
    is_whole = (low_end == top) & (high_end == top)
    rising = ~low & (place > low_end) & (place < top) & ~is_whole
    falling = high & (place > high_end) & (place < top) & ~is_whole
    always = np.ones((len(low), 1), np.bool_)
    chosen = np.hstack([always, rising, falling[:, ::-1], ~is_whole])
    places = np.broadcast_to(place, rising.shape)
    first = np.where(is_whole, top + 1, low_end)
    n_free = np.hstack([first, places, places[:, ::-1], high_end])
    return chosen, n_free.astype(np.int64)


def _n_trailing(ones: Bits) -> Indices:
    """Return how many bits from bit 0 on are one, (n, 1)."""
    n: Indices = np.logical_and.accumulate(ones, axis=1).sum(axis=1, dtype=np.int64)
    return n[:, None]
