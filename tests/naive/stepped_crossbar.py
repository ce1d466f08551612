"""A crossbar that takes recorded steps, one cell and one column at a time, in Python integers."""

from collections import Counter
from collections.abc import Mapping, Sequence

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
)

__all__ = ["NaiveCrossbar"]

Lists = Sequence[Sequence[int]]
Where = tuple[int, int, int]  # column, sum, factor


class NaiveCrossbar:
    """Cells as lists of levels; `transfer` is the code of each partial sum."""

    def __init__(
        self,
        n_rows: int,
        n_columns: int,
        n_sums: int,
        ou_rows: int,
        row_lists: Lists,
        column_lists: Sequence[Sequence[Where]],
        transfer: Mapping[int, int],
        converter: str,
        spikes: bool,
    ) -> None:
        self.row_lists, self.column_lists, self.transfer = row_lists, column_lists, transfer
        self.ou_rows, self.converter, self.spikes = ou_rows, converter, spikes
        self.width = max(n_rows, n_columns)
        self.cells = [[0] * n_columns for _ in range(n_rows)]
        self.inputs, self.opened = [0] * n_rows, [0] * n_rows
        self.partial_sums = [0] * n_columns
        self.codes, self.sums = [0] * n_columns, [0] * n_sums
        self.counts: Counter[str] = Counter()

    def take(self, step: Sequence[int], port: Sequence[int] | None = None) -> list[int] | None:
        """Take a step; return the row that goes out."""
        code, a, b, dst, _ = step
        if code == PROGRAM:
            assert port is not None
            self.cells[dst] = list(port[: len(self.codes)])
        elif code == DRIVE:
            assert port is not None
            self.inputs = list(port[: len(self.inputs)])
        elif code in (READ, READ_UNLESS_ZERO, READ_PACKED):
            self.read(self.rows_of(code, a, dst), b)
        elif code in (SHIFT_ADD, SHIFT_SUBTRACT):
            sign = 1 if code == SHIFT_ADD else -1
            for column, at, factor in self.column_lists[b]:
                self.sums[at] += sign * self.codes[column] * factor * 2**a
                self.counts["shift_add"] += any(self.opened)
        elif code == OUTPUT:
            return self.sums[a : a + b] + [0] * (self.width - b)
        else:
            assert code == CLEAR
            self.sums = [0] * len(self.sums)
        return None

    def rows_of(self, code: int, which: int, part: int) -> list[int]:
        rows = list(self.row_lists[which])
        active = [row for row in rows if self.inputs[row]]
        if code == READ_PACKED:
            return active[part * self.ou_rows : (part + 1) * self.ou_rows]
        return rows if active or code == READ else []

    def read(self, rows: Sequence[int], which: int) -> None:
        columns = [column for column, _, _ in self.column_lists[which]]
        self.opened = [int(row in rows) for row in range(len(self.inputs))]
        for column in columns:
            partial = sum(self.inputs[row] * self.cells[row][column] for row in rows)
            self.partial_sums[column] = partial
            self.codes[column] = self.transfer[partial] if rows else 0
        if not rows:
            self.counts["ou_skipped"] += 1
            return
        self.counts["cycles"] += 1
        self.counts["spike_read" if self.spikes else "ou_activation"] += 1
        for row in rows:
            if self.spikes:
                self.counts["spike" if self.inputs[row] else "spike_silent"] += 1
                self.counts["spike_cell"] += self.inputs[row] * len(columns)
            else:
                self.counts["ou_rows"] += 1
                self.counts["dac_drive"] += 1
                self.counts["ou_cells"] += len(columns)
        if self.spikes:
            self.counts["if_count"] += len(columns)
        else:
            self.counts["ou_cols"] += len(columns)
            self.counts[f"adc_conv_{self.converter}"] += len(columns)
