"""What cells hold while a NOR program runs: rules that hold whoever wrote it."""

import re

import numpy as np
import pytest

from bitpim.errors import ProgramError
from bitpim.programs.catalog import CATALOG, Widths, catalog_program
from bitpim.programs.nor_rules import follow
from bitpim.programs.program import Program, table_counts
from bitpim_kernels import magic
from bitpim_kernels.family import ALWAYS, NO_ROW
from bitpim_kernels.magic import MAGIC

Line = tuple[int, int, int, int]


def program(*lines: Line) -> Program:
    """A program of lines opcode, a, b, output on eight cells, not checked by anything."""
    table = np.array([(*line, ALWAYS) for line in lines], np.int32).reshape(-1, 5)
    names = tuple(tuple("" if c == NO_ROW else f"M{c}" for c in line[1:]) for line in lines)
    notes = ("",) * len(lines)
    return Program("p", MAGIC, table, names, notes, (), (), 8, (), table_counts(table, MAGIC))  # type: ignore[arg-type]


def also_set(cell: int) -> Line:
    return (magic.ALSO_INIT1, NO_ROW, NO_ROW, cell)


def set1(cell: int) -> Line:
    return (magic.INIT1, NO_ROW, NO_ROW, cell)


def nor(a: int, b: int, output: int) -> Line:
    return (magic.NOR, a, b, output)


def invert(a: int, output: int) -> Line:
    return (magic.NOT, a, NO_ROW, output)


LEGAL = (also_set(2), set1(3), nor(0, 1, 2), invert(2, 3))


def test_a_legal_program_leaves_nothing_to_say() -> None:
    flow = follow(program(*LEGAL), (0, 1), (3,))
    assert flow.fault is None
    assert not (flow.unread or flow.unread_operands or flow.constants or flow.unwritten)


@pytest.mark.parametrize(
    ("lines", "line", "said"),
    [
        ((*LEGAL, invert(4, 5)), 4, "reads M4, which holds nothing yet"),
        ((set1(2), nor(0, 5, 2)), 1, "reads M5, which holds nothing yet"),
        ((nor(0, 1, 2),), 0, "writes M2, which was not set to 1 before and holds nothing"),
        ((nor(0, 2, 1),), 0, "reads M2"),
        ((set1(2), invert(2, 1)), 1, "writes M1, which was .* holds an operand"),
        ((*LEGAL, nor(0, 1, 2)), 4, "writes M2, .* holds the result of step 1"),
        (
            ((magic.INIT0, NO_ROW, NO_ROW, 2), invert(0, 2)),
            1,
            "writes M2, which was not set to 1 before and holds 0 since step 0",
        ),
        ((also_set(2), also_set(3), set1(2)), 2, "sets M2 twice"),
        ((also_set(2),), 0, "need ALSO_INIT1 or INIT1 after ALSO_INIT1, got the end"),
        ((also_set(2), nor(0, 1, 2)), 1, "need ALSO_INIT1 or INIT1 after ALSO_INIT1, got NOR"),
        ((set1(2), (magic.NOR_OPEN, 0, NO_ROW, NO_ROW)), 1, "after NOR_OPEN, got the end"),
        ((set1(2), nor(0, 2, 2)), 1, "need an output apart from the inputs"),
        (
            (set1(2), (magic.NOR_OPEN, 2, NO_ROW, NO_ROW), (magic.NOR_WIDE, 0, 1, 2)),
            2,
            "need an output apart from the inputs, got M2 as both",
        ),
        ((set1(8),), 0, "need a row in 0..7, got 8"),
    ],
)
def test_the_first_broken_rule_is_said(lines: tuple[Line, ...], line: int, said: str) -> None:
    fault = follow(program(*lines), (0, 1)).fault
    assert fault is not None and fault.line == line
    assert re.search(said, fault.said), fault.said


def test_without_init_old_content_may_enter_the_result_if_there_is_any() -> None:
    twice = program(*LEGAL, nor(0, 1, 2))
    assert follow(twice, (0, 1)).fault is not None
    flow = follow(twice, (0, 1), (3, 2), without_init=True)
    assert flow.fault is None and flow.unread == ()
    fault = follow(program(nor(0, 1, 2)), (0, 1), without_init=True).fault
    assert fault is not None and fault.said.startswith("writes M2")


def test_content_that_enters_a_result_is_read() -> None:
    lines = (set1(2), nor(0, 1, 2), invert(1, 2))
    assert follow(program(*lines), (0, 1), (2,), without_init=True).unread == ()
    assert follow(program(*lines), (0, 1), (), without_init=True).unread == (2,)


def test_what_nobody_reads_is_known() -> None:
    lines = (also_set(2), set1(3), nor(0, 1, 2), invert(0, 3))
    assert follow(program(*lines), (0, 1, 4), ()).unread == (2, 3)
    assert follow(program(*lines), (0, 1, 4), (3,)).unread == (2,)
    assert follow(program(*lines), (0, 1, 4), (2, 3)).unread_operands == (4,)
    gone = (*LEGAL, set1(3), invert(0, 3))  # the first result in cell 3 is set over
    assert follow(program(*gone), (0, 1), (3,)).unread == (3,)
    assert follow(program(*gone), (0, 1), (3,)).unread_operands == ()


def test_an_operand_that_is_only_an_output_is_read_by_no_step() -> None:
    flow = follow(program(*LEGAL), (0, 1, 5), (3, 5))
    assert flow.unread_operands == (5,) and flow.unwritten == ()


def test_cells_read_as_they_were_set_are_legal_and_known() -> None:
    lines = (also_set(2), set1(3), nor(0, 3, 2), set1(1), invert(1, 3))
    flow = follow(program(*lines), (0, 1), (2,))
    assert flow.fault is None
    assert flow.constants == ((2, 3), (4, 1))


def test_outputs_need_a_result_or_an_operand_in_the_end() -> None:
    flow = follow(program(*LEGAL, set1(2)), (0, 1), (0, 2, 3, 6, 2))
    assert flow.unwritten == (2, 6)


@pytest.mark.parametrize("name", [name for name in CATALOG if name.startswith("nor_")])
def test_programs_of_the_catalog_are_legal(name: str) -> None:
    made = catalog_program(name, Widths(4, 4, 16, 256))
    first = {  # of each cell, the first line that has it: operands are read there
        cell: line
        for line, row in reversed(list(enumerate(made.table.tolist())))
        for cell in row[1:4]
    }
    operands = [c for c, line in first.items() if c != NO_ROW and made.table[line, 3] != c]
    flow = follow(made, operands)
    assert flow.fault is None
    assert 8 <= len(operands) < 256
    fault = follow(made, operands[1:]).fault
    assert fault is not None and "holds nothing yet" in fault.said


def test_programs_of_other_families_are_refused() -> None:
    with pytest.raises(ProgramError, match="need a program of the magic family"):
        follow(catalog_program("add", Widths(4, 4, 16, 256)), ())
