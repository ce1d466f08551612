"""Which program traces a bench runs, as a word that fits an environment variable."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np

from bitpim.crossbar.array import CrossbarGeometry
from bitpim.crossbar.stepped import (
    CLEAR,
    DRIVE,
    OUTPUT,
    PROGRAM,
    READ,
    READ_UNLESS_ZERO,
    SHIFT_ADD,
    SHIFT_SUBTRACT,
    SteppedCrossbar,
)
from bitpim.crossbar.unit_lists import UnitLists
from bitpim.programs.catalog import CATALOG, Widths, catalog_program
from bitpim.recorded import Recording
from bitpim.sram.stepped import PORT_WRITE, SteppedSubarray
from bitpim_kernels import opcodes as op
from bitpim_kernels.layout import pack
from bitpim_traces.program_trace.reader import open_program
from bitpim_traces.program_trace.records import ProgramTrace, RowField
from bitpim_traces.records import TensorRecord
from tests.program_traces import random_program
from tests.rtl.cam_programs import random_searches

__all__ = ["catalogue", "programs_of", "random_columns", "with_step"]


def programs_of(said: str) -> Iterator[ProgramTrace]:
    """Yield the programs of a word.

    ``catalogue:COLUMNS``, ``random:FIRST:LAST:STEPS:ROWS:COLUMNS`` of an array sram,
    ``searches:FIRST:LAST:STEPS:ROWS:BITS`` of an array cam, ``crossbar:FIRST:LAST:ADC_BITS:STEP``,
    the name of a file.
    """
    kind, *numbers = said.split(":")
    if kind == "catalogue":
        yield from catalogue(*map(int, numbers))
    elif kind == "random":
        first, last, n_steps, n_rows, n_columns = map(int, numbers)
        for seed in range(first, last):
            yield random_program(seed, n_steps=n_steps, n_rows=n_rows, n_columns=n_columns)
    elif kind == "searches":
        first, last, n_steps, n_rows, n_bits = map(int, numbers)
        for seed in range(first, last):
            yield random_searches(seed, n_steps=n_steps, n_rows=n_rows, n_bits=n_bits)
    elif kind == "crossbar":
        first, last, adc_bits, step = map(int, numbers)
        for seed in range(first, last):
            yield random_columns(seed, adc_bits, step)
    else:
        yield open_program(said)


def catalogue(n_columns: int) -> Iterator[ProgramTrace]:
    """Yield every program of the catalogue, its rows filled through the port with random bits."""
    for number, name in enumerate(CATALOG):
        program = catalog_program(name, Widths(bits=4, weight_bits=3))
        if program.family != op.SRAM:
            continue
        bits = np.random.default_rng(number).integers(0, 2, (program.n_rows, n_columns), np.uint8)
        array = SteppedSubarray(program.n_rows, n_columns)
        recording = Recording(array, array.made_of)
        writes = [(PORT_WRITE, -1, -1, row, 0) for row in range(program.n_rows)]
        recording.steps(np.array(writes, np.int32), pack(bits))
        recording.mark(name)
        recording.steps(program.table)
        fields = [RowField(field.name, field.start, field.width) for field in program.fields]
        yield recording.finish(name, fields)


def random_columns(seed: int, adc_bits: int, step: int) -> ProgramTrace:
    """Record reads of units of a crossbar of 12 rows and 6 columns, whose ADC rounds and clamps."""
    rng = np.random.default_rng(seed)
    geometry = CrossbarGeometry(12, 6, 2, ou_rows=5, ou_columns=3, dac_bits=2)
    partial = np.arange(geometry.largest_sum + 1)
    table = np.minimum((partial + ((1 << step) >> 1)) >> step, (1 << adc_bits) - 1)
    rows = [rng.permutation(12)[: rng.integers(1, 6)] for _ in range(4)]
    columns = [rng.permutation(6)[: rng.integers(1, 4)] for _ in range(3)]
    n = sum(map(len, columns))
    lists = UnitLists(
        np.cumsum([0, *map(len, rows)]),
        np.concatenate(rows),
        np.cumsum([0, *map(len, columns)]),
        np.concatenate(columns),
        rng.integers(0, 4, n),
        rng.choice([-1, 1], n) << rng.integers(0, 4, n),
    )
    array = SteppedCrossbar(geometry, lists, table, n_sums=4, converter=str(adc_bits))
    recording = Recording(array, array.made_of, array.made_with)

    def port(numbers: np.ndarray) -> np.ndarray:
        return np.pad(numbers, (0, 12 - len(numbers)))

    for row in range(12):
        recording.step(PROGRAM, dst=row, port=port(rng.integers(0, 4, 6)))
    for _ in range(10):
        quiet = rng.random(12) < rng.choice([0.0, 0.2, 0.9])
        recording.step(DRIVE, port=port(rng.integers(1, 4, 12) * ~quiet))
        which = int(rng.integers(3))
        recording.step(int(rng.choice([READ, READ_UNLESS_ZERO])), int(rng.integers(4)), which)
        recording.step(int(rng.choice([SHIFT_ADD, SHIFT_SUBTRACT])), int(rng.integers(5)), which)
    recording.step(OUTPUT, 0, 4)
    recording.step(CLEAR)
    return recording.finish(f"columns {seed}")


def with_step(program: ProgramTrace, position: int, step: Sequence[int]) -> ProgramTrace:
    """Return a program of which one step is another."""
    steps = program.steps.read().copy()
    steps[position] = step
    return replace(program, steps=TensorRecord.of(steps, axes="", role="", units="1"))
