"""Layers of a plan made ready to run on packed bits, kind by kind."""

from collections.abc import Sequence
from functools import partial
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from bitpim.digital.layers import prepare_layer
from bitpim.sram.conv_layer import ConvLayer
from bitpim.sram.conv_plan import ConvPlan
from bitpim.sram.elementwise_plan import LanePlan
from bitpim.sram.lane_codes import LaneCodes
from bitpim.sram.lane_operands import LaneOperands, lane_operands, multiplier_of
from bitpim.sram.lanes import LaneProgram, by_lane, outer, own_block
from bitpim.sram.plan import LayerPlan
from bitpim.threads import run_all
from bitpim_traces.numbers.affine import code_dtype
from bitpim_traces.records import LayerRecord, Quantization

__all__ = ["BitLayer", "prepare_bit_layer"]

Codes = npt.NDArray[Any]

_BLOCK_WORDS = 512


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
        self._exact = prepare_layer(layer, tuple(quantizations))

    def run(self, inputs: Sequence[Codes]) -> Codes:
        layer = self._layer
        if self._exact.may_overflow:
            self._exact.run(inputs)  # raises where integer fidelity does
        n_samples = inputs[0].shape[0]
        encoded = [e.encode(codes) for e, codes in zip(self._lane_codes, inputs, strict=True)]
        out = np.zeros((n_samples, *layer.output_shape), self._dtype)
        for work in self._work:
            operands = lane_operands(layer, self._lane_codes, encoded, work)
            constants = multiplier_of(layer, work)
            codes = np.empty(operands.n_lanes, self._dtype)
            starts = range(0, operands.n_lanes, 64 * _BLOCK_WORDS)

            parts = (slice(first, first + 64 * _BLOCK_WORDS) for first in starts)
            run = partial(_run_lanes, work.program, operands, constants, codes)
            run_all(partial(run, part) for part in parts)
            made = codes.astype(np.int32) - operands.offset if operands.offset else codes
            operands.place(out, made)
        return out


def _run_lanes(
    program: LaneProgram,
    taken: LaneOperands,
    constants: dict[str, int],
    out: Codes,
    part: slice,
) -> None:
    n_lanes = out[part].size
    n_words = -(-n_lanes // 64)
    block = own_block(program.n_rows, n_words)
    operands = {name: outer(np.array([value], np.int64)) for name, value in constants.items()}
    operands |= {name: by_lane(codes[part]) for name, codes in taken.named.items()}
    stream = [by_lane(codes[part]) for codes in taken.streamed]
    codes = np.empty(64 * n_words, out.dtype)
    block.run(program, 1, n_words, operands, codes, stream)
    out[part] = codes[:n_lanes]
