"""Where the windows of layers lie, and how many elements pooling windows average."""

import itertools
import tracemalloc

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from bitpim.digital.windows import (
    elements_met,
    padded,
    window_counts,
    window_of,
    windows_by_count,
)
from bitpim_kernels.windows import Window, gather_window
from bitpim_traces.records import Geometry


@given(
    kernel=st.tuples(st.integers(1, 4), st.integers(1, 4)),
    stride=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    padding=st.tuples(*[st.integers(0, 3)] * 4),
    dilation=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    shape=st.tuples(st.integers(1, 7), st.integers(1, 7)),
    ceil_mode=st.booleans(),
    include=st.booleans(),
)
def test_counts_are_those_of_an_image_of_ones(
    kernel: tuple[int, int],
    stride: tuple[int, int],
    padding: tuple[int, int, int, int],
    dilation: tuple[int, int],
    shape: tuple[int, int],
    ceil_mode: bool,
    include: bool,
) -> None:
    geometry = Geometry(
        kernel, stride, padding, dilation, ceil_mode=ceil_mode, count_include_pad=include
    )
    size = geometry.output_size(*shape)
    if min(size) < 1:
        return
    top, bottom, left, right = padding
    ones = np.full((shape[0] + top + bottom + 12, shape[1] + left + right + 12), 0)
    ones[: shape[0] + top + bottom, : shape[1] + left + right] = include
    ones[top : top + shape[0], left : left + shape[1]] = 1
    counts = window_counts(geometry, (3, *shape))
    assert counts.shape == size
    for y, x in np.ndindex(*size):
        row, column = y * stride[0], x * stride[1]
        rows = slice(row, row + kernel[0] * dilation[0], dilation[0])
        columns = slice(column, column + kernel[1] * dilation[1], dilation[1])
        assert counts[y, x] == ones[rows, columns].sum()
    values, times = np.unique(counts, return_counts=True)
    found = windows_by_count(geometry, (3, *shape))
    assert list(found.items()) == list(zip(values.tolist(), times.tolist(), strict=True))


def test_a_global_window_averages_all() -> None:
    assert window_counts(Geometry((7, 5)), (64, 7, 5)).tolist() == [[35]]


def test_every_size_of_a_window_has_its_name() -> None:
    geometry = Geometry((3, 2), (4, 5), (6, 7, 8, 9), (10, 11))
    assert window_of(geometry, (12, 40, 50)) == Window(
        height=40,
        width=50,
        channels=12,
        kernel_y=3,
        kernel_x=2,
        stride_y=4,
        stride_x=5,
        dilation_y=10,
        dilation_x=11,
        top=6,
        left=8,
        rows=(40 + 13 - 21) // 4 + 1,
        cols=(50 + 17 - 12) // 5 + 1,
    )
    assert window_of(geometry, (12, 40, 50)).n_taps == 6


def test_a_layer_without_geometry_sees_one_pixel() -> None:
    assert window_of(None, (7,)) == Window(1, 1, 7, 1, 1, 1, 1, 1, 1, 0, 0, 1, 1)


@given(
    kernel=st.tuples(st.integers(1, 4), st.integers(1, 4)),
    stride=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    padding=st.tuples(*[st.integers(0, 3)] * 4),
    dilation=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    shape=st.tuples(st.integers(1, 7), st.integers(1, 7)),
    ceil_mode=st.booleans(),
)
def test_a_padded_copy_holds_the_image_and_every_tap(
    kernel: tuple[int, int],
    stride: tuple[int, int],
    padding: tuple[int, int, int, int],
    dilation: tuple[int, int],
    shape: tuple[int, int],
    ceil_mode: bool,
) -> None:
    window = window_of(Geometry(kernel, stride, padding, dilation, 1, ceil_mode), (2, *shape))
    if min(window.rows, window.cols) < 1:
        return
    copy = padded(window)
    taps = {(y * stride[0], x * stride[1]) for y in range(window.rows) for x in range(window.cols)}
    last_y = max(y for y, _ in taps) + (kernel[0] - 1) * dilation[0]
    last_x = max(x for _, x in taps) + (kernel[1] - 1) * dilation[1]
    assert copy.height == max(last_y + 1, padding[0] + shape[0])
    assert copy.width == max(last_x + 1, padding[2] + shape[1])
    assert copy == window._replace(height=copy.height, width=copy.width, top=0, left=0)


def test_counting_windows_takes_memory_of_one_axis() -> None:
    tracemalloc.start()
    geometry = Geometry((2**12, 2**12), padding=(1, 0, 0, 0))
    found = windows_by_count(geometry, (1, 2**17, 2**17))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    n = 2**17 - 2**12 + 1
    assert found == {2**24 - 2**12: n, 2**24: n * n}
    assert peak < 2**25


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_elements_are_those_that_the_kernel_gathers(seed: int) -> None:
    """An image of the numbers of its elements; the kernel sees padding as a number of its own."""
    rng = np.random.default_rng(seed)

    def pair() -> tuple[int, int]:
        down, across = rng.integers(1, 4, 2)
        return int(down), int(across)

    channels, high, wide = (int(n) for n in rng.integers(2, 7, 3))
    top, bottom, left, right = (int(n) for n in rng.integers(4, 7, 4))
    geometry = Geometry(pair(), pair(), (top, bottom, left, right), pair())
    window = window_of(geometry, (channels, high, wide))
    numbers = np.arange(channels * high * wide, dtype=np.int16).reshape(1, channels, high, wide)
    for channel, tap in itertools.product(range(channels), range(window.n_taps)):
        met = np.empty(window.rows * window.cols, np.int16)
        gather_window(numbers, channel, tap, window, -1, 0, met)
        at = np.array([channel]), np.array([tap])
        found = [int(elements_met(window, place, *at)[0]) for place in range(met.size)]
        assert found == met.tolist()
