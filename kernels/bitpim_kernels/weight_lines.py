"""Lines of a weight store: fields packed to bits, and read back.

A line begins at a byte: its checksum, then a header, then fields of one width, then zeros to the
end of the byte. Lines lie one after the other in words, least significant bit first, and a word
that is nobody's follows the last one, so that 64 bits can be read wherever a line has one. Readers
look at the lengths of lines before they read, and return a fault, or `FINE`; `Stored.line` then
says at which line.
"""

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from bitpim_kernels.checksum import Parities, bits_at, line_checksums
from bitpim_kernels.jit import kernel
from bitpim_kernels.vector import popcount
from bitpim_kernels.weight_vector import TOGETHER, put_codes

__all__ = [
    "CODE",
    "EVERY_LINE",
    "FINE",
    "FIRST_LINE",
    "HEADER",
    "LENGTH",
    "NO_HEADER",
    "POSITION",
    "WIDTH_BITS",
    "Form",
    "Lines",
    "Stored",
    "pack_checksums",
    "pack_lines",
    "read_codes",
    "read_members",
]

Integer = Any  # int or np.int64
Bytes = npt.NDArray[np.uint8]
Ints = npt.NDArray[np.int64]
Words = npt.NDArray[np.uint64]

FINE, LENGTH, HEADER, CODE, POSITION = range(5)
NO_HEADER, FIRST_LINE, EVERY_LINE = range(3)

WIDTH_BITS = 4
"""Bits of a header that say how many low bits a code has; the bits that all share follow."""

_ZERO = np.uint64(0)
_ONE = np.uint64(1)
_TOP = np.uint64(63)
_ALL_ONES = np.uint64(0xFFFFFFFFFFFFFFFF)


class Lines(NamedTuple):
    """What each line is packed of.

    Shapes
    ------
    starts: (n_lines + 1,) byte at which each line begins, and the end
    all others: (n_lines,)
    """

    n_fields: Ints
    width: Ints
    header: Ints
    header_bits: Ints
    starts: Ints


class Stored(NamedTuple):
    """Lines as they lie in memory.

    Shapes
    ------
    words: (words of all bytes + 1,)
    starts: (n_lines + 1,) byte at which each line begins, and the end; none is shorter than its
        checksum
    line: (1,) the next to be read
    """

    words: Words
    starts: Ints
    line: Ints
    end: int  # line that no longer is of the cluster
    checksum_bits: int  # 0: there is none


class Form(NamedTuple):
    """How codes and positions are written."""

    code_bits: int
    least: int
    zero_point: int
    codes_per_line: int
    headers: int  # NO_HEADER, FIRST_LINE of a cluster, EVERY_LINE
    positions_per_line: int  # bits or gaps
    gap_bits: int  # 0: a bitmap


@kernel()
def pack_lines(fields: Bytes, lines: Lines, checksum_bits: int, out: Words) -> None:
    """Write lines, without their checksums; `out` has a word more than they take.

    Shapes
    ------
    fields: (n,) of at most the width of their line
    """
    for w in range(out.shape[0]):
        out[w] = _ZERO
    at: Integer = 0
    for i in range(lines.n_fields.shape[0]):
        bit = 8 * lines.starts[i] + checksum_bits
        _put(out, bit, np.uint64(lines.header[i]))
        bit += lines.header_bits[i]
        for _ in range(lines.n_fields[i]):
            _put(out, bit, np.uint64(fields[at]))
            bit += lines.width[i]
            at += 1


@kernel()
def pack_checksums(lines: Lines, by: Parities, sums: Words, out: Words) -> None:
    """Write the checksums of lines that have all else.

    Shapes
    ------
    sums: (n_lines,) scratch
    """
    line_checksums(out, lines.starts, 0, sums.shape[0], by, sums)
    for i in range(sums.shape[0]):
        _put(out, 8 * lines.starts[i], sums[i])


@kernel()
def _put(words: Words, bit: Integer, value: np.uint64) -> None:
    """Set bits that are zero, from bit `bit` on."""
    at = bit >> 6
    shift = np.uint64(bit & 63)
    words[at] |= value << shift
    words[at + 1] |= (value >> _ONE) >> (_TOP - shift)


@kernel()
def read_members(stored: Stored, form: Form, n: int, n_free: int, out: Words) -> Integer:
    """Write which of the free positions are of a cluster of `n` weights, as bits; return a fault.

    Shapes
    ------
    out: (words of n_free bits + 1,), zeros
    """
    if form.gap_bits > 0:
        return _read_gaps(stored, form, n, n_free, out)
    words, starts, line, end = stored.words, stored.starts, stored.line, stored.end
    for at in range(0, n_free, form.positions_per_line):
        n_bits = min(form.positions_per_line, n_free - at)
        if line[0] >= end or not _is_long(starts, line[0], stored.checksum_bits + n_bits):
            return LENGTH
        first = 8 * starts[line[0]] + stored.checksum_bits
        for bit in range(0, n_bits, 64):
            word = bits_at(words, first + bit)
            rest = n_bits - bit
            if rest < 64:
                word &= ~(_ALL_ONES << np.uint64(rest))
            _put(out, at + bit, word)
        line[0] += 1
    found: Integer = 0
    for w in range(out.shape[0]):
        found += popcount(out[w])
    if found != n:
        line[0] -= 1
        return POSITION
    return FINE


