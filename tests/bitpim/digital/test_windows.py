"""Elements that pooling windows average."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from bitpim.digital.windows import window_counts
from bitpim_traces.records import Geometry


@given(
    kernel=st.tuples(st.integers(1, 4), st.integers(1, 4)),
    stride=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    padding=st.tuples(*[st.integers(0, 3)] * 4),
    shape=st.tuples(st.integers(1, 7), st.integers(1, 7)),
    ceil_mode=st.booleans(),
    include=st.booleans(),
)
def test_counts_are_those_of_an_image_of_ones(
    kernel: tuple[int, int],
    stride: tuple[int, int],
    padding: tuple[int, int, int, int],
    shape: tuple[int, int],
    ceil_mode: bool,
    include: bool,
) -> None:
    geometry = Geometry(kernel, stride, padding, ceil_mode=ceil_mode, count_include_pad=include)
    size = geometry.output_size(*shape)
    if min(size) < 1:
        return
    top, bottom, left, right = padding
    ones = np.full((shape[0] + top + bottom + 9, shape[1] + left + right + 9), 0)
    ones[: shape[0] + top + bottom, : shape[1] + left + right] = include
    ones[top : top + shape[0], left : left + shape[1]] = 1
    counts = window_counts(geometry, (3, *shape))
    assert counts.shape == size
    for y, x in np.ndindex(*size):
        row, column = y * stride[0], x * stride[1]
        assert counts[y, x] == ones[row : row + kernel[0], column : column + kernel[1]].sum()


def test_a_global_window_averages_all() -> None:
    assert window_counts(Geometry((7, 5)), (64, 7, 5)).tolist() == [[35]]
