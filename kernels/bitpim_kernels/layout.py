"""The packed layout: lanes as bits of uint64 words, codes as bit-planes, and the way back.

Lane l is bit ``l % 64`` of word ``l // 64``, least significant bit first. Padding lanes are zero,
always. Planes are axis -2, plane 0 least significant; a signed code is two's complement, so its
last plane is the sign. ``n_lanes`` travels beside the array.

``pack``, ``unpack``, ``to_planes`` and ``from_planes`` check their arguments and allocate; the
kernels ``codes_to_planes`` and ``planes_to_codes`` (one row) and those with ``rows`` in their name
do neither.
"""

from typing import Any

import numpy as np
import numpy.typing as npt

from bitpim_kernels.errors import LayoutError
from bitpim_kernels.jit import kernel
from bitpim_kernels.vector import plane_word, put_byte

__all__ = [
    "WORD_BITS",
    "codes_rows_to_planes",
    "codes_to_planes",
    "from_planes",
    "pack",
    "pack_rows",
    "planes_rows_to_codes",
    "planes_to_codes",
    "tail_mask",
    "to_planes",
    "unpack",
    "unpack_rows",
    "words_for",
]

WORD_BITS = 64
"""Lanes in one word."""

_BLOCK_WORDS = 32  # words of one plane written in a row: 2,048 codes stay in L1 for all planes
_ZERO = np.uint64(0)
_ALL_ONES = np.uint64(0xFFFFFFFFFFFFFFFF)

Words = npt.NDArray[np.uint64]
Codes = npt.NDArray[Any]


