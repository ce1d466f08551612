"""Programs of stateful NOR on fewer cells: the same gates, the same results, fewer INITs."""

import re
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from bitpim import programs
from bitpim.errors import ProgramError
from bitpim.lookup.nor_array import NorArray
from bitpim.programs.assembler import Assembler
from bitpim.programs.catalog import Widths, catalog_program
from bitpim.programs.program import Field, Program
from bitpim.programs.repacking import repack
from bitpim_kernels import magic
from bitpim_kernels.magic import MAGIC

PROGRAMS = {
    "nor_add": ("sum", "carry"),
    "nor_subtract": ("difference",),
    "nor_multiply": ("product",),
    "nor_divide": ("quotient", "remainder"),
    "nor_carry_save": ("carries", "sum"),
    "nor_sum": ("sum",),
}
N_LANES = 200
INITS = {magic.INIT1, magic.ALSO_INIT1, magic.INIT0, magic.ALSO_INIT0}

Codes = dict[str, npt.NDArray[np.int64]]


def results(program: Program, operands: Codes, names: Sequence[str]) -> list[Any]:
    """Run on operands, stale bits in all other cells; operands must survive."""
    array = NorArray(program.n_rows, N_LANES)
    rng = np.random.default_rng(program.n_rows)
    array.write_cells(0, rng.integers(0, 2, (array.n_cells, N_LANES), dtype=np.uint8))
    for name, codes in operands.items():
        array.write_codes(program.field(name), codes)
    array.run(program)
    for name, codes in operands.items():
        assert np.array_equal(array.read_codes(program.field(name)), codes)
    return [array.read_codes(program.field(name)) for name in names]


def fewest(program: Program, outputs: Sequence[str]) -> int:
    with pytest.raises(ProgramError) as caught:
        repack(program, 0, outputs)
    found = re.fullmatch(
        r"repack (\w+): need (\d+) cells, got 0; (\d+) of them hold operands, and so many bits are "
        "needed at once",
        str(caught.value),
    )
    assert found
    return int(found[2])


def gate_inputs(program: Program) -> list[int]:
    """Return how many cells each gate reads, in order."""
    widths, n_open = [], 0
    for opcode, a, b, _, _ in program.table.tolist():
        n_open += (a >= 0) + (b >= 0)
        if opcode in (magic.NOT, magic.NOR, magic.NOR_WIDE):
            widths.append(n_open)
            n_open = 0
    return widths


