"""The memory that is searched, step by step: equal to cell by cell, and strict about its steps."""

import itertools
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
from bitpim.lookup import stepped_cam as cam
from bitpim.lookup.cam import Cam
from bitpim.lookup.stepped_cam import SteppedCam
from bitpim.lookup.words import CamWords
from bitpim.recorded import Recording
from bitpim_kernels.layout import unpack
from bitpim_traces.program_trace.reader import open_program
from bitpim_traces.program_trace.writer import write_program
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


def filled(words: CamWords) -> SteppedCam:
    array = SteppedCam(len(words), words.n_bits)
    array.load("value", words.bits)
    array.load("care", words.care)
    return array


def take(array: SteppedCam, *steps: tuple[int, ...], port: Any = ()) -> Any:
    """Take steps of a code, a, b, dst and rule."""
    table = np.array(steps, np.int32)
    array.check(table, 0)
    rows = np.zeros((len(port), *array.port.shape), np.uint64)
    for row, numbers in zip(rows, port, strict=True):
        row[: len(numbers)] = numbers
    array.check_port(rows, 0)
    return array.run(table, rows)


def port_word(word: CamWords) -> list[int]:
    return [*word.bits[0].tolist(), *word.care[0].tolist()]


KINDS = {
    "exact": cam.SEARCH_EXACT, "ternary": cam.SEARCH_TERNARY, "prefix": cam.SEARCH_PREFIX,
    "threshold": cam.SEARCH_THRESHOLD, "best": cam.SEARCH_BEST, "weighted": cam.SEARCH_WEIGHTED,
    "abs": cam.SEARCH_NEAREST, "wxor": cam.SEARCH_WXOR, "range": cam.SEARCH_RANGE,
    "staged": cam.PRECHARGE,
}  # fmt: skip
WITH_TOP = ("threshold", "best", "weighted", "abs", "wxor", "staged")


def drawn_search(
    rng: np.random.Generator, kind: str, n_bits: int
) -> tuple[str, dict[str, Any], list[tuple[int, ...]], list[list[int]]]:
    """Draw the options of a search; return it for a CAM, and as steps with their port rows."""
    code, ties = KINDS[kind], int(rng.integers(2))
    options: dict[str, Any] = {"ties": ("lowest", "highest")[ties]}
    a, b, before, port = -1, -1, [], []
    if kind == "prefix":
        options["top_bits"] = a = int(rng.integers(1, n_bits + 1))
    if kind == "threshold":
        options["limit"] = a = int(rng.integers(0, 4))
    if kind in WITH_TOP and rng.random() < 0.5:
        options["top_bits"] = b = int(rng.integers(1, n_bits + 1))
    if kind == "weighted":
        options["weights"] = rng.integers(0, 4, n_bits).tolist()
        before = [(cam.WEIGH, -1, -1, bit, 0) for bit in range(n_bits)]
        port = [[weight] for weight in options["weights"]]
    if kind not in ("abs", "wxor", "staged"):
        return kind, options, [*before, (code, a, b, -1, ties)], port
    options |= {"mode": kind, "signed": bool(rng.integers(2))}
    rule = ties + 2 * options["signed"]
    if kind != "staged":
        return "nearest", options, [(code, -1, b, -1, rule)], port
    n = n_bits if b < 0 else b
    options["stage_bits"] = size = int(rng.integers(1, n + 1))
    steps = [(code, -1, b, -1, 0)]
    ends = [*range(n_bits, n_bits - n, -size), n_bits - n]
    steps += [(cam.STAGE, high - low, low, -1, rule & 2) for high, low in itertools.pairwise(ends)]
    return "nearest", options, [*steps, (cam.ELECT, n_bits - n, -1, -1, rule)], port


