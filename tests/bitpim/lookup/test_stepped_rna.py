"""A neuron of lookup tables, step by step: equal to one bit at a time, and strict about steps."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bitpim.errors import (
    AccumulatorError,
    BitpimError,
    ConfigError,
    LayoutError,
    ProgramError,
    TraceDataError,
)
from bitpim.golden.arrays import array_of
from bitpim.golden.replaying import replay_program
from bitpim.golden.stepper import Stepper
from bitpim.lookup import stepped_rna as rna
from bitpim.lookup.nearest_table import NearestTable
from bitpim.lookup.stepped_rna import SteppedRna
from bitpim_traces.program_trace.reader import open_program
from bitpim_traces.program_trace.records import ProgramTrace
from bitpim_traces.program_trace.writer import write_program
from bitpim_traces.records import TensorRecord
from tests.naive.rapidnn import word
from tests.naive.stepped_rna import NaiveRna
from tests.rna_programs import INWARD, OUTWARD, drawn_neuron, random_rna_program

SEEDS = st.integers(0, 2**32 - 1)
PARAMETERS: dict[str, Any] = {
    "counter_bits": 4, "digits": "signed", "n_operands": 6, "sum_bits": 12, "cost": "apim13",
    "match": "abs", "stage_bits": 4, "point_bits": 12, "value_bits": 9, "up": 0,
    "n_candidates": 0,
}  # fmt: skip
CONSTANTS: dict[str, Any] = {
    "products": np.array([[3, -5], [7, 100]]),
    "points": np.array([[-10, -1], [0, 0], [10, 1]]),
    "values": np.array([-1, 0, 2]),
    "limits": np.array([-255, 255]),
}


def neuron(constants: dict[str, Any] | None = None, **changed: Any) -> SteppedRna:
    return SteppedRna(PARAMETERS | changed, CONSTANTS | (constants or {}))


def take(array: SteppedRna, *steps: tuple[int, ...], port: Any = ()) -> Any:
    table = np.array([(*step, *(-1,) * (4 - len(step)), 0) for step in steps], np.int32)
    array.check(table, 0)
    rows = np.array(port, np.int64).reshape(-1, *array.port.shape)
    array.check_port(rows, 0)
    return array.run(table, rows)


def tensor(values: Any) -> TensorRecord:
    return TensorRecord.of(np.asarray(values), axes="", role="", units="1")


@settings(max_examples=80, deadline=None)
@given(seed=SEEDS)
def test_every_step_leaves_what_one_bit_at_a_time_leaves(seed: int) -> None:
    program = random_rna_program(seed)
    at, naive, taken = Stepper(program), NaiveRna(*drawn_neuron(seed)), 0
    assert program.port is not None
    port = program.port.read()
    width = program.parameters["sum_bits"]
    for step in program.steps.read().tolist():
        uses = step[0] in INWARD + OUTWARD
        went = naive.take(step, port[taken].tolist() if step[0] in INWARD else None)
        if step[0] in OUTWARD:
            assert port[taken].tolist() == [went] + [0] * (port.shape[1] - 1)
        taken += uses
        assert at.step() is None
        found = {form.name: at.peek(form.name) for form in at.states}
        assert found["counters"].tolist() == naive.counters
        numbers = (naive.product, naive.count, len(naive.operands), naive.missing, naive.sum)
        names = ("product", "count", "listed", "missing", "sum")
        assert tuple(int(found[name][0]) for name in names) == numbers
        assert (found["value"][0], found["code"][0]) == (naive.value, naive.code)
        rest = [word(0, int(width))] * (len(found["operands"]) - len(naive.operands))
        assert found["operands"].tolist() == naive.operands + rest
        assert found["match"].tolist() == naive.up
        if room := int(program.parameters["n_candidates"]):
            n = len(naive.candidates)
            assert found["candidates"].tolist() == naive.candidates + [0] * (room - n)
            assert found["entered"].tolist() == [n]
        assert sum(int(bit) << k for k, bit in enumerate(found["query"])) == naive.query
    assert at.counts.to_dict() == {event: n for event, n in naive.counts.items() if n}


@settings(max_examples=15, deadline=None)
@given(seed=SEEDS)
def test_many_steps_at_once_are_the_same_as_one_by_one(seed: int) -> None:
    program = random_rna_program(seed, after="every")
    run = replay_program(program)
    assert run.equal and run.n_states == program.n_steps
    array = array_of(program)
    assert program.port is not None and program.expected is not None
    out = array.run(program.steps.read(), program.port.read())
    assert np.array_equal(out, program.port.read())
    for form in array.states:
        view = array.view(form.name)
        assert (view.shape, view.dtype) == (form.shape, form.stored)
        assert np.array_equal(view, program.expected.state[form.name].read()[-1])


@pytest.mark.parametrize("seed", range(4))
def test_a_program_is_the_same_from_a_file(seed: int, tmp_path: Path) -> None:
    write_program(random_rna_program(seed), tmp_path / "tile.h5")
    assert replay_program(open_program(tmp_path / "tile.h5")).equal


@settings(max_examples=60, deadline=None)
@given(seed=SEEDS, query=st.integers(-512, 511))
def test_lines_end_as_the_search_at_once_does(seed: int, query: int) -> None:
    rng = np.random.default_rng(seed)
    values = rng.choice(1024, int(rng.integers(1, 40)), replace=False) - 512
    mode, stage_bits = str(rng.choice(["abs", "wxor", "staged"])), int(rng.integers(1, 12))
    memory = NearestTable(values, 10, mode, stage_bits)
    up, compared = np.ones(len(values), np.bool_), 0
    for stage in range(memory.n_stages):
        compared += int(up.sum())
        up = memory.standing(up, memory.words(np.array([query]))[0], stage)
    found = memory.find(np.array([query]))
    assert (int(np.argmax(up)), compared) == (int(found.rows[0]), found.rows_compared)


def test_a_neuron_worked_out_by_hand() -> None:
    """N[0][1] is 3, so 4 - 1 times -5, and 100 once, and a bias of 2: 87, which is 1 by points."""
    array = neuron()
    take(array, (rna.COUNT,), (rna.COUNT,), (rna.COUNT,), port=[[1, 1], [1, -1], [1, -1]])
    assert array.view("counters").tolist() == [[0, 3], [0, 1]]
    take(array, (rna.OPERAND_IN,), port=[[2, 0]])
    take(array, (rna.READ_PRODUCT, 0, 1), (rna.OPERAND, 0), (rna.OPERAND, 1), (rna.OPERAND, 2))
    assert array.view("operands")[:4, 0].tolist() == [2, 4, 4096 - 20, 0]  # ~-5 is 4
    assert (array.n_listed, int(array.view("missing")[0])) == (3, 1)
    take(array, (rna.READ_PRODUCT, 1, 1), (rna.OPERAND, 0), (rna.LEVEL,))
    assert array.n_listed == 3 and not array.view("missing").any()
    take(array, (rna.LEVEL,), (rna.ADD_LAST,))
    assert array.view("sum").tolist() == array.view("value").tolist() == [87]
    stages = [(rna.STAGE_POINT, k) for k in range(3)]
    take(array, (rna.SEEK_POINT,), *stages, (rna.SETTLE_POINT,))
    assert array.view("value").tolist() == [1] and array.view("match").tolist() == [0b100]
    take(array, (rna.SEEK_CODE,), (rna.STAGE_CODE, 0), (rna.STAGE_CODE, 1))
    assert array.view("match").tolist() == [0b111]  # whole words are compared: not before the last
    take(array, (rna.STAGE_CODE, 2))
    assert array.view("match").tolist() == [0b110]  # 1 lies between 0 and 2
    out = take(array, (rna.SETTLE_CODE,), (rna.GIVE_CODE,), (rna.GIVE_SUM,), port=[[9, 9], [9, 9]])
    assert out.tolist() == [[1, 0], [87, 0]]  # the lower of both, by ties


def test_stages_show_the_lines_that_are_left() -> None:
    """0111 is next to 1000, but the first bit leaves 0000 alone."""
    held = {"values": np.array([0, -8]), "points": np.empty((0, 2), np.int64)}
    array = neuron(held, match="staged", stage_bits=1, value_bits=4)
    take(array, (rna.VALUE, 1), port=[[0, 0]])
    array.load("value", np.array([-1]))
    take(array, (rna.SEEK_CODE,), (rna.STAGE_CODE, 0))
    assert array.view("match").tolist() == [0b10]
    assert array.counts["cam_row"] == 2 and array.counts["cam_stage"] == 1


def test_points_are_searched_for_the_sum_whatever_the_value_is() -> None:
    array = neuron()
    take(array, (rna.VALUE, 1), port=[[1, 0]])
    array.load("value", np.array([-3]))
    take(array, (rna.SEEK_POINT,))
    assert array.view("query").tolist() == [2048 + 100]


def test_a_search_takes_all_numbers_of_its_words_and_no_others() -> None:
    array = neuron({"limits": np.array([-9999, 9999])})
    for number, word_of_it in ((-256, 0), (255, 511)):
        array.load("value", np.array([number]))
        take(array, (rna.SEEK_CODE,))
        assert array.view("query").tolist() == [word_of_it]
    for number in (-257, 256):
        array.load("value", np.array([number]))
        with pytest.raises(AccumulatorError, match=f"need a number of 9 bits, got {number}"):
            take(array, (rna.SEEK_CODE,))


def test_stages_beyond_the_last_are_refused() -> None:
    array = largest()
    for code in (rna.STAGE_CODE, rna.STAGE_LARGEST):
        array.check(np.array([(code, 1, -1, -1, 0)], np.int32), 0)
        for stage in (-1, 2):
            with pytest.raises(ProgramError, match="need a step of the array rna"):
                array.check(np.array([(code, stage, -1, -1, 0)], np.int32), 0)


def largest(**changed: Any) -> SteppedRna:
    """Make a neuron of codes 0 to 3, of the values -8, -1, 0 and 7."""
    held = {"values": np.array([-8, -1, 0, 7]), "points": np.empty((0, 2), np.int64)}
    own = {"match": "staged", "stage_bits": 2, "value_bits": 4, "n_candidates": 3}
    return neuron(held, **own | changed)


def test_the_largest_of_candidates_worked_out_by_hand() -> None:
    """Of -8, 0 and -1 the upper bits, as offset binary, are 00, 10 and 01: 0 is the largest."""
    array = largest()
    take(array, *[(rna.CANDIDATE,)] * 3, port=[[0, 0], [2, 0], [1, 0]])
    assert array.view("candidates").tolist() == [0, 2, 1] and array.view("entered") == [3]
    take(array, (rna.SEEK_LARGEST,))
    assert array.view("query").tolist() == [0b1111] and array.view("match").tolist() == [0b111]
    take(array, (rna.STAGE_LARGEST, 0))
    assert array.view("match").tolist() == [0b010]
    take(array, (rna.STAGE_LARGEST, 1), (rna.SETTLE_LARGEST,))
    assert array.view("code") == [2] and array.view("entered") == [0]
    assert not array.view("candidates").any()
    counts = {"cycles": 2, "cam_search": 1, "cam_stage": 2, "cam_row": 4, "cam_survivor": 1}
    assert array.counts.to_dict() == counts
    take(array, (rna.CANDIDATE,), (rna.SEEK_LARGEST,), port=[[3, 0]])
    assert array.view("match").tolist() == [1]


def test_the_largest_by_bits_is_the_largest() -> None:
    """Whole words are compared: no line falls before the last stage."""
    for mode in ("abs", "wxor"):
        array = largest(match=mode)
        take(array, *[(rna.CANDIDATE,)] * 3, port=[[1, 0], [2, 0], [2, 0]])
        take(array, (rna.SEEK_LARGEST,), (rna.STAGE_LARGEST, 0))
        assert array.view("match").tolist() == [0b111]
        take(array, (rna.STAGE_LARGEST, 1))
        assert array.view("match").tolist() == [0b110]


def test_a_code_is_looked_up_in_a_row() -> None:
    array = neuron()
    out = take(array, (rna.LOOK_UP, 1), (rna.GIVE_CODE,), port=[[1, 0], [0, 0]])
    assert out.tolist() == [[1, 0], [100, 0]]
    assert array.counts.to_dict() == {"cycles": 1, "value_read": 1}


def test_candidates_that_are_none_are_refused() -> None:
    array = largest()
    with pytest.raises(LayoutError, match=r"CANDIDATE: need a code 0..3 through the port, got 4"):
        take(array, (rna.CANDIDATE,), port=[[4, 0]])
    with pytest.raises(ProgramError, match=r"^step 3: candidates .* need room for one more, got 3"):
        take(array, *[(rna.CANDIDATE,)] * 4, port=[[0, 0]] * 4)
    for name, values in (("candidates", [0, 4, 0]), ("candidates", [-1, 0, 0]), ("entered", [4])):
        with pytest.raises(LayoutError, match=f"state {name}: need numbers of 0 to 3, got others"):
            array.load(name, np.array(values))
    empty = largest()
    with pytest.raises(ProgramError, match="STAGE_LARGEST: need a row that is up, got none"):
        take(empty, (rna.SEEK_LARGEST,), (rna.STAGE_LARGEST, 0))
    with pytest.raises(ConfigError, match="need values of 3 candidates, got none"):
        largest().of({**array.made_of}, {**array.made_with, "values": np.empty(0, np.int64)})


def test_a_neuron_without_candidates_has_no_steps_of_them() -> None:
    array = neuron()
    names = [form.name for form in array.states]
    assert "candidates" not in names and "entered" not in names
    for code in (rna.CANDIDATE, rna.SEEK_LARGEST, rna.STAGE_LARGEST, rna.SETTLE_LARGEST):
        with pytest.raises(ProgramError, match="need a step of the array rna"):
            array.check(np.array([(code, *(-1,) * 3, 0)], np.int32), 0)


def wrong_port(program: ProgramTrace, row: int, by: int = 1) -> ProgramTrace:
    assert program.port is not None
    rows = program.port.read().copy()
    rows[row, 0] += by
    return replace(program, port=tensor(rows))


@pytest.mark.parametrize("seed", range(6))
def test_another_number_out_is_found_at_its_step(seed: int) -> None:
    program = random_rna_program(seed)
    steps = program.steps.read()[:, 0]
    uses = np.flatnonzero(np.isin(steps, INWARD + OUTWARD))
    for row in np.flatnonzero(np.isin(steps[uses], OUTWARD)).tolist():
        found = replay_program(wrong_port(program, row)).difference
        assert found is not None
        assert (found.step, found.state, found.place) == (int(uses[row]), "port", (0,))


def test_another_operand_in_is_found_where_its_sum_goes_out() -> None:
    array_program = random_rna_program(8)
    steps = array_program.steps.read()[:, 0]
    uses = np.flatnonzero(np.isin(steps, INWARD + OUTWARD))
    row = int(np.flatnonzero(steps[uses] == rna.OPERAND_IN)[0])
    found = replay_program(wrong_port(array_program, row)).difference
    out = uses[np.flatnonzero(steps[uses] == rna.GIVE_SUM)]
    assert found is not None and found.step == int(out[out > uses[row]][0])


@pytest.mark.parametrize(
    "step",
    [
        (rna.READ_PRODUCT, 2, 0, -1, 0),
        (rna.READ_PRODUCT, 0, 2, -1, 0),
        (rna.READ_PRODUCT, -1, 0, -1, 0),
        (rna.OPERAND, 64, -1, -1, 0),
        (rna.OPERAND, 0, 0, -1, 0),
        (rna.TERM, 2, -1, -1, 0),
        (rna.VALUE, -1, -1, -1, 0),
        (rna.LEVEL, 0, -1, -1, 0),
        (rna.LEVEL, -1, -1, 0, 0),
        (rna.LEVEL, -1, -1, -1, 1),
        (rna.STAGE_POINT, 3, -1, -1, 0),
        (rna.LOOK_UP, 2, -1, -1, 0),
        (rna.LOOK_UP, -1, -1, -1, 0),
        (rna.SEEK_CODE, -1, -1, -1, 0),  # it has no values
        (rna.STAGE_CODE, 0, -1, -1, 0),
        (rna.COUNT - 1, -1, -1, -1, 0),
        (rna.SETTLE_LARGEST + 1, -1, -1, -1, 0),
        (-(2**31), 0, 0, 0, 0),
    ],
)
def test_a_step_that_it_cannot_take_is_named(step: tuple[int, ...]) -> None:
    array = neuron({"values": np.empty(0, np.int64)})
    steps = np.array([(rna.LEVEL, -1, -1, -1, 0), step], np.int32)
    with pytest.raises(ProgramError, match=r"^step 8: need a step of the array rna .* got \("):
        array.check(steps, 7)


@pytest.mark.parametrize(
    ("step", "row", "words"),
    [
        ((rna.COUNT,), [2, 0], "^step 0: COUNT: need input codes 0..1 through the port, or -1"),
        ((rna.COUNT,), [-2, 0], "COUNT: need input codes"),
        ((rna.TERM, 0), [2, 0], "TERM: need a code 0..1 through the port, got 2"),
        ((rna.VALUE, 0), [-1, 0], "VALUE: need a code"),
        ((rna.OPERAND_IN,), [5, 1], "OPERAND_IN: need one number through the port, then zeros"),
    ],
)
def test_port_rows_that_are_none_are_refused(step: Any, row: list[int], words: str) -> None:
    with pytest.raises(LayoutError, match=words):
        take(neuron(), step, port=[row])


def test_what_cannot_be_done_says_so() -> None:
    array = neuron()
    with pytest.raises(ProgramError, match="SETTLE_POINT: need a row that is up, got none"):
        take(array, (rna.SETTLE_POINT,))
    take(array, (rna.LEVEL,), (rna.LEVEL,))
    with pytest.raises(ProgramError, match=r"^step 8: .* need room for one more, got 6"):
        take(array, *[(rna.OPERAND_IN,)] * 7, port=[[1, 0]] * 7)
    wide = neuron({"limits": np.array([-9999, 9999])}, sum_bits=16, point_bits=16)
    with pytest.raises(AccumulatorError, match="need a number of 9 bits, got 256"):
        wide.load("value", np.array([256]))
        take(wide, (rna.SEEK_CODE,))


@pytest.mark.parametrize(
    ("parameters", "constants", "words"),
    [
        ({"point_bits": 11}, {}, "need point_bits of 12, as sums have, or more, got 11"),
        ({"value_bits": 2}, {}, "need words of 3 bits"),
        ({}, {"products": np.array([1])}, "constant products needs a row a weight code"),
        ({}, {"products": np.zeros((0, 2), np.int64)}, "constant products needs"),
        ({}, {"points": np.zeros((2, 3), np.int64)}, "constant points needs x and y"),
        ({}, {"values": np.zeros((2, 1), np.int64)}, "constant values needs one axis"),
        ({}, {"limits": np.zeros(3, np.int64)}, "constant limits needs two numbers"),
        ({}, {"limits": np.array([1, 0])}, "constant limits needs the lower first, got 1, 0"),
    ],
)
def test_what_does_not_go_together_is_one_error(
    parameters: Any, constants: Any, words: str
) -> None:
    with pytest.raises(ConfigError, match=words):
        neuron(constants, **parameters)


@pytest.mark.parametrize(
    ("name", "values", "words"),
    [
        ("counters", [[0, 16], [0, 0]], "state counters: need numbers of 0 to 15"),
        ("count", [-1], "state count: need numbers of 0 to 15"),
        ("listed", [7], "state listed: need numbers of 0 to 6"),
        ("missing", [-1], "state missing: need numbers of 0"),
        ("operands", [[4096]] + [[0]] * 5, "state operands: need zero padding beyond bit 11"),
        ("match", [8], "state match: need zero padding beyond row 2"),
    ],
)
def test_states_that_are_none_are_refused(name: str, values: Any, words: str) -> None:
    array = neuron()
    with pytest.raises(LayoutError, match=words):
        array.load(name, np.array(values, array.view(name).dtype))


def test_what_a_step_does_is_told() -> None:
    array = neuron()
    told = [array.told((code, 1, 0, -1, 0), {}) for code in (rna.READ_PRODUCT, rna.OPERAND)]
    assert told == [
        "READ_PRODUCT: product, count = those of weight code 1, input code 0",
        "OPERAND: product * 2^1 is listed as digit 1 of count says",
    ]
    assert array.told((rna.GIVE_SUM, -1, -1, -1, 0), {}) == "GIVE_SUM: the port = sum"
    stage = array.told((rna.STAGE_CODE, 2, -1, -1, 0), {})
    assert stage == "STAGE_CODE: match lines = rows of values that stage 2 leaves up"
    told = [array.told((code, 1, -1, -1, 0), {}) for code in (rna.LOOK_UP, rna.STAGE_LARGEST)]
    assert told == [
        "LOOK_UP: code = the product of row 1 and the port's code",
        "STAGE_LARGEST: match lines = candidates that stage 1 leaves up",
    ]


@settings(max_examples=60, deadline=None)
@given(seed=SEEDS)
def test_changed_programs_are_one_error_or_run(seed: int) -> None:
    rng = np.random.default_rng(seed)
    program = random_rna_program(seed % 50)
    steps = program.steps.read().copy()
    place, column = int(rng.integers(len(steps))), int(rng.integers(5))
    numbers = [-(2**31), -1, 0, 1, 5, 63, 64, 3072, 3080, 3085, 3088, 3089, 3092, 2**31 - 1]
    steps[place, column] = rng.choice(numbers)
    assert program.port is not None
    rows = program.port.read().copy()
    number = rng.choice([-(2**63), -1, 0, 4, 2**40, 2**63 - 1])
    rows[int(rng.integers(len(rows))), int(rng.integers(rows.shape[1]))] = number
    changed = replace(program, steps=tensor(steps), port=tensor(rows))
    try:
        replay_program(changed)
    except (AccumulatorError, ConfigError, LayoutError, ProgramError, TraceDataError) as error:
        assert isinstance(error, BitpimError) and "\n" not in str(error)
