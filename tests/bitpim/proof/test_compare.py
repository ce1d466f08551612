"""First mismatches, with coordinates, in one batch and over many."""

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bitpim.errors import MismatchError
from bitpim.proof.compare import LayerComparison, Mismatch, first_mismatch

Array = npt.NDArray[Any]


def test_equal_outputs_have_no_mismatch_whatever_their_dtype() -> None:
    codes = np.arange(24, dtype=np.int8).reshape(1, 2, 3, 4)
    assert first_mismatch(codes, codes.astype(np.uint16)) is None
    assert first_mismatch(codes[:0], codes[:0]) is None


def test_signed_and_unsigned_codes_are_compared_by_value() -> None:
    found = first_mismatch(np.array([[-1]], np.int8), np.array([[255]], np.uint8))
    assert found is not None and (found.expected, found.got) == (-1, 255)


def test_the_first_mismatch_names_its_place() -> None:
    expected = np.zeros((3, 2, 4, 5), dtype=np.uint8)
    got = expected.copy()
    got[2, 0, 0, 0] = 9
    got[1, 1, 2, 3] = 7
    got[1, 1, 3, 0] = 8
    found = first_mismatch(expected, got, layer=4, name="conv", first_sample=10)
    assert found == Mismatch(4, "conv", 11, (1, 2, 3), 0, 7, 3, 120)
    assert str(found) == (
        "layer 4 'conv', sample 11, channel 1 y 2 x 3: need 0, got 7 (3 of 120 codes differ)"
    )
    assert found.to_dict()["coordinate"] == [1, 2, 3]


def test_vectors_have_features() -> None:
    found = first_mismatch(np.array([[1, 2, 3]]), np.array([[1, 2, 4]]))
    assert found is not None
    assert "feature 2: need 3, got 4" in str(found)


def test_shapes_and_dtypes_that_cannot_be_compared_are_mismatches() -> None:
    with pytest.raises(MismatchError, match=r"shape \(1, 2\), got \(2, 1\)"):
        first_mismatch(np.zeros((1, 2), np.int8), np.zeros((2, 1), np.int8))
    with pytest.raises(MismatchError, match="integer codes, got float32"):
        first_mismatch(np.zeros((1, 2), np.int8), np.zeros((1, 2), np.float32))


@given(st.integers(0, 2**32 - 1), st.integers(1, 5), st.booleans())
def test_batches_in_any_order_give_what_one_batch_gives(seed: int, step: int, merged: bool) -> None:
    rng = np.random.default_rng(seed)
    expected = rng.integers(0, 4, (9, 2, 3, 2)).astype(np.int8)
    got = expected.copy()
    hit = rng.random(got.shape) < rng.choice([0.0, 0.02, 0.3])
    got[hit] += 1
    whole = LayerComparison(2, "pool")
    whole.update(expected, got, 100)
    parts = LayerComparison(2, "pool")
    for start in rng.permutation(np.arange(0, 9, step)):
        at = slice(int(start), int(start) + step)
        if merged:
            part = LayerComparison(2, "pool")
            part.update(expected[at], got[at], 100 + int(start))
            parts.merge(part)
        else:
            parts.update(expected[at], got[at], 100 + int(start))
    assert parts == whole
    assert whole.equal == (not hit.any())
    assert whole.n_mismatches == hit.sum()
    if whole.first is not None:
        sample, *place = np.argwhere(hit)[0].tolist()
        assert (whole.first.sample, list(whole.first.coordinate)) == (100 + sample, place)
    assert whole.to_dict()["n_mismatches"] == hit.sum()


def test_nothing_compared_is_not_equal() -> None:
    assert not LayerComparison(0, "conv").equal


def test_other_layers_are_not_merged() -> None:
    with pytest.raises(MismatchError, match="same layer"):
        LayerComparison(0, "a").merge(LayerComparison(1, "a"))
