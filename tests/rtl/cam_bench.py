"""Runs inside the simulator: program traces through `cam.v`, in lock step with bitpim."""

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar, Final

import cocotb

from bitpim.lookup.stepped_cam import ANSWER, HIGH, QUERY, WEIGH, WRITE
from bitpim_kernels.layout import words_for
from tests.rtl.driving import Design, run_programs

_WIRE: Final = (1 << 32) - 1  # a number of a step, whose wires are signed


class CamDesign(Design):
    """The wires of `cam.v`."""

    buses: ClassVar[Mapping[str, str]] = {
        "value": "all_values", "care": "all_cares", "query": "query", "high": "high",
        "weights": "all_weights", "match": "match", "answer": "answer",
    }  # fmt: skip
    inputs = ("valid", "opcode", "a", "b", "dst", "rule", "word", "word_care", "weight_in")

    def drive(self, step: list[int], rows: Iterator[Any]) -> None:
        """Put a step on the wires."""
        code, *numbers, rule = step
        self.dut.valid.value = 1
        self.dut.opcode.value = code
        for wire, number in zip(("a", "b", "dst"), numbers, strict=True):
            getattr(self.dut, wire).value = number & _WIRE
        self.dut.rule.value = rule
        if code == ANSWER:
            next(rows)  # the answer is compared as a state
        elif code == WEIGH:
            self.dut.weight_in.value = int(next(rows)[0])
        elif code in (WRITE, QUERY, HIGH):
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
