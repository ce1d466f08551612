from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from bitpim_kernels import layout, words

Form = Callable[[Any], Callable[..., Any]]
LANES = (0, 1, 63, 64, 65, 127, 128, 200)


def random_lanes(n_lanes: int, seed: int) -> npt.NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 2, n_lanes, dtype=np.uint8)


@pytest.mark.parametrize("n_lanes", LANES)
@pytest.mark.parametrize("n", [0, 1, 63, 64, 65, 128, 199, 300])
def test_shifts_cross_words(n_lanes: int, n: int, form: Form) -> None:
    lanes = random_lanes(n_lanes, 3)
    row = layout.pack(lanes)
    gone = min(n, n_lanes)
    out = np.full_like(row, 5)
    form(words.shift_lanes_up)(row, n, layout.tail_mask(n_lanes), out)
    expected = np.concatenate([np.zeros(gone, np.uint8), lanes[: n_lanes - gone]])
    assert np.array_equal(layout.unpack(out, n_lanes), expected)
    form(words.shift_lanes_down)(row, n, out)
    expected = np.concatenate([lanes[gone:], np.zeros(gone, np.uint8)])
    assert np.array_equal(layout.unpack(out, n_lanes), expected)


@pytest.mark.parametrize("n", [0, 1, 64, 70])
def test_shifts_may_write_over_their_input(n: int, form: Form) -> None:
    row = layout.pack(random_lanes(200, 4))
    for name, extra in (("up", (layout.tail_mask(200),)), ("down", ())):
        shift = form(getattr(words, f"shift_lanes_{name}"))
        apart, over = np.zeros_like(row), row.copy()
        shift(row, n, *extra, apart)
        shift(over, n, *extra, over)
        assert np.array_equal(over, apart)