@settings(max_examples=80, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    n_rows=st.sampled_from([1, 4, 64, 70]),
    n_bits=st.sampled_from([1, 7, 20, 63]),
    kinds=st.lists(st.sampled_from(sorted(KINDS)), min_size=1, max_size=6),
)
def test_searches_one_after_the_other_are_those_of_one_memory(
    seed: int, n_rows: int, n_bits: int, kinds: list[str]
) -> None:
    rng = np.random.default_rng(seed)
    few = rng.integers(0, 2, (3, n_bits))
    words = CamWords.from_bits(
        few[rng.integers(0, 3, n_rows)] ^ (rng.random((n_rows, n_bits)) < 0.2)
    )
    whole, array = Cam(words), filled(words)
    for kind in kinds:
        query = CamWords.from_bits(few[:1] ^ (rng.random((1, n_bits)) < 0.3))
        name, options, steps, port = drawn_search(rng, kind, n_bits)
        take(array, (cam.QUERY, -1, -1, -1, 0), port=[port_word(query)])
        if name == "range":
            low, high = sorted([query, words[:1]], key=lambda word: int(word.codes()[0]))
            take(array, (cam.QUERY, -1, -1, -1, 0), port=[port_word(low)])
            take(array, (cam.HIGH, -1, -1, -1, 0), port=[port_word(high)])
            query, options["high"] = low, high
        take(array, *steps, port=port)
        every = {"ties": "all"} if name in ("best", "weighted", "nearest") else {"every": True}
        lines = Cam(words).search(query, name, **{**options, **every})
        found = whole.search(query, name, **options)
        row, n_matches = int(found.rows[0, 0]), len(lines.matches_of(0))
        distance = 0 if found.distances is None else int(found.distances[0, 0])
        assert array.view("answer").tolist() == [row, -1 if row < 0 else distance, n_matches]
        up = unpack(array.view("match"), n_rows)
        assert np.flatnonzero(up).tolist() == lines.matches_of(0).tolist()
        assert array.counts == whole.counts


def test_a_range_is_two_words() -> None:
    array = filled(CamWords.from_codes(np.array([1, 5, 9, 12]), 4))
    ends = [port_word(CamWords.from_codes(np.array([n]), 4)) for n in (4, 11)]
    steps = [(cam.QUERY, -1, -1, -1, 0), (cam.HIGH, -1, -1, -1, 0)]
    take(array, *steps, (cam.SEARCH_RANGE, -1, -1, -1, 1), port=ends)
    assert array.view("answer").tolist() == [2, 0, 2] and array.view("match").tolist() == [0b110]
    with pytest.raises(ConfigError, match=r"^step 5: search range: .*need low <= high"):
        take(array, *steps, (cam.SEARCH_RANGE, -1, -1, -1, 1), port=ends[::-1])


def test_stages_show_the_lines_that_are_left() -> None:
    """0111 is next to 1000, but the first bits leave 0100 and 0101 alone."""
    array = filled(CamWords.from_text(["1000", "0100", "0101", "0000"]))
    query = port_word(CamWords.from_text(["0111"]))
    take(array, (cam.QUERY, -1, -1, -1, 0), (cam.PRECHARGE, -1, -1, -1, 0), port=[query])
    assert array.view("match").tolist() == [0b1111]
    take(array, (cam.STAGE, 2, 2, -1, 0))
    assert array.view("match").tolist() == [0b0110]
    take(array, (cam.STAGE, 2, 0, -1, 0))
    assert array.view("match").tolist() == [0b0100]
    assert array.view("answer").tolist() == [0, 0, 0]
    take(array, (cam.ELECT, 0, -1, -1, 0))
    assert array.view("answer").tolist() == [2, 2, 1]


@pytest.mark.parametrize(
    ("rule", "answer"), [(0, [1, 5, 1]), (1, [1, 5, 1]), (2, [0, 1, 1]), (3, [0, 1, 1])]
)
def test_stages_know_signs(rule: int, answer: list[int]) -> None:
    """1111 is -1, next to 0, or 15, farther from it than 5."""
    array = filled(CamWords.from_text(["1111", "0101"]))
    query = port_word(CamWords.from_text(["0000"]))
    steps = [(cam.QUERY, -1, -1, -1, 0), (cam.PRECHARGE, -1, -1, -1, 0)]
    take(array, *steps, (cam.STAGE, 4, 0, -1, rule & 2), (cam.ELECT, 0, -1, -1, rule), port=[query])
    assert array.view("answer").tolist() == answer


def test_a_distance_has_all_bits_that_were_compared() -> None:
    array = filled(CamWords.from_text(["1111"]))
    array.load("query", np.array([[0], [15]], np.uint64))
    array.load("match", np.array([1], np.uint64))
    for low, distance in ((0, 15), (1, 7), (3, 1)):
        take(array, (cam.ELECT, low, -1, -1, 0))
        assert array.view("answer").tolist() == [0, distance, 1]


