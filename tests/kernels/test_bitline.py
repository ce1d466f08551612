import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bitpim_kernels import bitline, chunk, layout
from bitpim_kernels import opcodes as op
from bitpim_kernels.family import Opcode
from tests.naive.bitline import run_lane
from tests.random_tables import random_table

LANES = (1, 63, 64, 65, 127, 128, 2048, 2049)
N_ROWS = 6

Rows = npt.NDArray[np.uint64]
Runner = Callable[..., None]


def random_sram_table(seed: int, n_steps: int) -> npt.NDArray[np.int32]:
    return random_table(seed, op.SRAM, n_steps, N_ROWS)


def random_state(seed: int, n_lanes: int) -> npt.NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 2, (N_ROWS + 2, n_lanes), dtype=np.uint8)


def expected_state(table: npt.NDArray[np.int32], bits: npt.NDArray[np.uint8]) -> Any:
    out = bits.copy()
    for lane in range(bits.shape[1]):
        cells = bits[:N_ROWS, lane].tolist()
        carry, tag = int(bits[N_ROWS, lane]), int(bits[N_ROWS + 1, lane])
        latches = run_lane(table.tolist(), cells, carry, tag)
        out[:, lane] = [*cells, *latches]
    return out


def run_packed(
    run: Runner, table: npt.NDArray[np.int32], bits: npt.NDArray[np.uint8], *extra: int
) -> Any:
    n_lanes = bits.shape[1]
    packed = layout.pack(bits)
    rows, carry, tag = packed[:N_ROWS].copy(), packed[N_ROWS].copy(), packed[N_ROWS + 1].copy()
    run(table, rows, carry, tag, layout.tail_mask(n_lanes), *extra)
    return layout.unpack(np.vstack([rows, carry, tag]), n_lanes)  # refuses padding that is not zero


def in_shares(module: Any) -> Any:
    """Run all shares of a program, last first: their order must not matter."""

    def run(*arguments: Any) -> None:
        *state, n_shares = arguments
        for share in reversed(range(n_shares)):
            module.run_program_share(*state, share, n_shares)

    return run


