"""Fused bit-serial dot products: the multiply-accumulate of a lane and the tree that adds lanes.

One operand of each product lies in lanes (a vector of packed bit-planes), the other is the same
in all of them (a scalar): pixels side by side share a weight, filters side by side share an input.
The text of the kernel is made from a program table, so any width is covered.
"""

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from bitpim_kernels import opcodes as op
from bitpim_kernels.straight_line import compile_source, follow, indent

__all__ = ["BLOCK_WORDS", "dot_products_kernel", "pick_block_words", "tree_order"]

BLOCK_WORDS = (8, 32)
"""Block sizes a kernel is made for: one vector register, and four, whose sums fit an L1 cache.

Few sizes keep first runs short: each is a kernel of its own.
"""

_CACHE_BYTES = 600_000  # of an L2 cache, for planes that every filter reads again

_HEAD = '''"""Generated from a program table; see bitpim_kernels.straight_line."""

import numpy as np

from bitpim_kernels.jit import kernel
from bitpim_kernels.words import copy_row

ZERO = np.uint64(0)
ONE = np.uint64(1)
ONES = np.uint64(0xFFFFFFFFFFFFFFFF)
'''

_ADD_TEXT = """

@kernel()
def add(addend, sums, n_words):
    for w in range(n_words):
{add}
"""

_TEXT = """
from {adder} import add


@kernel()
def multiply_accumulate(vectors, at, scalar, sums, n_words):
{scalars}
    for w in range(n_words):
{multiply}


@kernel()
def dot_products(vectors, scalars, source, order, work, out):
    top = work.shape[0] - 1
    n_words = work.shape[1] // {width}
    for o in range(scalars.shape[0]):
        for i in range(order.shape[0]):
            level = 0
            if order[i] < source.shape[0]:
                for w in range(work.shape[1]):
                    work[top, w] = ZERO
                for tap in range(source.shape[1]):
                    k = source[order[i], tap]
                    if k >= 0:
                        scalar = np.uint64(scalars[o, k])
                        multiply_accumulate(vectors, k * {entry}, scalar, work[top], n_words)
            else:  # an idle lane adds nothing to its partner
                copy_row(work[0], work[top])
                level = 1
            while (i >> level) & 1:
                add(work[level], work[top], n_words)
                level += 1
            copy_row(work[top], work[level])
        copy_row(work[top], out[o])
"""


@lru_cache(maxsize=64)
def tree_order(n_lanes: int) -> npt.NDArray[np.int64]:
    """Yield lanes as a depth-first walk of the reduction tree meets them: bit-reversed counting.

    The tree adds lane c + d to lane c for d = n/2, n/4, ..., 1, where n is `n_lanes` rounded up
    to a power of two; the walk needs one partial sum a level instead of one a lane.
    """
    levels = max(n_lanes - 1, 0).bit_length()
    order = np.zeros(1, np.int64)
    for _ in range(levels):
        order = np.concatenate([2 * order, 2 * order + 1])
    return order


def pick_block_words(n_words: int, n_planes: int = 0) -> int:
    """Choose the faster block size for rows of `n_words`, of which a block reads `n_planes`.

    A block of 32 takes about the time of two of 8 while its planes stay in an L2 cache (measured).
    """
    small, large = BLOCK_WORDS
    too_large = 8 * large * n_planes > _CACHE_BYTES
    return small if n_words <= 2 * small or too_large else large


def dot_products_kernel(
    table: npt.NDArray[np.int32],
    vector_rows: Sequence[int],
    scalar_rows: Sequence[int],
    sum_rows: Sequence[int],
    block_words: int,
) -> Any:
    """Make the kernel that runs a multiply-accumulate table over the taps and lanes of a filter.

    `sum_rows` are the rows of the widest sum of the reduction; the table may touch only the first
    of them. The kernel is called as ``kernel(vectors, scalars, source, order, work, out)``.

    Shapes
    ------
    vectors
        uint64 (n_entries * n_vector_rows * block_words,): planes of the operand in lanes.
    scalars
        unsigned integers (n_outer, n_entries): codes of the operand all lanes share.
    source
        int64 (n_used_lanes, n_taps): the entry each tap multiplies, -1 for none.
    order
        int64: `tree_order` of the number of lanes.
    work
        uint64 (levels + 2, n_sum_rows * block_words): scratch, one sum a tree level and one more.
    out
        uint64 (n_outer, n_sum_rows * block_words): planes of the reduced sums.

    Source
    ------
    Neural Cache: multiply decomposition n^2 + 5n - 2 and reduction by halving.
    """
    key = (tuple(vector_rows), tuple(scalar_rows), tuple(sum_rows), block_words)
    return _kernel_of(np.ascontiguousarray(table, np.int32).tobytes(), *key)


@lru_cache(maxsize=64)
def _kernel_of(
    table_bytes: bytes,
    vector_rows: tuple[int, ...],
    scalar_rows: tuple[int, ...],
    sum_rows: tuple[int, ...],
    block: int,
) -> Any:
    table = np.frombuffer(table_bytes, np.int32).reshape(-1, op.N_FIELDS)
    inputs = {row: f"x{i}" for i, row in enumerate(vector_rows)}
    inputs |= {row: f"t{i}" for i, row in enumerate(scalar_rows)}
    inputs |= {row: f"s{i}" for i, row in enumerate(sum_rows)}
    lines, values = follow(op.SRAM, table, inputs, sum_rows)
    touched = [i for i, row in enumerate(sum_rows) if values[row] != f"s{i}"]
    loads = [f"x{i} = vectors[at + {i * block} + w]" for i in range(len(vector_rows))]
    loads += [f"s{i} = sums[{i * block} + w]" for i in touched]
    stores = [f"sums[{i * block} + w] = {values[sum_rows[i]]}" for i in touched]
    text = _HEAD + _TEXT.format(
        adder=_adder(len(sum_rows), block),
        width=len(sum_rows),
        entry=len(vector_rows) * block,
        scalars=indent(
            [f"t{i} = ZERO - ((scalar >> np.uint64({i})) & ONE)" for i in range(len(scalar_rows))],
            1,
        ),
        multiply=indent(loads + lines + stores, 2),
    )
    return compile_source(text).__dict__["dot_products"]


def _adder(width: int, block: int) -> str:
    """Name the module whose `add` adds sums: one for all tables whose sums are as wide."""
    return compile_source(
        _HEAD + _ADD_TEXT.format(add=indent(_add_lines(width, block), 2))
    ).__name__


def _add_lines(width: int, block: int) -> list[str]:
    """Follow the add program over sums of the full width (rows above a sum's width are zero)."""
    table = np.array([[op.ADD, i, width + i, width + i, op.ALWAYS] for i in range(width)], np.int32)
    inputs = {i: f"a{i}" for i in range(width)} | {width + i: f"s{i}" for i in range(width)}
    lines, values = follow(op.SRAM, table, inputs, range(width, 2 * width))
    loads = [f"a{i} = addend[{i * block} + w]" for i in range(width)]
    loads += [f"s{i} = sums[{i * block} + w]" for i in range(width)]
    stores = [f"sums[{i * block} + w] = {values[width + i]}" for i in range(width)]
    return loads + lines + stores
