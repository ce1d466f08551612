"""A convolution or linear layer run in lanes: windows packed once, filters block by block.

Blocks of lanes are independent, so a thread takes one block through all its steps: dot products,
window sums, corrections, requantization, codes.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from threading import Lock
from typing import Any

import numpy as np
import numpy.typing as npt

from bitpim.digital.requantize import RequantizeSteps, raise_if_outside
from bitpim.sram.dot_products import (
    LaneArithmetic,
    SumScratch,
    filter_planes,
    position_planes,
    sum_planes,
    window_codes,
)
from bitpim.sram.lane_codes import Encoding
from bitpim.sram.lanes import LaneBlock, LaneProgram, chosen, everywhere, outer
from bitpim.threads import run_all, thread_limit
from bitpim_kernels.bitserial import pick_block_words
from bitpim_kernels.layout import from_planes, to_planes, words_for
from bitpim_kernels.windows import Window
from bitpim_traces.records import LayerRecord

__all__ = ["BitConvolution", "EpilogueGroup", "Sums"]

Codes = npt.NDArray[Any]
Words = npt.NDArray[np.uint64]

_BLOCK_GROUP_WORDS = 512  # words of sums requantized in one call: fewer calls, less Python
_WINDOW_BYTES = 4_000_000  # packed windows of one part
_FEWEST_FILTERS = 16  # of a part, so that packing its windows is little work beside them
_SIDE_BY_SIDE_LIMIT = 1024  # positions from which on they always lie side by side


@dataclass(frozen=True, slots=True)
class EpilogueGroup:
    """Filters that share the program from sums to codes, and its constants, one row a filter."""

    program: LaneProgram | None  # None: the CPU requantizes
    filters: npt.NDArray[np.int64]
    constants: dict[str, npt.NDArray[np.int64]]


@dataclass(frozen=True, slots=True)
class Sums:
    """The exact accumulators of lanes' sums, for the CPU and for sums that no proof bounds."""

    layer: LayerRecord
    steps: RequantizeSteps
    offsets: npt.NDArray[np.int64]
    zeros: npt.NDArray[np.int64]

    def accumulators(
        self, sums: Codes, windows: Codes | None, filters: npt.NDArray[np.int64]
    ) -> npt.NDArray[np.int64]:
        """Correct the sums of filters on the first axis; `filters` names them."""
        out: npt.NDArray[np.int64] = sums.astype(np.int64) + self.offsets[filters][:, None]
        if windows is not None:
            out -= self.zeros[filters][:, None] * windows
        return out

    def check(self, totals: npt.NDArray[np.int64], filters: npt.NDArray[np.int64]) -> None:
        """Raise AccumulatorError where an accumulator leaves its bounds."""
        steps = self.steps.kernel_steps
        low, high = steps.low[filters][:, None], steps.high[filters][:, None]
        for row, lane in np.argwhere((totals < low) | (totals > high))[:1]:
            fault = np.array([1, filters[row], totals[row, lane]])
            raise_if_outside(self.layer, self.steps, fault)

    def host_codes(
        self, totals: npt.NDArray[np.int64], filters: npt.NDArray[np.int64]
    ) -> npt.NDArray[np.int64]:
        """Requantize by float32 scales, half to even, as the CPU does."""
        steps = self.steps.kernel_steps
        scaled = totals.astype(np.float32) * steps.scale[filters][:, None]
        low, high = steps.clamp_low - steps.zero_point, steps.clamp_high - steps.zero_point
        codes: npt.NDArray[np.int64] = np.clip(np.rint(scaled), low, high).astype(np.int64)
        return codes + steps.zero_point


