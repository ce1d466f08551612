"""Signed weights multiplied in two's complement, so that no sum of a window is needed for them.

Offset by half their range, signed weights leave a zero point in the lanes: the sum of a window,
times that, is taken off. Filters that use the same entries share that sum; filters that leave out
channels of their own would each need one. In two's complement the last partial product is
subtracted instead: 2^n - x is added for it, so that sums stay unsigned, and hold a constant more.
"""

from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from bitpim import programs
from bitpim.programs.program import Field, Program
from bitpim.sram.filter_groups import FilterGroup, HeldWeights, LaneSums
from bitpim.sram.sparse_settings import SparseCacheSettings
from bitpim.sram.transposed import with_more_rows
from bitpim.sram.weighted_layer import WeightedLayer

__all__ = ["without_window_sums"]

Codes = npt.NDArray[Any]


def without_window_sums(
    layer: WeightedLayer, settings: SparseCacheSettings, group: FilterGroup
) -> FilterGroup:
    """Let a group multiply in two's complement where its settings say so and that leaves no zero.

    That is where all its filters are multiplied, and the zero point of their signed codes is 0.

    Raises
    ------
    MappingError
        The rows of an array do not hold the complement of an input.
    """
    offset = layer.weights.offset
    wanted = settings.sparsity.signed_weights == "subtract" and offset > 0
    multiplied = any(field.name == "product" for field in group.sums.tap.fields)
    if not (wanted and multiplied and (group.zeros == offset).all()):
        return group
    bits, n_products = layer.weights.bits, layer.inputs.bits + layer.weights.bits - 1

    def hold(codes: Codes) -> HeldWeights:
        negative = codes < offset
        surplus = negative.sum(axis=1, dtype=np.int64) << n_products
        return HeldWeights(codes ^ np.asarray(1 << bits - 1, codes.dtype), surplus)

    sums, extra_rows = group.sums, group.sums.input_bits
    costs = replace(
        sums.costs, multiply_accumulate=sums.costs.multiply_accumulate + sums.input_bits
    )
    rows = with_more_rows(layer.where, sums.rows, sums.input_bits, scratch_rows=extra_rows)
    tap = _signed_tap(sums, settings.geometry.array_rows)
    return replace(
        group,
        sums=replace(sums, tap=tap, rows=rows, costs=costs),
        zeros=np.zeros_like(group.zeros),
        hold=hold,
    )


def _signed_tap(sums: LaneSums, n_rows: int) -> Program:
    x, w, product = (sums.tap.field(name) for name in ("x", "w", "product"))
    complement = Field("complement", product.stop, len(x))
    total = Field("sum", complement.stop, sums.sum_bits)
    return programs.multiply_accumulate(
        x,
        w,
        product,
        total,
        w_signed=True,
        a_complement=complement,
        to_unsigned=True,
        n_rows=n_rows,
    )
