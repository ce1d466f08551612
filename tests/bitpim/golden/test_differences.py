"""The first difference of two states is the first, and says where."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from bitpim.golden.differences import first_difference
from bitpim.stepped import StateForm
from bitpim_kernels.layout import pack

ROWS = StateForm("rows", ("row", "column"), (3, 130))
SUMS = StateForm("sums", ("sum",), (5,), np.dtype(np.int64))


@given(st.sets(st.tuples(st.integers(0, 2), st.integers(0, 129)), max_size=5), st.integers(0, 99))
def test_bits(flipped: set[tuple[int, int]], seed: int) -> None:
    bits = np.random.default_rng(seed).integers(0, 2, (3, 130), np.uint8)
    other = bits.copy()
    for place in flipped:
        other[place] ^= 1
    found = first_difference(ROWS, pack(bits), pack(other), 7, {1: "x[0]"})
    if not flipped:
        assert found is None
        return
    first = min(flipped)
    assert found is not None
    assert (found.step, found.state, found.place, found.n_wrong) == (7, "rows", first, len(flipped))
    assert (found.expected, found.got) == (bits[first], other[first])
    name = " (x[0])" if first[0] == 1 else ""
    assert found.told == f"row {first[0]}{name}, column {first[1]}"


def test_numbers() -> None:
    expected = np.array([1, -5, 2**62, 0, 3])
    got = np.array([1, -5, -(2**62), 0, 4])
    found = first_difference(SUMS, expected, got, 3, {})
    assert found is not None
    assert (found.place, found.expected, found.got, found.n_wrong) == ((2,), 2**62, -(2**62), 2)
    assert str(found) == (
        f"step 3: sum 2 of sums is {-(2**62)}, expected {2**62} (2 of that state differ)"
    )
    assert first_difference(SUMS, expected, expected.copy(), 3, {}) is None
