"""The crossbar step by step: equal to one cell at a time, and strict about its steps."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bitpim.counts import Counts
from bitpim.crossbar.adc import Adc
from bitpim.crossbar.array import Crossbar, CrossbarGeometry
from bitpim.crossbar.stepped import (
    CLEAR,
    DRIVE,
    OUTPUT,
    PROGRAM,
    READ,
    READ_PACKED,
    READ_UNLESS_ZERO,
    SHIFT_ADD,
    SHIFT_SUBTRACT,
    SteppedCrossbar,
)
from bitpim.crossbar.unit_lists import UnitLists
from bitpim.errors import (
    AccumulatorError,
    BitpimError,
    ConfigError,
    LayoutError,
    OutOfMemoryError,
    ProgramError,
)
from bitpim.golden.arrays import array_of
from bitpim.golden.replaying import replay_program
from bitpim_kernels.layout import unpack
from bitpim_traces.program_trace.records import ProgramTrace
from bitpim_traces.records import TensorRecord
from tests.crossbar_programs import drawn, random_crossbar_program

Ints = Any
SEEDS = st.integers(0, 2**32 - 1)
GEOMETRY = CrossbarGeometry(6, 4, cell_bits=2, ou_rows=2, ou_columns=3, dac_bits=2)


def ints(*numbers: int) -> Ints:
    return np.array(numbers, np.int64)


LISTS = UnitLists(  # rows 4, 1 and all; columns 0, 2 and 1, 3, 2
    ints(0, 2, 8),
    ints(4, 1, 0, 1, 2, 3, 4, 5),
    ints(0, 2, 5),
    ints(0, 2, 1, 3, 2),
    ints(0, 1, 1, 1, 0),
    ints(1, -4, 1, 2, 8),
)
TABLE = Adc().table(0, GEOMETRY.largest_sum).astype(np.int64)


def small(**changed: Any) -> SteppedCrossbar:
    made: dict[str, Any] = {"geometry": GEOMETRY, "lists": LISTS, "adc_table": TABLE, "n_sums": 2}
    return SteppedCrossbar(**made | changed)


def take(array: SteppedCrossbar, *steps: tuple[int, ...], port: Any = ()) -> Ints:
    table = np.array(steps, np.int32)
    array.check(table, 0)
    rows = np.zeros((len(port), array.port.sizes[0]), np.int64)
    for row, numbers in zip(rows, port, strict=True):
        row[: len(numbers)] = numbers
    return array.run(table, rows)


def tensor(values: Any) -> TensorRecord:
    return TensorRecord.of(np.asarray(values), axes="", role="", units="1")


@settings(max_examples=60, deadline=None)
@given(seed=SEEDS)
def test_every_step_leaves_what_one_cell_at_a_time_leaves(seed: int) -> None:
    found = drawn(seed)
    array, naive, taken = found.array(), found.naive(), 0
    for number, step in enumerate(found.steps):
        uses = int(step[0]) in (PROGRAM, DRIVE, OUTPUT)
        rows = found.port[taken : taken + uses]
        taken += uses
        array.check(step[None], number)
        array.check_port(rows, taken)
        out = array.run(step[None], rows)
        went = naive.take(step.tolist(), rows[0].tolist() if uses else None)
        if uses:
            assert out[0].tolist() == (rows[0].tolist() if went is None else went)
        assert array.view("cells").tolist() == naive.cells
        assert array.view("inputs").tolist() == naive.inputs
        opened = unpack(array.view("opened")[None], found.geometry.rows)[0]
        assert opened.tolist() == naive.opened
        assert array.view("partial_sums").tolist() == naive.partial_sums
        assert array.view("codes").tolist() == naive.codes
        assert array.view("sums").tolist() == naive.sums
    assert array.counts.to_dict() == {e: n for e, n in sorted_like(naive.counts).items() if n}


def sorted_like(counts: Any) -> dict[str, int]:
    return Counts(**counts).to_dict()


@settings(max_examples=30, deadline=None)
@given(seed=SEEDS)
def test_many_steps_at_once_are_the_same_as_one_by_one(seed: int) -> None:
    found = drawn(seed)
    together, apart, taken = found.array(), found.array(), 0
    out = together.run(found.steps, found.port)
    for step in found.steps:
        uses = int(step[0]) in (PROGRAM, DRIVE, OUTPUT)
        row = apart.run(step[None], found.port[taken : taken + uses])
        assert np.array_equal(row, out[taken : taken + uses])
        taken += uses
    for form in together.states:
        assert np.array_equal(together.view(form.name), apart.view(form.name))
        view = together.view(form.name)
        assert (view.shape, view.dtype) == (form.shape, form.stored)
    assert together.counts == apart.counts
    assert (out.shape[1:], out.dtype) == (together.port.shape, together.port.stored)


@settings(max_examples=40, deadline=None)
@given(seed=SEEDS)
def test_reads_are_those_of_the_crossbar(seed: int) -> None:
    found = drawn(seed)
    if found.spikes:
        found = replace(found, spikes=False)
    crossbar, array = Crossbar(found.geometry, found.adc, paired=found.paired), found.array()
    taken = 0
    for step in found.steps.tolist():
        uses = step[0] in (PROGRAM, DRIVE, OUTPUT)
        rows = found.port[taken : taken + uses]
        taken += uses
        array.run(np.array([step], np.int32), rows)
        if step[0] == PROGRAM:
            crossbar.program(rows[:, : found.geometry.columns], row=step[3])
        elif step[0] in (READ, READ_UNLESS_ZERO):
            opened = found.rows[step[1]]
            columns = [column for column, _, _ in found.columns[step[2]]]
            inputs = array.view("inputs")[opened]
            how = step[0] == READ_UNLESS_ZERO
            readings = crossbar.read_ou(inputs, opened, columns, skip_zero=how)
            assert array.view("codes")[columns].tolist() == readings.tolist()
        elif step[0] == READ_PACKED and step[3] == 0:
            opened = found.rows[step[1]]
            columns = [column for column, _, _ in found.columns[step[2]]]
            inputs = array.view("inputs")[opened]
            before = crossbar.counts
            readings = crossbar.read_packed(inputs, opened, columns)
            crossbar.counts = before
            if np.count_nonzero(inputs) <= found.geometry.unit_rows:
                assert array.view("codes")[columns].tolist() == readings.tolist()
    if READ_PACKED not in found.steps[:, 0]:
        mine, kept = array.counts.to_dict(), ("cycles", "shift_add")
        assert Counts(**{e: n for e, n in mine.items() if e not in kept}) == crossbar.counts


def test_a_read_worked_out_by_hand() -> None:
    array = small(adc_table=np.minimum(TABLE, 5), converter="3")
    take(
        array,
        (PROGRAM, -1, -1, 1, 0),
        (PROGRAM, -1, -1, 4, 0),
        (DRIVE, -1, -1, -1, 0),
        port=[(1, 2, 3, 0), (0, 3, 2, 1), (3, 1, 3, 3, 2, 3)],
    )
    take(array, (READ, 0, 1, -1, 0))
    assert array.view("partial_sums").tolist() == [0, 2 + 6, 3 + 4, 2]
    assert array.view("codes").tolist() == [0, 5, 5, 2]  # of 5 at most
    assert unpack(array.view("opened")[None], 6).tolist() == [[0, 1, 0, 0, 1, 0]]
    take(array, (SHIFT_ADD, 1, 1, -1, 0), (SHIFT_SUBTRACT, 0, 1, -1, 0))
    assert array.view("sums").tolist() == [8 * 5, 5 + 2 * 2]
    out = take(
        array, (READ, 0, 0, -1, 0), (SHIFT_ADD, 2, 0, -1, 0), (OUTPUT, 0, 2, -1, 0), port=[()]
    )
    assert out.tolist() == [[44, 9 - 4 * 4 * 5, 0, 0, 0, 0]]
    take(array, (CLEAR, -1, -1, -1, 0), (READ_UNLESS_ZERO, 0, 1, -1, 0))
    assert array.view("sums").tolist() == [0, 0] and array.view("codes").tolist() == [1, 5, 5, 2]
    assert array.counts == Counts(
        cycles=3, ou_activation=3, ou_rows=6, dac_drive=6, ou_cols=8, ou_cells=16, adc_conv_3=8,
        shift_add=3 + 3 + 2,
    )  # fmt: skip


def test_reads_that_are_left_out_give_zeros_and_open_nothing() -> None:
    array = small()
    take(
        array, (PROGRAM, -1, -1, 4, 0), (DRIVE, -1, -1, -1, 0), port=[(3, 3, 3, 3), (1, 0, 1, 0, 2)]
    )
    take(array, (READ_PACKED, 1, 0, 0, 0))
    assert unpack(array.view("opened")[None], 6).tolist() == [[1, 0, 1, 0, 0, 0]]
    take(array, (READ_PACKED, 1, 0, 1, 0), (SHIFT_ADD, 0, 0, -1, 0))
    assert array.view("codes").tolist() == [6, 0, 6, 0]
    assert array.view("sums").tolist() == [6, -24]
    take(array, (READ_PACKED, 1, 0, 2, 0), (SHIFT_ADD, 0, 0, -1, 0))
    assert array.view("codes").tolist() == [0, 0, 0, 0] and not array.view("opened").any()
    assert array.view("partial_sums").tolist() == [0, 0, 0, 0]
    take(array, (DRIVE, -1, -1, -1, 0), (READ_UNLESS_ZERO, 0, 1, -1, 0), port=[(1, 0, 1, 1, 0)])
    assert array.counts["ou_skipped"] == 2 and array.counts["cycles"] == 2
    assert array.counts["shift_add"] == 2 and array.view("sums").tolist() == [6, -24]


GOOD = (READ, 0, 1, -1, 0)


@pytest.mark.parametrize(
    "step",
    [
        (PROGRAM, -1, -1, 6, 0),
        (PROGRAM, -1, -1, -1, 0),
        (PROGRAM, 0, -1, 1, 0),
        (PROGRAM, -1, 0, 1, 0),
        (PROGRAM, -1, -1, 1, 1),
        (DRIVE, -1, -1, 0, 0),
        (DRIVE, -1, -1, -1, -1),
        (READ, 1, 0, -1, 0),  # more rows than a unit has
        (READ_UNLESS_ZERO, 1, 0, -1, 0),
        (READ, 2, 0, -1, 0),
        (READ, -1, 0, -1, 0),
        (READ, 0, 2, -1, 0),
        (READ, 0, -1, -1, 0),
        (READ, 0, 0, 0, 0),
        (READ_PACKED, 1, 0, 3, 0),
        (READ_PACKED, 0, 0, 1, 0),
        (READ_PACKED, 1, 0, -1, 0),
        (SHIFT_ADD, 16, 0, -1, 0),
        (SHIFT_ADD, -1, 0, -1, 0),
        (SHIFT_SUBTRACT, 0, 2, -1, 0),
        (SHIFT_ADD, 0, 0, 0, 0),
        (OUTPUT, 2, 1, -1, 0),
        (OUTPUT, -1, 1, -1, 0),
        (OUTPUT, 0, 0, -1, 0),
        (OUTPUT, 1, 2, -1, 0),
        (OUTPUT, 0, 2**31 - 1, -1, 0),
        (OUTPUT, 0, 2, 0, 0),
        (CLEAR, 0, -1, -1, 0),
        (1023, -1, -1, -1, 0),
        (CLEAR + 1, -1, -1, -1, 0),
        (-(2**31), 2**31 - 1, -(2**31), 2**31 - 1, 0),
    ],
)
def test_a_step_that_it_cannot_take_is_named(step: tuple[int, ...]) -> None:
    steps = np.array([GOOD, GOOD, step, GOOD], np.int32)
    with pytest.raises(ProgramError, match=r"^step 102: need a step of the array crossbar"):
        small().check(steps, 100)


def test_more_sums_than_wires_go_out_in_parts() -> None:
    lists = replace(LISTS, column_sums=ints(6, 7, 8, 0, 1))
    array = small(lists=lists, n_sums=9)
    with pytest.raises(ProgramError, match="step 0"):
        take(array, (OUTPUT, 0, 7, -1, 0), port=[()])
    array.load("sums", np.arange(9))
    given = [(9,) * 6] * 2  # what a row held before does not show
    out = take(array, (OUTPUT, 0, 6, -1, 0), (OUTPUT, 6, 3, -1, 0), port=given)
    assert out.tolist() == [[0, 1, 2, 3, 4, 5], [6, 7, 8, 0, 0, 0]]


def test_a_read_cannot_be_left_out_where_zero_does_not_read_as_zero() -> None:
    array = small(adc_table=TABLE + 1)
    take(array, GOOD)
    for step in [(READ_UNLESS_ZERO, 0, 1, -1, 0), (READ_PACKED, 1, 1, 0, 0)]:
        with pytest.raises(ProgramError, match="step 1: need an ADC that reads 0 as 0"):
            take(array, GOOD, step)


@pytest.mark.parametrize(
    ("step", "row", "words"),
    [
        ((PROGRAM, -1, -1, 0, 0), (0, 0, 4), "port row 3: PROGRAM needs 4 numbers of 0 to 3"),
        ((PROGRAM, -1, -1, 0, 0), (0, 0, -1), "port row 3: PROGRAM"),
        ((PROGRAM, -1, -1, 0, 0), (0, 0, 0, 0, 1), "port row 3: PROGRAM"),
        ((DRIVE, -1, -1, -1, 0), (0, 0, 0, 0, 0, 4), "port row 3: DRIVE needs 6 numbers of 0 to 3"),
        ((DRIVE, -1, -1, -1, 0), (-(2**63),), "port row 3: DRIVE"),
    ],
)
def test_a_port_row_that_nothing_takes_is_named(
    step: tuple[int, ...], row: tuple[int, ...], words: str
) -> None:
    array = small()
    take(array, (PROGRAM, -1, -1, 5, 0), port=[(1, 1, 1, 1)])
    steps = (PROGRAM, -1, -1, 1, 0), (OUTPUT, 0, 1, -1, 0), step
    with pytest.raises(LayoutError, match=words):
        take(array, *steps, port=[(2, 2), (-99,), row])
    assert not array.view("cells")[1].any()


def test_cells_that_are_paired_take_negative_levels() -> None:
    most = GEOMETRY.largest_sum
    array = small(adc_table=np.arange(-most, most + 1), paired=True)
    rows = [(-3, 3, -1, 0), (-3, -3, -1, 0), (0, 3, 0, 0, 3)]
    take(array, (PROGRAM, -1, -1, 1, 0), (PROGRAM, -1, -1, 4, 0), (DRIVE, -1, -1, -1, 0), port=rows)
    take(array, (READ, 0, 0, -1, 0), (READ, 0, 1, -1, 0))
    assert array.view("codes").tolist() == [-18, 0, -6, 0]
    with pytest.raises(LayoutError, match="-3 to 3"):
        take(array, (PROGRAM, -1, -1, 4, 0), port=[(-4,)])


@pytest.mark.parametrize(
    ("name", "values", "words"),
    [
        ("cells", np.full((6, 4), 4), "state cells: need 0 to 3, got 4 to 4"),
        ("cells", np.full((6, 4), -1), "state cells"),
        ("inputs", np.array([0, 0, 0, 0, 0, 4]), "state inputs: need 0 to 3, got 0 to 4"),
        ("codes", np.array([0, 0, 0, 2**31]), "state codes"),
        ("opened", np.array([1 << 6], np.uint64), "state opened: need zero padding beyond row 5"),
    ],
)
def test_a_state_that_it_cannot_have_is_refused(name: str, values: Any, words: str) -> None:
    with pytest.raises(LayoutError, match=words):
        small().load(name, values)


def test_a_state_that_is_loaded_is_what_it_holds() -> None:
    array = small()
    for name, values in {
        "cells": np.full((6, 4), 3),
        "inputs": ints(0, 1, 2, 3, 0, 1),
        "opened": np.array([0b101101], np.uint64),
        "codes": ints(-7, 0, 1, 2),
        "sums": ints(-(2**62), 5),
    }.items():
        array.load(name, values)
        assert np.array_equal(array.view(name), values)


def test_a_sum_beyond_64_bits_is_refused_not_wrapped() -> None:
    array = small()
    array.load("codes", np.full(4, 2**31 - 1))
    array.load("sums", ints(2**63 - 2**40, -5))
    with pytest.raises(AccumulatorError, match="need sums within 64 bits"):
        take(array, (SHIFT_ADD, 15, 1, -1, 0))
    assert array.view("sums").tolist() == [2**63 - 2**40, -5]
    take(array, (CLEAR, -1, -1, -1, 0), *[(SHIFT_ADD, 15, 1, -1, 0)] * 3)
    array.load("sums", ints(-(2**63), 0))
    with pytest.raises(AccumulatorError):
        take(array, (SHIFT_ADD, 0, 1, -1, 0))
    array.load("sums", ints(0, 0))
    steps = [(SHIFT_ADD, 15, 1, -1, 0), (SHIFT_SUBTRACT, 15, 1, -1, 0)] * 20_000
    take(array, *steps)  # what could be is more than 64 bits, what is there is not
    assert array.view("sums").tolist() == [0, 0]


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"row_starts": ints(0, 2, 7)}, "constant row_starts: need starts that rise from 0 to 8"),
        ({"row_starts": ints(1, 2, 8)}, "constant row_starts"),
        ({"row_starts": ints(0, 2, 2, 8)}, "constant row_starts"),
        ({"row_starts": ints()}, "constant row_starts"),
        ({"row_starts": ints(0, 9, 8)}, "constant row_starts"),
        ({"row_starts": np.zeros((2, 2), np.int64)}, "constant row_starts: need one axis, got 2"),
        ({"row_lists": ints(4, 1, 0, 1, 2, 3, 4, 6)}, "constant row_lists: need rows 0 to 5"),
        ({"row_lists": ints(4, -1, 0, 1, 2, 3, 4, 5)}, "constant row_lists"),
        ({"row_lists": ints(4, 4, 0, 1, 2, 3, 4, 5)}, "constant row_lists: need different rows"),
        ({"column_lists": ints(0, 0, 1, 3, 2)}, "constant column_lists: need different columns"),
        ({"column_lists": ints(0, 4, 1, 3, 2)}, "constant column_lists: need columns 0 to 3"),
        (
            {"column_starts": ints(0, 1, 5), "column_lists": ints(0, 2, 1, 3, 0)},
            "constant column_starts: need lists of at most 3",
        ),
        ({"column_sums": ints(0, 1, 1, 1)}, "constant column_sums: need one for each of 5"),
        ({"column_sums": ints(0, 1, 2, 1, 0)}, "constant column_sums: need sums 0 to 1"),
        ({"column_sums": ints(0, 1, -1, 1, 0)}, "constant column_sums"),
        ({"column_factors": ints(1, 2, 3, 4, 8)}, "constant column_factors: need powers of two"),
        ({"column_factors": ints(1, 0, 1, 4, 8)}, "constant column_factors"),
        ({"column_factors": ints(1, 2**16, 1, 4, 8)}, "constant column_factors"),
        ({"column_factors": ints(1, 1)}, "constant column_factors: need one for each"),
        ({"column_factors": ints(1, -(2**63), 1, 4, 8)}, "constant column_factors"),
    ],
)
def test_lists_that_do_not_go_together_are_refused(changed: dict[str, Ints], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        small(lists=replace(LISTS, **changed))


@pytest.mark.parametrize(
    ("changed", "error", "words"),
    [
        ({"adc_table": TABLE[1:]}, ConfigError, "partial sum 0 to 18, so shape"),
        ({"paired": True}, ConfigError, "partial sum -18 to 18, so shape"),
        ({"adc_table": TABLE + 2**31}, ConfigError, "constant adc_table: need readings of 32 bits"),
        ({"adc_table": TABLE - 2**31 - 1}, ConfigError, "constant adc_table"),
        ({"counted_as": "spike"}, ConfigError, "need dac_bits 1 where reads count as spikes"),
        (
            {"geometry": CrossbarGeometry(2**16, 2**16, 2, 2, 3, 2)},
            OutOfMemoryError,
            "need at most 268435456 cells",
        ),
    ],
)
def test_what_does_not_go_together_is_refused(
    changed: dict[str, Any], error: type[BitpimError], words: str
) -> None:
    with pytest.raises(error, match=words):
        small(**changed)


def test_what_a_step_does_is_told() -> None:
    array, names = small(), {2: "x[2]"}
    told = {
        (PROGRAM, -1, -1, 2, 0): "PROGRAM: cells of x[2] = port",
        (PROGRAM, -1, -1, 3, 0): "PROGRAM: cells of row 3 = port",
        (DRIVE, -1, -1, -1, 0): "DRIVE: inputs = port",
        (READ, 0, 1, -1, 0): "READ: rows 4, 1, columns 1, 3, 2",
        (READ_UNLESS_ZERO, 0, 0, -1, 0): "READ_UNLESS_ZERO: rows 4, 1, columns 0, 2",
        (READ_PACKED, 1, 0, 2, 0): (
            "READ_PACKED: rows 0 to 5, part 2 of those with an input, columns 0, 2"
        ),
        (SHIFT_ADD, 3, 0, -1, 0): "SHIFT_ADD: sums += codes of columns 0, 2 * factors << 3",
        (SHIFT_SUBTRACT, 0, 0, -1, 0): (
            "SHIFT_SUBTRACT: sums -= codes of columns 0, 2 * factors << 0"
        ),
        (OUTPUT, 0, 2, -1, 0): "OUTPUT: port = sums 0 to 1",
        (CLEAR, -1, -1, -1, 0): "CLEAR: sums = 0",
    }
    for step, text in told.items():
        assert array.told(step, names) == text
    many = UnitLists(ints(0, 10, 11), ints(*range(9), 10, 7), ints(0, 1), ints(0), ints(0), ints(1))
    wide = CrossbarGeometry(11, 1, 1)
    table = np.arange(wide.largest_sum + 1)
    array = SteppedCrossbar(wide, many, table, n_sums=1)
    assert array.told((READ, 0, 0, -1, 0), {}) == (
        "READ: rows 0, 1, 2, 3, 4, 5, 6, 7 and 2 more, columns 0"
    )
    assert array.told((READ, 1, 0, -1, 0), {}) == "READ: rows 7, columns 0"


@pytest.mark.parametrize("seed", range(6))
def test_a_recorded_program_replays_on_an_array_made_of_it(seed: int) -> None:
    program = random_crossbar_program(seed, after="every")
    made = array_of(program)
    assert isinstance(made, SteppedCrossbar)
    assert dict(made.made_of) == dict(program.parameters)
    assert {n: t.tolist() for n, t in made.made_with.items()} == {
        n: t.read().tolist() for n, t in program.constants.items()
    }
    run = replay_program(program)
    assert run.equal and run.n_states == run.n_steps == program.n_steps


@pytest.mark.parametrize("seed", range(8))
def test_a_level_or_digit_changed_is_found_at_its_step(seed: int) -> None:
    program = random_crossbar_program(seed, after="every")
    assert program.port is not None
    steps, port = program.steps.read(), program.port.read().copy()
    uses = np.flatnonzero(np.isin(steps[:, 0], (PROGRAM, DRIVE, OUTPUT)))
    for code, state in ((PROGRAM, "cells"), (DRIVE, "inputs"), (OUTPUT, "port")):
        for row in np.flatnonzero(steps[uses, 0] == code)[:1]:
            changed = port.copy()
            changed[row, 0] = 1 - changed[row, 0] if changed[row, 0] in (0, 1) else 0
            found = replay_program(replace(program, port=tensor(changed))).difference
            assert found is not None and (found.step, found.state) == (uses[row], state)
            assert found.place[-1] == 0


@settings(max_examples=300, deadline=None)
@given(seed=st.integers(0, 20), changes=st.integers(0, 2**32 - 1))
def test_whatever_a_program_says_it_runs_or_one_error_says_why_not(seed: int, changes: int) -> None:
    mutant = _mutated(random_crossbar_program(seed, n_steps=10), np.random.default_rng(changes))
    try:
        replay_program(mutant)
    except BitpimError as error:
        assert str(error)


def _mutated(program: ProgramTrace, rng: np.random.Generator) -> ProgramTrace:
    """Change one to three numbers of parameters, constants, steps, port or states."""
    for _ in range(int(rng.integers(1, 4))):
        number = int(rng.choice([-(2**31), -2, -1, 0, 1, 2, 3, 5, 17, 255, 2**16, 2**31 - 1]))
        where = rng.choice(["parameters", "constants", "steps", "port", "state"])
        if where == "parameters":
            name = str(rng.choice(list(program.parameters)))
            words = ["single", "paired", "ou", "spike", "exact", "1", "16"]
            value = number if rng.integers(4) else str(rng.choice(words))
            program = replace(program, parameters={**program.parameters, name: value})
        elif where == "constants":
            name = str(rng.choice(list(program.constants)))
            tables = {
                **program.constants,
                name: tensor(_spoilt(program.constants[name], number, rng)),
            }
            program = replace(program, constants=tables)
        elif where == "steps":
            program = replace(program, steps=tensor(_spoilt(program.steps, number, rng)))
        elif where == "port" and program.port is not None:
            program = replace(program, port=tensor(_spoilt(program.port, number, rng)))
        else:
            form = rng.choice(array_forms(program))
            values = np.full(form.shape, abs(number)).astype(form.stored)
            program = replace(program, state={form.name: tensor(values)})
    return program


def array_forms(program: ProgramTrace) -> Any:
    try:
        return list(array_of(program).states)
    except BitpimError:
        return list(small().states)


def _spoilt(record: TensorRecord, number: int, rng: np.random.Generator) -> Any:
    values = record.read().copy()
    if not rng.integers(4):
        return values[: len(values) // 2] if rng.integers(2) else np.repeat(values, 2, axis=0)
    if values.size:
        values.flat[int(rng.integers(values.size))] = number
    return values
