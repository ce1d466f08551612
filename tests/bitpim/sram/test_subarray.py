import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bitpim import programs
from bitpim.counts import Counts
from bitpim.errors import ArrayBoundsError, LayoutError, ProgramError
from bitpim.programs.program import Field
from bitpim.sram.subarray import Subarray
from bitpim_kernels import opcodes as op
from tests.naive.bitline import run_lane

LANES = (1, 63, 64, 65, 127, 128, 256, 300)
X, Y = Field("x", 0, 5), Field("y", 5, 5)


@pytest.mark.parametrize("n_cols", LANES)
def test_rows_and_codes_come_back(n_cols: int) -> None:
    rng = np.random.default_rng(n_cols)
    array = Subarray(12, n_cols)
    bits = rng.integers(0, 2, (3, n_cols), dtype=np.uint8)
    array.write_rows(9, bits)
    assert np.array_equal(array.read_rows(9, 3), bits)
    packed = array.read_rows(9, 3, packed=True)
    array.write_rows(0, packed)
    assert np.array_equal(array.read_rows(0, 3), bits)
    for signed in (False, True):
        codes = rng.integers(-16 if signed else 0, 16 if signed else 32, n_cols)
        array.write_codes(Y, codes)
        assert np.array_equal(array.read_codes(Y, signed=signed), codes)
    assert np.array_equal(array.read_rows(9, 3)[1:], bits[1:])  # rows 5..9 are y
    array.write_codes(X, np.zeros(n_cols, np.int8))
    n_arrays = -(-n_cols // 256)
    accesses = 5 * 3 + 2 * (5 + 5) + 3 + 5
    assert array.counts == Counts(cycles=accesses, sram_access_cycle=accesses * n_arrays)


def test_a_wide_array_counts_every_array_in_it() -> None:
    program = programs.multiply_accumulate(X, Y, Field("p", 10, 10), Field("sum", 20, 12))
    one, wide = Subarray(256, 256), Subarray(256, 1000, array_cols=256)
    for array in (one, wide):
        array.run(program)
    assert one.counts == program.counts
    assert wide.counts["cycles"] == program.n_steps
    assert wide.counts["sram_compute_cycle"] == 4 * program.n_steps
    assert wide.counts["tag_load"] == 4 * 5


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from(LANES))
def test_steps_are_the_naive_lane(seed: int, n_cols: int) -> None:
    rng = np.random.default_rng(seed)
    array = Subarray(4, n_cols)
    bits = rng.integers(0, 2, (4, n_cols), dtype=np.uint8)
    array.write_rows(0, bits)
    table = [
        (op.TAG_LOAD, 0, -1, -1, op.ALWAYS),
        (op.CARRY_SET, -1, -1, -1, op.ALWAYS),
        (op.ADD, 1, 2, 3, op.IF_TAG),
        (op.NOR, 0, 3, 0, op.ALWAYS),
        (op.TAG_AND_XNOR, 0, 1, -1, op.ALWAYS),
        (op.CARRY_STORE, -1, -1, 2, op.IF_TAG),
    ]
    for opcode, a, b, dst, predicate in table:
        array.step(opcode, a, b, dst=dst, predicate=predicate)
    state = array.state
    for lane in range(n_cols):
        cells = bits[:, lane].tolist()
        carry, tag = run_lane(table, cells, 0, 0)
        word, bit = lane // 64, np.uint64(lane % 64)
        assert [int(row[word] >> bit & np.uint64(1)) for row in state.rows] == cells
        assert int(state.carry[word] >> bit & np.uint64(1)) == carry
        assert int(state.tag[word] >> bit & np.uint64(1)) == tag
    assert array.counts["tag_load"] == 2 * array.n_arrays
    assert array.counts["carry_reset"] == array.counts["carry_store"] == array.n_arrays


@pytest.mark.parametrize("n_cols", LANES)
@pytest.mark.parametrize("distance", [0, 1, 63, 64, 65, 299, 1000, -1, -64, -65, -1000])
def test_shift_columns_brings_the_partner(n_cols: int, distance: int) -> None:
    codes = np.random.default_rng(n_cols).integers(0, 32, n_cols)
    array = Subarray(10, n_cols)
    array.write_codes(X, codes)
    array.shift_columns(X, Y, distance, cycles_per_bit=3)
    partner = np.arange(n_cols) + distance
    inside = (partner >= 0) & (partner < n_cols)
    expected = np.where(inside, codes[np.clip(partner, 0, n_cols - 1)], 0)
    assert np.array_equal(array.read_codes(Y), expected)
    assert np.array_equal(array.read_codes(X), codes)
    assert array.counts["cycles"] == 5 + 15 + 5 + 5
    array.shift_columns(X, X, distance)
    assert np.array_equal(array.read_codes(X), expected)