@pytest.mark.parametrize("bits", [1, 3])
@pytest.mark.parametrize("name", PROGRAMS)
def test_the_same_is_computed_on_any_number_of_cells(name: str, bits: int) -> None:
    program = catalog_program(name, Widths(bits, bits))
    outputs = PROGRAMS[name]
    rng = np.random.default_rng(bits)
    operands = {
        field.name: rng.integers(0, 1 << field.width, N_LANES)
        for field in program.fields
        if field.name in ("x", "y", "z", "u", "dividend", "divisor")
    }
    expected = results(program, operands, outputs)
    least = fewest(program, outputs)
    wide = repack(program, None, outputs)
    for row_size in (least, least + 1, (least + wide.n_rows) // 2, wide.n_rows, 500, None):
        packed = repack(program, row_size, outputs)
        assert packed.n_rows == min(wide.n_rows, row_size or wide.n_rows)
        assert gate_inputs(packed) == gate_inputs(program)
        for output, codes in zip(outputs, expected, strict=True):
            names = [f"{output}_{bit}" for bit in range(program.field(output).width)]
            planes = results(packed, operands, names)
            assert np.array_equal(sum(p << k for k, p in enumerate(planes)), codes)
    with pytest.raises(ProgramError, match=f"need {least} cells, got {least - 1}; "):
        repack(program, least - 1, outputs)


def test_a_wide_row_is_set_once() -> None:
    """A full adder of nine gates; an adder with a step more, which sets its carry to 0."""
    full = repack(catalog_program("nor_carry_save", Widths(1)), None, ("sum", "carries"))
    assert (full.n_steps, full.n_rows) == (1 + 9, 3 + 9)
    adder = repack(catalog_program("nor_add", Widths(4)), None, ("sum",))
    assert (adder.n_steps, adder.n_rows) == (1 + 1 + 9 * 4, 8 + 1 + 9 * 4)
    assert adder.counts["nor_init"] == 2
    assert adder.counts["nor_init_cell"] == 1 + 9 * 4


def test_a_row_that_is_full_is_set_again_when_no_cell_is_fresh() -> None:
    """By hand, on ten cells, three of them operands: gates 0 to 6 take 3..9. The sum, gate 7, finds
    none fresh. It reads gates 5 and 6, and the carry, gate 8, reads 0 and 4; so 1, 2 and 3 are of
    use no more, in cells 4, 5 and 6, and the last two gates take the first two of those."""
    full = repack(catalog_program("nor_carry_save", Widths(1)), 10, ("sum", "carries"))
    opcodes = [full.family.by_code[code].mnemonic for code in full.table[:, 0].tolist()]
    assert opcodes == ["ALSO_INIT1"] * 6 + ["INIT1"] + ["NOR"] * 7 + ["ALSO_INIT1", "INIT1"] + [
        "NOR",
        "NOR",
    ]
    assert full.table[:7, 3].tolist() == [3, 4, 5, 6, 7, 8, 9]
    assert full.table[14:16, 3].tolist() == [4, 5]
    assert [full.field(name).start for name in ("sum_0", "carries_0")] == [4, 5]


def chain(*, init0: bool = False) -> Program:
    """Complement a bit twice, the third gate of three inputs; one result is a constant."""
    x, t, to, one = Field("x", 0, 3), Field("t", 3, 2), Field("to", 5, 1), Field("one", 6, 1)
    b = Assembler("chain", 7, family=MAGIC)
    b.reads(x)
    b.writes(t, to, one)
    for row in (*t, *to):
        b.step(magic.INIT1, to=row)
    b.step(magic.INIT0 if init0 else magic.INIT1, to=one[0])
    b.step(magic.NOT, x[0], to=t[0])
    b.step(magic.NOT, t[0], to=t[1])
    b.step(magic.NOR_OPEN, t[1])
    b.step(magic.NOR_OPEN_MORE, x[1])
    b.step(magic.NOR_WIDE, x[2], one[0], to=to[0])
    return b.build()


@pytest.mark.parametrize("init0", [False, True])
@pytest.mark.parametrize("row_size", [None, 6])
def test_wide_gates_and_constants_are_kept(init0: bool, row_size: int | None) -> None:
    packed = repack(chain(init0=init0), row_size, ("to", "one"))
    x = np.arange(N_LANES) % 8
    to, one = results(packed, {"x": x}, ("to_0", "one_0"))
    assert np.array_equal(to, (x == 0) & init0)
    assert np.array_equal(one, x * 0 + (not init0))
    assert gate_inputs(packed) == [1, 1, 4]
    assert packed.n_rows == (row_size or 3 + 3 + 2)


def test_what_cannot_be_repacked_is_one_line() -> None:
    x, y = Field("x", 0, 1), Field("y", 1, 1)
    old = Assembler("old", 2, family=MAGIC)
    old.reads(x)
    old.changes(y)
    old.step(magic.NOT, x[0], to=y[0], onto_old=True)
    twice, zero = (Assembler(name, 2, family=MAGIC) for name in ("twice", "zero"))
    for b in (twice, zero):
        b.reads(x)
        b.writes(y)
        b.step(magic.INIT1, to=y[0])
    twice.step(magic.NOT, x[0], to=y[0])
    zero.step(magic.INIT0, to=y[0])
    for b in (twice, zero):
        b.step(magic.NOT, x[0], to=y[0], onto_old=True)
    nameless = Assembler("nameless", 2, family=MAGIC)
    nameless.reads(x)
    nameless.writes(y)
    nameless.step(magic.INIT1, to=y[0])
    nameless.step(magic.NOT, x[0], to=y[0])
    program = nameless.build()
    for wrong, outputs, said in (
        (old.build(), ("y",), "repack old, step 0: need its output set to 1 before, .* got cell 1"),
        (twice.build(), ("y",), "repack twice, step 2: need its output set to 1 before"),
        (zero.build(), ("y",), "repack zero, step 2: need its output set to 1 before"),
        (program, ("x",), r"repack nameless: need an output that the program writes, got x\[0\]"),
        (program, ("z",), "need a field of x, y, got 'z'"),
        (program, ("y", "y"), r"need each output once, got y\[0\] and y_0"),
        (programs.copy(x, y), ("y",), "repack copy: need a program of the magic family"),
    ):
        with pytest.raises(ProgramError, match=said):
            repack(wrong, None, outputs)
