"""Points of an activation by table: both ends, rising, denser where the function moves."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bitpim_traces.codebook import Codebook
from bitpim_traces.functions import FUNCTIONS
from bitpim_traces.quantize.points import activation_points

OUTPUT = Codebook(np.array([-100, 0, 9000]), 12, 16)
NAMES = [name for name, f in FUNCTIONS.items() if not f.constants and name != "sign"]


def function(name: str) -> Callable[[Any], Any]:
    return lambda x: FUNCTIONS[name].of(x[None, None], None)[0, 0]


def points(
    name: str, ends: tuple[float, float], n: int = 64, fraction_bits: int = 20
) -> np.ndarray[Any, Any]:
    return activation_points(function(name), ends, n, fraction_bits=fraction_bits, output=OUTPUT)


@given(
    name=st.sampled_from(NAMES),
    low=st.floats(-50, 50),
    span=st.floats(0, 80),
    n=st.integers(2, 70),
    fraction_bits=st.integers(-3, 30),
)
@settings(max_examples=80, deadline=None)
def test_points_are_the_function_at_rising_places(
    name: str, low: float, span: float, n: int, fraction_bits: int
) -> None:
    made = points(name, (low, low + span), n, fraction_bits)
    x, y = made.T
    assert 2 <= len(made) <= n
    assert (np.diff(x) > 0).all()
    assert x[0] == round(low * 2.0**fraction_bits)
    assert x[-1] in (round((low + span) * 2.0**fraction_bits), x[0] + 1)
    with np.errstate(all="ignore"):
        real = function(name)(x / 2.0**fraction_bits) * 2.0**12
    expected = np.rint(np.clip(np.nan_to_num(real, nan=0.0), -32768, 32767))
    np.testing.assert_array_equal(y, expected)


@pytest.mark.parametrize(("name", "share"), [("sigmoid", 0.5), ("tanh", 0.35), ("exp", 0.5)])
def test_points_beat_even_ones(name: str, share: float) -> None:
    """The largest error of the nearest point, against that of as many evenly spread ones."""
    x = np.linspace(-8, 8, 20_001)
    errors = []
    for at in (points(name, (-8.0, 8.0))[:, 0] / 2.0**20, np.linspace(-8, 8, 64)):
        place = np.searchsorted((at[1:] + at[:-1]) / 2, x)
        errors.append(float(np.abs(function(name)(at)[place] - function(name)(x)).max()))
    assert errors[0] < share * errors[1]


def test_relu_by_points_has_most_of_them_where_it_rises() -> None:
    made = activation_points(
        lambda x: np.maximum(x, 0), (-4.0, 4.0), 64, fraction_bits=10, output=OUTPUT
    )
    assert (made[:, 0] > 0).sum() >= 30
    assert made[-1].tolist() == [4096, 16384]
    assert (made[made[:, 0] <= 0, 1] == 0).all()


def test_a_function_that_stays_has_even_points() -> None:
    made = activation_points(np.zeros_like, (0.0, 8.0), 9, fraction_bits=0, output=OUTPUT)
    assert made[:, 0].tolist() == list(range(9))
    assert not made[:, 1].any()


def test_values_beyond_the_width_take_its_ends() -> None:
    made = activation_points(
        lambda x: np.where(x > 0, np.inf, np.where(x < 0, -1e9, np.nan)),
        (-1.0, 1.0),
        3,
        fraction_bits=0,
        output=OUTPUT,
    )
    assert made.tolist() == [[-1, -32768], [0, 0], [1, 32767]]
