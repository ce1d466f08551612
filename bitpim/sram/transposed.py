"""A convolution laid out in transposed SRAM: one lane a channel, bits down the column.

A lane holds some taps (weights) of one output filter; the lanes of one convolution (one filter
at one output position) are summed by a tree. Linear layers are convolutions of a 1-pixel image.
Source: Neural Cache, ISCA 2018; splitting, packing and power-of-two padding as preset keys.
"""

from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt

from bitpim.errors import LayoutError, MappingError

__all__ = [
    "ConvShape",
    "LaneLayout",
    "RowBudget",
    "allocate_rows",
    "lay_lanes",
    "next_power_of_two",
    "with_more_rows",
]


def next_power_of_two(n: int) -> int:
    """Smallest power of two that is at least n (1 for n <= 1)."""
    return 1 << max(n - 1, 0).bit_length()


@dataclass(frozen=True, slots=True)
class ConvShape:
    """Sizes of a convolution, per sample."""

    in_channels: int  # per conv group
    n_taps: int  # R * S
    out_channels: int  # all conv groups
    groups: int
    n_positions: int  # E * F

    @property
    def n_entries(self) -> int:
        """Entries of a window, each met by one weight of a filter: channels times taps."""
        return self.in_channels * self.n_taps

    @property
    def n_convolutions(self) -> int:
        """Filters times output positions: how many dot products a sample needs."""
        return self.out_channels * self.n_positions

    @property
    def n_weights(self) -> int:
        """Weights of all filters."""
        return self.out_channels * self.n_entries


@dataclass(frozen=True, slots=True)
class LaneLayout:
    """Which entry of its window every tap of every lane of one convolution multiplies.

    `source[lane, tap]` is channel * R*S + position within the window, or -1 where the tap is
    empty. `n_lanes` is what a convolution occupies; the last `n_lanes - n_used` are idle. `entries`
    are those of the window that have a tap, ascending. `across_arrays` lets a convolution begin in
    one array and end in the next. Lanes hold one sum, or where `segment_lanes` is given several
    side by side, of at most so many lanes each, which one tree makes.

    Raises
    ------
    LayoutError
        An entry lies in two taps, or so many lanes are idle that a reduction would begin with two
        of them.
    """

    source: npt.NDArray[np.int64]
    n_lanes: int
    across_arrays: bool = False
    segment_lanes: int | None = None
    entries: npt.NDArray[np.int64] = field(init=False)

    def __post_init__(self) -> None:
        held = self.source[self.source >= 0]
        object.__setattr__(self, "entries", np.unique(held))  # once: counts ask often
        if self.entries.size < held.size:
            raise LayoutError("lanes: need each entry of a window in one tap, got some in several")
        if not 1 << self.n_levels < 2 * self.n_used <= 2 * self.n_lanes:
            raise LayoutError(
                f"lanes: need {self.n_used} lanes with taps to be more than half of the tree over "
                f"{self.n_lanes} lanes; lay them on {next_power_of_two(self.n_used)}"
            )

    @property
    def n_used(self) -> int:
        """Lanes that hold at least one weight."""
        return int(self.source.shape[0])

    @property
    def taps_per_lane(self) -> int:
        """Weights a lane holds."""
        return int(self.source.shape[1])

    @property
    def n_levels(self) -> int:
        """Steps of the reduction tree."""
        n_joined = self.n_lanes if self.segment_lanes is None else self.segment_lanes
        return (n_joined - 1).bit_length()


