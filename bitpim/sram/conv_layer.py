"""A convolution or linear layer made ready to run in lanes: weights held, sums bounded."""

from collections.abc import Sequence
from itertools import chain
from typing import Any

import numpy as np
import numpy.typing as npt

from bitpim.digital.bounds import reach_of
from bitpim.digital.requantize import steps_of
from bitpim.digital.windows import window_of
from bitpim.errors import LayoutError
from bitpim.programs.program import Field
from bitpim.sram.accumulators import Accumulators
from bitpim.sram.conv_plan import ConvPlan, GroupPlan
from bitpim.sram.convolution import Epilogue, HeldFilters, LaneConvolution
from bitpim.sram.dot_products import LaneArithmetic
from bitpim.sram.filter_groups import FilterGroup, LaneSums
from bitpim.sram.weighted_layer import WeightedLayer
from bitpim.threads import run_all, thread_limit
from bitpim_kernels.windows import Window
from bitpim_traces.numbers.affine import code_dtype
from bitpim_traces.records import LayerRecord, Quantization

__all__ = ["ConvLayer", "accumulators_of"]

Codes = npt.NDArray[Any]
Int64 = npt.NDArray[np.int64]


class ConvLayer:
    """A convolution, or a linear layer as one over a 1-pixel image, filter group by filter group.

    Raises
    ------
    LayoutError
        A group holds codes wider than the rows it has for a weight.
    """

    def __init__(self, layer: LayerRecord, quantization: Quantization, plan: ConvPlan) -> None:
        self._layer = layer
        weighted = WeightedLayer.of(layer, quantization, plan.settings)
        self._inputs = weighted.inputs
        codes = weighted.codes()
        window = window_of(layer.geometry, layer.input_shapes[0])
        held = [_held(weighted, part.group, codes[part.group.filters]) for part in plan.parts]
        accumulators = accumulators_of(weighted, codes, plan)
        self._groups = [
            _lane_convolution(plan, part, filters, window, weighted, accumulators)
            for part, filters in zip(plan.parts, held, strict=True)
        ]
        self._n_filters = codes.shape[0]

    def run(self, inputs: Sequence[Codes]) -> Codes:
        """Yield output codes of input codes, batch first."""
        images = self._inputs.encode(inputs[0])
        if images.ndim == 2:
            images = images[:, :, None, None]
        size = self._layer.output_shape[1:]
        n_samples = images.shape[0]
        n_positions = n_samples * int(np.prod(size, dtype=np.int64))
        lanes = np.zeros((self._n_filters, n_positions), code_dtype(self._layer.output))
        if n_positions:
            each = (
                group.jobs(images, n_positions, lanes, thread_limit()) for group in self._groups
            )
            run_all(chain.from_iterable(each))
        by_filter = lanes.reshape(self._n_filters, n_samples, *size)
        return np.ascontiguousarray(by_filter.swapaxes(0, 1))


def accumulators_of(layer: WeightedLayer, codes: Codes, plan: ConvPlan) -> Accumulators:
    """Say how the sums of each filter are corrected, whose lane codes are (M, n_entries)."""
    zeros, shifts, surplus = np.zeros((3, codes.shape[0]), np.int64)
    for group in (part.group for part in plan.parts):
        surplus[group.filters] = group.hold(codes[group.filters]).surplus
        zeros[group.filters], shifts[group.filters] = group.zeros, group.sum_shift
    offsets = _offsets(layer, codes) - surplus
    steps = steps_of(layer.record, codes.shape[0], *_limits(layer, codes))
    return Accumulators(layer.record, steps, offsets, zeros, shifts)


def _held(layer: WeightedLayer, group: FilterGroup, codes: Codes) -> HeldFilters:
    """Lay the weights of a group as its lanes hold them."""
    weights, bits = group.hold(codes).codes, group.sums.weight_bits
    entries = group.layout.entries
    if group.owners is not None or group.lists is not None:
        used = group.used(layer.shape.n_entries)
        weights, entries = np.where(used, weights, 0), np.flatnonzero(used.any(axis=0))
    if entries.size < layer.shape.n_entries:
        weights = weights[:, entries]
    if weights.size and (int(weights.min()) < 0 or int(weights.max()) >> bits):
        raise LayoutError(
            f"{layer.where}: need held weights of {bits} bits, the rows of the tap, got "
            f"{int(weights.min())} to {int(weights.max())}; mend the rule of the machine"
        )
    weights = np.ascontiguousarray(weights, np.uint8 if bits <= 8 else np.uint16)
    conv_groups = group.filters // (layer.shape.out_channels // layer.shape.groups)
    return HeldFilters(group.filters, conv_groups, entries, layer.shape.in_channels, weights)


