"""Speed of sums that are made of counted pairs: layers of ResNet-20 with 64 weights and 64 inputs.

Half of the inputs are the same code, as zeros are after ReLU. The twin was the fastest of three
NumPy forms: `np.bincount` of all pairs took 4 times as long, comparing the taps of a group twice.
"""

from collections.abc import Callable, Iterator

import numpy as np
import numpy.typing as npt
import pytest

from bitpim.lookup.counted_sums import CountedSums
from bitpim.threads import thread_limit, use_threads

Ints = npt.NDArray[np.int64]
Ratio = Callable[[str, Callable[[], object], Callable[[], object]], float]

N_CODES = 64
LAYERS = {"16x3x3": (144, 16, 1024), "32x3x3": (288, 32, 256), "64x3x3": (576, 64, 64)}
"""Taps, filters and positions: as many pairs in all three as powers of 2 allow."""


class Layer:
    """Weights and inputs of a layer, as codes."""

    def __init__(self, n_taps: int, n_filters: int, n_positions: int) -> None:
        rng = np.random.default_rng(n_taps)
        spread = rng.normal(N_CODES / 2, N_CODES / 5, (n_filters, n_taps))
        self.weights = np.clip(spread, 0, N_CODES - 1).astype(np.int32)
        self.products = rng.integers(-20000, 20000, (N_CODES, N_CODES))
        codes = rng.integers(0, N_CODES, (n_positions, n_taps))
        self.codes = np.where(rng.random(codes.shape) < 0.5, 0, codes).astype(np.uint8)
        self.sums = CountedSums(self.weights, self.products, None, sum_bits=32)
        self.out = np.zeros((n_positions, n_filters), np.int64)

    def with_numpy(self, *, adds: bool) -> tuple[int, Ints, Ints]:
        """Return pairs met, digits of each neuron, and sums where asked for."""
        n, n_taps = self.codes.shape
        n_pairs, digits, sums = 0, np.zeros_like(self.out), np.zeros_like(self.out)
        is_first = np.ones(self.codes.shape, np.bool_)
        windows = np.arange(n) * n_taps
        for f, weights in enumerate(self.weights):
            keys = np.sort(self.codes.astype(np.int32) + weights * N_CODES, axis=1)
            np.not_equal(keys[:, 1:], keys[:, :-1], out=is_first[:, 1:])
            starts = np.flatnonzero(is_first)
            counts = np.diff(starts, append=keys.size)
            begins = np.searchsorted(starts, windows)
            n_pairs += len(counts)
            digits[:, f] = np.add.reduceat(np.bitwise_count(counts).astype(np.int64), begins)
            if adds:
                products = self.products.ravel()[keys.ravel()[starts]]
                sums[:, f] = np.add.reduceat(counts * products, begins)
        return n_pairs, digits, sums


@pytest.fixture(params=LAYERS)
def layer(request: pytest.FixtureRequest) -> Layer:
    return Layer(*LAYERS[request.param])


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    n_threads = thread_limit()
    use_threads(1)
    yield
    use_threads(n_threads)


def test_counted_sums_over_numpy(
    layer: Layer, ratio: Ratio, request: pytest.FixtureRequest
) -> None:
    events = layer.sums.run(layer.codes, layer.out)
    n_pairs, digits, sums = layer.with_numpy(adds=True)
    assert np.array_equal(sums, layer.out)
    assert (events.table_reads, events.operands) == (n_pairs, int(digits.sum()))
    ratio(
        f"counted_sums:{request.node.callspec.id}",
        lambda: layer.sums.run(layer.codes, layer.out),
        lambda: layer.with_numpy(adds=True),
    )


def test_counted_pairs_over_numpy(
    layer: Layer, ratio: Ratio, request: pytest.FixtureRequest
) -> None:
    events = layer.sums.count(layer.codes)
    n_pairs, digits, _ = layer.with_numpy(adds=False)
    assert (events.table_reads, events.operands) == (n_pairs, int(digits.sum()))
    ratio(
        f"counted_pairs:{request.node.callspec.id}",
        lambda: layer.sums.count(layer.codes),
        lambda: layer.with_numpy(adds=False),
    )
