"""Counted fixed-point values: those of a plain count, whatever the order and the pieces."""

from collections import Counter
from fractions import Fraction
from math import floor
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from bitpim_traces.errors import TraceDataError
from bitpim_traces.quantize.value_counts import ValueCounts

FLOATS = st.one_of(
    st.floats(-100, 100, width=32),
    st.floats(-1.0, 1.0, width=32).map(lambda x: x * 2.0**-30),
    st.sampled_from([0.0, -0.0, 1e-45, -1e-45, 1.0, -1.0, 2.0**60, -(2.0**60), 0.99999994]),
)


def count(values: npt.NDArray[Any], n_pieces: int = 1, bits: int = 16) -> ValueCounts:
    counts = ValueCounts("here", value_bits=bits)
    for piece in np.array_split(values, n_pieces):
        counts.update(piece)
    return counts


def plainly(values: list[float], bits: int, most: int = 60) -> tuple[int, dict[int, int]]:
    """Count values at the finest format of so many bits that holds the largest."""
    largest = max(abs(Fraction(v)) for v in values)
    fraction_bits = min(most, 60 if largest else bits - 1)
    while largest * Fraction(2) ** fraction_bits >= 1 << (bits - 1):
        fraction_bits -= 1
    scale = Fraction(2) ** fraction_bits
    rounded = [floor(Fraction(v) * scale + Fraction(1, 2)) for v in values]
    return fraction_bits, Counter(min(r, (1 << (bits - 1)) - 1) for r in rounded)


@given(
    values=st.lists(FLOATS, min_size=1, max_size=30),
    seed=st.integers(0, 9),
    n_pieces=st.integers(1, 6),
    dtype=st.sampled_from([np.float32, np.float64]),
    bits=st.sampled_from([4, 9, 16]),
)
@example(values=[0.0, 0.0], seed=0, n_pieces=2, dtype=np.float32, bits=16)
@example(values=[1e-45, -1e-45], seed=0, n_pieces=2, dtype=np.float32, bits=16)
@example(values=[2.0**60, -1e-45, 1.0], seed=0, n_pieces=3, dtype=np.float32, bits=16)
@example(values=[0.99999994, 0.5], seed=0, n_pieces=1, dtype=np.float32, bits=16)
@settings(max_examples=150, deadline=None)
def test_counts_are_those_of_values_one_by_one(
    values: list[float], seed: int, n_pieces: int, dtype: type[Any], bits: int
) -> None:
    stream = np.random.default_rng(seed).permutation(np.array(values, dtype))
    counts = count(stream, n_pieces, bits)
    found, n, _ = counts.counted()
    fraction_bits, expected = plainly(stream.tolist(), bits)
    assert counts.fraction_bits == fraction_bits
    assert dict(zip(found.tolist(), n.tolist(), strict=True)) == expected
    assert (np.diff(found) > 0).all()
    assert counts.range == (min(0.0, *stream.tolist()), max(0.0, *stream.tolist()))


@given(values=st.lists(FLOATS, min_size=1, max_size=30), fewer=st.integers(0, 9))
@settings(max_examples=60, deadline=None)
def test_fewer_fraction_bits_round_once(values: list[float], fewer: int) -> None:
    stream = np.array(values, np.float32)
    counts = count(stream)
    most = counts.fraction_bits - fewer
    found, n, fraction_bits = counts.counted(most)
    expected = plainly(stream.tolist(), 16, most)
    assert (fraction_bits, dict(zip(found.tolist(), n.tolist(), strict=True))) == expected


def test_blocks_of_values_are_counted_together() -> None:
    values = np.random.default_rng(0).standard_normal((3, 200_000)).astype(np.float32)
    counts = count(values, 2)
    scale = 2.0**counts.fraction_bits
    expected = Counter(np.floor(values.astype(float) * scale + 0.5).ravel().astype(int).tolist())
    found, n, _ = counts.counted()
    assert dict(zip(found.tolist(), n.tolist(), strict=True)) == expected


def test_nothing_counted_is_no_value() -> None:
    counts = ValueCounts("here")
    counts.update(np.zeros((0, 3), np.float32))
    values, n, _ = counts.counted()
    assert (values.size, n.size, counts.fraction_bits) == (0, 0, 15)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_values_that_are_not_finite_are_refused_by_name(bad: float) -> None:
    with pytest.raises(TraceDataError, match="here: need finite values"):
        ValueCounts("here").update(np.array([1.0, bad], np.float32))


def test_values_beyond_every_format_are_refused() -> None:
    counts = ValueCounts("here")
    counts.update(np.array([2.0**74]))
    assert counts.fraction_bits == -60
    with pytest.raises(TraceDataError, match=r"here: need values below 2\*\*75, got"):
        counts.update(np.array([2.0**75]))
