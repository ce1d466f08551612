"""The array of stateful NOR, and its cells without an INIT."""

from typing import Any

import numpy as np
import pytest

from bitpim import programs
from bitpim.counts import Counts
from bitpim.errors import ArrayBoundsError, ConfigError, LayoutError, ProgramError
from bitpim.lookup.nor_array import NorArray
from bitpim.programs.assembler import Assembler
from bitpim.programs.catalog import Widths, catalog_program
from bitpim.programs.program import Field
from bitpim_kernels import layout, magic
from bitpim_kernels import opcodes as op
from bitpim_kernels.magic import MAGIC
from tests.array_programs import LANES

ADD = catalog_program("nor_add", Widths())


def test_a_nor_without_init_ands_with_the_old_content() -> None:
    """Lane by lane: old content and two inputs, all eight; a 0 stays 0 (X-MAGIC)."""
    states = np.arange(8)[None] >> np.arange(3)[:, None] & 1
    old, x, y = states
    array = NorArray(3, 8)
    array.write_cells(0, states)
    array.step(magic.NOR, 1, 2, dst=0)
    assert np.array_equal(array.read_cells(0, 3), [old & (1 - (x | y)), x, y])
    array.write_cells(0, states)
    array.step(magic.NOT, 1, dst=0)
    assert np.array_equal(array.read_cells(0, 1)[0], old & (1 - x))
    array.step(magic.INIT1, dst=0)
    array.step(magic.NOR, 1, 2, dst=0)
    assert np.array_equal(array.read_cells(0, 1)[0], 1 - (x | y))
    array.step(magic.INIT0, dst=0)
    array.step(magic.NOR, 1, 2, dst=0)
    assert not array.read_cells(0, 1).any()
    assert array.counts == Counts(cycles=6, nor_step=6, nor_gate=4, nor_init=2, nor_init_cell=2)


def test_a_step_may_set_many_cells_and_a_nor_may_read_many() -> None:
    x, to = Field("x", 0, 4), Field("to", 4, 3)
    b = Assembler("wide", 7, family=MAGIC)
    b.reads(x)
    b.writes(to)
    b.step(magic.ALSO_INIT1, to=to[0])
    b.step(magic.ALSO_INIT1, to=to[1])
    b.step(magic.INIT1, to=to[2])
    b.step(magic.NOR_OPEN, x[0])
    b.step(magic.NOR_WIDE, x[1], x[2], to=to[0])
    b.step(magic.NOR_OPEN, x[0])
    b.step(magic.NOR_OPEN_MORE, x[3])
    b.step(magic.NOR_WIDE, x[1], x[2], to=to[1])
    array = NorArray(7, 16)
    codes = np.arange(16)
    array.write_codes(x, codes)
    array.run(b.build())
    three, four, none = array.read_cells(4, 3)
    assert np.array_equal(three, codes & 7 == 0)
    assert np.array_equal(four, codes == 0)
    assert none.all()
    assert array.counts == Counts(cycles=3, nor_step=3, nor_gate=2, nor_init=1, nor_init_cell=3)


@pytest.mark.parametrize("n_lanes", LANES)
def test_padding_stays_dark(n_lanes: int) -> None:
    array = NorArray(3, n_lanes)
    array.step(magic.INIT1, dst=0)
    array.step(magic.INIT1, dst=1)
    array.step(magic.NOR, 0, 0, dst=1)
    array.step(magic.INIT1, dst=2)
    array.step(magic.NOT, 1, dst=2)
    ones = np.array([1, 0, 1])[:, None] * np.ones(n_lanes, np.uint8)
    assert np.array_equal(layout.unpack(array.state, n_lanes), ones)  # refuses lit padding
    assert np.array_equal(array.read_cells(0, 3), ones)


def test_many_arrays_run_in_lock_step() -> None:
    array = NorArray(ADD.n_rows, 1000, array_lanes=300)
    array.run(ADD)
    assert array.n_arrays == 4
    assert array.counts["cycles"] == 145
    assert array.counts["nor_step"] == 4 * 145
    assert (array.counts["nor_gate"], array.counts["nor_init"]) == (4 * 72, 4 * 73)
    array.step(magic.INIT1, dst=0)
    assert array.counts["cycles"] == 146
    assert array.counts["nor_init_cell"] == 4 * 74


def test_threads_change_nothing() -> None:
    n_lanes = 64 * 5000 + 3
    rng = np.random.default_rng(0)
    x, y = rng.integers(0, 256, (2, n_lanes))
    states = []
    for n_threads in (1, 2, 3):
        array = NorArray(ADD.n_rows, n_lanes, n_threads=n_threads)
        array.write_codes(ADD.field("x"), x)
        array.write_codes(ADD.field("y"), y)
        array.run(ADD)
        states.append(array.state)
    assert np.array_equal(array.read_codes(ADD.field("sum")), x + y & 255)
    assert np.array_equal(states[0], states[1])
    assert np.array_equal(states[0], states[2])


