"""Codes that are given one by one: where each begins, and what it stands for."""

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from typing import Any

from bitpim.errors import ConfigError

__all__ = ["CodeTable", "Level", "levels_of", "thresholds_of"]

Level = int | float | str | Fraction

_LARGEST_SUM = 2**24
_LARGEST_READING = 2**30  # so that two readings differ by an int32
_NUMBER = re.compile(r"-?[0-9]{1,12}(/0*[1-9][0-9]{0,11}|\.[0-9]{1,12})?")


@dataclass(frozen=True, slots=True)
class CodeTable:
    """A transfer function that never falls, code by code.

    A partial sum has the code that counts the thresholds it reaches. Readings are the levels in
    units of their common denominator, so that they are whole numbers and nothing is rounded.

    Parameters
    ----------
    thresholds : the partial sums at which the code rises by one, each larger than the one before
    levels : what each code stands for, one more than thresholds, none below the one before

    Raises
    ------
    ConfigError
        They are not of that kind, or readings leave 31 bits.
    """

    thresholds: tuple[int, ...]
    levels: tuple[Fraction, ...]

    def __post_init__(self) -> None:
        _named("thresholds", thresholds_of, self.thresholds)
        _named("levels", levels_of, self.levels)
        n = len(self.thresholds)
        if not n or len(self.levels) != n + 1:
            raise ConfigError(
                f"CodeTable: need at least one threshold, and one level more than thresholds, got "
                f"{n} and {len(self.levels)}"
            )

    @classmethod
    def of(cls, thresholds: Sequence[int], levels: Sequence[Level]) -> "CodeTable":
        """Return the table of thresholds, and of levels as `levels_of` reads them.

        Raises
        ------
        ConfigError
            As the class does.
        """
        return cls(tuple(thresholds), _named("levels", levels_of, levels))

    @property
    def n_codes(self) -> int:
        """How many codes there are."""
        return len(self.levels)

    @property
    def bits(self) -> int:
        """The fewest bits that tell all codes apart."""
        return (self.n_codes - 1).bit_length()

    @property
    def denominator(self) -> int:
        """Readings to a level."""
        return math.lcm(*(level.denominator for level in self.levels))

    @property
    def readings(self) -> tuple[int, ...]:
        """The reading of each code."""
        unit = self.denominator
        return tuple(int(level * unit) for level in self.levels)

    @property
    def tells_negatives(self) -> bool:
        """Whether some sum below 0 has another code than 0."""
        return self.thresholds[0] <= 0


def thresholds_of(values: Sequence[int]) -> tuple[int, ...]:
    """Return thresholds, checked.

    Raises
    ------
    ConfigError
        One is no whole number, too large, or not above the one before.
    """
    for value in values:
        if type(value) is not int or not -_LARGEST_SUM < value < _LARGEST_SUM:
            raise ConfigError(
                f"need whole partial sums of fewer than 2^24, got {value!r}; a threshold is the "
                "smallest partial sum that has the next code"
            )
    for before, value in pairwise(values):
        if value <= before:
            raise ConfigError(
                f"need each threshold above the one before, got {value} after {before}"
            )
    return tuple(values)


def levels_of(values: Sequence[Level]) -> tuple[Fraction, ...]:
    """Return levels as exact fractions: of whole numbers, decimals, or texts such as "9/7".

    A decimal is taken as it is written: 0.1 is a tenth.

    Raises
    ------
    ConfigError
        One is none of these, falls below the one before, or readings would leave 31 bits.
    """
    levels = tuple(_level(value) for value in values)
    for before, level in pairwise(levels):
        if level < before:
            raise ConfigError(f"need no level below the one before, got {level} after {before}")
    denominator, largest = 1, max([Fraction(1), *(-x for x in levels[:1]), *levels[-1:]])
    for value, level in zip(values, levels, strict=True):
        denominator = math.lcm(denominator, level.denominator)
        if denominator * largest >= _LARGEST_READING:
            raise ConfigError(
                f"need levels of fewer than 2^30 units of their common denominator, got "
                f"{value!r} among them; take smaller levels, or coarser fractions"
            )
    return levels


def _level(value: Level) -> Fraction:
    exact = isinstance(value, int | Fraction) and not isinstance(value, bool)
    decimal = isinstance(value, float) and math.isfinite(value)
    if exact or decimal or (isinstance(value, str) and _NUMBER.fullmatch(value)):
        return Fraction(repr(value) if decimal else value)
    raise ConfigError(
        f'need whole numbers, decimals or texts such as "9/7", got {value!r}; a level is what a '
        "code stands for, in cell conductance steps"
    )


def _named(what: str, check: Callable[[Any], Any], values: Sequence[Any]) -> Any:
    try:
        return check(values)
    except ConfigError as error:
        raise ConfigError(f"CodeTable: {what}: {error}") from None
