"""Work spread over arrays that are filled pass by pass."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bitpim.errors import MappingError
from bitpim.sram.occupancy import ArrayPool


def filled(n_arrays: int, n_columns: int, n_items: int, lanes_each: int) -> list[list[int]]:
    """Fill arrays one item after the other; yield for each pass how many lanes each holds."""
    each = -(-lanes_each // n_columns)
    passes: list[list[int]] = []
    free: list[int] = []
    for _ in range(n_items):
        if each == 1:
            places = [i for i, lanes in enumerate(free) if lanes >= lanes_each]
        else:
            starts = range(0, len(free) - each + 1, each)
            places = [i for i in starts if free[i] == n_columns]
        if not places:
            free = [n_columns] * n_arrays
            passes.append(free)
            places = [0]
        for i in range(places[0], places[0] + each):
            free[i] -= min(lanes_each, n_columns)
    return [[n_columns - lanes for lanes in one] for one in passes]


@given(
    n_arrays=st.integers(1, 9),
    n_columns=st.integers(1, 40),
    n_items=st.integers(0, 60),
    lanes_each=st.integers(1, 100),
)
def test_passes_and_arrays_are_those_of_filling_one_by_one(
    n_arrays: int, n_columns: int, n_items: int, lanes_each: int
) -> None:
    pool = ArrayPool(n_arrays, n_columns)
    if lanes_each > n_columns * n_arrays:
        with pytest.raises(MappingError, match=f"need {lanes_each} lanes"):
            pool.spread("layer", n_items, lanes_each)
        return
    place = pool.spread("layer", n_items, lanes_each)
    passes = filled(n_arrays, n_columns, n_items, lanes_each)
    assert place.passes == len(passes)
    assert place.array_passes == sum(lanes > 0 for one in passes for lanes in one)
    assert place.arrays == max((sum(lanes > 0 for lanes in one) for one in passes), default=0)
    assert place.lanes == n_items * lanes_each
    if passes:
        assert place.utilization == place.lanes / (len(passes) * n_arrays * n_columns)
        assert 0 < place.utilization <= 1
    else:
        assert place.utilization == 0


def test_items_do_not_straddle_arrays() -> None:
    assert ArrayPool(2, 256).spread("layer", 4, 100).array_passes == 2
    assert ArrayPool(2, 256).spread("layer", 5, 100).passes == 2
    assert ArrayPool(5, 256).spread("layer", 3, 512).passes == 2  # the fifth array stays idle


def test_works_in_turn_have_passes_of_their_own() -> None:
    pool = ArrayPool(2, 256)
    first, second = pool.spread("layer", 5, 100), pool.spread("layer", 1, 16)
    both = pool.in_turn([first, second])
    assert (both.passes, both.array_passes, both.arrays, both.lanes) == (3, 4, 2, 516)
    assert both.utilization == 516 / (3 * 512)
    assert pool.in_turn([second]) == second
    assert pool.in_turn([]) == pool.spread("layer", 0, 1)