@pytest.mark.parametrize("n_cols", LANES)
@pytest.mark.parametrize("distance", [1, 3, 8, -1, -5])
@pytest.mark.parametrize("group", [1, 4, 7, 64, 1000])
def test_columns_of_a_group_stay_within_it(n_cols: int, distance: int, group: int) -> None:
    codes = np.random.default_rng(n_cols).integers(0, 32, n_cols)
    array = Subarray(10, n_cols)
    array.write_codes(X, codes)
    array.shift_columns(X, Y, distance, group=group)
    for column, code in enumerate(array.read_codes(Y).tolist()):
        partner = column + distance
        inside = 0 <= partner < n_cols and partner // group == column // group
        assert code == (codes[partner] if inside else 0)


def test_threads_and_blocks_change_nothing() -> None:
    n_cols = 64 * 2100 + 5
    rng = np.random.default_rng(0)
    x, y = rng.integers(0, 32, (2, n_cols))
    program = programs.multiply(X, Y, Field("product", 10, 10))
    states = []
    for block_words, n_threads in ((256, 1), (256, 2), (33, 3)):
        array = Subarray(20, n_cols, block_words=block_words, n_threads=n_threads)
        array.write_codes(X, x)
        array.write_codes(Y, y)
        array.run(program)
        assert np.array_equal(array.read_codes(program.field("product")), x * y)
        states.append(array.state)
    for state in states[1:]:
        assert np.array_equal(state.rows, states[0].rows)
        assert np.array_equal(state.carry, states[0].carry)
        assert np.array_equal(state.tag, states[0].tag)


def test_a_state_is_a_copy() -> None:
    array = Subarray(4, 4)
    array.state.rows[:] = 7
    array.read_rows(0, 4, packed=True)[:] = 7
    assert not array.state.rows.any()


def test_a_dirty_carry_latch_is_refused() -> None:
    array = Subarray(16, 3)
    program = programs.add(X, Y, Field("sum", 10, 6))
    array.run(program)
    array.step(op.CARRY_SET)
    with pytest.raises(ProgramError, match="need the carry latch clear"):
        array.run(program)


def test_outside_is_one_line() -> None:
    array = Subarray(8, 5)
    far = Field("far", 6, 3)
    with pytest.raises(ArrayBoundsError, match=r"need rows within 0..7, got 6..8"):
        array.write_codes(far, np.zeros(5, int))
    with pytest.raises(ArrayBoundsError, match=r"got 6..8"):
        array.read_codes(far)
    with pytest.raises(ArrayBoundsError, match=r"got 7..8"):
        array.read_rows(7, 2)
    with pytest.raises(ArrayBoundsError, match=r"got -1..0"):
        array.write_rows(-1, np.zeros((2, 5), np.uint8))
    with pytest.raises(ArrayBoundsError, match=r"need bits \(n, 5\) for 5 columns, got \(1, 6\)"):
        array.write_rows(0, np.zeros((1, 6), np.uint8))
    with pytest.raises(ArrayBoundsError, match=r"need packed rows \(n, 1\) for 5 columns"):
        array.write_rows(0, np.zeros((1, 2), np.uint64))
    with pytest.raises(ArrayBoundsError, match=r"need \(5,\) integers"):
        array.write_codes(X, np.zeros(4, int))
    with pytest.raises(ArrayBoundsError, match="equal widths"):
        array.shift_columns(X, Field("y", 5, 2), 1)
    with pytest.raises(ArrayBoundsError, match="need 10 rows, got 8"):
        array.run(programs.copy(X, Y))
    with pytest.raises(ArrayBoundsError, match="at least 1 columns"):
        Subarray(8, 0)
    with pytest.raises(LayoutError, match="padding"):
        array.write_rows(0, np.full((1, 1), 32, np.uint64))
    with pytest.raises(LayoutError):
        array.write_rows(0, np.full((1, 5), 2, np.uint8))
    with pytest.raises(LayoutError):
        array.write_codes(X, np.full(5, 32))
    with pytest.raises(ProgramError, match=r"need a row in 0\.\.7, got 8"):
        array.step(op.COPY, 8, dst=0)
    with pytest.raises(ProgramError, match="got to"):
        array.step(op.COPY, 0, to=1)
    assert not array.state.rows.any()
    assert array.counts == Counts()
