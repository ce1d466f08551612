"""What benches share: a design's wires, its clock, and programs run through it in lock step.

Used inside the simulator alone. PROGRAMS says which programs run, FINDINGS where to write what came
of them, STEPS after how many steps to leave off.
"""

import os
from abc import abstractmethod
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar

from cocotb.triggers import Timer

from bitpim_traces.program_trace.records import ProgramTrace
from tests.rtl.lock_step import Finding, LockStep, write_findings
from tests.rtl.programs import programs_of

__all__ = ["Design", "bus", "run_programs"]


class Design:
    """The wires of a design.

    Attributes
    ----------
    buses : state of the array -> wire that shows it, the first bit lowest
    inputs : wires that a bench drives, beside `clk` and `clear`
    """

    buses: ClassVar[Mapping[str, str]]
    inputs: ClassVar[tuple[str, ...]]

    def __init__(self, dut: Any) -> None:
        self.dut = dut

    def begin(self, lock: LockStep) -> None:
        """Learn what a program says beside its steps."""

    @abstractmethod
    def drive(self, step: list[int], rows: Iterator[Any]) -> Any:
        """Put a step on the wires; take the rows of the port that it needs."""

    def fault(self, driven: Any, lock: LockStep) -> str:
        """Say what else is wrong after a step, "" if nothing; `driven` is what `drive` returned."""
        return ""

    def shown(self, lock: LockStep) -> dict[str, int]:
        """Return what the design shows of each state."""
        return {name: bus(self.dut, wire) for name, wire in self.buses.items()}


def bus(dut: Any, name: str) -> int:
    """Return the number on a wire."""
    return int(str(getattr(dut, name).value), 2)


async def run_programs(design: Design) -> None:
    """Take every step of every program in the design and in bitpim; keep what was found."""
    findings = [await _run(design, program) for program in programs_of(os.environ["PROGRAMS"])]
    write_findings(Path(os.environ["FINDINGS"]), findings)


async def _run(design: Design, program: ProgramTrace) -> Finding:
    lock, dut = LockStep(program), design.dut
    design.begin(lock)
    await _clear(design)
    rows = iter([] if lock.rows is None else lock.rows)
    wanted = os.environ.get("STEPS")
    for step in lock.steps.tolist()[: int(wanted) if wanted else None]:
        driven = design.drive(step, rows)
        await _clock(dut)
        found = lock.compare(design.shown(lock))
        told = design.fault(driven, lock) if found is None else str(found)
        if told:
            return Finding(
                program.name, bus(dut, "n_taken"), len(lock.steps), lock.at.position - 1, told
            )
    return Finding(program.name, bus(dut, "n_taken"), len(lock.steps))


async def _clear(design: Design) -> None:
    for name in design.inputs:
        getattr(design.dut, name).value = 0
    design.dut.clear.value = 1
    await _clock(design.dut)
    design.dut.clear.value = 0


async def _clock(dut: Any) -> None:
    dut.clk.value = 0
    await Timer(1, "ns")
    dut.clk.value = 1
    await Timer(1, "ns")
