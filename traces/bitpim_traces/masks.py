"""Pruning masks of a trace: which weights are held at zero, and the patterns a layer may use.

A mask is a tensor of 0 and 1 in the shape of the weight. A conv kernel's mask is also a code: bit
k is position k of the window, row by row. A layer of a trace carries both as tensors of `extra`,
with the groups of filters that may share lanes, under the names of FORMAT.md section 3.4.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from bitpim_traces.errors import TraceDataError
from bitpim_traces.faults import Fault, Report, raising_report
from bitpim_traces.overlap_rules import (
    OVERLAP_GROUPS,
    PRUNING_MASK,
    check_group_values,
    check_groups,
    fault_of,
)
from bitpim_traces.records import LayerRecord, TensorRecord, Trace

__all__ = [
    "MAX_POSITIONS",
    "OVERLAP_GROUPS",
    "PATTERNS",
    "PRUNING_MASK",
    "LayerMask",
    "check_mask",
    "check_mask_values",
    "mask_codes",
    "masks_from_codes",
    "masks_of",
    "with_masks",
]

PATTERNS = "patterns"

MAX_POSITIONS = 32
"""Positions of a window whose masks have codes: a code is a uint32."""

MaskCodes = npt.NDArray[np.uint32]
MaskArray = npt.NDArray[np.uint8]
GroupNumbers = npt.NDArray[np.int32]


@dataclass(frozen=True, slots=True, eq=False)
class LayerMask:
    """What is kept of one layer's weight.

    `patterns` are the masks its conv kernels may have, ascending codes; None where masks are free.
    `groups` has the group of each filter: filters of one group keep no input channel in common, so
    that they may share lanes; None where nothing is said.

    Shapes
    ------
    mask : shape of the weight, 0 or 1;  patterns : (P,);  groups : (M,)
    """

    mask: MaskArray
    patterns: MaskCodes | None = None
    groups: GroupNumbers | None = None

    @property
    def sparsity(self) -> float:
        """Share of the weights that are held at zero."""
        return 1.0 - int(np.count_nonzero(self.mask)) / max(1, self.mask.size)

    @property
    def n_zero_kernels(self) -> int:
        """Number of conv kernels (of a linear weight: weights) that keep nothing."""
        kept = self.mask.reshape(*self.mask.shape[:2], -1).any(axis=2)
        return int(kept.size - np.count_nonzero(kept))


def mask_codes(mask: npt.NDArray[Any]) -> MaskCodes:
    """Yield the code of every conv kernel's mask; what is not 0 counts as kept.

    Shapes
    ------
    mask : (..., R, S);  codes : (...)

    Raises
    ------
    TraceDataError
        The window has more positions than a code has bits.
    """
    n_positions = _need_window(mask.shape[-2], mask.shape[-1])
    flat = mask.reshape(*mask.shape[:-2], n_positions)
    codes = np.zeros(flat.shape[:-1], np.uint32)
    for k in range(n_positions):
        codes |= (flat[..., k] != 0).astype(np.uint32) << np.uint32(k)
    return codes


def masks_from_codes(codes: npt.NDArray[np.integer], window: tuple[int, int]) -> MaskArray:
    """Yield the masks that codes stand for.

    Shapes
    ------
    codes : (...);  masks : (..., *window)

    Raises
    ------
    TraceDataError
        A code has bits outside the window.
    """
    n_positions = _need_window(*window)
    if codes.size and not 0 <= int(codes.min()) <= int(codes.max()) < 1 << n_positions:
        raise TraceDataError(
            f"mask codes: need {n_positions} bits for a window {window[0]} x {window[1]},"
            f" got {int(codes.max()):#b}"
        )
    shifts = np.arange(n_positions, dtype=np.uint32)
    bits = (codes.astype(np.uint32)[..., None] >> shifts) & np.uint32(1)
    return bits.astype(np.uint8).reshape(*codes.shape, *window)


def masks_of(trace: Trace) -> dict[str, LayerMask]:
    """Read the masks that a trace carries, by layer name."""
    found = {}
    for layer in trace.layers:
        if PRUNING_MASK in layer.extra:
            patterns, groups = layer.extra.get(PATTERNS), layer.extra.get(OVERLAP_GROUPS)
            found[layer.name] = LayerMask(
                layer.extra[PRUNING_MASK].read(),
                None if patterns is None else patterns.read(),
                None if groups is None else groups.read(),
            )
    return found


def with_masks(trace: Trace, masks: Mapping[str, LayerMask]) -> Trace:
    """Give layers of a trace, by name, their masks.

    Raises
    ------
    TraceDataError
        A name is unknown, a masked weight is not at its zero point, a conv kernel's mask is none
        of the patterns, or filters of a group keep a channel in common.
    """
    unknown = masks.keys() - {layer.name for layer in trace.layers}
    if unknown:
        raise TraceDataError(f"trace {trace.name}: need masks of its layers, got {min(unknown)!r}")
    layers = [
        replace(layer, extra={**_without_mask(layer), **_tensors(layer, masks[layer.name])})
        if layer.name in masks
        else layer
        for layer in trace.layers
    ]
    report = raising_report(f"trace {trace.name}", "set masked weights to zero, or mend the mask")
    for layer in layers:
        check_mask(layer, report)
        check_mask_values(layer, report)
    return replace(trace, layers=tuple(layers))


def check_mask(layer: LayerRecord, report: Report) -> None:
    """Check form and place of a layer's mask, patterns and groups, reading no values."""
    mask, patterns = layer.extra.get(PRUNING_MASK), layer.extra.get(PATTERNS)
    if mask is not None:
        shape = None if layer.weight is None else layer.weight.shape
        if mask.dtype != np.uint8 or mask.shape != shape:
            need = "no mask where there is no weight" if shape is None else f"uint8 of {shape}"
            report(fault_of(layer, PRUNING_MASK, need, f"{mask.dtype} of {mask.shape}"))
    check_groups(layer, report)
    if patterns is None:
        return
    window = None if layer.geometry is None else layer.geometry.kernel
    if layer.kind != "conv2d" or window is None or window[0] * window[1] > MAX_POSITIONS:
        need = f"patterns at a conv2d of at most {MAX_POSITIONS} positions only"
        report(fault_of(layer, PATTERNS, need, layer.kind if window is None else f"{window}"))
    elif patterns.dtype != np.uint32 or len(patterns.shape) != 1:
        need = "uint32 along one axis"
        report(fault_of(layer, PATTERNS, need, f"{patterns.dtype} of {patterns.shape}"))
    elif mask is None:
        report(fault_of(layer, PATTERNS, f"a {PRUNING_MASK} beside the patterns", "none"))


