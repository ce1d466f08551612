"""Rows of a memory that candidates are entered in, to be searched for the largest of them.

Source: RAPIDNN's max pooling, whose neuron searches its inputs' values for the largest.
"""

import numpy as np
import numpy.typing as npt

from bitpim.errors import ProgramError
from bitpim.stepped import StateForm

__all__ = ["CandidateRows"]


class CandidateRows:
    """Room for the codes of candidates; a row's word is the value of its code.

    Parameters
    ----------
    n : candidates that there is room for; without any there are no states either

    Attributes
    ----------
    held : `candidates`, the codes; `entered`, how many there are
    """

    def __init__(self, n: int) -> None:
        number = np.dtype(np.int64)
        forms = (
            StateForm("candidates", ("candidate",), (n,), number),
            StateForm("entered", ("number",), (1,), number),
        )
        self.n, self.forms = n, forms if n else ()
        self.held = {form.name: np.zeros(form.shape, form.stored) for form in self.forms}

    @property
    def codes(self) -> npt.NDArray[np.int64]:
        """Codes of all rows; 0 where none is entered."""
        return self.held["candidates"]

    def put(self, code: int) -> None:
        """Enter a candidate.

        Raises
        ------
        ProgramError
            There is no room.
        """
        entered = self.held["entered"]
        if entered[0] >= self.n:
            raise ProgramError(
                f"candidates of the array rna: need room for one more, got {self.n} that are "
                "entered"
            )
        self.codes[entered[0]] = code
        entered[0] += 1

    def lines(self) -> npt.NDArray[np.bool_]:
        """Return the match lines of all that are entered."""
        return np.arange(self.n) < int(self.held["entered"][0])

    def take(self, row: int) -> int:
        """Return the code of a candidate; none is entered any more."""
        code = int(self.codes[row])
        for held in self.held.values():
            held[...] = 0
        return code