def words_for(n_lanes: int) -> int:
    """Return the number of words that hold `n_lanes` lanes.

    Raises
    ------
    LayoutError
        `n_lanes` is negative.
    """
    if n_lanes < 0:
        raise LayoutError(f"words_for: need n_lanes >= 0, got {n_lanes}; give a count of lanes")
    return -(-int(n_lanes) // WORD_BITS)


def tail_mask(n_lanes: int) -> np.uint64:
    """Return the word whose ones are the lanes in use of the last word of a row.

    Raises
    ------
    LayoutError
        `n_lanes` is negative.
    """
    used = n_lanes - WORD_BITS * (words_for(n_lanes) - 1)
    return np.uint64((1 << used) - 1) if 0 < used < WORD_BITS else _ALL_ONES


@kernel()
def codes_to_planes(codes: Codes, out: Words) -> None:
    """Write the bit-planes of one row of codes, as many as `out` has rows.

    Shapes
    ------
    codes: (n_lanes,) integers, contiguous
    out: (n_bits, words)
    """
    n_lanes = codes.shape[0]
    n_bits, n_words = out.shape
    n_full = n_lanes // 64
    for first in range(0, n_full, _BLOCK_WORDS):
        last = min(n_full, first + _BLOCK_WORDS)
        for k in range(n_bits):
            for w in range(first, last):
                out[k, w] = plane_word(codes, w * 64, 64, k)
    for w in range(n_full, n_words):
        for k in range(n_bits):
            out[k, w] = plane_word(codes, w * 64, n_lanes - w * 64, k)


@kernel()
def codes_rows_to_planes(codes: Codes, out: Words) -> None:
    """Write the bit-planes of many rows of codes.

    Shapes
    ------
    codes: (rows, n_lanes) integers, C order
    out: (rows, n_bits, words)
    """
    for r in range(codes.shape[0]):
        codes_to_planes(codes[r], out[r])


@kernel()
def planes_to_codes(planes: Words, signed: bool, out: Codes) -> None:
    """Write the codes whose bit-planes are given; `signed` makes the last plane the sign.

    Shapes
    ------
    planes: (n_bits, words), n_bits at least 1 and at most the bits of `out`
    out: (n_lanes,) integers, contiguous
    """
    n_lanes = out.shape[0]
    n_bits, n_words = planes.shape
    top = n_bits - 1
    last_byte = top // 8
    for byte in range(last_byte + 1):
        k = 8 * byte
        extend = signed and byte == last_byte
        # a plane beyond the last one is the sign again, or nothing
        k0, k1, k2, k3 = min(k, top), min(k + 1, top), min(k + 2, top), min(k + 3, top)
        k4, k5, k6, k7 = min(k + 4, top), min(k + 5, top), min(k + 6, top), min(k + 7, top)
        m0 = _ALL_ONES if signed or k <= top else _ZERO
        m1 = _ALL_ONES if signed or k + 1 <= top else _ZERO
        m2 = _ALL_ONES if signed or k + 2 <= top else _ZERO
        m3 = _ALL_ONES if signed or k + 3 <= top else _ZERO
        m4 = _ALL_ONES if signed or k + 4 <= top else _ZERO
        m5 = _ALL_ONES if signed or k + 5 <= top else _ZERO
        m6 = _ALL_ONES if signed or k + 6 <= top else _ZERO
        m7 = _ALL_ONES if signed or k + 7 <= top else _ZERO
        for w in range(n_words):
            words = (
                planes[k0, w] & m0,
                planes[k1, w] & m1,
                planes[k2, w] & m2,
                planes[k3, w] & m3,
                planes[k4, w] & m4,
                planes[k5, w] & m5,
                planes[k6, w] & m6,
                planes[k7, w] & m7,
            )
            put_byte(out, w * 64, min(64, n_lanes - w * 64), byte, extend, words)


@kernel()
def planes_rows_to_codes(planes: Words, signed: bool, out: Codes) -> None:
    """Write many rows of codes whose bit-planes are given.

    Shapes
    ------
    planes: (rows, n_bits, words)
    out: (rows, n_lanes) integers, C order
    """
    for r in range(out.shape[0]):
        planes_to_codes(planes[r], signed, out[r])


@kernel()
def pack_rows(bits: npt.NDArray[np.uint8], out: Words) -> None:
    """Write rows of packed lanes from rows of zeros and ones.

    Shapes
    ------
    bits: (rows, n_lanes) zeros and ones, C order
    out: (rows, words)
    """
    n_lanes = bits.shape[1]
    n_full = n_lanes // 64
    for r in range(bits.shape[0]):
        row = bits[r]
        for w in range(n_full):
            out[r, w] = plane_word(row, w * 64, 64, 0)
        for w in range(n_full, out.shape[1]):
            out[r, w] = plane_word(row, w * 64, n_lanes - w * 64, 0)


@kernel()
def unpack_rows(words: Words, out: npt.NDArray[np.uint8]) -> None:
    """Write rows of zeros and ones from rows of packed lanes.

    Shapes
    ------
    words: (rows, words)
    out: (rows, n_lanes), C order
    """
    n_lanes = out.shape[1]
    for r in range(out.shape[0]):
        row = out[r]
        for w in range(words.shape[1]):
            one = (words[r, w], _ZERO, _ZERO, _ZERO, _ZERO, _ZERO, _ZERO, _ZERO)
            put_byte(row, w * 64, min(64, n_lanes - w * 64), 0, False, one)


def pack(bits: npt.ArrayLike) -> Words:
    """Return lanes packed into words.

    Shapes
    ------
    bits: (..., n_lanes) bool, or integers that are 0 or 1
    returns: (..., words)

    Raises
    ------
    LayoutError
        `bits` has no lane axis, is no integer, or has a value that is neither 0 nor 1.
    """
    lanes = _integers("pack", bits)
    if lanes.size and not (lanes.min() >= 0 and lanes.max() <= 1):
        raise LayoutError(
            f"pack: need every bit 0 or 1, got values {lanes.min()} to {lanes.max()}; "
            "use to_planes for codes"
        )
    rows = np.ascontiguousarray(lanes.reshape(_n_rows(lanes.shape[:-1]), lanes.shape[-1]))
    out = np.empty((rows.shape[0], words_for(lanes.shape[-1])), np.uint64)
    pack_rows(rows, out)
    return out.reshape(*lanes.shape[:-1], out.shape[-1])


def unpack(words: npt.ArrayLike, n_lanes: int) -> npt.NDArray[np.uint8]:
    """Return the lanes of packed words as zeros and ones.

    Shapes
    ------
    words: (..., words) uint64
    returns: (..., n_lanes) uint8

    Raises
    ------
    LayoutError
        `words` is not uint64, its last axis is not `words_for(n_lanes)`, or a padding lane is 1.
    """
    packed = _packed("unpack", words, n_lanes, 1)
    out = np.empty((_n_rows(packed.shape[:-1]), n_lanes), np.uint8)
    unpack_rows(packed.reshape(out.shape[0], packed.shape[-1]), out)
    return out.reshape(*packed.shape[:-1], n_lanes)


def to_planes(codes: npt.ArrayLike, n_bits: int) -> Words:
    """Return the bit-planes of integer codes; negative codes become two's complement.

    Shapes
    ------
    codes: (..., n_lanes) integers of any dtype
    returns: (..., n_bits, words)

    Raises
    ------
    LayoutError
        `n_bits` is not 1 to 64, `codes` has no lane axis or is no integer, or a code does not fit.
    """
    lanes = _integers("to_planes", codes)
    _check_bits("to_planes", n_bits)
    _check_fit(lanes, n_bits)
    rows = np.ascontiguousarray(lanes.reshape(_n_rows(lanes.shape[:-1]), lanes.shape[-1]))
    out = np.empty((rows.shape[0], n_bits, words_for(lanes.shape[-1])), np.uint64)
    codes_rows_to_planes(rows, out)
    return out.reshape(*lanes.shape[:-1], *out.shape[1:])


def from_planes(
    planes: npt.ArrayLike, n_lanes: int, signed: bool = False, dtype: npt.DTypeLike | None = None
) -> Codes:
    """Return the codes whose bit-planes are given, in `dtype` or the smallest that fits.

    Shapes
    ------
    planes: (..., n_bits, words) uint64
    returns: (..., n_lanes)

    Raises
    ------
    LayoutError
        The planes are not uint64 of that shape, a padding lane is 1, or `dtype` cannot hold them.
    """
    packed = _packed("from_planes", planes, n_lanes, 2)
    n_bits = packed.shape[-2]
    _check_bits("from_planes", n_bits)
    held = _smallest_dtype(n_bits, signed) if dtype is None else np.dtype(dtype)
    room = 8 * held.itemsize - (1 if held.kind == "i" and not signed else 0)
    if held.kind not in "iu" or (signed and held.kind == "u") or n_bits > room:
        kind = "signed" if signed else "unsigned"
        raise LayoutError(
            f"from_planes: need an integer dtype for {n_bits} {kind} bits, got {held}; "
            "give a wider dtype or none"
        )
    out = np.empty((_n_rows(packed.shape[:-2]), n_lanes), held)
    planes_rows_to_codes(packed.reshape(out.shape[0], n_bits, packed.shape[-1]), signed, out)
    return out.reshape(*packed.shape[:-2], n_lanes)


def _n_rows(shape: tuple[int, ...]) -> int:
    """Return the product of the leading axes (reshape(-1) fails when there are no lanes)."""
    return int(np.prod(shape, dtype=np.int64))


def _integers(where: str, values: npt.ArrayLike) -> Codes:
    array = np.asarray(values)
    if array.dtype.kind == "b":
        array = array.view(np.uint8)
    if array.ndim == 0 or array.dtype.kind not in "iu":
        raise LayoutError(
            f"{where}: need integers of shape (..., n_lanes), got {array.dtype} of shape "
            f"{array.shape}; give codes, not reals, with a lane axis"
        )
    native: Codes = array.astype(array.dtype.newbyteorder("="), copy=False)
    return native


def _packed(where: str, words: npt.ArrayLike, n_lanes: int, n_axes: int) -> Words:
    array = np.asarray(words)
    need = words_for(n_lanes)
    if array.dtype != np.uint64 or array.ndim < n_axes or array.shape[-1] != need:
        axes = "(..., words)" if n_axes == 1 else "(..., n_bits, words)"
        raise LayoutError(
            f"{where}: need uint64 of shape {axes} with {need} words for {n_lanes} lanes, got "
            f"{array.dtype} of shape {array.shape}; pack the lanes first, or mend n_lanes"
        )
    if need and np.any(array[..., -1] & ~tail_mask(n_lanes)):
        raise LayoutError(
            f"{where}: need padding lanes to be 0, got ones beyond lane {n_lanes}; "
            "mask the last word with tail_mask(n_lanes)"
        )
    return array


def _check_bits(where: str, n_bits: int) -> None:
    if not 1 <= n_bits <= WORD_BITS:
        raise LayoutError(f"{where}: need 1 to {WORD_BITS} bit-planes, got {n_bits}; split wider")


def _check_fit(codes: Codes, n_bits: int) -> None:
    if not codes.size or n_bits >= 8 * codes.itemsize:
        return  # every code of the dtype has that width
    lowest, highest = int(codes.min()), int(codes.max())
    limit = 1 << (n_bits - 1 if lowest < 0 else n_bits)
    if highest >= limit or lowest < -(1 << (n_bits - 1)):
        raise LayoutError(
            f"to_planes: need codes of {n_bits} bits, got values {lowest} to {highest}; "
            "give more planes or clamp the codes"
        )


def _smallest_dtype(n_bits: int, signed: bool) -> np.dtype[Any]:
    for size in (8, 16, 32, 64):
        if n_bits <= size:
            return np.dtype(f"{'int' if signed else 'uint'}{size}")
    raise AssertionError(n_bits)  # _check_bits came first
