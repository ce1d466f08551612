"""Arrays as a stepper sees them: steps are rows of five numbers, states have names.

A step is ``(opcode, a, b, dst, predicate)``, int32, as in tables of programs. Beside the opcodes of
its logic family an array has steps of its own: what comes from outside or goes there passes the
**port**, one row of numbers for each such step, in their order. So steps and port rows are all that
happens to an array, and both can be written down.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, Protocol

import numpy as np
import numpy.typing as npt

from bitpim.counts import Counts
from bitpim.errors import LayoutError
from bitpim_kernels.layout import tail_mask, words_for

__all__ = [
    "N_NUMBERS",
    "Port",
    "StateForm",
    "StepForm",
    "SteppedArray",
    "need_padding",
    "need_port_padding",
]

Array = npt.NDArray[Any]
Steps = npt.NDArray[np.int32]
Port = Literal["none", "in", "out"]

N_NUMBERS = 5
"""Numbers of a step."""


@dataclass(frozen=True, slots=True)
class StepForm:
    """One kind of step: its number, its name, what it does, and which way its port row goes."""

    code: int
    mnemonic: str
    meaning: str
    port: Port = "none"


@dataclass(frozen=True, slots=True)
class StateForm:
    """One named part of what an array holds.

    Attributes
    ----------
    name : as in files
    axes : what an index of each axis is called, as in ("row", "column")
    sizes : how many there are of each
    dtype : of a number; None for bits, which are packed, 64 to a uint64 word of the last axis
    """

    name: str
    axes: tuple[str, ...]
    sizes: tuple[int, ...]
    dtype: "np.dtype[Any] | None" = None

    @property
    def is_packed(self) -> bool:
        """Whether it is bits."""
        return self.dtype is None

    @property
    def shape(self) -> tuple[int, ...]:
        """As arrays of NumPy and files have it: words in the place of bits."""
        if self.is_packed:
            return (*self.sizes[:-1], words_for(self.sizes[-1]))
        return self.sizes

    @property
    def stored(self) -> "np.dtype[Any]":
        """Type of a number or word."""
        return np.dtype(np.uint64) if self.dtype is None else self.dtype


def need_padding(form: StateForm, values: Array, where: str) -> None:
    """Raise LayoutError where packed bits are lit beyond the last of a form; numbers have none.

    Shapes
    ------
    values: (..., words), with or without axes before those of the form
    """
    if not form.is_packed or not values.size:
        return
    if np.any(values[..., -1] & ~tail_mask(form.sizes[-1])):
        raise LayoutError(
            f"{where}: need zero padding beyond {form.axes[-1]} {form.sizes[-1] - 1}, got ones"
        )


def need_port_padding(form: StateForm, rows: Array, first: int) -> None:
    """Raise LayoutError naming the first port row, numbered from `first`, that lights too much."""
    lit = np.flatnonzero(rows[:, -1] & ~tail_mask(form.sizes[-1])) if rows.size else ()
    for at in lit[:1]:
        need_padding(form, rows[at], f"port row {first + at}")


class SteppedArray(Protocol):
    """An array that takes steps, one by one or many, and shows all it holds.

    Attributes
    ----------
    kind : name of the kind of array, as program traces have it
    forms : all its steps, by number
    parameters : what makes one, numbers within a range or one of some words
    constants : types of the tables that it looks up
    """

    kind: ClassVar[str]
    forms: ClassVar[Mapping[int, StepForm]]
    parameters: ClassVar[Mapping[str, range | tuple[str, ...]]]
    constants: ClassVar[Mapping[str, "np.dtype[Any]"]]

    @classmethod
    def of(cls, parameters: Mapping[str, Any], constants: Mapping[str, Array]) -> "SteppedArray":
        """Make one of parameters and constants that have their types and ranges.

        Raises
        ------
        ConfigError
            They do not go together.
        """
        ...

    @property
    def counts(self) -> Counts:
        """Events of all steps so far."""
        ...

    @property
    def states(self) -> tuple[StateForm, ...]:
        """All it holds; a new array holds zeros."""
        ...

    @property
    def port(self) -> StateForm:
        """One row of the port."""
        ...

    def check(self, steps: Steps, first: int) -> None:
        """Raise ProgramError if it cannot take a step; they are numbered from `first`."""
        ...

    def check_port(self, rows: Array, first: int) -> None:
        """Raise LayoutError unless port rows, numbered from `first`, hold what its wires carry."""
        ...

    def run(self, steps: Steps, port: Array) -> Array:
        """Take steps that were checked; return the port rows with what went out in its place."""
        ...

    def view(self, name: str) -> Array:
        """Return a state as it is now; it must not be written, and the next step changes it."""
        ...

    def load(self, name: str, values: Array) -> None:
        """Set a state; raises LayoutError where values have not its form."""
        ...

    def told(self, step: Sequence[int], names: Mapping[int, str]) -> str:
        """Say what a step does; rows that have a name bear it."""
        ...
