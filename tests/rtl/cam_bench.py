"""Runs inside the simulator: program traces through `cam_best.v`, in lock step with bitpim."""

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

import cocotb

from bitpim.lookup.stepped_cam import ANSWER, QUERY, WRITE
from bitpim_kernels.layout import words_for
from tests.rtl.driving import Design, run_programs


class CamDesign(Design):
    """The wires of `cam_best.v`."""

    buses: ClassVar[Mapping[str, str]] = {
        "value": "all_values", "care": "all_cares", "query": "query", "match": "match",
        "answer": "answer",
    }  # fmt: skip
    inputs = ("valid", "opcode", "number", "row", "highest", "word", "word_care")

    def drive(self, step: list[int], rows: Iterator[Any]) -> None:
        """Put a step on the wires."""
        code, a, _, dst, ties = step
        self.dut.valid.value = 1
        self.dut.opcode.value = code
        self.dut.number.value = max(a, 0)
        self.dut.row.value = max(dst, 0)
        self.dut.highest.value = ties
        if code == ANSWER:
            next(rows)  # the answer is compared as a state
        elif code in (WRITE, QUERY):
            n_words = words_for(len(self.dut.word))
            row = next(rows)
            self.dut.word.value = int.from_bytes(row[:n_words].tobytes(), "little")
            self.dut.word_care.value = int.from_bytes(
                row[n_words : 2 * n_words].tobytes(), "little"
            )


@cocotb.test()
async def lock_step(dut: Any) -> None:
    """Take every step of every program in the design and in bitpim; keep what was found."""
    await run_programs(CamDesign(dut))
