"""What the file of a NOR program says, step by step and claim by claim, before it is checked.

Each form has a reader that makes a `Draft`; what may be wrong in all of them is looked at once, in
`nor_files`. A number is read only where it is small, so that no file takes long to refuse.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from bitpim.errors import ProgramError

__all__ = [
    "CLAIMS",
    "MAX_CELLS",
    "Claim",
    "Draft",
    "DraftStep",
    "NamedCell",
    "Place",
    "claim_of",
    "name_of",
    "natural",
    "numbered_lines",
    "short",
]

MAX_CELLS = 65_536
"""Cells of a row; the mappers are used with 1,024 and fewer."""
_MOST_DIGITS = 9
_SHOWN = 60


@dataclass(frozen=True, slots=True)
class Place:
    """Where in a file something is said: its line, and its key where the form has keys."""

    file: str
    line: int
    key: str = ""

    @property
    def in_file(self) -> str:
        """Where it is, without the name of the file."""
        key = self.key if self.key.isprintable() and len(self.key) <= _SHOWN else short(self.key)
        return f"{key} (line {self.line})" if key else f"line {self.line}"

    def __str__(self) -> str:
        return f"{self.file}, {self.in_file}"

    def fault(self, said: str) -> ProgramError:
        """Return the error that says what is wrong here."""
        return ProgramError(f"{self}: {said}")


@dataclass(frozen=True, slots=True)
class NamedCell:
    """A cell, and what the file calls what it holds; "" where it has no names."""

    name: str
    cell: int

    def __str__(self) -> str:
        return f"{self.name}({self.cell})" if self.name else f"M{self.cell}"


@dataclass(frozen=True, slots=True)
class DraftStep:
    """A step as written: a gate with its output, or an INIT, which has none.

    Attributes
    ----------
    number : n of ``Tn``
    place : where it stands
    gate : the gate's name, "" for an INIT
    output : the cell a gate writes
    cells : the inputs of a gate, or the cells that are set
    """

    number: int
    place: Place
    gate: str
    output: NamedCell | None
    cells: tuple[NamedCell, ...]


@dataclass(frozen=True, slots=True)
class Claim:
    """A number that the head of a file states, and where."""

    value: int | str
    place: Place


@dataclass(slots=True)
class Draft:
    """A file read, not yet checked; `claims` by their word of `CLAIMS`."""

    form: str
    place: Place
    claims: dict[str, Claim] = field(default_factory=dict)
    inputs: list[NamedCell] = field(default_factory=list)
    outputs: list[NamedCell] = field(default_factory=list)
    steps: list[DraftStep] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def need(self, *words: str) -> None:
        """Raise unless the head has these claims."""
        for word in words:
            if word not in self.claims:
                raise self.place.fault(
                    f"need a line `{CLAIMS[word]}` in the head, got none; the file may be cut short"
                )

    def number(self, word: str) -> int:
        """Return a claim that is a number."""
        value = self.claims[word].value
        assert isinstance(value, int)
        return value


CLAIMS = {
    "name": "Benchmark",
    "row": "Row size",
    "gates": "Number of Gates",
    "inputs": "Inputs",
    "outputs": "Outputs",
    "n_inputs": "Number of Inputs",
    "n_outputs": "Number of Outputs",
    "cycles": "Total cycles",
    "reuse": "Reuse cycles",
    "percent": "Reuse cycles percentage",
    "fraction": "Initialization percentage",
    "used": "Max number of used cells",
}
"""What the head of a file may state, and how it is written first of all."""

_ALSO = {
    "number of pis": "n_inputs",
    "number of pos": "n_outputs",
    "total number of cycles": "cycles",
    "number of reuse cycles": "reuse",
    "row size (number of columns)": "row",
}
_BY_KEY = {text.lower(): word for word, text in CLAIMS.items()} | _ALSO


def claim_of(key: str) -> str:
    """Return the word of `CLAIMS` that a key of a head stands for, "" for an unknown one."""
    return _BY_KEY.get(" ".join(key.lower().split()), "")


def natural(text: str, what: str, place: Place) -> int:
    """Read a number of digits alone.

    Raises
    ------
    ProgramError
        It has another letter, or more digits than anything here needs.
    """
    if not re.fullmatch(r"[0-9]+", text):
        raise place.fault(f"need {what} in digits, got {short(text)}")
    if len(text) > _MOST_DIGITS:
        raise place.fault(f"need {what} of at most {_MOST_DIGITS} digits, got {len(text)} digits")
    return int(text)


def name_of(text: str, what: str, place: Place) -> str:
    """Return a name that a reader of messages can see.

    Raises
    ------
    ProgramError
        It has letters that cannot be printed.
    """
    if not text.isprintable():
        raise place.fault(f"need {what} that can be printed, got {short(text)}")
    return text


def short(text: str) -> str:
    """Return a text in quotes, its middle left out where it is long."""
    if len(text) > _SHOWN:
        half = _SHOWN // 2
        text = f"{text[:half]} ... {text[-half:]}"
    return repr(text)


def numbered_lines(text: str, file: str) -> Iterator[tuple[Place, str]]:
    """Yield each line of a text with its place, without the blanks around it."""
    for line, content in enumerate(text.split("\n"), 1):
        yield Place(file, line), content.strip()
