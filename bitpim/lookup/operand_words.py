"""Operands of a neuron as words that are listed, and added three to two until two are left.

Words stand in the order in which they were listed. Of a level's words, word i is added to words
``i + n // 3`` and ``i + 2 * (n // 3)``: sums come first, then carries, then what is left over.

Source: RAPIDNN's in-memory addition by full adders of NORs; what one adds is `bitpim_kernels`'
`carry_save`, here on one neuron.
"""

from typing import Final

import numpy as np
import numpy.typing as npt

from bitpim.errors import ProgramError
from bitpim.stepped import StateForm

__all__ = ["OperandWords", "digit_of"]

Words = npt.NDArray[np.uint64]

_ONE: Final = np.uint64(1)


def digit_of(count: int, place: int, *, signed: bool) -> int:
    """Return a digit of a count: 0 or 1, or -1, 0 or 1 where they are signed.

    Of signed digits no two neighbours are both other than 0: they are those of 3n less n, halved.
    """
    if not signed:
        return count >> place & 1
    thrice = 3 * count
    return (thrice >> 1 + place & 1) - (count >> 1 + place & 1)


class OperandWords:
    """Room for operands of a width, two's complement.

    Parameters
    ----------
    n : operands that there is room for
    width : bits of each

    Attributes
    ----------
    held : `operands`, the words; `listed`, how many there are; `missing`, ones that inverted
        operands lack
    """

    def __init__(self, n: int, width: int) -> None:
        self._width, self._mask = width, np.uint64((1 << width) - 1)
        number = np.dtype(np.int64)
        self.forms = (
            StateForm("operands", ("operand", "bit"), (n, width)),
            StateForm("listed", ("number",), (1,), number),
            StateForm("missing", ("number",), (1,), number),
        )
        self.held = {form.name: np.zeros(form.shape, form.stored) for form in self.forms}

    def put(self, number: int, *, inverted: bool) -> None:
        """List an operand; of one that is subtracted the inverse, and a 1 that it lacks.

        Raises
        ------
        ProgramError
            There is no room.
        """
        words, listed = self.held["operands"], self.held["listed"]
        if listed[0] >= len(words):
            raise ProgramError(
                f"operands of the array rna: need room for one more, got {len(words)} that are "
                "listed"
            )
        whole = ~number if inverted else number
        words[listed[0], 0] = whole & int(self._mask)
        listed[0] += 1
        self.held["missing"][0] += inverted

    def add_level(self) -> int:
        """Add each three words; return how many adders that took."""
        listed, missing = self.held["listed"], self.held["missing"]
        n = int(listed[0])
        third = n // 3
        words: Words = self.held["operands"][:n, 0].copy()
        a, b, c = words[: 3 * third].reshape(3, third)
        carries = ((a & b) | (c & (a ^ b))) << _ONE
        taken = min(third, int(missing[0]))
        carries[:taken] |= _ONE
        rest = words[3 * third :]
        added = np.concatenate([a ^ b ^ c, carries & self._mask, rest])
        self.held["operands"][:n, 0] = 0
        self.held["operands"][: len(added), 0] = added
        listed[0], missing[0] = len(added), missing[0] - taken
        return third

    def add_last(self) -> int:
        """Return the number that the first two words and the one still missing come to.

        No word is listed any more. What a word cannot hold is lost.

        Raises
        ------
        ProgramError
            More ones are missing than the one that an addition takes for its first carry.
        """
        listed, missing = self.held["listed"], self.held["missing"]
        if missing[0] > 1:
            raise ProgramError(
                f"last addition: need at most 1 missing from inverted operands, got {missing[0]}; "
                "take a level of three operands or more before"
            )
        words = self.held["operands"][: min(2, int(listed[0])), 0].tolist()
        total = (sum(words) + int(missing[0])) & int(self._mask)
        self.held["operands"][...] = 0
        listed[0] = missing[0] = 0
        return int(total - (total >> self._width - 1 << self._width))
