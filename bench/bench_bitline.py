"""Speed of the program interpreter: against a bare loop, against itself, against NumPy."""

from collections.abc import Callable
from dataclasses import replace

import numba
import numpy as np
import numpy.typing as npt

from bitpim.programs.catalog import Widths, catalog_program
from bitpim.programs.program import Program
from bitpim.sram.subarray import Subarray
from bitpim.threads import share_out
from bitpim_kernels import opcodes as op
from bitpim_kernels.bitline import BLOCK_WORDS, aligned_rows, run_program, run_program_share

Words = npt.NDArray[np.uint64]
Ratio = Callable[[str, Callable[[], None], Callable[[], None]], float]

FULL = np.uint64(0xFFFFFFFFFFFFFFFF)
NUMPY_WORDS = 1024  # 64 Ki lanes at a time
MULTIPLY_ACCUMULATE = catalog_program("multiply_accumulate", Widths(8, 8, 24))


def random_rows(n_rows: int, n_words: int) -> Words:
    """Return random packed rows, the same each time, that start a cache line."""
    rows: Words = aligned_rows(n_rows, n_words)
    rows[:] = np.random.default_rng(0).integers(0, 2**64, rows.shape, dtype=np.uint64)
    return rows


class Machine:
    """Rows and latches, and the program that runs on them."""

    def __init__(self, program: Program, n_words: int) -> None:
        self.table = program.table.copy()
        self.rows = random_rows(program.n_rows, n_words)
        self.carry, self.tag = random_rows(2, n_words)

    def run(self, n_threads: int = 1, times: int = 1) -> None:
        """Run the program on all lanes."""
        if n_threads > 1:
            share_out(n_threads, lambda s, _: self.run_share(s, n_threads, times), n_threads)
            return
        for _ in range(times):
            run_program(self.table, self.rows, self.carry, self.tag, FULL, BLOCK_WORDS)

    def run_share(self, share: int, n_shares: int, times: int) -> None:
        """Run the program on one thread's lanes, as a layer's taps run before lanes meet."""
        state = (self.table, self.rows, self.carry, self.tag)
        for _ in range(times):
            run_program_share(*state, FULL, BLOCK_WORDS, share, n_shares)


@numba.njit(nogil=True)  # type: ignore[untyped-decorator]
def full_adder_steps(rows: Words, carry: Words, n_steps: int, times: int) -> None:
    """Add rows to rows: as bare as such a loop can be, in place, no opcodes, no predicates."""
    n_rows = rows.shape[0] // 2
    for _ in range(times):
        for step in range(n_steps):
            x, y = rows[step % n_rows], rows[n_rows + step % n_rows]
            for w in range(x.shape[0]):
                a, b, c = x[w], y[w], carry[w]
                x[w] = a ^ b ^ c
                carry[w] = (a & b) | ((a ^ b) & c)


def test_interpreter_over_bare_loop(ratio: Ratio) -> None:
    """Run 127 steps with dispatch and predicates, against 127 full-adder steps without."""
    machine = Machine(MULTIPLY_ACCUMULATE, 64)  # 56 rows of 512 bytes stay in L1
    rows, (carry,) = random_rows(*machine.rows.shape), random_rows(1, 64)
    n_steps, times = len(machine.table), 200
    ratio(
        "interpreter_over_bare_loop",
        lambda: machine.run(times=times),
        lambda: full_adder_steps(rows, carry, n_steps, times),
    )


def test_two_threads_over_one(ratio: Ratio) -> None:
    """Run the same program on many blocks of lanes."""
    machine = Machine(MULTIPLY_ACCUMULATE, 2**20 // 64)
    ratio("interpreter_two_threads", lambda: machine.run(2, 40), lambda: machine.run(1, 40))


def run_with_numpy(table: list[list[int]], rows: Words, carry: Words, tag: Words) -> None:
    """Run a program step by step over whole packed rows, in preallocated buffers."""
    half, result = np.empty((2, rows.shape[1]), np.uint64)
    for opcode, a, b, dst, predicate in table:
        target = rows[dst] if predicate == op.ALWAYS else result
        if opcode == op.ADD:
            np.bitwise_xor(rows[a], rows[b], out=half)
            majority = rows[a] & rows[b]
            np.bitwise_xor(half, carry, out=target)
            half &= carry
            np.bitwise_or(majority, half, out=carry)
        elif opcode == op.ZERO:
            target[:] = 0
        elif opcode == op.COPY:
            target[:] = rows[a]
        elif opcode == op.CARRY_STORE:
            target[:] = carry
        elif opcode == op.CARRY_RESET:
            carry[:] = 0
        elif opcode == op.TAG_LOAD:
            tag[:] = rows[a]
        if predicate == op.IF_TAG:  # dst ^= (dst ^ result) & tag
            result ^= rows[dst]
            result &= tag
            rows[dst] ^= result


def over_numpy(name: str, times: int, ratio: Ratio) -> None:
    """Run a 32-bit program on 2^20 lanes of a subarray, and 64 Ki lanes at a time with NumPy.

    `times` in a row, so that rows come from the cache that holds them, not from memory.
    """
    program = catalog_program(name, Widths(32, 32))
    start = random_rows(program.n_rows, 2**20 // 64)
    array = Subarray(program.n_rows, 2**20, n_threads=1)
    array.write_rows(0, start)
    table = program.table.tolist()
    slabs = [
        (start[:, lo : lo + NUMPY_WORDS].copy(), *np.zeros((2, NUMPY_WORDS), np.uint64))
        for lo in range(0, start.shape[1], NUMPY_WORDS)
    ]

    def with_numpy(times: int = times) -> None:
        for _ in range(times):
            for rows, carry, tag in slabs:
                run_with_numpy(table, rows, carry, tag)

    again = replace(program, clear_before=())  # the carry is as the run before left it

    def ours() -> None:
        for _ in range(times):
            array.run(again)

    array.run(program)
    with_numpy(1)
    assert np.array_equal(array.state.rows, np.hstack([rows for rows, _, _ in slabs]))
    ratio(f"{name}_32_bits_over_numpy", ours, with_numpy)


def test_add_over_numpy(ratio: Ratio) -> None:
    """Add in 33 steps."""
    over_numpy("add", 8, ratio)


def test_multiply_over_numpy(ratio: Ratio) -> None:
    """Multiply in 1,182 steps."""
    over_numpy("multiply", 1, ratio)
