"""Words of a CAM as arrays of numbers: a row of bits each, or an integer each."""

from typing import Any

import numpy as np
import numpy.typing as npt

from bitpim.errors import LayoutError
from bitpim.lookup.word_text import check_size
from bitpim.lookup.words import CamWords

__all__ = ["words_of_array"]

Array = npt.NDArray[Any]


def words_of_array(
    values: Array, where: str, n_bits: int | None = None, care: Array | None = None
) -> CamWords:
    """Pack an array of words; `where` names it in errors, `n_bits` is needed for integers.

    Shapes
    ------
    values, care: (n, n_bits) of 0 and 1, bit 0 first; or (n,) integers of at most 64 bits

    Raises
    ------
    LayoutError
        Another shape or dtype, no word, a value that is no bit, or a number that does not fit.
    """
    _need_integers(values, where)
    if values.ndim not in (1, 2) or values.size == 0:
        raise LayoutError(
            f"{where}: need words as (n, n_bits) of 0 and 1 or as (n,) integers, got shape "
            f"{values.shape}"
        )
    if care is not None:
        _need_integers(care, f"{where}_care")
        if care.shape != values.shape:
            raise LayoutError(f"{where}_care: need the shape {values.shape} of {where}, got "
                              f"{care.shape}")  # fmt: skip
    if values.ndim == 2:
        return _rows_of_bits(values, where, n_bits, care)
    return _integers(values, where, n_bits, care)


def _need_integers(values: Array, where: str) -> None:
    if values.dtype.kind not in "biu":
        raise LayoutError(
            f"{where}: need integers or truth values, got {values.dtype}; convert them first, by "
            "astype, say"
        )


def _rows_of_bits(values: Array, where: str, n_bits: int | None, care: Array | None) -> CamWords:
    n_words, width = values.shape
    check_size(n_words, width, where)
    if n_bits is not None and n_bits != width:
        raise LayoutError(
            f"{where}: need words of {n_bits} bits as said, got rows of {width}; leave that width "
            "out, or give the words as integers (n,)"
        )
    bits = _bits(values, where)
    return CamWords.from_bits(bits, None if care is None else _bits(care, f"{where}_care"))


def _bits(values: Array, where: str) -> Array:
    strange = (values < 0) | (values > 1) if values.dtype.kind != "b" else None
    if strange is not None and strange.any():
        row, bit = np.argwhere(strange)[0].tolist()
        raise LayoutError(
            f"{where}: need 0 and 1 in rows of bits, got {int(values[row, bit])} in row {row}, bit "
            f"{bit}; give numbers as (n,) integers and their width"
        )
    return np.ascontiguousarray(values, np.uint8)


def _integers(values: Array, where: str, n_bits: int | None, care: Array | None) -> CamWords:
    if n_bits is None:
        raise LayoutError(
            f"{where}: need the bits of its integers: say --bits N, or keep an n_bits beside them"
        )
    if not 1 <= n_bits <= 64:
        raise LayoutError(
            f"{where}: need 1..64 bits for integers, got {n_bits}; give wider words as rows of "
            "bits (n, n_bits)"
        )
    _need_range(values, where, -(1 << (n_bits - 1)), (1 << n_bits) - 1, n_bits)
    words = CamWords.from_codes(values.astype(values.dtype.newbyteorder("="), copy=False), n_bits)
    if care is None:
        return words
    _need_range(care, f"{where}_care", 0, (1 << n_bits) - 1, n_bits)
    cared = np.ascontiguousarray(care, np.uint64)[:, None]
    return CamWords.from_packed(words.bits & cared, n_bits, cared)


def _need_range(values: Array, where: str, low: int, high: int, n_bits: int) -> None:
    if int(values.min()) >= low and int(values.max()) <= high:
        return
    row = next(i for i, value in enumerate(values.tolist()) if not low <= int(value) <= high)
    raise LayoutError(
        f"{where}: need integers in {low}..{high} for {n_bits} bits, got {int(values[row])} in row "
        f"{row}"
    )