def _offsets(layer: WeightedLayer, codes: Codes) -> Int64:
    """What is added to a sum of raw products, apart from the window's share."""
    zero, zeros = int(layer.inputs.zero_point[0]), layer.zeros
    total = codes.sum(axis=1, dtype=np.int64)
    offsets: Int64 = _bias(layer) - zero * total + codes.shape[1] * zero * zeros
    return offsets


def _limits(layer: WeightedLayer, codes: Codes) -> tuple[Codes, Codes]:
    """Least and greatest accumulator of each filter, over all inputs."""
    zero, zeros = int(layer.inputs.zero_point[0]), layer.zeros
    low, high = min(0, -zero), max(0, layer.inputs.code_max - zero)
    total = codes.sum(axis=1, dtype=np.int64) - codes.shape[1] * zeros
    above = np.zeros(codes.shape[0], np.int64)
    for m, row in enumerate(codes):
        above[m] = np.maximum(row, zeros[m]).sum(dtype=np.int64)
    above -= codes.shape[1] * zeros
    return reach_of(layer.where, above, total - above, _bias(layer), (low, high))


def _bias(layer: WeightedLayer) -> Int64:
    bias = layer.record.bias
    n_filters = layer.shape.out_channels
    return bias.read().astype(np.int64) if bias else np.zeros(n_filters, np.int64)


def _lane_convolution(
    plan: ConvPlan,
    part: GroupPlan,
    held: HeldFilters,
    window: Window,
    layer: WeightedLayer,
    accumulators: Accumulators,
) -> LaneConvolution:
    group = part.group
    sources = [_packed(group.layout.source, held.entries)]
    if group.owners is not None or group.lists is not None:
        sources = [_used(_packed(group.source_of(i), held.entries)) for i in range(held.n)]
    windows, window_at = None, np.zeros(held.n, np.int64)
    (place,) = np.unique(plan.window_of[held.filters])
    if place >= 0:
        summed = plan.windows[place].sums
        entries = [_packed(summed.layout.source, held.entries)]
        if len(sources) > 1:
            entries, window_at = _distinct(sources)
        windows = _arithmetic(summed, entries, layer.inputs.bits)
    return LaneConvolution(
        held,
        layer.inputs,
        window,
        _arithmetic(group.sums, sources, layer.inputs.bits),
        windows,
        window_at,
        _epilogues(part, layer.record, accumulators),
        accumulators,
    )


def _packed(source: Int64, entries: Int64) -> Int64:
    """Count entries as they are packed."""
    found: Int64 = np.where(source < 0, -1, np.searchsorted(entries, source))
    return found


def _used(source: Int64) -> Int64:
    """Leave out lanes that take nothing; one stays where all are such."""
    taken = np.flatnonzero((source >= 0).any(axis=1))
    return np.ascontiguousarray(source[taken] if taken.size else source[:1])


def _distinct(sources: list[Int64]) -> tuple[list[Int64], Int64]:
    """Yield sources that differ, and which of them each is."""
    places: dict[bytes, int] = {}
    distinct: list[Int64] = []
    which = np.empty(len(sources), np.int64)
    for i, source in enumerate(sources):
        which[i] = places.setdefault(source.tobytes(), len(distinct))
        if which[i] == len(distinct):
            distinct.append(source)
    return distinct, which


def _arithmetic(sums: LaneSums, sources: list[Int64], input_bits: int) -> LaneArithmetic:
    """Say what lanes do that take the entries of sources: whole, whatever a tap reads of them."""
    tap = sums.tap
    x, total = Field("x", tap.field("x").start, input_bits), tap.field("sum")
    weight = tap.field("w") if sums.weight_bits else Field("w", x.stop, 0)
    return LaneArithmetic(tap.table, x, weight, total, sources, sums.largest)


def _epilogues(part: GroupPlan, layer: LayerRecord, accumulators: Accumulators) -> list[Epilogue]:
    step, group = layer.requantize, part.group
    epilogues = []
    for one in part.epilogue:
        assert step is not None and step.multiplier is not None
        multiplier = np.broadcast_to(step.multiplier.astype(np.int64), accumulators.offsets.shape)
        bits = layer.accumulator_bits  # lanes add modulo 2^bits, int64 modulo 2^64
        known = {
            "total": accumulators.offsets & (-1 if bits == 64 else (1 << bits) - 1),
            "multiplier": multiplier,
            "weight_zero": accumulators.zeros,
        }
        constants = {n: v[one.filters] for n, v in known.items() if n in one.program.inputs}
        positions = np.searchsorted(group.filters, one.filters)
        epilogues.append(Epilogue(one.program, positions, constants))
    return epilogues or [Epilogue(None, np.arange(group.filters.size), {})]
