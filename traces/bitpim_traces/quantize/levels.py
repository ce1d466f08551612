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
    depth = depth_of(size, where)
    levels = codebook.levels
    if levels is None:
        raise TraceDataError(
            f"{where}: need the levels of a tree, got none; cluster the float network to {size}"
        )
    if depth == len(levels) + 1:
        return codebook, np.arange(codebook.n_codes)
    if depth > len(levels):
        raise TraceDataError(
            f"{where}: need a size of at most {2 << len(levels)}, which its tree has, got {size};"
            " cluster the float network to more"
        )
    values, first, codes = np.unique(levels[depth - 1], return_index=True, return_inverse=True)
    made = Codebook(values, codebook.fraction_bits, codebook.value_bits, levels[: depth - 1, first])
    return made, codes.astype(np.int64)

