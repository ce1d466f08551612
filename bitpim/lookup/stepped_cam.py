"""The content-addressable memory, step by step: rows written, a query put on the lines, a search.

What a search finds is what `Cam.search` finds; here it stays to be seen, on match lines and in an
answer, until the next search.
"""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Final

import numpy as np
import numpy.typing as npt

from bitpim.counts import Counts
from bitpim.errors import LayoutError, ProgramError
from bitpim.lookup.cam import Cam
from bitpim.lookup.words import CamWords
from bitpim.stepped import StateForm, StepForm
from bitpim_kernels.layout import pack, tail_mask, words_for

__all__ = [
    "ANSWER",
    "QUERY",
    "SEARCH_BEST",
    "SEARCH_NEAREST",
    "SEARCH_PREFIX",
    "SEARCH_TERNARY",
    "SEARCH_THRESHOLD",
    "WRITE",
    "SteppedCam",
]

Array = npt.NDArray[Any]
Steps = npt.NDArray[np.int32]

WRITE, QUERY, ANSWER = 2048, 2049, 2050
SEARCH_TERNARY, SEARCH_PREFIX, SEARCH_THRESHOLD, SEARCH_BEST, SEARCH_NEAREST = range(2051, 2056)

_SEARCHES: Final[Mapping[int, tuple[str, str]]] = {
    SEARCH_TERNARY: ("ternary", ""),
    SEARCH_PREFIX: ("prefix", "top_bits"),
    SEARCH_THRESHOLD: ("threshold", "limit"),
    SEARCH_BEST: ("best", ""),
    SEARCH_NEAREST: ("nearest", ""),
}
"""Which search a step is, and which of its options is the number `a`."""
_TIES: Final = ("lowest", "highest")
_NOTHING: Final = -1
_NEAREST_BITS: Final = 63  # an answer's distance is signed
_ANSWERED: Final = 3  # row, distance, matches

_FOUND = "match lines = rows that"
_LAST = "answer = row, distance, matches"


