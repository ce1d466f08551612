"""What every layer of a builder goes through: names, shapes, steps; and the trace itself."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from bitpim_traces import builder_checks as checks
from bitpim_traces.builder_parts import Activation, References
from bitpim_traces.codebook import ProductTable
from bitpim_traces.errors import TraceDataError
from bitpim_traces.file_bounds import MAX_BITS
from bitpim_traces.network import FloatLayer, infer_shape
from bitpim_traces.numbers.affine import code_dtype
from bitpim_traces.operators import OPERATORS
from bitpim_traces.records import (
    CLIPS,
    NETWORK_INPUT,
    LayerRecord,
    Quantization,
    Requantize,
    Samples,
    TensorRecord,
    Trace,
    axes_of,
)

__all__ = ["BuilderCore", "Mode", "Shape", "mode_name", "where_of"]

Shape = tuple[int, ...]
Mode = str | Requantize | None


class BuilderCore:
    """The layers so far, and what each new one is checked for."""

    def __init__(
        self,
        name: str,
        input_shape: Shape,
        input_quantization: Quantization,
        *,
        requantize: str = "half_up_shift",
        multiplier_bits: int = 16,
        accumulator_bits: int = 32,
    ) -> None:
        checks.need_mode(f"trace {name}", requantize)
        checks.need_quantization(f"trace {name}: input", input_quantization)
        checks.need_per_tensor(f"trace {name}: input", input_quantization)
        if not 2 <= accumulator_bits <= 64:
            raise TraceDataError(
                f"trace {name}: need accumulator_bits from 2 to 64, got {accumulator_bits}"
            )
        self.name = name
        self.input_shape = tuple(input_shape)
        self.input_quantization = input_quantization
        self.requantize = requantize
        self.multiplier_bits = multiplier_bits
        self.accumulator_bits = accumulator_bits
        self.layers: list[LayerRecord] = []

    def build(
        self,
        codes: npt.NDArray[np.integer],
        *,
        labels: npt.NDArray[np.integer] | None = None,
        dataset: str = "",
        references: References | None = None,
        n_references: int = 0,
        provenance: Mapping[str, Any] | None = None,
    ) -> Trace:
        """Yield the trace of the layers so far, with sample codes (n_samples, *input_shape).

        `references` gives float outputs of the first `n_references` samples by layer index; as a
        mapping it tells their number itself.
        """
        where = f"trace {self.name}"
        if not self.layers:
            raise TraceDataError(f"{where}: need at least one layer, got none")
        if codes.shape[1:] != self.input_shape:
            raise TraceDataError(
                f"{where}: need sample codes of shape (n, {self.input_shape}), got {codes.shape}"
            )
        checks.need_codes(f"{where}: samples", codes, self.input_quantization)
        stored = np.ascontiguousarray(codes, dtype=code_dtype(self.input_quantization))
        samples = Samples(
            TensorRecord.of(stored, axes=axes_of(codes.ndim), role="codes"),
            self.input_quantization,
            checks.checked_labels(where, labels, codes.shape[0]),
            dataset,
        )
        layers = [
            checks.with_reference(layer, references, n_references, codes.shape[0])
            for layer in self.layers
        ]
        return Trace(self.name, tuple(layers), samples, dict(provenance or {}))

    def shape(self, index: int) -> Shape:
        """Shape without batch of a layer's output, or of the network input."""
        return self.input_shape if index == NETWORK_INPUT else self.layers[index].output_shape

    def quantization(self, index: int) -> Quantization:
        """Quantization of a layer's output, or of the network input."""
        if index == NETWORK_INPUT:
            return self.input_quantization
        if not 0 <= index < len(self.layers):
            raise TraceDataError(
                f"trace {self.name}: need an input from -1 to {len(self.layers) - 1}, got {index}"
            )
        return self.layers[index].output

    def _sketch(
        self,
        sketch: FloatLayer,
        output: Quantization,
        activation: Activation,
        table: ProductTable | None = None,
    ) -> LayerRecord:
        """Check a layer's shape and quantization; yield its record without numbers.

        One whose product table has points may have any activation.
        """
        index = len(self.layers)
        where = f"layer {index} {sketch.name!r} ({sketch.kind})"
        if not sketch.name or any(layer.name == sketch.name for layer in self.layers):
            raise TraceDataError(f"{where}: need a name that no other layer has")
        operator = OPERATORS.get(sketch.kind)
        by_points = table is not None and table.points is not None
        if activation.kind not in CLIPS and not (by_points or (operator and operator.tables)):
            raise TraceDataError(f"{where}: {activation.kind} is a layer of its own; use lookup")
        for i in sketch.inputs:
            width = self.quantization(i).bits  # the index is known
            if width > MAX_BITS:
                raise TraceDataError(
                    f"{where}: need inputs of at most {MAX_BITS} bits, got the {width} bits of"
                    f" layer {self.layers[i].name!r}; give that layer narrower codes"
                )
        most_bits = self.accumulator_bits if operator and operator.has_weight else MAX_BITS
        checks.need_quantization(f"{where}: output", output, max(most_bits, MAX_BITS))
        checks.need_per_tensor(f"{where}: output", output)
        clamped = replace(sketch, activation=activation.kind, clamp=activation.clamp)
        plain = activation.kind in CLIPS or not by_points
        sketch = clamped if plain else replace(sketch, activation="none")
        input_shapes = tuple(self.shape(i) for i in sketch.inputs)
        return LayerRecord(
            index=index,
            name=sketch.name,
            kind=sketch.kind,
            inputs=sketch.inputs,
            input_shapes=input_shapes,
            output_shape=infer_shape(sketch, list(input_shapes), index),
            output=output,
            geometry=sketch.geometry,
            activation=activation.kind,
            clamp=checks.code_clamp(sketch.clamp_range, output),
            accumulator_bits=self.accumulator_bits,
            params=sketch.params,
        )

    def _step(
        self,
        where: str,
        requantize: Mode,
        derive: Callable[[str], Requantize],
        n_entries: tuple[int, ...],
        *,
        shared_shift: bool = False,
    ) -> Requantize:
        """Take the given step, or derive it in the given or usual mode; check it."""
        mode = mode_name(requantize, self.requantize)
        checks.need_mode(where, mode)
        step = requantize if isinstance(requantize, Requantize) else derive(mode)
        checks.need_step(where, step, n_entries, shared_shift=shared_shift)
        return step

    def _append(self, record: LayerRecord) -> int:
        self.layers.append(record)
        return record.index


def mode_name(requantize: Mode, usual: str) -> str:
    """Name the mode that was given, or the usual one."""
    if isinstance(requantize, Requantize):
        return requantize.mode
    return usual if requantize is None else requantize


def where_of(record: LayerRecord) -> str:
    """Name a layer, for messages."""
    return f"layer {record.index} {record.name!r} ({record.kind})"
