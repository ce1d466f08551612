import pytest

from bitpim.errors import ProgramError
from bitpim.programs.catalog import CATALOG, RowAllocator, Widths, catalog_program


@pytest.mark.parametrize("name", CATALOG)
def test_every_program_is_shown_step_by_step(name: str) -> None:
    for bits in (1, 8):
        program = catalog_program(name, Widths(bits, bits, 2 * bits + 8))
        lines = program.listing()
        header = lines.index("step  opcode              computes")
        assert len(lines) - header - 1 == program.n_steps
        assert all(line.split()[0] == str(k) for k, line in enumerate(lines[header + 1 :]))


@pytest.mark.parametrize(
    ("name", "cycles"),
    [
        ("copy", 8),
        ("not", 8),
        ("nor", 8),
        ("add", 9),
        ("subtract", 17),
        ("multiply", 102),
        ("multiply_accumulate", 127),
        ("divide", 140),
        ("selective_copy", 9),
        ("maximum", 26),
        ("relu", 9),
        ("equal_constant", 9),
        ("reduction_step", 9),
        ("requantize_truncate_shift", 343),
        ("requantize_half_up_shift", 344),  # one step more: it loads the carry with the half
    ],
)
def test_cycles_of_8_bits_are_those_of_the_paper(name: str, cycles: int) -> None:
    assert catalog_program(name, Widths()).n_steps == cycles


def test_fixed_point_is_shown_with_a_shift_to_the_right() -> None:
    """Of a 55-bit product, 31 bits go by the multiplier's scale and 12 by the shift; a code of 8
    bits, and what it takes to clamp it."""
    program = catalog_program("requantize_fixed_point", Widths())
    assert len(program.field("scaled")) == 24 + 1
    assert len(program.field("code")) == 24 + 1 - 12 + 1


@pytest.mark.parametrize("name", CATALOG)
def test_every_program_has_all_rows_of_its_array(name: str) -> None:
    """It lies on rows 300 and above, where a cache of 256 rows has none."""
    rows = RowAllocator(1024)
    rows.take("others", 300)
    program = CATALOG[name](rows, Widths(n_rows=1024))
    assert min(field.start for field in program.fields) == 300
    assert program.n_steps == catalog_program(name, Widths()).n_steps


def test_unknown_names_and_full_arrays_are_one_line() -> None:
    with pytest.raises(ProgramError, match="did you mean multiply"):
        catalog_program("multiplly", Widths())
    with pytest.raises(ProgramError, match="known: copy"):
        catalog_program("zzz", Widths())
    with pytest.raises(ProgramError, match="need 64 for product, got 36 of 100 left"):
        catalog_program("multiply", Widths(32, 32, 64, 100))
    with pytest.raises(ProgramError, match=r"bits: need 1\.\.64, got 65"):
        Widths(65)
    rows = RowAllocator(4)
    assert (rows.take("x", 3).start, rows.take("y", 1).start) == (0, 3)