class BitConvolution:
    """One layer, its weights laid out, ready for batches.

    Parameters
    ----------
    weights
        unsigned (M, n_entries), encoded.
    groups
        Groups of the convolution.
    dots, window_sums
        What lanes do for the filters, and for the sum of a window's codes (None: not needed).
    epilogue
        Together they hold every filter once.
    """

    def __init__(
        self,
        weights: Codes,
        groups: int,
        encoding: Encoding,
        window: Window,
        dots: LaneArithmetic,
        window_sums: LaneArithmetic | None,
        epilogue: list[EpilogueGroup],
        totals: Sums,
    ) -> None:
        self.weights = weights
        self.groups = groups
        self.encoding = encoding
        self.window = window
        self.dots = dots
        self.window_sums = window_sums
        self.epilogue = epilogue
        self.totals = totals
        self._exact_sums_needed = totals.steps.check or epilogue[0].program is None
        self._filter_planes: dict[tuple[int, int], Words] = {}
        self._lock = Lock()

    def run(self, images: Codes, out_dtype: np.dtype[Any]) -> Codes:
        """Yield output codes (N, M, E, F) of encoded images (N, C, H, W)."""
        n_out_rows, n_out_columns = self.window.rows, self.window.cols
        n_positions = images.shape[0] * n_out_rows * n_out_columns
        n_filters = self.weights.shape[0]
        lanes = np.zeros((n_filters, n_positions), out_dtype)
        if n_positions:
            if self._filters_side_by_side(n_positions):
                jobs = self._filter_blocks(images, n_positions, lanes, thread_limit())
            else:
                jobs = self._position_blocks(images, n_positions, lanes, thread_limit())
            run_all(jobs)
        shape = (n_filters, images.shape[0], n_out_rows, n_out_columns)
        return np.ascontiguousarray(lanes.reshape(shape).transpose(1, 0, 2, 3))

    def _filters_side_by_side(self, n_positions: int) -> bool:
        """Tell which arrangement pads fewer lanes."""
        if self.groups > 1 or n_positions >= _SIDE_BY_SIDE_LIMIT:
            return False
        n_filters = self.weights.shape[0]
        by_position = n_filters * _padded_words(n_positions)
        by_filter = n_positions * _padded_words(n_filters)
        return bool(by_filter < by_position)

    # positions side by side: lanes of a word share a weight

    def _position_blocks(
        self, images: Codes, n_positions: int, lanes: Codes, n_threads: int
    ) -> Iterator[Any]:
        n_planes = self.weights.shape[1] * self.encoding.bits
        block_words = pick_block_words(words_for(n_positions), n_planes)
        kernels = self._kernels(block_words, inputs_in_lanes=True)
        n_blocks = -(-n_positions // (64 * block_words))
        shares = 1 if n_blocks >= 2 * n_threads else -(-2 * n_threads // n_blocks)
        parts = self._filter_parts(block_words, shares)
        for first in range(0, n_positions, 64 * block_words):
            n_lanes = min(64 * block_words, n_positions - first)
            for filters in parts:
                yield lambda first=first, filters=filters, n=n_lanes: self._position_block(
                    images, first, block_words, kernels, filters, lanes[:, first : first + n]
                )

    def _filter_parts(self, block_words: int, shares: int) -> list[range]:
        """Split the filters for at least so many threads; each part packs its own windows.

        Parts hold whole groups, few enough that packed windows stay a few MB, or a share of the
        only group, large enough that packing them again is little work.
        """
        n_filters = self.weights.shape[0]
        if self.groups == 1:
            step = max(-(-n_filters // shares), min(_FEWEST_FILTERS, n_filters))
        else:
            per_group = n_filters // self.groups
            entry_bytes = self.weights.shape[1] * self.encoding.bits * block_words * 8
            most = max(1, _WINDOW_BYTES // max(entry_bytes, 1))
            step = per_group * max(1, min(most, -(-self.groups // shares)))
        return [range(f, min(f + step, n_filters)) for f in range(0, n_filters, step)]

    def _position_block(
        self,
        images: Codes,
        first: int,
        block_words: int,
        kernels: tuple[Any, Any],
        filters: range,
        lanes: Codes,
    ) -> None:
        """Run some filters at one block of positions; `lanes` is the block's part of the output."""
        per_group = self.weights.shape[0] // self.groups
        channels = images.shape[1] // self.groups
        groups = range(filters.start // per_group, -(-filters.stop // per_group))
        scratch = SumScratch(self.dots, block_words)
        sums = np.empty((len(filters), self.dots.sums.width, block_words), np.uint64)
        windows = []
        for g in groups:
            planes = position_planes(
                images,
                range(g * channels, (g + 1) * channels),
                self.window,
                int(self.encoding.zero_point[0]),
                first,
                (self.encoding.bits, block_words),
            )
            mine = range(max(filters.start, g * per_group), min(filters.stop, (g + 1) * per_group))
            at = slice(mine.start - filters.start, mine.stop - filters.start)
            weights = self.weights[mine.start : mine.stop]
            sums[at] = sum_planes(kernels[0], self.dots, scratch, planes, weights)
            if self.window_sums is not None:
                windows.append(self._window_sum(kernels[1], planes))
        of_group = np.arange(filters.start, filters.stop) // per_group - groups.start
        self._finish_positions(sums, np.array(windows), of_group, filters, lanes)

    def _window_sum(self, kernel: Any, planes: Words) -> Words:
        """Sum the codes of each window; (sum bits, block_words)."""
        assert self.window_sums is not None
        ones = np.ones((1, planes.shape[0]), np.uint8)  # the kernel has no weight; one set
        scratch = SumScratch(self.window_sums, planes.shape[2])
        sums: Words = sum_planes(kernel, self.window_sums, scratch, planes, ones)[0]
        return sums

    def _finish_positions(
        self,
        sums: Words,
        windows: Words,
        of_group: npt.NDArray[np.int64],
        filters: range,
        lanes: Codes,
    ) -> None:
        """Turn the sums of a part's filters into codes; `of_group` finds a filter's window sum."""
        block_words = sums.shape[2]
        block = self._epilogue_block(block_words)
        for group in self.epilogue:
            inside = (group.filters >= filters.start) & (group.filters < filters.stop)
            for at in _chunks(np.flatnonzero(inside), block_words):
                mine = group.filters[at]
                which = mine - filters.start
                if self._exact_sums_needed:
                    beside = windows[of_group[which]] if windows.size else None
                    totals = self._totals(sums[which], beside, mine, lanes.shape[1])
                    if group.program is None:
                        lanes[mine] = self.totals.host_codes(totals, mine)
                        continue
                assert group.program is not None
                operands = {name: outer(v[at]) for name, v in group.constants.items()}
                operands["sum"] = chosen(sums, which)
                if windows.size:
                    operands["window"] = chosen(windows, of_group[which])
                codes = np.empty(at.size * 64 * block_words, lanes.dtype)
                block.run(group.program, at.size, block_words, operands, codes)
                lanes[mine] = codes.reshape(at.size, -1)[:, : lanes.shape[1]]

    def _totals(
        self,
        sums: Words,
        windows: Words | None,
        filters: npt.NDArray[np.int64],
        n_lanes: int,
    ) -> npt.NDArray[np.int64]:
        """Yield checked accumulators, (n_filters, n_lanes), of sums with filters first."""
        codes = from_planes(sums, 64 * sums.shape[2], dtype=np.int64)[:, :n_lanes]
        beside = None
        if windows is not None:
            beside = from_planes(windows, 64 * sums.shape[2], dtype=np.int64)[:, :n_lanes]
        totals = self.totals.accumulators(codes, beside, filters)
        self.totals.check(totals, filters)
        return totals

    # filters side by side: lanes of a word share an input

    def _filter_blocks(
        self, images: Codes, n_positions: int, lanes: Codes, n_threads: int
    ) -> Iterator[Any]:
        pad_code = int(self.encoding.zero_point[0])
        inputs = window_codes(images, self.window, pad_code, n_positions)
        windows = self._window_codes_summed(images, n_positions)
        n_filters = self.weights.shape[0]
        n_planes = inputs.shape[1] * self.dots.weight.width
        block_words = pick_block_words(words_for(n_filters), n_planes)
        kernel = self._kernels(block_words, inputs_in_lanes=False)[0]
        blocks = range(0, n_filters, 64 * block_words)
        shares = 1 if len(blocks) >= 2 * n_threads else -(-2 * n_threads // len(blocks))
        step = -(-n_positions // shares)
        for first in blocks:
            filters = range(first, min(first + 64 * block_words, n_filters))
            for p in range(0, n_positions, step):
                part = slice(p, p + step)
                beside = None if windows is None else windows[part]
                yield (
                    lambda f=filters, x=inputs[part], w=beside, out=lanes[:, part]: (
                        self._filter_block(f, block_words, kernel, x, w, out)
                    )
                )

    def _filter_block(
        self,
        filters: range,
        block_words: int,
        kernel: Any,
        inputs: Codes,
        windows: npt.NDArray[np.int64] | None,
        lanes: Codes,
    ) -> None:
        """Run a block of filters at some positions; `lanes` is these positions' part."""
        key = (filters.start, block_words)
        with self._lock:  # one thread lays a block's weights, for all
            if key not in self._filter_planes:
                weights = self.weights[filters.start : filters.stop]
                width = self.dots.weight.width
                self._filter_planes[key] = filter_planes(weights, width, block_words)
        scratch = SumScratch(self.dots, block_words)
        sums = sum_planes(kernel, self.dots, scratch, self._filter_planes[key], inputs)
        for group in self.epilogue:
            inside = (group.filters >= filters.start) & (group.filters < filters.stop)
            mine = np.flatnonzero(inside)
            if mine.size:
                self._finish_filters(group, mine, filters, sums, windows, lanes)

    def _finish_filters(
        self,
        group: EpilogueGroup,
        mine: npt.NDArray[np.int64],
        filters: range,
        sums: Words,
        windows: npt.NDArray[np.int64] | None,
        lanes: Codes,
    ) -> None:
        """Turn the sums of one epilogue group's filters, `mine` of the group, into codes.

        The program runs in all lanes of the block; those of other groups are dropped.
        """
        block_words = sums.shape[2]
        chosen_filters = group.filters[mine]
        at_lane = chosen_filters - filters.start
        if self._exact_sums_needed:
            codes = from_planes(sums, 64 * block_words, dtype=np.int64)[:, at_lane].T
            beside = None if windows is None else windows[None, :]
            totals = self.totals.accumulators(codes, beside, chosen_filters)
            self.totals.check(totals, chosen_filters)
            if group.program is None:
                lanes[chosen_filters] = self.totals.host_codes(totals, chosen_filters)
                return
        assert group.program is not None and group.program.program is not None
        constants = {}
        for name, values in group.constants.items():
            padded = np.zeros(64 * block_words, np.int64)
            padded[at_lane] = values[mine]
            bits = group.program.program.field(name).width
            constants[name] = everywhere(to_planes(padded, bits))
        block = self._epilogue_block(block_words)
        for at in _chunks(np.arange(sums.shape[0]), block_words):
            operands = {**constants, "sum": chosen(sums, at)}
            if windows is not None:
                operands["window"] = outer(windows[at])
            result = np.empty(at.size * 64 * block_words, lanes.dtype)
            block.run(group.program, at.size, block_words, operands, result)
            kept = result.reshape(at.size, -1)[:, at_lane]
            lanes[chosen_filters[:, None], at[None, :]] = kept.T

    def _window_codes_summed(self, images: Codes, n_positions: int) -> npt.NDArray[np.int64] | None:
        """Yield the sum of each window's codes, summed in lanes with positions side by side."""
        if self.window_sums is None:
            return None
        n_words = pick_block_words(words_for(n_positions))
        kernel = self._kernels(n_words, inputs_in_lanes=True)[1]
        out = np.empty(n_positions, np.int64)
        for first in range(0, n_positions, 64 * n_words):
            planes = position_planes(
                images,
                range(images.shape[1]),
                self.window,
                int(self.encoding.zero_point[0]),
                first,
                (self.encoding.bits, n_words),
            )
            part = from_planes(self._window_sum(kernel, planes), 64 * n_words, dtype=np.int64)
            out[first : first + part.size] = part[: n_positions - first]
        return out

    def _kernels(self, block_words: int, *, inputs_in_lanes: bool) -> tuple[Any, Any]:
        sums = self.window_sums
        return (
            self.dots.kernel(block_words, inputs_in_lanes=inputs_in_lanes),
            sums.kernel(block_words, inputs_in_lanes=True) if sums is not None else None,
        )

    def _epilogue_block(self, block_words: int) -> LaneBlock:
        n_words = max(_BLOCK_GROUP_WORDS, block_words)
        return LaneBlock(
            max((g.program.n_rows for g in self.epilogue if g.program is not None), default=0),
            n_words,
        )


def _padded_words(n_lanes: int) -> int:
    n_words = words_for(n_lanes)
    block = pick_block_words(n_words)
    return -(-n_words // block) * block


def _chunks(indices: npt.NDArray[np.int64], block_words: int) -> Iterator[npt.NDArray[np.int64]]:
    """Split indices so that a chunk's groups fill at most _BLOCK_GROUP_WORDS words."""
    size = max(1, _BLOCK_GROUP_WORDS // block_words)
    for first in range(0, indices.size, size):
        yield indices[first : first + size]
