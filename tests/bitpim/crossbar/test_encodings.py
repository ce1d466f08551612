import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bitpim.crossbar.encodings import ENCODINGS, columns_per_weight, digits_of, encode_weights
from bitpim.errors import ConfigError, MappingError

PLAIN = ("offset", "differential", "differential_paired", "twos_complement")


@given(
    st.sampled_from(ENCODINGS),
    st.integers(2, 16),
    st.integers(1, 8),
    st.integers(0, 2**32),
    st.sampled_from([(-1, 1), (0, 1), (-1, 0)]),
)
def test_cells_and_corrections_give_the_weights_back(
    encoding: str, bits: int, cell_bits: int, seed: int, sides: tuple[int, int]
) -> None:
    """Row by row: the reading of an input 1 alone, with its correction."""
    rng = np.random.default_rng(seed)
    high = 1 << (bits - 1)
    weights = rng.integers(sides[0] * (high - 1), sides[1] * (high - 1), (7, 3), endpoint=True)
    zeros = rng.integers(-high, high, 3)
    stored = encode_weights(weights, bits, encoding, cell_bits, 4, zeros=zeros)
    top = (1 << cell_bits) - 1
    assert stored.cells.max() <= top
    assert stored.cells.min() >= (-top if stored.paired else 0)
    assert stored.cells.shape[1] == 3 * columns_per_weight(bits, encoding, cell_bits)
    for row, cells in enumerate(stored.cells):
        group = int(np.searchsorted(stored.row_edges, row, "right")) - 1
        read = (cells * stored.factors[group]).reshape(-1, 3).sum(axis=0)
        assert np.array_equal(read + stored.corrections[group], weights[row] - zeros)


@given(st.sampled_from(PLAIN), st.integers(0, 2**32))
def test_weights_left_out_lie_at_level_0_and_count_for_nothing(encoding: str, seed: int) -> None:
    rng = np.random.default_rng(seed)
    zeros = rng.integers(-100, 100, 3)
    kept = rng.random((6, 3)) < 0.5
    weights = np.where(kept, rng.integers(-127, 128, (6, 3)), zeros)
    stored = encode_weights(weights, 8, encoding, 2, 4, kept, zeros)
    slices = stored.cells.reshape(6, -1, 3)
    assert not np.any(slices[np.broadcast_to(~kept[:, np.newaxis], slices.shape)])
    held = (stored.cells * stored.factors[0]).reshape(6, -1, 3).sum(axis=1)
    held = held + stored.corrections[0] - (0 if stored.offsets is None else stored.offsets)
    assert np.array_equal(held, weights - zeros)


def test_wrong_weights_are_refused() -> None:
    ones = np.ones((4, 2), np.int64)
    for arguments in ((8, "sign", 2, 4), (1, "offset", 2, 4), (17, "offset", 2, 4)):
        with pytest.raises(ConfigError):
            encode_weights(ones, *arguments)
    for cell_bits in (0, 9):
        with pytest.raises(ConfigError, match="1 to 8 cell bits"):
            encode_weights(ones, 8, "offset", cell_bits, 4)
    with pytest.raises(ConfigError, match="arrays of 1 row"):
        encode_weights(ones, 8, "offset", 2, 0)
    with pytest.raises(MappingError, match=r"differential: need weights within -127..127"):
        encode_weights(ones * -128, 8, "differential", 2, 4)
    with pytest.raises(MappingError, match=r"offset: need weights within -8..7 for 4 bits, got 8"):
        encode_weights(ones * 8, 4, "offset", 2, 4)
    with pytest.raises(MappingError, match=r"need weights \(rows, outputs\)"):
        encode_weights(ones[:0], 8, "offset", 2, 4)
    with pytest.raises(MappingError, match=r"need 2 zero points, one an output, got shape \(3,\)"):
        encode_weights(ones, 8, "offset", 2, 4, zeros=np.zeros(3, np.int64))
    with pytest.raises(ConfigError, match="digit of 1 to 16 bits, got 0"):
        digits_of(8, 0, signed=False)


def test_masks_that_disagree_with_the_weights_are_refused() -> None:
    weights = np.array([[3, 5], [3, 4]])
    zeros, kept = np.array([3, 5]), np.array([[False, True], [True, False]])
    with pytest.raises(MappingError, match="left out to be 5, got 4 at row 1, output 1; the mask"):
        encode_weights(weights, 8, "offset", 2, 4, kept, zeros)
    with pytest.raises(MappingError, match="column_flip: need all weights kept"):
        encode_weights(weights, 8, "column_flip", 2, 4, np.array([[False, True]] * 2), zeros)
    whole = encode_weights(weights, 8, "column_flip", 2, 4, np.ones((2, 2), np.bool_), zeros)
    assert whole.offsets is None
