"""One record of a logic family: its latches, its predicates and, an opcode each, its steps.

A line of a program table is ``(opcode, a, b, dst, predicate)``, int32: activate row ``a`` (and
``b``), compute, update a latch, write one row back. `NO_ROW` stands where a line has no row. What
it computes is said in `expressions`: A and B are the activated rows, D is what row ``dst`` held,
and the family names its latches; all as they were before the line.

A line is a step, one array cycle, unless its opcode says what must follow in the same step: a step
that sets nine cells or reads five has a line for each, and its last line ends it.

All else is derived from these records: which steps are legal, what they count, the listing, the
text of straight-line kernels, and the naive model of the tests. Only the kernel that interprets
tables of a family is written by hand, and tested against the record.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

from bitpim_kernels.expressions import names_in

__all__ = ["ALWAYS", "NO_ROW", "N_FIELDS", "ROWS", "Family", "Latch", "Opcode", "Predicate"]

N_FIELDS = 5  # opcode, a, b, dst, predicate
NO_ROW = -1
ALWAYS = 0  # the predicate of a row write in all lanes

ROWS = ("A", "B", "D")  # what expressions call the rows a, b and dst of a step


@dataclass(frozen=True, slots=True)
class Latch:
    """One bit under each column: the symbol it has in expressions, and its name."""

    symbol: str
    name: str


@dataclass(frozen=True, slots=True)
class Predicate:
    """A condition of the row write: only lanes whose latch `where` is set are written.

    A latch always updates.
    """

    code: int
    name: str
    where: str


@dataclass(frozen=True)
class Opcode:
    """One kind of step.

    Attributes
    ----------
    code : its number in tables
    mnemonic : its name in listings
    result : expression of what it writes to a row; "" if it writes none
    latch : the latch it updates and how, ``C = A & C``; "" if none
    events : the events it counts beside the step itself
    then : mnemonics of the opcodes one of which must follow in the same step; none if it ends one
    onto : what the row it writes has to hold, "1" for a NOR that lets cells fall; else what the row
        held enters the result. "" if that does not matter
    """

    code: int
    mnemonic: str
    result: str = ""
    latch: str = ""
    events: tuple[str, ...] = ()
    then: tuple[str, ...] = ()
    onto: str = ""

    @cached_property
    def loads(self) -> str:
        """Symbol of the latch it updates, or ""."""
        return self.latch.partition(" = ")[0]

    @cached_property
    def update(self) -> str:
        """Expression of what that latch becomes, or ""."""
        return self.latch.partition(" = ")[2]

    @cached_property
    def reads(self) -> frozenset[str]:
        """Names of the rows and latches it computes from."""
        parts = (part for part in (self.result, self.update) if part)
        return frozenset().union(*map(names_in, parts))

    @cached_property
    def uses(self) -> frozenset[str]:
        """Symbols of the latches it computes from."""
        return self.reads.difference(ROWS)

    @cached_property
    def n_sources(self) -> int:
        """Rows it activates."""
        return len(self.reads & {"A", "B"})

    @cached_property
    def writes(self) -> Literal["must", "may", "never"]:
        """Whether it writes a row; one that updates a latch too may leave it."""
        if not self.result:
            return "never"
        return "may" if self.latch else "must"


@dataclass(frozen=True)
class Family:
    """A closed set of opcodes that one kind of array executes.

    Attributes
    ----------
    name : its name
    step_event : the event that every step counts
    latches : its latches
    predicates : conditions of a row write, beside `ALWAYS`
    opcodes : its opcodes

    Raises
    ------
    ValueError
        The record contradicts itself.
    """

    name: str
    step_event: str
    latches: tuple[Latch, ...]
    predicates: tuple[Predicate, ...]
    opcodes: tuple[Opcode, ...]

    def __post_init__(self) -> None:
        where = f"family {self.name}"
        symbols = [latch.symbol for latch in self.latches]
        _need_different(where, "latch symbols", [*ROWS, *symbols])
        _need_different(where, "codes", [opcode.code for opcode in self.opcodes])
        _need_different(where, "mnemonics", [opcode.mnemonic for opcode in self.opcodes])
        _need_different(where, "predicates", [ALWAYS, *(p.code for p in self.predicates)])
        for predicate in self.predicates:
            if predicate.where not in symbols:
                raise ValueError(f"{where}, {predicate.name}: need a latch, got {predicate.where}")
        for opcode in self.opcodes:
            self._check(opcode, frozenset(symbols), f"{where}, {opcode.mnemonic}")
        for symbol in symbols:
            if not self.loaders(symbol):
                raise ValueError(f"{where}: need an opcode that loads latch {symbol}, got none")
        for opcode in self.opcodes:
            if strange := set(opcode.then) - self.by_mnemonic.keys():
                raise ValueError(
                    f"{where}, {opcode.mnemonic}: need opcodes that follow it, got {strange.pop()}"
                )

    @cached_property
    def by_code(self) -> dict[int, Opcode]:
        """Opcodes by their numbers."""
        return {opcode.code: opcode for opcode in self.opcodes}

    @cached_property
    def by_mnemonic(self) -> dict[str, Opcode]:
        """Opcodes by their names."""
        return {opcode.mnemonic: opcode for opcode in self.opcodes}

    @cached_property
    def where(self) -> dict[int, str]:
        """The latch each predicate asks, by its number; "" for `ALWAYS`."""
        return {ALWAYS: ""} | {predicate.code: predicate.where for predicate in self.predicates}

    @cached_property
    def latch_names(self) -> dict[str, str]:
        """Names of the latches by their symbols."""
        return {latch.symbol: latch.name for latch in self.latches}

    def loaders(self, symbol: str) -> list[str]:
        """Return mnemonics of the opcodes that load a latch whatever it was."""
        return [o.mnemonic for o in self.opcodes if o.loads == symbol and symbol not in o.uses]

    def fault(self, step: Sequence[int], n_rows: int) -> str:
        """Return what is wrong with the form of a step on an array of `n_rows`, "" if nothing."""
        code, a, b, dst, predicate = step
        opcode = self.by_code.get(code)
        if opcode is None:
            return f"need an opcode of the {self.name} family, got {code}"
        n_given = (a != NO_ROW) + (b != NO_ROW)
        if n_given != opcode.n_sources or (a == NO_ROW and b != NO_ROW):
            return f"need {opcode.n_sources} activated rows, got {n_given}"
        if opcode.writes == "must" and dst == NO_ROW:
            return "need a destination row, got none"
        if opcode.writes == "never" and dst != NO_ROW:
            return f"need no destination row, got {dst}; it writes a latch"
        for row in (a, b, dst):
            if row != NO_ROW and not 0 <= row < n_rows:
                return f"need a row in 0..{n_rows - 1}, got {row}"
        if opcode.onto and dst in (a, b):
            return f"need an output apart from the inputs, got row {dst} as both"
        if predicate not in self.where or (predicate != ALWAYS and dst == NO_ROW):
            named = [f"{p.name} on a row write" for p in self.predicates]
            return f"need predicate {', or '.join(['ALWAYS', *named])}, got {predicate}"
        return ""

    def order_fault(self, before: Opcode | None, opcode: Opcode | None) -> str:
        """Return what is wrong with a line after another, "" if nothing; None is no line."""
        if before is not None and before.then:
            got = "the end" if opcode is None else opcode.mnemonic
            if got not in before.then:
                return f"need {' or '.join(before.then)} after {before.mnemonic}, got {got}"
        return ""

    @staticmethod
    def _check(opcode: Opcode, symbols: frozenset[str], where: str) -> None:
        if not opcode.result and not opcode.latch:
            raise ValueError(f"{where}: need a row result or a latch update, got neither")
        if opcode.latch and (opcode.loads not in symbols or not opcode.update):
            raise ValueError(f"{where}: need a latch and what it becomes, got {opcode.latch!r}")
        try:
            reads = opcode.reads
        except ValueError as error:
            raise ValueError(f"{where}: {error}") from None
        if unknown := reads.difference(ROWS, symbols):
            raise ValueError(f"{where}: need rows and latches, got {', '.join(sorted(unknown))}")
        if "B" in reads and "A" not in reads:
            raise ValueError(f"{where}: need one activated row called A, got B")
        if opcode.update and "D" in names_in(opcode.update):
            raise ValueError(f"{where}: need a latch update from activated rows, got D")


def _need_different(where: str, what: str, keys: Sequence[object]) -> None:
    twice = sorted({str(key) for key in keys if keys.count(key) > 1})
    if twice:
        raise ValueError(f"{where}: need different {what}, got {', '.join(twice)} twice")
