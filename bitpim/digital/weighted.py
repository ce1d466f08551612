"""Convolution and linear layers in exact integers, prepared once and run on any batch.

Which kernel runs is decided by a proof on the layer's own numbers (`sums_fit_int32`), never by
trying: with the weights known, no input can make a sum leave the range that was proven.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from bitpim.digital.bounds import reach_of
from bitpim.digital.requantize import RequantizeSteps, layer_fault, raise_if_outside, steps_of
from bitpim.digital.windows import padded, window_of
from bitpim_kernels.integer import (
    SEGMENT,
    Filters,
    centre_images,
    convolve,
    convolve_depthwise,
    convolve_wide,
)
from bitpim_kernels.vector import TILE_FILTERS
from bitpim_kernels.windows import Window
from bitpim_traces.records import Geometry, LayerRecord, Quantization

__all__ = ["PreparedWeights", "prepare_weighted", "sums_fit_int32"]

Codes = npt.NDArray[Any]
Int64 = npt.NDArray[np.int64]

BLOCK_BYTES = 1 << 20
"""Centred, padded images that are convolved at once: about what a core's own cache holds."""

_FILTERS_AT_ONCE = 256


def sums_fit_int32(l1: Int64, bias: Int64, code_reach: int, weight_reach: int) -> bool:
    """Prove that 16-bit operands and int32 sums are exact, whatever the input.

    `l1` is the sum of absolute centred weights of each filter, `code_reach` the largest absolute
    centred code, `weight_reach` the largest absolute centred weight. Every partial sum, in any
    order and with any subset of the products, is at most |bias| + l1 * code_reach.
    """
    if max(code_reach, weight_reach) > np.iinfo(np.int16).max:
        return False
    worst = max(
        (abs(int(b)) + int(s) * code_reach for s, b in zip(l1, bias, strict=True)), default=0
    )
    return worst <= np.iinfo(np.int32).max


class _Kernel(Protocol):
    def __call__(
        self,
        images: Codes,
        window: Window,
        filters: Filters,
        steps: Any,
        sums: Codes,
        out: Codes,
        fault: Int64,
        /,
    ) -> None: ...


