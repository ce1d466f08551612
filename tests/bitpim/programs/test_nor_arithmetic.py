"""Programs of stateful NOR: what they compute, and AritPIM's counts of their steps and cells."""

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bitpim import programs
from bitpim.errors import ProgramError
from bitpim.lookup.nor_array import NorArray
from bitpim.programs.assembler import Assembler
from bitpim.programs.catalog import Widths, catalog_program
from bitpim.programs.nor_arithmetic import nor_full_adder
from bitpim.programs.program import Program
from bitpim_kernels import magic
from bitpim_kernels.magic import MAGIC
from tests.array_programs import LANES, Rows, draw

Codes = npt.NDArray[np.int64]
Reader = Callable[..., Codes]

cases = st.fixed_dictionaries(
    {
        "n": st.integers(1, 16),
        "m": st.integers(1, 16),
        "n_lanes": st.sampled_from(LANES),
        "seed": st.integers(0, 2**32 - 1),
        "signed": st.booleans(),
    }
)


def run(program: Program, **operands: Any) -> Reader:
    """Run on operands by field name, which must survive; stale bits lie in all other cells."""
    n_lanes = max(np.size(codes) for codes in operands.values())
    array = NorArray(program.n_rows, n_lanes)
    rng = np.random.default_rng(n_lanes)
    array.write_cells(0, rng.integers(0, 2, (array.n_cells, n_lanes), dtype=np.uint8))
    for name, codes in operands.items():
        array.write_codes(program.field(name), np.broadcast_to(codes, (n_lanes,)))
    array.run(program)
    assert array.counts == program.counts
    for name, codes in operands.items():
        field = program.field(name)
        assert np.array_equal(array.read_codes(field), codes & (1 << len(field)) - 1)

    def read(name: str, signed: bool = False) -> Codes:
        return array.read_codes(program.field(name), signed=signed)

    return read


def nor(name: str, n: int, m: int | None = None) -> Program:
    return catalog_program(f"nor_{name}", Widths(n, n if m is None else m, 24, 1024))


def all_pairs(bits: int) -> tuple[Codes, Codes]:
    codes = np.arange(1 << 2 * bits)
    return codes & (1 << bits) - 1, codes >> bits


def test_the_full_adder_of_nine_nors() -> None:
    rows = Rows()
    three, out, temps = rows("x", 3), rows("out", 2), rows("temps", 4)
    b = Assembler("full_adder", 9, family=MAGIC)
    b.reads(three)
    b.writes(out, temps)
    nor_full_adder(b, (three[0], three[1], three[2]), (out[0], out[1]), temps)
    program = b.build()
    states = np.arange(8)
    ones = (states & 1) + (states >> 1 & 1) + (states >> 2)
    assert np.array_equal(run(program, x=states)("out"), ones)
    assert program.n_steps == 18
    assert program.counts["nor_gate"] == program.counts["nor_init"] == 9


@pytest.mark.parametrize(
    ("bits", "add", "subtract", "cells", "divide"),
    [
        (8, 145, 161, 29, 2119),
        (16, 289, 321, 53, 7559),
        (32, 577, 641, 101, 28423),
        (64, 1153, 1281, 197, 110087),
    ],
)
def test_steps_and_cells_are_those_of_aritpim(
    bits: int, add: int, subtract: int, cells: int, divide: int
) -> None:
    adder = nor("add", bits)
    assert adder.n_steps == add == 18 * bits + 1
    assert adder.n_rows == cells == 3 * bits + 5
    assert adder.counts["nor_gate"] + adder.counts["nor_init"] == adder.counts["nor_step"] == add
    assert adder.counts["nor_init_cell"] == 9 * bits + 1
    assert nor("subtract", bits).n_steps == subtract == 20 * bits + 1
    assert nor("divide", bits).n_steps == divide == 26 * bits**2 + 56 * bits + 7


@pytest.mark.parametrize(("bits", "cycles"), [(8, 1183), (16, 4927), (32, 20095), (64, 81151)])
def test_multiply_takes_the_steps_of_the_schoolbook(bits: int, cycles: int) -> None:
    """Up to 20 bits AritPIM has them too; 20,095 at 32 is the figure it quotes of Haj-Ali."""
    assert nor("multiply", bits).n_steps == cycles == 20 * bits**2 - 12 * bits - 1


@pytest.mark.parametrize("bits", [1, 2, 8])
def test_every_pair(bits: int) -> None:
    x, y = all_pairs(bits)
    full = (1 << bits) - 1
    added = run(nor("add", bits), x=x, y=y)
    assert np.array_equal(added("sum"), x + y & full)
    assert np.array_equal(added("carry"), x + y > full)
    less = run(nor("subtract", bits), x=x, y=y)
    assert np.array_equal(less("difference"), x - y & full)
    assert np.array_equal(less("carry"), x >= y)
    product = run(nor("multiply", bits), x=x, y=y)
    assert np.array_equal(product("product"), x * y)


