"""What a step must be to belong to a logic family.

The record of a family lies beside the kernels, in `bitpim_kernels.family`.
"""

from collections.abc import Sequence

from bitpim.errors import ProgramError
from bitpim_kernels.family import Family, Opcode

__all__ = ["check_step"]


def check_step(step: Sequence[int], n_rows: int, where: str, family: Family) -> Opcode:
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
