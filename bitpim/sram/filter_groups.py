"""Filters that lie in lanes alike: where, by which programs, at what cost, and what is left over.

A rule yields the filter groups of a layer; plan, convolution and counts follow from them alone.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from bitpim import programs
from bitpim.errors import AccumulatorError, LayoutError
from bitpim.programs.program import Field, Program
from bitpim.sram.costs import StepCosts, step_costs
from bitpim.sram.gather_lists import GatherLists
from bitpim.sram.settings import CacheMappingSettings
from bitpim.sram.transposed import LaneLayout, RowBudget, allocate_rows
from bitpim.sram.weighted_layer import WeightedLayer

__all__ = [
    "ExtraSteps",
    "FilterGroup",
    "HeldWeights",
    "LaneSums",
    "hold_codes",
    "multiply_group",
    "need_bits",
    "sum_widths",
]

Codes = npt.NDArray[Any]
Int64 = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class LaneSums:
    """How lanes make sums: where entries lie, what each tap adds, how wide the sums become.

    `tap` has the fields `x` (an entry of the window), `w` (what is held of a weight, where it is
    held at all) and, last of its rows, `sum`. Other rows are scratch: written before they are read.

    Raises
    ------
    LayoutError
        The sum, which grows upward, is not on the last rows of the tap.
    """

    layout: LaneLayout
    tap: Program
    final_bits: int  # after the reduction
    rows: RowBudget
    costs: StepCosts

    def __post_init__(self) -> None:
        last = max(field.stop for field in self.tap.fields)
        if self.tap.field("sum").stop < last:
            raise LayoutError(
                f"program {self.tap.name}: need the field sum on its last rows, to grow upward, "
                f"got rows above it up to {last - 1}; lay it last"
            )

    @property
    def input_bits(self) -> int:
        """Rows of an entry."""
        return self.tap.field("x").width

    @property
    def weight_bits(self) -> int:
        """Rows of what is held of a weight; 0 where nothing is."""
        return sum(field.width for field in self.tap.fields if field.name == "w")

    @property
    def sum_bits(self) -> int:
        """Rows of a lane's sum before the reduction."""
        return self.tap.field("sum").width


@dataclass(frozen=True, slots=True)
class HeldWeights:
    """What the rows `w` of a group hold, and what the products add that no weight asks for.

    Shapes
    ------
    codes
        unsigned (n_filters, n_entries); code 0 must add nothing where an owner leaves an entry out
    surplus
        (n_filters,): what a filter's sum holds beyond that of x * (weight + zero left in the codes)
    """

    codes: Codes
    surplus: Int64


def hold_codes(codes: Codes) -> HeldWeights:
    """Hold weights as their lane codes; products add nothing more."""
    return HeldWeights(codes, np.zeros(codes.shape[0], np.int64))


@dataclass(frozen=True, slots=True)
class ExtraSteps:
    """What a group does in every pass beyond streaming, multiplying and reducing.

    Added to a phase of this name, or a phase of its own: `cycles` a pass, `events` a pass and
    array that works in it.
    """

    phase: str
    cycles: int
    events: Mapping[str, int]


