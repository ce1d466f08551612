"""Coarser codebooks from the tree inside a codebook: fewer values, and where each code goes."""

import numpy as np
import numpy.typing as npt

from bitpim_traces.codebook import Codebook
from bitpim_traces.errors import TraceDataError

__all__ = ["CODEBOOK_SIZES", "coarser", "depth_of"]

Ints = npt.NDArray[np.int64]

CODEBOOK_SIZES = tuple(1 << depth for depth in range(1, 9))
"""Sizes that a tree's levels have at most: 2 to 256."""


def depth_of(size: int, what: str = "codebook") -> int:
    """Return the depth of the tree whose level has at most `size` values.

    Raises
    ------
    TraceDataError
        The size is no power of two from 2 to 256.
    """
    if size not in CODEBOOK_SIZES:
        sizes = ", ".join(map(str, CODEBOOK_SIZES))
        raise TraceDataError(f"{what}: need a size among {sizes}, got {size}")
    return size.bit_length() - 1


def coarser(codebook: Codebook, size: int, where: str = "codebook") -> tuple[Codebook, Ints]:
    """Yield the codebook of the level of at most `size` values, and its code by the finer code.

    The tree keeps its levels above that one. A codebook whose whole tree has that depth comes back
    as it is.

    Shapes
    ------
    result : codebook, (n_codes of the finer,)

    Raises
    ------
    TraceDataError
        The codebook has no level so fine, or no levels.
    """
    depth, levels = depth_of(size, where), codebook.levels
    if levels is None and codebook.n_codes > 2:
        raise TraceDataError(
            f"{where}: need the levels of a tree, got none; make codebooks of the float network"
            " with `bitpim trace codebooks`"
        )
    n_levels = 0 if levels is None else len(levels)
    if depth > n_levels + 1:
        raise TraceDataError(
            f"{where}: need a size of at most {2 << n_levels}, which its tree has, got {size}; make"
            " codebooks of more with `bitpim trace codebooks`"
        )
    if levels is None or depth == n_levels + 1:
        return codebook, np.arange(codebook.n_codes)
    values, first, codes = np.unique(levels[depth - 1], return_index=True, return_inverse=True)
    above = levels[: depth - 1, first] if depth > 1 else None
    return Codebook(values, codebook.fraction_bits, codebook.value_bits, above), codes
