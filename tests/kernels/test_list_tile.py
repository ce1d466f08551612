from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from bitpim_kernels.jit import kernel
from bitpim_kernels.list_tile import (
    NARROW_LANES,
    PUT_AT_ONCE,
    WIDE_LANES,
    Converter,
    OpenRows,
    put_bits,
    read_rows,
)

Form = Callable[[Any], Callable[..., Any]]
NO_TABLE = np.zeros(0, np.int32)


@kernel()
def put(rows: Any, at: int, word: Any, base: int) -> int:
    return put_bits(rows, at, word, base)


@kernel()
def read(
    cells: Any, at: int, wide: bool, weighted: bool, opened: OpenRows, adc: Converter, sums: Any
) -> None:
    read_rows(cells, at, wide, weighted, opened, opened.ends.shape[0], adc, -3, sums, 5)


WORDS = [0, 1, 1 << 63, 2**64 - 1, 0x5555555555555555, 255, 0x1FF, 0x8000000000000001]


@pytest.mark.parametrize("word", WORDS)
def test_places_of_ones_are_put_in_order(word: int, form: Form) -> None:
    rows = np.full(3 + 64 + PUT_AT_ONCE, -7, np.int32)
    n = form(put)(rows, 3, np.uint64(word), -100)
    places = [k for k in range(64) if word >> k & 1]
    assert n == len(places)
    assert rows[3 : 3 + n].tolist() == [k - 100 for k in places]
    assert rows[:3].tolist() == [-7] * 3
    assert np.all(rows[3 + n + PUT_AT_ONCE :] == -7)


@pytest.mark.parametrize("dtype", [np.int8, np.int16, np.int32])
@pytest.mark.parametrize("wide", [False, True])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("looks_up", [False, True])
def test_a_tile_reads_adds_and_converts(
    dtype: Any, wide: bool, weighted: bool, looks_up: bool, form: Form
) -> None:
    rng = np.random.default_rng(3)
    lanes = WIDE_LANES if wide else NARROW_LANES
    top = {np.int8: 4, np.int16: 1500, np.int32: 10**6}[dtype]
    cells = rng.integers(-top, top + 1, (9, lanes)).astype(dtype)
    digits = rng.integers(1, 8, 6).astype(np.int16) if weighted else np.full(6, 99, np.int16)
    if dtype == np.int8 and weighted:
        cells = np.sign(cells)
    opened = OpenRows(
        np.array([8, 0, 3, 4, 5, 7], np.int32), digits, np.array([2, 2, 5, 6], np.int32)
    )
    most = int(3 * 7 * top)
    adc = Converter(-top, top - 1, NO_TABLE, 0)
    table = rng.integers(-50, 50, 2 * most + 1).astype(np.int32)
    if looks_up and dtype != np.int32:
        adc = Converter(-most, most, table, -most)
    flat = np.concatenate([np.full(7, 88, dtype), cells.ravel()])
    sums = np.arange(lanes + 9)
    form(read)(flat, 7, wide, weighted, opened, adc, sums)
    found = np.zeros(lanes, np.int64)
    for part in ([0, 1], [], [2, 3, 4], [5]):
        for lane in range(lanes):
            y = sum(
                (int(digits[j]) if weighted else 1) * int(cells[opened.rows[j], lane]) for j in part
            )
            looked_up = adc.table.size > 0
            found[lane] += table[y + most] if looked_up else min(max(y, -top), top - 1)
    expected = np.arange(lanes + 9)
    expected[5 : 5 + lanes] -= 3 * found
    assert np.array_equal(sums, expected)