@dataclass(frozen=True, slots=True, eq=False)
class FilterGroup:
    """Filters of one layer that lie in lanes alike and run the same programs.

    Attributes
    ----------
    filters : (n,) their indices in the layer, ascending
    sums : how lanes make their dot products; entries without a tap are left out for all of them
    zeros : (n,) zero point that stays in what lanes hold, so that products are those of x and
        weight + zero; the window's sum, times this, is taken off again
    hold : what rows `w` hold for lane codes (n, n_entries)
    owners : (n_lane_sets, n_used) which filter of the group each lane serves where several share a
        set of lanes, -1 for none; None where each filter has lanes of its own
    masks : rows of an array that say which lanes a filter owns, where the filters of a set are
        reduced one after the other; 0 where one reduction makes all sums
    lists : the channels that each filter gathers; None where the layout's entries are the window's
    index_bits : bits stored to find what was left out or who owns what; loaded with the filters
    extra : steps of its own
    """

    filters: Int64
    sums: LaneSums
    zeros: Int64
    hold: Callable[[Codes], HeldWeights] = hold_codes
    owners: Int64 | None = None
    masks: int = 0
    lists: GatherLists | None = None
    index_bits: int = 0
    extra: tuple[ExtraSteps, ...] = ()

    @property
    def layout(self) -> LaneLayout:
        """Where the entries of a window lie."""
        return self.sums.layout

    @property
    def n_lane_sets(self) -> int:
        """Sets of lanes that hold the filters."""
        return self.filters.size if self.owners is None else self.owners.shape[0]

    @property
    def n_weights(self) -> int:
        """Weights the lanes hold."""
        if self.lists is not None:
            return self.lists.n_entries
        if self.owners is None:
            return self.filters.size * self.layout.entries.size
        return int(((self.layout.source >= 0).sum(axis=1) * (self.owners >= 0)).sum())

    def source_of(self, position: int) -> Int64:
        """Which entry of the window each tap of a filter's lanes takes, -1 for none."""
        if self.lists is not None:
            return self.lists.source(self.layout, position)
        if self.owners is None:
            return self.layout.source
        own = (self.owners == position).any(axis=0)
        return np.where(own[:, None], self.layout.source, -1)

    def used(self, n_entries: int) -> npt.NDArray[np.bool_]:
        """Which entries of the window each filter uses; (n, n_entries)."""
        if self.lists is not None:
            return self.lists.used()
        out = np.zeros((self.filters.size, n_entries), np.bool_)
        if self.owners is None:
            out[:, self.layout.entries] = True
            return out
        for position, row in enumerate(out):
            source = self.source_of(position)
            row[source[source >= 0]] = True
        return out


def multiply_group(
    layer: WeightedLayer, filters: Int64, layout: LaneLayout, *, weight_bits: int | None = None
) -> FilterGroup:
    """Lay filters out to be multiplied and accumulated, tap by tap, held as their lane codes.

    Raises
    ------
    MappingError
        The rows of an array do not hold them.
    AccumulatorError
        A sum may exceed its rows.
    ConfigError
        The cost mode knows no cycles for these widths.
    """
    settings = layer.settings
    bits = layer.weights.bits if weight_bits is None else weight_bits
    sum_bits, levels, final_bits = sum_widths(settings.mapping, layout.n_levels)
    largest = layer.inputs.code_max * ((1 << bits) - 1)
    taps = layout.taps_per_lane
    need_bits(layer.where, taps * largest, sum_bits, "mapping.partial_sum_bits")
    n_products = layout.entries.size
    need_bits(layer.where, n_products * largest, final_bits, "mapping.reduction_fixed_bits")
    widths = {"input_bits": layer.inputs.bits, "weight_bits": bits, "sum_bits": sum_bits}
    n_rows = settings.geometry.array_rows
    rows = allocate_rows(layer.where, n_rows=n_rows, taps=taps, final_bits=final_bits, **widths)
    tap = _multiply_tap(**widths, n_rows=n_rows)
    costs = step_costs(settings.timing, level_bits=levels, **widths)
    return FilterGroup(
        filters, LaneSums(layout, tap, final_bits, rows, costs), layer.zeros[filters]
    )


def _multiply_tap(input_bits: int, weight_bits: int, sum_bits: int, n_rows: int) -> Program:
    x = Field("x", 0, input_bits)
    weight = Field("w", x.stop, weight_bits)
    product = Field("product", weight.stop, input_bits + weight_bits)
    total = Field("sum", product.stop, sum_bits)
    return programs.multiply_accumulate(x, weight, product, total, n_rows=n_rows)


def sum_widths(mapping: CacheMappingSettings, n_levels: int) -> tuple[int, list[int], int]:
    """Yield the bits of a lane's sum, of the operands of each level, and of the outcome."""
    sum_bits = mapping.partial_sum_bits
    if mapping.reduction_bits == "grow":
        return sum_bits, [sum_bits + i for i in range(n_levels)], sum_bits + n_levels
    fixed = max(sum_bits, mapping.reduction_fixed_bits)
    return sum_bits, [fixed] * n_levels, fixed if n_levels else sum_bits


def need_bits(where: str, largest: int, bits: int, key: str) -> None:
    """Raise AccumulatorError where a sum may exceed the bits that a setting gives it."""
    if largest.bit_length() > bits:
        raise AccumulatorError(
            f"{where}: need rows for sums in the lanes of up to {largest}, got {bits} of {key}; "
            f"use `--set {key}={largest.bit_length()}` or narrower codes"
        )
