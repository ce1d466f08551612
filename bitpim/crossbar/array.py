"""A crossbar: cells that multiply by conductance, read operation unit by operation unit.

`Crossbar` is the literal array: one call reads one OU, and every read is counted. Layers are read
by `dense_matrix.DenseMatrix`, whose results and counts equal those of this object.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
import numpy.typing as npt

from bitpim.counts import Counts
from bitpim.crossbar.adc import Adc
from bitpim.crossbar.events import ou_events
from bitpim.errors import ArrayBoundsError, ConfigError, LayoutError

__all__ = ["Crossbar", "CrossbarGeometry"]

Ints = npt.NDArray[np.int64]
Lines = Sequence[int] | range


@dataclass(frozen=True, slots=True)
class CrossbarGeometry:
    """Sizes of a crossbar and of what one read opens; an OU is the whole array unless given.

    Raises
    ------
    ConfigError
        A size is out of range, or the OU is larger than the array.
    """

    rows: int = 128
    columns: int = 128
    cell_bits: int = 2
    ou_rows: int | None = None
    ou_columns: int | None = None
    dac_bits: int = 1

    def __post_init__(self) -> None:
        limits = {"rows": 2**16, "columns": 2**16, "cell_bits": 8, "dac_bits": 8}
        for what, limit in limits.items():
            if not 1 <= getattr(self, what) <= limit:
                raise ConfigError(f"crossbar: {what} needs 1 to {limit}, got {getattr(self, what)}")
        for what, limit in (("ou_rows", self.rows), ("ou_columns", self.columns)):
            got = getattr(self, what)
            if got is not None and not 1 <= got <= limit:
                raise ConfigError(
                    f"crossbar: {what} needs 1 to {limit}, got {got}; an operation unit lies "
                    "within one array"
                )

    @property
    def unit_rows(self) -> int:
        """Wordlines that one read may open."""
        return self.rows if self.ou_rows is None else self.ou_rows

    @property
    def unit_columns(self) -> int:
        """Columns that one read may sense."""
        return self.columns if self.ou_columns is None else self.ou_columns

    @property
    def top_level(self) -> int:
        """Highest level of a cell."""
        return (1 << self.cell_bits) - 1

    @property
    def largest_sum(self) -> int:
        """Largest partial sum of one read."""
        return self.unit_rows * self.top_level * ((1 << self.dac_bits) - 1)

    def rows_used(self, window_rows: int | None = None) -> int:
        """Return the wordlines of an array that hold rows of a tall matrix.

        All of them, unless windows of so many rows are to stay whole; a window taller than the
        array is cut like any rows.
        """
        if window_rows is None or window_rows > self.rows:
            return self.rows
        return self.rows // window_rows * window_rows

    def row_units(self, n_rows: int, window_rows: int | None = None) -> list[Ints]:
        """Return the heights of the operation units down a matrix, for each row of arrays.

        Units tile an array from its first row on, the last one ragged; with `window_rows` each
        window starts a new one.
        """
        used = self.rows_used(window_rows)
        window = used if window_rows is None else min(used, window_rows)
        return [
            np.concatenate([_cut(part, self.unit_rows) for part in _cut(span, window).tolist()])
            for span in _cut(n_rows, used).tolist()
        ]

    def column_units(self, n_columns: int) -> list[Ints]:
        """Return the widths of the operation units across a matrix, for each column of arrays."""
        return [_cut(span, self.unit_columns) for span in _cut(n_columns, self.columns).tolist()]


def _cut(n: int, step: int) -> Ints:
    """Return the lengths of n lines cut every `step`."""
    return np.array([min(step, n - at) for at in range(0, n, step)], np.int64)


class Crossbar:
    """Cells of a few levels each; starts with all at level 0.

    Parameters
    ----------
    geometry : sizes
    adc : what converts a partial sum; exact unless given
    paired : each column is a pair of bitlines whose currents are subtracted before conversion, so
        that a cell is a pair too and holds negative levels
    """

    def __init__(
        self, geometry: CrossbarGeometry, adc: Adc | None = None, *, paired: bool = False
    ) -> None:
        self.geometry = geometry
        self.adc = Adc() if adc is None else adc
        self.counts = Counts()
        self._high = geometry.top_level
        self._low = -self._high if paired else 0
        self._least = -geometry.largest_sum if paired else 0
        self._table = self.adc.table(self._least, geometry.largest_sum).astype(np.int64)
        self._cells = np.zeros((geometry.rows, geometry.columns), np.int64)

    @property
    def cells(self) -> Ints:
        """A copy of all levels, (rows, columns)."""
        return self._cells.copy()

    @property
    def step(self) -> Fraction:
        """Levels that a reading of 1 counts for."""
        return self.adc.step(self._least, self.geometry.largest_sum)

    def program(self, levels: npt.ArrayLike, row: int = 0, column: int = 0) -> None:
        """Set the cells from a corner on.

        Raises
        ------
        ArrayBoundsError
            They do not lie within the array.
        LayoutError
            A level is none of a cell's.
        """
        given = np.asarray(levels)
        shape = given.shape
        inside = (
            given.ndim == 2
            and row >= 0
            and column >= 0
            and row + shape[0] <= self.geometry.rows
            and column + shape[1] <= self.geometry.columns
        )
        if not inside:
            raise ArrayBoundsError(
                f"program: need cells within {self._cells.shape}, got {shape} at ({row}, {column})"
            )
        self._check_range("program", "levels", given, self._low, self._high)
        self._cells[row : row + shape[0], column : column + shape[1]] = given

    def read_ou(
        self, inputs: npt.ArrayLike, rows: Lines, columns: Lines, *, skip_zero: bool = False
    ) -> Ints:
        """Return what the ADC reads in one OU; `inputs` has one digit for each row.

        A reading counts for `step` levels; sums of readings are scaled where they end.
        With `skip_zero`, inputs that are all zero read nothing and give zeros.

        Raises
        ------
        ArrayBoundsError
            Rows or columns lie outside the array, repeat, or are more than an OU has.
        LayoutError
            There is not one input a row, or one that the DAC cannot drive.
        ConfigError
            `skip_zero` with a converter that does not read a sum of 0 as 0.
        """
        digits = self._check_read("read_ou", inputs, rows, columns)
        if len(rows) > self.geometry.unit_rows:
            raise ArrayBoundsError(
                f"read_ou: need at most {self.geometry.unit_rows} rows, got {len(rows)}; read in "
                "parts"
            )
        if skip_zero:
            self.check_skipping()
            if not digits.any():
                self.counts += Counts(ou_skipped=1)
                return np.zeros(len(columns), np.int64)
        partial = digits @ self._cells[np.ix_(list(rows), list(columns))]
        self.counts += Counts(**ou_events(len(rows), len(columns), self.adc.width))
        readings: Ints = self._table[partial - self._least]
        return readings

    def read_packed(self, inputs: npt.ArrayLike, rows: Lines, columns: Lines) -> Ints:
        """Return summed readings of reads that open only rows with an input, packed in order.

        Dynamic wordline activation: ceil(rows with an input / OU rows) reads; none counts as one
        skipped.

        Raises
        ------
        ArrayBoundsError, LayoutError, ConfigError
            As `read_ou`; the rows may be more than an OU has.
        """
        digits = self._check_read("read_packed", inputs, rows, columns)
        self.check_skipping()
        active = [(int(x), row) for x, row in zip(digits, rows, strict=True) if x]
        total = np.zeros(len(columns), np.int64)
        step = self.geometry.unit_rows
        for start in range(0, len(active), step):
            part = active[start : start + step]
            total += self.read_ou([x for x, _ in part], [row for _, row in part], columns)
        if not active:
            self.counts += Counts(ou_skipped=1)
        return total

    def check_skipping(self) -> None:
        """Raise where leaving out a read of zeros would change the result.

        Raises
        ------
        ConfigError
            The converter does not read a sum of 0 as 0.
        """
        if self._table[-self._least] != 0:
            raise ConfigError(
                f"crossbar: need an ADC that reads 0 as 0 to skip zero inputs, got "
                f"{self.adc.model}; read all units"
            )

    def vector_matrix(self, inputs: npt.ArrayLike) -> Ints:
        """Return inputs times cells, exactly: the sum each column carries, (columns,)."""
        return self._multiply(inputs, self._cells)

    def matrix_vector(self, inputs: npt.ArrayLike) -> Ints:
        """Return cells times inputs, exactly: the transposed read, (rows,)."""
        return self._multiply(inputs, self._cells.T)

    def update(self, row_steps: npt.ArrayLike, column_steps: npt.ArrayLike) -> None:
        """Add the outer product of two vectors to the cells; a cell saturates at its ends.

        Raises
        ------
        LayoutError
            There is not one integer for each row and column.

        Source: Marinella et al. (kernels found; saturation as the cells' ends).
        """
        down = self._vector("update", row_steps, self.geometry.rows)
        across = self._vector("update", column_steps, self.geometry.columns)
        self._cells = np.clip(self._cells + np.outer(down, across), self._low, self._high)
        self.counts += Counts(crossbar_update=1)

    def _multiply(self, inputs: npt.ArrayLike, cells: Ints) -> Ints:
        vector = self._vector("crossbar read", inputs, cells.shape[0])
        self.counts += Counts(crossbar_read=1)
        product: Ints = vector @ cells
        return product

    def _vector(self, where: str, numbers: npt.ArrayLike, n: int) -> Ints:
        vector = np.asarray(numbers)
        if vector.shape != (n,):
            raise LayoutError(f"{where}: need {n} integers, got shape {vector.shape}")
        self._check_range(where, "numbers", vector, -(2**31), 2**31 - 1)
        return vector.astype(np.int64)

    def _check_read(self, where: str, inputs: npt.ArrayLike, rows: Lines, columns: Lines) -> Ints:
        lines = (("rows", rows, self.geometry.rows), ("columns", columns, self.geometry.columns))
        for what, named, n in lines:
            if len(set(named)) != len(named) or any(not 0 <= line < n for line in named):
                raise ArrayBoundsError(
                    f"{where}: need different {what} within 0..{n - 1}, got {list(named)}"
                )
        if len(columns) > self.geometry.unit_columns:
            raise ArrayBoundsError(
                f"{where}: need at most {self.geometry.unit_columns} columns, got {len(columns)}; "
                "read in parts"
            )
        digits = np.asarray(inputs)
        if digits.shape != (len(rows),):
            raise LayoutError(f"{where}: need {len(rows)} inputs, got shape {digits.shape}")
        self._check_range(where, "inputs", digits, 0, (1 << self.geometry.dac_bits) - 1)
        return digits.astype(np.int64)

    def _check_range(
        self, where: str, what: str, numbers: npt.NDArray[Any], low: int, high: int
    ) -> None:
        if numbers.size == 0:
            return
        if numbers.dtype.kind not in "iu" or numbers.min() < low or numbers.max() > high:
            raise LayoutError(
                f"{where}: need integer {what} within {low}..{high}, got {numbers.dtype} "
                f"{numbers.min()}..{numbers.max()}"
            )
