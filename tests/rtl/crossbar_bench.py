"""Runs inside the simulator: program traces through `crossbar_columns.v`, beside bitpim."""

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

import cocotb
import numpy as np

from bitpim.crossbar.stepped import (
    DRIVE,
    OUTPUT,
    PROGRAM,
    READ,
    READ_UNLESS_ZERO,
    SHIFT_ADD,
    SHIFT_SUBTRACT,
)
from tests.rtl.driving import Design, bus, run_programs
from tests.rtl.lock_step import LockStep


class CrossbarDesign(Design):
    """The wires of `crossbar_columns.v`; the lists of a program say what a read opens."""

    buses: ClassVar[Mapping[str, str]] = {
        "cells": "all_cells", "inputs": "all_inputs", "opened": "opened",
        "partial_sums": "all_partial_sums", "codes": "all_codes", "sums": "all_sums",
    }  # fmt: skip
    inputs = (
        "valid", "opcode", "row", "levels", "digits", "open_rows", "open_cols", "sum_of", "place",
        "minus", "shift",
    )  # fmt: skip

    def begin(self, lock: LockStep) -> None:
        """Read the lists of a program."""
        constants = lock.at.program.constants
        self.tables = {name: tensor.read() for name, tensor in constants.items()}

    def drive(self, step: list[int], rows: Iterator[Any]) -> tuple[int, int, Any] | None:
        """Put a step on the wires; return which sums must come out, and their row."""
        code, a, b, dst, _ = step
        dut = self.dut
        dut.valid.value = 1
        dut.opcode.value = code
        if code == PROGRAM:
            dut.row.value = dst
            dut.levels.value = _packed(next(rows)[: len(dut.open_cols)], 16)
        elif code == DRIVE:
            dut.digits.value = _packed(next(rows)[: len(dut.open_rows)], 8)
        elif code == OUTPUT:
            return a, b, next(rows)
        elif code in (READ, READ_UNLESS_ZERO):
            dut.open_rows.value = _mask(self._list("row", a))
            dut.open_cols.value = _mask(self._list("column", b))
        elif code in (SHIFT_ADD, SHIFT_SUBTRACT):
            self._wire_sums(a, b)
        return None

    def _wire_sums(self, shift: int, which: int) -> None:
        columns = self._list("column", which)
        starts = self.tables["column_starts"]
        part = slice(int(starts[which]), int(starts[which + 1]))
        sums, factors = (self.tables[name][part] for name in ("column_sums", "column_factors"))
        n = len(self.dut.open_cols)
        sum_of, place, minus = (np.zeros(n, np.int64) for _ in range(3))
        sum_of[columns], minus[columns] = sums, factors < 0
        place[columns] = np.round(np.log2(np.abs(factors)))
        self.dut.open_cols.value = _mask(columns)
        self.dut.sum_of.value = _packed(sum_of, 16)
        self.dut.place.value = _packed(place, 8)
        self.dut.minus.value = _mask(np.flatnonzero(minus))
        self.dut.shift.value = shift

    def _list(self, line: str, which: int) -> Any:
        starts = self.tables[f"{line}_starts"]
        return self.tables[f"{line}_lists"][int(starts[which]) : int(starts[which + 1])]

    def fault(self, driven: tuple[int, int, Any] | None, lock: LockStep) -> str:
        """Say whether other sums than those recorded would go out."""
        if driven is None:
            return ""
        first, n, row = driven
        shown = bus(self.dut, "all_sums").to_bytes(len(self.dut.all_sums) // 8, "little")
        sums = np.frombuffer(shown, "<i8")[first : first + n]
        if sums.tolist() == row[:n].tolist():
            return ""
        return f"step {lock.at.position - 1}: other sums went out"


def _packed(numbers: Any, width: int) -> int:
    """Put numbers side by side, the first lowest, each so many bits wide."""
    return sum((int(n) & ((1 << width) - 1)) << width * at for at, n in enumerate(numbers))


def _mask(lines: Any) -> int:
    return sum(1 << int(line) for line in lines)


@cocotb.test()
async def lock_step(dut: Any) -> None:
    """Take every step of every program in the design and in bitpim; keep what was found."""
    await run_programs(CrossbarDesign(dut))
