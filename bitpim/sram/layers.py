"""Layers of a plan made ready to run on packed bits, kind by kind."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from bitpim.digital.layers import prepare_layer
from bitpim.digital.windows import window_counts, window_of
from bitpim.sram.conv_layer import ConvLayer
from bitpim.sram.conv_plan import ConvPlan
from bitpim.sram.elementwise_plan import LanePlan, LaneWork
from bitpim.sram.lane_codes import LaneCodes
from bitpim.sram.lanes import LaneBlock, LaneProgram, Operand, everywhere, outer
from bitpim.sram.plan import LayerPlan
from bitpim.threads import run_all
from bitpim_kernels.layout import to_planes
from bitpim_kernels.windows import gather_entries
from bitpim_traces.numbers.affine import code_dtype
from bitpim_traces.records import LayerRecord, Quantization

__all__ = ["BitLayer", "prepare_bit_layer"]

Codes = npt.NDArray[Any]

_BLOCK_WORDS = 256


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
        return ConvLayer(layer, quantizations[0], plan)
    if isinstance(plan, LanePlan):
        return _Elementwise(layer, quantizations, plan)
    return _Outside(layer, quantizations)


class _Outside:
    """Codes that only move, or that the CPU computes."""

    def __init__(self, layer: LayerRecord, quantizations: Sequence[Quantization]) -> None:
        self._prepared = prepare_layer(layer, tuple(quantizations))

    def run(self, inputs: Sequence[Codes]) -> Codes:
        return self._prepared.run(inputs)


# elementwise layers


class _Elementwise:
    """One lane an output element; operands are gathered, packed, and a program runs."""

    def __init__(
        self, layer: LayerRecord, quantizations: Sequence[Quantization], plan: LanePlan
    ) -> None:
        self._layer = layer
        self._lane_codes = [LaneCodes.of(q) for q in quantizations]
        self._work = plan.work
        self._dtype = code_dtype(layer.output)
        self._operands = _OPERANDS[layer.kind]
        self._exact = prepare_layer(layer, tuple(quantizations))

    def run(self, inputs: Sequence[Codes]) -> Codes:
        layer = self._layer
        if self._exact.may_overflow:
            self._exact.run(inputs)  # raises where integer fidelity does
        n_samples = inputs[0].shape[0]
        encoded = [e.encode(codes) for e, codes in zip(self._lane_codes, inputs, strict=True)]
        out = np.zeros((n_samples, *layer.output_shape), self._dtype)
        for work in self._work:
            streamed, named, place = self._operands(layer, self._lane_codes, encoded, work)
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


def _offset(layer: LayerRecord, codes: LaneCodes) -> int:
    """What is still to be taken off a program's codes: nothing once they are requantized."""
    return codes.offset if layer.requantize is None else 0


def _pooled(
    layer: LayerRecord, lane_codes: list[LaneCodes], inputs: list[Codes], work: LaneWork
) -> Gathered:
    """Gather each window element of the positions this work serves."""
    geometry = layer.geometry
    assert geometry is not None
    images, codes_in = inputs[0], lane_codes[0]
    n_samples, n_channels = images.shape[:2]
    window = window_of(geometry, layer.input_shapes[0])
    size = (window.rows, window.cols)
    n_positions = n_samples * size[0] * size[1]
    pad = 0  # the smallest code, or nothing added
    mine = np.ones(n_positions, np.bool_)
    if layer.kind == "avg_pool2d":
        pad = int(codes_in.zero_point[0])
        counts = window_counts(geometry, layer.input_shapes[0])
        mine = np.tile((counts == work.key).reshape(-1), n_samples)
    taps = []
    lanes = np.empty((n_channels, n_positions), images.dtype)
    entries = np.stack([np.arange(n_channels), np.zeros(n_channels, np.int64)], axis=1)
    for tap in range(window.n_taps):
        entries[:, 1] = tap
        gather_entries(images, entries, window, pad, lanes)
        taps.append(lanes[:, mine].reshape(-1))

    def place(out: Codes, codes: Codes) -> None:
        by_channel = out.transpose(1, 0, 2, 3).reshape(n_channels, n_positions).copy()
        offset = _offset(layer, codes_in)
        by_channel[:, mine] = codes.reshape(n_channels, -1).astype(np.int32) - offset
        out[:] = by_channel.reshape(n_channels, n_samples, *size).transpose(1, 0, 2, 3)

    return taps, {}, place


def _operand_codes(
    layer: LayerRecord, lane_codes: list[LaneCodes], inputs: list[Codes], work: LaneWork
) -> Gathered:
    named = {"x": inputs[0]} if layer.kind == "activation" else {}
    named = named or {f"x{i}": codes for i, codes in enumerate(inputs)}
    shape = (inputs[0].shape[0], *layer.output_shape)
    spread = {name: np.broadcast_to(codes, shape) for name, codes in named.items()}
    flat = {name: np.ascontiguousarray(codes).reshape(-1) for name, codes in spread.items()}

    def place(out: Codes, codes: Codes) -> None:
        offset = _offset(layer, lane_codes[0])
        out[:] = (codes.astype(np.int32) - offset).reshape(out.shape)

    return [], flat, place


def _joined(
    layer: LayerRecord, lane_codes: list[LaneCodes], inputs: list[Codes], work: LaneWork
) -> Gathered:
    axis = layer.params.integer("concat_axis") + 1
    before = sum(
        shape[layer.params.integer("concat_axis")] for shape in layer.input_shapes[: work.key]
    )
    extent = layer.input_shapes[work.key][layer.params.integer("concat_axis")]
    codes = np.ascontiguousarray(inputs[work.key])

    def place(out: Codes, result: Codes) -> None:
        index = [slice(None)] * out.ndim
        index[axis] = slice(before, before + extent)
        decoded = result.astype(np.int32) - _offset(layer, lane_codes[work.key])
        out[tuple(index)] = decoded.reshape(codes.shape)

    return [], {"x": codes.reshape(-1)}, place


_OPERANDS: dict[str, Callable[[LayerRecord, list[LaneCodes], list[Codes], LaneWork], Gathered]] = {
    "max_pool2d": _pooled,
    "avg_pool2d": _pooled,
    "add": _operand_codes,
    "multiply": _operand_codes,
    "activation": _operand_codes,
    "concat": _joined,
}
