"""Digits of the counts of short groups, added while their codes are met, in vector registers.

The n-th time that a code is met in its group, its count goes from n - 1 to n, and has so many
digits more, or fewer. So no count is ever stored, and no code looked for again.

`add_group_digits` is plain Python, and below it is what a compiled kernel does in its place.
"""

from typing import Any

import numpy as np
import numpy.typing as npt
from numba import types
from numba.core import cgutils

from bitpim_kernels.digit_tile import LARGEST, NEGATIVES, READS, Events, ones_of
from bitpim_kernels.ir import I64, Lanes, address, constant, instead_of
from bitpim_kernels.pair_tile import LANES, each_row, row_address

__all__ = ["NUMBERED", "add_group_digits"]

NUMBERED = 170
"""Taps whose digits are added together at most: a count and its half fit a byte."""

Bytes = npt.NDArray[np.uint8]
Digits = npt.NDArray[np.int32]
Ints = npt.NDArray[np.int64]
Taps = npt.NDArray[np.int32]


def add_group_digits(
    tile: Bytes,
    taps: Taps,
    starts: Ints,
    first: int,
    stop: int,
    signed: bool,
    lit: Bytes,
    digits: Digits,
    sums: Ints,
) -> None:
    """Add the digits that are not 0 of the counts of groups ``first : stop``.

    They have NUMBERED taps at most in all.

    Shapes
    ------
    tile: (n_taps, LANES) codes
    taps: flat
    starts: (n_groups + 1,) where each group starts in `taps`
    lit: (LANES,) 255 where a lane holds a position, else 0
    digits: (LANES,) digits of each lane
    sums: (N_SUMS,) of which READS, NEGATIVES and LARGEST grow: counts that are not 0, digits of -1
        in all lanes, the largest count
    """
    for group in range(first, stop):
        codes = tile[taps[starts[group] : starts[group + 1]]][:, lit != 0].astype(np.int64)
        for i, code in enumerate(codes):
            n_before = (codes[:i] == code).sum(axis=0)
            now, then = (_digits(n_before + k, signed) for k in (1, 0))
            digits[lit != 0] += (now[0] - then[0]).astype(np.int32)
            sums[NEGATIVES] += int((now[1] - then[1]).sum())
            sums[READS] += np.count_nonzero(n_before == 0)
            sums[LARGEST] = max(sums[LARGEST], n_before.max(initial=-1) + 1)


def _digits(n_met: Ints, signed: bool) -> tuple[Ints, Ints]:
    """Return how many digits of some counts are not 0, and how many are -1."""
    half = n_met >> 1 if signed else np.zeros_like(n_met)
    ones = (n_met + half) ^ half
    return np.bitwise_count(ones).astype(np.int64), np.bitwise_count(ones & half).astype(np.int64)


_LONG = types.int64
_REGISTER = 32  # lanes of a register of bytes
_BLOCK = 4  # taps that are compared with others at once


class _Groups:
    """Where the taps of groups lie."""

    def __init__(self, context: Any, b: Any, kinds: Any, args: Any) -> None:
        """Take tile, taps, starts, first group, the end of groups."""
        self.b = b
        self.tile = address(context, b, kinds[0], args[0], 0, 0)
        self.taps = address(context, b, kinds[1], args[1], 0)
        self._starts = address(context, b, kinds[2], args[2], 0)
        self.first, self.stop = args[3], args[4]

    def start(self, group: Any) -> Any:
        return self.b.load(self.b.gep(self._starts, [group]))


