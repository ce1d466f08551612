"""Runs of filters with fewest cycles, against all ways to part them."""

from itertools import pairwise, product

import numpy as np
import pytest

from bitpim.sram.filter_runs import Demand, cheapest_runs, n_cycles


def cycles_of(demands: list[Demand], runs: list[range]) -> int:
    return sum(n_cycles(demands[run[-1]], sum(demands[i].n_items for i in run)) for run in runs)


@pytest.mark.parametrize("seed", range(20))
def test_no_other_runs_take_fewer_cycles(seed: int) -> None:
    rng = np.random.default_rng(seed)
    demands = [
        Demand(int(n), int(fit), int(steps), int(once))
        for n, fit, steps, once in zip(
            rng.integers(1, 40, 6),
            np.sort(rng.integers(1, 20, 6))[::-1],
            np.sort(rng.integers(1, 50, 6)),
            rng.integers(0, 9, 6),
            strict=True,
        )
    ]
    runs = cheapest_runs(demands)
    assert [i for run in runs for i in run] == list(range(6))
    every = []
    for cuts in product([False, True], repeat=5):
        edges = [0, *(i + 1 for i, cut in enumerate(cuts) if cut), 6]
        every.append([range(a, b) for a, b in pairwise(edges)])
    assert cycles_of(demands, runs) == min(cycles_of(demands, some) for some in every)


def test_filters_that_fit_in_one_pass_stay_together() -> None:
    small, large = Demand(5, 100, 10, 3), Demand(5, 50, 11, 3)
    assert cheapest_runs([small, large]) == [range(2)]  # 14 cycles, not 13 and 14
    many = Demand(300, 100, 10, 3)
    assert cheapest_runs([many, large]) == [range(1), range(1, 2)]  # 33 and 14, not 7 x 11 and 3
