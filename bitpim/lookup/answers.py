"""What a search finds."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from bitpim.counts import Counts

__all__ = ["Answers"]

EVENT_WORDS = {
    "cam_search": ("search", "searches"),
    "cam_stage": ("stage", "stages"),
    "cam_row": ("row", "rows"),
    "cam_survivor": ("survivor", "survivors"),
    "cam_discharge": ("discharge", "discharges"),
    "cam_toggle": ("toggle", "toggles"),
}

Indices = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class Answers:
    """Rows found for each query, and what finding them took.

    Attributes
    ----------
    kind : kind of search
    options : options in force, defaults too, as plain values; `high` is not among them
    rows : rows found for each query, the best first; -1 where none matches
    distances : their distances, -1 where there is no row; None where the kind has none. Unsigned
        where ``nearest`` compares 64 bits
    n_matches : rows that match; of kinds with a winner, the rows reported, all that are alike with
        ties ``all``
    counts : what the hardware did
    n_rows, n_bits : those of the CAM
    offsets, matches : with ``every``, and with ties ``all``: the rows of query i are
        ``matches[offsets[i]:offsets[i + 1]]``, ascending

    Shapes
    ------
    rows, distances: (n_queries, k) int64
    n_matches: (n_queries,) int64
    offsets: (n_queries + 1,) int64
    """

    kind: str
    options: dict[str, Any]
    rows: Indices
    distances: npt.NDArray[Any] | None
    n_matches: Indices
    counts: Counts
    n_rows: int
    n_bits: int
    offsets: Indices | None = None
    matches: Indices | None = None

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def n_matched(self) -> int:
        """Queries that some row answers."""
        return int(np.count_nonzero(self.rows[:, 0] >= 0)) if len(self) else 0

    def matches_of(self, query: int) -> Indices:
        """Return all rows listed for a query; those reported where there are no lists."""
        if self.offsets is None or self.matches is None:
            found: Indices = self.rows[query]
            return found[found >= 0]
        start, stop = self.offsets[query : query + 2].tolist()
        return self.matches[start:stop]

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain values, for JSON."""
        lists = self.offsets is not None
        return {
            "kind": self.kind,
            "options": self.options,
            "n_queries": len(self),
            "n_rows": self.n_rows,
            "n_bits": self.n_bits,
            "rows": self.rows.tolist(),
            "distances": None if self.distances is None else self.distances.tolist(),
            "n_matches": self.n_matches.tolist(),
            "matches": [self.matches_of(i).tolist() for i in range(len(self))] if lists else None,
            "counts": self.counts.to_dict(),
        }

    def __str__(self) -> str:
        shown = [
            f"{name}={value if not isinstance(value, list) else f'{len(value)} values'}"
            for name, value in self.options.items()
            if name not in ("every", "faults") and value not in (False, "lowest")
        ]
        head = f"{self.kind}{' ' if shown else ''}{', '.join(shown)}"
        lines = [
            f"{head}: {_many(len(self), 'query', 'queries')}, "
            f"{_many(self.n_rows, 'row', 'rows')} of {_many(self.n_bits, 'bit', 'bits')}",
            f"matched     {self.n_matched:,} of {len(self):,}, "
            f"{_many(int(self.n_matches.sum()), 'row', 'rows')} in all",
        ]
        if self.distances is not None and self.n_matched:
            found = self.distances[self.rows >= 0]
            lines.append(
                f"distances   {found.min():,} to {found.max():,}, mean {found.mean():,.3f}"
            )
        if faults := self.options.get("faults"):
            lines.append(
                f"faults      {faults['stuck_match']:,} cells stuck at match, "
                f"{faults['stuck_mismatch']:,} at mismatch"
            )
        counted = ", ".join(
            _many(count, *EVENT_WORDS[event]) for event, count in self.counts.to_dict().items()
        )
        return "\n".join([*lines, f"counts      {counted or 'none'}"])

    __repr__ = __str__


def _many(n: int, one: str, more: str) -> str:
    return f"{n:,} {one if n == 1 else more}"
