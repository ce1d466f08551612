"""Copies of a layer's crossbars: how many make a network balanced, and what they read together."""

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bitpim.crossbar.adc import Adc
from bitpim.crossbar.array import CrossbarGeometry
from bitpim.crossbar.dense_matrix import DenseMatrix
from bitpim.crossbar.encodings import encode_weights
from bitpim.crossbar.input_slices import InputCoding
from bitpim.crossbar.pieces import ReadCounts
from bitpim.crossbar.replication import Stage, balanced_copies, most_positions, read_by_copies

STAGES = st.lists(
    st.builds(Stage, st.integers(1, 6), st.integers(1, 4), st.integers(1, 3)),
    min_size=1,
    max_size=3,
)


def crossbars(stages: list[Stage], copies: list[int]) -> int:
    return sum(n * stage.n_crossbars for stage, n in zip(stages, copies, strict=True))


def slowest(stages: list[Stage], copies: list[int]) -> int:
    """Cycles of the slowest stage, its positions dealt one by one."""
    times = []
    for stage, n in zip(stages, copies, strict=True):
        held = [0] * n
        for position in range(stage.n_positions):
            held[position % n] += stage.position_cycles
        times.append(max(held))
    return max(times)


@settings(max_examples=60)
@given(STAGES, st.integers(1, 40))
def test_no_other_copies_that_fit_are_faster_or_fewer(stages: list[Stage], room: int) -> None:
    found = balanced_copies(stages, room)
    ones = [1] * len(stages)
    if crossbars(stages, ones) > room:
        assert found == ones
        return
    assert crossbars(stages, found) <= room
    every = product(*(range(1, stage.n_positions + 1) for stage in stages))
    fitting = [list(n) for n in every if crossbars(stages, list(n)) <= room]
    best = min(slowest(stages, n) for n in fitting)
    assert slowest(stages, found) == best
    for n in fitting:
        if slowest(stages, n) == best:
            assert all(mine <= theirs for mine, theirs in zip(found, n, strict=True))


def test_copies_are_as_positions_where_there_is_room() -> None:
    """A layer with k times the positions of the last one has k times its copies."""
    stages = [Stage(784, 8, 1), Stage(196, 8, 2), Stage(49, 8, 9), Stage(1, 8, 4)]
    assert balanced_copies(stages, 10_000) == [784, 196, 49, 1]
    without = stages[:3]
    assert balanced_copies(without, 16 + 2 * 4 + 9) == [16, 4, 1]
    fewer = balanced_copies(without, 16 + 2 * 4 + 9 - 1)
    assert fewer == [15, 4, 1] and slowest(without, fewer) == 53 * 8  # 784 / 15
    assert balanced_copies([], 5) == []


def test_a_stage_counts_whole_positions() -> None:
    stage = Stage(7, 3, 2)
    assert [stage.cycles(n) for n in (1, 2, 3, 4, 6, 7)] == [21, 12, 9, 6, 6, 3]
    assert [stage.copies_within(t) for t in (21, 12, 11, 9, 8, 6, 5, 3)] == [1, 2, 3, 3, 4, 4, 7, 7]
    assert [most_positions(7, n) for n in (1, 2, 3, 7)] == [7, 4, 3, 1]


def matrix(skip: str) -> DenseMatrix:
    """6 x 3 weights on arrays of 4 x 5, OUs of 2 x 5."""
    weights = np.random.default_rng(1).integers(-4, 4, (6, 3))
    stored = encode_weights(weights, 3, "twos_complement", 2, 4)
    geometry = CrossbarGeometry(4, 5, 2, 2, 5, 1)
    return DenseMatrix(stored, geometry, Adc(), InputCoding(3), skip=skip)  # type: ignore[arg-type]


@pytest.mark.parametrize("fidelity", ["bit", "integer"])
@pytest.mark.parametrize("skip", ["none", "bit_plane", "vector"])
@pytest.mark.parametrize("n_copies", [1, 2, 3, 5, 7])
def test_copies_read_what_each_reads_alone(skip: str, n_copies: int, fidelity: str) -> None:
    """The same sums and events as one copy; of cycles those of the busiest copy, by sample."""
    rng = np.random.default_rng(n_copies)
    x = rng.integers(0, 8, (3 * 5, 6)) * rng.integers(0, 2, (15, 1))
    x[rng.random(x.shape) < 0.6] = 0
    held = matrix(skip)
    one_sums, one = held.read(x, 3, fidelity)  # type: ignore[arg-type]
    sums, got = read_by_copies(held, x, 3, fidelity, n_copies, skips=skip != "none")  # type: ignore[arg-type]
    assert np.array_equal(sums, one_sums) and got.events == one.events
    expected = []
    for sample in range(3):
        times = []
        for copy in range(min(n_copies, 5)):
            mine = [x[5 * sample + p] for p in range(5) if p % n_copies == copy]
            _, counts = held.read(np.array(mine), 1, fidelity)  # type: ignore[arg-type]
            times.append(int(counts.cycles[0]))
        expected.append(max(times))
    assert got.cycles.tolist() == expected
    if n_copies == 5 and skip == "none":
        assert got.cycles.tolist() == [n // 5 for n in one.cycles]


@pytest.mark.parametrize("skips", [False, True])
def test_no_samples_take_nothing(skips: bool) -> None:
    held = matrix("bit_plane" if skips else "none")
    sums, counts = read_by_copies(held, np.zeros((0, 6), np.int64), 0, "bit", 3, skips=skips)
    assert sums.shape == (0, 3) and isinstance(counts, ReadCounts) and counts.cycles.size == 0
