"""Checksums of short lines of bits: a cyclic redundancy check as a tree of XORs.

Every bit of a CRC is the parity of some bits of what it protects, so 64 of them are looked at in
one AND. A line has a fixed room, and bytes it does not fill count as zeros: which bits a parity
takes then depends on their place alone.
"""

from functools import cache
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from bitpim_kernels.errors import LayoutError
from bitpim_kernels.jit import kernel
from bitpim_kernels.weight_vector import TOGETHER, masked_parities

__all__ = ["CHECKSUM_BITS", "Parities", "bits_at", "damaged_line", "line_checksums", "parities"]

Integer = Any  # int or np.int64
Ints = npt.NDArray[np.int64]
Words = npt.NDArray[np.uint64]

_ONE = np.uint64(1)
_TOP = np.uint64(63)
_ALL_ONES = np.uint64(0xFFFFFFFFFFFFFFFF)

# Reflected polynomial, start and final XOR of CRC-8/ROHC and CRC-16/IBM-SDLC, by their bits.
_RULES = {8: (0xE0, 0xFF, 0x00), 16: (0x8408, 0xFFFF, 0xFFFF)}

CHECKSUM_BITS = tuple(_RULES)
"""Widths of the checksums there are."""


class Parities(NamedTuple):
    """Which bits of a line each bit of its checksum is the parity of.

    Shapes
    ------
    masks: (words of a line, n_bits)
    """

    masks: Words
    start: np.uint64  # checksum of a line of zeros


@cache
def parities(n_bits: int, n_bytes: int) -> Parities:
    """Return the checksum of `n_bits` bits of lines with room for so many bytes.

    8 bits are CRC-8/ROHC, 16 are CRC-16/IBM-SDLC; a byte enters with its least bit first.

    Raises
    ------
    LayoutError
        There is no such checksum, or no byte to protect.

    Source
    ------
    Polynomials 0x07 and 0x1021, start values and check values: catalogues of CRC algorithms.
    """
    if n_bits not in _RULES or n_bytes < 1:
        raise LayoutError(
            f"checksum: need {' or '.join(map(str, _RULES))} bits over 1 byte or more, got "
            f"{n_bits} bits over {n_bytes}; give another width"
        )
    polynomial, start, final = _RULES[n_bits]
    rows = np.zeros((-(-n_bytes // 8), n_bits), np.uint64)
    weights = [1 << t for t in range(8)]  # what each bit of a byte does to the checksum
    for byte in reversed(range(n_bytes)):
        weights = [_eight_steps(weight, polynomial) for weight in weights]
        start = _eight_steps(start, polynomial)
        for t, weight in enumerate(weights):
            bit = np.uint64(1 << (8 * (byte % 8) + t))
            for k in range(n_bits):
                if weight >> k & 1:
                    rows[byte // 8, k] |= bit
    rows.setflags(write=False)
    return Parities(rows, np.uint64(start ^ final))


def _eight_steps(register: int, polynomial: int) -> int:
    for _ in range(8):
        register = (register >> 1) ^ (polynomial if register & 1 else 0)
    return register


@kernel()
def bits_at(words: Words, bit: Integer) -> np.uint64:
    """Return 64 bits from bit `bit` on; the word after the one it lies in is read, too."""
    at = bit >> 6
    shift = np.uint64(bit & 63)
    return np.uint64((words[at] >> shift) | ((words[at + 1] << _ONE) << (_TOP - shift)))


@kernel()
def line_checksums(
    words: Words, starts: Ints, first: int, last: int, by: Parities, out: Words
) -> None:
    """Write the checksums of lines `first` to `last` - 1, of all bits after the checksum's own.

    None is longer than the room that `by` was made for and the checksum itself, and none shorter
    than that. A word follows that in which the last one ends.

    Shapes
    ------
    starts: (n_lines + 1,) byte at which each line begins, and the end
    out: (last - first,)
    """
    masks, start = by.masks, by.start  # once out of the tuple: each time costs
    n_bits = masks.shape[1]
    for i in range(last - first):
        bit = 8 * starts[first + i] + n_bits
        rest = 8 * starts[first + i + 1] - bit
        checksum = start
        for k in range(0, n_bits, TOGETHER):
            checksum ^= masked_parities(words, bit, rest, masks, k) << np.uint64(k)
        out[i] = checksum


@kernel()
def damaged_line(
    words: Words, starts: Ints, first: int, last: int, by: Parities, sums: Words
) -> int:
    """Return the first line that does not begin with its checksum, or `last`.

    Shapes
    ------
    sums: (last - first,) scratch; all else as in `line_checksums`
    """
    line_checksums(words, starts, first, last, by, sums)
    own = ~(_ALL_ONES << np.uint64(by.masks.shape[1]))
    for i in range(last - first):
        if bits_at(words, 8 * starts[first + i]) & own != sums[i]:
            return first + i
    return last
