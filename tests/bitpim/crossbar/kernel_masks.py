"""Masks of conv kernels for property tests."""

import numpy as np
import numpy.typing as npt
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

__all__ = ["masks"]

Codes = npt.NDArray[np.uint64]


@st.composite
def masks(draw: st.DrawFn) -> tuple[Codes, int]:
    """Codes of few different masks, whole and empty kernels among them."""
    n_positions = draw(st.sampled_from([1, 2, 9, 9, 9, 25, 64]))
    full = (1 << n_positions) - 1
    few = [*draw(st.lists(st.integers(0, full), min_size=1, max_size=4)), 0, full]
    shape = (draw(st.integers(1, 12)), draw(st.integers(1, 5)))
    return draw(hnp.arrays(np.uint64, shape, elements=st.sampled_from(few))), n_positions
