"""The content-addressable memory, step by step: rows written, a query put on the lines, a search.

What a search finds is what `Cam.search` finds; here it stays to be seen, on match lines and in an
answer, until the next search.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Final

import numpy as np
import numpy.typing as npt

from bitpim.counts import Counts
from bitpim.errors import ConfigError, LayoutError, ProgramError
from bitpim.lookup.cam import Cam
from bitpim.lookup.nearest_table import apart
from bitpim.lookup.words import CamWords
from bitpim.stepped import StateForm, StepForm, need_padding
from bitpim_kernels.layout import pack, tail_mask, unpack, words_for

__all__ = [
    "ANSWER",
    "ELECT",
    "HIGH",
    "PRECHARGE",
    "QUERY",
    "SEARCH_BEST",
    "SEARCH_EXACT",
    "SEARCH_NEAREST",
    "SEARCH_PREFIX",
    "SEARCH_RANGE",
    "SEARCH_TERNARY",
    "SEARCH_THRESHOLD",
    "SEARCH_WEIGHTED",
    "SEARCH_WXOR",
    "STAGE",
    "WEIGH",
    "WRITE",
    "SteppedCam",
]

Array = npt.NDArray[Any]
Steps = npt.NDArray[np.int32]

WRITE, QUERY, ANSWER = 2048, 2049, 2050
SEARCH_TERNARY, SEARCH_PREFIX, SEARCH_THRESHOLD, SEARCH_BEST, SEARCH_NEAREST = range(2051, 2056)
SEARCH_EXACT, SEARCH_WEIGHTED, SEARCH_WXOR, SEARCH_RANGE = range(2056, 2060)
PRECHARGE, STAGE, ELECT, WEIGH, HIGH = range(2060, 2065)

_NOTHING: Final = -1
_NEAREST_BITS: Final = 63  # an answer's distance is signed
_ANSWERED: Final = 3  # row, distance, matches
_TIES: Final = ("lowest", "highest")
_SIGNED: Final = 2  # beside the tie rule, where numbers are compared


@dataclass(frozen=True, slots=True)
class _Search:
    """Which search a step is: its kind, the option that is `a`, whether `b` may be `top_bits`.

    `wins` says whether it has a winner, `numbers` whether words are compared as numbers.
    """

    kind: str
    a: str = ""
    top_bits: bool = False
    wins: bool = False
    numbers: bool = False


_SEARCHES: Final[Mapping[int, _Search]] = {
    SEARCH_TERNARY: _Search("ternary"),
    SEARCH_PREFIX: _Search("prefix", "top_bits"),
    SEARCH_THRESHOLD: _Search("threshold", "limit", top_bits=True),
    SEARCH_BEST: _Search("best", top_bits=True, wins=True),
    SEARCH_NEAREST: _Search("nearest", top_bits=True, wins=True, numbers=True),
    SEARCH_EXACT: _Search("exact"),
    SEARCH_WEIGHTED: _Search("weighted", top_bits=True, wins=True),
    SEARCH_WXOR: _Search("nearest", top_bits=True, wins=True, numbers=True),
    SEARCH_RANGE: _Search("range"),
}
_ON_NUMBERS: Final = (SEARCH_NEAREST, SEARCH_WXOR, PRECHARGE, STAGE, ELECT)

_FOUND = "match lines = rows that"
_LAST = "answer = row, distance, matches"
_FORMS: Final = (
    StepForm(WRITE, "WRITE", "row dst = the port", "in"),
    StepForm(QUERY, "QUERY", "query = the port", "in"),
    StepForm(ANSWER, "ANSWER", f"the port = {_LAST.removeprefix('answer = ')}", "out"),
    StepForm(SEARCH_TERNARY, "SEARCH_TERNARY", f"{_FOUND} differ nowhere; {_LAST}"),
    StepForm(SEARCH_PREFIX, "SEARCH_PREFIX", f"{_FOUND} differ in none of the highest a bits"),
    StepForm(SEARCH_THRESHOLD, "SEARCH_THRESHOLD", f"{_FOUND} differ in a bits or fewer"),
    StepForm(SEARCH_BEST, "SEARCH_BEST", f"{_FOUND} differ in fewest bits"),
    StepForm(SEARCH_NEAREST, "SEARCH_NEAREST", f"{_FOUND} are nearest as numbers"),
    StepForm(SEARCH_EXACT, "SEARCH_EXACT", f"{_FOUND} are equal; no don't-cares"),
    StepForm(SEARCH_WEIGHTED, "SEARCH_WEIGHTED", f"{_FOUND} differ in bits of the least weight"),
    StepForm(SEARCH_WXOR, "SEARCH_WXOR", f"{_FOUND} have the least XOR as a number"),
    StepForm(SEARCH_RANGE, "SEARCH_RANGE", f"{_FOUND} lie from query to high, unsigned"),
    StepForm(PRECHARGE, "PRECHARGE", "query is driven; match lines = all rows"),
    StepForm(STAGE, "STAGE", f"{_FOUND} were up and are nearest in a bits from bit b on"),
    StepForm(ELECT, "ELECT", f"of the rows that are up, from bit a on: {_LAST}"),
    StepForm(WEIGH, "WEIGH", "weight of bit dst = the port", "in"),
    StepForm(HIGH, "HIGH", "high = the port", "in"),
)


class SteppedCam:
    """A content-addressable memory that takes steps.

    A row of the port is a word: its bits, then which of them are cared for; an answer fills the
    first three numbers of a row, a weight the first. A search has in the place of the predicate
    which row wins where several are alike: 0 the lowest, 1 the highest; where words are compared as
    numbers, 2 more where they are in two's complement. Its `b` is how many of the highest bits are
    searched, -1 for all.

    Parameters
    ----------
    n_rows, n_bits : rows of the memory, and bits of each
    """

    kind: ClassVar[str] = "cam"
    forms: ClassVar[Mapping[int, StepForm]] = {form.code: form for form in _FORMS}
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
            StateForm("high", ("part", "bit"), (2, n_bits)),
            StateForm("weights", ("bit",), (n_bits,), np.dtype(np.int64)),
            StateForm("match", ("row",), (n_rows,)),
            StateForm("answer", ("number",), (_ANSWERED,), np.dtype(np.int64)),
        )
        width = max(2 * n_words, _ANSWERED)
        self.port = StateForm("port", ("number",), (width,), np.dtype(np.uint64))
        self._held = {form.name: np.zeros(form.shape, form.stored) for form in self.states}
        self._cam: Cam | None = None
        self._stages: Counter[str] = Counter()
        self._n_steps = 0

    @property
    def counts(self) -> Counts:
        """Events of all searches so far."""
        return Counts(**self._stages) + (Counts() if self._cam is None else self._cam.counts)

    def check(self, steps: Steps, first: int) -> None:
        """Raise ProgramError, naming the step, if the memory cannot take a step."""
        code, a, b, dst, rule = (steps[:, k].astype(np.int64) for k in range(5))
        n = self._n_bits
        none = np.full(len(steps), _NOTHING)
        least_a, most_a = none.copy(), none.copy()
        for of, low, high in (
            (SEARCH_PREFIX, 1, n), (SEARCH_THRESHOLD, 0, 2**31), (STAGE, 1, n), (ELECT, 0, n - 1)
        ):  # fmt: skip
            least_a[code == of], most_a[code == of] = low, high
        tops = [c for c, search in _SEARCHES.items() if search.top_bits]
        has_top = np.isin(code, [*tops, PRECHARGE])
        good_b = (b == _NOTHING) | (has_top & (b >= 1) & (b <= n))
        good_b = np.where(code == STAGE, (b >= 0) & (a + b <= n), good_b)
        most_dst = np.select([code == WRITE, code == WEIGH], [self._n_rows - 1, n - 1], _NOTHING)
        least_dst = np.where(most_dst == _NOTHING, _NOTHING, 0)
        most_rule = np.isin(code, [*_SEARCHES, ELECT]) + _SIGNED * np.isin(code, _ON_NUMBERS)
        most_rule[code == PRECHARGE] = 0
        good = np.isin(code, list(self.forms)) & (a >= least_a) & (a <= most_a) & good_b
        good &= (dst >= least_dst) & (dst <= most_dst) & (rule >= 0) & (rule <= most_rule)
        good &= (code != STAGE) | (rule != 1)
        if n > _NEAREST_BITS:
            good &= ~np.isin(code, _ON_NUMBERS)
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
                if self._is_answer(row) or not row[1:].any():
                    continue
                raise LayoutError(
                    f"port row {first + at}: need words of {self._n_bits} bits, a weight or an "
                    "answer, got other numbers"
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
        ConfigError
            Weights are too many, or a range ends before it begins.
        """
        out, taken = port.copy(), 0
        for number, step in enumerate(steps.tolist(), self._n_steps):
            try:
                if self.forms[step[0]].port == "none":
                    self._look(*step)
                else:
                    self._pass(step[0], step[3], out[taken])
                    taken += 1
            except (ConfigError, LayoutError) as error:
                raise type(error)(f"step {number}: {error}") from None
        self._n_steps += len(steps)
        return out

    def _pass(self, code: int, dst: int, row: Array) -> None:
        """Take a step that uses the port."""
        if code == ANSWER:
            row[:] = 0
            row[:_ANSWERED] = self._held["answer"].astype(np.uint64)
            return
        if code == WEIGH:
            if row[1:].any() or row[0] >> np.uint64(63):
                raise LayoutError("a weight of the array cam: need one number below 2^63, got more")
            self._held["weights"][dst] = row[0]
            return
        word = row[: 2 * words_for(self._n_bits)].reshape(2, -1)
        beyond = word[1, -1] & ~tail_mask(self._n_bits)
        if np.any(word[0] & ~word[1]) or beyond or np.any(row[word.size :]):
            raise LayoutError(
                "a word of the array cam: need zeros in bits without care, and beyond it"
            )
        if code == WRITE:
            self._held["value"][dst], self._held["care"][dst] = word
            self._written()
        else:
            self._held["query" if code == QUERY else "high"][:] = word

    def _written(self) -> None:
        """Forget the memory of before, but for its counts and what its search lines hold."""
        if self._cam is not None:
            self._cam = self._cam.rewritten(self._words())

    def _words(self) -> CamWords:
        return CamWords(self._held["value"].copy(), self._held["care"].copy(), self._n_bits)

    def _asked(self, name: str = "query") -> CamWords:
        bits, care = self._held[name]
        return CamWords(bits[None].copy(), care[None].copy(), self._n_bits)

    def _memory(self) -> Cam:
        if self._cam is None:
            self._cam = Cam(self._words())
        return self._cam

    def _look(self, code: int, a: int, b: int, _: int, rule: int) -> None:
        """Take a step of a search."""
        if code in _SEARCHES:
            self._search(code, a, b, rule)
        elif code == PRECHARGE:
            self._memory().precharge(self._asked(), None if b == _NOTHING else b)
            self._light(np.ones(self._n_rows, np.bool_))
        elif code == STAGE:
            self._stage(a, b, is_signed=rule >= _SIGNED)
        else:
            self._elect(a, _TIES[rule % _SIGNED], is_signed=rule >= _SIGNED)

    def _search(self, code: int, a: int, b: int, rule: int) -> None:
        search, ties = _SEARCHES[code], _TIES[rule % _SIGNED]
        options: dict[str, Any] = {search.a: a} if search.a else {}
        if b != _NOTHING:
            options["top_bits"] = b
        if search.numbers:
            options["mode"] = "wxor" if code == SEARCH_WXOR else "abs"
            options["signed"] = rule >= _SIGNED
        if code == SEARCH_WEIGHTED:
            options["weights"] = self._held["weights"].tolist()
        if code == SEARCH_RANGE:
            options["high"] = self._asked("high")
        memory, query = self._memory(), self._asked()
        found = memory.search(query, search.kind, ties=ties, **options)
        every: dict[str, Any] = {"ties": "all"} if search.wins else {"every": True}
        lines = memory.rewritten(self._words()).search(query, search.kind, **every, **options)
        up = np.zeros(self._n_rows, np.bool_)
        up[lines.matches_of(0)] = True
        self._light(up)
        distance = 0 if found.distances is None else int(found.distances[0, 0])
        row = int(found.rows[0, 0])
        n_matches = len(lines.matches_of(0))
        self._held["answer"][:] = (row, distance if row >= 0 else _NOTHING, n_matches)

    def _light(self, up: npt.NDArray[np.bool_]) -> None:
        """Set the match lines."""
        self._held["match"][:] = pack(up[None])[0]

    def _standing(self) -> npt.NDArray[np.bool_]:
        return unpack(self._held["match"], self._n_rows).astype(np.bool_)

    def _numbers(self, *, is_signed: bool) -> tuple[Array, np.uint64]:
        """Return the rows and the query as numbers, in an order without a sign."""
        flipped = np.uint64(is_signed << (self._n_bits - 1))
        return self._words().codes() ^ flipped, self._asked().codes()[0] ^ flipped

    def _stage(self, width: int, low: int, *, is_signed: bool) -> None:
        """Leave of the rows that are up those that are nearest in some bits."""
        up = self._standing()
        numbers, query = self._numbers(is_signed=is_signed)
        distances = apart(numbers, query, low, width)
        self._stages.update(cam_stage=1, cam_row=int(up.sum()))
        self._stages["cam_discharge"] += int(np.count_nonzero(distances[up]))
        if up.any():
            self._light(up & (distances == distances[up].min()))

    def _elect(self, low: int, ties: str, *, is_signed: bool) -> None:
        """Answer with the lowest or highest row that is up."""
        rows = np.flatnonzero(self._standing())
        self._stages["cam_survivor"] += len(rows)
        if not len(rows):
            self._held["answer"][:] = (_NOTHING, _NOTHING, 0)
            return
        row = int(rows[0] if ties == "lowest" else rows[-1])
        numbers, query = self._numbers(is_signed=is_signed)
        distance = apart(numbers[row : row + 1], query, low, self._n_bits - low)[0]
        self._held["answer"][:] = (row, int(distance), len(rows))

    def view(self, name: str) -> Array:
        """Return a state as it is now."""
        return self._held[name]

    def load(self, name: str, values: Array) -> None:
        """Set a state."""
        form = next(form for form in self.states if form.name == name)
        need_padding(form, values, f"state {name}")
        self._held[name][...] = values
        self._written()

    def told(self, step: Sequence[int], names: Mapping[int, str]) -> str:
        """Say what a step does; rows that have a name bear it."""
        code, a, b, dst, rule = step
        form = self.forms[code]
        if form.port != "none":
            row, bit = names.get(dst, f"row {dst}"), f"bit {dst}"
            told = form.meaning.replace("row dst", row).replace("bit dst", bit)
            return f"{form.mnemonic}: {told}"
        if code == STAGE:
            parts = [f"bits {b} to {b + a - 1}"]
        else:
            name = "from bit" if code == ELECT else getattr(_SEARCHES.get(code), "a", "")
            parts = [f"{name} {a}"] if name else []
            parts += [f"top_bits {b}"] if b != _NOTHING else []
        parts += ["signed"] if rule >= _SIGNED else []
        if code not in (STAGE, PRECHARGE):
            parts.append(f"{_TIES[rule % _SIGNED]} row of those alike")
        return f"{form.mnemonic}: {', '.join(parts) or 'all bits'}"
