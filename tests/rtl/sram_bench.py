"""Runs inside the simulator: program traces through `sram_subarray.v`, in lock step with bitpim.

PROGRAMS says which (`programs_of`), FINDINGS where to write what came of them.
"""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cocotb
from cocotb.triggers import Timer

from bitpim.sram.stepped import MOVE, MOVE_AND_CLEAR, PORT_READ, PORT_WRITE
from bitpim_kernels import opcodes as op
from bitpim_traces.program_trace.records import ProgramTrace
from tests.rtl.lock_step import Finding, LockStep, write_findings
from tests.rtl.programs import programs_of

_MOVES = (MOVE, MOVE_AND_CLEAR)


@cocotb.test()
async def lock_step(dut: Any) -> None:
    """Take every step of every program in the design and in bitpim; keep what was found."""
    findings = [await _run(dut, program) for program in programs_of(os.environ["PROGRAMS"])]
    write_findings(Path(os.environ["FINDINGS"]), findings)


async def _run(dut: Any, program: ProgramTrace) -> Finding:
    lock = LockStep(program)
    await _clear(dut)
    rows = iter([] if lock.rows is None else lock.rows)
    wanted = os.environ.get("STEPS")
    for step in lock.steps.tolist()[: int(wanted) if wanted else None]:
        out = _drive(dut, step, rows)
        await _clock(dut)
        shown = {name: _bus(dut, bus) for name, bus in _BUSES.items()}
        n_rows = lock.forms["rows"].sizes
        beyond = shown["rows"] >> n_rows[0] * n_rows[1]
        shown["rows"] &= (1 << n_rows[0] * n_rows[1]) - 1
        found = lock.compare(shown)
        told = "" if found is None else str(found)
        if not told and beyond:
            told = "a row beyond the program's was written"
        if not told and out is not None and _bus(dut, "port_out") != out:
            told = f"step {lock.at.position - 1}: the port shows another row"
        if told:
            taken = int(dut.n_taken.value)
            return Finding(program.name, taken, len(lock.steps), lock.at.position - 1, told)
    return Finding(program.name, int(dut.n_taken.value), len(lock.steps))


_BUSES = {"rows": "all_rows", "carry": "carry", "tag": "tag"}


def _bus(dut: Any, name: str) -> int:
    return int(str(getattr(dut, name).value), 2)


def _drive(dut: Any, step: list[int], rows: Iterator[Any]) -> int | None:
    """Put a step on the wires; return the row that must come out."""
    code, a, b, dst, last = step
    dut.valid.value = 1
    dut.opcode.value = code
    dut.row_a.value = max(a, 0)
    dut.row_b.value = 0 if code in _MOVES else max(b, 0)
    dut.row_d.value = max(dst, 0)
    dut.write.value = int(dst != op.NO_ROW)
    dut.if_tag.value = int(last == op.IF_TAG and code < PORT_WRITE)
    if code in _MOVES:
        n_columns = len(dut.carry)
        dut.distance.value = b
        dut.group.value = last or n_columns
    if code not in (PORT_WRITE, PORT_READ):
        return None
    row = int.from_bytes(next(rows).tobytes(), "little")
    if code == PORT_WRITE:
        dut.port_in.value = row
        return None
    return row


async def _clear(dut: Any) -> None:
    for name in ("valid", "opcode", "row_a", "row_b", "row_d", "write", "if_tag", "port_in"):
        getattr(dut, name).value = 0
    dut.distance.value = 0
    dut.group.value = len(dut.carry)
    dut.clear.value = 1
    await _clock(dut)
    dut.clear.value = 0


async def _clock(dut: Any) -> None:
    dut.clk.value = 0
    await Timer(1, "ns")
    dut.clk.value = 1
    await Timer(1, "ns")