@pytest.mark.parametrize("bits", [1, 2, 3, 4])
def test_every_division_whose_quotient_fits(bits: int) -> None:
    dividend, divisor = (
        grid.ravel() for grid in np.meshgrid(np.arange(1 << 2 * bits), np.arange(1 << bits))
    )
    fits = dividend < divisor << bits
    dividend, divisor = dividend[fits], divisor[fits]
    assert len(fits) - fits.sum() >= 1 << 2 * bits  # no divisor of 0
    read = run(nor("divide", bits), dividend=dividend, divisor=divisor)
    assert np.array_equal(read("quotient"), dividend // divisor)
    assert np.array_equal(read("remainder"), dividend % divisor)


@settings(max_examples=30, deadline=None)
@given(cases)
def test_divisions_of_any_width(case: dict[str, Any]) -> None:
    rng, n = np.random.default_rng(case["seed"]), case["n"]
    divisor = np.maximum(draw(rng, n, False, case["n_lanes"]), 1)
    quotient, remainder = draw(rng, n, False, case["n_lanes"]), rng.integers(0, divisor)
    read = run(nor("divide", n), dividend=quotient * divisor + remainder, divisor=divisor)
    assert np.array_equal(read("quotient"), quotient)
    assert np.array_equal(read("remainder"), remainder)


@settings(max_examples=40, deadline=None)
@given(cases)
def test_sums_differences_and_products_of_any_width(case: dict[str, Any]) -> None:
    rng, n, m = np.random.default_rng(case["seed"]), case["n"], case["m"]
    signed = case["signed"]
    x, y = (draw(rng, n, signed, case["n_lanes"]) for _ in range(2))
    wrapped = (1 << n) - 1
    assert np.array_equal(run(nor("add", n), x=x, y=y)("sum"), x + y & wrapped)
    assert np.array_equal(run(nor("subtract", n), x=x, y=y)("difference"), x - y & wrapped)
    rows = Rows()
    fields = [rows(*field) for field in (("x", n), ("y", n), ("sum", n + 1), ("t", 4), ("c", 1))]
    wide = programs.nor_add(*fields)
    assert np.array_equal(run(wide, x=x, y=y)("sum"), (x & wrapped) + (y & wrapped))
    assert wide.n_steps == 18 * n + 1
    w = draw(rng, m, False, case["n_lanes"])
    product = nor("multiply", n, m)
    assert np.array_equal(run(product, x=x & wrapped, y=w)("product"), (x & wrapped) * w)
    assert product.n_steps == 4 * n + 3 * m + (m - 1) * (20 * n + 1)


@settings(max_examples=20, deadline=None)
@given(cases)
def test_carry_save_leaves_two_numbers_of_three(case: dict[str, Any]) -> None:
    rng, n = np.random.default_rng(case["seed"]), case["n"]
    x, y, z = (draw(rng, n, False, case["n_lanes"]) for _ in range(3))
    program = nor("carry_save", n)
    read = run(program, x=x, y=y, z=z)
    assert np.array_equal(read("sum"), x ^ y ^ z)
    assert np.array_equal(read("sum") + 2 * read("carries"), x + y + z)
    assert program.n_steps == 18 * n


@pytest.mark.parametrize("name", ["add", "subtract", "multiply", "divide", "carry_save", "sum"])
def test_no_gate_reads_a_cell_twice(name: str) -> None:
    """Nor its own; and each output was set to 1 just before, by an INIT of its own."""
    table = nor(name, 3).table
    gates = np.isin(table[:, 0], (magic.NOT, magic.NOR))
    assert not np.any(gates & (table[:, 1] == table[:, 2]))
    assert not np.any(gates & ((table[:, 3] == table[:, 1]) | (table[:, 3] == table[:, 2])))
    before = table[np.flatnonzero(gates) - 1]
    assert (before[:, 0] == magic.INIT1).all()
    assert np.array_equal(before[:, 3], table[gates, 3])


def test_a_number_may_be_added_to_itself() -> None:
    rows = Rows()
    x = rows("x", 3)
    double = programs.nor_add(x, x, rows("sum", 4), rows("temps", 4), rows("carry", 1))
    assert np.array_equal(run(double, x=np.arange(8))("sum"), 2 * np.arange(8))
    assert not np.any((double.table[:, 1] == double.table[:, 2]) & (double.table[:, 1] >= 0))
    square = programs.nor_multiply(x, x, *map(rows, ("to", "n", "t", "c"), (6, 5, 4, 1)))
    assert np.array_equal(run(square, x=np.arange(8))("to"), np.arange(8) ** 2)


def sum_program(n_operands: int, n: int, width: int, signed: bool) -> Program:
    rows = Rows()
    operands = [rows(f"x{k}", n) for k in range(n_operands)]
    scratch = rows("scratch", programs.nor_sum_scratch(n_operands, n, width))
    fields = rows("sum", width), scratch, rows("temps", 4), rows("carry", 1)
    return programs.nor_sum(operands, *fields, signed=signed, n_rows=2048)


@settings(max_examples=30, deadline=None)
@given(cases, st.integers(2, 20))
def test_sums_of_many(case: dict[str, Any], n_operands: int) -> None:
    rng, n, width = np.random.default_rng(case["seed"]), case["n"], case["m"]
    codes = [draw(rng, n, case["signed"], case["n_lanes"]) for _ in range(n_operands)]
    program = sum_program(n_operands, n, width, case["signed"])
    read = run(program, **{f"x{k}": x for k, x in enumerate(codes)})
    assert np.array_equal(read("sum"), sum(codes) & (1 << width) - 1)
    assert program.n_steps == 1 + (n_operands - 2) * (18 * width - 2) + 18 * width + 1


@pytest.mark.parametrize("bits", [1, 2])
def test_every_sum_of_five_and_what_it_says(bits: int) -> None:
    codes = np.arange(1 << 5 * bits)
    split = {f"x{k}": codes >> k * bits & (1 << bits) - 1 for k in range(5)}
    program = sum_program(5, bits, bits + 3, signed=False)
    assert np.array_equal(run(program, **split)("sum"), sum(split.values()))
    levels = {note.split(",")[0] for note in program.notes if note.startswith("level")}
    assert levels == {f"level {k}" for k in range(1, programs.csa_levels(5) + 1)}


@pytest.mark.parametrize(
    ("n_operands", "levels"),
    [
        *((1, 0), (2, 0), (3, 1), (4, 2), (6, 3), (9, 4), (13, 5), (19, 6), (28, 7)),
        *((5, 3), (7, 4), (10, 5), (14, 6), (20, 7), (29, 8)),  # one more than a level can take
        *((64, 10), (128, 11), (256, 13), (512, 15), (1024, 16)),
    ],
)
def test_levels_of_a_carry_save_tree(n_operands: int, levels: int) -> None:
    assert programs.csa_levels(n_operands) == levels


def test_a_sum_takes_no_more_scratch_than_it_is_given() -> None:
    """Nine operands of 4 bits to 8: three adders of 8 sums and 7 carries at the first level."""
    assert programs.nor_sum_scratch(9, 4, 8) == 1 + 3 * (8 + 7)
    assert programs.nor_sum_scratch(2, 4, 8) == 1
    program = sum_program(9, 4, 8, signed=False)
    used = program.table[:, 3]
    field = program.field("scratch")
    assert set(range(field.start, field.stop)) <= set(used.tolist())


@pytest.mark.parametrize(
    ("name", "widths", "said"),
    [
        ("nor_add", (4, 4, 6, 4, 1), "need 5 rows for field f2, got 6"),
        ("nor_add", (4, 3, 4, 4, 1), "need 4 rows for field f1, got 3"),
        ("nor_add", (4, 4, 4, 3, 1), "need 4 rows for field f3, got 3"),
        ("nor_add", (4, 4, 4, 4, 2), "need 1 rows for field f4, got 2"),
        ("nor_add", (4, 4, 3, 4, 1), "need 4 rows for field f2, got 3"),
        ("nor_subtract", (4, 4, 5, 4, 1, 1), "need 4 rows for field f2, got 5"),
        ("nor_subtract", (4, 4, 4, 4, 1, 2), "need 1 rows for field f5, got 2"),
        ("nor_multiply", (4, 3, 8, 6, 4, 1), "need 7 rows for field f2, got 8"),
        ("nor_multiply", (4, 3, 7, 5, 4, 1), "need 6 rows for field f3, got 5"),
        ("nor_divide", (7, 4, 4, 4, 5, 4, 1), "need 8 rows for field f0, got 7"),
        ("nor_divide", (8, 4, 3, 4, 5, 4, 1), "need 4 rows for field f2, got 3"),
        ("nor_divide", (8, 4, 4, 4, 4, 4, 1), "need 5 rows for field f4, got 4"),
        ("nor_carry_save", (4, 4, 4, 4, 3, 4), "need 4 rows for field f4, got 3"),
    ],
)
def test_fields_of_another_width_are_refused(name: str, widths: tuple[int, ...], said: str) -> None:
    rows = Rows()
    with pytest.raises(ProgramError, match=f"^program {name}: {said}$"):
        getattr(programs, name)(*(rows(f"f{k}", width) for k, width in enumerate(widths)))


def test_sums_that_cannot_be_are_refused() -> None:
    x, y, to, scratch, temps, carry = itertools.starmap(
        Rows(), (("x", 2), ("y", 3), ("to", 4), ("scratch", 1), ("temps", 4), ("carry", 1))
    )
    for operands, said in (
        ([x], "nor_sum: need 2 operands or more, got 1"),
        ([x, y], "program nor_sum: need 2 rows for field y, got 3"),
        ([x, x, x], "program nor_sum: need 8 rows for field scratch, got 1"),
    ):
        with pytest.raises(ProgramError, match=said):
            programs.nor_sum(operands, to, scratch, temps, carry)
