"""Random program tables of any logic family: every step is legal, no more is known of them."""

import numpy as np
import numpy.typing as npt

from bitpim_kernels.family import ALWAYS, N_FIELDS, NO_ROW, Family, Opcode

__all__ = ["random_step", "random_table"]


def random_step(rng: np.random.Generator, family: Family, opcode: Opcode, n_rows: int) -> list[int]:
    """Draw rows and a predicate for an opcode: equal rows are among them, and no destination."""
    a, b, dst = (int(row) for row in rng.integers(0, n_rows, 3))
    if opcode.writes == "never" or (opcode.writes == "may" and rng.integers(4) == 0):
        dst = NO_ROW
    if opcode.onto:  # an output cell is no input
        a, b = ((row + 1) % n_rows if row == dst else row for row in (a, b))
    a = a if opcode.n_sources > 0 else NO_ROW
    b = b if opcode.n_sources > 1 else NO_ROW
    predicate = ALWAYS if dst == NO_ROW else int(rng.choice(list(family.where)))
    return [opcode.code, a, b, dst, predicate]


def random_table(seed: int, family: Family, n_steps: int, n_rows: int) -> npt.NDArray[np.int32]:
    """Draw a table of up to `n_steps` over `n_rows` rows."""
    rng = np.random.default_rng(seed)
    opcodes = [family.opcodes[i] for i in rng.integers(0, len(family.opcodes), n_steps)]
    lines: list[list[int]] = []
    for drawn in opcodes:
        whole = _whole_step(rng, family, drawn)
        step = [random_step(rng, family, opcode, n_rows) for opcode in whole]
        lines += step if _is_legal(step, family) else []
    return np.array(lines, np.int32).reshape(-1, N_FIELDS)


def _is_legal(step: list[list[int]], family: Family) -> bool:
    """Whether no row is written twice, nor a gate's output one of its inputs, over all lines."""
    written = [line[3] for line in step if line[3] != NO_ROW]
    read = {row for line in step for row in line[1:3]}
    apart = not any(family.by_code[line[0]].onto and line[3] in read for line in step)
    return len(set(written)) == len(written) and apart


def _whole_step(rng: np.random.Generator, family: Family, drawn: Opcode) -> list[Opcode]:
    """Return the lines of a step that begins with an opcode; none if it cannot begin one."""
    if any(drawn.mnemonic in opcode.then for opcode in family.opcodes) and drawn.uses:
        return []
    lines = [drawn]
    while lines[-1].then:
        lines.append(family.by_mnemonic[str(rng.choice(lines[-1].then))])
    return lines
