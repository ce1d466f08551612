from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bitpim_kernels import layout, vector
from bitpim_kernels.errors import LayoutError
from tests.naive import layout as naive

Form = Callable[[Any], Callable[..., Any]]
LANES = (0, 1, 63, 64, 65, 127, 128, 200)
DTYPES = ("int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64")


def random_codes(dtype: str, shape: tuple[int, ...], seed: int = 0) -> npt.NDArray[Any]:
    limits = np.iinfo(dtype)
    rng = np.random.default_rng(seed)
    return rng.integers(limits.min, limits.max, shape, dtype=dtype, endpoint=True)


def test_the_worked_example_of_the_readme() -> None:
    codes = np.array([5, -1, 2, -4], np.int8)
    planes = layout.to_planes(codes, 4)
    assert planes[:, 0].tolist() == [0b0011, 0b0110, 0b1011, 0b1010]
    assert layout.from_planes(planes, 4, signed=True).tolist() == [5, -1, 2, -4]
    assert layout.from_planes(planes, 4).tolist() == [5, 15, 2, 12]


@pytest.mark.parametrize(("n_lanes", "words"), [(0, 0), (1, 1), (64, 1), (65, 2), (128, 2)])
def test_words_for(n_lanes: int, words: int) -> None:
    assert layout.words_for(n_lanes) == words


@pytest.mark.parametrize("n_lanes", LANES)
def test_tail_mask_has_the_ones_of_the_last_word(n_lanes: int) -> None:
    words = naive.pack([1] * n_lanes)
    assert int(layout.tail_mask(n_lanes)) == (words[-1] if words else 2**64 - 1)


@pytest.mark.parametrize("n_lanes", LANES)
@pytest.mark.parametrize("dtype", DTYPES)
def test_codes_to_planes_is_the_naive_layout(dtype: str, n_lanes: int, form: Form) -> None:
    codes = random_codes(dtype, (n_lanes,))
    n_bits = np.iinfo(dtype).bits
    for width in (1, n_bits - 3, n_bits, n_bits + 5):  # beyond the dtype: the sign again, or 0
        planes = np.full((width, layout.words_for(n_lanes)), 7, np.uint64)
        form(layout.codes_to_planes)(codes, planes)
        assert np.array_equal(planes, naive.planes(codes.tolist(), width))


@pytest.mark.parametrize("n_lanes", LANES)
@pytest.mark.parametrize(
    ("dtype", "signed"), [(d, s) for d in DTYPES for s in (False, True) if d[0] == "i" or not s]
)
def test_planes_to_codes_is_the_naive_layout(
    dtype: str, n_lanes: int, signed: bool, form: Form
) -> None:
    limits = np.iinfo(dtype)
    rng = np.random.default_rng(1)
    widest = limits.bits if signed or limits.min == 0 else limits.bits - 1
    for width in (1, 3, 7, widest):
        bits = rng.integers(0, 2, (width, n_lanes))
        planes = np.array([naive.pack(row) for row in bits.tolist()], np.uint64)
        planes = planes.reshape(width, layout.words_for(n_lanes))
        out = np.full(n_lanes, 85, dtype)
        form(layout.planes_to_codes)(planes, signed, out)
        assert out.tolist() == naive.codes(planes, n_lanes, signed)


@pytest.mark.parametrize("n_lanes", LANES)
def test_pack_and_unpack_are_the_naive_layout(n_lanes: int, form: Form) -> None:
    bits = random_codes("uint8", (3, n_lanes)) & np.uint8(1)
    words = np.full((3, layout.words_for(n_lanes)), 9, np.uint64)
    form(layout.pack_rows)(bits, words)
    assert words.tolist() == [naive.pack(row) for row in bits.tolist()]
    back = np.full_like(bits, 9)
    form(layout.unpack_rows)(words, back)
    assert np.array_equal(back, bits)


def test_row_kernels_take_many_rows(form: Form) -> None:
    codes = random_codes("int16", (3, 70))
    planes = np.zeros((3, 16, 2), np.uint64)
    form(layout.codes_rows_to_planes)(codes, planes)
    for row in range(3):
        assert np.array_equal(planes[row], naive.planes(codes[row].tolist(), 16))
    back = np.zeros_like(codes)
    form(layout.planes_rows_to_codes)(planes, True, back)
    assert np.array_equal(back, codes)


def test_kernels_write_into_the_rows_of_a_larger_block(form: Form) -> None:
    codes = random_codes("uint8", (130,))
    block = np.full((20, 5), 3, np.uint64)
    form(layout.codes_to_planes)(codes, block[4:12, 1:4])
    assert np.array_equal(block[4:12, 1:4], naive.planes(codes.tolist(), 8))
    block[4:12, 1:4] = 3
    assert (block == 3).all(), "a word outside the target was written"


