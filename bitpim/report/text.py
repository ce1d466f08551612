"""Plain text and plain values: aligned columns, JSON, a bar."""

import json
import math
import sys
from collections.abc import Mapping, Sequence
from typing import Any

__all__ = ["Cell", "as_json", "bar", "cell_text", "columns", "share", "with_commas"]

_SHADES = "█▓▒░·"
_SHADES_ASCII = "#=+-."
Cell = str | int | float | None


def columns(head: Sequence[str], rows: Sequence[Sequence[Cell]]) -> str:
    """Align rows under their head; numbers to the right, words to the left.

    None is a dash; a float has four significant digits, an integer commas.
    """
    texts = [[cell_text(value) for value in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(head, *texts, strict=True)]
    right = [
        bool(rows) and not any(isinstance(row[i], str) and row[i] for row in rows)
        for i in range(len(head))
    ]
    return "\n".join(
        "  ".join(
            text.rjust(width) if is_right else text.ljust(width)
            for text, width, is_right in zip(line, widths, right, strict=True)
        ).rstrip()
        for line in [list(head), *texts]
    )


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
    return value


def with_commas(n: int) -> str:
    """Write an integer with a comma after each three digits."""
    return f"{n:,}"


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