def check_mask_values(layer: LayerRecord, report: Report) -> None:
    """Check a layer's mask against its weights, patterns and groups; its form is in order."""
    found: list[Fault] = []
    check_mask(layer, found.append)
    if found or PRUNING_MASK not in layer.extra:
        return
    assert layer.weight is not None and layer.weight_quantization is not None
    mask, weight = layer.extra[PRUNING_MASK].read(), layer.weight.load(0, layer.weight.shape[0])
    if mask.size and mask.max() > 1:
        report(fault_of(layer, PRUNING_MASK, "0 and 1", f"{int(mask.max())}"))
        return
    zero = layer.weight_quantization.zero_point.reshape(-1, *[1] * (weight.ndim - 1))
    wrong = (mask == 0) & (weight != zero)
    if wrong.any():
        place = tuple(int(n) for n in np.argwhere(wrong)[0])
        need = "weights at their zero point where the mask is 0"
        others = int(np.count_nonzero(wrong)) - 1
        got = f"code {int(weight[place])} at {place}" + (f" and {others} others" if others else "")
        report(fault_of(layer, PRUNING_MASK, need, got))
    if PATTERNS in layer.extra:
        _check_patterns(layer, mask_codes(mask), layer.extra[PATTERNS].read(), report)
    if OVERLAP_GROUPS in layer.extra:
        check_group_values(layer, mask, report)


def _check_patterns(
    layer: LayerRecord, codes: MaskCodes, patterns: MaskCodes, report: Report
) -> None:
    assert layer.geometry is not None
    n_positions = layer.geometry.kernel[0] * layer.geometry.kernel[1]
    wide = patterns.astype(np.uint64)
    if (wide[1:] <= wide[:-1]).any() or ((wide == 0) | (wide >= 1 << n_positions)).any():
        need = f"ascending codes of {n_positions} bits, none of them 0"
        report(fault_of(layer, PATTERNS, need, ", ".join(str(p) for p in patterns[:16])))
        return
    uncovered = (codes != 0) & ~np.isin(codes, patterns)
    if uncovered.any():
        place = tuple(int(n) for n in np.argwhere(uncovered)[0])
        need = "conv kernels whose mask is 0 or one of the patterns"
        got = f"{int(codes[place]):#0{n_positions + 2}b} at {place}"
        report(fault_of(layer, PRUNING_MASK, need, got))


def _without_mask(layer: LayerRecord) -> dict[str, TensorRecord]:
    names = (PRUNING_MASK, PATTERNS, OVERLAP_GROUPS)
    return {name: tensor for name, tensor in layer.extra.items() if name not in names}


def _tensors(layer: LayerRecord, mask: LayerMask) -> dict[str, TensorRecord]:
    axes = "OIHW" if layer.weight is None else layer.weight.axes
    values = mask.mask
    if values.ndim != len(axes):
        raise TraceDataError(
            f"layer {layer.index} {layer.name!r}: need a mask with axes {axes}, got {values.shape}"
        )
    found = {PRUNING_MASK: TensorRecord.of(values, axes=axes, role=PRUNING_MASK, units="1")}
    if mask.patterns is not None:
        found[PATTERNS] = TensorRecord.of(mask.patterns, axes="P", role=PATTERNS, units="1")
    if mask.groups is not None:
        found[OVERLAP_GROUPS] = TensorRecord.of(
            mask.groups, axes="O", role=OVERLAP_GROUPS, units="1"
        )
    return found


def _need_window(height: int, width: int) -> int:
    if not 1 <= height * width <= MAX_POSITIONS:
        raise TraceDataError(
            f"mask codes: need a window of 1 to {MAX_POSITIONS} positions, got {height} x {width}"
        )
    return height * width
