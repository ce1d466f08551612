"""Which program traces a bench runs, as a word that fits an environment variable."""

from collections.abc import Iterator

import numpy as np

from bitpim.programs.catalog import CATALOG, Widths, catalog_program
from bitpim.recorded import Recording
from bitpim.sram.stepped import PORT_WRITE, SteppedSubarray
from bitpim_kernels import opcodes as op
from bitpim_kernels.layout import pack
from bitpim_traces.program_trace.reader import open_program
from bitpim_traces.program_trace.records import ProgramTrace, RowField
from tests.program_traces import random_cam_program, random_program

__all__ = ["catalogue", "programs_of"]


def programs_of(said: str) -> Iterator[ProgramTrace]:
    """Yield the programs of a word.

    ``catalogue:COLUMNS``, ``random:FIRST:LAST:STEPS:ROWS:COLUMNS`` of an array sram,
    ``cam:FIRST:LAST:STEPS:ROWS:BITS``, or the name of a file.
    """
    kind, *numbers = said.split(":")
    if kind == "catalogue":
        yield from catalogue(*map(int, numbers))
    elif kind == "random":
        first, last, n_steps, n_rows, n_columns = map(int, numbers)
        for seed in range(first, last):
            yield random_program(seed, n_steps=n_steps, n_rows=n_rows, n_columns=n_columns)
    elif kind == "cam":
        first, last, n_steps, n_rows, n_bits = map(int, numbers)
        for seed in range(first, last):
            yield random_cam_program(seed, n_steps=n_steps, n_rows=n_rows, n_bits=n_bits)
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
