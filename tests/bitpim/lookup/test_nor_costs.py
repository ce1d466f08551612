"""Cycles of adders in the four cost modes: closed forms, and programs that are counted."""

import pytest

from bitpim.errors import ConfigError
from bitpim.lookup.nor_costs import COST_MODES, SIMPLER_FIGURES, simpler_cycles, simpler_sets


def test_there_are_four_modes_each_with_its_source() -> None:
    assert list(COST_MODES) == ["aritpim", "simpler", "apim13", "floatpim"]
    assert all(mode.name == name for name, mode in COST_MODES.items())
    assert {mode.confidence for mode in COST_MODES.values()} <= {
        "found",
        "recalled",
        "derived",
        "assumed",
    }


@pytest.mark.parametrize("n", [1, 2, 8, 32, 64])
def test_an_add(n: int) -> None:
    assert [mode.add_cycles(n) for mode in COST_MODES.values()] == [
        18 * n + 1,
        9 * n + 1,
        13 * n,
        12 * n + 1,
    ]
    other = COST_MODES["floatpim"].other_add
    assert other is not None and other(n) == 13 * n
    assert COST_MODES["aritpim"].other_add is None


@pytest.mark.parametrize(
    ("n_operands", "levels"), [(2, 0), (3, 1), (4, 2), (9, 4), (64, 10), (1024, 16)]
)
def test_a_sum_is_levels_of_any_width_and_an_add(n_operands: int, levels: int) -> None:
    for mode, level in zip(COST_MODES.values(), (18, 9, 13, 13), strict=True):
        assert mode.level_cycles() == level
        assert mode.sum_cycles(n_operands, 16) == levels * level + mode.add_cycles(16)
    assert COST_MODES["apim13"].sum_cycles(n_operands, 16) == 13 * levels + 13 * 16


def test_ours_by_the_rule_of_simpler_beside_its_own_figures() -> None:
    """Quoted: its twelve-gate adder has 12 and 11n - 5 gates; ours nine a bit, and a carry of 0."""
    wide = {figure.circuit: figure.wide_cycles for figure in SIMPLER_FIGURES}
    assert wide["full adder"] == 12
    for figure in SIMPLER_FIGURES:
        assert figure.cycles - figure.n_sets == figure.wide_cycles  # gates
        ours, far = figure.ours(figure.row_size), figure.ours(None)
        assert ours.n_rows <= figure.row_size
        assert ours.counts["nor_gate"] == far.counts["nor_gate"]
        assert simpler_cycles(ours) == ours.counts["nor_gate"] + simpler_sets(ours)
        # in a wide row only a 0 is set, where there is one
        assert simpler_sets(far) == (figure.circuit != "full adder")
        if figure.program == "nor_add":
            assert figure.wide_cycles == 11 * figure.bits - 5
            assert simpler_cycles(far) == 9 * figure.bits + 1
    found = {figure.circuit: simpler_cycles(figure.ours(None)) for figure in SIMPLER_FIGURES}
    assert found["full adder"] == 9
    full, add_8 = SIMPLER_FIGURES[0].ours(10), SIMPLER_FIGURES[2].ours(32)
    assert (simpler_cycles(full), simpler_sets(full)) == (9 + 1, 1)
    assert (simpler_cycles(add_8), simpler_sets(add_8)) == (72 + 8, 8)
    n = 8
    gates = (20 * n * n - 12 * n - 1 - (n + (n - 1))) // 2  # less the INIT0s, a gate to two steps
    assert found["multiply of 8 bits"] == gates + 1 == 585


@pytest.mark.parametrize(
    ("n_operands", "n_bits", "said"),
    [
        (1, 8, "need 2 or more operands, got 1"),
        (2, 0, r"need 1\.\.64 bits, got 0"),
        (2, 65, r"need 1\.\.64 bits, got 65"),
    ],
)
@pytest.mark.parametrize("name", COST_MODES)
def test_costs_that_cannot_be_are_refused(
    name: str, n_operands: int, n_bits: int, said: str
) -> None:
    with pytest.raises(ConfigError, match=f"^cost of an adder: {said}$"):
        COST_MODES[name].sum_cycles(n_operands, n_bits)
