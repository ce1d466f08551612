"""Program tables turned into straight-line kernels: every row lives in a register.

The interpreter of `bitline` touches memory at each step. A program that runs millions of times is
better read once: its steps are followed symbolically, each row and latch a local variable, and
the resulting source text is compiled like any other kernel and kept in the cache folder. The
generated function does the same steps in the same order; only the traffic to memory is gone. What
a step computes is read from the record of its family, so any family can be followed.
"""

import hashlib
import linecache
import sys
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from types import ModuleType

import numpy as np
import numpy.typing as npt

from bitpim_kernels.expressions import evaluate
from bitpim_kernels.family import NO_ROW, Family

__all__ = ["compile_source", "follow", "indent"]

_ZERO, _ONES = "ZERO", "ONES"  # module-level uint64 constants of the generated text


class _Text:
    """Bit logic on names of variables: what is not known yet becomes a line, once in a step."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.of_step: dict[str, str] = {}  # variables of the step by their expressions

    def _name(self, expression: str) -> str:
        name = self.of_step.get(expression)
        if name is None:
            name = self.of_step[expression] = f"v{len(self.lines)}"
            self.lines.append(f"{name} = {expression}")
        return name

    def constant(self, bit: int) -> str:
        return _ONES if bit else _ZERO

    def not_(self, a: str) -> str:
        return {_ZERO: _ONES, _ONES: _ZERO}.get(a) or self._name(f"~{a}")

    def and_(self, a: str, b: str) -> str:
        if _ZERO in (a, b):
            return _ZERO
        if _ONES in (a, b):
            return b if a == _ONES else a
        return self._name(f"{a} & {b}")

    def or_(self, a: str, b: str) -> str:
        if _ONES in (a, b):
            return _ONES
        if _ZERO in (a, b):
            return b if a == _ZERO else a
        return self._name(f"{a} | {b}")

    def xor(self, a: str, b: str) -> str:
        for one, other in ((a, b), (b, a)):
            if one == _ZERO:
                return other
            if one == _ONES:
                return self.not_(other)
        return self._name(f"{a} ^ {b}")


class _Followed:
    """The symbolic state while a table is followed: a name for the value of each row and latch."""

    def __init__(self, family: Family, rows: dict[int, str]) -> None:
        self.family = family
        self.text = _Text()
        self.rows = dict(rows)
        self.latches = dict.fromkeys(family.latch_names, _ZERO)

    def step(self, code: int, a: int, b: int, dst: int, predicate: int) -> None:
        """Follow one step of a table."""
        opcode = self.family.by_code.get(code)
        if opcode is None:
            raise ValueError(f"straight line: need a {self.family.name} opcode, got {code}")
        self.text.of_step.clear()
        held = self.rows.get(dst, _ZERO)
        before = {"A": self.rows.get(a, _ZERO), "B": self.rows.get(b, _ZERO), "D": held}
        before |= self.latches
        value = self._value(opcode.result, before) if dst != NO_ROW else held
        if opcode.latch:
            self.latches[opcode.loads] = self._value(opcode.update, before)
        if dst != NO_ROW:
            where = self.family.where[predicate]
            self.rows[dst] = self._chosen(before[where], value, held) if where else value

    def _value(self, expression: str, names: Mapping[str, str]) -> str:
        return evaluate(expression, names.__getitem__, self.text)

    def _chosen(self, where: str, value: str, other: str) -> str:
        kept = self.text.and_(other, self.text.not_(where))
        return self.text.or_(self.text.and_(value, where), kept)


def follow(
    family: Family,
    table: npt.NDArray[np.int32],
    inputs: dict[int, str],
    outputs: Iterable[int],
) -> tuple[list[str], dict[int, str]]:
    """Follow a table from the named input rows; latches start at zero, other rows too.

    Returns
    -------
    lines
        Assignments in order, one a line, of local variables.
    values
        For each output row, the variable that holds it at the end.
    """
    state = _Followed(family, inputs)
    for row in table.tolist():
        state.step(*row)
    return state.text.lines, {r: state.rows.get(r, _ZERO) for r in outputs}


@cache
def compile_source(source: str) -> ModuleType:
    """Compile generated text as a module whose kernels are cached on disk like written ones.

    The digest of the text is in the module's name, and so in the names of its kernels' files.
    """
    digest = hashlib.sha256(source.encode()).hexdigest()[:20]
    name = f"bitpim_kernels.straight_line_{digest}"
    file_name = f"<{name}>"
    linecache.cache[file_name] = len(source), None, source.splitlines(True), file_name  # for errors
    module = ModuleType(name)
    sys.modules[name] = module  # a cached kernel's globals are found by the module's name
    exec(compile(source, file_name, "exec"), module.__dict__)  # noqa: S102  (our own text)
    return module


def indent(lines: Sequence[str], depth: int) -> str:
    """Join lines, each indented by `depth` levels."""
    return "\n".join("    " * depth + line for line in lines)
