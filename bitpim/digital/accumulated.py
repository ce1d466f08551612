"""Layers with one accumulator an output code that is no sum of weights: products, and resizing."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from bitpim.digital.bounds import outside
from bitpim.digital.moves import Rule
from bitpim.digital.requantize import steps_of
from bitpim_kernels.integer import ADD_BLOCK
from bitpim_kernels.requantize import requantize_channels
from bitpim_traces.records import LayerRecord, Quantization

__all__ = ["prepare_bilinear", "prepare_multiply"]

Codes = npt.NDArray[Any]
Int64 = npt.NDArray[np.int64]
Prepared = tuple[Rule, bool]


def _finished(
    layer: LayerRecord,
    ends: tuple[int, int],
    accumulators: Callable[[Sequence[Codes]], Int64],
) -> Prepared:
    """Return what requantizes accumulators, which lie between two ends, a sample at a time."""
    lowest, highest = (np.full(ADD_BLOCK, end, np.int64) for end in ends)
    steps = steps_of(layer, ADD_BLOCK, lowest, highest, accumulator_bits=64)
    low, high = int(steps.bounds.low[0]), int(steps.bounds.high[0])

    def rule(inputs: Sequence[Codes], out: Codes) -> None:
        for i in range(out.shape[0]):
            acc = accumulators([codes[i : i + 1] for codes in inputs])
            flat, target = acc.reshape(-1), out[i].reshape(-1)
            if steps.check and (flat.min() < low or flat.max() > high):
                wrong = flat[(flat < low) | (flat > high)]
                raise outside(layer, steps.bounds, int(wrong[0]))
            for at in range(0, flat.size, ADD_BLOCK):
                block = flat[at : at + ADD_BLOCK]
                requantize_channels(
                    block, 0, block.size, steps.kernel_steps, 0, target[at : at + ADD_BLOCK]
                )

    return rule, steps.check


def prepare_multiply(layer: LayerRecord, quantizations: Sequence[Quantization]) -> Prepared:
    """Return what writes the product of two inputs, of which axes of length 1 are repeated."""
    zeros = [int(q.zero_point[0]) for q in quantizations]
    ends = [(q.code_min - z, q.code_max - z) for q, z in zip(quantizations, zeros, strict=True)]
    corners = [a * b for a in ends[0] for b in ends[1]]

    def accumulators(inputs: Sequence[Codes]) -> Int64:
        first, second = (c.astype(np.int64) - z for c, z in zip(inputs, zeros, strict=True))
        product: Int64 = first * second
        return product

    return _finished(layer, (min(corners), max(corners)), accumulators)


def _shares(n_in: int, n_out: int, align_corners: bool, bits: int) -> tuple[Int64, Int64]:
    """Return the first of the two places that each output lies between, and the second's share."""
    i = np.arange(n_out, dtype=np.int64)
    if align_corners:
        above, below = i * (n_in - 1), max(n_out - 1, 1)
    else:
        above, below = np.clip((2 * i + 1) * n_in - n_out, 0, 2 * n_out * (n_in - 1)), 2 * n_out
    first = above // below
    rest = above - first * below
    return first, ((rest << (bits + 1)) + below) // (2 * below)


def prepare_bilinear(layer: LayerRecord, quantizations: Sequence[Quantization]) -> Prepared:
    """Return what writes an image of another size, each code a mean of the four around it."""
    quantization = quantizations[0]
    zero, bits = int(quantization.zero_point[0]), layer.params.integer("share_bits")
    whole = 1 << bits
    corners = bool(layer.params.integer("align_corners"))
    axes = []
    for size, n in zip(layer.input_shapes[0][1:], layer.params.integers("size"), strict=True):
        first, share = _shares(size, n, corners, bits)
        axes.append((first, np.minimum(first + 1, size - 1), share))
    (top, bottom, down), (left, right, across) = axes
    down, across = down[:, None, None], across[:, None]

    def accumulators(inputs: Sequence[Codes]) -> Int64:
        codes = inputs[0].astype(np.int64) - zero
        rows: Int64 = codes[:, top] * (whole - down) + codes[:, bottom] * down
        found: Int64 = rows[:, :, left] * (whole - across) + rows[:, :, right] * across
        return found

    ends = (quantization.code_min - zero) * whole**2, (quantization.code_max - zero) * whole**2
    return _finished(layer, ends, accumulators)
