"""An array is made of what a program trace says, or one error says what is wrong."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from bitpim.errors import BitpimError, ConfigError, LayoutError, OutOfMemoryError
from bitpim.golden.arrays import ARRAYS, array_of
from bitpim_traces.program_trace.records import ProgramTrace
from bitpim_traces.records import TensorRecord
from tests.program_traces import random_program

PROGRAM = random_program(0)
SIZES = PROGRAM.parameters


def tensor(values: Any) -> TensorRecord:
    return TensorRecord.of(np.asarray(values), axes="", role="", units="1")


def test_every_kind_is_known_by_its_name_and_has_steps_of_its_own() -> None:
    for name, made in ARRAYS.items():
        assert made.kind == name
        assert all(code == form.code for code, form in made.forms.items())


def test_the_initial_state_is_the_trace_s() -> None:
    rows = np.arange(12, dtype=np.uint64).reshape(6, 2)
    array = array_of(replace(PROGRAM, state={"rows": tensor(rows)}))
    assert array.view("rows").tolist() == rows.tolist()
    assert not array.view("tag").any()


@pytest.mark.parametrize(
    ("changed", "error", "words"),
    [
        ({"array": "sramm"}, ConfigError, "need an array of .*sram.*, got 'sramm'"),
        ({"parameters": {}}, ConfigError, "need the parameters n_rows, .*, got none"),
        ({"parameters": {**SIZES, "n": 1}}, ConfigError, "need the parameters"),
        ({"parameters": {**SIZES, "n_rows": 0}}, ConfigError, "n_rows needs 1 to 65536, got 0"),
        ({"parameters": {**SIZES, "n_rows": "6"}}, ConfigError, "n_rows needs 1 to 65536, got '6'"),
        ({"parameters": {**SIZES, "n_columns": 2**26}}, ConfigError, "n_columns needs 1 to"),
        (
            {"parameters": {**SIZES, "n_rows": 65536, "n_columns": 2**26 - 1}},
            OutOfMemoryError,
            "need states of at most",
        ),
        (
            {"array": "cam", "parameters": {"n_rows": 2**22 - 1, "n_bits": 65535}},
            OutOfMemoryError,
            "need states of at most",
        ),
        ({"constants": {"table": tensor([1])}}, ConfigError, "need the constants none"),
        ({"state": {"row": tensor([1])}}, LayoutError, "states of rows, carry, tag, got 'row'"),
        (
            {"state": {"rows": tensor(np.zeros((5, 2), np.uint64))}},
            LayoutError,
            r"state rows: need uint64 of shape \(6, 2\)",
        ),
        ({"state": {"rows": tensor(np.zeros((6, 2), np.int64))}}, LayoutError, "got int64"),
        ({"state": {"tag": tensor(np.array([0, 64], np.uint64))}}, LayoutError, "beyond column 69"),
        ({"port": tensor(np.zeros((9, 3), np.uint64))}, LayoutError, "of the port: need uint64"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_one_error(
    changed: dict[str, Any], error: type[BitpimError], words: str
) -> None:
    wrong: ProgramTrace = replace(PROGRAM, **changed)
    with pytest.raises(error, match=words):
        array_of(wrong)


def test_expected_states_have_the_forms_of_the_array() -> None:
    assert PROGRAM.expected is not None
    for state, words in (
        ({"rowz": tensor(np.zeros((1, 6, 2), np.uint64))}, "got 'rowz'"),
        ({"rows": tensor(np.zeros((1, 6, 3), np.uint64))}, "expected state rows: need uint64"),
    ):
        with pytest.raises(LayoutError, match=words):
            array_of(replace(PROGRAM, expected=replace(PROGRAM.expected, state=state)))
