"""Programs run on blocks of groups of lanes, against one array a group."""

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bitpim import programs
from bitpim.programs.program import Field
from bitpim.sram.lanes import LaneBlock, LaneProgram, Operand, by_lane, chosen, everywhere, outer
from bitpim_kernels.layout import to_planes

X, Y, SUM = Field("x", 0, 6), Field("y", 6, 6), Field("sum", 12, 8)
PRODUCT = Field("product", 12, 12)
TIMES = LaneProgram(programs.multiply(X, Y, PRODUCT), ("x", "y"), PRODUCT)
Codes = npt.NDArray[np.int64]


def operand(how: str, rng: np.random.Generator, n_groups: int, words: int) -> tuple[Operand, Codes]:
    """Yield an operand and its code in every lane, (n_groups, lanes)."""
    lanes = 64 * words
    if how == "outer":
        codes = rng.integers(0, 64, n_groups)
        return outer(codes), np.repeat(codes[:, None], lanes, axis=1)
    if how == "everywhere":
        codes = rng.integers(0, 16, lanes)  # fewer planes than rows
        return everywhere(to_planes(codes, 4)), np.tile(codes, (n_groups, 1))
    codes = rng.integers(0, 64, (3, lanes))
    which = rng.integers(0, 3, n_groups)
    return chosen(to_planes(codes, 6), which), codes[which]


@settings(max_examples=60, deadline=None)
@given(
    n_groups=st.integers(1, 9),
    words=st.integers(1, 5),
    spare=st.integers(0, 9),
    ways=st.tuples(*[st.sampled_from(["outer", "everywhere", "chosen"])] * 2),
    seed=st.integers(0, 2**32 - 1),
)
def test_every_way_to_give_an_operand(
    n_groups: int, words: int, spare: int, ways: tuple[str, str], seed: int
) -> None:
    rng = np.random.default_rng(seed)
    block = LaneBlock(30, n_groups * words + spare)
    for _ in range(2):  # the second finds the rows of the first
        x, x_codes = operand(ways[0], rng, n_groups, words)
        y, y_codes = operand(ways[1], rng, n_groups, words)
        out = np.empty(n_groups * words * 64, np.int64)
        block.run(TIMES, n_groups, words, {"x": x, "y": y}, out)
        assert np.array_equal(out.reshape(x_codes.shape), x_codes * y_codes)


def test_streamed_operands_come_one_after_the_other() -> None:
    start = programs.load_constant(5, SUM)
    each = programs.accumulate(X, SUM)
    double = programs.shift_left(SUM[:7], 1, Field("doubled", 20, 8))
    rng = np.random.default_rng(0)
    stream = [rng.integers(0, 16, 128) for _ in range(4)]
    operands = [everywhere(to_planes(codes, 6)) for codes in stream]
    total = 5 + np.sum(stream, axis=0)
    alone = LaneProgram(None, (), SUM, start=start, each=each)
    block, out = LaneBlock(28, 2), np.empty(128, np.int64)
    block.run(alone, 1, 2, {}, out, operands)
    assert np.array_equal(out, total)
    assert alone.n_steps(4) == start.n_steps + 4 * each.n_steps == 8 + 4 * 9
    ended = LaneProgram(double, (), Field("doubled", 20, 8), start=start, each=each)
    block.run(ended, 1, 2, {}, out, operands)
    assert np.array_equal(out, 2 * total)
    assert ended.n_steps(4) == alone.n_steps(4) + double.n_steps
    assert (alone.n_rows, ended.n_rows) == (20, 28)


@pytest.mark.parametrize("signed", [False, True])
def test_results_are_signed_where_the_program_says(signed: bool) -> None:
    low = LaneProgram(programs.add_constant(X, -3), ("x",), X, signed=signed)
    out = np.empty(64, np.int8 if signed else np.uint8)
    LaneBlock(6, 1).run(low, 1, 1, {"x": outer(np.array([1]))}, out)
    assert set(out.tolist()) == ({-2} if signed else {62})


def test_latches_of_the_program_before_are_forgotten() -> None:
    difference = programs.subtract(X, Y, Field("sum", 12, 6), Field("not_y", 20, 6))
    carries = LaneProgram(difference, ("x", "y"), X)
    adds = LaneProgram(programs.add(X, Y, Field("sum", 12, 7)), ("x", "y"), Field("sum", 12, 7))
    block, out = LaneBlock(26, 1), np.empty(64, np.int64)
    operands = {"x": outer(np.array([9])), "y": outer(np.array([4]))}
    block.run(carries, 1, 1, operands, out)  # leaves the carry latch set: 9 >= 4
    block.run(adds, 1, 1, operands, out)
    assert set(out.tolist()) == {13}


@pytest.mark.parametrize("n_lanes", [1, 63, 64, 65, 128])
def test_a_code_for_each_lane(n_lanes: int) -> None:
    """Lanes beyond the last code hold 0, whatever was there before."""
    words = -(-n_lanes // 64)
    rng = np.random.default_rng(n_lanes)
    block = LaneBlock(TIMES.n_rows, 2)
    out = np.empty(64 * words, np.int64)
    for _ in range(2):
        x, y = (rng.integers(0, 1 << f.width, n_lanes) for f in (X, Y))
        block.run(TIMES, 1, words, {"x": by_lane(x), "y": by_lane(y)}, out)
        assert np.array_equal(out[:n_lanes], x * y) and not out[n_lanes:].any()
