"""Lanes and rows of a convolution."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bitpim.errors import LayoutError, MappingError
from bitpim.sram.transposed import (
    ConvShape,
    LaneLayout,
    RowBudget,
    allocate_rows,
    lay_lanes,
    next_power_of_two,
)


def lay(channels: int, taps: int, split: int = 9, pack: int = 16, pad: bool = True) -> LaneLayout:
    return lay_lanes(
        ConvShape(channels, taps, 1, 1, 1),
        split_limit_taps=split,
        pack_limit_channels=pack,
        pad_to_power_of_two=pad,
    )


@given(
    channels=st.integers(1, 300),
    taps=st.integers(1, 60),
    split=st.integers(1, 20),
    pack=st.integers(1, 20),
    pad=st.booleans(),
)
def test_every_weight_lies_in_one_tap(
    channels: int, taps: int, split: int, pack: int, pad: bool
) -> None:
    layout = lay(channels, taps, split, pack, pad)
    held = layout.source[layout.source >= 0]
    assert sorted(held.tolist()) == list(range(channels * taps))
    assert layout.source.shape == (layout.n_used, layout.taps_per_lane)
    assert layout.taps_per_lane <= (pack if taps == 1 else split)
    assert (layout.source >= 0).any(axis=1).all()  # no lane is empty
    assert layout.n_lanes == (next_power_of_two(layout.n_used) if pad else layout.n_used)
    assert 1 << layout.n_levels >= layout.n_lanes > (1 << layout.n_levels) // 2


@given(channels=st.integers(1, 40), taps=st.integers(2, 60))
def test_a_lane_holds_taps_of_one_channel(channels: int, taps: int) -> None:
    for lane in lay(channels, taps).source:
        assert len(set((lane[lane >= 0] // taps).tolist())) == 1


def test_small_filters_take_a_lane_a_channel() -> None:
    layout = lay(5, 9)
    assert np.array_equal(layout.source, np.arange(45).reshape(5, 9))
    assert (layout.n_used, layout.n_lanes, layout.n_levels) == (5, 8, 3)


def test_large_filters_are_split_evenly() -> None:
    layout = lay(2, 25)  # 25 taps in three lanes of 9
    assert (layout.n_used, layout.taps_per_lane, layout.n_lanes) == (6, 9, 8)
    assert layout.source[2].tolist() == [18, 19, 20, 21, 22, 23, 24, -1, -1]
    assert layout.source[3, 0] == 25
    assert lay(1, 49).source.shape == (6, 9)
    assert lay(1, 10).source.shape == (2, 5)  # not nine and one


def test_one_by_one_filters_pack_channels() -> None:
    layout = lay(40, 1)
    assert (layout.n_used, layout.taps_per_lane, layout.n_lanes) == (3, 16, 4)
    assert layout.source[2].tolist() == [32, 33, 34, 35, 36, 37, 38, 39, *[-1] * 8]
    assert lay(3, 1).source.tolist() == [[0, 1, 2]]
    assert lay(40, 1, pack=1).source.shape == (40, 1)


def test_lanes_need_not_be_a_power_of_two() -> None:
    layout = lay(5, 9, pad=False)
    assert (layout.n_lanes, layout.n_levels) == (5, 3)
    assert (lay(1, 1).n_lanes, lay(1, 1).n_levels) == (1, 0)


@given(
    taps=st.integers(1, 12),
    kept=st.sets(st.integers(0, 20)),
    split=st.integers(1, 9),
    pack=st.integers(1, 20),
    pad=st.booleans(),
)
def test_lanes_of_some_channels(
    taps: int, kept: set[int], split: int, pack: int, pad: bool
) -> None:
    """They lie as if there were no others, only their entries are those of the whole window."""
    channels = np.array(sorted(kept), np.int64)
    shape = ConvShape(21, taps, 1, 1, 1)
    layout = lay_lanes(
        shape,
        split_limit_taps=split,
        pack_limit_channels=pack,
        pad_to_power_of_two=pad,
        channels=channels,
    )
    assert layout.entries.tolist() == [c * taps + t for c in sorted(kept) for t in range(taps)]
    if not kept:
        assert (layout.n_used, layout.n_lanes) == (1, 1)  # a lane that adds nothing
        return
    alone = lay(len(kept), taps, split, pack, pad)
    assert (layout.n_lanes, layout.source.shape) == (alone.n_lanes, alone.source.shape)
    renumbered = np.searchsorted(layout.entries, layout.source)
    assert np.array_equal(np.where(layout.source < 0, -1, renumbered), alone.source)


def test_an_entry_lies_in_one_tap() -> None:
    with pytest.raises(LayoutError, match="need each entry of a window in one tap"):
        LaneLayout(np.array([[0, 1], [1, -1]]), 2)


@pytest.mark.parametrize(("n_used", "n_lanes"), [(1, 2), (2, 4), (3, 8), (4, 5), (3, 2), (0, 1)])
def test_a_tree_begins_with_lanes_in_use(n_used: int, n_lanes: int) -> None:
    """A reduction that meets two idle lanes would add what lies there."""
    with pytest.raises(LayoutError, match=f"need {n_used} lanes with taps to be more than half"):
        LaneLayout(np.arange(n_used)[:, None], n_lanes)


@pytest.mark.parametrize(("n", "power"), [(0, 1), (1, 1), (2, 2), (3, 4), (64, 64), (65, 128)])
def test_next_power_of_two(n: int, power: int) -> None:
    assert next_power_of_two(n) == power


def test_sizes_of_a_convolution() -> None:
    shape = ConvShape(in_channels=3, n_taps=9, out_channels=8, groups=2, n_positions=10)
    assert (shape.n_entries, shape.n_convolutions, shape.n_weights) == (27, 80, 216)


def rows(taps: int, n_rows: int = 256, bits: int = 8, final: int = 29) -> RowBudget:
    return allocate_rows(
        "layer 0 'c' (conv2d)",
        n_rows=n_rows,
        taps=taps,
        weight_bits=bits,
        input_bits=bits,
        sum_bits=24,
        final_bits=final,
    )


def test_nine_taps_of_eight_bits_fit_as_in_the_paper() -> None:
    budget = rows(9)
    assert (budget.filter_rows, budget.input_rows, budget.product_rows) == (72, 72, 16)
    assert (budget.partial_sum_rows, budget.moved_rows, budget.input_taps) == (29, 0, 9)
    assert budget.used == 72 + 72 + 16 + 29


def test_inputs_come_in_parts_where_rows_are_few() -> None:
    budget = rows(9, n_rows=140)
    assert (budget.input_taps, budget.input_rows) == (2, 16)
    assert budget.used == 72 + 16 + 16 + 29 + 0
    assert rows(16).input_taps == (256 - 128 - 16 - 29) // 8


@given(
    taps=st.integers(1, 40),
    bits=st.integers(1, 16),
    final=st.integers(24, 60),
    n_rows=st.integers(8, 600),
)
def test_rows_never_overlap_and_hold_a_moved_sum(
    taps: int, bits: int, final: int, n_rows: int
) -> None:
    need = taps * bits + bits + 2 * bits + final
    if n_rows < need:
        with pytest.raises(MappingError, match=r"need .* rows"):
            rows(taps, n_rows, bits, final)
        return
    try:
        budget = rows(taps, n_rows, bits, final)
    except MappingError:  # then the moved sum does not fit, with as many inputs as there may be
        inputs = min(taps, (n_rows - need + bits) // bits) * bits
        assert taps * bits + max(inputs + 2 * bits, final) + final > n_rows
        return
    assert 1 <= budget.input_taps <= taps
    assert budget.used <= budget.n_rows == n_rows
    assert budget.input_rows + budget.product_rows + budget.moved_rows >= final


def test_too_many_taps_are_one_line() -> None:
    with pytest.raises(MappingError, match=r"layer 0 'c' \(conv2d\): .* 256;.*split_limit") as told:
        rows(40)
    assert "320 filter" in str(told.value)
    assert "\n" not in str(told.value)