def lay_lanes(
    shape: ConvShape,
    *,
    split_limit_taps: int,
    pack_limit_channels: int,
    pad_to_power_of_two: bool,
    channels: npt.NDArray[np.int64] | None = None,
    across_arrays: bool = False,
) -> LaneLayout:
    """Spread the weights of one filter over lanes, of all channels or of some.

    Filters of more than `split_limit_taps` taps are split over several lanes a channel; 1 x 1
    filters pack up to `pack_limit_channels` channels into a lane. Without any channel one lane
    remains, and it is empty.
    """
    channels = np.arange(shape.in_channels) if channels is None else channels
    C, taps = channels.size, shape.n_taps
    if taps == 1:
        per_lane = max(min(pack_limit_channels, C), 1)
        n_used = max(-(-C // per_lane), 1)
        source = np.full(n_used * per_lane, -1, np.int64)
        source[:C] = channels
    else:
        parts = -(-taps // split_limit_taps)
        per_lane = -(-taps // parts)
        n_used = max(C * parts, 1)
        by_channel = np.full((C, parts * per_lane), -1, np.int64)
        by_channel[:, :taps] = channels[:, None] * taps + np.arange(taps)
        source = by_channel.ravel() if C else np.full(per_lane, -1, np.int64)
    lanes = source.reshape(n_used, per_lane)
    n_lanes = next_power_of_two(n_used) if pad_to_power_of_two else n_used
    return LaneLayout(lanes, n_lanes, across_arrays)


@dataclass(frozen=True, slots=True)
class RowBudget:
    """Rows of one array by use; `input_taps` inputs are resident at a time."""

    filter_rows: int
    input_rows: int
    product_rows: int
    partial_sum_rows: int
    moved_rows: int
    n_rows: int
    input_taps: int
    owner_rows: int = 0

    @property
    def used(self) -> int:
        """Rows in use, of `n_rows`."""
        return (
            self.filter_rows
            + self.owner_rows
            + self.input_rows
            + self.product_rows
            + self.partial_sum_rows
            + self.moved_rows
        )


def allocate_rows(
    name: str,
    *,
    n_rows: int,
    taps: int,
    weight_bits: int,
    input_bits: int,
    sum_bits: int,
    final_bits: int,
) -> RowBudget:
    """Divide the rows of an array; raises MappingError where one input no longer fits.

    The partial sum is `sum_bits` wide while products are added and grows to `final_bits` in the
    reduction; the product rows then hold the partner's moved sum together with the inputs.
    """
    filter_rows = taps * weight_bits
    product_rows = weight_bits + input_bits
    fixed = filter_rows + product_rows + final_bits
    free = n_rows - fixed
    input_taps = min(taps, max(free, 0) // input_bits)
    # While lanes are reduced the inputs are spent, so the moved sum may lie over them.
    moved_rows = max(0, final_bits - input_taps * input_bits - product_rows)
    budget = RowBudget(
        filter_rows,
        input_taps * input_bits,
        product_rows,
        final_bits,
        moved_rows,
        n_rows,
        input_taps,
    )
    if input_taps < 1 or budget.used > n_rows or sum_bits > final_bits:
        need = max(budget.used, fixed + input_bits)
        raise MappingError(
            f"{name}: need {need} rows ({filter_rows} filter, {input_bits} for one input, "
            f"{product_rows} product, {final_bits} partial sum), got an array of {n_rows}; use "
            f"`--set geometry.array_rows={next_power_of_two(need)}`, or lower "
            "mapping.filter_split_limit_taps or mapping.filter_pack_limit_channels"
        )
    return budget


def with_more_rows(
    name: str, rows: RowBudget, input_bits: int, *, scratch_rows: int = 0, owner_rows: int = 0
) -> RowBudget:
    """Make room for more scratch beside the product, and for rows that say which lanes owners have.

    Where there are owners, what each of them owns is copied before it is reduced. Copy and moved
    sum lie over inputs and product, which are spent then. Fewer inputs are resident where rows are
    short.

    Raises
    ------
    MappingError
        No input is left.
    """
    product_rows = rows.product_rows + scratch_rows
    reduced = rows.partial_sum_rows * (2 if owner_rows else 1)
    for input_taps in range(rows.input_taps, 0, -1):
        input_rows = input_taps * input_bits
        budget = replace(
            rows,
            input_rows=input_rows,
            input_taps=input_taps,
            product_rows=product_rows,
            moved_rows=max(0, reduced - input_rows - product_rows),
            owner_rows=owner_rows,
        )
        if budget.used <= rows.n_rows:
            return budget
    raise MappingError(
        f"{name}: need {budget.used} rows ({scratch_rows} more beside the product, {owner_rows} "
        f"that say who owns a lane), got an array of {rows.n_rows}; use "
        f"`--set geometry.array_rows={next_power_of_two(budget.used)}`, or "
        "`--set sparsity.mode=dense`"
    )
