"""Run programs on random operands: rows one after the other, stale bits in every row."""

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from bitpim.programs.program import Field, Program
from bitpim.sram.subarray import Subarray

__all__ = ["LANES", "Rows", "draw", "run"]

LANES = (1, 63, 64, 65, 127, 128)
Codes = npt.NDArray[np.int64]


class Rows:
    """Fields one after the other from row `at`."""

    def __init__(self, at: int = 0) -> None:
        self.at = at

    def __call__(self, name: str, width: int) -> Field:
        self.at += width
        return Field(name, self.at - width, width)


def run(program: Program, **operands: Any) -> Callable[..., Codes]:
    """Run a program on operands by field name; stale bits lie in all other rows."""
    n_lanes = max(np.size(codes) for codes in operands.values())
    array = Subarray(max(program.n_rows, 1), n_lanes)
    rng = np.random.default_rng(n_lanes)
    array.write_rows(0, rng.integers(0, 2, (array.n_rows, n_lanes), dtype=np.uint8))
    for name, codes in operands.items():
        array.write_codes(program.field(name), np.broadcast_to(codes, (n_lanes,)))
    array.run(program)

    def read(name: str, signed: bool = False, bits: int | None = None) -> Codes:
        return array.read_codes(program.field(name)[:bits], signed=signed)

    return read


def draw(rng: np.random.Generator, bits: int, signed: bool, n_lanes: int) -> Codes:
    """Draw codes, the extremes and zero among them."""
    low, high = (-(1 << bits - 1), (1 << bits - 1) - 1) if signed else (0, (1 << bits) - 1)
    codes = rng.integers(low, high, n_lanes, endpoint=True)
    edges = np.array([low, high, 0, high // 2])
    return np.where(rng.random(n_lanes) < 0.3, rng.choice(edges, n_lanes), codes)
