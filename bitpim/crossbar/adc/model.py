"""What an ADC model is, and the models by name.

To add a model:

1. Write one class that inherits `AdcModel`, in a file of its own: in the folder `models`, whose
   files are found by being there, or in any package, which imports it before it is asked for.
2. Name it, say with the class attributes what it accepts, and write `readings` and `step`.
3. Beside it a test that works a few readings out by hand and compares a machine with a naive one.

No list is to be extended: settings, their JSON schema and every error message ask the classes.
"""

import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from fractions import Fraction
from typing import Any, ClassVar, NamedTuple

import numpy as np
import numpy.typing as npt

from bitpim.crossbar.adc.code_table import CodeTable
from bitpim.errors import ConfigError

__all__ = ["AdcModel", "Ints", "Sizes", "adc_models", "either", "model_named"]

Ints = npt.NDArray[np.int64]


class Sizes(NamedTuple):
    """What a reading depends on beside the partial sum.

    Attributes
    ----------
    bits : of the converter; 0 for a model that takes none
    scale : its range in levels, which the top code stands for; 0 for a model that takes none
    signed : whether partial sums may lie below 0
    code_table : thresholds and levels, for a model that takes them
    """

    bits: int
    scale: int
    signed: bool
    code_table: CodeTable | None


class AdcModel(ABC):
    """A transfer function; a subclass with a name is known by it from then on.

    Each partial sum is read by itself: its reading depends on the sum and on `Sizes` only.

    Attributes
    ----------
    name : a word, as settings spell it
    takes_bits : whether it converts; without bits it is an ideal converter, whose events say so
    least_bits : the fewest bits that it works with
    least_bits_because : why they are more than 1, to end an error message
    takes_range : whether its top code may stand for another range than the largest partial sum
    range_is : what it reads instead, where it takes none, to explain an error
    takes_code_table : whether it reads by thresholds and levels that are given
    reads_below_zero : whether it may tell sums below 0 apart from 0
    """

    name: ClassVar[str]
    takes_bits: ClassVar[bool] = True
    least_bits: ClassVar[int] = 1
    least_bits_because: ClassVar[str] = ""
    takes_range: ClassVar[bool] = False
    range_is: ClassVar[str] = "has a range of its own"
    takes_code_table: ClassVar[bool] = False
    reads_below_zero: ClassVar[bool] = True

    def __init_subclass__(cls, **arguments: Any) -> None:
        super().__init_subclass__(**arguments)
        if "name" in vars(cls):
            _register(cls)

    @abstractmethod
    def readings(self, sums: Ints, sizes: Sizes) -> Ints:
        """Return what the converter hands over for each partial sum: whole numbers.

        Shapes
        ------
        sums, returns: (n,)
        """

    @abstractmethod
    def step(self, sizes: Sizes) -> Fraction:
        """Return the levels that a reading of 1 counts for."""


_models: dict[str, type[AdcModel]] = {}


def _register(model: type[AdcModel]) -> None:
    """Make a model known; defined anew, as on a reload, it takes its own place.

    Raises
    ------
    ConfigError
        The name is no word, or another model bears it.
    """
    name, here = model.name, f"{model.__module__}.{model.__qualname__}"
    if not re.fullmatch(r"[a-z][a-z0-9_]*", name):
        raise ConfigError(
            f"ADC model {here}: need a name of small letters, digits and _, got {name!r}"
        )
    known = _models.get(name, model)
    there = f"{known.__module__}.{known.__qualname__}"
    if there != here:
        raise ConfigError(
            f"ADC model {name!r}: need one of that name, got {there} and {here}; rename one"
        )
    _models[name] = model


def adc_models(fits: Callable[[type[AdcModel]], bool] | None = None) -> tuple[str, ...]:
    """Return the names of all models, or of those that fit, sorted."""
    return tuple(name for name in sorted(_models) if fits is None or fits(_models[name]))


def model_named(name: str) -> AdcModel:
    """Return the model of that name.

    Raises
    ------
    ConfigError
        There is none, or it lacks a function of `AdcModel`.
    """
    if name not in _models:
        raise ConfigError(f"Adc: need a model of {', '.join(adc_models())}, got {name!r}")
    model = _models[name]
    lacking = sorted(model.__abstractmethods__)
    if lacking:
        raise ConfigError(f"ADC model {name!r}: need {' and '.join(lacking)}, got none; write it")
    return model()


def either(names: Sequence[str], join: str = "or") -> str:
    """Return names as a sentence lists them: "a, b or c"."""
    *most, last = names or ["none"]
    return f"{', '.join(most)} {join} {last}" if most else last
