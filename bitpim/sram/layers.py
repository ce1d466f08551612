"""Layers of a Neural Cache plan made ready to run on packed bits, kind by kind."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from bitpim.digital.layers import prepare_layer
from bitpim.digital.requantize import code_dtype, steps_of
from bitpim.digital.windows import window_counts, window_of
from bitpim.programs.program import Field
from bitpim.sram.convolution import BitConvolution, EpilogueGroup, Sums
from bitpim.sram.dot_products import LaneArithmetic
from bitpim.sram.lane_codes import Encoding
from bitpim.sram.lanes import LaneBlock, LaneProgram, Operand, everywhere, outer
from bitpim.sram.plan import ConvPlan, LanePlan, LaneWork, LayerPlan
from bitpim.threads import run_all
from bitpim_kernels.layout import to_planes
from bitpim_kernels.windows import gather_window
from bitpim_traces.records import Geometry, LayerRecord, Quantization

__all__ = ["BitLayer", "prepare_bit_layer"]

Codes = npt.NDArray[Any]

_BLOCK_WORDS = 256
_SUM_ROWS = 40  # 24-bit partial sums of up to 65,536 lanes
_MOST_SUM_ROWS = 63  # sums stay below 2^63: 16-bit codes would need 2^31 products to exceed it


class BitLayer(Protocol):
    """A layer that runs batches."""

    def run(self, inputs: Sequence[Codes]) -> Codes:
        """Yield output codes of input codes, batch first."""
        ...


def prepare_bit_layer(
    layer: LayerRecord, quantizations: Sequence[Quantization], plan: LayerPlan
) -> BitLayer:
    """Lay out a layer's weights and constants."""
    if isinstance(plan, ConvPlan):
        return _Convolution(layer, quantizations[0], plan)
    if isinstance(plan, LanePlan):
        return _Elementwise(layer, quantizations, plan)
    return _Outside(layer, quantizations)


class _Outside:
    """Codes that only move, or that the CPU computes."""

    def __init__(self, layer: LayerRecord, quantizations: Sequence[Quantization]) -> None:
        self._prepared = prepare_layer(layer, tuple(quantizations))

    def run(self, inputs: Sequence[Codes]) -> Codes:
        return self._prepared.run(inputs)


# convolution and linear


