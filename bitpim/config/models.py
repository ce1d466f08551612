"""The settings of the machines as frozen, checked models: what keys there are, not their values."""

import difflib
from collections.abc import Iterable, Mapping
from typing import Annotated, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field

from bitpim.errors import ConfigError

__all__ = [
    "CONFIDENCES",
    "SET_BY_HAND",
    "Confidence",
    "Count",
    "Origin",
    "Part",
    "Settings",
    "did_you_mean",
]

Confidence = Literal["found", "recalled", "derived", "assumed"]
CONFIDENCES: tuple[str, ...] = get_args(Confidence)
SET_BY_HAND = "set by hand"
"""Source of a value that was changed for one run, beside the preset."""

STRICT = ConfigDict(frozen=True, extra="forbid", strict=True)

Count = Annotated[int, Field(ge=1, le=1_000_000)]
Name = Annotated[str, Field(min_length=1)]


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return '; did you mean ...?' or the list of what is known, to end an error message."""
    names = sorted(known)
    close = difflib.get_close_matches(word, names, n=1, cutoff=0.6)
    if not close:  # a bare key typed without its table
        close = [name for name in names if name.rpartition(".")[2] == word][:1]
    return f"; did you mean {close[0]!r}?" if close else f"; known: {', '.join(names) or 'none'}"


class Part(BaseModel):
    """One table of a preset."""

    model_config = STRICT


class Origin(Part):
    """Where the value of one key comes from."""

    key: str
    source: Annotated[str, Field(min_length=1)]
    confidence: Confidence


class Settings(BaseModel):
    """What the settings of every machine have: names, and the origin of every value."""

    model_config = STRICT

    machine: Name
    name: Name
    title: str = ""
    origins: tuple[Origin, ...] = ()

    def origin(self, key: str) -> Origin:
        """Return source and confidence of a key such as 'mapping.partial_sum_bits'."""
        for origin in self.origins:
            if origin.key == key:
                return origin
        known = [o.key for o in self.origins]
        raise ConfigError(f"{self.name}: unknown key {key!r}{did_you_mean(key, known)}")

    def unused(self) -> Mapping[str, str]:
        """Return the keys that change nothing beside the others, each with what would use it."""
        return {}
