"""Elementwise addition of codes with different scales, in each requantize mode."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from bitpim.digital.bounds import outside
from bitpim.digital.modes import FIXED_POINT_HALF_AWAY
from bitpim.digital.requantize import RequantizeSteps, layer_fault, mode_of, steps_of
from bitpim.errors import AccumulatorError
from bitpim_kernels.integer import ADD_BLOCK, add_float, add_integer
from bitpim_kernels.requantize import fixed_point
from bitpim_traces.records import LayerRecord, Quantization, Requantize

__all__ = ["prepare_add"]

Codes = npt.NDArray[Any]
Rule = Callable[[Sequence[Codes], Codes], None]


def prepare_add(layer: LayerRecord, quantizations: Sequence[Quantization]) -> tuple[Rule, bool]:
    """Return what writes the sum of codes; axes of length 1 are repeated.

    With it whether some input could leave the bounds of sums.

    Raises
    ------
    TraceDataError
        The layer has no requantize step of a known mode, or one whose entries do not match its
        inputs.
    """
    prepare = _prepare_float if mode_of(layer).is_float else _prepare_integer
    assert layer.requantize is not None
    return prepare(layer, layer.requantize, quantizations)


def _flat(inputs: Sequence[Codes], shape: tuple[int, ...]) -> tuple[Codes, ...]:
    """Return the inputs as rows of one dtype, so that a kernel can index them.

    Axes of length 1 are repeated to the shape of the output.
    """
    dtype = inputs[0].dtype
    if any(codes.dtype != dtype for codes in inputs):
        dtype = np.dtype(np.int32)
    whole = (c if c.shape == shape else np.broadcast_to(c, shape).copy() for c in inputs)
    return tuple(codes.astype(dtype, copy=False).reshape(codes.size) for codes in whole)


@np.errstate(over="ignore")  # infinities saturate
def _prepare_float(
    layer: LayerRecord, rule: Requantize, quantizations: Sequence[Quantization]
) -> tuple[Rule, bool]:
    if rule.scale is None or rule.scale.shape != (len(quantizations),):
        raise layer_fault(layer, f"need {len(quantizations)} scales, got {rule.scale}")
    scales = rule.scale.astype(np.float64)
    zeros = np.float32(0)
    for scale, quantization in zip(scales[::-1], quantizations[::-1], strict=True):
        zeros = np.float32(scale * int(quantization.zero_point[0]) + np.float64(zeros))
    start = np.float32(int(layer.output.zero_point[0])) - zeros
    clamp = (int(layer.clamp[0]), int(layer.clamp[1]))

    def add(inputs: Sequence[Codes], out: Codes) -> None:
        total = np.empty(ADD_BLOCK, np.float32)
        add_float(_flat(inputs, out.shape), scales, start, clamp, total, out.reshape(out.size))

    return add, False


def _prepare_integer(
    layer: LayerRecord, rule: Requantize, quantizations: Sequence[Quantization]
) -> tuple[Rule, bool]:
    n = len(quantizations)
    rounds_terms = mode_of(layer).rounds_terms
    if not rounds_terms and rule.shift is not None and rule.shift.shape != (1,):
        raise layer_fault(layer, f"need one common shift, got shape {rule.shift.shape}")
    zeros = np.array([int(q.zero_point[0]) for q in quantizations], np.int64)
    least = np.array([q.code_min for q in quantizations]) - zeros
    most = np.array([q.code_max for q in quantizations]) - zeros
    left = rule.left_shift if rounds_terms else 0
    terms = steps_of(layer, n, least << left, most << left, rule, 64)
    if rounds_terms:
        last = Requantize(
            rule.mode,
            multiplier=np.array([rule.output_multiplier], np.int32),
            shift=np.array([rule.output_shift], np.int32),
        )
    else:
        one = np.ones(1, np.int32)
        last = Requantize(rule.mode, multiplier=one, shift=rule.shift)
    ends = (_sum_of_terms(terms, end << left) for end in (least, most))
    lowest, highest = (np.full(ADD_BLOCK, end) for end in ends)
    steps = steps_of(layer, ADD_BLOCK, lowest, highest, last, 64)

    def add(inputs: Sequence[Codes], out: Codes) -> None:
        if terms.check:
            _check_terms(
                layer, inputs, zeros, left, terms.kernel_steps.low, terms.kernel_steps.high
            )
        total = np.empty(ADD_BLOCK, np.int64)
        fault = np.zeros(3 if steps.check else 0, np.int64)
        add_integer(
            _flat(inputs, out.shape),
            zeros,
            terms.kernel_steps,
            left,
            steps.kernel_steps,
            total,
            out.reshape(out.size),
            fault,
        )
        if fault.any():
            raise outside(layer, steps.bounds, int(fault[2]))

    return add, terms.check or steps.check


def _sum_of_terms(terms: RequantizeSteps, codes: npt.NDArray[np.int64]) -> int:
    """Return the sum of scaled codes; no larger code of any input makes it smaller."""
    steps = terms.kernel_steps
    if steps.mode != FIXED_POINT_HALF_AWAY.kernel_code:
        return int(codes @ steps.multiplier.astype(np.int64))
    held = np.clip(codes, steps.low, steps.high)  # those beyond are refused
    triples = zip(held, steps.multiplier, steps.shift, strict=True)
    return sum(int(fixed_point(code, multiplier, shift)) for code, multiplier, shift in triples)


def _check_terms(
    layer: LayerRecord,
    inputs: Sequence[Codes],
    zeros: npt.NDArray[np.int64],
    left: int,
    low: npt.NDArray[np.int64],
    high: npt.NDArray[np.int64],
) -> None:
    """Raise when a code that really occurs leaves the range its scaling is exact in."""
    for i, codes in enumerate(inputs):
        if codes.size:
            ends = [(int(end) - int(zeros[i])) << left for end in (codes.min(), codes.max())]
            if ends[0] < low[i] or ends[1] > high[i]:
                raise AccumulatorError(
                    f"layer {layer.index} {layer.name!r} ({layer.kind}): need terms within "
                    f"{low[i]}..{high[i]}, got {ends[0]}..{ends[1]} from input {i}; "
                    "use a smaller left_shift"
                )
