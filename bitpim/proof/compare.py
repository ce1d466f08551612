"""Equal or not, and if not, where first: codes of a machine against codes of the referee.

How far outputs are from the float network is another question; `bitpim.report.figures` answers it.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from bitpim.errors import MismatchError
from bitpim_traces.records import LayerRecord

__all__ = ["LayerComparison", "Mismatch", "first_mismatch"]

Codes = npt.NDArray[Any]


@dataclass(frozen=True, slots=True)
class Mismatch:
    """The first place where two outputs of a layer differ: lowest sample, then C order.

    `coordinate` is (channel, y, x) of an image, (feature,) of a vector. `n_mismatches` of
    `n_codes` compared codes differ.
    """

    layer: int
    name: str
    sample: int
    coordinate: tuple[int, ...]
    expected: int
    got: int
    n_mismatches: int
    n_codes: int

    def __str__(self) -> str:
        axes = ("channel", "y", "x") if len(self.coordinate) == 3 else ("feature",)
        if len(axes) != len(self.coordinate):
            place = f"at {self.coordinate}"
        else:
            place = " ".join(f"{axis} {i}" for axis, i in zip(axes, self.coordinate, strict=True))
        return (
            f"layer {self.layer} {self.name!r}, sample {self.sample}, {place}: need"
            f" {self.expected}, got {self.got} ({self.n_mismatches} of {self.n_codes} codes differ)"
        )

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, ready for JSON."""
        return asdict(self) | {"coordinate": list(self.coordinate)}


def first_mismatch(
    expected: Codes, got: Codes, *, layer: int = 0, name: str = "", first_sample: int = 0
) -> Mismatch | None:
    """Find the first differing code of two outputs, samples first; None when all are equal.

    Values are compared, not dtypes. `first_sample` is the number of the first sample in the trace.

    Raises
    ------
    MismatchError
        The shapes differ, or something other than integers is given.
    """
    if expected.shape != got.shape:
        raise MismatchError(
            f"layer {layer} {name!r}: need outputs of shape {expected.shape}, got {got.shape}"
        )
    for codes in (expected, got):
        if codes.dtype.kind not in "iu":
            raise MismatchError(f"layer {layer} {name!r}: need integer codes, got {codes.dtype}")
    differs = expected != got
    n_mismatches = int(np.count_nonzero(differs))
    if n_mismatches == 0:
        return None
    place = np.unravel_index(int(differs.argmax()), differs.shape)
    return Mismatch(
        layer,
        name,
        first_sample + int(place[0]),
        tuple(int(i) for i in place[1:]),
        int(expected[place]),
        int(got[place]),
        n_mismatches,
        differs.size,
    )


@dataclass(slots=True)
class LayerComparison:
    """What is known of one layer so far; batches in any order, parts of a run can be merged."""

    index: int
    name: str
    n_samples: int = 0
    n_codes: int = 0
    n_mismatches: int = 0
    first: Mismatch | None = None

    @classmethod
    def of(cls, layer: LayerRecord) -> "LayerComparison":
        """Begin with nothing compared."""
        return cls(layer.index, layer.name)

    @property
    def equal(self) -> bool:
        """Whether something was compared and no code differed."""
        return self.n_samples > 0 and self.n_mismatches == 0

    def update(self, expected: Codes, got: Codes, first_sample: int) -> None:
        """Compare one batch."""
        found = first_mismatch(
            expected, got, layer=self.index, name=self.name, first_sample=first_sample
        )
        one = LayerComparison(self.index, self.name, expected.shape[0], expected.size)
        if found is not None:
            one.n_mismatches, one.first = found.n_mismatches, found
        self.merge(one)

    def merge(self, other: "LayerComparison") -> None:
        """Take in what another comparison of the same layer found on other samples."""
        if (self.index, self.name) != (other.index, other.name):
            raise MismatchError(
                f"layer {self.index} {self.name!r}: need a comparison of the same layer, got"
                f" layer {other.index} {other.name!r}"
            )
        self.n_samples += other.n_samples
        self.n_codes += other.n_codes
        self.n_mismatches += other.n_mismatches
        self.first = self._whole(_earliest([self.first, other.first]))

    def _whole(self, first: Mismatch | None) -> Mismatch | None:
        """State the counts of all batches in the mismatch, not those of its own."""
        if first is None:
            return None
        place = first.layer, first.name, first.sample, first.coordinate
        return Mismatch(*place, first.expected, first.got, self.n_mismatches, self.n_codes)

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, ready for JSON."""
        return {
            "index": self.index,
            "name": self.name,
            "n_samples": self.n_samples,
            "n_codes": self.n_codes,
            "n_mismatches": self.n_mismatches,
            "equal": self.equal,
            "first_mismatch": None if self.first is None else self.first.to_dict(),
        }


def _earliest(found: Sequence[Mismatch | None]) -> Mismatch | None:
    real = [mismatch for mismatch in found if mismatch is not None]
    return min(real, key=lambda m: (m.layer, m.sample, m.coordinate), default=None)
