"""Dot products of filters and positions, in both arrangements."""

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bitpim import programs
from bitpim.digital.windows import window_of
from bitpim.programs.program import Field
from bitpim.sram.dot_products import (
    LaneArithmetic,
    LaneLists,
    WindowLists,
    filter_planes,
    position_planes,
    sum_planes,
    window_codes,
    window_planes,
)
from bitpim_kernels.layout import from_planes, to_planes
from bitpim_traces.records import Geometry

BITS = 4
X, W = Field("x", 0, BITS), Field("w", BITS, BITS)
SUM = Field("sum", 4 * BITS, 12)
LARGEST = 15 * 15
WINDOW = window_of(Geometry((3, 2), (2, 1), (1, 1, 0, 0), (1, 2)), (3, 5, 6))
PAD = 9
Codes = npt.NDArray[Any]


def entries(*channels: int) -> Codes:
    """List channel and tap of all entries of some channels."""
    return np.array([(channel, tap) for channel in channels for tap in range(6)])


def arithmetic(source: Codes, n_lanes: int) -> LaneArithmetic:
    table = programs.multiply_accumulate(X, W, Field("product", 8, 8), SUM).table
    lanes = np.full((n_lanes, source.shape[1]), -1)
    lanes[: source.shape[0]] = source
    return LaneArithmetic(table, X, W, SUM, [lanes], LARGEST)


def summed(kernel: Any, lanes: LaneArithmetic, planes: Codes, scalars: Codes) -> Codes:
    lists = LaneLists.of(lanes.sources)
    return sum_planes(kernel, lists, lanes.tree(lanes.most_lanes), planes, scalars)


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

    planes = position_planes(images, entries(0, 1, 2), WINDOW, PAD, 0, (BITS, 16))
    kernel = lanes.kernel(16, inputs_in_lanes=True)
    sums = sum_planes(
        kernel, LaneLists.of(lanes.sources), lanes.tree(lanes.most_lanes), planes, filters
    )
    assert sums.shape == (70, lanes.tree(n_lanes).n_rows, 16)
    got = from_planes(sums, 1024, dtype=np.int64)
    assert np.array_equal(got[:, :24], expected)
    assert not got[:, 24:].any()  # lanes beyond the last sample hold 0

    planes = filter_planes(filters, BITS, 16)
    codes = window_codes(images, entries(0, 1, 2), WINDOW, PAD, 24)
    assert np.array_equal(codes, windows)
    some = window_codes(images, entries(0, 1, 2)[[17, 4]], WINDOW, PAD, 24)
    assert np.array_equal(some, windows[:, [17, 4]])
    kernel = lanes.kernel(16, inputs_in_lanes=False)
    sums = sum_planes(
        kernel, LaneLists.of(lanes.sources), lanes.tree(lanes.most_lanes), planes, codes
    )
    got = from_planes(sums, 1024, dtype=np.int64)
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
    total = Field("sum", BITS, 12)
    table = programs.accumulate(X, total).table
    source = np.arange(18).reshape(3, 6)
    lanes = LaneArithmetic(table, X, Field("w", BITS, 0), total, [source], 15)
    planes = position_planes(images, entries(0, 1, 2), WINDOW, PAD, 0, (BITS, 16))
    ones = np.ones((1, 18), np.uint8)
    kernel = lanes.kernel(16, inputs_in_lanes=True)
    sums = sum_planes(
        kernel, LaneLists.of(lanes.sources), lanes.tree(lanes.most_lanes), planes, ones
    )
    assert np.array_equal(from_planes(sums, 1024, dtype=np.int64)[0, :24], windows.sum(axis=1))


def test_nothing_to_multiply() -> None:
    lanes = arithmetic(np.zeros((1, 1), np.int64), 1)
    planes = filter_planes(np.array([[3]], np.uint8), BITS, 16)
    none = np.empty((0, 1), np.uint8)
    kernel = lanes.kernel(16, inputs_in_lanes=False)
    assert sum_planes(
        kernel, LaneLists.of(lanes.sources), lanes.tree(lanes.most_lanes), planes, none
    ).shape == (0, 8, 16)


def lists_of(rng: np.random.Generator, n: int, n_taps: int, n_entries: int) -> list[Codes]:
    """Draw lists of 1 to 9 lanes, some of them alike, some without an entry."""
    pool = rng.integers(-1, n_entries, (6, n_taps))
    pool[0] = -1
    return [pool[rng.integers(0, 6, int(rng.integers(1, 10)))] for _ in range(n)]


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), n_sets=st.integers(1, 5), n_taps=st.integers(1, 7))
def test_every_filter_takes_the_lanes_of_its_list(seed: int, n_sets: int, n_taps: int) -> None:
    rng = np.random.default_rng(seed)
    sources = lists_of(rng, n_sets, n_taps, 8)
    table = programs.multiply_accumulate(X, W, Field("product", 8, 8), SUM).table
    lanes = LaneArithmetic(table, X, W, SUM, sources, LARGEST)
    inputs, filters = rng.integers(0, 16, (8, 1024)), rng.integers(0, 16, (n_sets, 8))
    planes, lists = to_planes(inputs, BITS), LaneLists.of(sources)
    kernel, tree = lanes.kernel(16, inputs_in_lanes=True), lanes.tree(lanes.most_lanes)
    expected = np.zeros((n_sets, 1024), np.int64)
    for total, weights, source in zip(expected, filters, sources, strict=True):
        for entry in source[source >= 0]:
            total += weights[entry] * inputs[entry]
    got = sum_planes(kernel, lists, tree, planes, filters.astype(np.uint8))
    assert np.array_equal(from_planes(got, 1024, dtype=np.int64), expected)
    first = int(rng.integers(0, n_sets))
    some = slice(first, n_sets)
    part = lists.part(first, n_sets - first)
    got = sum_planes(kernel, part, tree, planes, filters[some].astype(np.uint8))
    assert np.array_equal(from_planes(got, 1024, dtype=np.int64), expected[some])


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), n_sets=st.integers(1, 5), n_taps=st.integers(1, 7))
def test_lanes_that_are_alike_are_summed_once(seed: int, n_sets: int, n_taps: int) -> None:
    rng = np.random.default_rng(seed)
    sources = lists_of(rng, n_sets, n_taps, 8)
    table = programs.accumulate(X, Field("sum", BITS, 12)).table
    total = Field("sum", BITS, 12)
    lanes = LaneArithmetic(table, X, Field("w", BITS, 0), total, sources, 15)
    inputs = rng.integers(0, 16, (8, 1024))
    which = rng.permutation(n_sets)[: int(rng.integers(1, n_sets + 1))].tolist()
    windows = WindowLists.of(lanes, which)
    rows = windows.lanes.source
    assert len(np.unique(rows, axis=0)) == len(rows) <= 6
    got = window_planes(lanes.kernel(16, inputs_in_lanes=True), windows, to_planes(inputs, BITS))
    assert got.shape[1] == lanes.tree(max(len(source) for source in sources)).n_rows
    expected = [inputs[sources[i][sources[i] >= 0]].sum(axis=0) for i in which]
    assert np.array_equal(from_planes(got, 1024, dtype=np.int64), expected)