class SteppedCam:
    """A content-addressable memory that takes steps.

    A row of the port is a word: its bits, then which of them are cared for; an answer fills the
    first three numbers of a row. A search has in the place of the predicate which row wins where
    several are alike: 0 the lowest, 1 the highest.

    Parameters
    ----------
    n_rows, n_bits : rows of the memory, and bits of each
    """

    kind: ClassVar[str] = "cam"
    forms: ClassVar[Mapping[int, StepForm]] = {
        form.code: form
        for form in (
            StepForm(WRITE, "WRITE", "row dst = the port", "in"),
            StepForm(QUERY, "QUERY", "query = the port", "in"),
            StepForm(ANSWER, "ANSWER", f"the port = {_LAST.removeprefix('answer = ')}", "out"),
            StepForm(SEARCH_TERNARY, "SEARCH_TERNARY", f"{_FOUND} differ nowhere; {_LAST}"),
            StepForm(
                SEARCH_PREFIX, "SEARCH_PREFIX", f"{_FOUND} differ in none of the highest a bits"
            ),
            StepForm(SEARCH_THRESHOLD, "SEARCH_THRESHOLD", f"{_FOUND} differ in a bits or fewer"),
            StepForm(SEARCH_BEST, "SEARCH_BEST", f"{_FOUND} differ in fewest bits"),
            StepForm(SEARCH_NEAREST, "SEARCH_NEAREST", f"{_FOUND} are nearest as unsigned numbers"),
        )
    }
    parameters: ClassVar[Mapping[str, range | tuple[str, ...]]] = {
        "n_rows": range(1, 2**22),
        "n_bits": range(1, 2**16),
    }
    constants: ClassVar[Mapping[str, "np.dtype[Any]"]] = {}

    @classmethod
    def of(cls, parameters: Mapping[str, Any], constants: Mapping[str, Array]) -> "SteppedCam":
        """Make a memory of parameters as its own are; it has no constants."""
        return cls(**parameters)

    def __init__(self, n_rows: int, n_bits: int) -> None:
        self.made_of: Mapping[str, int | str] = {"n_rows": n_rows, "n_bits": n_bits}
        self._n_rows, self._n_bits = n_rows, n_bits
        n_words = words_for(n_bits)
        self.states = (
            StateForm("value", ("row", "bit"), (n_rows, n_bits)),
            StateForm("care", ("row", "bit"), (n_rows, n_bits)),
            StateForm("query", ("part", "bit"), (2, n_bits)),
            StateForm("match", ("row",), (n_rows,)),
            StateForm("answer", ("number",), (_ANSWERED,), np.dtype(np.int64)),
        )
        width = max(2 * n_words, _ANSWERED)
        self.port = StateForm("port", ("number",), (width,), np.dtype(np.uint64))
        self._held = {form.name: np.zeros(form.shape, form.stored) for form in self.states}
        self._cam: Cam | None = None

    @property
    def counts(self) -> Counts:
        """Events of all searches so far."""
        return Counts() if self._cam is None else self._cam.counts

    def check(self, steps: Steps, first: int) -> None:
        """Raise ProgramError, naming the step, if the memory cannot take a step."""
        code, a, b, dst, ties = (steps[:, k] for k in range(5))
        has_number = np.isin(code, [c for c, (_, option) in _SEARCHES.items() if option])
        good = np.isin(code, list(self.forms)) & (b == _NOTHING)
        number = np.where(code == SEARCH_PREFIX, (a >= 1) & (a <= self._n_bits), a >= 0)
        good &= np.where(has_number, number, a == _NOTHING)
        good &= np.where(code == WRITE, (dst >= 0) & (dst < self._n_rows), dst == _NOTHING)
        good &= (ties == 0) | ((ties == 1) & np.isin(code, list(_SEARCHES)))
        if self._n_bits > _NEAREST_BITS:
            good &= code != SEARCH_NEAREST
        if not good.all():
            at = int(np.argmin(good))
            raise ProgramError(
                f"step {first + at}: need a step of the array cam of {self._n_rows} rows of "
                f"{self._n_bits} bits, got {tuple(steps[at].tolist())}"
            )

    def check_port(self, rows: Array, first: int) -> None:
        """Raise LayoutError where port rows, which all may be words, have bits that are none."""
        n_words = words_for(self._n_bits)
        beyond = ~tail_mask(self._n_bits)
        for at, row in enumerate(rows):
            words = row[: 2 * n_words].reshape(2, n_words)
            if np.any(words[:, -1] & beyond) or np.any(row[2 * n_words :]):
                if self._is_answer(row):
                    continue
                raise LayoutError(
                    f"port row {first + at}: need words of {self._n_bits} bits, or an answer, got "
                    "other numbers"
                )

    def _is_answer(self, row: Array) -> bool:
        found = row[:_ANSWERED].astype(np.int64)
        in_range = _NOTHING <= found[0] < self._n_rows and 0 <= found[2] <= self._n_rows
        return bool(in_range) and not row[_ANSWERED:].any()

    def run(self, steps: Steps, port: Array) -> Array:
        """Take steps that were checked; return the port rows with answers in their place.

        Raises
        ------
        LayoutError
            A word has bits beyond its care, or a search does not take don't-cares.
        """
        out, taken = port.copy(), 0
        for code, a, _, dst, ties in steps.tolist():
            if code in _SEARCHES:
                self._search(code, a, _TIES[ties])
                continue
            row, taken = out[taken], taken + 1
            if code == ANSWER:
                row[:] = 0
                row[:_ANSWERED] = self._held["answer"].astype(np.uint64)
                continue
            word = row[: 2 * words_for(self._n_bits)].reshape(2, -1)
            if np.any(word[0] & ~word[1]) or np.any(row[word.size :]):
                raise LayoutError(
                    "a word of the array cam: need zeros in bits without care, and beyond it"
                )
            if code == QUERY:
                self._held["query"][:] = word
            else:
                self._held["value"][dst], self._held["care"][dst] = word
                self._written()
        return out

    def _written(self) -> None:
        """Forget the memory of before, but for its counts and what its search lines hold."""
        if self._cam is not None:
            self._cam = self._cam.rewritten(self._words())

    def _words(self) -> CamWords:
        return CamWords(self._held["value"].copy(), self._held["care"].copy(), self._n_bits)

    def _search(self, code: int, number: int, ties: str) -> None:
        if self._cam is None:
            self._cam = Cam(self._words())
        kind, option = _SEARCHES[code]
        options: dict[str, Any] = {option: number} if option else {}
        bits, care = self._held["query"]
        query = CamWords(bits[None].copy(), care[None].copy(), self._n_bits)
        found = self._cam.search(query, kind, ties=ties, **options)
        wins = code in (SEARCH_BEST, SEARCH_NEAREST)
        every: dict[str, Any] = {"ties": "all"} if wins else {"every": True}
        lines = self._cam.rewritten(self._words()).search(query, kind, **every, **options)
        up = np.zeros((1, self._n_rows), np.uint8)
        up[0, lines.matches_of(0)] = 1
        self._held["match"][:] = pack(up)[0]
        distance = 0 if found.distances is None else int(found.distances[0, 0])
        row = int(found.rows[0, 0])
        n_matches = len(lines.matches_of(0))
        self._held["answer"][:] = (row, distance if row >= 0 else _NOTHING, n_matches)

    def view(self, name: str) -> Array:
        """Return a state as it is now."""
        return self._held[name]

    def load(self, name: str, values: Array) -> None:
        """Set a state."""
        form = next(form for form in self.states if form.name == name)
        if form.is_packed and np.any(values[..., -1] & ~tail_mask(form.sizes[-1])):
            raise LayoutError(
                f"state {name}: need zeros beyond {form.axes[-1]} {form.sizes[-1] - 1}, got ones"
            )
        self._held[name][...] = values
        self._written()

    def told(self, step: Sequence[int], names: Mapping[int, str]) -> str:
        """Say what a step does; rows that have a name bear it."""
        code, a, _, dst, ties = step
        form = self.forms[code]
        if code not in _SEARCHES:
            row = names.get(dst, f"row {dst}")
            return f"{form.mnemonic}: {form.meaning.replace('row dst', row)}"
        option = _SEARCHES[code][1]
        number = f" {option} {a}," if option else ""
        return f"{form.mnemonic}:{number} {_TIES[ties]} row of those alike"
