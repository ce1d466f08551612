"""Settings of a cache of weight lines: how much it holds, and what it holds it in."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from bitpim.errors import ConfigError

__all__ = ["HELD", "CacheSettings"]

HELD = ("whole", "segments")

_MOST = 1 << 40
_RANGES = {
    "capacity_bytes": (0, _MOST),  # too little for a line is said as that
    "line_bytes": (1, 1 << 16),
    "ways": (1, _MOST),
    "pinned_clusters": (0, _MOST),
    "segment_bytes": (1, 1 << 16),
    "tags_per_way": (1, 64),
}


@dataclass(frozen=True, slots=True)
class CacheSettings:
    """A set-associative cache, out of which the line used longest ago goes first.

    Line n lies in set n mod `n_sets`, so neither lines nor sets need be a power of two. Fully
    associative is one set: as many ways as lines.

    Attributes
    ----------
    capacity_bytes : of lines, without tags
    line_bytes : room of a line
    ways : whole lines a set has room for
    pinned_clusters : lines of so many clusters, from the first, stay once they are in
    deduplicate : lines of equal content are one in the cache
    held : "whole", a line takes `line_bytes` however short it is; or "segments", it takes the
        segments that its bytes fill
    segment_bytes, tags_per_way : of a set of segments: size of one, and lines it has tags for

    Raises
    ------
    ConfigError
        A number is out of range, a word unknown, or the capacity no whole number of sets.
    """

    capacity_bytes: int
    line_bytes: int = 64
    ways: int = 4
    pinned_clusters: int = 0
    deduplicate: bool = False
    held: str = "whole"
    segment_bytes: int = 8
    tags_per_way: int = 2

    def __post_init__(self) -> None:
        self._check_numbers()
        if self.held not in HELD:
            raise ConfigError(f"weight cache: need held {' or '.join(HELD)}, got {self.held!r}")
        if self.capacity_bytes < self.line_bytes:
            raise ConfigError(
                f"weight cache: need capacity_bytes for one line of {self.line_bytes} bytes, got "
                f"{self.capacity_bytes}; give more, or shorter lines"
            )
        set_bytes = self.line_bytes * self.ways
        if self.capacity_bytes % set_bytes:
            below = self.capacity_bytes // set_bytes * set_bytes
            fit = f"{below} or {below + set_bytes}" if below else f"{set_bytes}, or fewer ways"
            raise ConfigError(
                f"weight cache: need capacity_bytes a multiple of {set_bytes}, a set of "
                f"{self.ways} ways of {self.line_bytes} bytes, got {self.capacity_bytes}; give "
                f"{fit}"
            )
        if self.held == "segments" and self.line_bytes % self.segment_bytes:
            raise ConfigError(
                f"weight cache: need segment_bytes that divide lines of {self.line_bytes} bytes, "
                f"got {self.segment_bytes}"
            )

    def _check_numbers(self) -> None:
        for name, (least, most) in _RANGES.items():
            value: Any = getattr(self, name)
            if type(value) is not int or not least <= value <= most:
                raise ConfigError(
                    f"weight cache: need {name} a whole number of {least} to {most}, got {value!r}"
                )

    @property
    def n_sets(self) -> int:
        """Sets of the cache."""
        return self.capacity_bytes // (self.line_bytes * self.ways)

    @property
    def n_segments(self) -> int:
        """Segments of a set; a line that is held whole is one."""
        return self.ways * (self.line_bytes // self.segment_bytes if self._is_cut else 1)

    @property
    def n_tags(self) -> int:
        """Lines that a set has tags for."""
        return self.ways * (self.tags_per_way if self._is_cut else 1)

    def segments_of(self, n_bytes: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """Return the segments that lines of so many bytes take."""
        taken = -(-n_bytes // self.segment_bytes) if self._is_cut else np.ones_like(n_bytes)
        found: npt.NDArray[np.int64] = taken
        return found

    @property
    def _is_cut(self) -> bool:
        return self.held == "segments"
