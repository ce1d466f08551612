"""Rules for convolutions that no machine has, to show what a rule may do."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from bitpim.programs.assembler import Assembler
from bitpim.programs.program import Field, Program
from bitpim.sram.filter_groups import (
    ExtraSteps,
    FilterGroup,
    HeldWeights,
    LaneSums,
    multiply_group,
)
from bitpim.sram.rules import OneGroup
from bitpim.sram.transposed import LaneLayout, lay_lanes
from bitpim.sram.weighted_layer import WeightedLayer
from bitpim_kernels import opcodes as op
from bitpim_traces.records import TensorRecord, Trace

__all__ = ["NarrowWeights", "TernaryTaps", "TwoGroups", "with_channels_pruned"]

Codes = npt.NDArray[Any]


def live(layer: WeightedLayer, filters: Codes) -> npt.NDArray[np.bool_]:
    """Tell which channels of which filters have a weight away from the zero point."""
    centred = layer.codes().astype(np.int64) - layer.zeros[:, None]
    kernels = centred[filters].reshape(filters.size, layer.shape.in_channels, -1)
    return np.asarray(kernels.any(axis=2))


def lay(layer: WeightedLayer, split: int, pack: int, channels: Any = None) -> LaneLayout:
    pad = layer.settings.mapping.pad_channels_to_power_of_two
    return lay_lanes(
        layer.shape,
        split_limit_taps=split,
        pack_limit_channels=pack,
        pad_to_power_of_two=pad,
        channels=channels,
    )


class TwoGroups:
    """Even filters split and packed otherwise; odd ones without the channels that none needs.

    The odd ones keep a list of their channels and gather their inputs by it, a row a cycle.
    """

    def filter_groups(self, layer: WeightedLayer) -> Sequence[FilterGroup]:
        filters = np.arange(layer.shape.out_channels)
        groups = [multiply_group(layer, filters[::2], lay(layer, 4, 3))]
        if filters.size > 1:
            kept = np.flatnonzero(live(layer, filters[1::2]).any(axis=0))
            layout = lay(layer, 9, 16, kept)
            rows = layout.taps_per_lane * layer.inputs.bits
            groups.append(
                replace(
                    multiply_group(layer, filters[1::2], layout),
                    index_bits=kept.size * (layer.shape.in_channels - 1).bit_length(),
                    extra=(ExtraSteps("input_stream", rows, {"gather_row": rows}),),
                )
            )
        return groups


class NarrowWeights:
    """Weights held above the least of their filter, in as few rows as that needs."""

    def filter_groups(self, layer: WeightedLayer) -> Sequence[FilterGroup]:
        codes = layer.codes().astype(np.int64)
        least = np.minimum(codes.min(axis=1), layer.zeros)
        bits = max(int((codes - least[:, None]).max()).bit_length(), 1)
        filters = np.arange(layer.shape.out_channels)
        group = multiply_group(layer, filters, lay(layer, 9, 16), weight_bits=bits)

        def hold(held: Codes) -> HeldWeights:
            return HeldWeights(held - least[:, None], np.zeros(filters.size, np.int64))

        return [replace(group, zeros=layer.zeros - least, hold=hold)]


class TernaryTaps:
    """Weights -1, 0, 1 as mask and sign: an input is added, or its complement and one."""

    def filter_groups(self, layer: WeightedLayer) -> Sequence[FilterGroup]:
        (group,) = OneGroup().filter_groups(layer)
        bits = layer.inputs.bits
        tap = ternary_tap(bits, group.sums.sum_bits, layer.settings.geometry.array_rows)
        costs = replace(group.sums.costs, multiply_accumulate=tap.n_steps)
        sums = LaneSums(group.layout, tap, group.sums.final_bits, group.sums.rows, costs)

        def hold(codes: Codes) -> HeldWeights:
            weights = codes.astype(np.int64) - layer.zeros[:, None]
            assert set(np.unique(weights)) <= {-1, 0, 1}
            negative = weights < 0
            surplus = negative.sum(axis=1) << bits  # 2^bits - x was added for -x
            return HeldWeights((weights != 0) + 2 * negative, surplus)

        return [replace(group, sums=sums, zeros=np.zeros_like(group.zeros), hold=hold)]


def ternary_tap(input_bits: int, sum_bits: int, n_rows: int) -> Program:
    """Add mask * (sign ? 2^bits - x : x) to the sum; the sign is set only where the mask is."""
    x = Field("x", 0, input_bits)
    w = Field("w", x.stop, 2)
    addend = Field("addend", w.stop, input_bits)
    total = Field("sum", addend.stop, sum_bits)
    b = Assembler("ternary", n_rows)
    b.reads(x, w)
    b.writes(addend)
    b.changes(total)
    for bit in range(input_bits):
        b.step(op.XOR, x[bit], w[1], to=addend[bit])
        b.step(op.AND, addend[bit], w[0], to=addend[bit])
    b.step(op.CARRY_RESET)
    b.step(op.ADD, w[1], w[1])  # the sign is the carry in
    for bit in range(sum_bits):
        if bit < input_bits:
            b.step(op.ADD, total[bit], addend[bit], to=total[bit])
        else:
            b.step(op.ADD_ROW, total[bit], to=total[bit])
    return b.build()


def with_channels_pruned(trace: Trace, seed: int, share: float) -> Trace:
    """Put the weights of some channels of some filters at the zero point, as pruning does."""
    rng = np.random.default_rng(seed)
    (layer,) = trace.layers
    assert layer.weight is not None and layer.weight_quantization is not None
    weight = layer.weight.read().copy()
    zeros = np.broadcast_to(layer.weight_quantization.zero_point, weight.shape[:1])
    of_all = rng.random(weight.shape[1]) < share / 2
    pruned = (rng.random(weight.shape[:2]) < share) | of_all
    for filter_index, channel in np.argwhere(pruned):
        weight[filter_index, channel] = zeros[filter_index]
    record = TensorRecord.of(weight, axes=layer.weight.axes, role="weight")
    return replace(trace, layers=(replace(layer, weight=record),))
