"""The tables of ARRAYS.md, made from the steps themselves.

`python -m tests.bitpim.golden.arrays_page` writes them.
"""

import re
from pathlib import Path

from bitpim.golden.arrays import ARRAYS

__all__ = ["PAGE", "with_tables"]

PAGE = Path(__file__).parents[3] / "bitpim" / "golden" / "ARRAYS.md"
_TABLE = re.compile(r"(<!-- steps (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)


def with_tables(page: str) -> str:
    """Return the page with the table of each kind of array as its steps are."""
    return _TABLE.sub(lambda found: found[1] + _table(found[2]) + found[3], page)


def _table(kind: str) -> str:
    rows = ["| opcode | name | what it does | port |", "|---|---|---|---|"]
    for form in ARRAYS[kind].forms.values():
        port = "" if form.port == "none" else form.port
        meaning = form.meaning.replace("|", r"\|")
        rows.append(f"| {form.code} | `{form.mnemonic}` | {meaning} | {port} |")
    return "\n".join(rows) + "\n"


if __name__ == "__main__":
    PAGE.write_text(with_tables(PAGE.read_text()))
