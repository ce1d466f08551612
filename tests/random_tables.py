"""Random program tables of any logic family: every step is legal, no more is known of them."""

import numpy as np
import numpy.typing as npt

from bitpim_kernels.family import ALWAYS, N_FIELDS, NO_ROW, Family, Opcode

__all__ = ["random_step", "random_table"]


def random_step(rng: np.random.Generator, family: Family, opcode: Opcode, n_rows: int) -> list[int]:
    """Draw rows and a predicate for an opcode: equal rows and no destination among them."""
    a, b, dst = (int(row) for row in rng.integers(0, n_rows, 3))
    if opcode.writes == "never" or (opcode.writes == "may" and rng.integers(4) == 0):
        dst = NO_ROW
    a = a if opcode.n_sources > 0 else NO_ROW
    b = b if opcode.n_sources > 1 else NO_ROW
    predicate = ALWAYS if dst == NO_ROW else int(rng.choice(list(family.where)))
    return [opcode.code, a, b, dst, predicate]


def random_table(seed: int, family: Family, n_steps: int, n_rows: int) -> npt.NDArray[np.int32]:
    """Draw a table of `n_steps` over `n_rows` rows."""
    rng = np.random.default_rng(seed)
    drawn = rng.integers(0, len(family.opcodes), n_steps)
    steps = [random_step(rng, family, family.opcodes[i], n_rows) for i in drawn]
    return np.array(steps, np.int32).reshape(-1, N_FIELDS)