@dataclass(frozen=True, slots=True)
class PreparedWeights:
    """A convolution or linear layer ready to run.

    `form` names the kernel: "narrow" (16-bit operands, int32 sums), "depthwise" (the same by
    channel) or "wide" (int64 sums).
    """

    form: str
    kernel: _Kernel
    layer: LayerRecord
    window: Window
    origin: tuple[int, int]  # top, left
    zero_point: int
    filters: Filters
    steps: RequantizeSteps

    def run(self, images: Codes, out: Codes) -> None:
        """Write output codes of channels-last images, a cache-sized block of them at a time.

        Shapes
        ------
        images: (N, H, W, C); out: (N, rows, cols, M)
        """
        window, steps, bias = self.window, self.steps, self.filters.bias
        image_size = window.height * window.width * window.channels
        held = np.int32 if self.form == "wide" else np.int16
        per_block = max(1, BLOCK_BYTES // max(1, image_size * np.dtype(held).itemsize))
        sums = np.empty((SEGMENT, bias.size) if self.form == "narrow" else bias.size, bias.dtype)
        fault = np.zeros(3 if steps.check else 0, np.int64)
        # two codes more: an odd run reads one beyond its end, and multiplies it with 0
        padded = np.zeros(min(per_block, images.shape[0]) * image_size + 2, held)
        for start in range(0, images.shape[0], per_block):
            block = images[start : start + per_block]
            shape = (block.shape[0], window.height, window.width, window.channels)
            view = padded[: block.shape[0] * image_size].reshape(shape)
            centre_images(block, self.zero_point, *self.origin, view)
            target = out[start : start + per_block]
            self.kernel(padded, window, self.filters, steps.kernel_steps, sums, target, fault)
            raise_if_outside(self.layer, steps, fault)

    def run_rows(self, codes: Codes, out: Codes) -> None:
        """Write output codes of a linear layer: the batch lies as pixels of one wide image.

        Shapes
        ------
        codes: (N, features); out: (N, M)
        """
        n, features = codes.shape
        if n:
            window = self.window._replace(width=n, cols=n)
            image = codes.reshape(1, 1, n, features)
            replace(self, window=window).run(image, out.reshape(1, 1, n, out.shape[1]))


def prepare_weighted(layer: LayerRecord, quantization: Quantization) -> PreparedWeights:
    """Pack the weights of a conv2d or linear layer and prove which kernel may run it.

    Raises
    ------
    TraceDataError
        Weight, geometry, pad code or input shape contradict each other.
    """
    weight, zero = _centred_weight(layer), int(quantization.zero_point[0])
    geometry = Geometry((1, 1)) if layer.kind == "linear" else layer.geometry
    if geometry is None:
        raise layer_fault(layer, "need a geometry, got none")
    shape = layer.input_shapes[0]
    n_filters, per_group = weight.shape[:2]
    if weight.shape[2:] != geometry.kernel or per_group * geometry.groups != shape[0]:
        raise layer_fault(layer, f"need a weight that fits {geometry}, got shape {weight.shape}")
    if n_filters % geometry.groups:
        raise layer_fault(layer, f"need filters in {geometry.groups} equal groups, got {n_filters}")
    if any(geometry.padding) and layer.pad_code != zero:
        raise layer_fault(layer, f"need pad_code {zero} (the zero point), got {layer.pad_code}")
    window = window_of(geometry, shape)
    if layer.kind == "linear" and len(shape) != 1:
        raise layer_fault(layer, f"need a flat input, got shape {shape}")

    bias = np.zeros(n_filters, np.int64)
    if layer.bias is not None:
        bias += layer.bias.read().astype(np.int64)
    reach = (min(quantization.code_min - zero, 0), max(quantization.code_max - zero, 0))
    positive, negative = _signed_sums(weight)
    where = f"layer {layer.index} {layer.name!r} ({layer.kind})"
    steps = steps_of(layer, n_filters, *reach_of(where, positive, negative, bias, reach))

    weight_reach = max(int(weight.max(initial=0)), -int(weight.min(initial=0)))
    narrow = sums_fit_int32(positive - negative, bias, max(-reach[0], reach[1]), weight_reach)
    form, run, pack = _choose(narrow, 1 < geometry.groups == shape[0] == n_filters)
    in_padding = padded(window)
    rows, runs = _runs(weight, in_padding)
    filters = pack(rows, runs, bias, geometry.groups)
    origin = (window.top, window.left)
    return PreparedWeights(form, run, layer, in_padding, origin, zero, filters, steps)


def _choose(
    narrow: bool, depthwise: bool
) -> tuple[str, _Kernel, Callable[[Codes, Int64, Int64, int], Filters]]:
    if not narrow:
        return "wide", convolve_wide, _pack_wide
    if depthwise:
        return "depthwise", convolve_depthwise, _pack_depthwise
    return "narrow", convolve, _pack_narrow


def _centred_weight(layer: LayerRecord) -> Codes:
    """Read weight codes less their zero points, as (M, channels of a group, R, S)."""
    if layer.weight is None or layer.weight_quantization is None:
        raise layer_fault(layer, "need a weight and its quantization, got none")
    codes, zero = layer.weight.read(), layer.weight_quantization.zero_point
    small = codes.dtype.itemsize == 1 and np.abs(zero).max(initial=0) < 1 << 14
    held = np.int16 if small else np.int32  # half the memory where a layer is large
    weight: Codes = codes.astype(held)
    weight -= zero.astype(held).reshape((-1,) + (1,) * (weight.ndim - 1))
    return weight if weight.ndim == 4 else weight[:, :, None, None]


def _signed_sums(weight: Codes) -> tuple[Int64, Int64]:
    """Sum the positive and the negative weights of each filter, a few filters at a time."""
    positive, negative = np.zeros((2, weight.shape[0]), np.int64)
    for start in range(0, weight.shape[0], _FILTERS_AT_ONCE):
        part = weight[start : start + _FILTERS_AT_ONCE]
        stop = start + part.shape[0]
        positive[start:stop] = np.maximum(part, 0).sum(axis=(1, 2, 3), dtype=np.int64)
        negative[start:stop] = np.minimum(part, 0).sum(axis=(1, 2, 3), dtype=np.int64)
    return positive, negative


def _runs(weight: Codes, window: Window) -> tuple[Codes, Int64]:
    """Order weights by runs of codes that lie side by side: (M, n_runs, run length), and offsets.

    Without groups and horizontal dilation a whole row of the window is one run.
    """
    n_filters, per_group, height, width = weight.shape
    down = np.arange(height) * window.dilation_y * window.width * window.channels
    rows = weight.transpose(0, 2, 3, 1)
    if per_group == window.channels and (window.dilation_x == 1 or width == 1):
        return rows.reshape(n_filters, height, width * per_group), down.astype(np.int64)
    across = np.arange(width) * window.dilation_x * window.channels
    offsets = (down[:, None] + across).reshape(height * width).astype(np.int64)
    return rows.reshape(n_filters, height * width, per_group), offsets


def _pack_narrow(rows: Codes, runs: Int64, bias: Int64, groups: int) -> Filters:
    n_filters, n_runs, length = rows.shape
    per_group, n_pairs = n_filters // groups, -(-length // 2)
    blocks = -(-per_group // TILE_FILTERS)
    even = np.zeros((groups, blocks * TILE_FILTERS, n_runs, 2 * n_pairs), np.int16)
    even[:, :per_group, :, :length] = rows.reshape(groups, per_group, n_runs, length)
    tiles = even.reshape(groups, blocks, TILE_FILTERS, n_runs, n_pairs, 2)
    packed = np.ascontiguousarray(tiles.transpose(0, 1, 3, 4, 2, 5))
    first = np.zeros((groups, blocks * TILE_FILTERS), np.int32)
    first[:, :per_group] = bias.reshape(groups, per_group)
    shape = (groups, blocks, n_runs, n_pairs, 2 * TILE_FILTERS)
    return Filters(packed.reshape(shape), runs, first.reshape(first.size), groups)


def _pack_depthwise(rows: Codes, runs: Int64, bias: Int64, groups: int) -> Filters:
    by_run = np.ascontiguousarray(rows[:, :, 0].T, np.int32)
    return Filters(by_run, runs, bias.astype(np.int32), groups)


def _pack_wide(rows: Codes, runs: Int64, bias: Int64, groups: int) -> Filters:
    return Filters(np.ascontiguousarray(rows, np.int32), runs, bias, groups)
