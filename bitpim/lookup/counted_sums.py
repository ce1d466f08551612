"""Sums of products in which equal pairs of codes are counted, as one array of RAPIDNN has them.

Weights and inputs are codes, so a neuron's sum has few different products: sum_i P[w_i, u_i] =
sum_wu N[w, u] P[w, u]. Counters find N, the digits of N say by how many places each product is
shifted, and what comes of that is added by a tree of 3:2 carry-save steps and one last addition, by
NOR gates. The filters of a layer see the same windows.

Source: RAPIDNN (HPCA 2020), weighted accumulation and in-memory addition; widths assumed.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from bitpim.errors import AccumulatorError, ArrayBoundsError, ConfigError, LayoutError
from bitpim.programs.nor_sums import csa_levels
from bitpim.threads import share_out
from bitpim_kernels.counted_sums import count_windows, sum_windows
from bitpim_kernels.digit_tile import ADDERS, LARGEST, N_SUMS, NEGATIVES, OPERANDS, READS, SATURATED
from bitpim_kernels.pair_tile import LANES, LONGEST
from bitpim_kernels.pairs import Groups, Rules, Tile, empty_lists, empty_tile

__all__ = ["DIGITS", "CountedSums", "Events"]

DIGITS: Final = ("binary", "signed")

Codes = npt.NDArray[Any]  # uint8 or uint16
Indices = npt.NDArray[np.int64]
Levels = npt.NDArray[np.uint8]

_WIDE: Final = 62  # bits of a counter that no layer fills
_MOST_CODES: Final = 1 << 16


@dataclass(frozen=True, slots=True)
class Events:
    """What happened in all neurons: every filter at every position.

    Attributes
    ----------
    table_reads : different pairs of codes that were met
    operands : digits that are not 0, and biases
    adders : 3:2 steps: for each neuron, its operands less two
    levels : levels of each neuron's tree, (n_positions, n_filters)
    largest : the largest count of a pair, before a counter saturates
    saturated : counters that saturated
    negatives : operands that were subtracted
    """

    table_reads: int
    operands: int
    adders: int
    levels: Levels
    largest: int
    saturated: int
    negatives: int


class CountedSums:
    """The neurons of a layer whose filters see the same windows.

    Parameters
    ----------
    weights : weight code of each tap
    products : product of each weight code and input code, fixed point
    bias : a sum's further operand, one even where it is 0; None for no such operand
    digits : ``binary``, or ``signed``: -1, 0 and 1, no two neighbours other than 0 (15 = 16 - 1).
        A subtracted operand is the inverted word; its 1 goes into the empty lowest place of a
        carry word, or is the carry in of the last addition
    counter_bits : width of a counter, which saturates; None for counters that never do
    sum_bits : width of the words of the tree, two's complement; a sum in between may wrap
    reach : lowest and highest sum of products, where inputs keep closer ends than products say

    Shapes
    ------
    weights: (n_filters, n_taps)
    products: (weight codes, input codes)
    bias: (n_filters,)

    Raises
    ------
    LayoutError
        An array has another shape, or holds no integers, or none at all.
    ArrayBoundsError
        A weight code lies outside the table.
    ConfigError
        `digits`, `counter_bits` or `sum_bits` is none that there is.
    AccumulatorError
        A sum could leave `sum_bits`: the products of each tap's weight, added up at both ends.
    """

    def __init__(
        self,
        weights: npt.ArrayLike,
        products: npt.ArrayLike,
        bias: npt.ArrayLike | None,
        *,
        digits: str = "binary",
        counter_bits: int | None = None,
        sum_bits: int = 64,
        reach: tuple[int, int] | None = None,
    ) -> None:
        codes = _integers("weights", weights, 2)
        table = _integers("products", products, 2)
        if table.shape[1] > _MOST_CODES:
            raise LayoutError(
                f"CountedSums: products: need {_MOST_CODES} input codes at most, got "
                f"{table.shape[1]}; take a smaller codebook"
            )
        _need_within("weight code", codes, table.shape[0])
        self.n_filters, self.n_taps = codes.shape
        biases = np.zeros(0, np.int64) if bias is None else _integers("bias", bias, 1)
        if bias is not None and biases.shape != (self.n_filters,):
            raise LayoutError(
                f"CountedSums: bias: need one a filter, {self.n_filters}, got {biases.shape[0]}"
            )
        if digits not in DIGITS:
            raise ConfigError(f"CountedSums: digits: need {' or '.join(DIGITS)}, got {digits!r}")
        _need_number("sum_bits", sum_bits, 2, 64)
        if counter_bits is not None:
            _need_number("counter_bits", counter_bits, 1, _WIDE)
        self.counter_bits = counter_bits
        _need_room(codes, table, biases, sum_bits, reach)
        self._groups = _grouped(codes, table, biases)
        width = _WIDE if counter_bits is None else counter_bits
        longest = LONGEST if table.shape[1] <= 256 else 0
        self._rules = Rules(digits == "signed", width, sum_bits, longest)

    @property
    def group_lengths(self) -> Indices:
        """For each filter the most taps that share a weight code, (n_filters,).

        A cycle counts one tap of every group, so these are the cycles of counting.
        """
        lengths = np.diff(self._groups.starts)
        return np.maximum.reduceat(lengths, self._groups.firsts[:-1])

    def run(self, codes: Codes, out: Indices) -> Events:
        """Count pairs, list operands, run every tree and last addition on words; write the sums.

        Shapes
        ------
        codes: (n_positions, n_taps) input codes, uint8 or uint16, C order
        out: (n_positions, n_filters) C order

        Raises
        ------
        LayoutError
            An array has another shape, type or order.
        ArrayBoundsError
            An input code lies outside the table.
        """
        codes = self._checked(codes)
        shape = (codes.shape[0], self.n_filters)
        if out.shape != shape or out.dtype != np.int64 or not out.flags.c_contiguous:
            raise LayoutError(
                f"CountedSums: out: need int64 {shape} in C order, got {out.dtype} {out.shape}"
            )
        levels_of = _levels_of(self.n_taps + 2)

        def work(here: slice, levels: Levels, sums: Indices) -> None:
            tile, lists = self._empty_tile(), empty_lists(levels_of)
            sum_windows(
                codes[here], self._groups, self._rules, tile, lists, out[here], levels, sums
            )

        return self._events(codes.shape[0], work)

    def count(self, codes: Codes) -> Events:
        """Return what `run` counts, without the sums.

        Shapes
        ------
        codes: as in `run`

        Raises
        ------
        ConfigError
            A counter may saturate: what is added then are no sums of products.
        LayoutError, ArrayBoundsError
            As in `run`.
        """
        longest = int(self.group_lengths.max())
        if self.counter_bits is not None and longest >> self.counter_bits:
            raise ConfigError(
                f"CountedSums: count: need counters that never saturate, got {self.counter_bits} "
                f"bits for {longest} taps of one weight code; take run, which adds what they "
                f"hold, or counter_bits {longest.bit_length()}"
            )
        codes = self._checked(codes)
        levels_of = _levels_of(self.n_taps + 2)

        def work(here: slice, levels: Levels, sums: Indices) -> None:
            tile, digits = self._empty_tile(), np.zeros((self.n_filters, LANES), np.int32)
            count_windows(
                codes[here], self._groups, self._rules, tile, levels_of, digits, levels, sums
            )

        return self._events(codes.shape[0], work)

    def _empty_tile(self) -> Tile:
        return empty_tile(self.n_taps, self._groups.products.shape[1])

    def _checked(self, codes: Codes) -> Codes:
        """Return codes as bytes, (n_positions, n_taps, bytes of a code)."""
        fits = codes.ndim == 2 and codes.shape[1] == self.n_taps and codes.flags.c_contiguous
        if not fits or codes.dtype not in (np.uint8, np.uint16):
            raise LayoutError(
                f"CountedSums: codes: need uint8 or uint16 (n_positions, {self.n_taps}) in C "
                f"order, got {codes.dtype} {codes.shape}"
            )
        n_codes = self._groups.products.shape[1]
        _need_within("input code", codes, n_codes)
        whole = codes.astype("u1" if n_codes <= 256 else "<u2", copy=False)
        # a copy, since Numba compiles once more for an array that may not be written
        whole = whole if whole.flags.writeable else whole.copy()
        return whole.view(np.uint8).reshape(*codes.shape, whole.itemsize)

    def _events(self, n_positions: int, work: Callable[[slice, Levels, Indices], None]) -> Events:
        """Share whole tiles of positions out over threads, and join what they count."""
        levels = np.zeros((n_positions, self.n_filters), np.uint8)
        shares = []

        def run_share(start: int, stop: int) -> None:
            here = slice(start * LANES, stop * LANES)
            sums = np.zeros(N_SUMS, np.int64)
            work(here, levels[here], sums)
            shares.append(sums)

        share_out(-(-n_positions // LANES), run_share)
        sums = np.stack(shares)
        total = sums.sum(axis=0).tolist()
        return Events(
            total[READS],
            total[OPERANDS],
            total[ADDERS],
            levels,
            int(sums[:, LARGEST].max()),
            total[SATURATED],
            total[NEGATIVES],
        )


def _integers(what: str, given: npt.ArrayLike, n_axes: int) -> Indices:
    """Return integers as int64."""
    array = np.asarray(given)
    if array.ndim != n_axes or array.size == 0 or array.dtype.kind not in "iu":
        axes = {1: "1 axis", 2: "2 axes"}[n_axes]
        raise LayoutError(
            f"CountedSums: {what}: need integers on {axes}, at least one, got {array.dtype} "
            f"{array.shape}"
        )
    if array.dtype == np.uint64 and int(array.max()) >> 63:
        raise LayoutError(
            f"CountedSums: {what}: need int64, got {int(array.max())}; take fewer bits"
        )
    return np.ascontiguousarray(array, np.int64)


def _need_within(what: str, codes: npt.NDArray[Any], n_codes: int) -> None:
    """Refuse codes that have no row or column in the table."""
    if codes.size == 0:
        return
    for found in (int(codes.min()), int(codes.max())):
        if not 0 <= found < n_codes:
            raise ArrayBoundsError(
                f"CountedSums: {what}: need 0..{n_codes - 1}, what products has, got {found}; "
                "encode by the codebook that the table is made of"
            )


def _need_number(what: str, value: object, low: int, high: int) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
        raise ConfigError(f"CountedSums: {what}: need {low}..{high}, got {value!r}")


def _need_room(
    codes: Indices, table: Indices, biases: Indices, sum_bits: int, reach: tuple[int, int] | None
) -> None:
    """Prove that no filter's sum leaves `sum_bits`, whatever the inputs."""
    lows, highs = (
        np.array([min(0, n) for n in table.min(1).tolist()], object),
        np.array([max(0, n) for n in table.max(1).tolist()], object),
    )
    for f, taps in enumerate(codes):
        times = np.bincount(taps, minlength=len(lows)).astype(object)
        bias = int(biases[f]) if biases.size else 0
        low, high = reach or (int(times @ lows), int(times @ highs))
        low, high = low + bias, high + bias
        needed = 1 + max(end.bit_length() for end in (max(high, 0), ~min(low, 0)))
        if needed > sum_bits:
            remedy = (
                f"take sum_bits {needed}"
                if needed <= 64
                else "take products of fewer bits; no width up to 64 has room"
            )
            raise AccumulatorError(
                f"CountedSums: filter {f}: need sums of {needed} bits, from {low} to {high}, got "
                f"sum_bits {sum_bits}; {remedy}"
            )


def _grouped(codes: Indices, table: Indices, biases: Indices) -> Groups:
    """Return the taps of every filter by weight code: short groups first, which branch alike."""
    taps, starts, weights, firsts = [], [], [], [0]
    for f, mine in enumerate(codes):
        length = np.bincount(mine)[mine]
        order = np.lexsort((mine, length))
        found = mine[order]
        begins = np.flatnonzero(np.concatenate(([True], found[1:] != found[:-1])))
        taps.append(order)
        starts.append(f * codes.shape[1] + begins)
        weights.append(found[begins])
        firsts.append(firsts[-1] + len(begins))
    return Groups(
        np.concatenate(taps).astype(np.int32),
        np.array(firsts, np.int64),
        np.concatenate([*starts, [codes.size]]).astype(np.int64),
        np.concatenate(weights),
        table.view(np.uint64),
        biases.view(np.uint64),
    )


@lru_cache(maxsize=64)
def _levels_of(n: int) -> Levels:
    """Return the levels of trees of 0 .. n - 1 operands."""
    return np.array([csa_levels(k) for k in range(n)], np.uint8)
