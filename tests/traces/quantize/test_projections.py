"""Projections onto structured sets against all subsets of groups, and what is refused."""

from itertools import combinations, product
from typing import Any

import numpy as np
import pytest

from bitpim_traces.errors import TraceDataError
from bitpim_traces.masks import mask_codes, masks_from_codes
from bitpim_traces.quantize.projections import GROUPED, group_mask, natural_set, pattern_mask

Weight = np.ndarray[Any, np.dtype[np.float32]]


def weight_of(shape: tuple[int, ...], seed: int) -> Weight:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def members(kind: str, shape: tuple[int, ...]) -> list[list[tuple[int, ...]]]:
    """Weights of every group, spelled out."""
    axes = {"filter": (0,), "channel": (1,), "shape": (1, 2, 3), "lane": (0, 1)}[kind]
    found: dict[Any, list[tuple[int, ...]]] = {}
    for place in product(*map(range, shape)):
        found.setdefault(tuple(place[axis] for axis in axes), []).append(place)
    return list(found.values())


def distance(weight: Weight, mask: Any) -> float:
    return float(np.square(np.where(mask, 0, weight.astype(np.float64))).sum())


@pytest.mark.parametrize("kind", list(GROUPED))
@pytest.mark.parametrize("n_dropped", [0, 1, 2])
def test_no_choice_of_groups_lies_nearer(kind: str, n_dropped: int) -> None:
    weight = weight_of((3, 4, 1, 2), 5)
    groups = members(kind, weight.shape)
    mask = group_mask(weight, kind, n_dropped / len(groups))
    every = []
    for dropped in combinations(groups, n_dropped):
        other = np.ones(weight.shape, np.uint8)
        for group in dropped:
            for place in group:
                other[place] = 0
        every.append(other)
    assert any(np.array_equal(mask, other) for other in every)
    assert distance(weight, mask) == pytest.approx(min(distance(weight, m) for m in every))


def test_no_choice_of_patterns_and_kernels_lies_nearer() -> None:
    patterns = np.array([0b000000111, 0b100010001, 0b111000000], np.uint32)
    for seed in range(4):
        weight = weight_of((2, 2, 3, 3), seed)
        weight[0, 0] *= 0.8
        mask = pattern_mask(weight, patterns, 0.5)
        every = [
            masks_from_codes(np.array(codes, np.uint32).reshape(2, 2), (3, 3))
            for codes in product([0, *patterns.tolist()], repeat=4)
            if codes.count(0) == 2
        ]
        assert distance(weight, mask) == pytest.approx(min(distance(weight, m) for m in every))
        assert np.count_nonzero(mask_codes(mask) == 0) == 2


def test_a_kernel_is_dropped_by_what_its_pattern_keeps() -> None:
    """A kernel of large weights that no pattern holds goes before one of small ones that fit."""
    weight = np.zeros((1, 2, 3, 3), np.float32)
    weight[0, 0, 2, :], weight[0, 0, 0, 0] = 9, 0.1
    weight[0, 1, 0, :] = 1
    mask = pattern_mask(weight, np.array([0b111], np.uint32), 0.5)
    assert mask_codes(mask).tolist() == [[0, 0b111]]


def test_patterns_are_of_kernels_with_weights() -> None:
    weight = np.zeros((1, 3, 3, 3), np.float32)
    weight[0, 0, 2, 1:] = 1
    assert natural_set(weight, 2, 1).tolist() == [0b110000000]
    assert natural_set(weight[:, 1:], 2, 1).size == 0


def test_of_equal_groups_the_first_is_dropped() -> None:
    mask = group_mask(np.ones((2, 2, 1, 1)), "lane", 0.5)
    assert mask.ravel().tolist() == [0, 0, 1, 1]


@pytest.mark.parametrize("kind", [*GROUPED, "pattern"])
def test_nothing_left_is_refused(kind: str) -> None:
    weight = weight_of((1, 1, 3, 3), 0)
    with pytest.raises(TraceDataError, match=f"leaves a {kind} of .*lower it"):
        if kind == "pattern":
            pattern_mask(weight, np.array([7], np.uint32), 0.9)
        else:
            group_mask(weight, kind, 0.99)
