"""Requantize steps of a layer, with the bounds inside which they are exact."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from bitpim.digital.bounds import Bounds, outside
from bitpim.digital.modes import FLOAT_SCALE_HALF_EVEN, MODES, Mode
from bitpim.errors import MappingError, TraceDataError
from bitpim_kernels.requantize import Steps, requantize_channels
from bitpim_traces.numbers.affine import code_dtype
from bitpim_traces.records import LayerRecord, Quantization, Requantize

__all__ = [
    "RequantizeSteps",
    "layer_fault",
    "mode_of",
    "need_kind",
    "raise_if_outside",
    "steps_of",
    "table_of_codes",
]

Codes = npt.NDArray[Any]
Int64 = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class RequantizeSteps:
    """Steps as a kernel takes them, and what its sums may be."""

    kernel_steps: Steps
    bounds: Bounds

    @property
    def check(self) -> bool:
        """False when no input can leave the bounds."""
        return self.bounds.can_be_left


def layer_fault(layer: LayerRecord, text: str) -> TraceDataError:
    """Return the error of a layer whose numbers contradict each other."""
    where = f"layer {layer.index} {layer.name!r} ({layer.kind})"
    return TraceDataError(f"{where}: {text}; mend the trace")


def need_kind(layer: LayerRecord, kinds: Iterable[str]) -> None:
    """Raise MappingError where a machine has no code for the kind of a layer."""
    known = sorted(kinds)
    if layer.kind not in known:
        where = f"layer {layer.index} {layer.name!r} ({layer.kind})"
        raise MappingError(
            f"{where}: need a kind that this machine runs, {', '.join(known)}, got {layer.kind!r}; "
            "use another machine, or export the network without it"
        )


def mode_of(layer: LayerRecord, step: Requantize | None = None) -> Mode:
    """Return the mode of a layer's requantize step, or of another step.

    Raises
    ------
    TraceDataError
        The layer has no requantize step, or one of an unknown mode.
    """
    step = layer.requantize if step is None else step
    if step is None or step.mode not in MODES:
        got = "none" if step is None else repr(step.mode)
        raise layer_fault(layer, f"need a requantize step of {', '.join(MODES)}, got {got}")
    return MODES[step.mode]


def steps_of(
    layer: LayerRecord,
    n: int,
    lowest: Codes,
    highest: Codes,
    rule: Requantize | None = None,
    accumulator_bits: int | None = None,
    *,
    scales: bool = True,
) -> RequantizeSteps:
    """Spread the layer's requantize step over n entries; bound the accumulators of each.

    `lowest` and `highest` are what the accumulators can reach, proven from the weights: int64, or
    Python integers where int64 may not hold them. `rule` replaces the layer's own,
    `accumulator_bits` its declared width. Without `scales` sums are only divided, which is exact
    for all of them.

    Raises
    ------
    TraceDataError
        The layer has no requantize step, an unknown mode, or entries that are no 1 and no n.
    """
    mode = mode_of(layer, rule)
    rule = layer.requantize if rule is None else rule
    assert rule is not None
    bits = layer.accumulator_bits if accumulator_bits is None else accumulator_bits
    zeros = np.zeros(n, np.int32)
    if mode.is_float:
        multiplier, shift = zeros, zeros
        scale = _spread(layer, "scale", rule.scale, n, np.dtype(np.float32))
    else:
        multiplier = _spread(layer, "multiplier", rule.multiplier, n, np.dtype(np.int32))
        shift = _spread(layer, "shift", rule.shift, n, np.dtype(np.int32))
        scale = zeros.astype(np.float32)
    exact = mode.exact if scales else FLOAT_SCALE_HALF_EVEN.exact
    low, high = exact(multiplier, shift)
    low, high = np.maximum(low, -(1 << (bits - 1))), np.minimum(high, (1 << (bits - 1)) - 1)
    bounds = Bounds(low, high, lowest, highest)
    zero = int(layer.output.zero_point[0])
    clamp = (int(layer.clamp[0]), int(layer.clamp[1]))
    steps = Steps(mode.kernel_code, multiplier, shift, scale, zero, *clamp, *bounds.wrapped)
    return RequantizeSteps(steps, bounds)


def raise_if_outside(layer: LayerRecord, steps: RequantizeSteps, fault: Int64) -> None:
    """Raise where a kernel noted an accumulator of a channel out of bounds.

    Raises
    ------
    AccumulatorError
        A sum left the declared accumulator, or the range its requantize step is exact in.
    """
    if fault.any():
        channel = int(fault[1])
        raise outside(layer, steps.bounds, steps.bounds.unwrapped(channel, int(fault[2])), channel)


def table_of_codes(
    layer: LayerRecord, quantization: Quantization, entry: int
) -> tuple[Codes, tuple[int, int]]:
    """Return the output code of every input code, for a layer that works code by code.

    With it the lowest and highest input code for which its requantize step is exact.

    Shapes
    ------
    returns: (code_max - code_min + 1,)
    """
    codes = np.arange(quantization.code_min, quantization.code_max + 1)
    dtype = code_dtype(layer.output)
    rule = layer.requantize
    if rule is None:
        return np.clip(codes, *layer.clamp).astype(dtype), (int(codes[0]), int(codes[-1]))
    own = Requantize(
        rule.mode,
        multiplier=_entry(rule.multiplier, entry),
        shift=_entry(rule.shift, entry),
        scale=_entry(rule.scale, entry),
    )
    zero = int(quantization.zero_point[0])
    centred = codes - zero
    steps = steps_of(layer, codes.size, centred, centred, own, 64).kernel_steps
    low, high = int(steps.low[0]), int(steps.high[0])
    out = np.empty(codes.size, dtype)
    requantize_channels(np.clip(centred, low, high), 0, codes.size, steps, 0, out)
    return out, (max(low + zero, int(codes[0])), min(high + zero, int(codes[-1])))


def _entry(values: npt.NDArray[Any] | None, entry: int) -> npt.NDArray[Any] | None:
    return None if values is None else values[entry : entry + 1]


def _spread(
    layer: LayerRecord, name: str, values: npt.NDArray[Any] | None, n: int, dtype: np.dtype[Any]
) -> npt.NDArray[Any]:
    if values is None or values.shape not in ((1,), (n,)):
        got = "none" if values is None else f"shape {values.shape}"
        raise layer_fault(layer, f"need requantize {name} with 1 or {n} entries, got {got}")
    spread = np.empty(n, dtype)  # always writable: read-only arrays would be kernels of their own
    spread[:] = values
    return spread
