from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from bitpim_kernels.jit import kernel
from bitpim_kernels.pair_tile import LANES, LONGEST, count_codes, count_taps

Form = Callable[[Any], Callable[..., Any]]
Array = npt.NDArray[Any]
LIT = np.full(LANES, 255, np.uint8)


@kernel()
def taps_counted(
    tile: Array, taps: Array, starts: Array, stop: int, lit: Array, rows: Array, counts: Array
) -> None:
    count_taps(tile, taps, starts, 1, stop, lit, rows, counts)


@kernel()
def codes_counted(
    tile: Array, taps: Array, starts: Array, lit: Array, rows: Array, counts: Array, n_codes: int
) -> None:
    count_codes(tile, taps, starts, 1, lit, rows, counts, n_codes)


class Case:
    """Groups of some lengths, the first of which is not to be touched."""

    def __init__(self, lengths: list[int], n_codes: int, seed: int = 0) -> None:
        rng = np.random.default_rng(seed)
        n = sum(lengths)
        self.tile = rng.integers(0, n_codes, (n, LANES)).astype(np.uint8)
        self.taps = rng.permutation(n).astype(np.int32)
        self.starts = np.cumsum([0, *lengths])
        self.lit = np.where(np.arange(LANES) % 5 == 3, 0, 255).astype(np.uint8)
        self.rows = np.full((LONGEST, LANES), 77, np.uint8)
        self.counts = np.full((LONGEST, LANES), 88, np.uint8)
        self.stop = len(lengths)
        self.n = n - lengths[0]

    def columns(self) -> list[list[list[int]]]:
        """The codes of each group in each lane."""
        ends = zip(self.starts[1:-1], self.starts[2:], strict=True)
        return [self.tile[self.taps[a:b]].T.tolist() for a, b in ends]


GROUPS = [
    [1, 1], [2, 2], [1, 3], [1, 4], [2, 5], [1, 6, 7, 8], [3, 9], [1, 1, 1, 2, 3, 4, 5, 13],
    [1, 170], [1, LONGEST],
]  # fmt: skip


@pytest.mark.parametrize("lengths", GROUPS)
@pytest.mark.parametrize("n_codes", [1, 2, 256])
def test_taps_of_a_group_are_counted(lengths: list[int], n_codes: int, form: Form) -> None:
    c = Case(lengths, n_codes)
    form(taps_counted)(c.tile, c.taps, c.starts, c.stop, c.lit, c.rows, c.counts)
    at = 0
    for group in c.columns():
        for lane, codes in enumerate(group):
            here = slice(at, at + len(codes))
            assert c.rows[here, lane].tolist() == codes
            expected = [
                0 if code in codes[:i] or not c.lit[lane] else codes.count(code)
                for i, code in enumerate(codes)
            ]
            assert c.counts[here, lane].tolist() == expected
        at += len(group[0])
    assert at == c.n and np.all(c.counts[at:] == 88) and np.all(c.rows[at:] == 77)


@pytest.mark.parametrize(("n", "n_codes"), [(1, 1), (2, 1), (7, 7), (40, 3), (LONGEST, 40)])
def test_codes_of_a_group_are_counted(n: int, n_codes: int, form: Form) -> None:
    c = Case([3, n, 5], n_codes)
    form(codes_counted)(c.tile, c.taps, c.starts, c.lit, c.rows, c.counts, n_codes)
    for lane, codes in enumerate(c.columns()[0]):
        expected = [codes.count(code) if c.lit[lane] else 0 for code in range(n_codes)]
        assert c.counts[:n_codes, lane].tolist() == expected
        assert c.rows[:n_codes, lane].tolist() == list(range(n_codes))
    assert np.all(c.counts[n_codes:] == 88)
