"""The forms of a schema: what an attribute, a dataset and a group of a file may be."""

from dataclasses import dataclass

from bitpim_traces.file_bounds import MAX_TEXT_BYTES
from bitpim_traces.strict_text import is_text

__all__ = ["CODES", "EXTRA_DTYPES", "Attribute", "Dataset", "Group"]

_INT64 = range(-(2**63), 2**63)

CODES = ("int8", "uint8", "int16", "uint16")
EXTRA_DTYPES = (*CODES, "int32", "uint32", "int64", "uint64", "float32", "float64")


@dataclass(frozen=True, slots=True)
class Attribute:
    """One attribute: an integer (`int`), a list of them (`ints`), 0 or 1 (`flag`), or `text`.

    Results also have texts of several lines (`lines`) and lists of texts (`texts`).
    """

    name: str
    form: str
    meaning: str
    length: int | None = None  # of `ints`; None: any
    choices: tuple[str, ...] = ()  # of `text`; (): any

    def fault_of(self, value: object) -> str:
        """Say what it needs if a value has not its form; "" if it has."""
        if self.form == "texts":
            words = value if isinstance(value, tuple) else (1,)
            return "" if all(map(is_text, words)) else "a list of texts"
        if self.form == "lines":
            return "" if is_text(value) else "one text"
        if self.form == "text":
            if (
                not isinstance(value, str)
                or len(value.encode()) > MAX_TEXT_BYTES
                or not value.isprintable()
            ):
                return f"one line of text, at most {MAX_TEXT_BYTES} bytes"
            if self.choices and value not in self.choices:
                return f"one of {', '.join(self.choices)}"
            return ""
        numbers = value if isinstance(value, tuple) else (value,)
        if not all(isinstance(n, int) and n in _INT64 for n in numbers):
            return "whole numbers of 64 bits"
        if self.form == "ints":
            if not isinstance(value, tuple) or self.length not in (None, len(value)):
                return f"{self.length or 'a list of'} whole numbers"
            return ""
        if isinstance(value, tuple):
            return "one whole number"
        return "0 or 1" if self.form == "flag" and value not in (0, 1) else ""


@dataclass(frozen=True, slots=True)
class Dataset:
    """One dataset: allowed dtypes (little-endian) and axes, and its unit."""

    name: str
    dtypes: tuple[str, ...]
    axes: tuple[str, ...]
    units: str
    meaning: str
    required: bool = True
    eager: bool = False  # read when the file is opened
    attributes: tuple[Attribute, ...] = ()  # beside those of every dataset


@dataclass(frozen=True, slots=True)
class Group:
    """One group: what it MUST and MAY hold."""

    path: str
    attributes: tuple[Attribute, ...] = ()
    datasets: tuple[Dataset, ...] = ()
    groups: tuple[str, ...] = ()
    optional_groups: tuple[str, ...] = ()
    listed: bool = True  # other members than those named are faults
