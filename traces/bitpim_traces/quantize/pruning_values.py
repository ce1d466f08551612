"""Values in settings of pruning: words, shares, and what layers have of their own.

A layer's own value goes by its name or a pattern of names; of those that fit the last counts.
"""

import difflib
from collections.abc import Collection, Iterable, Mapping
from fnmatch import fnmatchcase
from typing import TypeVar

from bitpim_traces.errors import TraceDataError

__all__ = ["need_known", "need_share", "need_word", "own_of"]

V = TypeVar("V")


def own_of(overrides: Mapping[str, V], name: str) -> V | None:
    """Return what a layer has of its own: of the names and patterns that fit, the last one's."""
    found = None
    for pattern, value in overrides.items():
        if fnmatchcase(name, pattern):
            found = value
    return found


def need_known(
    patterns: Iterable[str],
    names: Collection[str],
    where: str,
    what: str,
    given: str = "overrides that name",
) -> None:
    """Raise TraceDataError where a name or pattern fits none of `names`, which are all `what`."""
    for pattern in patterns:
        if not any(fnmatchcase(name, pattern) for name in names):
            close = difflib.get_close_matches(pattern, list(names), n=1)
            hint = f"did you mean {close[0]!r}?" if close else f"there are {_listed(names)}"
            raise TraceDataError(f"{where}: need {given} {what}, got {pattern!r}; {hint}")


def need_word(where: str, key: str, got: str, words: tuple[str, ...]) -> None:
    """Raise TraceDataError unless a word is among those that may be."""
    if got not in words:
        raise TraceDataError(f"{where}: need {key} among {', '.join(words)}, got {got!r}")


def need_share(where: str, key: str, got: float) -> None:
    """Raise TraceDataError unless a share leaves something."""
    if not 0 <= got < 1:
        raise TraceDataError(f"{where}: need {key} from 0 to below 1, got {got}")


def _listed(names: Collection[str]) -> str:
    first = list(names)[:8]
    return (", ".join(first) or "none") + (", ..." if len(names) > len(first) else "")
