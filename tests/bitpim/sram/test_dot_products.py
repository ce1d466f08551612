"""Dot products of filters and positions, in both arrangements."""

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from bitpim import programs
from bitpim.digital.windows import window_of
from bitpim.programs.program import Field
from bitpim.sram.dot_products import (
    LaneArithmetic,
    SumScratch,
    filter_planes,
    position_planes,
    sum_planes,
    window_codes,
)
from bitpim_kernels.layout import from_planes
from bitpim_traces.records import Geometry

BITS = 4
X, W = Field("x", 0, BITS), Field("w", BITS, BITS)
SUM = Field("sum", 4 * BITS, 16)
WINDOW = window_of(Geometry((3, 2), (2, 1), (1, 1, 0, 0), (1, 2)), (3, 5, 6))
PAD = 9
Codes = npt.NDArray[Any]


def entries(*channels: int) -> Codes:
    """List channel and tap of all entries of some channels."""
    return np.array([(channel, tap) for channel in channels for tap in range(6)])


def arithmetic(source: Codes, n_lanes: int) -> LaneArithmetic:
    table = programs.multiply_accumulate(X, W, Field("product", 8, 8), SUM[:12]).table
    lanes = np.full((n_lanes, source.shape[1]), -1)
    lanes[: source.shape[0]] = source
    return LaneArithmetic(table, X, W, SUM, [lanes])


@pytest.fixture(scope="module")
def case() -> tuple[Codes, Codes, Codes]:
    """Images (2, 3, 5, 6), their windows (24, 18) by hand, filters (70, 18)."""
    rng = np.random.default_rng(5)
    images = rng.integers(0, 16, (2, 3, 5, 6)).astype(np.uint8)
    padded = np.pad(images, ((0, 0), (0, 0), (1, 1), (0, 0)), constant_values=PAD)
    windows = [
        image[:, 2 * y : 2 * y + 3, x : x + 3 : 2].reshape(-1)
        for image in padded
        for y in range(3)
        for x in range(4)
    ]
    return images, np.array(windows), rng.integers(0, 16, (70, 18)).astype(np.uint8)


@pytest.mark.parametrize("n_lanes", [3, 4])
def test_both_arrangements_are_products_of_integers(
    case: tuple[Codes, Codes, Codes], n_lanes: int
) -> None:
    images, windows, filters = case
    source = np.arange(18).reshape(3, 6)
    source[1] = source[1][::-1]
    lanes = arithmetic(source, n_lanes)
    expected = filters.astype(np.int64) @ windows.T.astype(np.int64)

    planes = position_planes(images, entries(0, 1, 2), WINDOW, PAD, 0, (BITS, 8))
    kernel = lanes.kernel(8, inputs_in_lanes=True)
    sums = sum_planes(kernel, lanes, SumScratch(lanes, 8), planes, filters)
    assert sums.shape == (70, 16, 8)
    got = from_planes(sums, 512, dtype=np.int64)
    assert np.array_equal(got[:, :24], expected)
    assert not got[:, 24:].any()  # lanes beyond the last sample hold 0

    planes = filter_planes(filters, BITS, 8)
    codes = window_codes(images, entries(0, 1, 2), WINDOW, PAD, 24)
    assert np.array_equal(codes, windows)
    some = window_codes(images, entries(0, 1, 2)[[17, 4]], WINDOW, PAD, 24)
    assert np.array_equal(some, windows[:, [17, 4]])
    kernel = lanes.kernel(8, inputs_in_lanes=False)
    sums = sum_planes(kernel, lanes, SumScratch(lanes, 8), planes, codes)
    got = from_planes(sums, 512, dtype=np.int64)
    assert np.array_equal(got[:, :70], expected.T)
    assert not got[:, 70:].any()


def test_windows_of_some_channels_and_positions(case: tuple[Codes, Codes, Codes]) -> None:
    images, windows, _ = case
    planes = position_planes(images, entries(2, 0), WINDOW, PAD, 20, (BITS, 1))
    got = from_planes(planes, 64, dtype=np.int64)
    by_channel = windows.reshape(24, 3, 6)[20:, [2, 0]].reshape(4, 12)
    assert np.array_equal(got[:, :4].T, by_channel)
    assert not got[:, 4:].any()


def test_sums_of_windows_need_no_weight(case: tuple[Codes, Codes, Codes]) -> None:
    images, windows, _ = case
    total = Field("sum", BITS, 13)
    table = programs.accumulate(X, total[:12]).table
    source = np.arange(18).reshape(3, 6)
    lanes = LaneArithmetic(table, X, Field("w", BITS, 0), total, [source])
    planes = position_planes(images, entries(0, 1, 2), WINDOW, PAD, 0, (BITS, 8))
    ones = np.ones((1, 18), np.uint8)
    kernel = lanes.kernel(8, inputs_in_lanes=True)
    sums = sum_planes(kernel, lanes, SumScratch(lanes, 8), planes, ones)
    assert np.array_equal(from_planes(sums, 512, dtype=np.int64)[0, :24], windows.sum(axis=1))


def test_nothing_to_multiply() -> None:
    lanes = arithmetic(np.zeros((1, 1), np.int64), 1)
    planes = filter_planes(np.array([[3]], np.uint8), BITS, 8)
    none = np.empty((0, 1), np.uint8)
    kernel = lanes.kernel(8, inputs_in_lanes=False)
    assert sum_planes(kernel, lanes, SumScratch(lanes, 8), planes, none).shape == (0, 16, 8)
