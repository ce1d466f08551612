"""Programs turned into text against the interpreter that runs them row by row."""

import itertools
import traceback
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bitpim_kernels import bitline, layout
from bitpim_kernels import opcodes as op
from bitpim_kernels.family import Opcode
from bitpim_kernels.straight_line import compile_source, follow, indent
from tests.kernels.conftest import Form
from tests.naive.bitline import run_lane
from tests.random_tables import random_table

N_ROWS = 6
ONES = np.uint64(0xFFFFFFFFFFFFFFFF)
Rows = npt.NDArray[np.uint64]
Table = npt.NDArray[np.int32]

HEAD = """import numpy as np

from bitpim_kernels.jit import kernel

ZERO = np.uint64(0)
ONES = np.uint64(0xFFFFFFFFFFFFFFFF)


@kernel()
def run(rows):
    for w in range(rows.shape[1]):
"""


def interpreted(table: Table, rows: Rows) -> Rows:
    out = rows.copy()
    latches = np.zeros((2, rows.shape[1]), np.uint64)
    bitline.run_program(table, out, latches[0], latches[1], layout.tail_mask(64), 8)
    return out


def random_rows(seed: int, n_words: int, given_rows: list[int]) -> Rows:
    rows = np.zeros((N_ROWS, n_words), np.uint64)
    rng = np.random.default_rng(seed)
    rows[given_rows] = rng.integers(0, 2**64, (len(given_rows), n_words), dtype=np.uint64)
    return rows


@settings(max_examples=200, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    n_steps=st.integers(0, 60),
    given_rows=st.lists(st.integers(0, N_ROWS - 1), unique=True),
)
def test_the_text_leaves_every_row_as_the_interpreter_does(
    seed: int, n_steps: int, given_rows: list[int]
) -> None:
    table = random_table(seed, op.SRAM, n_steps, N_ROWS)
    rows = random_rows(seed, 3, given_rows)
    lines, values = follow(op.SRAM, table, {r: f"s{r}" for r in given_rows}, range(N_ROWS))
    names: dict[str, Any] = {"ZERO": np.zeros(3, np.uint64), "ONES": np.full(3, ONES)}
    names |= {f"s{r}": rows[r] for r in given_rows}
    exec("\n".join(lines), names)
    got = np.array([names[values[r]] for r in range(N_ROWS)])
    assert np.array_equal(got, interpreted(table, rows))


@pytest.mark.parametrize("seed", range(3))
def test_the_compiled_text_does_too(seed: int, form: Form) -> None:
    table = random_table(seed, op.SRAM, 50, N_ROWS)
    inputs = {r: f"s{r}" for r in range(N_ROWS)}
    lines, values = follow(op.SRAM, table, inputs, range(N_ROWS))
    loads = [f"s{r} = rows[{r}, w]" for r in range(N_ROWS)]
    stores = [f"rows[{r}, w] = {values[r]}" for r in range(N_ROWS)]
    module = compile_source(HEAD + indent(loads + lines + stores, 2) + "\n")
    rows = random_rows(seed, 70, list(range(N_ROWS)))
    expected = interpreted(table, rows)
    assert not np.array_equal(rows, expected)
    form(module.__dict__["run"])(rows)
    assert np.array_equal(rows, expected)


def test_what_is_known_costs_no_line() -> None:
    table = np.array(
        [
            [op.ZERO, -1, -1, 2, op.ALWAYS],
            [op.ONE, -1, -1, 3, op.ALWAYS],
            [op.AND, 0, 2, 2, op.ALWAYS],
            [op.XNOR, 1, 3, 3, op.ALWAYS],
            [op.TAG_SET, -1, -1, -1, op.ALWAYS],
            [op.COPY, 0, -1, 1, op.IF_TAG],
        ],
        np.int32,
    )
    lines, values = follow(op.SRAM, table, {0: "a", 1: "b"}, range(4))
    assert values == {0: "a", 1: "a", 2: "ZERO", 3: values[3]}
    assert all(line.startswith("v") for line in lines)
    assert len(lines) <= 2  # xnor with ones: not, not


