"""A crossbar with weights and inputs of one's own, against plain integers."""

from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import bitpim
from bitpim.crossbar.recording import CrossbarRecorder
from bitpim.crossbar.stepped import CLEAR, DRIVE, OUTPUT, PROGRAM
from bitpim.errors import ConfigError, MappingError, MismatchError
from bitpim.golden.given_crossbar import record_crossbar
from bitpim.golden.layer_shares import layer_arrays
from bitpim.golden.replaying import replay_program
from bitpim.golden.stepper import Stepper

ENCODINGS = ("offset", "column_flip", "differential", "differential_paired", "twos_complement")


SMALL = {"array_rows": 4, "array_columns": 4, "ou_rows": 2, "ou_columns": 4, "cell_bits": 2,
         "weight_bits": 4, "input_bits": 2, "adc_bits": 4}  # fmt: skip


def machine(**assigned: Any) -> Any:
    return bitpim.make_machine("dense_crossbar", settings=assigned)


def small(**assigned: Any) -> Any:
    return machine(**{**SMALL, **assigned})


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), encoding=st.sampled_from(ENCODINGS))
def test_products_are_exact_where_the_converter_loses_nothing(seed: int, encoding: str) -> None:
    rng = np.random.default_rng(seed)
    n_outputs, n_rows, n_inputs = (int(n) for n in rng.integers(1, [6, 20, 4]))
    weight_bits, input_bits = (int(n) for n in rng.integers(2, 10, 2))
    most = (1 << (weight_bits - 1)) - 1
    weights = rng.integers(-most, most + 1, (n_outputs, n_rows))
    signed = bool(rng.integers(2))
    low = -(1 << (input_bits - 1)) if signed else 0
    inputs = rng.integers(low, low + (1 << input_bits), (n_inputs, n_rows))
    made = machine(
        array_rows=n_rows, array_columns=200, ou_rows=int(rng.integers(1, n_rows + 1)),
        ou_columns=int(rng.integers(1, 9)), cell_bits=int(rng.integers(1, 5)), adc_bits=16,
        weight_bits=weight_bits, input_bits=input_bits, encoding=encoding,
    )  # fmt: skip
    found = record_crossbar(weights, inputs, made)
    exact = [[sum(int(w) * int(x) for w, x in zip(row, v, strict=True)) for row in weights]
             for v in inputs]  # fmt: skip
    assert found.exact.tolist() == found.products.tolist() == exact
    assert (found.n_differ, found.losses) == (0, None)
    assert replay_program(found.program).equal
    arrays = layer_arrays(found.program)
    assert arrays["outputs"].tolist() == np.array(exact).reshape(-1).tolist()
    assert arrays["inputs"].tolist() == inputs.reshape(-1).tolist()
    assert arrays["input_places"].tolist() == [
        [0, n, row] for n in range(n_inputs) for row in range(n_rows)
    ]
    assert arrays["output_places"].tolist() == [
        [n, output] for n in range(n_inputs) for output in range(n_outputs)
    ]


def test_a_crossbar_worked_out_by_hand() -> None:
    """Two weights of 4 bits, offset by 8, in two cells of 2 bits each: 8 + 3 = 0b10 11."""
    weights, inputs = np.array([[3, -8, 0], [1, 7, -1]]), np.array([[1, 2, 3], [0, 1, 0]])
    found = record_crossbar(weights, inputs, small())
    assert found.products.tolist() == [[3 - 16, 1 + 14 - 3], [-8, 7]]
    at = Stepper(found.program)
    at.run_to(3)
    assert at.peek("cells").tolist() == [[3, 1, 2, 2], [0, 3, 0, 3], [0, 3, 2, 1], [0, 0, 0, 0]]
    steps = found.program.steps.read()[:, 0].tolist()
    assert steps.count(PROGRAM) == 3 and steps.count(CLEAR) == 2 and steps.count(OUTPUT) == 2
    assert steps.count(DRIVE) == 2 * 2  # bits of an input, of each vector
    at.run_to(7)  # the first bit of the first vector is driven, rows 0 and 1 are read and added
    assert at.peek("inputs").tolist() == [1, 0, 1, 0]
    assert at.peek("partial_sums").tolist() == at.peek("codes").tolist() == [3, 1, 2, 2]
    assert at.peek("sums").tolist() == [3 + 4 * 2, 1 + 4 * 2]
    at.run_to_end()
    offset = 8 * inputs[1].sum()
    assert at.peek("sums").tolist() == [-8 + offset, 7 + offset]
    assert layer_arrays(found.program)["sums"].tolist()[2:] == at.peek("sums").tolist()
    marks = [text for _, text in found.program.marks]
    assert marks[:2] == ["program the cells", "input vector 0"] and "input vector 1" in marks
    assert found.program.name == "crossbar: 2 x 3 inputs, 2 outputs"


