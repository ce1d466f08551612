"""Stateful NOR line by line: equal to one bit at a time, and strict about lines."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bitpim.counts import Counts
from bitpim.errors import ConfigError, LayoutError, ProgramError, TraceDataError
from bitpim.golden.replaying import replay_program
from bitpim.golden.stepper import Stepper
from bitpim.lookup.nor_array import NorArray
from bitpim.lookup.stepped_nor import PORT_READ, PORT_WRITE, SteppedNor
from bitpim.programs.catalog import Widths, catalog_program
from bitpim.programs.program import Program
from bitpim.programs.repacking import repack
from bitpim.recorded import Recording
from bitpim_kernels import magic
from bitpim_kernels.layout import pack, to_planes, unpack
from bitpim_kernels.magic import MAGIC
from bitpim_traces.program_trace.reader import open_program
from bitpim_traces.program_trace.records import ProgramTrace, RowField
from bitpim_traces.program_trace.writer import write_program
from bitpim_traces.records import TensorRecord
from tests.naive.bitline import run_steps
from tests.random_tables import random_table

N_CELLS = 6
LANES = (1, 63, 64, 65, 130)
SEEDS = st.integers(0, 2**32 - 1)
ADD = catalog_program("nor_add", Widths(bits=8))


def tensor(values: Any) -> TensorRecord:
    return TensorRecord.of(np.asarray(values), axes="", role="", units="1")


def random_lines(seed: int, n: int) -> Any:
    """Draw steps of the family and the array's own, and put all their lines in any order."""
    rng = np.random.default_rng(seed)
    own = []
    for cell in rng.integers(0, N_CELLS, n // 3).tolist():
        write = (PORT_WRITE, -1, -1, cell, 0)
        own.append(write if rng.random() < 0.5 else (PORT_READ, cell, -1, -1, 0))
    table = random_table(seed, MAGIC, n, N_CELLS)
    return rng.permutation(np.concatenate([table, np.array(own, np.int32).reshape(-1, 5)]))


@settings(max_examples=40, deadline=None)
@given(seed=SEEDS, n_lanes=st.sampled_from(LANES))
def test_every_line_leaves_what_one_bit_at_a_time_leaves(seed: int, n_lanes: int) -> None:
    """Lines of steps in any order, too: what opens an input waits for what ends the step."""
    rng = np.random.default_rng(seed)
    array = SteppedNor(N_CELLS, n_lanes)
    start = rng.integers(0, 2, (N_CELLS, n_lanes), np.uint8)
    array.load("rows", pack(start))
    lanes, latches = start.T.tolist(), [{"W": 0} for _ in range(n_lanes)]
    for number, line in enumerate(random_lines(seed, 24)):
        code, a, _, dst, _ = line.tolist()
        uses = code in (PORT_WRITE, PORT_READ)
        bits = rng.integers(0, 2, (int(uses), n_lanes), np.uint8)
        array.check(line[None], number)
        out = unpack(array.run(line[None], pack(bits)), n_lanes)
        for lane, (cells, latch) in enumerate(zip(lanes, latches, strict=True)):
            if code == PORT_WRITE:
                cells[dst] = int(bits[0, lane])
            elif code == PORT_READ:
                assert out[0, lane] == cells[a]
            else:
                run_steps(MAGIC, [line.tolist()], cells, latch)
        assert unpack(array.view("rows"), n_lanes).T.tolist() == lanes
        assert unpack(array.view("opened"), n_lanes).tolist() == [latch["W"] for latch in latches]


@settings(max_examples=30, deadline=None)
@given(seed=SEEDS, n_lanes=st.sampled_from(LANES))
def test_many_lines_at_once_are_the_same_as_one_by_one(seed: int, n_lanes: int) -> None:
    lines = random_lines(seed, 40)
    uses = np.isin(lines[:, 0], (PORT_WRITE, PORT_READ))
    rows = pack(np.random.default_rng(seed).integers(0, 2, (uses.sum(), n_lanes), np.uint8))
    together, apart = (SteppedNor(N_CELLS, n_lanes, array_columns=50) for _ in range(2))
    out, taken = together.run(lines, rows), 0
    for line, used in zip(lines, uses.tolist(), strict=True):
        row = apart.run(line[None], rows[taken : taken + used])
        assert np.array_equal(row, out[taken : taken + used])
        taken += used
    for form in together.states:
        view = together.view(form.name)
        assert np.array_equal(view, apart.view(form.name))
        assert (view.shape, view.dtype) == (form.shape, form.stored)
    assert together.counts == apart.counts
    assert (out.shape[1:], out.dtype) == (together.port.shape, together.port.stored)


@pytest.mark.parametrize("lanes", LANES)
@pytest.mark.parametrize(
    "program", [ADD, catalog_program("nor_multiply", Widths(4, 4)), repack(ADD, 30, ["sum"])]
)
def test_programs_leave_what_the_array_leaves_and_count_the_same(
    program: Program, lanes: int
) -> None:
    rng = np.random.default_rng(lanes)
    start = rng.integers(0, 2, (program.n_rows, lanes), np.uint8)
    whole = NorArray(program.n_rows, lanes, array_lanes=60)
    stepped = SteppedNor(program.n_rows, lanes, array_columns=60)
    whole.write_cells(0, start)
    stepped.load("rows", pack(start))
    whole.run(program)
    stepped.check(program.table, 0)
    for line in program.table:
        stepped.run(line[None], np.empty((0, *stepped.port.shape), np.uint64))
    assert np.array_equal(whole.state, stepped.view("rows"))
    assert whole.counts == stepped.counts


def test_a_nor_of_many_cells_is_one_cycle() -> None:
    table = np.array(
        [
            (magic.ALSO_INIT1, -1, -1, 4, 0),
            (magic.INIT1, -1, -1, 5, 0),
            (magic.NOR_OPEN, 0, -1, -1, 0),
            (magic.NOR_OPEN_MORE, 1, -1, -1, 0),
            (magic.NOR_WIDE, 2, 3, 5, 0),
        ],
        np.int32,
    )
    array = SteppedNor(6, 16)
    bits = [np.arange(16) >> k & 1 if k < 4 else np.zeros(16, np.int64) for k in range(6)]
    array.load("rows", pack(np.stack(bits)))
    array.check(table, 0)
    array.run(table, np.empty((0, 1), np.uint64))
    assert array.view("rows")[4:, 0].tolist() == [0xFFFF, 1]
    assert array.view("opened")[0] == 0xEEEE
    assert array.counts == Counts(cycles=2, nor_step=2, nor_gate=1, nor_init=1, nor_init_cell=2)
    three = SteppedNor(6, 16, array_columns=7)  # arrays in lock step
    three.run(table, np.empty((0, 1), np.uint64))
    assert three.counts == array.counts.on_arrays(3) != array.counts


def recorded(after: str = "end") -> ProgramTrace:
    """Record 70 sums of two numbers, written and read through the port."""
    rng = np.random.default_rng(3)
    x, y = rng.integers(0, 256, (2, 70))
    array = SteppedNor(ADD.n_rows, 70)
    recording = Recording(array, array.made_of, after=after)
    for name, codes in (("x", x), ("y", y)):
        recording.mark(name)
        for row, bits in zip(ADD.field(name), to_planes(codes, 8), strict=True):
            recording.step(PORT_WRITE, dst=row.row, port=bits)
    recording.mark("add")
    recording.steps(ADD.table)
    for row in ADD.field("sum"):
        recording.step(PORT_READ, row.row)
    fields = [RowField(field.name, field.start, field.width) for field in ADD.fields]
    return recording.finish("add", fields)


def test_a_recording_replays_from_a_file(tmp_path: Path) -> None:
    program = recorded("every")
    write_program(program, tmp_path / "add.h5")
    found = replay_program(open_program(tmp_path / "add.h5"))
    assert found.equal and found.n_states == program.n_steps
    at = Stepper(program)
    at.run_to_end()
    total = at.number("x") + at.number("y") & 255
    assert at.number("sum").tolist() == total.tolist()
    assert at.row("sum[0]").tolist() == (total & 1).tolist()


def test_a_flipped_bit_is_found_where_it_goes_out() -> None:
    program = recorded()
    assert program.port is not None
    rows = program.port.read().copy()
    rows[-3, 1] ^= np.uint64(1 << 5)
    found = replay_program(replace(program, port=tensor(rows))).difference
    assert found is not None
    assert (found.step, found.state, found.place) == (program.n_steps - 3, "port", (69,))
    rows = program.port.read().copy()
    rows[0, 0] ^= np.uint64(1)  # x[0] of lane 0
    found = replay_program(replace(program, port=tensor(rows))).difference
    assert found is not None and (found.step, found.place) == (program.n_steps - 8, (0,))


@pytest.mark.parametrize(
    "line",
    [
        (PORT_WRITE, -1, -1, 6, 0),
        (PORT_WRITE, 0, -1, 1, 0),
        (PORT_WRITE, -1, 0, 1, 0),
        (PORT_WRITE, -1, -1, 1, 1),
        (PORT_READ, -1, -1, -1, 0),
        (PORT_READ, 0, -1, 0, 0),
        (magic.NOR, 0, 1, 1, 0),
        (magic.NOR, 0, 6, 1, 0),
        (magic.NOR_OPEN, 0, -1, 1, 0),
        (magic.INIT1, -1, -1, 2, 1),
        (0, -1, -1, 0, 0),
        (2**31 - 1, 0, 0, 0, 0),
    ],
)
def test_a_line_that_it_cannot_take_is_named(line: tuple[int, ...]) -> None:
    lines = np.array([(magic.INIT1, -1, -1, 0, 0), line], np.int32)
    with pytest.raises(ProgramError, match=r"^step 8"):
        SteppedNor(6, 70).check(lines, 7)


def test_padding_is_refused() -> None:
    array = SteppedNor(6, 70)
    rows = np.array([[0, 1], [0, 64]], np.uint64)
    with pytest.raises(LayoutError, match="port row 4: need zero padding beyond lane 69"):
        array.check_port(rows, 3)
    with pytest.raises(LayoutError, match="state opened: need zero padding beyond lane 69"):
        array.load("opened", rows[1])


def test_an_init_lights_no_lane_beyond_the_last() -> None:
    array = SteppedNor(2, 70)
    array.run(np.array([(magic.INIT1, -1, -1, 0, 0)], np.int32), np.empty((0, 2), np.uint64))
    assert array.view("rows").tolist() == [[2**64 - 1, 63], [0, 0]]


def test_what_a_line_does_is_told() -> None:
    array = SteppedNor(6, 70)
    told = [
        array.told(line, {2: "x[0]"})
        for line in (
            (magic.NOR, 2, 3, 4, 0),
            (magic.INIT1, -1, -1, 2, 0),
            (magic.NOR_OPEN, 2, -1, -1, 0),
            (magic.NOR_WIDE, 1, 2, 3, 0),
            (PORT_WRITE, -1, -1, 2, 0),
            (PORT_READ, 3, -1, -1, 0),
        )
    ]
    assert told == [
        "NOR: row 4 = row 4 & ~(x[0] | row 3)",
        "INIT1: x[0] = 1",
        "NOR_OPEN: W = x[0]",
        "NOR_WIDE: row 3 = row 3 & ~(W | row 1 | x[0])",
        "PORT_WRITE: x[0] = port",
        "PORT_READ: port = row 3",
    ]


@settings(max_examples=40, deadline=None)
@given(seed=SEEDS)
def test_changed_programs_are_one_error_or_run(seed: int) -> None:
    rng = np.random.default_rng(seed)
    program = recorded()
    steps = program.steps.read().copy()
    numbers = [-(2**31), -1, 0, 1, 7, 29, 64, 65, 70, 71, 72, 4096, 4097, 2**31 - 1]
    steps[int(rng.integers(len(steps))), int(rng.integers(5))] = rng.choice(numbers)
    try:
        replay_program(replace(program, steps=tensor(steps)))
    except (ConfigError, LayoutError, ProgramError, TraceDataError) as error:
        assert "\n" not in str(error)
