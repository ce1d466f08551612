"""NOR.md says what happens: its examples run, and its tables are counted again."""

import doctest
import re
from pathlib import Path

import pytest

import bitpim
from bitpim.lookup.nor_costs import COST_MODES
from bitpim.programs.catalog import Widths, catalog_program

PAGE = Path(bitpim.__file__).parent / "lookup" / "NOR.md"


def test_examples_of_the_page() -> None:
    failed, tried = doctest.testfile(str(PAGE), module_relative=False)
    assert failed == 0
    assert tried > 20


def rows() -> dict[str, list[str]]:
    lines = [line for line in PAGE.read_text("utf-8").splitlines() if line.startswith("| `")]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return {name.split("`")[1]: rest for name, *rest in cells}


def value(formula: str, **letters: int) -> int:
    """Return what a formula of the page is, such as 20n^2 - 12n(K - 1)."""
    text = re.sub(r"(?<=[\dnK])(?=[nK(])", "*", formula.replace("^", "**"))
    return int(eval(text, dict(letters)))


@pytest.mark.parametrize("name", ["add", "subtract", "multiply", "divide", "carry_save"])
def test_steps_and_cells_of_the_page(name: str) -> None:
    steps, shown, cells = rows()[f"nor_{name}"]
    said = [int(number) for number in shown.replace(",", "").split()]
    assert said == [value(steps, n=n) for n in (8, 16, 32, 64)]
    for n in (2, 3, 8, 16):
        program = catalog_program(f"nor_{name}", Widths(n, n))
        assert program.n_steps == value(steps, n=n)
        assert program.n_rows == value(cells, n=n)


def test_cells_of_a_product_of_one_bit() -> None:
    assert "A multiply of one bit adds nothing, and has 6 cells." in PAGE.read_text("utf-8")
    assert catalog_program("nor_multiply", Widths(1, 1)).n_rows == 6


def test_steps_of_a_sum() -> None:
    formula = rows()["nor_sum"][0]
    assert catalog_program("nor_sum", Widths(8)).n_steps == value(formula, n=10, K=4)


@pytest.mark.parametrize("name", COST_MODES)
def test_cost_modes_of_the_page(name: str) -> None:
    level, add, confidence, _ = rows()[name]
    mode = COST_MODES[name]
    assert (mode.level_cycles(), mode.confidence) == (int(level), confidence)
    assert mode.add_cycles(8) == value(add.split(",")[0], n=8)