def test_a_converter_that_clips_is_told_with_what_it_loses() -> None:
    weights, inputs = np.array([[7, 7, 7, 7]]), np.array([[3, 3, 3, 3], [0, 0, 0, 1]])
    found = record_crossbar(weights, inputs, small(ou_rows=4, adc_bits=3))
    # both cells hold 3; four rows sum to 12 in each of two slices, read as 7
    clipped = (7 + 4 * 7) * (1 + 2) - 8 * 12
    assert found.products.tolist() == [[clipped], [7]] and found.exact.tolist() == [[84], [7]]
    assert found.n_differ == 1 and found.losses is not None
    assert str(found) == (
        f"2 products of weights and inputs, 1 differ from the exact ones by up to {84 - clipped}"
    )
    assert replay_program(found.program).equal


@pytest.mark.parametrize("model", ["floor", "round"])
def test_readings_of_several_levels_are_scaled(model: str) -> None:
    weights, inputs = np.array([[7, 7, 7, 7]]), np.array([[3, 3, 3, 3]])
    found = record_crossbar(weights, inputs, small(ou_rows=4, adc_bits=3, adc_model=model))
    step = Fraction(found.program.provenance["levels_of_a_reading"])
    assert step > 1
    (total,) = layer_arrays(found.program)["sums"].tolist()
    assert found.products.tolist() == [[int(total * step + Fraction(1, 2)) - 8 * 12]]


@pytest.mark.parametrize("name", ["isaac", "pipelayer", "pattern_crossbar"])
def test_other_machines_lay_them_in_their_own_way(name: str) -> None:
    rng = np.random.default_rng(1)
    weights, inputs = rng.integers(-8, 8, (4, 27)), rng.integers(0, 16, (3, 27))
    found = record_crossbar(weights, inputs, bitpim.make_machine(name))
    assert found.n_differ == 0 and found.program.provenance["machine"] == name
    assert replay_program(found.program).equal


@pytest.mark.parametrize(
    ("weights", "inputs", "words"),
    [
        ([[1, 2]], [[1, 2, 3]], r"with as many rows, one .* got \(1, 2\) and \(1, 3\)"),
        ([[], []], [[]], r"one at least of each, got \(2, 0\) and \(1, 0\)"),
        (np.zeros((0, 2)), [[1, 2]], r"one at least of each, got \(0, 2\) and \(1, 2\)"),
        ([[1, 2]], np.zeros((0, 2)), r"one at least of each, got \(1, 2\) and \(0, 2\)"),
        ([1, 2], [[1, 2]], r"need weights \(outputs, rows\)"),
        ([[1, 2]], [1, 2], r"need weights \(outputs, rows\)"),
        (
            [[1, 2**15]],
            [[1, 2]],
            r"need weights of at most 16 bits, -32768\.\.32767, got 1\.\.32768",
        ),
        ([[1, -(2**15) - 1]], [[1, 2]], r"need weights of at most 16 bits.*-32769\.\.1"),
        ([[1, 2]], [[0, 2**16]], r"need inputs of at most 16 bits, 0\.\.65535, got 0\.\.65536"),
        ([[1, 2]], [[-1, 2**15]], r"need inputs of at most 16 bits, -32768\.\.32767"),
    ],
)
def test_numbers_that_are_none_of_a_crossbar_are_refused(
    weights: Any, inputs: Any, words: str
) -> None:
    with pytest.raises(ConfigError, match=words):
        record_crossbar(np.array(weights), np.array(inputs), machine())


def test_the_widest_numbers_are_taken() -> None:
    weights = np.array([[-(2**15), 2**15 - 1]])
    for inputs in ([[2**16 - 1, 0]], [[-(2**15), 2**15 - 1]]):
        found = record_crossbar(weights, np.array(inputs), machine())
        assert found.n_differ == 0 and found.products.dtype == np.int64


def test_what_does_not_fit_the_machine_says_what_helps() -> None:
    weights, inputs = np.full((2, 9), 7), np.full((1, 9), 3)
    with pytest.raises(MappingError, match=r"need weights that lie on one crossbar, got 3"):
        record_crossbar(weights, inputs, small())
    with pytest.raises(MappingError, match=r"use `--set numbers.input_bits=4`"):
        record_crossbar(weights[:, :4], 5 * inputs[:, :4], small())
    with pytest.raises(MappingError, match=r"use `--set numbers.weight_bits=5`"):
        record_crossbar(2 * weights[:, :4], inputs[:, :4], small())
    with pytest.raises(ConfigError, match="need one on crossbars for weights of your own"):
        record_crossbar(weights, inputs, bitpim.make_machine("neural_cache"))


def test_a_product_that_is_not_exact_though_nothing_is_lost_is_an_error(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(CrossbarRecorder, "products", lambda self, codes, recorded: codes[:, :1])
    with pytest.raises(MismatchError, match=r"2 differ .*, though it loses nothing"):
        record_crossbar(np.array([[5, 1]]), np.array([[1, 2], [3, 0]]), small())
