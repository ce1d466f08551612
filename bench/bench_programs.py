"""Program traces: states compared while they run, and steps read from a file."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from bitpim import Stepper, replay_program
from bitpim.golden.program_steps import trace_of
from bitpim.programs.catalog import Widths, catalog_program
from bitpim_traces.program_trace.reader import open_program
from bitpim_traces.program_trace.records import Expected, ProgramTrace
from bitpim_traces.program_trace.writer import write_program
from bitpim_traces.records import TensorRecord

Ratio = Callable[[str, Callable[[], None], Callable[[], None]], float]

N_LANES = 2**20
TIMES = 20
N_STEPS = 10**7
BLOCK = 2**18


@pytest.fixture(scope="module")
def multiplied() -> ProgramTrace:
    """A multiply-accumulate on 2^20 lanes, twenty times, and all rows and latches at the end."""
    program = catalog_program("multiply_accumulate", Widths(8, 8, 24))
    rng = np.random.default_rng(0)
    once = trace_of(program, {name: rng.integers(0, 256, N_LANES) for name in ("a", "w")})
    steps = np.tile(once.steps.read(), (TIMES, 1))
    longer = replace(
        once,
        steps=TensorRecord.of(steps, axes="", role="", units="1"),
        expected=None,
        counts=None,
    )
    return _with_states(longer)


def _with_states(program: ProgramTrace) -> ProgramTrace:
    at = Stepper(program)
    at.run_to_end()
    held = at.snapshot().values
    state = {k: TensorRecord.of(v[None], axes="", role="", units="1") for k, v in held.items()}
    return replace(program, expected=Expected(np.array([program.n_steps - 1]), state))


def test_states_compared(ratio: Ratio, multiplied: ProgramTrace) -> None:
    """All 64-lane words of all rows and latches are compared at the end, against no comparison."""
    plain = replace(multiplied, expected=None)
    runs: list[bool] = []

    def compared() -> None:
        runs.append(replay_program(multiplied).equal)

    def bare() -> None:
        replay_program(plain)

    ratio(f"program_compared: {multiplied.n_steps:,} steps on 2^20 lanes", compared, bare)
    assert all(runs)


def test_steps_read(ratio: Ratio, tmp_path: Path) -> None:
    """Steps of a program trace, block by block as they run, against the same array by h5py."""
    table = catalog_program("multiply_accumulate", Widths(8, 8, 24)).table

    def load(start: int, stop: int) -> Any:
        return table[np.arange(start, stop) % len(table)]

    steps = TensorRecord((N_STEPS, 5), np.dtype(np.int32), "", "1", "", load)
    path = tmp_path / "long.h5"
    sizes = {"n_rows": 64, "n_columns": 1, "array_columns": 256, "move_cycles": 1}
    write_program(ProgramTrace("long", "sram", sizes, steps), path)
    program = open_program(path)

    def ours() -> None:
        for start in range(0, N_STEPS, BLOCK):
            program.steps.read(start, min(start + BLOCK, N_STEPS))

    def raw() -> None:
        with h5py.File(path, "r") as file:
            for start in range(0, N_STEPS, BLOCK):
                file["steps"][start : start + BLOCK]

    ratio(f"program_steps_read: {N_STEPS:,} steps", ours, raw)
