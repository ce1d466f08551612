"""Speed of stateful NOR: programs on 2^20 lanes, against NumPy, and on two threads.

The rate is gate-lanes a second; an INIT is a step too, and NumPy has to do it. Where BITPIM_VECTORS
names the folder of programs that other tools made, one of those is measured too: a 16 x 16
multiplier of 2,844 gates on 512 cells.
"""

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from bitpim import NorArray
from bitpim.programs.assembler import Assembler
from bitpim.programs.catalog import Widths, catalog_program
from bitpim.programs.program import Field, Program
from bitpim_kernels import magic

Words = npt.NDArray[np.uint64]
Ratio = Callable[[str, Callable[[], None], Callable[[], None]], float]

N_LANES = 2**20
NUMPY_WORDS = 1024  # 64 Ki lanes at a time
ALL_BITS = np.uint64(2**64 - 1)
MULTIPLIER = "nor/veriSIMPLER_512_c6288.txt"


def run_with_numpy(table: list[list[int]], cells: Words, scratch: Words) -> None:
    """Run INITs, NOTs and NORs of two cells over whole packed rows."""
    for opcode, a, b, dst, _ in table:
        if opcode in (magic.INIT1, magic.ALSO_INIT1):
            cells[dst].fill(ALL_BITS)
        elif opcode in (magic.INIT0, magic.ALSO_INIT0):
            cells[dst].fill(0)
        else:
            if opcode == magic.NOT:
                np.invert(cells[a], out=scratch)
            else:
                np.bitwise_or(cells[a], cells[b], out=scratch)
                np.invert(scratch, out=scratch)
            np.bitwise_and(cells[dst], scratch, out=cells[dst])


def random_program(n_gates: int, n_cells: int) -> Program:
    """Draw gates on cells that a gate or the operand set before, each after an INIT of its own."""
    rng = np.random.default_rng(5)
    x, rest = Field("x", 0, 16), Field("cells", 16, n_cells - 16)
    b = Assembler("random", n_cells, family=magic.MAGIC)
    b.reads(x)
    b.writes(rest)
    known = list(x)
    for k in range(n_gates):
        to = rest[k if k < len(rest) else int(rng.integers(len(rest)))]
        first, second = (known[i] for i in rng.choice(len(known), 2, replace=False))
        first, second = (x[0] if row == to else row for row in (first, second))
        b.step(magic.INIT1, to=to)
        b.step(magic.NOR, first, second, to=to)
        known += [to] if k < len(rest) else []
    return b.build()


def multiplier() -> Program:
    """Read the 16 x 16 multiplier that veriSIMPLER made, where its folder is named."""
    path = Path(os.environ.get("BITPIM_VECTORS", "")) / MULTIPLIER
    if not path.is_file():
        pytest.skip(f"needs BITPIM_VECTORS, a folder with {MULTIPLIER}")
    reader = pytest.importorskip("bitpim.programs.nor_files")
    program: Program = reader.read_nor_file(str(path)).program
    return program


PROGRAMS = {
    "multiply": lambda: catalog_program("nor_multiply", Widths(16, 16, 24)),
    "random": lambda: random_program(3000, 200),
    "c6288": multiplier,
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_programs_over_numpy(name: str, ratio: Ratio) -> None:
    """Run a program on 2^20 lanes of one array, and 64 Ki lanes at a time with NumPy."""
    program = PROGRAMS[name]()
    array = NorArray(program.n_rows, N_LANES, n_threads=1)
    rng = np.random.default_rng(0)
    start = rng.integers(0, 2**64, array.state.shape, dtype=np.uint64)
    array.write_cells(0, start)
    table, scratch = program.table.tolist(), np.empty(NUMPY_WORDS, np.uint64)
    slabs = [start[:, lo : lo + NUMPY_WORDS].copy() for lo in range(0, start.shape[1], NUMPY_WORDS)]

    def with_numpy() -> None:
        for slab in slabs:
            run_with_numpy(table, slab, scratch)

    array.run(program)
    with_numpy()
    assert np.array_equal(array.state, np.hstack(slabs))
    ratio(f"nor_over_numpy:{name}", lambda: array.run(program), with_numpy)


@pytest.mark.parametrize("name", PROGRAMS)
def test_two_threads_over_one(name: str, ratio: Ratio) -> None:
    """Run the same on two threads."""
    program = PROGRAMS[name]()
    two, one = (NorArray(program.n_rows, N_LANES, n_threads=n) for n in (2, 1))

    def run(array: NorArray) -> None:
        for _ in range(4):
            array.run(program)

    ratio(f"nor_two_threads:{name}", lambda: run(two), lambda: run(one))
