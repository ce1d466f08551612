"""Random stepped crossbars and steps for them, recorded as they run."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from bitpim.crossbar.adc import Adc
from bitpim.crossbar.array import CrossbarGeometry
from bitpim.crossbar.stepped import (
    CLEAR,
    DRIVE,
    OUTPUT,
    PROGRAM,
    READ,
    READ_PACKED,
    READ_UNLESS_ZERO,
    SHIFT_ADD,
    SHIFT_SUBTRACT,
    SteppedCrossbar,
)
from bitpim.crossbar.unit_lists import UnitLists
from bitpim.recorded import Recording
from bitpim_traces.program_trace.records import ProgramTrace
from tests.naive.stepped_crossbar import NaiveCrossbar

__all__ = ["Drawn", "drawn", "random_crossbar_program"]

Ints = npt.NDArray[np.int64]


@dataclass
class Drawn:
    """A geometry with lists and a converter, and steps for it with their port rows."""

    geometry: CrossbarGeometry
    adc: Adc
    paired: bool
    spikes: bool
    n_sums: int
    rows: list[list[int]]
    columns: list[list[tuple[int, int, int]]]
    steps: npt.NDArray[np.int32]
    port: Ints

    @property
    def least(self) -> int:
        return -self.geometry.largest_sum if self.paired else 0

    @property
    def lists(self) -> UnitLists:
        flat = [where for part in self.columns for where in part]
        starts = (
            np.cumsum([0, *map(len, part)], dtype=np.int64) for part in (self.rows, self.columns)
        )
        row_starts, column_starts = starts
        row_lists = np.array([row for part in self.rows for row in part], np.int64)
        return UnitLists(row_starts, row_lists, column_starts, *np.array(flat, np.int64).T)

    def array(self) -> SteppedCrossbar:
        return SteppedCrossbar(
            self.geometry,
            self.lists,
            self.adc.table(self.least, self.geometry.largest_sum).astype(np.int64),
            n_sums=self.n_sums,
            paired=self.paired,
            converter=self.adc.width,
            counted_as="spike" if self.spikes else "ou",
        )

    def naive(self) -> NaiveCrossbar:
        g, most = self.geometry, self.geometry.largest_sum
        table = self.adc.table(self.least, most).tolist()
        transfer = dict(zip(range(self.least, most + 1), table, strict=True))
        return NaiveCrossbar(
            g.rows, g.columns, self.n_sums, g.unit_rows, self.rows, self.columns, transfer,
            self.adc.width, self.spikes,
        )  # fmt: skip


def drawn(seed: int, n_steps: int = 40) -> Drawn:
    """Draw all of it; half of the digits are zero."""
    rng = np.random.default_rng(seed)
    n_rows, n_columns = (int(n) for n in rng.integers(1, [70, 12]))
    spikes = bool(rng.integers(2))
    unit_rows, unit_columns = int(rng.integers(1, n_rows + 1)), int(rng.integers(1, n_columns + 1))
    dac_bits = 1 if spikes else int(rng.integers(1, 4))
    cell_bits = int(rng.integers(1, 4))
    geometry = CrossbarGeometry(n_rows, n_columns, cell_bits, unit_rows, unit_columns, dac_bits)
    paired = bool(rng.integers(2)) and not spikes
    models = [Adc(), Adc("clip", 2), Adc("sign_magnitude", 3), Adc("symmetric", 3)]
    adc = models[int(rng.integers(len(models)))]
    n_sums = int(rng.integers(1, 8))
    rows = [rng.permutation(n_rows)[: rng.integers(1, n_rows + 1)].tolist() for _ in range(3)] + [
        rng.permutation(n_rows)[: rng.integers(1, unit_rows + 1)].tolist() for _ in range(3)
    ]
    columns = [
        [
            (column, int(rng.integers(n_sums)), int(rng.choice([-1, 1])) << int(rng.integers(5)))
            for column in rng.permutation(n_columns)[: rng.integers(1, unit_columns + 1)].tolist()
        ]
        for _ in range(4)
    ]
    found = Drawn(geometry, adc, paired, spikes, n_sums, rows, columns, *_nothing())
    _draw_steps(found, rng, n_steps)
    return found


def _nothing() -> tuple[Any, Any]:
    return np.empty((0, 5), np.int32), np.empty((0, 1), np.int64)


def _draw_steps(found: Drawn, rng: np.random.Generator, n_steps: int) -> None:
    """Draw steps: a few rows programmed and driven first, then anything."""
    g, (least, _) = found.geometry, (found.least, 0)
    width, top = max(g.rows, g.columns), g.top_level
    quiet = found.adc.table(least, g.largest_sum)[-least] == 0
    reads = [READ, READ_UNLESS_ZERO, READ_PACKED] if quiet else [READ]
    first = [PROGRAM] * g.rows + [DRIVE]
    kinds = [PROGRAM, DRIVE, *reads * 2, SHIFT_ADD, SHIFT_ADD, SHIFT_SUBTRACT, OUTPUT, CLEAR]
    low = [i for i, part in enumerate(found.rows) if len(part) <= g.unit_rows]
    steps: list[tuple[int, ...]] = []
    port: list[Ints] = []
    for code in [*first, *rng.choice(kinds, n_steps).tolist()]:
        column_list = int(rng.integers(len(found.columns)))
        row = np.zeros(width, np.int64)
        if code == PROGRAM:
            dst = len(steps) if len(steps) < g.rows else int(rng.integers(g.rows))
            steps.append((code, -1, -1, dst, 0))
            row[: g.columns] = rng.integers(-top if found.paired else 0, top + 1, g.columns)
        elif code == DRIVE:
            steps.append((code, -1, -1, -1, 0))
            digits = rng.integers(0, 1 << g.dac_bits, g.rows)
            row[: g.rows] = digits * (rng.random(g.rows) < rng.choice([0.0, 0.1, 0.8]))
        elif code == READ_PACKED:
            which = int(rng.integers(len(found.rows)))
            parts = -(-len(found.rows[which]) // g.unit_rows)
            steps.append((code, which, column_list, int(rng.integers(parts)), 0))
        elif code in (READ, READ_UNLESS_ZERO):
            steps.append((code, int(rng.choice(low)), column_list, -1, 0))
        elif code in (SHIFT_ADD, SHIFT_SUBTRACT):
            steps.append((code, int(rng.integers(16)), column_list, -1, 0))
        elif code == OUTPUT:
            a = int(rng.integers(found.n_sums))
            steps.append((code, a, int(rng.integers(1, min(width, found.n_sums - a) + 1)), -1, 0))
        else:
            steps.append((code, -1, -1, -1, 0))
        if code in (PROGRAM, DRIVE, OUTPUT):
            port.append(row)
    found.steps = np.array(steps, np.int32)
    found.port = np.array(port, np.int64).reshape(-1, width)


def random_crossbar_program(seed: int, *, n_steps: int = 40, after: str = "end") -> ProgramTrace:
    """Record random steps, in three parts with a mark before each."""
    found = drawn(seed, n_steps)
    array = found.array()
    recording = Recording(array, array.made_of, array.made_with, after=after)
    taken = 0
    for number, part in enumerate(np.array_split(found.steps, 3)):
        recording.mark(f"part {number}")
        uses = np.isin(part[:, 0], (PROGRAM, DRIVE, OUTPUT))
        rows = found.port[taken : taken + uses.sum()]
        recording.steps(part, rows[part[uses, 0] != OUTPUT])
        taken += int(uses.sum())
    return recording.finish(f"random crossbar {seed}", (), {"seed": seed})
