"""The digital periphery: every layer kind in exact integer arithmetic, prepared once, run often.

This is what the logic beside the arrays computes, and what `integer` fidelity runs over whole test
sets. Tensors are held channels last in memory; results have the trace's shape (N, C, H, W) and
are views whose strides say so, so that the next layer reads them without a copy.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from bitpim.digital.accumulated import prepare_bilinear, prepare_multiply
from bitpim.digital.additions import prepare_add
from bitpim.digital.bounds import outside
from bitpim.digital.codes import need_affine_layer
from bitpim.digital.moves import MOVES, Rule, channels_first, channels_last
from bitpim.digital.requantize import layer_fault, mode_of, need_kind, steps_of, table_of_codes
from bitpim.digital.weighted import prepare_weighted
from bitpim.digital.windows import window_counts, window_of
from bitpim.errors import AccumulatorError
from bitpim.threads import share_out
from bitpim_kernels.integer import average_windows, look_up, maximum_windows
from bitpim_traces.numbers.affine import code_dtype
from bitpim_traces.operators import FUSED
from bitpim_traces.records import Geometry, LayerRecord, Quantization

__all__ = ["PreparedLayer", "need_digital", "prepare_layer"]

Codes = npt.NDArray[Any]
Prepared = tuple[Rule, bool]  # with it whether some input could leave the bounds of sums


@dataclass(frozen=True, slots=True)
class PreparedLayer:
    """A layer with its weights packed and its arithmetic chosen; holds no state between runs.

    `may_overflow` tells whether some input could make `run` raise AccumulatorError.
    """

    layer: LayerRecord
    input_quantizations: tuple[Quantization, ...]
    rule: Rule
    may_overflow: bool

    def run(self, inputs: Sequence[Codes]) -> Codes:
        """Return the output codes of a batch.

        Shapes
        ------
        inputs: (N, *layer.input_shapes[i]) each, in any memory order
        returns: (N, *layer.output_shape), int8/uint8 up to 8 bits, else int16/uint16; images lie
            channels last in memory

        Raises
        ------
        TraceDataError
            An input has the wrong shape, no integers, or a code beyond its width.
        AccumulatorError
            A sum leaves the declared accumulator or the range its requantize step is exact in.
        """
        layer = self.layer
        if len(inputs) != len(layer.inputs):
            raise layer_fault(layer, f"need {len(layer.inputs)} inputs, got {len(inputs)}")
        checked = []
        pairs = zip(inputs, layer.input_shapes, self.input_quantizations, strict=True)
        for codes, shape, quantization in pairs:
            if codes.shape != (inputs[0].shape[0], *shape):
                need = (inputs[0].shape[0], *shape)
                raise layer_fault(layer, f"need input codes of shape {need}, got {codes.shape}")
            checked.append(_as_codes(layer, codes, quantization))
        shape = (inputs[0].shape[0], *layer.output_shape)
        out = np.empty(_last(shape), code_dtype(layer.output))
        last = [channels_last(codes) for codes in checked]
        share_out(shape[0], lambda a, b: self.rule([codes[a:b] for codes in last], out[a:b]))
        return channels_first(out)


def prepare_layer(layer: LayerRecord, input_quantizations: Sequence[Quantization]) -> PreparedLayer:
    """Prepare a layer to run on any batch of codes.

    Raises
    ------
    MappingError
        No digital side has its kind, or it has to compute with codes of a codebook.
    TraceDataError
        Its numbers contradict each other.
    """
    need_kind(layer, _KINDS)
    prepare = _KINDS[layer.kind]
    if len(input_quantizations) != len(layer.inputs) or not layer.inputs:
        need, got = max(1, len(layer.inputs)), len(input_quantizations)
        raise layer_fault(layer, f"need quantizations of {need} inputs, got {got}")
    quantizations = tuple(input_quantizations)
    if layer.product_table is not None or layer.requantize is not None:
        need_affine_layer(layer, quantizations)
    return PreparedLayer(layer, quantizations, *prepare(layer, quantizations))


def need_digital(layer: LayerRecord) -> None:
    """Raise MappingError where no digital side has the kind of a layer."""
    need_kind(layer, _KINDS)


# --- memory order


def _last(shape: tuple[int, ...]) -> tuple[int, ...]:
    return (shape[0], shape[2], shape[3], shape[1]) if len(shape) == 4 else shape


def _as_codes(layer: LayerRecord, codes: Codes, quantization: Quantization) -> Codes:
    """Return codes in the dtype of their quantization; look at the values when it does not say."""
    held = code_dtype(quantization)
    low, high = quantization.code_min, quantization.code_max
    if codes.dtype.kind not in "iu":
        raise layer_fault(layer, f"need input codes of dtype {held}, got {codes.dtype}")
    full = np.iinfo(codes.dtype)
    if codes.size and (full.min < low or full.max > high):
        least, most = int(codes.min()), int(codes.max())
        if least < low or most > high:
            raise layer_fault(layer, f"need input codes {low}..{high}, got {least}..{most}")
    return codes.astype(held, copy=False)


# --- kinds: what to do with channels-last codes, decided once


def _weighted(layer: LayerRecord, quantizations: Sequence[Quantization]) -> Prepared:
    prepared = prepare_weighted(layer, quantizations[0])
    run = prepared.run if layer.kind == "conv2d" else prepared.run_rows
    return lambda inputs, out: run(inputs[0], out), prepared.steps.check


def _geometry(layer: LayerRecord) -> Geometry:
    if layer.geometry is None:
        raise layer_fault(layer, "need a geometry, got none")
    return layer.geometry


def _max_pool2d(layer: LayerRecord, quantizations: Sequence[Quantization]) -> Prepared:
    window = window_of(_geometry(layer), layer.input_shapes[0])
    lowest = quantizations[0].code_min

    def rule(inputs: Sequence[Codes], out: Codes) -> None:
        maximum_windows(inputs[0], window, lowest, out)

    return rule, False


def _avg_pool2d(layer: LayerRecord, quantizations: Sequence[Quantization]) -> Prepared:
    geometry = _geometry(layer)
    window = window_of(geometry, layer.input_shapes[0])
    counts = window_counts(geometry, layer.input_shapes[0])
    quantization = quantizations[0]
    zero = int(quantization.zero_point[0])
    n = window.n_taps
    if counts.min(initial=1) < 1:
        raise layer_fault(layer, "need windows that see at least one position, got an empty one")
    reach = np.arange(1, n + 1) * max(abs(quantization.code_min), abs(quantization.code_max), 1)
    reach += np.arange(1, n + 1) * abs(zero)
    if mode_of(layer).divides:
        assert layer.requantize is not None
        one = np.ones(1, np.int32)  # the mean itself needs no multiplier
        rule_of_mean = replace(layer.requantize, multiplier=one, shift=0 * one)
        steps = steps_of(layer, n, -reach, reach, rule_of_mean, scales=False)
    else:
        steps = steps_of(layer, n, -reach, reach)

    def rule(inputs: Sequence[Codes], out: Codes) -> None:
        acc = np.empty(out.shape[3], np.int64)
        fault = np.zeros(3, np.int64)
        average_windows(inputs[0], window, counts, zero, steps.kernel_steps, acc, out, fault)
        if fault[0]:
            raise outside(layer, steps.bounds, int(fault[2]), int(fault[1]))

    return rule, steps.check


def _leaves(safe: tuple[int, int], lowest: int, highest: int) -> bool:
    return lowest < safe[0] or highest > safe[1]


def _read_table(
    layer: LayerRecord, codes: Codes, lowest: int, table: Codes, safe: tuple[int, int]
) -> Callable[[Codes, int], None]:
    """Return a function that writes codes, by table, into columns of a matrix."""
    if _leaves(safe, lowest, lowest + table.size - 1):
        least, most = int(codes.min(initial=safe[0])), int(codes.max(initial=safe[0]))
        if least < safe[0] or most > safe[1]:
            raise AccumulatorError(
                f"layer {layer.index} {layer.name!r} ({layer.kind}): need codes within {safe[0]}.."
                f"{safe[1]} for an exact requantize step, got {least}..{most}; use a smaller shift"
            )
    return lambda out, at: look_up(codes, lowest, table, at, out)


def _concat(layer: LayerRecord, quantizations: Sequence[Quantization]) -> Prepared:
    axis = layer.params.integer("concat_axis") + 1
    if len(layer.output_shape) == 3:
        axis = (3, 1, 2)[axis - 1]  # of channels-last arrays
    tables = [table_of_codes(layer, q, i) for i, q in enumerate(quantizations)]

    def rule(inputs: Sequence[Codes], out: Codes) -> None:
        n_rows = int(np.prod(out.shape[:axis], dtype=np.int64))
        n_columns = int(np.prod(out.shape[axis:], dtype=np.int64))
        matrix, at = out.reshape(n_rows, n_columns), 0
        for codes, quantization, (table, safe) in zip(inputs, quantizations, tables, strict=True):
            width = int(np.prod(codes.shape[axis:], dtype=np.int64))
            rows = codes.reshape(n_rows, width)
            _read_table(layer, rows, quantization.code_min, table, safe)(matrix, at)
            at += width

    pairs = zip(quantizations, tables, strict=True)
    return rule, any(_leaves(safe, q.code_min, q.code_max) for q, (_, safe) in pairs)


def _activation(layer: LayerRecord, quantizations: Sequence[Quantization]) -> Prepared:
    quantization = quantizations[0]
    table, safe = table_of_codes(layer, quantization, 0)
    if layer.table is not None:
        if layer.table.shape[-1:] != table.shape:
            got = f"shape {layer.table.shape}"
            raise layer_fault(layer, f"need a table of {table.size} codes, got {got}")
        table = np.ascontiguousarray(layer.table.read()).astype(table.dtype)
        safe = (quantization.code_min, quantization.code_max)
        if table.ndim == 2:
            return _tables_by_channel(table, quantization.code_min), False
    elif layer.activation not in FUSED:
        raise layer_fault(layer, f"need a table of {table.size} codes, got none")

    def rule(inputs: Sequence[Codes], out: Codes) -> None:
        (codes,) = inputs
        n_rows = codes.shape[0] * (codes.shape[1] if codes.ndim == 4 else 1)
        width = int(np.prod(codes.shape, dtype=np.int64)) // max(1, n_rows)
        rows = codes.reshape(n_rows, width)
        _read_table(layer, rows, quantization.code_min, table, safe)(out.reshape(n_rows, width), 0)

    return rule, _leaves(safe, quantization.code_min, quantization.code_max)


def _tables_by_channel(tables: Codes, lowest: int) -> Rule:
    """Look each channel's codes up in a row of its own."""
    n_channels, n_codes = tables.shape

    def rule(inputs: Sequence[Codes], out: Codes) -> None:
        (codes,) = inputs
        at = 3 if codes.ndim == 4 else 1  # the axis of channels
        first = np.arange(n_channels) * n_codes - lowest
        places = codes + first.reshape(-1, *(1,) * (codes.ndim - 1 - at))
        np.take(tables.reshape(-1), places, out=out)

    return rule


def _constant(layer: LayerRecord, quantizations: Sequence[Quantization]) -> Prepared:
    if "values" not in layer.tensors:
        raise layer_fault(layer, "need values, got none")
    values = channels_last(layer.tensors["values"].read()[None])

    def rule(inputs: Sequence[Codes], out: Codes) -> None:
        out[...] = values

    return rule, False


def _moved(layer: LayerRecord, quantizations: Sequence[Quantization]) -> Prepared:
    return MOVES[layer.kind](layer, quantizations), False


_KINDS: dict[str, Callable[[LayerRecord, Sequence[Quantization]], Prepared]] = {
    "conv2d": _weighted,
    "linear": _weighted,
    "max_pool2d": _max_pool2d,
    "avg_pool2d": _avg_pool2d,
    "add": prepare_add,
    "multiply": prepare_multiply,
    "resize_bilinear": prepare_bilinear,
    "concat": _concat,
    "constant": _constant,
    "activation": _activation,
    **dict.fromkeys(MOVES, _moved),
}
