"""Words of a CAM as text: one a line, as cells or, where the width is known, as integers.

A cell is 0, 1 or X; the highest bit comes first, and ``_`` may stand between. An integer is decimal
(no leading zero), 0x or 0b, unsigned or in two's complement. Blank lines and what follows a ``#``
are skipped. Where the width N is given, a line of exactly N cells is cells and all else is an
integer: no integer of N bits is written as N digits 0 and 1, unless N is 1, where both are alike.
What begins with 0x is an integer then.
"""

import re
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from bitpim.errors import LayoutError
from bitpim.lookup.words import CamWords
from bitpim_kernels.layout import words_for
from bitpim_traces.faults import shown

__all__ = ["MAX_CELLS", "MAX_WORD_BITS", "check_size", "words_of_text"]

MAX_WORD_BITS = 2**20
"""Of one word."""
MAX_CELLS = 2**35
"""Of all words of a file: 4 GiB of bits."""

_ZERO, _ONE, _X, _STRANGE = range(4)
_CELL_OF = np.full(256, _STRANGE, np.uint8)
_CELL_OF[[ord("0"), ord("1"), ord("X"), ord("x")]] = _ZERO, _ONE, _X, _X
_INTEGER = re.compile(r"[+-]?(?:0b[01]+|0x[0-9A-Fa-f]+|0|[1-9][0-9]*)")
_MOST_DECIMALS = 4000
"""Python reads few more at once; wider words have hexadecimal digits."""
_WIDE_MARKS = (b"\xff\xfe", b"\xfe\xff", b"\0\0\xfe\xff")


class _Line(NamedTuple):
    number: int
    word: str


def words_of_text(content: bytes, where: str, n_bits: int | None = None) -> CamWords:
    """Read the words of a text; `where` names it in errors.

    Raises
    ------
    LayoutError
        It is no text, has no word, a word that is no such word, or words of several widths; the
        message names the line.
    """
    found = _rectangle(content, where) if n_bits is None else None
    if found is not None:
        return found
    lines = [
        _Line(number, word)
        for number, line in enumerate(_decoded(content, where).split("\n"), 1)
        if (word := line.partition("#")[0].strip().replace("_", ""))
    ]
    if not lines:
        raise LayoutError(f"{where}: need a word or more, got none; write one a line, such as 01X0")
    if n_bits is not None:
        check_size(len(lines), n_bits, where)
        return _words_of_width(lines, where, n_bits)
    return _words_of_cells(lines, where)


def _rectangle(content: bytes, where: str) -> CamWords | None:
    """Read a text of nothing but cells and ends of lines at once; None where there is more."""
    width = content.find(b"\n")
    if width < 1 or content[width - 1 : width] == b"\r":
        return None
    whole = content if content.endswith(b"\n") else content + b"\n"
    if len(whole) % (width + 1):
        return None
    table = np.frombuffer(whole, np.uint8).reshape(-1, width + 1)
    cells = _CELL_OF[table[:, -2::-1]]
    if np.any(table[:, -1] != ord("\n")) or cells.max() == _STRANGE:
        return None
    check_size(len(cells), width, where)
    return _from_cells(cells)


def _from_cells(cells: npt.NDArray[np.uint8]) -> CamWords:
    return CamWords.from_bits((cells == _ONE).view(np.uint8), (cells != _X).view(np.uint8))


def check_size(n_words: int, n_bits: int, where: str) -> None:
    """Refuse more cells than may be held.

    Raises
    ------
    LayoutError
        There are more, or words are wider than MAX_WORD_BITS.
    """
    if not 1 <= n_bits <= MAX_WORD_BITS or n_words * n_bits > MAX_CELLS:
        raise LayoutError(
            f"{where}: need words of 1..{MAX_WORD_BITS:,} bits and at most {MAX_CELLS:,} cells, "
            f"got {n_words:,} of {n_bits:,} bits; cut them into several files"
        )


