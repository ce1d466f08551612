"""Fused bit-serial dot products: the multiply-accumulate of a lane and the tree that adds lanes.

One operand of each product lies in lanes (a vector of packed bit-planes), the other is the same
in all of them (a scalar): pixels side by side share a weight, filters side by side share an input.
The text of the kernel is made from a program table, so any width is covered.
"""

import re
from collections.abc import Sequence
from functools import cache, lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from bitpim_kernels import opcodes as op
from bitpim_kernels.straight_line import compile_source, follow, indent

__all__ = [
    "BLOCK_WORDS",
    "dot_products_kernel",
    "held_lanes_kernel",
    "level_rows",
    "pick_block_words",
    "tree_order",
]

BLOCK_WORDS = (16, 32, 128)
"""Block sizes a kernel is made for: a few registers; sums in an L1 cache; inputs of one bit.

Few sizes keep first runs short: each is a kernel of its own. With fewer words LLVM makes no vectors
of loops (measured: 8 took longer than 16).
"""

_CHUNK_ROWS = 4  # of sums that are added at a time
_SPLIT_BITS = 2  # of scalars whose values have texts of their own
_TOGETHER, _SHORT_STEPS = 3, 48  # taps of short tables that run at once
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
def add_rows(addend, sums, carry, n_words):
    for w in range(n_words):
{add}


@kernel()
def add(addend, sums, carry, n_rows, n_out):
    n_words = carry.shape[0]
    for w in range(n_words):
        carry[w] = ZERO
    for first in range(0, n_rows * n_words, {chunk} * n_words):
        add_rows(addend[first:], sums[first:], carry, n_words)
    for first in range(n_rows * n_words, n_out * n_words, n_words):
        for w in range(n_words):  # what an addition carries out, and rows that stay clear
            sums[first + w] = carry[w]
            carry[w] = ZERO
"""

_TAP_TEXT = """

@kernel()
def multiply_accumulate(vector, scalar, sums, n_words):
{taps}

{together}"""

_TAPS_OF_A_LANE = """for w in range(n_rows * n_words):
    sums[w] = ZERO
tap = 0
{calls}
while tap < source.shape[1]:
    k = source[lane, tap]
    if k >= 0:
        scalar = np.uint64(scalars[o, k])
        multiply_accumulate(vectors[k * {entry} :], scalar, sums, n_words)
    tap += 1"""

_HELD_LANE = "extend_rows(lanes[source[lane]], lanes.shape[1], n_rows * n_words, sums)"

_WALK_TEXT = """
from {adder} import add


@kernel()
def rows_at(levels, level, depth):
    return levels[level] if level < depth else levels[levels.shape[0] - 1]


@kernel()
def {name}({operands}, source, places, order, levels, work, out):
    n_words = {block}
    last = levels.shape[0] - 1
    top, carry = last + 1, last + 2
    for o in range(out.shape[0]):
        part = min(o, places.shape[0] - 2)
        first = places[part]
        n_lanes = places[part + 1] - first
        depth = 0
        while (1 << depth) < n_lanes:
            depth += 1
        n_rows = rows_at(levels, 0, depth)
        for i in range(1 << depth):
            level = 0
            sums = work[top] if i & 1 else work[0]
            lane = order[i] >> (last - depth)
            if lane < n_lanes:
                lane += first
{lane}
            else:  # an idle lane adds nothing to its partner
                level = 1
                n_out = rows_at(levels, 1, depth) * n_words
                extend_rows(work[0], n_rows * n_words, n_out, work[top])
            while (i >> level) & 1:
                rows, n_out = rows_at(levels, level, depth), rows_at(levels, level + 1, depth)
                add(work[level], work[top], work[carry][:n_words], rows, n_out)
                level += 1
            if i & 1:
                copy_row(work[top], work[level][: rows_at(levels, level, depth) * n_words])
        copy_row(work[depth], out[o])


