"""The compute SRAM step by step: equal to one bit at a time, and strict about its steps."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bitpim.counts import Counts
from bitpim.errors import LayoutError, ProgramError
from bitpim.sram.stepped import (
    MOVE,
    MOVE_AND_CLEAR,
    MOVE_WHERE,
    PORT_READ,
    PORT_WRITE,
    SteppedSubarray,
)
from bitpim_kernels import opcodes as op
from bitpim_kernels.layout import pack, unpack
from tests.naive.stepped_subarray import NaiveSubarray
from tests.program_traces import INWARD, random_steps

N_ROWS = 5
USING = (*INWARD, PORT_READ)
COLUMNS = (1, 63, 64, 65, 130)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), n_columns=st.sampled_from(COLUMNS))
def test_every_step_leaves_what_one_bit_at_a_time_leaves(seed: int, n_columns: int) -> None:
    rng = np.random.default_rng(seed)
    array, naive = SteppedSubarray(N_ROWS, n_columns), NaiveSubarray(N_ROWS, n_columns)
    for number, step in enumerate(random_steps(seed, 20, N_ROWS, n_columns)):
        uses = int(step[0]) in USING
        bits = rng.integers(0, 2, (int(uses), n_columns), np.uint8)
        array.check(step[None], number)
        out = unpack(array.run(step[None], pack(bits)), n_columns)
        went = naive.take(step.tolist(), bits[0].tolist() if uses else None)
        if uses:
            assert out[0].tolist() == (bits[0].tolist() if went is None else went)
        assert unpack(array.view("rows"), n_columns).tolist() == naive.rows
        assert unpack(array.view("carry")[None], n_columns)[0].tolist() == naive.carry
        assert unpack(array.view("tag")[None], n_columns)[0].tolist() == naive.tag


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), n_columns=st.sampled_from(COLUMNS))
def test_many_steps_at_once_are_the_same_as_one_by_one(seed: int, n_columns: int) -> None:
    steps = random_steps(seed, 40, N_ROWS, n_columns)
    uses = np.isin(steps[:, 0], USING)
    rows = pack(np.random.default_rng(seed).integers(0, 2, (uses.sum(), n_columns), np.uint8))
    together, apart = (SteppedSubarray(N_ROWS, n_columns, move_cycles=3) for _ in range(2))
    out = together.run(steps, rows)
    taken = 0
    for step, used in zip(steps, uses.tolist(), strict=True):
        row = apart.run(step[None], rows[taken : taken + used])
        assert np.array_equal(row, out[taken : taken + used])
        taken += used
    for form in together.states:
        assert np.array_equal(together.view(form.name), apart.view(form.name))
        assert together.view(form.name).shape == form.shape
    assert together.counts == apart.counts


def test_counts_are_those_of_the_steps() -> None:
    array = SteppedSubarray(N_ROWS, 300, move_cycles=4)  # two arrays of 256 columns
    steps = np.array(
        [
            (PORT_WRITE, -1, -1, 0, 0),
            (PORT_READ, 0, -1, -1, 0),
            (MOVE, 0, 1, 1, 0),
            (MOVE_AND_CLEAR, 0, 1, 1, 2),
            (op.CARRY_SET, -1, -1, -1, 0),
            (op.ADD, 0, 1, 2, 0),
        ],
        np.int32,
    )
    array.run(steps, np.zeros((2, *array.port.shape), np.uint64))
    assert array.counts == Counts(
        cycles=1 + 1 + 4 + 4 + 2,
        sram_access_cycle=2 * (1 + 1 + 4 + 4),
        sram_compute_cycle=2 * 2,
        carry_reset=2,
    )


@pytest.mark.parametrize(
    "step",
    [
        (PORT_WRITE, -1, -1, N_ROWS, 0),
        (PORT_WRITE, 0, -1, 1, 0),
        (PORT_WRITE, -1, -1, -1, 0),
        (PORT_WRITE, -1, -1, 1, 1),
        (PORT_READ, -1, -1, -1, 0),
        (PORT_READ, 0, -1, 1, 0),
        (PORT_READ, 0, 3, -1, 0),
        (MOVE, 0, 1, -1, 0),
        (MOVE, -1, 1, 2, 0),
        (MOVE, 0, 1, 2, -1),
        (MOVE_AND_CLEAR, N_ROWS, 1, 2, 0),
        (518, 0, 0, 0, 0),
        (2**31 - 1, -(2**31), 0, 0, 0),
        (-1, 0, 0, 0, 0),
        (18, -1, -1, 0, 0),
        (op.ADD, 0, 1, 2, 2),
        (op.ADD, 0, -1, 2, 0),
        (op.CARRY_SET, -1, -1, 2, 0),
        (op.ZERO, -1, -1, -1, 0),
    ],
)
def test_a_step_that_it_cannot_take_is_named(step: tuple[int, ...]) -> None:
    good = (op.ADD, 0, 1, 2, op.IF_TAG)
    with pytest.raises(ProgramError, match=r"^step 102\b"):
        SteppedSubarray(N_ROWS, 7).check(np.array([good, good, step, good], np.int32), 100)


@pytest.mark.parametrize("distance", [2**31 - 1, -(2**31), 7, -7])
def test_a_move_beyond_the_columns_brings_zeros(distance: int) -> None:
    array = SteppedSubarray(2, 7)
    array.load("rows", pack(np.ones((2, 7), np.uint8)))
    step = np.array([(MOVE, 0, distance, 1, 0), (MOVE, 0, distance, 0, 3)], np.int32)
    array.check(step, 0)
    array.run(step, np.empty((0, 1), np.uint64))
    assert not array.view("rows").any()


def test_padding_that_is_lit_is_refused() -> None:
    array = SteppedSubarray(2, 7)
    lit = np.full((2, 1), 1 << 7, np.uint64)
    with pytest.raises(LayoutError, match=r"port row 41: .* beyond column 6"):
        array.check_port(np.concatenate([np.zeros((1, 1), np.uint64), lit]), 40)
    with pytest.raises(LayoutError, match=r"state rows: .* beyond column 6"):
        array.load("rows", lit)


def test_what_a_step_does_is_told_with_the_names_of_rows() -> None:
    array = SteppedSubarray(4, 7)
    names = {0: "x[0]", 1: "y[0]"}
    assert array.told((op.ADD, 0, 1, 3, op.IF_TAG), names) == (
        "ADD: row 3 = x[0] ^ y[0] ^ C where T, C = majority(x[0], y[0], C)"
    )
    assert array.told((op.CARRY_SET, -1, -1, -1, 0), names) == "CARRY_SET: C = 1"
    assert array.told((PORT_READ, 1, -1, -1, 0), names) == "PORT_READ: port = y[0]"
    assert array.told((PORT_WRITE, -1, -1, 2, 0), names) == "PORT_WRITE: row 2 = port"
    assert array.told((MOVE, 0, 4, 1, 8), names) == ("MOVE: y[0] = x[0] of column + 4, groups of 8")
    assert array.told((MOVE_WHERE, 0, 4, 1, 0), names) == (
        "MOVE_WHERE: y[0] = x[0] of column + 4, groups of all where the port is 1"
    )