@pytest.fixture(params=["jit", "python"])
def kernels(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Yield the module with its kernels compiled, or all of them as plain Python."""
    if request.param == "python":
        for name, value in vars(bitline).copy().items():
            if hasattr(value, "py_func"):
                monkeypatch.setattr(bitline, name, value.py_func)
    return bitline


@pytest.mark.parametrize("opcode", op.SRAM.opcodes, ids=lambda opcode: opcode.mnemonic)
def test_each_opcode_on_every_state_of_its_lane(opcode: Opcode, kernels: Any) -> None:
    # 32 lanes hold every state of three cells and both latches
    states = (np.arange(32)[None] >> np.arange(5)[:, None] & 1).astype(np.uint8)
    bits = np.zeros((N_ROWS + 2, 32), np.uint8)
    bits[:3], bits[N_ROWS:] = states[:3], states[3:]
    n_tried = 0
    for rows in itertools.product((op.NO_ROW, 0, 1, 2), repeat=3):
        for predicate in (op.ALWAYS, op.IF_TAG):
            step = (opcode.code, *rows, predicate)
            if op.SRAM.fault(step, N_ROWS):
                continue
            table = np.array([step], np.int32)
            got = run_packed(kernels.run_program, table, bits, 64)
            assert np.array_equal(got, expected_state(table, bits)), step
            n_tried += 1
    n_written = {"must": 3 * 2, "may": 3 * 2 + 1, "never": 1}[opcode.writes]
    assert n_tried == 3**opcode.n_sources * n_written


@pytest.mark.parametrize("n_lanes", LANES)
def test_random_programs_match_the_naive_lane(n_lanes: int, kernels: Any) -> None:
    for seed in range(3):
        table = random_sram_table(seed, 60)
        bits = random_state(seed + 10, n_lanes)
        expected = expected_state(table, bits)
        assert np.array_equal(run_packed(kernels.run_program, table, bits, 64), expected)
        got = run_packed(in_shares(kernels), table, bits, 32, 2)
        assert np.array_equal(got, expected)


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    n_steps=st.integers(0, 40),
    n_lanes=st.integers(1, 9000),
    block_words=st.integers(1, 100),
    n_threads=st.integers(1, 5),
)
def test_blocks_and_threads_change_nothing(
    seed: int, n_steps: int, n_lanes: int, block_words: int, n_threads: int
) -> None:
    table = random_sram_table(seed, n_steps)
    bits = random_state(seed, n_lanes)
    one = run_packed(bitline.run_program, table, bits, 10**6)
    two = run_packed(bitline.run_program, table, bits, block_words)
    many = run_packed(in_shares(bitline), table, bits, block_words, n_threads)
    assert np.array_equal(one, two)
    assert np.array_equal(one, many)
    lane = seed % n_lanes
    assert np.array_equal(one[:, [lane]], expected_state(table, bits[:, [lane]]))


def test_rows_a_program_does_not_touch_stay(kernels: Any) -> None:
    rows = np.arange(3 * 40, dtype=np.uint64).reshape(3, 40)
    before = rows.copy()
    latches = np.zeros((2, 40), np.uint64)
    table = np.array([[op.NOT, 0, op.NO_ROW, 2, op.ALWAYS]], np.int32)
    kernels.run_program(table, rows, latches[0], latches[1], layout.tail_mask(40 * 64), 32)
    assert np.array_equal(rows[:2], before[:2])
    assert np.array_equal(rows[2], ~before[0])


@pytest.mark.parametrize("n_lanes", [64 * 96, 64 * 96 - 1, 64 * 90])
def test_short_programs_run_in_place_alike(n_lanes: int, kernels: Any) -> None:
    table = np.array([[op.ADD, 0, 1, 2, op.ALWAYS], [op.NOT, 3, op.NO_ROW, 4, op.IF_TAG]], np.int32)
    bits = random_state(7, n_lanes)
    lanes = [0, 63, 64, n_lanes // 2, n_lanes - 1]
    expected = expected_state(table, bits[:, lanes])
    one = run_packed(kernels.run_program, table, bits, 32)
    two = run_packed(in_shares(kernels), table, bits, 32, 2)
    assert np.array_equal(one[:, lanes], expected)
    assert np.array_equal(one, two)
    staged = np.vstack([table, *[[[op.CARRY_SET, -1, -1, -1, 0]]] * 5]).astype(np.int32)
    long = run_packed(kernels.run_program, staged, bits, 32)
    assert np.array_equal(long[:N_ROWS], one[:N_ROWS])
    assert long[N_ROWS].all()


@pytest.mark.parametrize("shape", [(1, 1), (3, 40), (7, 8)])
def test_aligned_rows_start_a_cache_line(shape: tuple[int, int], kernels: Any) -> None:
    rows = kernels.aligned_rows(*shape)
    assert rows.ctypes.data % 64 == 0
    assert rows.shape == shape
    rows[:] = np.arange(rows.size, dtype=np.uint64).reshape(shape)
    assert rows[-1, -1] == rows.size - 1


def test_chunk_functions_mean_the_same_compiled_and_plain() -> None:
    import numba

    @numba.njit  # type: ignore[untyped-decorator]
    def compiled(rows: Any, latch: Any) -> None:
        x, y = chunk.load_row(rows, 1, 2), chunk.load_latch(latch, 1)
        chunk.store_row(rows, 0, 1, (x & y) | (~x ^ chunk.ones()) | chunk.zeros())
        chunk.store_latch(latch, 2, x ^ y)

    rng = np.random.default_rng(0)
    words = chunk.CHUNK_WORDS + 3
    rows = rng.integers(0, 2**64, (2, words), dtype=np.uint64)
    latch = rng.integers(0, 2**64, words, dtype=np.uint64)
    plain_rows, plain_latch = rows.copy(), latch.copy()
    compiled(rows, latch)
    compiled.py_func(plain_rows, plain_latch)
    assert np.array_equal(rows, plain_rows)
    assert np.array_equal(latch, plain_latch)
