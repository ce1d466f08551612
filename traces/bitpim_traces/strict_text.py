"""JSON and TOML from files: plain values of a bounded size, depth and spelling, or a ValueError.

Both languages let a text of a few bytes become what no caller expects: numbers of a thousand
digits, NaN, halves of surrogate pairs that no terminal takes, a key given twice, tables nested so
deep that printing them fails.
"""

import json
import math
import re
import tomllib
from typing import Any, NoReturn

from bitpim_traces.open_file import read_whole

__all__ = ["MAX_TOML_BYTES", "is_text", "read_toml_text", "strict_json", "strict_toml"]

MAX_DEPTH = 32
MAX_INTEGER_BITS = 128
"""Seeds of generators may need as many."""
MAX_TOML_BYTES = 2**21
"""A preset with the code table of a 16-bit converter takes half of it."""
_MOST_DOTS = 500
"""In a key: tomllib takes time by the square of a dotted key's parts, and memory too."""
_QUOTED = re.compile(r'"(?:[^"\\\n]|\\.)*"' r"|'[^'\n]*'")
_BETWEEN_KEYS = re.compile(r"[\n,=\[\]{}]")


def is_text(value: object) -> bool:
    """Whether a value is a text of whole characters."""
    return isinstance(value, str) and (
        value.isascii() or not any("\ud800" <= letter <= "\udfff" for letter in value)
    )


def strict_json(text: str, *, are_finite: bool = True) -> Any:
    """Parse one JSON value; unless `are_finite`, with NaN and infinity as Python writes them.

    Raises
    ------
    ValueError
        Not JSON, or a value that `strict_text` does not take; one line says which.
    """
    try:
        constant = _refuse if are_finite else float
        found = json.loads(text, parse_constant=constant, object_pairs_hook=_object)
    except RecursionError as error:
        raise ValueError(_TOO_DEEP) from error
    _check(found, are_finite=are_finite)
    return found


def strict_toml(text: str) -> dict[str, Any]:
    """Parse a TOML file; NaN and infinity are TOML, and for its reader to refuse.

    Raises
    ------
    ValueError
        Not TOML, or a value that `strict_text` does not take; one line says which.
    """
    if len(text) > MAX_TOML_BYTES:
        raise ValueError(f"need at most {MAX_TOML_BYTES} characters, got {len(text)}")
    pieces = _BETWEEN_KEYS.split(_QUOTED.sub("q", text))
    if any(piece.count(".") > _MOST_DOTS for piece in pieces):
        raise ValueError(f"need at most {_MOST_DOTS} dots in a key, got more")
    try:
        found = tomllib.loads(text)
    except RecursionError as error:
        raise ValueError(_TOO_DEEP) from error
    _check(found, are_finite=False)
    return found


def read_toml_text(path: str) -> str:
    """Read the text of a TOML file.

    Raises
    ------
    OSError
        It cannot be read, is no regular file, or is larger than any such file needs to be.
    ValueError
        It is not UTF-8.
    """
    return read_whole(path, MAX_TOML_BYTES).decode("utf-8")


_ABSENT = object()
_TOO_DEEP = f"need values nested at most {MAX_DEPTH} deep, got deeper ones"


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is no JSON number")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if found.pop(key, _ABSENT) is _ABSENT)
        raise ValueError(f"need different keys in an object, got {twice!r:.80} twice")
    return found


def _check(value: Any, *, are_finite: bool) -> None:
    """Look at every value, without recursion."""
    layer, depth = [value], 0
    while layer:
        depth += 1
        if depth > MAX_DEPTH:
            raise ValueError(_TOO_DEEP)
        below: list[Any] = []
        for item in layer:
            if isinstance(item, dict):
                below += item.keys()
                below += item.values()
            elif isinstance(item, list):
                below += item
            elif isinstance(item, str):
                if not is_text(item):
                    raise ValueError("need whole characters, got half of a surrogate pair")
            elif isinstance(item, float):
                if are_finite and not math.isfinite(item):
                    raise ValueError(f"need finite numbers, got {item}")
            elif isinstance(item, int) and item.bit_length() > MAX_INTEGER_BITS:
                raise ValueError(f"need numbers of at most {MAX_INTEGER_BITS} bits, got a larger")
        layer = below
