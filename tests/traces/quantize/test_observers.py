"""Observers: what range a stream has, in any pieces."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bitpim_traces.errors import TraceDataError
from bitpim_traces.network import FloatLayer, FloatNetwork
from bitpim_traces.numbers.affine import choose_quantization, decode, encode
from bitpim_traces.quantize.observers import N_BINS, Observer, calibrate, histogram
from bitpim_traces.quantize.settings import Settings

METHODS = ["minmax", "percentile", "mse"]


def observe(values: Any, method: str, n_pieces: int = 1, **options: Any) -> tuple[float, float]:
    observer = Observer(method, **options)
    for piece in np.array_split(values, n_pieces):
        observer.update(piece)
    return observer.range()


def test_minmax_keeps_the_extremes() -> None:
    assert observe(np.array([3.0, -1.0, 2.0]), "minmax", 3) == (-1.0, 3.0)


@pytest.mark.parametrize("method", METHODS)
def test_degenerate_streams(method: str) -> None:
    assert Observer(method).range() == (0.0, 0.0)
    assert observe(np.zeros(10), method, 2) == (0.0, 0.0)
    low, high = observe(np.full(10, 4.0), method)
    assert low <= 4.0 == high
    low, high = observe(np.array([0.0, 1e-40, 1e-39]), method, 3)
    assert 0 <= low <= high <= 1e-38
    observer = Observer(method)
    observer.update(np.zeros((0, 3)))
    assert observer.range() == (0.0, 0.0)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_values_that_are_not_finite_are_refused(method: str, bad: float) -> None:
    with pytest.raises(TraceDataError, match="finite"):
        Observer(method).update(np.array([1.0, bad]))


def test_an_unknown_method_is_refused() -> None:
    with pytest.raises(TraceDataError, match="need a method among"):
        Observer("median")


@given(
    seed=st.integers(0, 99),
    n_pieces=st.integers(1, 9),
    method=st.sampled_from(METHODS),
    size=st.floats(1e-6, 1e6),
)
@settings(max_examples=60, deadline=None)
def test_pieces_do_not_matter_when_the_first_spans_the_range(
    seed: int, n_pieces: int, method: str, size: float
) -> None:
    values = (np.random.default_rng(seed).standard_normal(400) * size).astype(np.float32)
    values = values[np.argsort(-np.abs(values))]
    assert observe(values, method) == observe(values, method, n_pieces)


def test_growing_merges_bins_without_losing_a_value() -> None:
    observer = Observer("percentile")
    for scale in (0.0, 1e-3, 1.0, 50.0, 1e4):
        observer.update(np.random.default_rng(1).uniform(-1, 1, 1000) * scale)
    assert observer._counts.sum() == 5000


@given(
    seed=st.integers(0, 999),
    size=st.integers(0, 300),
    exponent=st.integers(-40, 40),
    dtype=st.sampled_from([np.float32, np.float64]),
)
@settings(max_examples=60, deadline=None)
def test_values_are_counted_as_numpy_counts_them(
    seed: int, size: int, exponent: int, dtype: type[np.floating[Any]]
) -> None:
    rng = np.random.default_rng(seed)
    reach = 2.0**exponent
    edges = reach * rng.integers(-N_BINS // 2, N_BINS // 2 + 1, size) / (N_BINS // 2)
    beside = np.nextafter(edges.astype(dtype), rng.choice([-np.inf, np.inf], size).astype(dtype))
    tiny = rng.choice([-1e-45, 1e-45, -1e-39, 0.0, -0.0], size)
    ends = [-reach, reach, reach, 0.0]
    drawn = np.concatenate([rng.uniform(-reach, reach, size), edges, beside, tiny, ends])
    values = np.clip(drawn.astype(dtype), -reach, reach).reshape(4, -1)
    expected, _ = np.histogram(values, bins=N_BINS, range=(-reach, reach))
    np.testing.assert_array_equal(histogram(values, reach), expected)


def test_blocks_of_values_are_counted_together() -> None:
    values = np.random.default_rng(0).standard_normal((3, 50_000)).astype(np.float32)
    expected, _ = np.histogram(values, bins=N_BINS, range=(-8.0, 8.0))
    np.testing.assert_array_equal(histogram(values, 8.0), expected)


@pytest.mark.parametrize("sign", [1.0, -1.0, 0.0])
def test_the_least_error_is_that_of_all_that_is_tried(sign: float) -> None:
    """The search written out: no error remembered, no array written to twice."""
    drawn = np.random.default_rng(7).laplace(size=5000)
    values = (sign * np.abs(drawn) if sign else drawn).astype(np.float32)
    observer = Observer("mse", bits=4)
    observer.update(values)
    counts, edges = np.histogram(values, bins=N_BINS, range=(-observer._reach, observer._reach))
    centres = ((edges[:-1] + edges[1:]) / 2)[counts > 0].astype(np.float64)

    def error(ends: tuple[float, float]) -> float:
        scale = (ends[1] - ends[0]) / 15
        zero = np.rint(-ends[0] / scale)
        codes = np.clip(np.rint(centres / scale) + zero, 0, 15)
        return float(np.dot(counts[counts > 0], ((codes - zero) * scale - centres) ** 2))

    shares = np.linspace(1.0, 0.05, 96)
    low, high = min(float(values.min()), 0.0), max(float(values.max()), 0.0)
    tries = [(low * a, high * a) for a in shares]
    for _ in range(2):
        low, high = min(tries, key=error)
        tries = [
            (low, high),
            *((low * a, high) for a in shares),
            *((low, high * a) for a in shares),
        ]
    low, high = min(tries, key=error)
    ends = max(low, float(values.min())), min(high, float(values.max()))
    assert observer.range() == ends


def test_percentile_leaves_out_the_tails() -> None:
    values = np.random.default_rng(0).uniform(-1, 1, 100_000)
    low, high = observe(values, "percentile", 4, percentile=98.0)
    np.testing.assert_allclose([low, high], np.percentile(values, [1, 99]), atol=2 * 2 / N_BINS)


def test_percentile_counts_zeros_seen_first() -> None:
    values = np.concatenate([np.zeros(9900), np.linspace(1, 2, 100)])
    _, high = observe(values, "percentile", 100, percentile=98.0)
    assert high < 0.01
    assert observe(values[::-1], "percentile", 100, percentile=98.0)[1] < 0.01


def test_percentile_100_is_the_range_to_a_bin() -> None:
    values = np.random.default_rng(3).standard_normal(1000)
    got = observe(values, "percentile", 3, percentile=100.0)
    np.testing.assert_allclose(got, observe(values, "minmax"), atol=8 / N_BINS)


@pytest.mark.parametrize(("bits", "share"), [(2, 0.5), (4, 0.5), (6, 0.9), (8, 1.0)])
def test_mse_beats_minmax_on_long_tails(bits: int, share: float) -> None:
    values = np.random.default_rng(5).laplace(size=20_000)

    def error(method: str) -> Any:
        q = choose_quantization(*observe(values, method, 3, bits=bits), bits=bits)
        return np.square(decode(encode(values, q), q) - values).mean()

    assert error("mse") < share * error("minmax")


def test_calibrate_sees_the_input_and_every_layer() -> None:
    weight = np.array([[1.0], [-2.0]], np.float32)
    network = FloatNetwork(
        "net",
        (
            FloatLayer("fc", "linear", (-1,), weight=weight),
            FloatLayer("relu", "activation", (0,), activation="relu"),
        ),
        (1,),
    )
    inputs = np.array([[-1.0], [3.0], [0.5]])
    for batch in (1, 2, 16):
        assert calibrate(network, inputs, batch=batch) == {
            -1: (-1.0, 3.0),
            0: (-6.0, 3.0),
            1: (0.0, 3.0),
        }
    with pytest.raises(TraceDataError, match="at least one sample"):
        calibrate(network, inputs[:0])


def test_calibrate_follows_the_settings() -> None:
    network = FloatNetwork(
        "net", (FloatLayer("relu", "activation", (-1,), activation="relu"),), (1,)
    )
    inputs = np.random.default_rng(0).laplace(size=(5000, 1))
    clipped = calibrate(network, inputs, Settings(calibration="percentile", percentile=90.0))
    full = calibrate(network, inputs)
    assert clipped[0][1] < 0.5 * full[0][1]
