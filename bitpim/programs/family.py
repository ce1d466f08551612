"""The logic families programs are written in, and what a step must be to belong to one.

The record of a family lies beside the kernels, in `bitpim_kernels.family`.
"""

from collections.abc import Mapping, Sequence
from typing import Final

from bitpim.errors import ProgramError
from bitpim_kernels.family import Family, Opcode
from bitpim_kernels.opcodes import SRAM

__all__ = ["FAMILIES", "check_step"]

FAMILIES: Final[Mapping[str, Family]] = {family.name: family for family in (SRAM,)}
"""The families bitpim has, by name."""


def check_step(step: Sequence[int], n_rows: int, where: str, family: Family = SRAM) -> Opcode:
    """Return the record of a step's opcode after checking the form of the step.

    Raises
    ------
    ProgramError
        The opcode is unknown, a row is missing, superfluous or out of range.
    """
    if fault := family.fault(step, n_rows):
        opcode = family.by_code.get(step[0])
        name = f" ({opcode.mnemonic})" if opcode else ""
        raise ProgramError(f"{where}{name}: {fault}")
    return family.by_code[step[0]]
