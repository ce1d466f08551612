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
def test_logic_is_lane_by_lane_and_padding_stays_zero(n_lanes: int, form: Form) -> None:
    a, b = random_lanes(n_lanes, 1), random_lanes(n_lanes, 2)
    tail = layout.tail_mask(n_lanes)
    rows = layout.pack(a), layout.pack(b)
    out = np.full_like(rows[0], 5)
    for name, expected in (("and", a & b), ("or", a | b), ("xor", a ^ b)):
        form(getattr(words, f"{name}_rows"))(*rows, out)
        assert np.array_equal(layout.unpack(out, n_lanes), expected)  # unpack refuses padding
    form(words.nor_rows)(*rows, tail, out)
    assert np.array_equal(layout.unpack(out, n_lanes), 1 - (a | b))
    form(words.not_row)(rows[0], tail, rows[0])
    assert np.array_equal(layout.unpack(rows[0], n_lanes), 1 - a)


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


@pytest.mark.parametrize("n_lanes", LANES)
def test_counts_and_verdicts(n_lanes: int, form: Form) -> None:
    lanes = np.stack([random_lanes(n_lanes, s) for s in range(3)])
    lanes[1], lanes[2] = 0, 1
    rows = layout.pack(lanes)
    tail = layout.tail_mask(n_lanes)
    ones = np.zeros(3, np.int64)
    form(words.count_ones)(rows, ones)
    assert ones.tolist() == lanes.sum(axis=1, dtype=int).tolist()
    assert [form(words.any_lane)(row) for row in rows] == lanes.any(axis=1).tolist()
    assert [form(words.all_lanes)(row, tail) for row in rows] == lanes.all(axis=1).tolist()


@pytest.mark.parametrize("lane", [0, 63, 64, 129])
def test_one_lane_decides(lane: int, form: Form) -> None:
    lanes = np.zeros(130, np.uint8)
    lanes[lane] = 1
    assert form(words.any_lane)(layout.pack(lanes)) is True
    assert form(words.all_lanes)(layout.pack(1 - lanes), layout.tail_mask(130)) is False