def test_an_answer_has_three_numbers_and_zeros_beside_them() -> None:
    array = SteppedCam(2, 130)
    array.load("answer", np.array([1, -1, 2]))
    step = np.array([(cam.ANSWER, -1, -1, -1, 0)], np.int32)
    out = array.run(step, np.full((1, *array.port.shape), 9, np.uint64))
    assert out.view(np.int64).tolist() == [[1, -1, 2, 0, 0, 0]]


def test_the_widest_numbers_have_a_distance_with_a_sign() -> None:
    for code in (cam.SEARCH_NEAREST, cam.SEARCH_WXOR, cam.PRECHARGE):
        step = np.array([(code, -1, -1, -1, 0)], np.int32)
        SteppedCam(2, 63).check(step, 0)
        with pytest.raises(ProgramError, match="need a step of the array cam of 2 rows of 64"):
            SteppedCam(2, 64).check(step, 0)


def test_no_row_that_is_up_is_no_answer() -> None:
    array = filled(CamWords.from_codes(np.array([1, 2, 3]), 4))
    array.load("query", np.array([[5], [15]], np.uint64))
    take(array, (cam.STAGE, 4, 0, -1, 0), (cam.ELECT, 0, -1, -1, 1))
    assert array.view("answer").tolist() == [-1, -1, 0] and not array.view("match").any()
    assert array.counts == Counts(cam_stage=1)


@pytest.mark.parametrize(
    ("step", "words"),
    [
        ((cam.SEARCH_EXACT, -1, -1, -1, 0), "step 0: search exact: need a 0 or 1 .* in row 1"),
        ((cam.SEARCH_NEAREST, -1, -1, -1, 0), "step 0: search nearest: .* don't-care in row 1"),
        ((cam.PRECHARGE, -1, -1, -1, 0), "step 0: search nearest: .* don't-care"),
        ((cam.STAGE, 1, 0, -1, 0), "step 0: CAM words: need a bit in every cell"),
    ],
)
def test_numbers_have_a_bit_in_every_cell(step: tuple[int, ...], words: str) -> None:
    array = filled(CamWords.from_text(["0011", "0X11"]))
    array.load("query", np.array([[5], [15]], np.uint64))
    with pytest.raises(LayoutError, match=words):
        take(array, step)


def test_weights_are_numbers_whose_sum_fits() -> None:
    array = filled(CamWords.from_text(["0011", "0111"]))
    weigh = [(cam.WEIGH, -1, -1, bit, 0) for bit in range(2)]
    for weight in ([2**63], [1, 1]):
        with pytest.raises(LayoutError, match=r"step 0: a weight .* need one number below 2"):
            take(array, weigh[0], port=[weight])
    take(array, *weigh, port=[[2**62], [2**62]])
    with pytest.raises(ConfigError, match="step 2: search weighted: weights needs a sum"):
        take(array, (cam.SEARCH_WEIGHTED, -1, -1, -1, 0))


