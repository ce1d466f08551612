"""The first place where two states of an array differ, or two rows of its port."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from bitpim.stepped import StateForm

__all__ = ["Difference", "first_difference"]

Array = npt.NDArray[Any]


@dataclass(frozen=True, slots=True)
class Difference:
    """A bit or number that is not what it should be.

    Attributes
    ----------
    step : the step after which it was seen; -1 before the first
    state : name of the state, or "port"
    place : index in it, one for each of its axes
    told : the place in words
    expected, got : what should be there and what is
    n_wrong : how many bits or numbers of the state differ
    """

    step: int
    state: str
    place: tuple[int, ...]
    told: str
    expected: int
    got: int
    n_wrong: int

    def __str__(self) -> str:
        return (
            f"step {self.step}: {self.told} of {self.state} is {self.got}, expected "
            f"{self.expected} ({self.n_wrong} of that state differ)"
        )


def first_difference(
    form: StateForm, expected: Array, got: Array, step: int, names: Mapping[int, str]
) -> Difference | None:
    """Return the first place where two states of a form differ, None where they are equal.

    Shapes
    ------
    expected, got : as the form has it
    """
    if np.array_equal(expected, got):
        return None
    wrong = expected ^ got if form.is_packed else expected != got
    first = tuple(int(n) for n in np.unravel_index(int(np.argmax(wrong != 0)), wrong.shape))
    if not form.is_packed:
        pair = int(expected[first]), int(got[first])
        n_wrong = int(np.count_nonzero(wrong))
        return Difference(step, form.name, first, told(form, first, names), *pair, n_wrong)
    word = int(wrong[first])
    bit = (word & -word).bit_length() - 1
    place = (*first[:-1], 64 * first[-1] + bit)
    pair = int(expected[first]) >> bit & 1, int(got[first]) >> bit & 1
    n_wrong = int(np.bitwise_count(wrong).sum())
    return Difference(step, form.name, place, told(form, place, names), *pair, n_wrong)


def told(form: StateForm, place: tuple[int, ...], names: Mapping[int, str]) -> str:
    """Say where a place of a state is; a row that has a name bears it."""
    parts = []
    for axis, index in zip(form.axes, place, strict=True):
        name = f" ({names[index]})" if axis == "row" and index in names else ""
        parts.append(f"{axis} {index}{name}")
    return ", ".join(parts)
