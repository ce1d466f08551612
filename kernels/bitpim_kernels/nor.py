"""Run a program table over packed rows of cells: stateful NOR, the `magic` logic family.

A lane is a row of the memory that runs the program, a cell a column of it: the same step happens in
all lanes at once. Lanes do not see each other, so a chunk of 2,048 lanes runs the whole table
before the next is touched.
"""

import numpy as np
import numpy.typing as npt

from bitpim_kernels import magic
from bitpim_kernels.chunk import CHUNK_WORDS, load_row, ones, store_row, zeros
from bitpim_kernels.jit import kernel

__all__ = ["run_gates_share"]

Words = npt.NDArray[np.uint64]
Table = npt.NDArray[np.int32]


@kernel()
def _run_chunk(table: Table, cells: Words, w: int) -> None:
    """Run all lines over a chunk."""
    opened = zeros()
    for line in range(table.shape[0]):
        opcode = table[line, 0]
        dst = np.int64(table[line, 3])
        if opcode <= magic.ALSO_INIT1:
            store_row(cells, dst, w, ones())
            continue
        if opcode <= magic.ALSO_INIT0:
            store_row(cells, dst, w, zeros())
            continue
        current = load_row(cells, np.int64(table[line, 1]), w)
        if opcode in (magic.NOR, magic.NOR_WIDE):
            current = current | load_row(cells, np.int64(table[line, 2]), w)
        if opcode == magic.NOR_OPEN:
            opened = current
        elif opcode == magic.NOR_OPEN_MORE:
            opened = opened | current
        else:
            if opcode == magic.NOR_WIDE:
                current = current | opened
            store_row(cells, dst, w, load_row(cells, dst, w) & ~current)


@kernel()
def run_gates_share(table: Table, cells: Words, share: int, n_shares: int) -> None:
    """Run a program over one of `n_shares` parts of the lanes in place, for one thread of several.

    Shares touch different words, so that threads may run them at once. Lanes beyond the last are
    set as all others: whoever calls clears them.

    Parameters
    ----------
    table : lines of the `magic` family, each step whole, see `magic`
    cells : a packed row for each cell, changed in place
    share, n_shares : which part

    Shapes
    ------
    table: (n_lines, 5) int32
    cells: (n_cells, words), words a multiple of CHUNK_WORDS, contiguous

    Source: MAGIC, with X-MAGIC for a missing INIT (found).
    """
    n_chunks = cells.shape[1] // CHUNK_WORDS
    first, last = share * n_chunks // n_shares, (share + 1) * n_chunks // n_shares
    for chunk in range(first, last):
        _run_chunk(table, cells, chunk * CHUNK_WORDS)
