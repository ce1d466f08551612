"""Exact products with an integer matrix: what no converter stands in the way of."""

from typing import Any

import numpy as np
import numpy.typing as npt

from bitpim.threads import share_out
from bitpim_kernels.crossbar import multiply_codes
from bitpim_kernels.vector import TILE_FILTERS, TILE_PIXELS

__all__ = ["ExactProduct"]

Ints = npt.NDArray[np.int64]

_EXACT = 2**53  # integers up to here are exact in float64
_OUTPUTS_AT_ONCE = 128  # whose weights are looked at
_POSITIONS = 4096  # positions widened to float64 at a time


class ExactProduct:
    """An integer matrix to multiply codes with.

    Shapes
    ------
    weights: (rows, n_outputs)

    Parameters
    ----------
    weights : the matrix
    code_bits : bits that hold every code, sign included
    """

    def __init__(self, weights: npt.NDArray[np.integer], code_bits: int) -> None:
        largest = 1 << code_bits
        total, largest_weight = _sizes(weights)
        reach = total * largest
        self._tiled = max(largest, largest_weight) < 2**15 and reach < 2**31
        self._in_floats = reach < _EXACT
        self._n_pairs = -(-len(weights) // 2)
        if self._tiled:
            self._tiles = _tiles(weights, self._n_pairs)
        elif self._in_floats:
            self._floats = weights.astype(np.float64)
        else:
            self._integers = weights.astype(np.int64)

    def add(self, codes: npt.NDArray[Any], out: Ints) -> None:
        """Add codes times weights to `out`, on all threads.

        Shapes
        ------
        codes: (positions, rows) integers
        out: (positions, n_outputs)
        """
        if self._tiled:
            self._add_tiled(codes, out)
            return
        for first in range(0, len(codes), _POSITIONS):
            part = slice(first, first + _POSITIONS)
            if self._in_floats:
                out[part] += (codes[part].astype(np.float64) @ self._floats).astype(np.int64)
            else:
                out[part] += codes[part].astype(np.int64) @ self._integers

    def _add_tiled(self, codes: npt.NDArray[Any], out: Ints) -> None:
        step = 2 * self._n_pairs
        flat = np.zeros((len(codes), step), np.int16)
        flat[:, : codes.shape[1]] = codes

        def multiply(start: int, stop: int) -> None:
            sums = np.empty((TILE_PIXELS, self._tiles.shape[0] * TILE_FILTERS), np.int32)
            rows = flat[start:stop].reshape(-1)
            multiply_codes(rows, step, np.zeros(1, np.int64), self._tiles, sums, out[start:stop])

        share_out(len(codes), multiply)


def _sizes(weights: npt.NDArray[np.integer]) -> tuple[int, int]:
    """Return the largest sum of an output's absolute weights, and the largest absolute weight."""
    most, largest = 0, 0
    for first in range(0, weights.shape[1], _OUTPUTS_AT_ONCE):
        sizes = np.abs(weights[:, first : first + _OUTPUTS_AT_ONCE].astype(np.int64))
        most = max(most, int(sizes.sum(axis=0).max(initial=0)))
        largest = max(largest, int(sizes.max(initial=0)))
    return most, largest


def _tiles(weights: npt.NDArray[np.integer], n_pairs: int) -> npt.NDArray[np.int16]:
    """Lay weights out as the kernel reads them: outputs by the tile, rows by the pair."""
    n_rows, n_outputs = weights.shape
    n_blocks = -(-n_outputs // TILE_FILTERS)
    tiles = np.zeros((n_blocks, 1, n_pairs, TILE_FILTERS, 2), np.int16)
    even = np.zeros((2 * n_pairs, TILE_FILTERS), np.int16)
    for block in range(n_blocks):
        part = weights[:, block * TILE_FILTERS : (block + 1) * TILE_FILTERS]
        even[:n_rows, : part.shape[1]] = part
        even[:, part.shape[1] :] = 0
        tiles[block, 0] = even.reshape(n_pairs, 2, TILE_FILTERS).transpose(0, 2, 1)
    return tiles.reshape(n_blocks, 1, n_pairs, -1)
