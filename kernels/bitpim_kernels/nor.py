"""Run a program table over packed rows of cells: stateful NOR, the `magic` logic family.

A lane is a row of the memory that runs the program, a cell a column of it: the same step happens in
all lanes at once. Lanes do not see each other, so a span of 4,096 lanes runs the whole table before
the next is touched.

Before that the table is lowered, once a run. An INIT makes a cell a known constant, and what is
known needs no work: a gate onto a cell known to be 1 loads no old content, one that meets a known
input is a shorter gate or none, and a constant is stored only where the cell ends as it. What is
left are NORs of two cells, some of which AND with what the cell held.
"""

from typing import Any

import numpy as np
import numpy.typing as npt

from bitpim_kernels import magic
from bitpim_kernels.chunk import CHUNK_WORDS, load_row, store_row
from bitpim_kernels.jit import kernel

__all__ = ["run_gates_share"]

_SPAN_WORDS = 64
"""Words that run the table at a time: two chunks. One measured 0.8 as fast; three 1.2 as fast for
programs of 100 cells, and 0.8 for those of 500, which then leave the cache."""

# what is known of a cell: that it is 0, that it is 1, or nothing
_ZERO, _ONE, _ANY = 0, 1, 2

_NO_BITS = np.uint64(0)
_ALL_BITS = np.uint64(0xFFFFFFFFFFFFFFFF)

Words = npt.NDArray[np.uint64]
Table = npt.NDArray[np.int32]
Cells = npt.NDArray[np.int32]


@kernel()
def _keep_unknown(inputs: Cells, n: int, known: Cells) -> int:
    """Keep those of `n` inputs that are not known, in place; return how many, -1 if one is 1."""
    n_kept = 0
    for k in range(n):
        cell = inputs[k]
        if known[cell] == _ONE:
            return -1
        if known[cell] == _ANY and (n_kept == 0 or inputs[n_kept - 1] != cell):
            inputs[n_kept] = cell
            n_kept += 1
    return n_kept


@kernel()
def _lower(table: Table, n_cells: int) -> Any:
    """Return gates (onto what the cell held?, a, b, dst) and what is known of each cell at the end.

    A NOR of more cells is one of the first two, and of the next two onto its result.
    """
    known = np.full(n_cells, _ANY, np.int32)
    gates = np.empty((table.shape[0], 4), np.int32)
    inputs = np.empty(table.shape[0] + 1, np.int32)
    n_gates, n_open = 0, 0
    for line in range(table.shape[0]):
        opcode, dst = table[line, 0], table[line, 3]
        if opcode <= magic.ALSO_INIT0:
            known[dst] = _ONE if opcode <= magic.ALSO_INIT1 else _ZERO
            continue
        inputs[n_open] = table[line, 1]
        n_open += 1
        if opcode in (magic.NOR_OPEN, magic.NOR_OPEN_MORE):
            continue
        if opcode != magic.NOT:
            inputs[n_open] = table[line, 2]
            n_open += 1
        n_inputs = _keep_unknown(inputs, n_open, known)
        n_open = 0
        if known[dst] == _ZERO or n_inputs < 0:
            known[dst] = _ZERO
            continue
        for k in range(0, n_inputs, 2):
            gates[n_gates, 0] = known[dst] == _ANY
            gates[n_gates, 1] = inputs[k]
            gates[n_gates, 2] = inputs[min(k + 1, n_inputs - 1)]
            gates[n_gates, 3] = dst
            known[dst] = _ANY
            n_gates += 1
    return gates[:n_gates], known


@kernel()
def _run_span(gates: Table, cells: Words, start: int, stop: int) -> None:
    """Run all gates over the words [start, stop), whole chunks."""
    for k in range(gates.shape[0]):
        a, b, dst = np.int64(gates[k, 1]), np.int64(gates[k, 2]), np.int64(gates[k, 3])
        for w in range(start, stop, CHUNK_WORDS):
            result = ~(load_row(cells, a, w) | load_row(cells, b, w))
            if gates[k, 0]:
                result = result & load_row(cells, dst, w)
            store_row(cells, dst, w, result)


@kernel()
def run_gates_share(table: Table, cells: Words, share: int, n_shares: int) -> None:
    """Run a program over one of `n_shares` parts of the lanes in place, for one thread of several.

    Shares touch different words, so that threads may run them at once. Lanes beyond the last are
    set as all others: whoever calls clears them.

    Parameters
    ----------
    table : lines of the `magic` family in the order of `magic`: what opens inputs, its gate next
    cells : a packed row for each cell, changed in place
    share, n_shares : which part

    Shapes
    ------
    table: (n_lines, 5) int32
    cells: (n_cells, words), words a multiple of CHUNK_WORDS, contiguous

    Source: MAGIC, with X-MAGIC for a missing INIT (found).
    """
    n_chunks = cells.shape[1] // CHUNK_WORDS
    start = share * n_chunks // n_shares * CHUNK_WORDS
    stop = (share + 1) * n_chunks // n_shares * CHUNK_WORDS
    gates, known = _lower(table, cells.shape[0])
    for w in range(start, stop, _SPAN_WORDS):
        _run_span(gates, cells, w, min(w + _SPAN_WORDS, stop))
    for cell in range(cells.shape[0]):
        if known[cell] != _ANY:
            cells[cell, start:stop] = _ALL_BITS if known[cell] == _ONE else _NO_BITS
