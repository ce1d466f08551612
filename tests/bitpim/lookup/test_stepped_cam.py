"""The memory that is searched, step by step: equal to cell by cell, and strict about its steps."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bitpim.counts import Counts
from bitpim.errors import LayoutError, ProgramError
from bitpim.golden.replaying import replay_program
from bitpim.golden.stepper import Stepper
from bitpim.lookup import stepped_cam as cam
from bitpim.lookup.cam import Cam
from bitpim.lookup.stepped_cam import SteppedCam
from bitpim.lookup.words import CamWords
from bitpim_traces.records import TensorRecord
from tests.naive.cam import ANY, ONE, ZERO, discharging
from tests.program_traces import random_cam_program


def number(bits: np.ndarray) -> int:
    return sum(int(bit) << k for k, bit in enumerate(bits.tolist()))


def expected(at: Stepper, code: int, a: int, ties: int) -> tuple[list[int], tuple[int, int, int]]:
    """Search cell by cell; return the rows whose lines stay up, and the answer."""
    value, care = at.peek("value"), at.peek("care")
    query, asked = (number(part) for part in at.peek("query"))
    n_bits = value.shape[1]
    if code == cam.SEARCH_PREFIX:
        asked &= ((1 << a) - 1) << (n_bits - a)
    rows = [
        [((ONE if bit else ZERO) if cares else ANY) for bit, cares in zip(*row, strict=True)]
        for row in zip(value.tolist(), care.tolist(), strict=True)
    ]
    apart = [len(discharging(row, query, asked)) for row in rows]
    limit = {cam.SEARCH_THRESHOLD: a, cam.SEARCH_BEST: min(apart)}.get(code, 0)
    up = [row for row, distance in enumerate(apart) if distance <= limit]
    if not up:
        return up, (-1, -1, 0)
    winner = up[-1] if ties else up[0]
    distance = apart[winner] if code in (cam.SEARCH_THRESHOLD, cam.SEARCH_BEST) else 0
    return up, (winner, distance, len(up))


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    n_rows=st.sampled_from([1, 2, 63, 65]),
    n_bits=st.sampled_from([1, 9, 64, 65, 130]),
)
def test_every_search_finds_what_cell_by_cell_is_found(seed: int, n_rows: int, n_bits: int) -> None:
    program = random_cam_program(seed, n_steps=12, n_rows=n_rows, n_bits=n_bits)
    at = Stepper(program)
    for code, a, _, _, ties in program.steps.read().tolist():
        lines, answer = expected(at, code, a, ties)
        assert at.step() is None
        if code >= cam.SEARCH_TERNARY:
            assert np.flatnonzero(at.peek("match")).tolist() == lines
            assert tuple(at.peek("answer").tolist()) == answer
    assert at.counts.to_dict() == program.counts


@pytest.mark.parametrize("seed", range(4))
def test_a_recording_replays(seed: int) -> None:
    program = random_cam_program(seed, after="every")
    assert replay_program(program).equal


def test_the_nearest_number_is_found() -> None:
    array = SteppedCam(4, 8)
    for row, value in enumerate([10, 20, 200, 30]):
        array.run(np.array([(cam.WRITE, -1, -1, row, 0)], np.int32), port(array, value, 255))
    for query, ties, answer, lines in ((15, 0, (0, 5, 2), 0b11), (15, 1, (1, 5, 2), 0b11),
                                       (255, 0, (2, 55, 1), 0b100)):  # fmt: skip
        steps = np.array([(cam.QUERY, -1, -1, -1, 0), (cam.SEARCH_NEAREST, -1, -1, -1, ties)])
        array.run(steps.astype(np.int32), port(array, query, 255))
        assert tuple(array.view("answer").tolist()) == answer
        assert array.view("match").tolist() == [lines]


def port(array: SteppedCam, value: int, care: int) -> np.ndarray:
    row = np.zeros((1, *array.port.shape), np.uint64)
    row[0, :2] = value, care
    return row


def test_counts_are_those_of_the_same_searches_at_once() -> None:
    """Search lines keep what they held from a query to the next, whatever is written meanwhile."""
    words = CamWords.from_text(["0011", "0101", "1111"])
    queries = CamWords.from_text(["0010", "1100", "0111"])
    array = SteppedCam(3, 4)
    for row in range(3):
        array.load("value", words.bits)
        array.load("care", words.care)
        steps = np.array([(cam.QUERY, -1, -1, -1, 0), (cam.SEARCH_BEST, -1, -1, -1, 0)], np.int32)
        query = queries[row : row + 1]
        array.run(steps, port(array, int(query.bits[0, 0]), int(query.care[0, 0])))
    whole = Cam(words)
    whole.search(queries, "best")
    assert array.counts == whole.counts != Counts()


def test_an_answer_that_is_another_row_is_found_at_its_step() -> None:
    program = random_cam_program(1)
    steps = program.steps.read()
    assert program.port is not None
    uses = np.flatnonzero(np.isin(steps[:, 0], (cam.WRITE, cam.QUERY, cam.ANSWER)))
    answers = np.flatnonzero(steps[uses, 0] == cam.ANSWER)
    rows = program.port.read().copy()
    rows[answers[-1], 0] ^= np.uint64(1)
    wrong = TensorRecord.of(rows, axes="", role="", units="1")
    found = replay_program(replace(program, port=wrong)).difference
    assert found is not None
    assert (found.step, found.state, found.place) == (int(uses[answers[-1]]), "port", (0,))


@pytest.mark.parametrize(
    "step",
    [
        (cam.WRITE, -1, -1, 3, 0),
        (cam.WRITE, 0, -1, 1, 0),
        (cam.WRITE, -1, -1, 1, 1),
        (cam.QUERY, -1, -1, 0, 0),
        (cam.ANSWER, -1, 0, -1, 0),
        (cam.SEARCH_PREFIX, 0, -1, -1, 0),
        (cam.SEARCH_PREFIX, 71, -1, -1, 0),
        (cam.SEARCH_THRESHOLD, -1, -1, -1, 0),
        (cam.SEARCH_BEST, 1, -1, -1, 0),
        (cam.SEARCH_BEST, -1, -1, -1, 2),
        (cam.SEARCH_NEAREST, -1, -1, -1, 0),  # of 70 bits
        (0, -1, -1, -1, 0),
        (2**31 - 1, 2**31 - 1, 0, 0, 0),
    ],
)
def test_a_step_that_it_cannot_take_is_named(step: tuple[int, ...]) -> None:
    with pytest.raises(ProgramError, match=r"^step 8: need a step of the array cam of 3 rows"):
        SteppedCam(3, 70).check(np.array([(cam.QUERY, -1, -1, -1, 0), step], np.int32), 7)


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ((1 << 9, 1 << 9, 0), "port row 5"),
        ((1, 511, 7), "port row 5"),
        ((1, 511, 2), "and beyond it"),
        ((3, 1, 0), "need zeros"),
    ],
)
def test_words_that_are_none_are_refused(row: tuple[int, ...], words: str) -> None:
    array = SteppedCam(3, 9)
    rows: Any = np.array([row], np.uint64)
    with pytest.raises(LayoutError, match=words):
        array.check_port(rows, 5)
        array.run(np.array([(cam.QUERY, -1, -1, -1, 0)], np.int32), rows)


def test_states_that_are_none_are_refused() -> None:
    array = SteppedCam(3, 9)
    with pytest.raises(LayoutError, match="state match: need zeros beyond row 2"):
        array.load("match", np.array([8], np.uint64))


def test_what_a_step_does_is_told() -> None:
    array = SteppedCam(3, 9)
    told = [
        array.told(step, {})
        for step in (
            (cam.WRITE, -1, -1, 2, 0),
            (cam.SEARCH_THRESHOLD, 4, -1, -1, 1),
            (cam.SEARCH_BEST, -1, -1, -1, 0),
        )
    ]
    assert told == [
        "WRITE: row 2 = the port",
        "SEARCH_THRESHOLD: limit 4, highest row of those alike",
        "SEARCH_BEST: lowest row of those alike",
    ]
