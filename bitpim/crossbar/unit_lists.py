"""Lists of the rows and columns that reads of a crossbar open, and where columns are added up."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Final

import numpy as np
import numpy.typing as npt

from bitpim.crossbar.array import CrossbarGeometry
from bitpim.errors import ConfigError

__all__ = ["MOST_SHIFT", "UnitLists"]

Ints = npt.NDArray[np.int64]

MOST_SHIFT: Final = 15
"""Places that a code is shifted at most, by its column and by its input slice alike."""


@dataclass(frozen=True, slots=True, eq=False)
class UnitLists:
    """Rows and columns by list; a list is named by its number.

    Shapes
    ------
    row_starts: (row lists + 1,) where each begins in `row_lists`, and the end
    row_lists: (rows of all lists,) wordlines
    column_starts: (column lists + 1,)
    column_lists: (columns of all lists,) bitlines
    column_sums: of that shape: the sum that the column's code is added to
    column_factors: of that shape: what a code counts for there, a power of two or its negative
    """

    row_starts: Ints
    row_lists: Ints
    column_starts: Ints
    column_lists: Ints
    column_sums: Ints
    column_factors: Ints

    @classmethod
    def names(cls) -> tuple[str, ...]:
        """Return the names of its tables, as constants of an array have them."""
        return tuple(field.name for field in fields(cls))

    @property
    def tables(self) -> Mapping[str, Ints]:
        """All tables, by name."""
        return {name: getattr(self, name) for name in self.names()}

    @property
    def heights(self) -> Ints:
        """Rows of each row list."""
        return np.diff(self.row_starts)

    @property
    def widths(self) -> Ints:
        """Columns of each column list."""
        return np.diff(self.column_starts)

    def rows(self, which: int) -> Ints:
        """Return the rows of a list."""
        return self.row_lists[self.row_starts[which] : self.row_starts[which + 1]]

    def of_columns(self, which: int) -> slice:
        """Return where the columns of a list lie in the three tables of columns."""
        return slice(int(self.column_starts[which]), int(self.column_starts[which + 1]))

    def check(self, geometry: CrossbarGeometry, n_sums: int) -> None:
        """Raise where the lists are none of a crossbar with so many sums.

        Raises
        ------
        ConfigError
            Tables do not go together; a line lies outside, repeats within its list, or is one too
            many for an operation unit; a sum is none, or a factor no power of two.
        """
        for name, table in self.tables.items():
            if table.ndim != 1:
                raise ConfigError(f"constant {name}: need one axis, got {table.ndim}")
        _check_lists("row", self.row_starts, self.row_lists, geometry.rows)
        _check_lists("column", self.column_starts, self.column_lists, geometry.columns)
        if self.widths.max(initial=0) > geometry.unit_columns:
            raise ConfigError(
                f"constant column_starts: need lists of at most {geometry.unit_columns} columns, "
                f"those of an operation unit, got {self.widths.max()}"
            )
        sizes = np.abs(self.column_factors)
        for name in ("column_sums", "column_factors"):
            if self.tables[name].shape != self.column_lists.shape:
                raise ConfigError(
                    f"constant {name}: need one for each of {len(self.column_lists)} columns "
                    f"listed, got {len(self.tables[name])}"
                )
        if np.any((self.column_sums < 0) | (self.column_sums >= n_sums)):
            raise ConfigError(f"constant column_sums: need sums 0 to {n_sums - 1}, got others")
        if np.any((sizes < 1) | (sizes > 1 << MOST_SHIFT) | (sizes & (sizes - 1) != 0)):
            raise ConfigError(
                f"constant column_factors: need powers of two up to 2^{MOST_SHIFT}, or their "
                "negatives, got others"
            )


def _check_lists(line: str, starts: Ints, lines: Ints, n_lines: int) -> None:
    """Raise unless each list has a line, none twice, and all lie on the crossbar."""
    ends = (0, len(lines))
    if len(starts) < 1 or (starts[0], starts[-1]) != ends or np.any(starts[1:] <= starts[:-1]):
        raise ConfigError(
            f"constant {line}_starts: need starts that rise from {ends[0]} to {ends[1]}, the end "
            f"of {line}_lists, got others"
        )
    if np.any((lines < 0) | (lines >= n_lines)):
        raise ConfigError(f"constant {line}_lists: need {line}s 0 to {n_lines - 1}, got others")
    lists = np.repeat(np.arange(len(starts) - 1), np.diff(starts))
    if len(np.unique(lists * n_lines + lines)) < len(lines):
        raise ConfigError(
            f"constant {line}_lists: need different {line}s in each list, got some twice"
        )
