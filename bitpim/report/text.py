"""Plain text and plain values: aligned columns, JSON, a bar."""

import json
import math
import re
import shutil
import sys
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

__all__ = [
    "Cell",
    "as_json",
    "bar",
    "cell_text",
    "columns",
    "printable",
    "share",
    "some",
    "terminal_width",
    "with_commas",
]

_SHADES = "█▓▒░·"
_SHADES_ASCII = "#=+-."
_NUMBER = re.compile(r"(-?[0-9][0-9,.]*(e[+-]?[0-9]+)?( ([a-zA-Z]{1,2}|%))?)?$")
_GAP = "  "
_NARROWEST = 24  # that a last column of words is squeezed to
Cell = str | int | float | None


def columns(
    head: Sequence[str],
    rows: Sequence[Sequence[Cell]],
    *,
    n_keys: int = 1,
    width: int | None = None,
) -> str:
    """Align rows under their head; numbers to the right, words to the left.

    None is a dash; a float has four significant digits, an integer commas. A table wider than
    `width`, by default the terminal where the output is one, goes on below itself: the first
    `n_keys` columns are said again, and words of the last column go on in lines of their own.
    """
    texts = [[cell_text(value) for value in row] for row in rows]
    table = [
        _Column(
            [printable(name), *(line[i] for line in texts)],
            bool(rows) and all(_is_number(row[i]) for row in rows),
        )
        for i, name in enumerate(head)
    ]
    limit = terminal_width() if width is None else width
    blocks = _blocks(table, n_keys, limit)
    return "\n\n".join(_aligned(block, limit) for block in blocks)


def _is_number(cell: Cell) -> bool:
    """Whether a cell is a number, also one with its unit: '3.2 uJ', '45.1 %', '-'."""
    return not isinstance(cell, str) or cell == "-" or re.match(_NUMBER, cell) is not None


@dataclass(slots=True)
class _Column:
    """A column's cells, its head first."""

    cells: list[str]
    is_right: bool

    @property
    def width(self) -> int:
        return max(map(len, self.cells))


def terminal_width() -> int | None:
    """Return how many characters a line of the output may have; None where it is no terminal."""
    try:
        is_terminal = sys.stdout is not None and sys.stdout.isatty()
    except ValueError:  # closed
        return None
    return shutil.get_terminal_size().columns if is_terminal else None


def _blocks(table: list[_Column], n_keys: int, limit: int | None) -> list[list[_Column]]:
    """Cut a table into blocks of columns that fit, each begun by the key columns."""
    keys, others = table[:n_keys], table[n_keys:]
    if limit is None or _width(table) <= limit or not others:
        return [table]
    blocks, block = [], list(keys)
    for column in others:
        least = min(column.width, _NARROWEST) if column is table[-1] else column.width
        if len(block) > len(keys) and _width(block) + len(_GAP) + least > limit:
            blocks.append(block)
            block = list(keys)
        block.append(column)
    return [*blocks, block]


def _width(block: list[_Column]) -> int:
    return sum(column.width for column in block) + len(_GAP) * (len(block) - 1)


def _aligned(block: list[_Column], limit: int | None) -> str:
    """Write columns side by side; the words of a last column that is too wide go on below."""
    *firsts, last = block
    room = None if limit is None else max(limit - _width([*firsts, _Column([""], False)]), 1)
    if room is None or last.is_right or last.width <= room:
        tails = [[cell] for cell in last.cells]
    else:
        tails = [textwrap.wrap(cell, max(room, _NARROWEST)) or [""] for cell in last.cells]
    width = max(len(piece) for tail in tails for piece in tail)
    lines = []
    for i, tail in enumerate(tails):
        cells = [_aside(column.cells[i], column.width, column.is_right) for column in firsts]
        indent = [" " * column.width for column in firsts]
        for j, piece in enumerate(tail):
            line = [*(indent if j else cells), _aside(piece, width, last.is_right)]
            lines.append(_GAP.join(line).rstrip())
    return "\n".join(lines)


def _aside(text: str, width: int, is_right: bool) -> str:
    return text.rjust(width) if is_right else text.ljust(width)


def printable(text: str) -> str:
    """Return a text on one line that no terminal obeys: what cannot be printed, escaped.

    Texts of files pass through here on their way to a reader, whoever wrote them.
    """
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else _escaped(c) for c in text)


def _escaped(character: str) -> str:
    return " " if character in "\n\t\r" else character.encode("unicode_escape").decode("ascii")


def cell_text(value: Cell) -> str:
    """Write a value for a reader: None is a dash, a float has four significant digits."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return with_commas(value)
    if isinstance(value, float):
        return f"{value:.4g}"
    return printable(value)


def with_commas(n: int) -> str:
    """Write an integer with a comma after each three digits."""
    return f"{n:,}"


def some(n: int, noun: str) -> str:
    """Return how many there are of something: ``1 row``, ``1,024 rows``."""
    return f"{with_commas(n)} {noun}{'s' * (n != 1)}"


def share(part: int, whole: int) -> str:
    """Write a share with its counts: '31 of 32'."""
    return f"{with_commas(part)} of {with_commas(whole)}"


def as_json(value: Any) -> str:
    """Write JSON that every reader takes: what is not a number is null, infinity a word."""
    return json.dumps(_plain(value), indent=2, allow_nan=False)


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _plain(content) for key, content in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(content) for content in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None if math.isnan(value) else str(value)
    return value


def bar(parts: Mapping[str, int], width: int = 60) -> list[str]:
    """Draw one bar of parts, largest first, and a line that names them; two lines, or none."""
    total = sum(parts.values())
    if total <= 0:
        return []
    ordered = sorted(parts.items(), key=lambda part: -part[1])
    n_shades = len(_SHADES)
    shown = ordered if len(ordered) <= n_shades else ordered[: n_shades - 1]
    rest = total - sum(n for _, n in shown)
    if rest:
        shown = [*shown, ("other", rest)]
    shades = _SHADES if _is_printable(_SHADES) else _SHADES_ASCII
    ends = [0]
    for _, n in shown:
        ends.append(ends[-1] + n)
    drawn = "".join(
        shade * (round(width * end / total) - round(width * start / total))
        for shade, start, end in zip(shades, ends, ends[1:], strict=False)
    )
    names = [
        f"{shade} {name.replace('_', ' ')} {100 * n / total:.0f} %"
        for shade, (name, n) in zip(shades, shown, strict=False)
    ]
    return [drawn, "  ".join(names)]


def _is_printable(text: str) -> bool:
    try:
        text.encode(sys.stdout.encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        return False
    return True
