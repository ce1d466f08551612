"""The forms of a schema: what an attribute, a dataset and a group of a file may be."""

from dataclasses import dataclass

__all__ = ["CODES", "EXTRA_DTYPES", "Attribute", "Dataset", "Group"]

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
