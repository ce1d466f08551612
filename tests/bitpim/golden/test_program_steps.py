"""Programs of the library as program traces."""

from typing import Any

import numpy as np
import pytest

from bitpim import programs
from bitpim.errors import LayoutError, ProgramError
from bitpim.golden.program_steps import trace_of
from bitpim.golden.replaying import replay_program
from bitpim.golden.stepper import Stepper
from bitpim.programs.catalog import CATALOG, Widths, catalog_program
from bitpim.programs.program import Field

X, Y, P = Field("x", 0, 3), Field("y", 3, 3), Field("p", 6, 6)


@pytest.mark.parametrize("n_columns", [1, 63, 64, 65, 300])
def test_it_computes_and_replays(n_columns: int) -> None:
    x, y = np.random.default_rng(n_columns).integers(0, 8, (2, n_columns))
    trace = trace_of(programs.multiply(X, Y, P), {"x": x, "y": y}, after="every")
    assert replay_program(trace).equal
    at = Stepper(trace)
    assert at.number("x").tolist() == x.tolist()
    at.run_to_end()
    assert at.number("p").tolist() == (x * y).tolist()
    assert trace.expected is not None and len(trace.expected.after) == trace.n_steps


def test_every_program_of_the_catalogue_does() -> None:
    for name in CATALOG:
        program = catalog_program(name, Widths(bits=3, weight_bits=3))
        field = program.fields[0]
        trace = trace_of(program, {field.name: np.arange(65) % (1 << min(field.width, 3))})
        assert trace.array == program.family.name
        assert replay_program(trace).equal and trace.n_steps == len(program.table)


def test_operands_that_do_not_fit_are_refused() -> None:
    program = programs.multiply(X, Y, P)
    wrong: tuple[dict[str, Any], ...] = ({}, {"x": [1], "y": [1, 2]}, {"x": []}, {"x": [[1]]})
    for operands in wrong:
        with pytest.raises(LayoutError, match="need operands of one length"):
            trace_of(program, operands)
    with pytest.raises(ProgramError, match="need a field of"):
        trace_of(program, {"z": [1]})
    with pytest.raises(LayoutError):
        trace_of(program, {"x": [8]})
