"""The settings of the machines as frozen, checked models: what keys there are, not their values."""

import difflib
from collections.abc import Collection, Iterable, Mapping
from fnmatch import fnmatchcase
from typing import Annotated, Any, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from bitpim.errors import ConfigError
from bitpim_traces.faults import shown

__all__ = [
    "CONFIDENCES",
    "SET_BY_HAND",
    "Confidence",
    "Count",
    "LayerPart",
    "LayerSetting",
    "Origin",
    "Part",
    "Settings",
    "did_you_mean",
    "first_fault",
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


def first_fault(error: ValidationError) -> str:
    """Return the first fault that a model found, in one line."""
    fault = error.errors()[0]
    key = "".join(f"{step}." for step in fault["loc"])[:-1]
    got = "" if fault["type"] in ("missing", "value_error") else f", got {shown(fault['input'])}"
    more = f" (and {error.error_count() - 1} more)" if error.error_count() > 1 else ""
    return f"{key}{': ' if key else ''}{fault['msg'].removeprefix('Value error, ')}{got}{more}"


class Part(BaseModel):
    """One table of a preset."""

    model_config = STRICT

    @classmethod
    def by_layer(cls) -> tuple[str, ...]:
        """Return the keys that may be given by layer, too; by default what is one for the chip."""
        return ()


class LayerPart(Part):
    """A table whose keys are given by layer only; a default says what holds of the other layers."""

    @classmethod
    def by_layer(cls) -> tuple[str, ...]:
        """Return all keys."""
        return tuple(cls.model_fields)


class Origin(Part):
    """Where the value of one key comes from."""

    key: str
    source: Annotated[str, Field(min_length=1)]
    confidence: Confidence


class LayerSetting(Part):
    """A value that layers have of their own: those of a name, or whose names fit a pattern.

    `key` is whole, as in ``converter.adc_bits``.
    """

    key: str
    pattern: str
    value: Any

    @property
    def name(self) -> str:
        """The key and the layers, as they are typed: ``converter.adc_bits@layer3.*``."""
        return f"{self.key}@{self.pattern}"

    def fitting(self, layers: Collection[str]) -> set[str]:
        """Return those layers, by name, that it is for.

        A pattern that is the name of one is for that alone; else `*`, `?` and `[...]` stand for
        letters as they do in file names.
        """
        if self.pattern in layers:
            return {self.pattern}
        return {layer for layer in layers if fnmatchcase(layer, self.pattern)}


class Settings(BaseModel):
    """What the settings of every machine have: names, and the origin of every value.

    `layer_settings` are what some layers have of their own, in the order in which later ones win.
    """

    model_config = STRICT

    machine: Name
    name: Name
    title: str = ""
    origins: tuple[Origin, ...] = ()
    layer_settings: tuple[LayerSetting, ...] = ()

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
