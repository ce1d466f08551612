"""A filter group convolved in lanes: windows packed once, filters block by block.

Blocks of lanes are independent, so a thread takes one block through all its steps: dot products,
window sums, corrections, requantization, codes.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from threading import Lock
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from bitpim.sram.accumulators import Accumulators
from bitpim.sram.dot_products import (
    LaneArithmetic,
    LaneLists,
    WindowLists,
    filter_planes,
    position_planes,
    sum_planes,
    window_codes,
    window_planes,
)
from bitpim.sram.lane_codes import LaneCodes
from bitpim.sram.lanes import LaneProgram, Operand, chosen, everywhere, outer, own_block
from bitpim_kernels.bitserial import pick_block_words
from bitpim_kernels.layout import from_planes, to_planes, words_for
from bitpim_kernels.windows import Window

__all__ = ["Epilogue", "HeldFilters", "LaneConvolution"]

Codes = npt.NDArray[Any]
Int64 = npt.NDArray[np.int64]
Words = npt.NDArray[np.uint64]
Job = Callable[[], None]

_BLOCK_GROUP_WORDS = 512  # words of sums requantized in one call: fewer calls, less Python
_WINDOW_BYTES = 4_000_000  # packed windows of one part
_FEWEST_FILTERS = 16  # of a part, so that packing its windows is little work beside them
_SIDE_BY_SIDE_LIMIT = 1024  # positions from which on they always lie side by side


@dataclass(frozen=True, slots=True)
class Epilogue:
    """Filters that share the program from sums to codes, and its constants, one row a filter.

    `filters` are positions in the filter group.
    """

    program: LaneProgram | None  # None: the CPU requantizes
    filters: Int64
    constants: dict[str, Int64]


class _Ending(NamedTuple):
    """Filters of a part that end alike: where in the part they are, where in the layer."""

    program: LaneProgram | None
    which: Int64
    filters: Int64
    constants: dict[str, Operand]


@dataclass(frozen=True, slots=True, eq=False)
class HeldFilters:
    """The filters of a group as lanes hold them.

    Attributes
    ----------
    filters : (n,) their indices in the layer, ascending
    conv_groups : (n,) the conv group of each
    entries : the entries of a window that the group uses, in the order in which they are packed
    in_channels : channels of one conv group
    weights : unsigned (n, n_entries), what lanes hold
    """

    filters: Int64
    conv_groups: Int64
    entries: Int64
    in_channels: int
    weights: Codes

    @property
    def n(self) -> int:
        """How many filters there are."""
        return int(self.filters.size)

    @property
    def runs(self) -> list[range]:
        """Positions of the filters of each conv group in turn."""
        edges = np.flatnonzero(np.diff(self.conv_groups, prepend=-1)).tolist()
        return [range(a, b) for a, b in zip(edges, [*edges[1:], self.n], strict=True)]

    def entries_of(self, run: range, n_taps: int) -> Int64:
        """Channel and tap of each entry, (n_entries, 2), for filters of one conv group."""
        entries = np.empty((self.entries.size, 2), np.int64)
        np.divmod(self.entries, n_taps, out=(entries[:, 0], entries[:, 1]))
        entries[:, 0] += self.conv_groups[run.start] * self.in_channels
        return entries


class LaneConvolution:
    """One filter group, its weights laid out, ready for batches.

    Parameters
    ----------
    held
        The filters.
    inputs
        How the input's codes lie in lanes.
    window
        Where the layer's window lies.
    dots
        What lanes do for the filters.
    windows, window_of
        What they do for each sum of a window's codes, and which of these sums each filter needs;
        None where none is needed.
    epilogue
        Together they hold every filter once.
    """

    def __init__(
        self,
        held: HeldFilters,
        inputs: LaneCodes,
        window: Window,
        dots: LaneArithmetic,
        windows: LaneArithmetic | None,
        window_of: Int64,
        epilogue: list[Epilogue],
        accumulators: Accumulators,
    ) -> None:
        self.held = held
        self.inputs = inputs
        self.window = window
        self.dots = dots
        self.windows = windows
        self.window_of = window_of
        self.epilogue = epilogue
        self.accumulators = accumulators
        self._exact_sums_needed = accumulators.steps.check or epilogue[0].program is None
        self._lists, self._tree = LaneLists.of(dots.sources), dots.tree(dots.most_lanes)
        self._all_entries = _taking_all(dots.sources[0].shape[1], held.entries.size)
        self._entries: dict[range, Int64] = {}
        self._part_endings: dict[tuple[range, int], list[_Ending]] = {}
        self._epilogue_rows = max((e.program.n_rows for e in epilogue if e.program), default=0)
        self._window_lists: dict[range, tuple[WindowLists, Int64]] = {}
        self._filter_planes: dict[tuple[int, int], Words] = {}
        self._lock = Lock()
        # entries that filters take, each for itself; side by side they all take those of all
        taken = [int((source >= 0).sum()) for source in dots.sources]
        self._n_taken = sum(taken) * (held.n if len(taken) == 1 else 1)

    def jobs(self, images: Codes, n_positions: int, out: Codes, n_threads: int) -> Iterator[Job]:
        """Yield jobs that together write the codes of these filters at all positions.

        Shapes
        ------
        images
            unsigned (N, C, H, W)
        out
            (M, n_positions): all filters of the layer
        """
        if self._filters_side_by_side(n_positions):
            return self._filter_blocks(images, n_positions, out, n_threads)
        return self._position_blocks(images, n_positions, out, n_threads)

    def _filters_side_by_side(self, n_positions: int) -> bool:
        """Tell which arrangement pads fewer lanes; filters in a word must share their windows."""
        share_windows = self.windows is None or len(self.windows.sources) == 1
        share_windows &= len(self.held.runs) == 1
        if not share_windows or n_positions >= _SIDE_BY_SIDE_LIMIT:
            return False
        by_position = _padded_words(n_positions, self.held.entries.size * self.inputs.bits)
        by_filter = _padded_words(self.held.n, self.held.entries.size * self.dots.weight.width)
        by_filter *= n_positions * self.held.entries.size
        return bool(by_filter < self._n_taken * by_position)

    # positions side by side: lanes of a word share a weight

    def _position_blocks(
        self, images: Codes, n_positions: int, out: Codes, n_threads: int
    ) -> Iterator[Job]:
        n_planes = self.held.weights.shape[1] * self.inputs.bits
        block_words = pick_block_words(words_for(n_positions), n_planes)
        kernels = self._kernels(block_words, inputs_in_lanes=True)
        n_blocks = -(-n_positions // (64 * block_words))
        alone = n_threads == 1 or n_blocks >= 2 * n_threads
        shares = 1 if alone else -(-2 * n_threads // n_blocks)
        parts = self._filter_parts(block_words, shares)
        for first in range(0, n_positions, 64 * block_words):
            n_lanes = min(64 * block_words, n_positions - first)
            for part in parts:
                there = out[:, first : first + n_lanes]
                yield partial(
                    self._position_block, images, first, block_words, kernels, part, there
                )

    def _filter_parts(self, block_words: int, shares: int) -> list[list[range]]:
        """Split the filters for at least so many threads; each part packs its own windows.

        Parts hold whole conv groups, a range of filters each, few enough that packed windows stay
        a few MB, or a share of the only one, large enough that packing them again is little work.
        """
        runs = self.held.runs
        if len(runs) == 1:
            step = max(-(-self.held.n // shares), min(_FEWEST_FILTERS, self.held.n))
            return [[range(f, min(f + step, self.held.n))] for f in range(0, self.held.n, step)]
        entry_bytes = self.held.weights.shape[1] * self.inputs.bits * block_words * 8
        most = max(1, _WINDOW_BYTES // max(entry_bytes, 1))
        step = max(1, min(most, -(-len(runs) // shares)))
        return [runs[r : r + step] for r in range(0, len(runs), step)]

    def _position_block(
        self,
        images: Codes,
        first: int,
        block_words: int,
        kernels: tuple[Any, Any],
        runs: list[range],
        out: Codes,
    ) -> None:
        """Run some filters at one block of positions; `out` is the block's part of the output."""
        part = range(runs[0].start, runs[-1].stop)
        sums = np.empty((len(part), self._tree.n_rows, block_words), np.uint64)
        windows: list[Words] = []
        beside = np.zeros(len(part), np.int64)  # which of the windows each filter needs
        for mine in runs:
            planes = self._planes(images, mine, first, block_words)
            at = slice(mine.start - part.start, mine.stop - part.start)
            weights = self.held.weights[mine.start : mine.stop]
            lists = self._lists.part(mine.start, len(mine))
            sums[at] = sum_planes(kernels[0], lists, self._tree, planes, weights)
            if self.windows is not None:
                summed, which = self._windows_of(mine)
                beside[at] = which + sum(len(some) for some in windows)
                windows.append(window_planes(kernels[1], summed, planes))
        joined = np.concatenate(windows) if windows else np.empty(0, np.uint64)
        self._finish_positions(sums, joined, beside, part, out)

    def _windows_of(self, run: range) -> tuple[WindowLists, Int64]:
        """Return the sums of windows that some filters need, and which of them each does."""
        assert self.windows is not None
        if run not in self._window_lists:
            which, inverse = np.unique(self.window_of[run.start : run.stop], return_inverse=True)
            self._window_lists[run] = WindowLists.of(self.windows, which.tolist()), inverse
        return self._window_lists[run]

    def _planes(self, images: Codes, run: range, first: int, n_words: int) -> Words:
        """Pack the windows of the conv group of a run of filters."""
        if run not in self._entries:
            self._entries[run] = self.held.entries_of(run, self.window.n_taps)
        pad_code = int(self.inputs.zero_point[0])
        shape = (self.inputs.bits, n_words)
        return position_planes(images, self._entries[run], self.window, pad_code, first, shape)

    def _finish_positions(
        self, sums: Words, windows: Words, beside: Int64, part: range, out: Codes
    ) -> None:
        """Turn the sums of a part's filters into codes; `beside` finds a filter's window sum."""
        block_words = sums.shape[2]
        block = own_block(self._epilogue_rows, max(_BLOCK_GROUP_WORDS, block_words))
        for program, which, mine, constants in self._endings(part, block_words):
            if self._exact_sums_needed:
                added = windows[beside[which]] if windows.size else None
                totals = self._totals(sums[which], added, mine, out.shape[1])
                if program is None:
                    out[mine] = self.accumulators.host_codes(totals, mine)
                    continue
            assert program is not None
            operands = {**constants, "sum": chosen(sums, which)}
            if windows.size:
                operands["window"] = chosen(windows, beside[which])
            codes = np.empty(which.size * 64 * block_words, out.dtype)
            block.run(program, which.size, block_words, operands, codes)
            out[mine] = codes.reshape(which.size, -1)[:, : out.shape[1]]

    def _endings(self, part: range, block_words: int) -> list[_Ending]:
        """Say how a part's filters end, a few of one program at a time."""
        key = (part, block_words)
        if key not in self._part_endings:
            found: list[_Ending] = []
            for epilogue in self.epilogue:
                inside = (epilogue.filters >= part.start) & (epilogue.filters < part.stop)
                for at in _chunks(np.flatnonzero(inside), block_words):
                    positions = epilogue.filters[at]
                    constants = {name: outer(v[at]) for name, v in epilogue.constants.items()}
                    which, mine = positions - part.start, self.held.filters[positions]
                    found.append(_Ending(epilogue.program, which, mine, constants))
            self._part_endings[key] = found
        return self._part_endings[key]

    def _totals(self, sums: Words, windows: Words | None, filters: Int64, n_lanes: int) -> Int64:
        """Yield checked accumulators, (n_filters, n_lanes), of sums with filters first."""
        codes = from_planes(sums, 64 * sums.shape[2], dtype=np.int64)[:, :n_lanes]
        beside = None
        if windows is not None:
            beside = from_planes(windows, 64 * sums.shape[2], dtype=np.int64)[:, :n_lanes]
        return self.accumulators.of(codes, beside, filters)

    # filters side by side: lanes of a word share an input

    def _filter_blocks(
        self, images: Codes, n_positions: int, out: Codes, n_threads: int
    ) -> Iterator[Job]:
        entries = self.held.entries_of(range(self.held.n), self.window.n_taps)
        pad_code = int(self.inputs.zero_point[0])
        inputs = window_codes(images, entries, self.window, pad_code, n_positions)
        windows = self._window_codes_summed(images, n_positions)
        n_planes = inputs.shape[1] * self.dots.weight.width
        block_words = pick_block_words(words_for(self.held.n), n_planes)
        kernel = self._kernels(block_words, inputs_in_lanes=False)[0]
        blocks = range(0, self.held.n, 64 * block_words)
        shares = 1 if len(blocks) >= 2 * n_threads else -(-2 * n_threads // len(blocks))
        step = -(-n_positions // shares)
        for first in blocks:
            filters = range(first, min(first + 64 * block_words, self.held.n))
            for p in range(0, n_positions, step):
                part = slice(p, p + step)
                beside = None if windows is None else windows[part]
                there = out[:, part]
                yield partial(
                    self._filter_block, filters, block_words, kernel, inputs[part], beside, there
                )

    def _filter_block(
        self,
        part: range,
        block_words: int,
        kernel: Any,
        inputs: Codes,
        windows: Int64 | None,
        out: Codes,
    ) -> None:
        """Run a block of filters at some positions; `out` is these positions' part."""
        key = (part.start, block_words)
        with self._lock:  # one thread lays a block's weights, for all
            if key not in self._filter_planes:
                weights = self.held.weights[part.start : part.stop]
                width = self.dots.weight.width
                self._filter_planes[key] = filter_planes(weights, width, block_words)
        lists = self._lists if self._lists.places.size == 2 else self._all_entries
        tree = self.dots.tree(len(lists.source))
        sums = sum_planes(kernel, lists, tree, self._filter_planes[key], inputs)
        for epilogue in self.epilogue:
            inside = (epilogue.filters >= part.start) & (epilogue.filters < part.stop)
            mine = np.flatnonzero(inside)
            if mine.size:
                self._finish_filters(epilogue, mine, part, sums, windows, out)

    def _finish_filters(
        self,
        epilogue: Epilogue,
        mine: Int64,
        part: range,
        sums: Words,
        windows: Int64 | None,
        out: Codes,
    ) -> None:
        """Turn the sums of one epilogue's filters, `mine` of them, into codes.

        The program runs in all lanes of the block; those of other filters are dropped.
        """
        block_words = sums.shape[2]
        at_lane = epilogue.filters[mine] - part.start
        filters = self.held.filters[epilogue.filters[mine]]
        if self._exact_sums_needed:
            codes = from_planes(sums, 64 * block_words, dtype=np.int64)[:, at_lane].T
            beside = None if windows is None else windows[None, :]
            totals = self.accumulators.of(codes, beside, filters)
            if epilogue.program is None:
                out[filters] = self.accumulators.host_codes(totals, filters)
                return
        assert epilogue.program is not None and epilogue.program.program is not None
        constants = {}
        for name, values in epilogue.constants.items():
            padded = np.zeros(64 * block_words, np.int64)
            padded[at_lane] = values[mine]
            bits = epilogue.program.program.field(name).width
            constants[name] = everywhere(to_planes(padded, bits))
        block = own_block(self._epilogue_rows, max(_BLOCK_GROUP_WORDS, block_words))
        for at in _chunks(np.arange(sums.shape[0]), block_words):
            operands = {**constants, "sum": chosen(sums, at)}
            if windows is not None:
                operands["window"] = outer(windows[at])
            result = np.empty(at.size * 64 * block_words, out.dtype)
            block.run(epilogue.program, at.size, block_words, operands, result)
            kept = result.reshape(at.size, -1)[:, at_lane]
            out[filters[:, None], at[None, :]] = kept.T

    def _window_codes_summed(self, images: Codes, n_positions: int) -> Int64 | None:
        """Yield the sum of each window's codes, summed in lanes with positions side by side."""
        if self.windows is None:
            return None
        n_planes = self.held.weights.shape[1] * self.inputs.bits
        n_words = pick_block_words(words_for(n_positions), n_planes)
        kernel = self._kernels(n_words, inputs_in_lanes=True)[1]
        summed, _ = self._windows_of(range(self.held.n))
        out = np.empty(n_positions, np.int64)
        for first in range(0, n_positions, 64 * n_words):
            planes = self._planes(images, range(self.held.n), first, n_words)
            sums = window_planes(kernel, summed, planes)
            part = from_planes(sums[0], 64 * n_words, dtype=np.int64)
            out[first : first + part.size] = part[: n_positions - first]
        return out

    def _kernels(self, block_words: int, *, inputs_in_lanes: bool) -> tuple[Any, Any]:
        window = self.windows and self.windows.kernel(block_words, inputs_in_lanes=True)
        return self.dots.kernel(block_words, inputs_in_lanes=inputs_in_lanes), window


def _taking_all(n_taps: int, n_entries: int) -> LaneLists:
    """Let every filter take all entries; what it leaves out is held as 0, which adds nothing."""
    n_lanes = max(-(-n_entries // n_taps), 1)
    source = np.full(n_lanes * n_taps, -1, np.int64)
    source[:n_entries] = np.arange(n_entries)
    return LaneLists.of([source.reshape(n_lanes, n_taps)])


def _padded_words(n_lanes: int, n_planes: int) -> int:
    n_words = words_for(n_lanes)
    block = pick_block_words(n_words, n_planes)
    return -(-n_words // block) * block


def _chunks(indices: Int64, block_words: int) -> Iterator[Int64]:
    """Split indices so that a chunk's groups fill at most _BLOCK_GROUP_WORDS words."""
    size = max(1, _BLOCK_GROUP_WORDS // block_words)
    for first in range(0, indices.size, size):
        yield indices[first : first + size]
