"""Filters laid in lanes by what their weights need at a tap: a product, a sum, or a count.

    multiply  any codes: added once for each bit of the weight
    ternary   -1, 0, 1: held as mask and sign; the input or its complement is added, or nothing
    binary    -1, 1: held as a sign; the input or its complement is added
    xnor      -1, 1, inputs too: held as a sign; signs that agree are counted

Lanes of the last three hold centred weights, so that no zero point is left in them.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from bitpim import programs
from bitpim.errors import ConfigError
from bitpim.programs.program import Field, Program
from bitpim.sram.costs import program_costs
from bitpim.sram.filter_groups import (
    FilterGroup,
    HeldWeights,
    LaneSums,
    multiply_group,
    need_bits,
    sum_widths,
)
from bitpim.sram.sparse_settings import SparseCacheSettings
from bitpim.sram.transposed import LaneLayout, allocate_rows
from bitpim.sram.weighted_layer import WeightedLayer

__all__ = ["group_by_precision"]

Codes = npt.NDArray[Any]
Int64 = npt.NDArray[np.int64]

_FEW_BITS = 2  # of codes that ternary weights have


def group_by_precision(
    layer: WeightedLayer, filters: Int64, layout: LaneLayout, *, gathers: bool = False
) -> FilterGroup:
    """Lay filters out by the layer's `precision.weights`.

    Where each filter gathers channels of its own, the entries of the layout are places, some of
    which a filter leaves empty: lanes need weights whose code 0 adds nothing, so none are binary.

    `auto` takes the least that codes of at most two bits allow: ternary where all weights of the
    layer are -1, 0 or 1; binary where these filters have no 0 among the entries of the layout; xnor
    where the layer's inputs are codes of -1 and 1, too. Wider codes are multiplied and not looked
    at, whatever they are.

    Raises
    ------
    ConfigError
        The weights or inputs are not what `precision.weights` says; or weights of -1, 0 and 1 in
        codes of two bits are to be multiplied.
    """
    return _GROUPS[_chosen(layer, filters, layout, gathers)](layer, filters, layout)


def _chosen(layer: WeightedLayer, filters: Int64, layout: LaneLayout, gathers: bool) -> str:
    assert isinstance(layer.settings, SparseCacheSettings)
    told = layer.settings.precision.weights
    if layer.weights.bits > _FEW_BITS and told in ("auto", "multiply"):
        return "multiply"
    weights = _centred(layer)
    ternary = bool(np.abs(weights).max(initial=0) <= 1)
    if told == "multiply":
        if ternary and layer.weights.bits == _FEW_BITS:
            raise _refusal(told, "weights beyond -1, 0 and 1", "codes of 2 bits within them")
        return told
    if not ternary:
        if told == "auto":
            return "multiply"
        got = f"weights from {weights.min()} to {weights.max()}"
        raise _refusal(told, f"weights of -1{', 0' * (told == 'ternary')} and 1", got)
    if told == "ternary":
        return told
    if gathers:
        if told == "auto":
            return "ternary"
        raise _refusal(told, "filters that keep all channels", "some that gather their own")
    used = weights[filters][:, layout.entries]
    if not used.all():
        if told == "auto":
            return "ternary"
        filter_index = int(filters[np.argwhere(used == 0)[0, 0]])
        raise _refusal(told, "weights of -1 and 1", f"a 0 in filter {filter_index}")
    if told == "binary" or (told == "auto" and not layer.inputs.binary):
        return "binary"
    if not layer.inputs.binary:
        raise _refusal(told, "inputs of -1 and 1", f"other codes of {layer.inputs.bits} bits")
    return "xnor"


def _centred(layer: WeightedLayer) -> Int64:
    centred: Int64 = layer.codes().astype(np.int64) - layer.zeros[:, None]
    return centred


def _refusal(told: str, need: str, got: str) -> ConfigError:
    return ConfigError(
        f"need {need} for precision.weights={told}, got {got}; use `--set precision.weights=auto`"
    )


# the groups


def _ternary(layer: WeightedLayer, filters: Int64, layout: LaneLayout) -> FilterGroup:
    bits = layer.inputs.bits
    tap = _Tap(
        programs.add_by_sign_and_mask,
        weight_bits=2,
        scratch_bits=bits,
        sum_bits=layer.settings.mapping.partial_sum_bits,
        largest=1 << bits,
        start=bits - 1,  # a sum that holds nothing yet is masked by AND, row by row, not by the tag
        logic_rows=2 * bits,
    )

    def hold(codes: Codes) -> HeldWeights:
        weights = codes.astype(np.int64) - layer.zeros[filters][:, None]
        negative = weights < 0
        return HeldWeights((weights != 0) + 2 * negative, negative.sum(axis=1) << bits)

    return FilterGroup(filters, _sums(layer, layout, tap), np.zeros_like(filters), hold)


def _binary(layer: WeightedLayer, filters: Int64, layout: LaneLayout) -> FilterGroup:
    bits = layer.inputs.bits
    tap = _Tap(
        programs.add_by_sign,
        weight_bits=1,
        scratch_bits=bits,
        sum_bits=layer.settings.mapping.partial_sum_bits,
        largest=1 << bits,
        logic_rows=bits,
    )

    def hold(codes: Codes) -> HeldWeights:
        negative = codes < layer.zeros[filters][:, None]
        return HeldWeights(negative.astype(np.uint8), negative.sum(axis=1) << bits)

    return FilterGroup(filters, _sums(layer, layout, tap), np.zeros_like(filters), hold)


def _agreeing(layer: WeightedLayer, filters: Int64, layout: LaneLayout) -> FilterGroup:
    """Count signs that agree, in as few rows as hold their number.

    Their dot product is twice that count less the inputs that are no padding: a constant, or the
    sum of a window's low rows.
    """
    geometry = layer.record.geometry
    padded = geometry is not None and any(geometry.padding)
    tap = _Tap(
        partial(programs.count_agreements, padded=padded),
        weight_bits=1,
        scratch_bits=1,
        sum_bits=layout.taps_per_lane.bit_length(),
        largest=1,
        logic_rows=1 + padded,
    )
    n_inputs = 0 if padded else layout.entries.size

    def hold(codes: Codes) -> HeldWeights:
        weights = codes.astype(np.int64) - layer.zeros[filters][:, None]
        zero = int(layer.inputs.zero_point[0])  # in the code of every input
        return HeldWeights((weights < 0).astype(np.uint8), n_inputs - zero * weights.sum(axis=1))

    zeros = np.full(filters.size, int(padded), np.int64)
    sums = _sums(layer, layout, tap)
    return FilterGroup(filters, sums, zeros, hold, window_rows=1, sum_shift=1)


_GROUPS: dict[str, Callable[[WeightedLayer, Int64, LaneLayout], FilterGroup]] = {
    "multiply": multiply_group,
    "ternary": _ternary,
    "binary": _binary,
    "xnor": _agreeing,
}


# their rows, sums and cycles


@dataclass(frozen=True, slots=True)
class _Tap:
    """What is done at a tap, on which rows, and the most that it adds to a sum."""

    program: Callable[..., Program]  # of an input, a held weight, scratch and a sum
    weight_bits: int
    scratch_bits: int
    sum_bits: int
    largest: int
    logic_rows: int  # written by logic before the sum
    start: int = 0  # cycles that the first of a lane takes on top


def _sums(layer: WeightedLayer, layout: LaneLayout, tap: _Tap) -> LaneSums:
    settings, n_rows = layer.settings, layer.settings.geometry.array_rows
    sum_bits, levels, final_bits = sum_widths(settings.mapping, layout.n_levels, tap.sum_bits)
    taps, n_products = layout.taps_per_lane, layout.entries.size
    need_bits(layer.where, taps * tap.largest, sum_bits, "mapping.partial_sum_bits")
    key = "mapping.reduction_fixed_bits"
    need_bits(layer.where, n_products * tap.largest, final_bits, key)
    rows = allocate_rows(
        layer.where,
        n_rows=n_rows,
        taps=taps,
        weight_bits=tap.weight_bits,
        input_bits=layer.inputs.bits,
        scratch_bits=tap.scratch_bits,
        sum_bits=sum_bits,
        final_bits=final_bits,
    )
    x = Field("x", 0, layer.inputs.bits)
    weight = Field("w", x.stop, tap.weight_bits)
    scratch = Field("scratch", weight.stop, tap.scratch_bits)
    total = Field("sum", scratch.stop, sum_bits)
    program = tap.program(x, weight, scratch, total, n_rows=n_rows)
    costs = program_costs(
        settings.timing,
        program,
        start=tap.start,
        logic_rows=tap.logic_rows,
        sum_bits=sum_bits,
        level_bits=levels,
    )
    return LaneSums(layout, program, final_bits, rows, costs, tap.largest)