@kernel()
def _is_long(starts: Ints, line: Integer, n_bits: Integer) -> bool:
    """Return whether a line has the bytes that so many bits take."""
    return bool(starts[line + 1] - starts[line] == (n_bits + 7) >> 3)


@kernel()
def _read_gaps(stored: Stored, form: Form, n: int, n_free: int, out: Words) -> Integer:
    """Do what `read_members` does where lines hold the gaps between positions.

    A field of ones alone passes over as many positions as it says, and another field follows.
    """
    words, starts, line = stored.words, stored.starts, stored.line
    more = (1 << form.gap_bits) - 1
    found: Integer = 0
    place: Integer = 0
    while found < n:
        if line[0] >= stored.end:
            return LENGTH
        bit = 8 * starts[line[0]] + stored.checksum_bits
        n_fields = min((8 * starts[line[0] + 1] - bit) // form.gap_bits, form.positions_per_line)
        n_read: Integer = 0
        while n_read < n_fields and found < n:
            gap = np.int64(bits_at(words, bit) & np.uint64(more))
            bit += form.gap_bits
            n_read += 1
            place += gap
            if place >= n_free:
                return POSITION
            if gap != more:
                _put(out, place, _ONE)
                place += 1
                found += 1
        n_needed = n_read if found == n else form.positions_per_line
        if not _is_long(starts, line[0], stored.checksum_bits + n_needed * form.gap_bits):
            return LENGTH
        line[0] += 1
    return FINE


class _Coding(NamedTuple):
    """How fields stand for codes: `put_codes` says it."""

    width: Integer  # 0: there is no such header
    low: Integer
    shared: Integer
    base: Integer
    header_bits: Integer
    fits: Any  # whether every field stands for a code


@kernel()
def read_codes(stored: Stored, form: Form, n: int, out: Bytes) -> Integer:
    """Write the codes of a cluster of `n` weights, as their low bytes; return a fault.

    Shapes
    ------
    out: (n + 7,) of which the last 7 are scratch
    """
    words, starts, line = stored.words, stored.starts, stored.line
    coding = _coding(np.uint64(form.code_bits), form)
    for at in range(0, n, form.codes_per_line):
        if line[0] >= stored.end:
            return LENGTH
        bit = 8 * starts[line[0]] + stored.checksum_bits
        last = 8 * starts[line[0] + 1]
        if form.headers == EVERY_LINE or (form.headers == FIRST_LINE and at == 0):
            coding = _coding(bits_at(words, bit), form)
            if coding.width == 0:
                return HEADER
            bit += coding.header_bits
        n_here = min(form.codes_per_line, n - at)
        width = coding.width
        if not 0 <= last - bit - n_here * width < 8:
            return LENGTH
        if not coding.fits and not _are_codes(words, bit, n_here, coding, form):
            return CODE
        for i in range(at, at + n_here, TOGETHER):
            word = bits_at(words, bit)
            put_codes(word, width, coding.low, coding.shared, coding.base, out, i)
            bit += TOGETHER * width
        line[0] += 1
    return FINE


@kernel()
def _coding(word: np.uint64, form: Form) -> _Coding:
    """Return what the header that `word` begins with says."""
    low = np.int64(word & np.uint64((1 << WIDTH_BITS) - 1))
    if low == form.code_bits:  # as they are, from the least on
        return _Coding(low, low, 0, form.least, WIDTH_BITS, True)
    if low >= form.code_bits - 1:
        return _Coding(0, 0, 0, 0, 0, True)
    leading = word >> np.uint64(WIDTH_BITS) & ((_ONE << np.uint64(form.code_bits - low)) - _ONE)
    shared = np.int64(leading) << low
    largest = shared | ((1 << low) - 1)
    below = form.zero_point - form.least
    fits = largest <= min(below, (1 << form.code_bits) - 1 - below)
    n_bits = WIDTH_BITS + form.code_bits - low
    return _Coding(low + 1, low, shared, form.zero_point, n_bits, fits)


@kernel()
def _are_codes(words: Words, bit: Integer, n: Integer, coding: _Coding, form: Form) -> bool:
    """Return whether all fields of a line stand for codes there are."""
    width = coding.width
    most = form.least + (1 << form.code_bits) - 1
    for i in range(n):
        field = np.int64(bits_at(words, bit + i * width) & np.uint64((1 << width) - 1))
        number = coding.shared | (field & ((1 << coding.low) - 1))
        code = coding.base - number if field >> coding.low else coding.base + number
        if code < form.least or code > most:
            return False
    return True
