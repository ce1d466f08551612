from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from bitpim.programs.nor_sums import csa_levels
from bitpim_kernels import counted_sums, operands, pairs
from bitpim_kernels.digit_tile import ADDERS, LARGEST, N_SUMS, NEGATIVES, OPERANDS, READS, SATURATED
from bitpim_kernels.pair_tile import LANES, LONGEST
from bitpim_kernels.pairs import Groups, Lists, Rules, Tile, empty_lists, empty_tile
from tests.naive.rapidnn import Neuron, neuron

Array = npt.NDArray[Any]
LEVELS = np.array([csa_levels(n) for n in range(14)], np.uint8)


def groups_of(weights: Array, products: Array, biases: Array) -> Groups:
    """Groups in the order in which their weight codes rise."""
    taps = np.argsort(weights, axis=1, kind="stable")
    lengths = [[list(row).count(w) for w in sorted(set(row))] for row in weights.tolist()]
    return Groups(
        taps.astype(np.int32).ravel(),
        np.cumsum([0, *map(len, lengths)]),
        np.cumsum([0, *(n for row in lengths for n in row)]),
        np.concatenate([np.unique(row) for row in weights]),
        products.astype(np.int64).view(np.uint64),
        biases.astype(np.int64).view(np.uint64),
    )


def scratch(n_taps: int, n_codes: int) -> tuple[Tile, Lists]:
    return empty_tile(n_taps, n_codes), empty_lists(LEVELS[: n_taps + 2])


@pytest.fixture(params=["jit", "python"])
def kernels(request: pytest.FixtureRequest, in_python: Callable[..., None]) -> Any:
    if request.param == "python":
        in_python(counted_sums, operands, pairs)
    return counted_sums


@pytest.mark.parametrize("rules", [Rules(False, 62, 13, LONGEST), Rules(True, 62, 13, 3)])
@pytest.mark.parametrize("n", [0, 1, 65])
def test_windows_equal_neurons_added_gate_by_gate(rules: Rules, n: int, kernels: Any) -> None:
    rng = np.random.default_rng(n)
    weights = np.stack([rng.integers(0, 3, 12), np.zeros(12, np.int64), np.arange(12) % 5])
    products, biases = rng.integers(-99, 100, (5, 4)), np.array([-7, 0, 2000])
    codes = rng.integers(0, 4, (n, 12)).astype(np.uint8)
    out, levels = np.full((n, 3), 9), np.full((n, 3), 9, np.uint8)
    sums = np.zeros(N_SUMS, np.int64)
    groups = groups_of(weights, products, biases)
    kernels.sum_windows(codes[:, :, None], groups, rules, *scratch(12, 4), out, levels, sums)
    found: list[list[Neuron]] = [
        [
            neuron(w, u, products.tolist(), b, signed=rules.signed, width=13)
            for w, b in zip(weights.tolist(), biases.tolist(), strict=True)
        ]
        for u in codes.tolist()
    ]
    assert out.tolist() == [[neuron.total for neuron in row] for row in found]
    assert levels.tolist() == [[csa_levels(neuron.operands) for neuron in row] for row in found]
    every = [neuron for row in found for neuron in row]
    expected = np.zeros(N_SUMS, np.int64)
    expected[READS] = sum(len(neuron.counts) for neuron in every)
    expected[OPERANDS] = sum(neuron.operands for neuron in every)
    expected[ADDERS] = sum(neuron.adders for neuron in every)
    expected[NEGATIVES] = sum(neuron.negatives for neuron in every)
    expected[SATURATED] = 0
    expected[LARGEST] = max((neuron.largest for neuron in every), default=0)
    assert sums.tolist() == expected.tolist()

    counted, again = np.full((n, 3), 9, np.uint8), np.zeros(N_SUMS, np.int64)
    digits = np.full((3, LANES), 99, np.int32)
    kernels.count_windows(
        codes[:, :, None], groups, rules, scratch(12, 4)[0], LEVELS, digits, counted, again
    )
    assert counted.tolist() == levels.tolist() and again.tolist() == sums.tolist()


def test_a_sum_wraps_at_its_width(kernels: Any) -> None:
    """100 + 100 = 200 is -56 in 8 bits, whose sign fills the rest of the word."""
    groups = groups_of(np.array([[0, 1]]), np.array([[100], [100]]), np.zeros(0))
    out, levels = np.zeros((1, 1), np.int64), np.zeros((1, 1), np.uint8)
    codes, sums = np.zeros((1, 2), np.uint8), np.zeros(N_SUMS, np.int64)
    for n_bits, expected in ((8, -56), (9, 200), (64, 200)):
        rules = Rules(False, 62, n_bits, LONGEST)
        kernels.sum_windows(codes[:, :, None], groups, rules, *scratch(2, 1), out, levels, sums)
        assert out[0, 0] == expected
