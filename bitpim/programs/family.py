"""What a step must be to belong to a logic family.

The record of a family lies beside the kernels, in `bitpim_kernels.family`.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from bitpim.errors import ProgramError
from bitpim_kernels.family import ALWAYS, NO_ROW, Family, Opcode

__all__ = ["check_step", "check_table"]


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


def check_table(
    table: npt.NDArray[np.int32],
    n_rows: int,
    family: Family,
    first: int = 0,
    *,
    beside: npt.NDArray[np.bool_] | None = None,
) -> None:
    """Check the form of many steps at once; those of `beside` are no steps of the family.

    Raises
    ------
    ProgramError
        As `check_step`, naming the step, counted from `first`.
    """
    opcode, rows, predicate = table[:, 0], table[:, 1:4], table[:, 4]
    given = rows != NO_ROW
    # one row an opcode number: known, rows it activates, whether it may and must write
    rules = np.zeros((max(family.by_code) + 2, 4), np.int64)
    for code, record in family.by_code.items():
        rules[code] = (1, record.n_sources, record.writes != "never", record.writes == "must")
    known = rules[np.where((opcode >= 0) & (opcode < len(rules)), opcode, len(rules) - 1)]
    sources = given[:, 0].astype(np.int64) + given[:, 1]
    good = (known[:, 0] == 1) & (sources == known[:, 1]) & (given[:, 0] | ~given[:, 1])
    good &= np.where(given[:, 2], known[:, 2] == 1, known[:, 3] == 0)
    good &= (~given | ((rows >= 0) & (rows < n_rows))).all(axis=1)
    good &= np.isin(predicate, list(family.where)) & (given[:, 2] | (predicate == ALWAYS))
    onto = [record.code for record in family.opcodes if record.onto]
    if onto:
        apart = (rows[:, 2] != rows[:, 0]) & (rows[:, 2] != rows[:, 1])
        good &= ~np.isin(opcode, onto) | apart
    if beside is not None:
        good |= beside
    if not good.all():
        at = int(np.argmin(good))
        check_step(table[at].tolist(), n_rows, f"step {first + at}", family)
