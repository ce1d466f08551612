"""What an adder of stateful NOR costs, as four sources count: the same sum, other cycles.

Each mode has the cycles of a carry-save level and of an add; a sum of many is that many levels and
one add. All bits of a level run at once, each in a lane of its own, so its width does not matter.
Two modes are counted from programs that run; of two others there is only the formula.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Final

from bitpim.errors import ConfigError
from bitpim.programs.catalog import Widths, catalog_program
from bitpim.programs.nor_sums import csa_levels
from bitpim.programs.program import Program
from bitpim.programs.repacking import repack

__all__ = [
    "COST_MODES",
    "SIMPLER_FIGURES",
    "CostMode",
    "SimplerFigure",
    "simpler_cycles",
    "simpler_sets",
]

_MOST_BITS = 64


@dataclass(frozen=True, slots=True)
class CostMode:
    """How one source counts the cycles of adders.

    Attributes
    ----------
    name, summary : what it is called, and what it counts
    source, confidence : where the count is from, and how sure that is
    add : cycles of a two-operand add of so many bits
    level : cycles of one 3:2 carry-save level
    gates : gates of a full adder, so cells that one bit of an adder drives
    other_add : the same by another reading of the source, None if there is but one
    """

    name: str
    summary: str
    source: str
    confidence: str
    add: Callable[[int], int]
    level: Callable[[], int]
    gates: int
    other_add: Callable[[int], int] | None = None

    def add_cycles(self, n_bits: int) -> int:
        """Return the cycles of an add of two numbers of `n_bits`.

        Raises
        ------
        ConfigError
            There are no bits, or more than 64.
        """
        return self.add(_checked("bits", n_bits, 1, _MOST_BITS))

    def level_cycles(self) -> int:
        """Return the cycles of one 3:2 carry-save level, whatever its width."""
        return self.level()

    def sum_cycles(self, n_operands: int, n_bits: int) -> int:
        """Return the cycles of a sum of `n_operands` whose last add has `n_bits`.

        Raises
        ------
        ConfigError
            There are fewer than two operands, no bits, or more than 64.
        """
        levels = csa_levels(_checked("operands", n_operands, 2))
        return levels * self.level() + self.add_cycles(n_bits)


def _checked(what: str, got: int, least: int, most: int | None = None) -> int:
    if got < least or (most is not None and got > most):
        span = f"{least} or more" if most is None else f"{least}..{most}"
        raise ConfigError(f"cost of an adder: need {span} {what}, got {got}")
    return got


@cache
def _program(name: str, bits: int) -> Program:
    return catalog_program(name, Widths(bits, bits, n_rows=1024))


def simpler_cycles(program: Program) -> int:
    """Return the cycles of a repacked program as SIMPLER counts: all steps but the first INIT."""
    return program.n_steps - 1


def simpler_sets(program: Program) -> int:
    """Return the steps of a repacked program that set cells, but for the first."""
    return program.counts["nor_init"] - 1


@cache
def _simpler(name: str, bits: int, *outputs: str) -> int:
    return simpler_cycles(repack(_program(name, bits), None, outputs))


_MODES = (
    CostMode(
        "aritpim",
        "a gate and an INIT of one cell before it, each a step",
        "AritPIM, its program and counts; counted here from the table of steps",
        "found",
        add=lambda bits: _program("nor_add", bits).n_steps,
        level=lambda: _program("nor_carry_save", 1).n_steps,
        gates=9,
    ),
    CostMode(
        "simpler",
        "gates, and steps that set all dead cells at once; the first set is free",
        "SIMPLER's rule (found), on the program of aritpim in a row that is wide enough",
        "derived",
        add=lambda bits: _simpler("nor_add", bits, "sum"),
        level=lambda: _simpler("nor_carry_save", 1, "sum", "carries"),
        gates=9,
    ),
    CostMode(
        "apim13",
        "13 a bit: twelve NORs and a set",
        "RAPIDNN and APIM",
        "recalled",
        add=lambda bits: 13 * bits,
        level=lambda: 13,
        gates=12,
    ),
    CostMode(
        "floatpim",
        "12 a bit and 1; by another reading of the same text 13 a bit",
        "FloatPIM (two readings found); a carry-save level as an add of one bit is assumed",
        "assumed",
        add=lambda bits: 12 * bits + 1,
        level=lambda: 13,
        gates=12,
        other_add=lambda bits: 13 * bits,
    ),
)

COST_MODES: Final[Mapping[str, CostMode]] = {mode.name: mode for mode in _MODES}
"""The modes by name."""


@dataclass(frozen=True, slots=True)
class SimplerFigure:
    """What the SIMPLER tool made of a circuit, and our program of the same function.

    Attributes
    ----------
    circuit : what it computes
    row_size : cells of a lane
    cycles, n_sets : its cycles on such a row, and the steps among them that set cells
    wide_cycles : its cycles where the row is wide enough
    program, bits, outputs : ours, its width and its results
    """

    circuit: str
    row_size: int
    cycles: int
    n_sets: int
    wide_cycles: int
    program: str
    bits: int
    outputs: tuple[str, ...]

    def ours(self, row_size: int | None) -> Program:
        """Return our program on such a row; wide enough if None.

        Raises
        ------
        ProgramError
            It does not fit.
        """
        return repack(_program(self.program, self.bits), row_size, self.outputs)


def _figure(circuit: str, program: str, bits: int, row: int, got: tuple[int, ...]) -> SimplerFigure:
    cycles, n_sets, wide = got
    outputs = {"nor_carry_save": ("sum", "carries"), "nor_add": ("sum", "carry")}
    results = outputs.get(program, ("product",))
    return SimplerFigure(circuit, row, cycles, n_sets, wide, program, bits, results)


SIMPLER_FIGURES: Final = (
    _figure("full adder", "nor_carry_save", 1, 10, (14, 2, 12)),
    _figure("add of 4 bits", "nor_add", 4, 18, (46, 7, 39)),
    _figure("add of 8 bits", "nor_add", 8, 32, (91, 8, 83)),
    _figure("add of 16 bits", "nor_add", 16, 64, (178, 7, 171)),
    _figure("add of 32 bits", "nor_add", 32, 128, (354, 7, 347)),
    _figure("multiply of 4 bits", "nor_multiply", 4, 32, (141, 11, 130)),
    _figure("multiply of 8 bits", "nor_multiply", 8, 64, (678, 32, 646)),
)
"""Figures of the SIMPLER tool on circuits of its own form (quoted, measured with that tool).

Its full adder has twelve gates, where ours has nine; its ripple adder starts with a half adder and
has 11n - 5, where ours takes a carry of 0 that a step of its own has to set, and has 9n + 1.
"""