@kernel()
def extend_rows(row, n, n_out, out):
    for w in range(n):
        out[w] = row[w]
    for w in range(n, n_out):
        out[w] = ZERO
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

    The larger, the less is done beside the sums; but its planes are to stay in an L2 cache, and
    at most half of it may be padding.
    """
    for size in reversed(BLOCK_WORDS):
        if 2 * n_words > size and 8 * size * n_planes <= _CACHE_BYTES:
            return size
    return BLOCK_WORDS[0]


def level_rows(largest: int, n_lanes: int, n_used: int) -> npt.NDArray[np.int64]:
    """Yield how many rows sums need at each level of the tree, the lanes themselves first.

    They are those that `largest`, the most a lane holds, proves enough, in whole chunks; the rows
    above are zero and stay away.
    """
    levels = max(n_lanes - 1, 0).bit_length()
    most = [largest * min(1 << level, max(n_used, 1)) for level in range(levels + 1)]
    return np.array([_chunks(n) for n in most], np.int64)


def _chunks(largest: int) -> int:
    return -(-max(largest.bit_length(), 1) // _CHUNK_ROWS) * _CHUNK_ROWS


def dot_products_kernel(
    table: npt.NDArray[np.int32],
    vector_rows: Sequence[int],
    scalar_rows: Sequence[int],
    sum_rows: Sequence[int],
    block_words: int,
) -> Any:
    """Make the kernel that runs a multiply-accumulate table over the taps and lanes of filters.

    `sum_rows` are the rows of a lane's sum that may become other than zero. The kernel is called as
    ``kernel(vectors, scalars, source, places, order, levels, work, out)``.

    Shapes
    ------
    vectors
        uint64 (n_entries * n_vector_rows * block_words,): planes of the operand in lanes.
    scalars
        unsigned integers (n_outer, n_entries): codes of the operand all lanes share.
    source
        int64 (n_used_lanes, n_taps): the entry each tap multiplies, -1 for none; the lanes of all
        filters, one after the other, or those that all of them have.
    places
        int64 (n_outer + 1,) or (2,): where the lanes of each filter begin and end; at least one.
    order
        int64: `tree_order` of the number of lanes, of the filter that has most.
    levels
        int64 (levels + 1,): `level_rows` of so many lanes; the first are at least as many as
        `sum_rows`. Sums of all filters have as many rows as the last says.
    work
        uint64 (levels + 3, most rows * block_words): scratch, one sum a tree level and two more.
    out
        uint64 (n_outer, last rows * block_words): planes of the reduced sums.

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
    tap = _Tap(table, vector_rows, scalar_rows, sum_rows, block)
    together, calls = tap.together()
    lane = _TAPS_OF_A_LANE.format(calls="\n".join(calls), entry=len(vector_rows) * block)
    text = _TAP_TEXT.format(taps=indent(tap.text(), 1), together="\n".join(together))
    return _walk("dot_products", "vectors, scalars", lane, block, text)


@cache
def held_lanes_kernel(block_words: int) -> Any:
    """Make the kernel that adds lanes whose sums are there, in the same order.

    Lanes of several filters that take the same entries of a window hold the same sum where there is
    no weight. It is called as ``kernel(lanes, source, places, order, levels, work, out)``.

    Shapes
    ------
    lanes
        uint64 (n, first rows * block_words): planes of the sums of lanes.
    source
        int64 (n_used_lanes,): which of them each lane of a filter holds.
    places, order, levels, work, out
        As those of `dot_products_kernel`.
    """
    return _walk("add_lanes", "lanes", _HELD_LANE, block_words)


def _walk(name: str, operands: str, lane: str, block: int, text: str = "") -> Any:
    """Make a kernel that walks the tree of each filter, given how the sum of a lane is found."""
    lines = indent(lane.splitlines(), 4)
    walk = _WALK_TEXT.format(adder=_adder(), name=name, operands=operands, block=block, lane=lines)
    return compile_source(_HEAD + text + walk).__dict__[name]


