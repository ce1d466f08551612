"""What `bench.table_accuracy` measured, as plain values and as a table."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

__all__ = ["Point", "curve_of", "loss_of", "plain", "table"]


@dataclass(frozen=True, slots=True)
class Point:
    """What came out of one network with codebooks of one size.

    `n_float` counts right answers of the float network on the same images, `n_same` the images
    whose choice is the float network's. `key` is a digest of the trace, the size, the images and
    every setting.
    """

    network: str
    size: int
    mode: str
    retrained: bool
    fidelity: str
    n_images: int
    n_right: int
    n_float: int
    n_same: int
    seconds: float
    key: str


def curve_of(point: Point) -> str:
    """Name the line that a point lies on."""
    return f"{point.mode}, re-trained" if point.retrained else point.mode


def loss_of(point: Point) -> float:
    """Return the points of accuracy that the float network has more, on the same images."""
    return 100 * (point.n_float - point.n_right) / point.n_images


def plain(points: Sequence[Point]) -> dict[str, Any]:
    """Everything as plain values."""
    return {
        "points": [
            {
                "curve": curve_of(p),
                "accuracy": p.n_right / p.n_images,
                "float_accuracy": p.n_float / p.n_images,
                "loss_points": loss_of(p),
                **asdict(p),
            }
            for p in points
        ]
    }


def table(points: Sequence[Point]) -> str:
    """Write per cent right, a row a network, curve and count of images, a column a size."""
    sizes = sorted({p.size for p in points})
    rows = [["network", "match", "images", "float", *map(str, sizes), "loss at the largest"]]
    lines = dict.fromkeys((p.network, curve_of(p), p.n_images) for p in points)
    for line in lines:
        here = {p.size: p for p in points if (p.network, curve_of(p), p.n_images) == line}
        name, curve, n_images = line
        largest = here[max(here)]
        cells = ["-" if s not in here else _per_cent(here[s].n_right, n_images) for s in sizes]
        first = [name, curve, f"{n_images:,}", _per_cent(largest.n_float, n_images)]
        rows.append([*first, *cells, f"{loss_of(largest):+.2f}"])
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    left = 2
    return "\n".join(
        "  ".join(
            c.ljust(w) if i < left else c.rjust(w)
            for i, (c, w) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    )


def _per_cent(n: int, n_images: int) -> str:
    return f"{100 * n / n_images:.2f}"
