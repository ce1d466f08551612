"""Cycles of what lanes do again and again, in the three cost modes."""

import pytest

from bitpim import programs
from bitpim.config import override
from bitpim.errors import ConfigError
from bitpim.machine.registry import load_preset
from bitpim.programs.program import Field
from bitpim.sram.costs import StepCosts, step_costs


def costs(mode: str, a: int, w: int, total: int, levels: list[int], move: int = 1) -> StepCosts:
    chosen = [f"timing.cost_mode={mode}", f"timing.move_cycles_per_bit={move}"]
    timing = override(load_preset("neural_cache"), chosen).timing
    return step_costs(timing, input_bits=a, weight_bits=w, sum_bits=total, level_bits=levels)


@pytest.mark.parametrize(("a", "w"), [(8, 8), (1, 1), (4, 8), (8, 4), (16, 16), (3, 1)])
def test_formulas_are_the_lengths_of_the_programs(a: int, w: int) -> None:
    got = costs("nc_formula", a, w, 40, [40, 41])
    x, weight = Field("x", 0, a), Field("w", a, w)
    product = Field("product", a + w, a + w)
    total = Field("sum", product.stop, 40)
    mac = programs.multiply_accumulate(x, weight, product, total)
    assert got.multiply_accumulate == mac.n_steps
    assert got.accumulate == programs.accumulate(x, total).n_steps == 41


def test_the_formulas_of_eight_bits() -> None:
    got = costs("nc_formula", 8, 8, 24, [24, 25, 26])
    assert got == StepCosts(102 + 25, 25, 2 * (24 + 25 + 26) + 3, 24 + 25 + 26)
    slow = costs("nc_formula", 8, 8, 24, [24, 25], move=3)
    assert (slow.reduction, slow.moves) == (4 * 24 + 1 + 4 * 25 + 1, 3 * 49)
    assert costs("nc_formula", 8, 8, 24, [], move=3).reduction == 0


def test_the_calibrated_mode_has_the_numbers_of_the_paper() -> None:
    got = costs("nc_paper_calibrated", 8, 8, 24, [32] * 5, move=3)
    assert got == StepCosts(236, 25, 660, 5 * 96)
    assert costs("nc_paper_calibrated", 8, 8, 24, [64], move=3).moves == 132  # never more than all
    with pytest.raises(ConfigError, match=r"8 x 8 bits, .* got 8 x 4; use .*=nc_formula`"):
        costs("nc_paper_calibrated", 8, 4, 24, [])


@pytest.mark.parametrize(
    ("a", "w", "multiply"), [(4, 4, 42), (8, 8, 152), (1, 8, 152), (16, 16, 560), (16, 17, 2144)]
)
def test_mve_charges_the_next_element_width(a: int, w: int, multiply: int) -> None:
    assert costs("mve", a, w, 40, [40, 41]) == StepCosts(multiply + 40, 40, 2 * 81, 81)