class _Tap:
    """The text of one tap: the table followed, with what is known of the scalar put in."""

    def __init__(
        self,
        table: npt.NDArray[np.int32],
        vector_rows: tuple[int, ...],
        scalar_rows: tuple[int, ...],
        sum_rows: tuple[int, ...],
        block: int,
    ) -> None:
        self.table, self.block = table, block
        self.vector_rows, self.scalar_rows, self.sum_rows = vector_rows, scalar_rows, sum_rows

    def text(self) -> list[str]:
        """Yield the lines of one tap.

        Where a scalar of 0 adds nothing it is passed over. One of two bits has a text for each of
        its values, in which fewer steps are left.
        """
        n_bits = len(self.scalar_rows)
        names = [f"t{i}" for i in range(n_bits)]
        loads = [f"t{i} = ZERO - ((scalar >> np.uint64({i})) & ONE)" for i in range(n_bits)]
        lines = [*loads, *self._loop(names)]
        if not n_bits or self._loop(["ZERO"] * n_bits):
            return lines
        if n_bits != _SPLIT_BITS:
            return ["if scalar != ZERO:", *_deeper(lines)]
        lines = []
        for value in range(1, 1 << n_bits):
            known = ["ONES" if value >> i & 1 else "ZERO" for i in range(n_bits)]
            if loop := self._loop(known):
                lines += [f"if scalar == np.uint64({value}):", *_deeper(loop)]
        return lines

    def _loop(self, scalars: list[str]) -> list[str]:
        """Yield the loop over words, for scalars of these names; nothing where nothing changes."""
        block, sums = self.block, self.sum_rows
        inputs = {row: f"x{i}" for i, row in enumerate(self.vector_rows)}
        inputs |= dict(zip(self.scalar_rows, scalars, strict=True))
        inputs |= {row: f"s{i}" for i, row in enumerate(sums)}
        lines, values = follow(op.SRAM, self.table, inputs, sums)
        touched = [i for i, row in enumerate(sums) if values[row] != f"s{i}"]
        if not touched:
            return []
        loads = [f"x{i} = vector[{i * block} + w]" for i in range(len(self.vector_rows))]
        loads += [f"s{i} = sums[{i * block} + w]" for i in touched]
        stores = [f"sums[{i * block} + w] = {values[sums[i]]}" for i in touched]
        return ["for w in range(n_words):", *_deeper(loads + lines + stores)]

    def together(self) -> tuple[list[str], list[str]]:
        """Yield the text of several taps at once, and of its calls; of small tables only.

        Sums then stay in registers from tap to tap.
        """
        n_bits, block, sums = len(self.scalar_rows), self.block, self.sum_rows
        if len(self.table) > _SHORT_STEPS or n_bits > 1:
            return [], []
        values = {row: f"s{i}" for i, row in enumerate(sums)}
        loads = [f"s{i} = sums[{i * block} + w]" for i in range(len(sums))]
        names = [f"g{g}" for g in range(_TOGETHER)]
        lines = []
        for g, name in enumerate(names):
            inputs = {row: f"x{g}_{i}" for i, row in enumerate(self.vector_rows)}
            inputs |= {row: f"t{g}_{i}" for i, row in enumerate(self.scalar_rows)}
            one, found = follow(op.SRAM, self.table, inputs | values, sums)
            prefixed = [re.sub(r"\bv(\d+)\b", rf"{name}v\1", line) for line in one]
            values = {row: re.sub(r"^v", f"{name}v", value) for row, value in found.items()}
            rows = range(len(self.vector_rows))
            lines += [f"x{g}_{i} = a{g}[{i * block} + w]" for i in rows]
            lines += prefixed
        stores = [f"sums[{i * block} + w] = {values[row]}" for i, row in enumerate(sums)]
        masks = [
            f"t{g}_{i} = ZERO - ((c{g} >> np.uint64({i})) & ONE)"
            for g in range(_TOGETHER)
            for i in range(n_bits)
        ]
        places = ", ".join(f"a{g}" for g in range(_TOGETHER))
        scalars = ", ".join(f"c{g}" for g in range(_TOGETHER))
        text = [
            "",
            "@kernel()",
            f"def accumulate_together({places}, {scalars}, sums, n_words):",
            *_deeper([*masks, "for w in range(n_words):", *_deeper(loads + lines + stores)]),
            "",
        ]
        entries = [f"k{g} = source[lane, tap + {g}]" for g in range(_TOGETHER)]
        least = "min(" + ", ".join(f"k{g}" for g in range(_TOGETHER)) + ")"
        entry = len(self.vector_rows) * block
        arguments = ", ".join(f"vectors[k{g} * {entry} :]" for g in range(_TOGETHER))
        codes = ", ".join(f"np.uint64(scalars[o, k{g}])" for g in range(_TOGETHER))
        calls = [
            f"while tap + {_TOGETHER} <= source.shape[1]:",
            *_deeper(entries),
            f"    if {least} < 0:",
            "        break",
            f"    accumulate_together({arguments}, {codes}, sums, n_words)",
            f"    tap += {_TOGETHER}",
        ]
        return text, calls


def _deeper(lines: Sequence[str]) -> list[str]:
    return [f"    {line}" for line in lines]


@cache
def _adder() -> str:
    """Name the module whose `add` adds sums: one for all widths, a few rows at a time."""
    lines = indent(_add_lines(_CHUNK_ROWS), 2)
    return compile_source(_HEAD + _ADD_TEXT.format(add=lines, chunk=_CHUNK_ROWS)).__name__


def _add_lines(width: int) -> list[str]:
    """Follow the add program over some rows, with what the rows below carry."""
    carry, keep = 2 * width, op.NO_ROW
    table = [
        [op.CARRY_SET, keep, keep, keep, op.ALWAYS],
        [op.ADD_ROW, carry, keep, keep, op.ALWAYS],  # the latch holds what the row does
        *([op.ADD, i, width + i, width + i, op.ALWAYS] for i in range(width)),
        [op.CARRY_STORE, keep, keep, carry, op.ALWAYS],
    ]
    inputs = {i: f"a{i}" for i in range(width)} | {width + i: f"s{i}" for i in range(width)}
    inputs[carry] = "c"
    rows = range(width, 2 * width + 1)
    lines, values = follow(op.SRAM, np.array(table, np.int32), inputs, rows)
    loads = [f"a{i} = addend[{i} * n_words + w]" for i in range(width)]
    loads += [f"s{i} = sums[{i} * n_words + w]" for i in range(width)]
    stores = [f"sums[{i} * n_words + w] = {values[width + i]}" for i in range(width)]
    return ["c = carry[w]", *loads, *lines, *stores, f"carry[w] = {values[carry]}"]
