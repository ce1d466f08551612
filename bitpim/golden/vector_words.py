"""States, steps and port rows as lists of binary words, as memories of test benches hold them.

A word of bits is one row: its last digit is column 0. A word of numbers is one number in two's
complement; of the port, one row, whose first number is the lowest. A step is 160 bits: opcode, a,
b, dst, predicate, 32 bits each, the opcode leftmost; a place of a layer so too: input, sample,
coordinate.
"""

import re
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from bitpim.errors import TraceDataError
from bitpim.stepped import StateForm
from bitpim_kernels.layout import unpack
from bitpim_traces.faults import shown

__all__ = [
    "TEXT_FORMATS",
    "Words",
    "crc_of",
    "layer_words",
    "number_words",
    "port_words",
    "read_words",
    "state_words",
    "step_words",
]

Array = npt.NDArray[Any]

TEXT_FORMATS = ("readmemh", "readmemb", "csv")
"""Texts of a word a line: hexadecimal and binary for Verilog, and a table with commas."""

_NUMBER_BITS = 32
_HEAD = "line,hex"
_COMMENT = re.compile(r"//[^\n]*|/\*")


@dataclass(frozen=True, slots=True)
class Words:
    """Words of equal width, in order."""

    bits: int
    values: tuple[int, ...]

    def text(self, form: str, about: str, head: str = "") -> str:
        """Write them as one of `TEXT_FORMATS`, above them what they are and of what.

        Parameters
        ----------
        form : one of `TEXT_FORMATS`
        about : what the words are, which a table with commas does not say
        head : of what, a line of JSON; nothing is said if it is empty
        """
        digits = -(-self.bits // 4) if form != "readmemb" else self.bits
        style = "b" if form == "readmemb" else "x"
        lines = [f"{value:0{digits}{style}}" for value in self.values]
        if form == "csv":
            above = [f"# of {head}"] * bool(head) + [_HEAD]
            lines = [f"{n},{line}" for n, line in enumerate(lines)]
        else:
            above = [f"// {about}: {len(lines)} words of {self.bits} bits"]
            above += [f"// of {head}"] * bool(head)
        return "\n".join([*above, *lines]) + "\n"


def state_words(form: StateForm, values: Array) -> Words:
    """Return a state as words: a row of bits each, or a number each."""
    if form.is_packed:
        n = form.sizes[-1]
        bits = unpack(values.reshape(-1, values.shape[-1]), n)
        return Words(n, tuple(_integers(bits)))
    return number_words(values)


def number_words(values: Array) -> Words:
    """Return numbers as words of their own width, two's complement."""
    width = 8 * values.dtype.itemsize
    return Words(width, tuple(int(n) & (1 << width) - 1 for n in values.reshape(-1).tolist()))


def port_words(form: StateForm, rows: Array) -> Words:
    """Return port rows as words, a row each."""
    if form.is_packed:
        return Words(form.sizes[-1], tuple(_integers(unpack(rows, form.sizes[-1]))))
    raw = np.ascontiguousarray(rows.astype(form.stored.newbyteorder("<")))
    return Words(
        8 * form.stored.itemsize * form.sizes[-1],
        tuple(int.from_bytes(row.tobytes(), "little") for row in raw),
    )


def step_words(steps: Array) -> Words:
    """Return steps as words, the opcode leftmost."""
    return _side_by_side(steps)


def layer_words(values: Array) -> Words:
    """Return what a tile has of its layer as words: a number, or the numbers of a place."""
    return _side_by_side(values) if values.ndim > 1 else number_words(values)


def _side_by_side(numbers: Array) -> Words:
    """Return rows of numbers as words, the first number leftmost."""
    turned = np.ascontiguousarray(numbers[:, ::-1].astype("<i4"))
    values = tuple(int.from_bytes(row.tobytes(), "little") for row in turned)
    return Words(_NUMBER_BITS * numbers.shape[1], values)


def _integers(bits: Array) -> Iterator[int]:
    for row in np.packbits(bits, axis=-1, bitorder="little"):
        yield int.from_bytes(row.tobytes(), "little")


def crc_of(text: str) -> str:
    """Return the CRC-32 of a text, 8 hexadecimal digits."""
    return f"{zlib.crc32(text.encode()):08x}"


def read_words(text: str, form: str, bits: int, n: int, where: str) -> list[int]:
    """Read words of a text, of as many bits each; as many as there are.

    Raises
    ------
    TraceDataError
        A line is no such word, is too wide, or there are far more than `n`; the error names it.
    """
    if form == "csv":
        return [_word(*line, 16, bits, where) for line in _csv_lines(text, n, where)]
    base = 2 if form == "readmemb" else 16
    found: list[int] = []
    for number, line in enumerate(_without_comments(text).split("\n"), 1):
        for word in line.split():
            if len(found) > n + 1:
                raise TraceDataError(f"{where}, line {number}: need {n} words, got more")
            found.append(_word(number, word, base, bits, where))
    return found


def _without_comments(text: str) -> str:
    """Put a space, and its ends of lines, in the place of a comment; one left open is all."""
    parts, at = [], 0
    while (found := _COMMENT.search(text, at)) is not None:
        parts.append(text[at : found.start()])
        at = found.end()
        if found[0] == "/*":
            end = text.find("*/", at)
            stop = len(text) if end < 0 else end
            parts.append(" " + "\n" * text.count("\n", at, stop))
            at = len(text) if end < 0 else end + 2
    return "".join([*parts, text[at:]])


def _csv_lines(text: str, n: int, where: str) -> Iterator[tuple[int, str]]:
    lines = text.rstrip("\n").split("\n")
    above = next((at for at, line in enumerate(lines) if not line.startswith("#")), 0)
    first = above + 2  # line of the first word, counted from 1
    if lines[above].strip() != _HEAD:
        raise TraceDataError(
            f"{where}, line {above + 1}: need {_HEAD!r}, got {shown(lines[above])}"
        )
    if len(lines) > above + 1 + n + 1:
        raise TraceDataError(f"{where}, line {first + n}: need {n} words, got more")
    for number, line in enumerate(lines[above + 1 :]):
        index, comma, word = line.strip().partition(",")
        if not comma or index != str(number):
            raise TraceDataError(
                f"{where}, line {first + number}: need line {number} and a word by comma, got "
                f"{shown(line)}"
            )
        yield first + number, word


def _word(line: int, word: str, base: int, bits: int, where: str) -> int:
    digits = word.replace("_", "")
    allowed: Sequence[str] = "01" if base == 2 else "0123456789abcdefABCDEF"
    most = bits if base == 2 else -(-bits // 4)
    if not digits or len(digits) > most or not set(digits) <= set(allowed):
        kind = "binary" if base == 2 else "hexadecimal"
        raise TraceDataError(
            f"{where}, line {line}: need a {kind} word of {bits} bits, got {shown(word)}"
        )
    value = int(digits, base)
    if value >> bits:
        raise TraceDataError(f"{where}, line {line}: need a word of {bits} bits, got {shown(word)}")
    return value