class _Convolution:
    """A convolution, or a linear layer as one over a 1-pixel image."""

    def __init__(self, layer: LayerRecord, quantization: Quantization, plan: ConvPlan) -> None:
        assert layer.weight is not None and layer.weight_quantization is not None
        self._layer = layer
        self._encoding = Encoding.of(quantization)
        geometry = layer.geometry or Geometry((1, 1))
        n_filters = layer.weight.shape[0]
        weight = Encoding.of(layer.weight_quantization)
        codes = weight.encode(layer.weight.read()).reshape(n_filters, -1)
        zeros = np.broadcast_to(weight.zero_point, (n_filters,)).astype(np.int64)
        offsets = self._offsets(codes, zeros)
        steps = steps_of(layer, n_filters, *self._limits(codes, zeros))
        self._run = BitConvolution(
            codes,
            geometry.groups,
            self._encoding,
            window_of(geometry, layer.input_shapes[0]),
            _arithmetic(plan, plan.tap.table, plan.tap.field("w").width),
            _arithmetic(plan, plan.window_tap.table, 0) if plan.correction else None,
            _epilogue_groups(plan, layer, offsets, zeros),
            Sums(layer, steps, offsets, zeros),
        )

    def _offsets(self, codes: Codes, zeros: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """What is added to a sum of raw products, apart from the window's share."""
        zero = int(self._encoding.zero_point[0])
        total = codes.sum(axis=1, dtype=np.int64)
        bias = self._layer.bias.read().astype(np.int64) if self._layer.bias else 0
        offsets: npt.NDArray[np.int64] = bias - zero * total + codes.shape[1] * zero * zeros
        return offsets

    def _limits(
        self, codes: Codes, zeros: npt.NDArray[np.int64]
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """Least and greatest accumulator of each filter, over all inputs."""
        zero = int(self._encoding.zero_point[0])
        low, high = min(0, -zero), max(0, self._encoding.code_max - zero)
        total = codes.sum(axis=1, dtype=np.int64) - codes.shape[1] * zeros
        above = np.zeros(codes.shape[0], np.int64)
        for m, row in enumerate(codes):
            above[m] = np.maximum(row, zeros[m]).sum(dtype=np.int64)
        above -= codes.shape[1] * zeros
        below = total - above
        bias = self._layer.bias.read().astype(np.int64) if self._layer.bias else 0
        return above * low + below * high + bias, above * high + below * low + bias

    def run(self, inputs: Sequence[Codes]) -> Codes:
        images = self._encoding.encode(inputs[0])
        if images.ndim == 2:
            images = images[:, :, None, None]
        out = self._run.run(images, code_dtype(self._layer.output))
        return out.reshape(images.shape[0], *self._layer.output_shape)


def _arithmetic(plan: ConvPlan, table: npt.NDArray[np.int32], weight_bits: int) -> LaneArithmetic:
    tap = plan.tap if weight_bits else plan.window_tap
    x, total = tap.field("x"), tap.field("sum")
    weight = tap.field("w") if weight_bits else Field("w", x.stop, 0)
    # The reduction widens the sum; its rows above are free in the tap's table. One width for
    # layers of every depth lets them share a kernel; the rows above a sum are zero.
    n_rows = _SUM_ROWS if plan.final_bits <= _SUM_ROWS else _MOST_SUM_ROWS
    widest = Field("sum", total.start, n_rows)
    return LaneArithmetic(table, x, weight, widest, plan.layout.source, plan.layout.n_lanes)


def _epilogue_groups(
    plan: ConvPlan,
    layer: LayerRecord,
    offsets: npt.NDArray[np.int64],
    zeros: npt.NDArray[np.int64],
) -> list[EpilogueGroup]:
    step = layer.requantize
    groups = []
    for part in plan.epilogue:
        assert step is not None and step.multiplier is not None
        multiplier = np.broadcast_to(step.multiplier.astype(np.int64), offsets.shape)
        known = {"total": offsets, "multiplier": multiplier, "weight_zero": zeros}
        constants = {n: v[part.filters] for n, v in known.items() if n in part.program.inputs}
        groups.append(EpilogueGroup(part.program, part.filters, constants))
    return groups or [EpilogueGroup(None, np.arange(offsets.size), {})]


# elementwise layers


class _Elementwise:
    """One lane an output element; operands are gathered, packed, and a program runs."""

    def __init__(
        self, layer: LayerRecord, quantizations: Sequence[Quantization], plan: LanePlan
    ) -> None:
        self._layer = layer
        self._encodings = [Encoding.of(q) for q in quantizations]
        self._work = plan.work
        self._dtype = code_dtype(layer.output)
        self._operands = _OPERANDS[layer.kind]

    def run(self, inputs: Sequence[Codes]) -> Codes:
        layer = self._layer
        n_samples = inputs[0].shape[0]
        encoded = [e.encode(codes) for e, codes in zip(self._encodings, inputs, strict=True)]
        out = np.zeros((n_samples, *layer.output_shape), self._dtype)
        for work in self._work:
            streamed, named, place = self._operands(layer, self._encodings, encoded, work)
            constants = _multiplier_of(layer, work)
            n_lanes = (streamed or list(named.values()))[0].size
            codes = np.empty(n_lanes, self._dtype)
            starts = range(0, n_lanes, 64 * _BLOCK_WORDS)

            parts = (slice(first, first + 64 * _BLOCK_WORDS) for first in starts)
            run = partial(_run_lanes, work.program, streamed, named, constants, codes)
            run_all(partial(run, part) for part in parts)
            place(out, codes)
        return out


Gathered = tuple[list[Codes], dict[str, Codes], Callable[[Codes, Codes], None]]


def _run_lanes(
    program: LaneProgram,
    streamed: list[Codes],
    named: dict[str, Codes],
    constants: dict[str, int],
    out: Codes,
    part: slice,
) -> None:
    n_lanes = out[part].size
    n_words = -(-n_lanes // 64)
    block = LaneBlock(program.n_rows, n_words)
    operands = {name: outer(np.array([value], np.int64)) for name, value in constants.items()}
    fields = program.program
    for name, codes in named.items():
        assert fields is not None
        operands[name] = everywhere(to_planes(codes[part], fields.field(name).width))
    stream: list[Operand] = []
    if program.each is not None:
        bits = program.each.field("x").width
        stream = [everywhere(to_planes(codes[part], bits)) for codes in streamed]
    codes = np.empty(64 * n_words, out.dtype)
    block.run(program, 1, n_words, operands, codes, stream)
    out[part] = codes[:n_lanes]


def _multiplier_of(layer: LayerRecord, work: LaneWork) -> dict[str, int]:
    program = work.program
    if "multiplier" not in program.inputs:
        return {}
    assert layer.requantize is not None and layer.requantize.multiplier is not None
    entry = work.key - 1 if layer.kind == "avg_pool2d" else work.key
    values = layer.requantize.multiplier
    return {"multiplier": int(values[min(entry, values.size - 1)])}


def _pooled(
    layer: LayerRecord, encodings: list[Encoding], inputs: list[Codes], work: LaneWork
) -> Gathered:
    """Gather each window element of the positions this work serves."""
    geometry = layer.geometry
    assert geometry is not None
    images, encoding = inputs[0], encodings[0]
    n_samples, n_channels = images.shape[:2]
    window = window_of(geometry, layer.input_shapes[0])
    size = (window.rows, window.cols)
    n_positions = n_samples * size[0] * size[1]
    pad = 0  # the smallest code, or nothing added
    mine = np.ones(n_positions, np.bool_)
    if layer.kind == "avg_pool2d":
        pad = int(encoding.zero_point[0])
        counts = window_counts(geometry, layer.input_shapes[0])
        mine = np.tile((counts == work.key).reshape(-1), n_samples)
    taps = []
    lanes = np.empty((n_channels, n_positions), images.dtype)
    for tap in range(window.n_taps):
        for channel in range(n_channels):
            gather_window(images, channel, tap, window, pad, 0, lanes[channel])
        taps.append(lanes[:, mine].reshape(-1))

    def place(out: Codes, codes: Codes) -> None:
        by_channel = out.transpose(1, 0, 2, 3).reshape(n_channels, n_positions).copy()
        offset = encoding.offset if layer.kind == "max_pool2d" else 0
        by_channel[:, mine] = codes.reshape(n_channels, -1).astype(np.int32) - offset
        out[:] = by_channel.reshape(n_channels, n_samples, *size).transpose(1, 0, 2, 3)

    return taps, {}, place


def _operand_codes(
    layer: LayerRecord, encodings: list[Encoding], inputs: list[Codes], work: LaneWork
) -> Gathered:
    named = {"x": inputs[0]} if layer.kind == "activation" else {}
    named = named or {f"x{i}": codes for i, codes in enumerate(inputs)}
    flat = {name: np.ascontiguousarray(codes).reshape(-1) for name, codes in named.items()}

    def place(out: Codes, codes: Codes) -> None:
        offset = encodings[0].offset if layer.kind == "activation" else 0
        out[:] = (codes.astype(np.int32) - offset).reshape(out.shape)

    return [], flat, place


def _joined(
    layer: LayerRecord, encodings: list[Encoding], inputs: list[Codes], work: LaneWork
) -> Gathered:
    axis = layer.concat_axis + 1
    before = sum(shape[layer.concat_axis] for shape in layer.input_shapes[: work.key])
    extent = layer.input_shapes[work.key][layer.concat_axis]
    codes = np.ascontiguousarray(inputs[work.key])

    def place(out: Codes, result: Codes) -> None:
        index = [slice(None)] * out.ndim
        index[axis] = slice(before, before + extent)
        out[tuple(index)] = result.reshape(codes.shape)

    return [], {"x": codes.reshape(-1)}, place


_OPERANDS: dict[str, Callable[[LayerRecord, list[Encoding], list[Codes], LaneWork], Gathered]] = {
    "max_pool2d": _pooled,
    "avg_pool2d": _pooled,
    "add": _operand_codes,
    "activation": _operand_codes,
    "concat": _joined,
}
