"""Sizes that general codecs of cache lines would give 64-byte lines: BDI and FPC.

Neither packs a bit: these are models of a size, as the authors of BDI compared both. They look for
patterns in whole bytes, and small signed bytes beside each other are none, so weights of 8 bits
stay as large as they are.

**BDI**, base-delta-immediate: a line is zeros (1 byte), one word over and over (8 bytes, or 4), or
words of 8, 4 or 2 bytes that differ little from 0 or from the first word that does not. Both bases
are counted, 0 too, and a difference of a byte is at most 255 either way.

**FPC**, frequent pattern compression: each word of 4 bytes has 3 bits that say what it is, and the
bytes it then takes. A word of small magnitude has its magnitude stored, at most 255 in a byte; no
word is less than a byte, not even 0.

Source
------
Pekhimenko et al., "Base-Delta-Immediate Compression", PACT 2012, and the size models its authors
published with it (the two bases, the limits, the words of 4 bytes); Alameldeen and Wood, "Frequent
Pattern Compression", 2004, whose class of 4 bits those models do not have.
"""

from typing import Any

import numpy as np
import numpy.typing as npt

from bitpim.errors import LayoutError

__all__ = ["LINE_BYTES", "bdi_bytes", "fpc_bytes", "lines_of"]

LINE_BYTES = 64

Bytes = npt.NDArray[np.uint8]
Ints = npt.NDArray[np.int64]
Words = npt.NDArray[np.uint64]

_REPEATED = (8, 4)  # bytes of a word that may fill a line
_DELTAS = ((8, 1), (8, 2), (8, 4), (4, 1), (4, 2), (2, 1))  # bytes of a word, and of a difference
_FPC_TAG_BITS = 3


def lines_of(values: npt.NDArray[Any]) -> Bytes:
    """Return the bytes of an array as lines; the last one is filled with zeros.

    Shapes
    ------
    returns: (n_lines, 64)
    """
    content = np.frombuffer(np.ascontiguousarray(values).tobytes(), np.uint8)
    n_lines = -(-len(content) // LINE_BYTES)
    lines = np.zeros(n_lines * LINE_BYTES, np.uint8)
    lines[: len(content)] = content
    return lines.reshape(n_lines, LINE_BYTES)


def bdi_bytes(lines: Bytes) -> Ints:
    """Return the bytes that BDI gives each line.

    Shapes
    ------
    lines: (n_lines, 64) uint8
    returns: (n_lines,)

    Raises
    ------
    LayoutError
        Lines have another size or dtype.
    """
    sizes = np.full(len(_checked(lines)), LINE_BYTES)
    for size in _REPEATED:
        words = _words(lines, size)
        sizes = np.where((words == words[:, :1]).all(axis=1), np.minimum(sizes, size), sizes)
    for size, delta in _DELTAS:
        words, limit = _words(lines, size), np.uint64((1 << 8 * delta) - 1)
        far = _are_far(words, limit)
        base = np.take_along_axis(words, far.argmax(axis=1)[:, None], axis=1)
        fits = ~(far & _are_far(base - words, limit)).any(axis=1)
        taken = words.shape[1] * delta + 2 * size
        sizes = np.where(fits, np.minimum(sizes, taken), sizes)
    found: Ints = np.where(lines.any(axis=1), sizes, 1)
    return found


def fpc_bytes(lines: Bytes) -> Ints:
    """Return the bytes that FPC gives each line; shapes and errors are those of `bdi_bytes`."""
    words = _words(_checked(lines), 4)
    low, high = words & np.uint64(0xFFFF), words >> np.uint64(16)
    bytes_of = lines.reshape(len(lines), LINE_BYTES // 4, 4)
    magnitude = np.minimum(words, (np.uint64(1 << 32) - words))
    classes = (
        (magnitude <= 255, 1),
        (magnitude <= 65535, 2),
        (low == 0, 2),
        ((low <= 255) & (high <= 255), 2),
        ((bytes_of == bytes_of[..., :1]).all(axis=-1), 1),
    )
    taken = np.select([found for found, _ in classes], [size for _, size in classes], 4)
    sizes = taken.sum(axis=1) + words.shape[1] * _FPC_TAG_BITS // 8
    found: Ints = np.minimum(sizes, LINE_BYTES)
    return found


def _checked(lines: Bytes) -> Bytes:
    if lines.dtype != np.uint8 or lines.ndim != 2 or lines.shape[1] != LINE_BYTES:
        raise LayoutError(
            f"size models: need lines (n_lines, {LINE_BYTES}) uint8, got {lines.shape} "
            f"{lines.dtype}; cut bytes with lines_of"
        )
    return lines


def _words(lines: Bytes, size: int) -> Words:
    """Return the little-endian words of so many bytes."""
    return np.ascontiguousarray(lines).view(f"<u{size}").astype(np.uint64)


def _are_far(differences: Words, limit: np.uint64) -> npt.NDArray[np.bool_]:
    """Return which differences, of 64 bits with a sign, are beyond the limit either way."""
    far: npt.NDArray[np.bool_] = np.minimum(differences, ~differences + np.uint64(1)) > limit
    return far