@pytest.mark.parametrize(
    "step",
    [
        (cam.SEARCH_BEST, -1, 0, -1, 0),
        (cam.SEARCH_BEST, -1, 10, -1, 0),
        (cam.SEARCH_TERNARY, -1, 3, -1, 0),
        (cam.SEARCH_BEST, -1, -1, -1, 2),
        (cam.SEARCH_WXOR, -1, -1, -1, 4),
        (cam.SEARCH_NEAREST, -1, -1, -1, -1),
        (cam.PRECHARGE, -1, -1, -1, 1),
        (cam.PRECHARGE, -1, 10, -1, 0),
        (cam.STAGE, 0, 0, -1, 0),
        (cam.STAGE, 5, 5, -1, 0),
        (cam.STAGE, 1, -1, -1, 0),
        (cam.STAGE, 1, 0, -1, 1),
        (cam.ELECT, 9, -1, -1, 0),
        (cam.ELECT, -1, -1, -1, 0),
        (cam.ELECT, 0, 0, -1, 0),
        (cam.WEIGH, -1, -1, 9, 0),
        (cam.WEIGH, -1, -1, -1, 0),
        (cam.HIGH, -1, -1, 0, 0),
        (cam.HIGH + 1, -1, -1, -1, 0),
    ],
)
def test_a_step_beyond_its_numbers_is_named(step: tuple[int, ...]) -> None:
    with pytest.raises(ProgramError, match=r"^step 1: need a step of the array cam of 3 rows of 9"):
        SteppedCam(3, 9).check(np.array([(cam.QUERY, -1, -1, -1, 0), step], np.int32), 0)


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_a_search_of_every_kind_replays_from_a_file(kind: str, tmp_path: Path) -> None:
    rng = np.random.default_rng(5)
    words = CamWords.from_codes(np.array([3, 9, 200, 90]), 9)
    recording = Recording(filled(words), {"n_rows": 4, "n_bits": 9}, after="every")
    _, _, steps, port = drawn_search(rng, kind, 9)
    asked = [(cam.QUERY, -1, -1, -1, 0), (cam.HIGH, -1, -1, -1, 0)]
    rows = [port_word(words[:1]), port_word(words[2:3]), *port]
    given = np.zeros((len(rows), 3), np.uint64)
    for row, numbers in zip(given, rows, strict=True):
        row[: len(numbers)] = numbers
    recording.steps(np.array([*asked, *steps], np.int32), given)
    recording.step(cam.ANSWER)
    program = recording.finish(kind)
    write_program(program, tmp_path / "cam.h5")
    assert replay_program(open_program(tmp_path / "cam.h5")).equal
    assert program.expected is not None
    lines = program.expected.state["match"]
    wrong = lines.read().copy()
    wrong[-2] ^= np.uint64(1)  # after the last search
    state = {**program.expected.state, "match": TensorRecord.of(wrong, axes="", role="", units="1")}
    found = replay_program(replace(program, expected=replace(program.expected, state=state)))
    assert found.difference is not None
    assert (found.difference.step, found.difference.place) == (program.n_steps - 2, (0,))


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_changed_programs_are_one_error_or_run(seed: int) -> None:
    rng = np.random.default_rng(seed)
    program = random_cam_program(seed % 50)
    steps = program.steps.read().copy()
    numbers = [-(2**31), -1, 0, 1, 2, 3, 9, 2048, 2055, 2060, 2061, 2062, 2063, 2064, 2**31 - 1]
    for _ in range(3):
        steps[int(rng.integers(len(steps))), int(rng.integers(5))] = rng.choice(numbers)
    assert program.port is not None
    rows = program.port.read().copy()
    rows[int(rng.integers(len(rows))), int(rng.integers(3))] = rng.choice([0, 511, 2**20, 2**63])
    tensors = (TensorRecord.of(values, axes="", role="", units="1") for values in (steps, rows))
    changed = replace(program, steps=next(tensors), port=next(tensors))
    try:
        replay_program(changed)
    except (ConfigError, LayoutError, ProgramError, TraceDataError) as error:
        assert "\n" not in str(error)


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
    with pytest.raises(LayoutError, match="state match: need zero padding beyond row 2"):
        array.load("match", np.array([8], np.uint64))


def test_what_a_step_does_is_told() -> None:
    array = SteppedCam(3, 9)
    told = [
        array.told(step, {})
        for step in (
            (cam.WRITE, -1, -1, 2, 0),
            (cam.SEARCH_THRESHOLD, 4, -1, -1, 1),
            (cam.SEARCH_BEST, -1, -1, -1, 0),
            (cam.SEARCH_WXOR, -1, 4, -1, 3),
            (cam.PRECHARGE, -1, -1, -1, 0),
            (cam.STAGE, 3, 4, -1, 2),
            (cam.ELECT, 4, -1, -1, 1),
            (cam.WEIGH, -1, -1, 5, 0),
        )
    ]
    assert told == [
        "WRITE: row 2 = the port",
        "SEARCH_THRESHOLD: limit 4, highest row of those alike",
        "SEARCH_BEST: lowest row of those alike",
        "SEARCH_WXOR: top_bits 4, signed, highest row of those alike",
        "PRECHARGE: all bits",
        "STAGE: bits 4 to 6, signed",
        "ELECT: from bit 4, highest row of those alike",
        "WEIGH: weight of bit 5 = the port",
    ]