def test_unknown_opcodes_are_refused() -> None:
    with pytest.raises(ValueError, match="need a sram opcode, got 60"):
        follow(op.SRAM, np.array([[60, 0, 1, 2, op.ALWAYS]], np.int32), {}, [2])


def test_a_full_adder_is_five_gates() -> None:
    """Its half sum serves the sum and the carry; a half adder, without a carry yet, is two."""
    add = [[op.ADD, 0, 1, 2, op.ALWAYS], [op.ADD, 3, 4, 5, op.ALWAYS]]
    lines, values = follow(op.SRAM, np.array(add, np.int32), {r: f"s{r}" for r in range(5)}, [2, 5])
    assert lines == [
        "v0 = s0 ^ s1",
        "v1 = s0 & s1",
        "v2 = s3 ^ s4",
        "v3 = v2 ^ v1",
        "v4 = s3 & s4",
        "v5 = v2 & v1",
        "v6 = v4 | v5",
    ]
    assert values == {2: "v0", 5: "v3"}


@pytest.mark.parametrize("opcode", op.SRAM.opcodes, ids=lambda opcode: opcode.mnemonic)
def test_each_opcode_on_every_state_of_its_lane(opcode: Opcode) -> None:
    # 32 lanes, bits of Python integers, hold every state of three cells and both latches
    cells = [sum((lane >> bit & 1) << lane for lane in range(32)) for bit in range(5)]
    load = [[op.CARRY_SET, -1, -1, -1, op.ALWAYS], [op.ADD_ROW, 3, -1, -1, op.ALWAYS]]
    load += [[op.TAG_LOAD, 4, -1, -1, op.ALWAYS]]
    store = [[op.CARRY_STORE, -1, -1, 5, op.ALWAYS], [op.TAG_STORE, -1, -1, 6, op.ALWAYS]]
    for rows in itertools.product((op.NO_ROW, 0, 1, 2), repeat=3):
        for predicate in (op.ALWAYS, op.IF_TAG):
            step = [opcode.code, *rows, predicate]
            if op.SRAM.fault(step, N_ROWS):
                continue
            table = np.array([*load, step, *store], np.int32)
            lines, values = follow(op.SRAM, table, {r: f"s{r}" for r in range(5)}, range(7))
            names = {f"s{r}": cells[r] for r in range(5)} | {"ZERO": 0, "ONES": 2**32 - 1}
            exec("\n".join(lines), names)
            for lane in range(32):
                expected = [cell >> lane & 1 for cell in cells] + [0, 0]
                run_lane(table.tolist(), expected, 0, 0)
                assert [names[values[r]] >> lane & 1 for r in range(7)] == expected, (step, lane)


def test_equal_text_is_compiled_once() -> None:
    text = HEAD + "        rows[0, w] = ONES\n"
    assert compile_source(text) is compile_source(str(text))


def test_kernels_of_generated_text_are_kept_like_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BITPIM_CACHE_DIR", str(tmp_path))
    text = HEAD + "        rows[0, w] = rows[0, w] ^ ONES\n        ONES\n"
    for found in ({"hits": 0, "misses": 1}, {"hits": 1, "misses": 0}):
        run = compile_source(text).__dict__["run"]
        rows = np.zeros((1, 2), np.uint64)
        run(rows)
        assert (rows == ONES).all()
        stats = run.stats
        assert sum(stats.cache_hits.values()) == found["hits"]
        assert sum(stats.cache_misses.values()) == found["misses"]
        compile_source.cache_clear()


def test_an_error_in_generated_text_shows_its_line() -> None:
    module = compile_source("def divide(n):\n    return 1 // n\n")
    with pytest.raises(ZeroDivisionError) as caught:
        module.divide(0)
    shown = "".join(traceback.format_exception(caught.value))
    assert "return 1 // n" in shown and "bitpim_kernels.straight_line_" in shown
