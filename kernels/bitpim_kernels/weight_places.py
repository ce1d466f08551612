"""Codes of a weight store put where they belong: the k-th member of the positions still free."""

from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt

from bitpim_kernels.checksum import bits_at
from bitpim_kernels.jit import kernel
from bitpim_kernels.vector import popcount
from bitpim_kernels.weight_vector import SPREADS, put_members, spread_bits

__all__ = ["deposits", "place_codes"]

Integer = Any  # int or np.int64
Bytes = npt.NDArray[np.uint8]
Words = npt.NDArray[np.uint64]

_ZERO = np.uint64(0)
_ONE = np.uint64(1)
_BYTE = np.uint64(255)
_EIGHT = np.uint64(8)


@cache
def deposits() -> Bytes:
    """Return a table of bits spread: [mask, bits] has bit k of `bits` at the k-th one of `mask`."""
    masks = np.arange(256)
    table = np.zeros((256, 256), np.uint8)
    for bit in range(8):
        rank = np.bitwise_count(masks & ((1 << bit) - 1))
        lit = (masks >> bit & 1)[:, None] & (np.arange(256) >> rank[:, None] & 1)
        table |= (lit << bit).astype(np.uint8)
    table.setflags(write=False)
    return table


@kernel()
def place_codes(members: Words, spread: Bytes, free: Words, codes: Bytes, out: Bytes) -> None:
    """Write each code at its position, in rising order; these are no longer free.

    Shapes
    ------
    members: (words of all free positions + 1,) one bit for each of them, as many ones as codes
    spread: what `deposits` returns
    free: (words of positions,)
    codes: (n,)
    out: (64 for each word of positions,)
    """
    bit: Integer = 0
    at: Integer = 0
    for w in range(free.shape[0]):
        mask = free[w]
        if mask == _ZERO:
            continue
        bits = bits_at(members, bit)
        if SPREADS:
            word = spread_bits(bits, mask)
            put_members(word, codes, at, out, 64 * w)
        else:
            word = _deposit(bits, mask, spread)
            _put(word, codes, at, out, 64 * w)
        free[w] = mask & ~word
        bit += popcount(mask)
        at += popcount(word)


@kernel()
def _put(word: np.uint64, codes: Bytes, at: Integer, out: Bytes, first: Integer) -> None:
    """Do what `put_members` does, without its instruction."""
    place, start = np.uint64(at), np.uint64(first)  # unsigned: no index is looked at twice
    while word != _ZERO:
        out[start + np.uint64(popcount(~word & (word - _ONE)))] = codes[place]
        place += _ONE
        word &= word - _ONE


@kernel()
def _deposit(bits: np.uint64, mask: np.uint64, spread: Bytes) -> np.uint64:
    """Return a word with bit k of `bits` at the k-th one of `mask`."""
    word = _ZERO
    for byte in range(8):
        shift = np.uint64(8) * np.uint64(byte)
        part = (mask >> shift) & _BYTE
        lit = spread[part, bits & _BYTE]
        word |= np.uint64(lit) << shift
        bits >>= np.uint64(popcount(part))
    return word
