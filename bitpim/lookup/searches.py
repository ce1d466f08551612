"""Every kind of search that a CAM answers, and every option that one takes: a record each.

Error messages, the help of the command line and the tables of CAM.md are made from the records.
Options are checked here against the rows and bits of a CAM; words are the CAM's own matter.
"""

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from operator import index
from types import MappingProxyType
from typing import Any, Final

from bitpim.errors import ConfigError

__all__ = [
    "MODES",
    "OPTIONS",
    "SEARCHES",
    "TIES",
    "SearchKind",
    "SearchOption",
    "checked_options",
    "search_kind",
]

TIES: Final = ("lowest", "highest", "all")
MODES: Final = ("abs", "wxor", "staged")
_LARGEST_TOTAL: Final = 2**63 - 2  # kernels take the next one for "no row yet"


@dataclass(frozen=True, slots=True)
class SearchOption:
    """An option of a search.

    Attributes
    ----------
    name : as it is written
    form : ``integer``, ``integers``, ``word``, ``flag`` or ``words``: what a command line reads
    meaning : what it does, in one line
    need : what values it takes, for a CAM of ``n_rows`` and ``n_bits``
    choices : the words it takes, where it takes words
    default : what it is where it is not given
    """

    name: str
    form: str
    meaning: str
    need: str
    choices: tuple[str, ...] = ()
    default: Any = None


OPTIONS: Final[Mapping[str, SearchOption]] = MappingProxyType(
    {
        option.name: option
        for option in (
            SearchOption(
                "k", "integer", "rows reported for a query, the best first", "1..n_rows", (), 1
            ),
            SearchOption("limit", "integer", "how many bits of a match may differ", "0 or more"),
            SearchOption(
                "weights",
                "integers",
                "what a bit that differs counts, bit 0 first; bits of weight 0 are not driven",
                "n_bits whole numbers of 0 or more, their sum below 2^63 - 1",
            ),
            SearchOption(
                "mode",
                "word",
                "which distance: difference, XOR as a number, or difference stage by stage",
                "abs, wxor or staged",
                MODES,
                "abs",
            ),
            SearchOption(
                "stage_bits",
                "integer",
                "bits compared in a stage; the last stage has what is left",
                "1..the bits compared, with mode staged only",
            ),
            SearchOption(
                "signed",
                "flag",
                "words are in two's complement; compared with the sign bit flipped",
                "true or false",
                (),
                False,
            ),
            SearchOption("high", "words", "the upper end of each query, itself within", "words"),
            SearchOption(
                "top_bits",
                "integer",
                "search the highest bits only; the others are not driven",
                "1..n_bits",
            ),
            SearchOption(
                "ties",
                "word",
                "which row wins where several are alike; all lists every one",
                "lowest, highest or all",
                TIES,
                "lowest",
            ),
            SearchOption(
                "every", "flag", "list every row that matches", "true or false", (), False
            ),
        )
    }
)
"""Every option there is, by name."""


@dataclass(frozen=True, slots=True)
class SearchKind:
    """A kind of search.

    Attributes
    ----------
    name : as it is written
    summary : which rows it finds, in one line
    required : options that have to be given
    optional : options that may be given
    stored_dont_cares, query_dont_cares : whether such cells and such bits are allowed
    has_distances : whether each row that is reported has a distance
    has_winner : whether it finds the nearest rows, and not all that match
    max_bits : the widest words it takes; None where any will do
    without_care : what to do instead where don't-cares are not allowed
    """

    name: str
    summary: str
    required: tuple[str, ...]
    optional: tuple[str, ...]
    stored_dont_cares: bool
    query_dont_cares: bool
    has_distances: bool
    has_winner: bool
    max_bits: int | None = None
    without_care: str = ""

    @property
    def options(self) -> tuple[SearchOption, ...]:
        """Every option that it takes, the required ones first."""
        return tuple(OPTIONS[name] for name in (*self.required, *self.optional))

    def choices(self, option: str) -> tuple[str, ...]:
        """Return the words that an option takes in this kind of search."""
        known = OPTIONS[option].choices
        return known if self.has_winner or option != "ties" else TIES[:2]


_MATCHES = ("ties", "every")

SEARCHES: Final[Mapping[str, SearchKind]] = MappingProxyType(
    {
        kind.name: kind
        for kind in (
            SearchKind(
                "exact", "rows equal to the query in all bits",
                (), _MATCHES, False, False, False, False,
                without_care="take search ternary",
            ),
            SearchKind(
                "ternary", "rows that differ from the query nowhere that both care for",
                (), _MATCHES, True, True, False, False,
            ),
            SearchKind(
                "prefix", "rows that differ nowhere in the highest bits",
                ("top_bits",), _MATCHES, True, True, False, False,
            ),
            SearchKind(
                "threshold", "rows that differ from the query in few bits",
                ("limit",), ("top_bits", *_MATCHES), True, True, True, False,
            ),
            SearchKind(
                "best", "rows that differ from the query in fewest bits",
                (), ("k", "top_bits", "ties"), True, True, True, True,
            ),
            SearchKind(
                "weighted", "rows whose differing bits have the least weight in all",
                ("weights",), ("k", "top_bits", "ties"), True, True, True, True,
            ),
            SearchKind(
                "nearest", "the row nearest to the query as a number",
                (), ("mode", "stage_bits", "signed", "top_bits", "ties"),
                False, False, True, True, 64,
                "take search weighted, where such a cell counts nothing",
            ),
            SearchKind(
                "range", "rows from the query up to `high`, unsigned, as ternary searches",
                ("high",), _MATCHES, False, False, False, False,
                without_care="store, or give as an end, each value in full",
            ),
        )
    }
)  # fmt: skip
"""Every kind of search there is, by name."""


