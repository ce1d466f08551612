"""Lines and rows as HTML, as a notebook shows them; every text is escaped."""

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from bitpim.report.text import cell_text

__all__ = ["as_html"]


def as_html(lines: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> str:
    """Return lines, and below them a table of rows that share their columns."""
    head = f"<pre>{escape(chr(10).join(lines))}</pre>"
    if not rows:
        return head
    names = "".join(f"<th>{escape(str(name))}</th>" for name in rows[0])
    body = "".join(f"<tr>{''.join(map(_cell, row.values()))}</tr>" for row in rows)
    return f"{head}<table><thead><tr>{names}</tr></thead><tbody>{body}</tbody></table>"


def _cell(value: Any) -> str:
    side = "left" if isinstance(value, str) else "right"
    return f'<td style="text-align: {side}">{escape(cell_text(value))}</td>'