class _Half:
    """A register of lanes, and what is added in them."""

    def __init__(self, groups: _Groups, lane: int, is_signed: bool) -> None:
        b = groups.b
        self.b, self.groups, self.is_signed = b, groups, is_signed
        self.lanes = Lanes(b, _REGISTER, 8)
        self.events = Events(b, self.lanes)
        self._tile = b.gep(groups.tile, [constant(lane)])

    def add(self) -> None:
        """Emit a loop over groups: their first taps, then the others."""
        b, groups = self.b, self.groups
        with each_row(b, groups.first, groups.stop) as (group, _):
            start = groups.start(group)
            n = b.sub(groups.start(b.add(group, constant(1))), start)
            places = b.gep(groups.taps, [start])
            with b.if_else(b.icmp_signed("<", n, constant(_BLOCK))) as (short, long):
                with short:
                    self._left(places, constant(0), n, first=True)
                with long:
                    self._block(places, constant(0), _BLOCK, first=True)
                    whole, step = b.and_(n, constant(-_BLOCK)), constant(_BLOCK)
                    with cgutils.for_range_slice(b, step, whole, step, I64) as (i, _):
                        self._block(places, i, _BLOCK, first=False)
                    left = b.and_(n, constant(_BLOCK - 1))
                    self._left(places, whole, left, first=False)

    def _left(self, places: Any, start: Any, n: Any, *, first: bool) -> None:
        for k in range(1, _BLOCK):
            with self.b.if_then(self.b.icmp_signed("==", n, constant(k))):
                self._block(places, start, k, first=first)

    def _block(self, places: Any, start: Any, n: int, *, first: bool) -> None:
        """Emit taps side by side, whose codes stay in registers."""
        b, events = self.b, self.events
        mine = [self._code(places, b.add(start, constant(k))) for k in range(n)]
        before = [self.lanes.variable() for _ in range(n)]
        for k, variable in enumerate(before):
            b.store(self.lanes.all(0), variable)
            for other in mine[:k]:
                events.take(variable, self._alike(mine[k], other))
        if not first:
            with each_row(b, constant(0), start) as (j, _):
                other = self._code(places, j)
                for code, variable in zip(mine, before, strict=True):
                    events.take(variable, self._alike(code, other))
        for k, variable in enumerate(before):
            n_before = b.load(variable)
            if first:
                self._add_few(n_before, k)
            else:
                self._add_many(n_before)
            events.take(events.reads, self._alike(n_before, self.lanes.all(0)))
            events.enlarge(b.add(n_before, self.lanes.all(1)))

    def _add_few(self, n_before: Any, most: int) -> None:
        """Emit the digits of a code met 0 .. most <= 3 times before.

        Of 1, 2, 3, 4 both forms have 1, 1, 2, 1 digits, of which one of 3 = 4 - 1 is negative.
        """
        events = self.events
        was = [self._alike(n_before, self.lanes.all(n)) for n in range(most + 1)]
        events.take(events.digits, was[0])
        if most > 1:
            events.take(events.digits, was[2])
            if self.is_signed:
                events.take(events.negative, was[2])
        if most > 2:
            events.add(events.digits, was[3])
            if self.is_signed:
                events.add(events.negative, was[3])

    def _add_many(self, n_before: Any) -> None:
        b, events, one = self.b, self.events, self.lanes.all(1)
        n_met = b.add(n_before, one)
        if not self.is_signed:  # the ones at the end of n - 1 are 0 in n, and the 0 before them 1
            events.add(events.digits, one)
            events.take(events.digits, ones_of(b, b.and_(n_before, b.not_(n_met))))
            return
        for count, change in ((n_met, events.add), (n_before, events.take)):
            half = b.lshr(count, one)
            ones = b.xor(b.add(count, half), half)
            change(events.digits, ones_of(b, ones))
            change(events.negative, ones_of(b, b.and_(ones, half)))

    def _code(self, places: Any, i: Any) -> Any:
        tap = self.b.sext(self.b.load(self.b.gep(places, [i])), I64)
        return self.lanes.load(row_address(self.b, self._tile, tap))

    def _alike(self, x: Any, y: Any) -> Any:
        """Emit all ones where two bytes are equal, else 0."""
        return self.b.sext(self.b.icmp_unsigned("==", x, y), self.lanes.vector)


@instead_of(add_group_digits)
def _add_group_digits(
    tile: Any,
    taps: Any,
    starts: Any,
    first: Any,
    stop: Any,
    signed: Any,
    lit: Any,
    digits: Any,
    sums: Any,
) -> Any:
    kinds = (tile, taps, starts)

    def emit(context: Any, b: Any, *args: Any) -> None:
        groups = _Groups(context, b, kinds, args[:5])
        with b.if_else(args[5]) as branches:
            for branch, is_signed in zip(branches, (True, False), strict=True):
                with branch:
                    for lane in range(0, LANES, _REGISTER):
                        half = _Half(groups, lane, is_signed)
                        half.add()
                        valid = half.lanes.load(address(context, b, lit, args[6], lane))
                        half.events.finish(context, (digits, sums), args[7], args[8], lane, valid)

    return types.void(*kinds, _LONG, _LONG, types.boolean, lit, digits, sums), emit