def _decoded(content: bytes, where: str) -> str:
    """Return a text with one sign for the end of a line."""
    if content.startswith(_WIDE_MARKS):
        raise LayoutError(f"{where}: need text in UTF-8, got UTF-16 or UTF-32; save it as UTF-8")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise LayoutError(
            f"{where}:{line}: need text in UTF-8, got byte {content[error.start]:#04x}; arrays "
            "come as .npz, .npy or .h5"
        ) from error
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _words_of_cells(lines: Sequence[_Line], where: str) -> CamWords:
    first = lines[0]
    _need_cells(first, where)
    width = len(first.word)
    check_size(len(lines), width, where)
    for line in lines:
        if len(line.word) != width:
            _need_cells(line, where)
            raise LayoutError(
                f"{where}:{line.number}: need {width} bits as in line {first.number}, got "
                f"{len(line.word)}; words of a memory are equally wide"
            )
    joined = "".join(line.word for line in lines)
    letters = np.frombuffer(joined.encode("latin-1", "replace"), np.uint8)
    cells = _CELL_OF[letters].reshape(len(lines), width)[:, ::-1]
    if cells.max() == _STRANGE:
        _need_cells(lines[int(np.argmax((cells == _STRANGE).any(axis=1)))], where)
    return _from_cells(cells)


def _need_cells(line: _Line, where: str) -> None:
    """Raise LayoutError where a word has another letter than those of cells."""
    strange = next((letter for letter in line.word if letter not in "01Xx"), None)
    if strange is not None:
        hint = (
            "" if _INTEGER.fullmatch(line.word) is None else "; integers need their width, --bits"
        )
        raise LayoutError(
            f"{where}:{line.number}: need 0, 1 and X, got {strange!r} in {shown(line.word)}{hint}"
        )


def _words_of_width(lines: Sequence[_Line], where: str, n_bits: int) -> CamWords:
    """Read lines that are integers or cells of a known width."""
    is_cells = re.compile(f"(?!0x)[01Xx]{{{n_bits}}}")
    mask = (1 << n_bits) - 1
    n_bytes = 8 * words_for(n_bits)
    bits, care = bytearray(), bytearray()
    for line in lines:
        if is_cells.fullmatch(line.word):
            cells = line.word.upper()
            value = int(cells.replace("X", "0"), 2)
            cared = int(cells.replace("0", "1").replace("X", "0"), 2)
        else:
            value, cared = _integer(line, where, n_bits) & mask, mask
        bits += value.to_bytes(n_bytes, "little")
        care += cared.to_bytes(n_bytes, "little")
    return CamWords(_packed(bits, len(lines)), _packed(care, len(lines)), n_bits)


def _packed(content: bytearray, n_words: int) -> npt.NDArray[np.uint64]:
    return np.frombuffer(content, "<u8").reshape(n_words, -1).astype(np.uint64)


def _integer(line: _Line, where: str, n_bits: int) -> int:
    place = f"{where}:{line.number}"
    if _INTEGER.fullmatch(line.word) is None:
        raise LayoutError(
            f"{place}: need {n_bits} cells of 0, 1 and X, or an integer (17, -3, 0x1f, 0b101), got "
            f"{shown(line.word)}"
        )
    is_decimal = line.word.lstrip("+-")[:2] not in ("0x", "0b")
    if is_decimal and len(line.word) > _MOST_DECIMALS:
        raise LayoutError(
            f"{place}: need at most {_MOST_DECIMALS} decimal digits; write it as 0x..."
        )
    value = int(line.word, 0)
    low, high = -(1 << (n_bits - 1)), (1 << n_bits) - 1
    if not low <= value <= high:
        need = f"{low}..{high}" if n_bits <= 64 else f"-2^{n_bits - 1}..2^{n_bits} - 1"
        raise LayoutError(
            f"{place}: need a number in {need} for {n_bits} bits, got {shown(line.word)[1:-1]}"
        )
    return value
