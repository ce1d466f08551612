import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from bitpim.crossbar.ragged import edges_of, places_in, ranges


@given(st.lists(st.tuples(st.integers(0, 50), st.integers(0, 5)), max_size=8))
def test_lists_of_any_lengths(pairs: list[tuple[int, int]]) -> None:
    starts = np.array([start for start, _ in pairs], np.int64)
    lengths = np.array([length for _, length in pairs], np.int64)
    expected = [n for start, length in pairs for n in range(start, start + length)]
    assert ranges(starts, lengths).tolist() == expected
    owner, place = places_in(lengths)
    found = list(zip(owner.tolist(), place.tolist(), strict=True))
    assert found == [(i, k) for i, (_, length) in enumerate(pairs) for k in range(length)]
    edges = edges_of(lengths).tolist()
    assert edges == [sum(lengths[:i].tolist()) for i in range(len(pairs) + 1)]