def search_kind(name: str) -> SearchKind:
    """Return the record of a kind of search.

    Raises
    ------
    ConfigError
        There is no such kind.
    """
    if not isinstance(name, str) or name not in SEARCHES:
        raise ConfigError(f"unknown search {name!r}{_meant(name, SEARCHES)}")
    return SEARCHES[name]


def checked_options(
    kind: SearchKind, given: Mapping[str, Any], n_rows: int, n_bits: int
) -> dict[str, Any]:
    """Return every option of a search that has a value, given or by default.

    None stands for an option that is not given. `high` is taken as it is. `limit` beyond the width
    is the width: all rows match.

    Raises
    ------
    ConfigError
        An option is not of this kind, is missing, or has a value it does not take.
    """
    known = {option.name: option for option in kind.options}
    for name in given:
        if name not in known:
            takers = [other.name for other in SEARCHES.values() if name in _names(other)]
            whose = f"; it is of {', '.join(takers)}" if takers else _meant(name, known)
            raise ConfigError(f"search {kind.name}: takes no option {name!r}{whose}")
    values = {name: option.default for name, option in known.items()} | {
        name: value for name, value in given.items() if value is not None
    }
    values = {name: value for name, value in values.items() if value is not None}
    for name in kind.required:
        if name not in values:
            raise ConfigError(f"search {kind.name}: needs {name}: {known[name].meaning}")
    checked = {
        name: _checked(kind, known[name], value, n_rows, n_bits) for name, value in values.items()
    }
    _check_together(kind, checked, n_bits)
    return checked


def _names(kind: SearchKind) -> tuple[str, ...]:
    return (*kind.required, *kind.optional)


def _meant(name: object, known: Iterable[str]) -> str:
    names = list(known)
    close = difflib.get_close_matches(str(name), names, n=1)
    return f"; did you mean {close[0]!r}?" if close else f"; known: {', '.join(names)}"


def _checked(kind: SearchKind, option: SearchOption, value: Any, n_rows: int, n_bits: int) -> Any:
    where = f"search {kind.name}: {option.name}"
    if option.form == "word":
        return _word(where, value, kind.choices(option.name))
    if option.form == "flag":
        if not isinstance(value, bool):
            raise ConfigError(f"{where} needs {option.need}, got {value!r}")
        return value
    if option.form == "integers":
        return _weights(where, value, n_bits)
    if option.form == "integer":
        return _integer(where, option, value, n_rows, n_bits)
    return value


def _word(where: str, value: Any, choices: tuple[str, ...]) -> str:
    if isinstance(value, str) and value in choices:
        return value
    if isinstance(value, str) and value == "all":
        raise ConfigError(
            f"{where} needs {' or '.join(choices)}, got 'all'; option every lists all"
        )
    close = difflib.get_close_matches(str(value), choices, n=1)
    hint = f"; did you mean {close[0]!r}?" if close else ""
    raise ConfigError(f"{where} needs one of {', '.join(choices)}, got {value!r}{hint}")


def _whole(value: Any) -> int | None:
    """Return a value as an integer, or None where it is none; True and False are none."""
    if isinstance(value, bool):
        return None
    try:
        return index(value)
    except TypeError:
        return None


def _integer(where: str, option: SearchOption, value: Any, n_rows: int, n_bits: int) -> int:
    number = _whole(value)
    least = 0 if option.name == "limit" else 1
    most = {"k": n_rows, "top_bits": n_bits, "stage_bits": n_bits}.get(option.name)
    if number is None or number < least or (most is not None and number > most):
        if option.name == "k" and most is not None:
            need = f"1..{most}, for there {'is 1 row' if most == 1 else f'are {most} rows'}"
        else:
            need = f"{least} or more" if most is None else f"{least}..{most}"
        raise ConfigError(f"{where} needs a whole number, {need}, got {value!r}")
    return min(number, n_bits) if option.name == "limit" else number


def _weights(where: str, value: Any, n_bits: int) -> list[int]:
    try:
        given = list(value)
    except TypeError:
        raise ConfigError(f"{where} needs whole numbers, one a bit, got {value!r}") from None
    weights = []
    for place, weight in enumerate(given):
        number = _whole(weight)
        if number is None or number < 0:
            raise ConfigError(
                f"{where} needs whole numbers of 0 or more, got {weight!r} for bit {place}"
            )
        weights.append(number)
    if len(weights) != n_bits:
        raise ConfigError(f"{where} needs one a bit, {n_bits}, bit 0 first, got {len(weights)}")
    if sum(weights) > _LARGEST_TOTAL:
        raise ConfigError(
            f"{where} needs a sum below 2^63 - 1, got {sum(weights)}; "
            "divide them by a common factor"
        )
    return weights


def _check_together(kind: SearchKind, values: Mapping[str, Any], n_bits: int) -> None:
    """Check what one option demands of another."""
    if values.get("ties") == "all" and values.get("k", 1) != 1:
        raise ConfigError(
            f"search {kind.name}: ties all lists the rows as good as the best, so it needs k 1, "
            f"got {values['k']}; leave out k, or take ties lowest"
        )
    if kind.name != "nearest":
        return
    staged = values["mode"] == "staged"
    if staged != ("stage_bits" in values):
        raise ConfigError(
            "search nearest: mode staged needs stage_bits, the bits of a stage"
            if staged
            else f"search nearest: stage_bits is of mode staged, got mode {values['mode']}"
        )
    compared = values.get("top_bits", n_bits)
    if staged and values["stage_bits"] > compared:
        raise ConfigError(
            f"search nearest: stage_bits needs 1..{compared}, the bits compared, got "
            f"{values['stage_bits']}"
        )