def test_short_rows_are_not_written_beyond_their_end(form: Form) -> None:
    out = np.full(70, 99, np.int32)
    planes = np.zeros((9, 1), np.uint64)
    form(layout.planes_to_codes)(planes, True, out[:5])
    assert out.tolist() == [0] * 5 + [99] * 65


@settings(max_examples=60, deadline=None)
@given(st.data(), st.sampled_from(DTYPES), st.integers(1, 64), st.integers(0, 130))
def test_planes_and_back_is_the_identity(
    draw: st.DataObject, dtype: str, n_bits: int, n_lanes: int
) -> None:
    limits = np.iinfo(dtype)
    signed = limits.min < 0
    lowest = max(limits.min, -(2 ** (n_bits - 1))) if signed else 0
    highest = min(limits.max, 2 ** (n_bits - 1) - 1 if signed else 2**n_bits - 1)
    values = draw.draw(st.lists(st.integers(lowest, highest), min_size=n_lanes, max_size=n_lanes))
    planes = layout.to_planes(np.array(values, dtype), n_bits)
    assert np.array_equal(planes, naive.planes(values, n_bits))
    back = layout.from_planes(planes, n_lanes, signed)
    assert back.tolist() == values
    assert back.dtype.itemsize == min(size for size in (1, 2, 4, 8) if 8 * size >= n_bits)


def test_leading_axes_and_strides_are_kept() -> None:
    codes = random_codes("int8", (4, 66, 3)).transpose(0, 2, 1)[:, ::2]
    planes = layout.to_planes(codes, 8)
    assert planes.shape == (4, 2, 8, 2)
    assert np.array_equal(layout.from_planes(planes, 66, signed=True), codes)
    bits = codes & 1
    assert np.array_equal(layout.unpack(layout.pack(bits), 66), bits)
    assert np.array_equal(layout.pack(bits.astype(bool)), planes[:, :, 0])


def test_empty_leading_axes_and_foreign_byte_order() -> None:
    assert layout.to_planes(np.zeros((0, 5), np.int8), 3).shape == (0, 3, 1)
    assert layout.from_planes(np.zeros((0, 3, 1), np.uint64), 5).shape == (0, 5)
    assert layout.pack(np.zeros((2, 0), np.uint8)).shape == (2, 0)
    big = np.array([1, 2, 300], ">i2")
    assert layout.from_planes(layout.to_planes(big, 10), 3).tolist() == [1, 2, 300]


def test_a_wide_dtype_takes_few_planes() -> None:
    planes = layout.to_planes(np.array([-3, 2]), 3)
    assert layout.from_planes(planes, 2, signed=True, dtype=np.int64).tolist() == [-3, 2]


@pytest.mark.parametrize(
    ("call", "needs"),
    [
        (lambda: layout.pack([0, 2]), "0 or 1"),
        (lambda: layout.pack([0, -1]), "0 or 1"),
        (lambda: layout.pack(np.uint8(1)), "n_lanes"),
        (lambda: layout.pack([0.0]), "integers"),
        (lambda: layout.unpack(np.zeros(1, np.int64), 5), "uint64"),
        (lambda: layout.unpack(np.zeros(2, np.uint64), 64), "1 words for 64 lanes"),
        (lambda: layout.unpack(np.full(1, 32, np.uint64), 5), "padding"),
        (lambda: layout.to_planes([4], 2), "2 bits"),
        (lambda: layout.to_planes([-3], 2), "2 bits"),
        (lambda: layout.to_planes([-1, 2], 2), "2 bits"),
        (lambda: layout.to_planes([1], 0), "1 to 64"),
        (lambda: layout.to_planes([1], 65), "1 to 64"),
        (lambda: layout.from_planes(np.zeros((0, 1), np.uint64), 5), "1 to 64"),
        (lambda: layout.from_planes(np.zeros(1, np.uint64), 5), "n_bits, words"),
        (lambda: layout.from_planes(np.full((1, 1), 2, np.uint64), 1), "padding"),
        (lambda: layout.from_planes(np.zeros((9, 1), np.uint64), 1, dtype="uint8"), "dtype"),
        (lambda: layout.from_planes(np.zeros((8, 1), np.uint64), 1, dtype="int8"), "dtype"),
        (lambda: layout.from_planes(np.zeros((8, 1), np.uint64), 1, True, "uint16"), "dtype"),
        (lambda: layout.from_planes(np.zeros((8, 1), np.uint64), 1, dtype="f4"), "dtype"),
        (lambda: layout.words_for(-1), "n_lanes"),
        (lambda: layout.tail_mask(-1), "n_lanes"),
    ],
)
def test_wrong_input_is_named(call: Callable[[], Any], needs: str) -> None:
    with pytest.raises(LayoutError, match=needs):
        call()


@pytest.mark.parametrize("word", [0, 1, 2**63, 2**64 - 1, 0xF0F0F0F0F0F0F0F0])
def test_popcount_in_python_counts_ones(word: int) -> None:
    assert vector.popcount(np.uint64(word)) == bin(word).count("1")
