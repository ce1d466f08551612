"""Work spread over arrays that are filled pass by pass."""

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from bitpim.errors import MappingError
from bitpim.sram.occupancy import ArrayPool, Round


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


def filled_at_once(
    n_arrays: int, n_columns: int, bank: int, works: list[tuple[int, int]]
) -> list[list[int]]:
    """Lay works down item by item; yield for each pass the work in each array, -1 for none.

    An item takes neighbouring arrays that are free, or room beside items of its own work, in banks
    that run no other work.
    """
    passes: list[list[int]] = []
    held: list[int] = []  # the work of each array
    lanes: list[int] = []  # that are taken
    for work, (n_items, lanes_each) in enumerate(works):
        each = -(-lanes_each // n_columns)
        begun = 0  # an item lies behind those of its work
        for _ in range(n_items):
            for first in range(begun, len(held) - each + 1):
                mine = range(first, first + each)
                banks = {array // bank for array in mine}
                others = {held[a] for a in range(len(held)) if a // bank in banks} - {-1, work}
                room = n_columns - min(lanes_each, n_columns)
                if not others and all(lanes[a] <= (room if each == 1 else 0) for a in mine):
                    break
            else:
                held, lanes, first = [-1] * n_arrays, [0] * n_arrays, 0
                passes.append(held)
            for array in range(first, first + each):
                held[array] = work
                lanes[array] += min(lanes_each, n_columns)
            begun = first
    return passes


@given(
    n_banks=st.integers(1, 4),
    bank=st.integers(1, 3),
    n_columns=st.integers(1, 12),
    works=st.lists(st.tuples(st.integers(0, 40), st.integers(1, 20)), max_size=4),
)
def test_works_at_once_are_those_of_laying_items_one_by_one(
    n_banks: int, bank: int, n_columns: int, works: list[tuple[int, int]]
) -> None:
    pool = ArrayPool(n_banks * bank, n_columns, arrays_per_bank=bank)
    assume(all(lanes <= pool.n_lanes for _, lanes in works))
    rounds = pool.at_once(works)
    expanded = [one.works for one in rounds for _ in range(one.passes)]
    passes = filled_at_once(pool.n_arrays, n_columns, bank, works)
    assert [set(one) - {-1} for one in passes] == [set(one) for one in expanded]
    alone = [pool.spread("layer", *work) for work in works]
    assert len(passes) <= pool.in_turn(alone).passes
    arrays = sum(work >= 0 for one in passes for work in one)
    assert arrays == sum(place.array_passes for place in alone)


def test_works_at_once_share_the_pass_in_which_one_ends() -> None:
    """Four banks of two arrays: 5 arrays, then 9, then 1; an array of a begun bank stays idle.

    pass 0: 0 0 | 0 0 | 0 . | 1 1      pass 1: 1 1 | 1 1 | 1 1 | 1 .      pass 2: 2 . | ...
    """
    pool = ArrayPool(8, 10, arrays_per_bank=2)
    assert pool.at_once([(50, 1), (90, 1), (10, 1)]) == [
        Round(1, (0, 1)),
        Round(1, (1,)),
        Round(1, (2,)),
    ]
    assert pool.at_once([(850, 1)]) == [Round(1, (0,)), Round(9, (0,)), Round(1, (0,))]
    assert pool.at_once([(0, 1), (1, 1)]) == [Round(1, (1,))]
    assert pool.at_once([]) == []
