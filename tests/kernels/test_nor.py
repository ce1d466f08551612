import itertools
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bitpim_kernels import layout, magic, nor
from bitpim_kernels.chunk import CHUNK_WORDS
from bitpim_kernels.magic import ALWAYS, MAGIC, NO_ROW
from tests.naive.bitline import run_steps
from tests.random_tables import random_table

LANES = (1, 63, 64, 65, 127, 128, 2048, 2049)
N_CELLS = 4

Bits = npt.NDArray[np.uint8]
Table = npt.NDArray[np.int32]
Line = tuple[int, int, int, int, int]


def expected_state(table: Table, bits: Bits) -> Bits:
    out = bits.copy()
    for lane in range(bits.shape[1]):
        cells = bits[:, lane].tolist()
        run_steps(MAGIC, table.tolist(), cells, {"W": 0})
        out[:, lane] = cells
    return out


def run_packed(kernels: Any, table: Table, bits: Bits, n_shares: int = 1) -> Bits:
    """Run all shares, the last first: their order must not matter."""
    packed = layout.pack(bits)
    n_words = packed.shape[1]
    cells = np.zeros((len(bits), -(-n_words // CHUNK_WORDS) * CHUNK_WORDS), np.uint64)
    cells[:, :n_words] = packed
    for share in reversed(range(n_shares)):
        kernels.run_gates_share(table, cells, share, n_shares)
    cells[:, n_words - 1] &= layout.tail_mask(bits.shape[1])
    return layout.unpack(cells[:, :n_words], bits.shape[1])


@pytest.fixture(params=["jit", "python"])
def kernels(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Yield the module with its kernels compiled, or all of them as plain Python."""
    if request.param == "python":
        for name, value in vars(nor).copy().items():
            if hasattr(value, "py_func"):
                monkeypatch.setattr(nor, name, value.py_func)
    return nor


def line(opcode: int, a: int = NO_ROW, b: int = NO_ROW, dst: int = NO_ROW) -> Line:
    return opcode, a, b, dst, ALWAYS


def steps_of(n_opened: int) -> Iterator[list[Line]]:
    """Draw every step that opens so many inputs before its gate, on four cells."""
    cells = range(N_CELLS)
    if n_opened == 0:
        for dst in cells:
            yield [line(magic.INIT1, dst=dst)]
            yield [line(magic.INIT0, dst=dst)]
            yield [line(magic.ALSO_INIT1, dst=dst), line(magic.INIT1, dst=dst ^ 1)]
            yield [line(magic.ALSO_INIT0, dst=dst), line(magic.INIT0, dst=dst ^ 2)]
    for *opened, a, b, dst in itertools.product(cells, repeat=n_opened + 3):
        if dst in (a, b):
            continue
        opens = [magic.NOR_OPEN, *[magic.NOR_OPEN_MORE] * (n_opened - 1)]
        before = [line(opcode, cell) for opcode, cell in zip(opens, opened, strict=False)]
        yield [*before, line(magic.NOR_WIDE if opened else magic.NOR, a, b, dst)]
        if a == b and not opened:
            yield [line(magic.NOT, a, dst=dst)]


@pytest.mark.parametrize("n_opened", [0, 1, 2])
def test_each_step_on_every_state_of_its_lane(n_opened: int, kernels: Any) -> None:
    """Whatever is known of the cells: set to 0, to 1, or neither, before the step."""
    states = (np.arange(16)[None] >> np.arange(N_CELLS)[:, None] & 1).astype(np.uint8)
    settings_of = itertools.product((None, magic.INIT0, magic.INIT1), repeat=N_CELLS)
    preludes = [
        [line(opcode, dst=cell) for cell, opcode in enumerate(opcodes) if opcode is not None]
        for opcodes in settings_of
    ]
    rng = np.random.default_rng(n_opened)
    tried = set()
    for step in steps_of(n_opened):
        for k in (0, *rng.integers(0, len(preludes), 4 - n_opened)):
            table = np.array([*preludes[k], *step], np.int32)
            assert np.array_equal(run_packed(kernels, table, states), expected_state(table, states))
        tried |= {opcode for opcode, *_ in step}
    gates = {magic.NOR_OPEN, magic.NOR_WIDE}
    assert (
        tried
        == {
            0: {opcode.code for opcode in MAGIC.opcodes} - gates - {magic.NOR_OPEN_MORE},
            1: gates,
            2: gates | {magic.NOR_OPEN_MORE},
        }[n_opened]
    )


@pytest.mark.parametrize("n_lanes", LANES)
def test_random_programs_match_the_naive_lane(n_lanes: int, kernels: Any) -> None:
    rng = np.random.default_rng(n_lanes)
    for seed in range(3):
        table = random_table(seed, MAGIC, 40, 7)
        bits = rng.integers(0, 2, (7, n_lanes), dtype=np.uint8)
        got = run_packed(kernels, table, bits, seed + 1)
        lanes = rng.integers(0, n_lanes, 20)
        assert np.array_equal(got[:, lanes], expected_state(table, bits[:, lanes]))


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    n_steps=st.integers(0, 60),
    n_cells=st.integers(2, 9),
    n_lanes=st.integers(1, 20_000),
    n_shares=st.integers(1, 5),
)
def test_shares_change_nothing(
    seed: int, n_steps: int, n_cells: int, n_lanes: int, n_shares: int
) -> None:
    table = random_table(seed, MAGIC, n_steps, n_cells)
    bits = np.random.default_rng(seed).integers(0, 2, (n_cells, n_lanes), dtype=np.uint8)
    one = run_packed(nor, table, bits)
    assert np.array_equal(one, run_packed(nor, table, bits, n_shares))
    lanes = [0, seed % n_lanes, n_lanes - 1]
    assert np.array_equal(one[:, lanes], expected_state(table, bits[:, lanes]))


def test_a_share_leaves_the_lanes_of_others_alone(kernels: Any) -> None:
    table = np.array([line(magic.NOR, 0, 1, 2), line(magic.INIT1, dst=3)], np.int32)
    before = np.arange(5 * 6 * CHUNK_WORDS, dtype=np.uint64).reshape(5, -1)
    after = before.copy()
    kernels.run_gates_share(table, after, 1, 3)
    own = slice(2 * CHUNK_WORDS, 4 * CHUNK_WORDS)
    others = np.delete(after, np.r_[own], axis=1)
    assert np.array_equal(others, np.delete(before, np.r_[own], axis=1))
    assert np.array_equal(after[2, own], before[2, own] & ~(before[0, own] | before[1, own]))
    assert (after[3, own] == np.uint64(2**64 - 1)).all()
    assert np.array_equal(after[[0, 1, 4]], before[[0, 1, 4]])
