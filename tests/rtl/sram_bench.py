"""Runs inside the simulator: program traces through `sram_subarray.v`, in lock step with bitpim."""

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

import cocotb

from bitpim.sram.stepped import PORT_READ, PORT_WRITE, SteppedSubarray
from bitpim_kernels import opcodes as op
from tests.rtl.driving import Design, bus, run_programs
from tests.rtl.lock_step import LockStep

_PORTS = {code: form.port for code, form in SteppedSubarray.forms.items()}


class SramDesign(Design):
    """The wires of `sram_subarray.v`; its rows beyond those of a program must stay zero."""

    buses: ClassVar[Mapping[str, str]] = {"rows": "all_rows", "carry": "carry", "tag": "tag"}
    inputs = (
        "valid", "opcode", "row_a", "row_b", "row_d", "write", "if_tag", "distance", "group",
        "port_in",
    )  # fmt: skip

    def drive(self, step: list[int], rows: Iterator[Any]) -> int | None:
        """Put a step on the wires; return the row that must come out, if one must."""
        code, a, b, dst, last = step
        dut = self.dut
        dut.valid.value = 1
        dut.opcode.value = code
        dut.row_a.value = max(a, 0)
        moves = code > PORT_READ
        dut.row_b.value = 0 if moves else max(b, 0)
        dut.row_d.value = max(dst, 0)
        dut.write.value = int(dst != op.NO_ROW)
        dut.if_tag.value = int(last == op.IF_TAG and code < PORT_WRITE)
        if moves:
            dut.distance.value = b
            dut.group.value = last or len(dut.carry)
        if _PORTS[code] == "none":
            return None
        row = int.from_bytes(next(rows).tobytes(), "little")
        if _PORTS[code] == "out":
            return row
        dut.port_in.value = row
        return None

    def shown(self, lock: LockStep) -> dict[str, int]:
        """Return what it shows, of the rows those of the program."""
        found = super().shown(lock)
        found["rows"] &= (1 << self._n_cells(lock)) - 1
        return found

    def fault(self, driven: int | None, lock: LockStep) -> str:
        """Say whether another row came out, or a row beyond the program's was written."""
        if bus(self.dut, "all_rows") >> self._n_cells(lock):
            return f"step {lock.at.position - 1}: a row beyond the program's was written"
        if driven is not None and bus(self.dut, "port_out") != driven:
            return f"step {lock.at.position - 1}: another row came out of the port"
        return ""

    def _n_cells(self, lock: LockStep) -> int:
        n_rows, n_columns = lock.forms["rows"].sizes
        return n_rows * n_columns


@cocotb.test()
async def lock_step(dut: Any) -> None:
    """Take every step of every program in the design and in bitpim; keep what was found."""
    await run_programs(SramDesign(dut))
