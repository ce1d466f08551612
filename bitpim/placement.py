"""Where the parts of a matrix lie on crossbars: rectangles of cells, many of them, as arrays."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from bitpim.errors import LayoutError

__all__ = ["LABEL_KINDS", "Grid", "Placement", "Placements"]

Ints = npt.NDArray[np.int64]

LABEL_KINDS: Final = ("channel", "pattern", "columns")
"""What a label is. channel: an input channel. pattern: the mask code of a block's kernels.
columns: a group of columns that share their surviving rows.
"""


class Grid(Protocol):
    """Sizes of an array, and of what one read of it opens."""

    @property
    def rows(self) -> int:
        """Wordlines of the array."""
        ...

    @property
    def columns(self) -> int:
        """Bitlines of the array."""
        ...

    @property
    def unit_rows(self) -> int:
        """Wordlines that one read may open."""
        ...

    @property
    def unit_columns(self) -> int:
        """Columns that one read may sense."""
        ...


class Placement(NamedTuple):
    """A rectangle of cells, and which cells of which block lie there.

    Its top left cell holds the cell (`first_row`, `first_column`) of block number `block`. Beyond
    `width`, `padding` columns are left empty.
    """

    crossbar: int
    row: int
    column: int
    height: int
    width: int
    padding: int
    label: int
    block: int
    first_row: int
    first_column: int


@dataclass(frozen=True, slots=True)
class Placements:
    """Rectangles on crossbars of one geometry; indexing and iterating yield `Placement`.

    Shapes
    ------
    all arrays (n,); labels uint64, the others int64

    Raises
    ------
    LayoutError
        The arrays differ in length, or the kind is unknown.
    """

    geometry: Grid
    kind: str
    crossbars: Ints
    rows: Ints
    columns: Ints
    heights: Ints
    widths: Ints
    padding: Ints
    labels: npt.NDArray[np.uint64]
    blocks: Ints
    first_rows: Ints
    first_columns: Ints

    def __post_init__(self) -> None:
        lengths = {len(field) for field in self._fields()}
        if len(lengths) != 1 or self.kind not in LABEL_KINDS:
            raise LayoutError(
                f"placements: need arrays of one length and a kind of {', '.join(LABEL_KINDS)}, "
                f"got lengths {sorted(lengths)} and {self.kind!r}"
            )

    def _fields(self) -> tuple[npt.NDArray[Any], ...]:
        return (
            self.crossbars,
            self.rows,
            self.columns,
            self.heights,
            self.widths,
            self.padding,
            self.labels,
            self.blocks,
            self.first_rows,
            self.first_columns,
        )

    def __len__(self) -> int:
        return len(self.crossbars)

    def __getitem__(self, index: int) -> Placement:
        return Placement(*(int(field[index]) for field in self._fields()))

    def __iter__(self) -> Iterator[Placement]:
        return (self[i] for i in range(len(self)))

    @property
    def n_crossbars(self) -> int:
        """Crossbars in use."""
        return int(self.crossbars.max(initial=-1)) + 1

    @property
    def used_cells(self) -> int:
        """Cells that hold a part of a weight."""
        return int(self.heights @ self.widths)

    @property
    def utilization(self) -> float:
        """Used cells over the cells of all crossbars in use."""
        cells = self.n_crossbars * self.geometry.rows * self.geometry.columns
        return self.used_cells / max(cells, 1)

    def on(self, crossbar: int) -> "Placements":
        """Return those that lie on one crossbar."""
        here = self.crossbars == crossbar
        return Placements(self.geometry, self.kind, *(field[here] for field in self._fields()))

    @classmethod
    def joined(cls, parts: Sequence["Placements"]) -> "Placements":
        """Return the placements of several matrices, each on crossbars of its own.

        Crossbars and blocks are numbered on from part to part; the groups of a convolution are
        such parts.

        Raises
        ------
        LayoutError
            There are none, or they differ in geometry or kind.
        """
        kinds = {(part.geometry, part.kind) for part in parts}
        if len(kinds) != 1:
            raise LayoutError(
                f"placements: need parts of one geometry and kind to join, got {len(kinds)} of them"
            )
        first_crossbars = np.cumsum([0, *(part.n_crossbars for part in parts[:-1])])
        first_blocks = np.cumsum(
            [0, *(int(part.blocks.max(initial=-1)) + 1 for part in parts[:-1])]
        )
        numbered = [list(part._fields()) for part in parts]
        for fields, crossbar, block in zip(numbered, first_crossbars, first_blocks, strict=True):
            fields[0], fields[7] = fields[0] + crossbar, fields[7] + block
        geometry, kind = kinds.pop()
        return cls(geometry, kind, *map(np.concatenate, zip(*numbered, strict=True)))