def test_codes_and_cells_are_written_and_read() -> None:
    array = NorArray(8, 5)
    field = Field("x", 2, 4)
    array.write_codes(field, np.array([-8, -1, 0, 3, 7]))
    assert array.read_codes(field, signed=True).tolist() == [-8, -1, 0, 3, 7]
    assert array.read_codes(field).tolist() == [8, 15, 0, 3, 7]
    packed = array.read_cells(2, 4, packed=True)
    assert packed.tolist() == [[0b11010], [0b11010], [0b10010], [0b00011]]
    array.write_cells(4, packed)
    assert array.read_codes(Field("y", 4, 4)).tolist() == [8, 15, 0, 3, 7]
    assert array.state[:2].tolist() == [[0], [0]]
    assert array.counts == Counts()
    before = array.state
    packed[:] = 0
    array.read_cells(2, 4, packed=True)[:] = 0
    array.state[:] = 0
    assert np.array_equal(array.state, before)  # all were copies


X = Field("x", 0, 4)


@pytest.mark.parametrize(
    ("wrong", "error", "said"),
    [
        (lambda a: NorArray(0, 8), ArrayBoundsError, "need 1 cell or more, got 0"),
        (lambda a: NorArray(8, 0), ArrayBoundsError, "need 1 lane or more, got 0"),
        (
            lambda a: NorArray(8, 8, array_lanes=0),
            ArrayBoundsError,
            "need 1 lane of one array or more, got 0",
        ),
        (lambda a: NorArray(8, 8, n_threads=0), ConfigError, "need 1 thread or more, got 0"),
        (lambda a: NorArray(8, 8, n_threads=-1), ConfigError, "need 1 thread or more, got -1"),
        (
            lambda a: a.write_cells(7, np.zeros((2, 10), np.uint8)),
            ArrayBoundsError,
            r"write_cells\(7\): need cells within 0..7, got 7..8",
        ),
        (
            lambda a: a.write_cells(0, np.zeros((2, 9), np.uint8)),
            ArrayBoundsError,
            r"need bits \(n, 10\) for 10 lanes, got \(2, 9\)",
        ),
        (
            lambda a: a.write_cells(0, np.zeros((2, 2), np.uint64)),
            ArrayBoundsError,
            r"need packed rows \(n, 1\) for 10 lanes, got \(2, 2\)",
        ),
        (
            lambda a: a.write_cells(0, np.full((1, 1), 1 << 10, np.uint64)),
            LayoutError,
            "need zero padding beyond lane 9, got ones",
        ),
        (lambda a: a.write_cells(0, np.full((1, 10), 2)), LayoutError, "2"),
        (lambda a: a.read_cells(-1, 2), ArrayBoundsError, "got -1..0"),
        (lambda a: a.write_codes(X, np.zeros(9, int)), ArrayBoundsError, r"need \(10,\) integers"),
        (lambda a: a.write_codes(X, np.zeros(10)), ArrayBoundsError, r"got \(10,\) float64"),
        (lambda a: a.write_codes(X, np.full(10, 16)), LayoutError, "16"),
        (
            lambda a: a.read_codes(Field("x", 6, 4)),
            ArrayBoundsError,
            r"read_codes\(x\): need cells within 0..7, got 6..9",
        ),
        (lambda a: a.step(magic.NOR, 0, 8, dst=1), ProgramError, "need a row in 0..7, got 8"),
        (lambda a: a.step(magic.NOT, 1, dst=1), ProgramError, "need an output apart from the"),
        (lambda a: a.step(op.ADD, 0, 1, dst=2), ProgramError, "need an opcode of the magic family"),
        (lambda a: a.step(magic.ALSO_INIT1, dst=2), ProgramError, "need a step of one line"),
        (lambda a: a.step(magic.NOR_WIDE, 0, 1, dst=2), ProgramError, "need a step of one line"),
        (
            lambda a: a.run(programs.copy(Field("x", 0, 2), Field("y", 2, 2))),
            ProgramError,
            r"run\(copy\): need a program of the magic family",
        ),
        (lambda a: a.run(ADD), ArrayBoundsError, r"run\(nor_add\): need 29 cells, got 8; make"),
    ],
)
def test_what_cannot_be_is_one_line(wrong: Any, error: type[Exception], said: str) -> None:
    array = NorArray(8, 10)
    with pytest.raises(error, match=said) as caught:
        wrong(array)
    assert "\n" not in str(caught.value)
    assert array.counts == Counts()
    assert not array.state.any()


def test_a_program_runs_where_its_cells_are() -> None:
    with pytest.raises(ArrayBoundsError, match="need 29 cells, got 28"):
        NorArray(28, 1).run(ADD)
    array = NorArray(29, 1)
    array.run(ADD)
    assert array.counts == ADD.counts
