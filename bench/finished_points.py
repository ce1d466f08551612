"""Finished points of a long measurement in a file of JSON lines, so that none is run twice."""

import json
import os
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

__all__ = ["Journal"]


class _Keyed(Protocol):
    """A dataclass of plain values; `key` tells it from all others."""

    @property
    def key(self) -> str: ...


P = TypeVar("P", bound=_Keyed)


@dataclass(slots=True)
class Journal(Generic[P]):
    """Points of one `kind` by their keys; without a path nothing is kept."""

    kind: type[P]
    path: Path | None = None
    points: dict[str, P] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.path is None or not self.path.exists():
            return
        for line in self.path.read_text("utf-8").splitlines():
            try:
                point = self.kind(**json.loads(line))
            except (ValueError, TypeError):
                continue  # a line that was cut off, or of another version
            self.points[point.key] = point

    def add(self, point: P) -> None:
        """Keep a point, on the disk before anything else happens."""
        self.points[point.key] = point
        if self.path is None:
            return
        plain: Any = point
        with self.path.open("a+", encoding="utf-8") as lines:
            lines.seek(0)
            cut_off = not (lines.read() or "\n").endswith("\n")
            lines.write("\n" * cut_off + json.dumps(asdict(plain)) + "\n")
            lines.flush()
            os.fsync(lines.fileno())
