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

    def __init__(self, weights: Ints, code_bits: int) -> None:
        self.weights = weights
        n_rows, n_outputs = weights.shape
        largest = 1 << code_bits
        reach = int(np.abs(weights).sum(axis=0).max(initial=0)) * largest
        largest_weight = int(np.abs(weights).max(initial=0))
        self._tiled = max(largest, largest_weight) < 2**15 and reach < 2**31
        self._in_floats = reach < _EXACT
        self._n_pairs = -(-n_rows // 2)
        n_blocks = -(-n_outputs // TILE_FILTERS)
        if self._tiled:
            full = np.zeros((2 * self._n_pairs, n_blocks * TILE_FILTERS), np.int16)
            full[:n_rows, :n_outputs] = weights
            tiles = full.reshape(self._n_pairs, 2, n_blocks, TILE_FILTERS).transpose(2, 0, 3, 1)
            self._tiles = np.ascontiguousarray(tiles).reshape(n_blocks, 1, self._n_pairs, -1)
        elif self._in_floats:
            self._floats = weights.astype(np.float64)

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
                out[part] += codes[part].astype(np.int64) @ self.weights

    def _add_tiled(self, codes: npt.NDArray[Any], out: Ints) -> None:
        step = 2 * self._n_pairs
        flat = np.zeros((len(codes), step), np.int16)
        flat[:, : codes.shape[1]] = codes

        def multiply(start: int, stop: int) -> None:
            sums = np.empty((TILE_PIXELS, self._tiles.shape[0] * TILE_FILTERS), np.int32)
            rows = flat[start:stop].reshape(-1)
            multiply_codes(rows, step, np.zeros(1, np.int64), self._tiles, sums, out[start:stop])

        share_out(len(codes), multiply)
