"""Program tables turned into straight-line kernels: every row lives in a register.

The interpreter of `bitline` touches memory at each step. A program that runs millions of times is
better read once: its steps are followed symbolically, each row and latch a local variable, and
the resulting source text is compiled like any other kernel and kept in the cache folder. The
generated function does the same steps in the same order; only the traffic to memory is gone.
"""

import atexit
import hashlib
import os
import sys
import tempfile
from collections.abc import Iterable, Sequence
from functools import cache
from pathlib import Path
from types import ModuleType

import numpy as np
import numpy.typing as npt

from bitpim_kernels import opcodes as op
from bitpim_kernels.jit import cache_root, source_digest

__all__ = ["Fused", "compile_source", "fuse"]

_ZERO, _ONES = "ZERO", "ONES"  # module-level uint64 constants of the generated text


class Fused:
    """The symbolic state while a table is followed: a name for the value of each row and latch."""

    def __init__(self, rows: dict[int, str]) -> None:
        self.rows = dict(rows)
        self.carry = _ZERO
        self.tag = _ZERO
        self.lines: list[str] = []

    def _name(self, expression: str) -> str:
        name = f"v{len(self.lines)}"
        self.lines.append(f"{name} = {expression}")
        return name

    def _not(self, a: str) -> str:
        return {_ZERO: _ONES, _ONES: _ZERO}.get(a) or self._name(f"~{a}")

    def _and(self, a: str, b: str) -> str:
        if _ZERO in (a, b):
            return _ZERO
        if _ONES in (a, b):
            return b if a == _ONES else a
        return self._name(f"{a} & {b}")

    def _or(self, a: str, b: str) -> str:
        if _ONES in (a, b):
            return _ONES
        if _ZERO in (a, b):
            return b if a == _ZERO else a
        return self._name(f"{a} | {b}")

    def _xor(self, a: str, b: str) -> str:
        for one, other in ((a, b), (b, a)):
            if one == _ZERO:
                return other
            if one == _ONES:
                return self._not(other)
        return self._name(f"{a} ^ {b}")

    def _add(self, a: str, b: str) -> str:
        half = self._xor(a, b)
        total = self._xor(half, self.carry)
        self.carry = self._or(self._and(a, b), self._and(half, self.carry))
        return total

    def _result(self, opcode: int, a: str, b: str) -> str:
        match opcode:
            case op.ZERO:
                return _ZERO
            case op.ONE:
                return _ONES
            case op.COPY:
                return a
            case op.NOT:
                return self._not(a)
            case op.AND:
                return self._and(a, b)
            case op.NOR:
                return self._not(self._or(a, b))
            case op.OR:
                return self._or(a, b)
            case op.NAND:
                return self._not(self._and(a, b))
            case op.XOR:
                return self._xor(a, b)
            case op.XNOR:
                return self._not(self._xor(a, b))
            case op.ADD:
                return self._add(a, b)
            case op.ADD_ROW:
                return self._add(a, _ZERO)
            case op.ADD_ONES:
                return self._add(a, _ONES)
            case op.ADD_NOT:
                return self._add(self._not(a), _ZERO)
            case op.ADD_NOT_ONES:
                return self._add(self._not(a), _ONES)
            case op.CARRY_STORE:
                return self.carry
            case op.TAG_STORE:
                return self.tag
        raise ValueError(f"opcode {opcode} has no row result")

    def _latch(self, opcode: int, a: str, b: str) -> bool:
        match opcode:
            case op.CARRY_RESET:
                self.carry = _ZERO
            case op.CARRY_SET:
                self.carry = _ONES
            case op.TAG_SET:
                self.tag = _ONES
            case op.TAG_LOAD:
                self.tag = a
            case op.TAG_LOAD_NOT:
                self.tag = self._not(a)
            case op.TAG_FROM_CARRY:
                self.tag = self.carry
            case op.TAG_FROM_NOT_CARRY:
                self.tag = self._not(self.carry)
            case op.TAG_AND:
                self.tag = self._and(self.tag, a)
            case op.TAG_AND_NOT:
                self.tag = self._and(self.tag, self._not(a))
            case op.TAG_AND_XNOR:
                self.tag = self._and(self.tag, self._not(self._xor(a, b)))
            case _:
                return False
        return True

    def step(self, opcode: int, a: int, b: int, dst: int, predicate: int) -> None:
        """Follow one step of a table."""
        first = self.rows.get(a, _ZERO)
        second = self.rows.get(b, _ZERO)
        if self._latch(opcode, first, second):
            return
        value = self._result(opcode, first, second)
        if predicate == op.IF_TAG:
            kept = self._and(self.rows.get(dst, _ZERO), self._not(self.tag))
            value = self._or(self._and(value, self.tag), kept)
        self.rows[dst] = value


def fuse(
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
    state = Fused(inputs)
    for row in table.tolist():
        state.step(*row)
    return state.lines, {r: state.rows.get(r, _ZERO) for r in outputs}


@cache
def compile_source(source: str) -> ModuleType:
    """Compile generated text as a module whose kernels are cached on disk like written ones.

    The text is kept in the cache folder under its own digest, because Numba caches only functions
    that have a file.
    """
    digest = hashlib.sha256(source.encode()).hexdigest()[:20]
    path = _keep(cache_root() / source_digest() / f"fused_{digest}.py", source)
    name = f"bitpim_kernels.fused_{digest}"
    module = ModuleType(name)
    module.__file__ = str(path)
    sys.modules[name] = module  # Numba finds a cached kernel's globals by the module's name
    exec(compile(source, str(path), "exec"), module.__dict__)  # noqa: S102  (our own text)
    return module


def _keep(path: Path, source: str) -> Path:
    if path.is_file() and path.read_text("utf-8") == source:
        return path
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, suffix=".part")
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(source)
        Path(name).replace(path)
    except OSError:  # a read-only or full cache: compile each time, from a file that goes with us
        handle, name = tempfile.mkstemp(suffix=".py")
        atexit.register(Path(name).unlink, missing_ok=True)
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(source)
        return Path(name)
    return path


def indent(lines: Sequence[str], depth: int) -> str:
    """Join lines, each indented by `depth` levels."""
    return "\n".join("    " * depth + line for line in lines)
