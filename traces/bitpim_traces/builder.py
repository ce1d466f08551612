"""Make a trace from codes that were decided elsewhere; given codes are never quantized again.

A `TraceBuilder` appends layers one by one; every method yields the index by which later layers
name the result. Each call checks shapes, ranges, scales and that sums fit their accumulator, so
what `build` yields is consistent.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from bitpim_traces import builder_checks as checks
from bitpim_traces.builder_parts import (
    NO_ACTIVATION,
    Activation,
    References,
    WeightCodes,
    activation_table,
    float_tensor,
    float_weight,
    quantization_of,
    shape_only,
)
from bitpim_traces.errors import TraceDataError
from bitpim_traces.modes import mode_named
from bitpim_traces.network import FloatLayer, infer_shape
from bitpim_traces.numbers.accumulator import (
    add_bounds,
    bits_needed,
    centred_ends,
    dot_bounds,
    need_fit,
    need_fixed_point_fit,
)
from bitpim_traces.numbers.affine import code_dtype, same_quantization
from bitpim_traces.numbers.multiplier import (
    add_requantize,
    average_requantize,
    concat_requantize,
    dot_requantize,
)
from bitpim_traces.operators import OPERATORS
from bitpim_traces.records import (
    NETWORK_INPUT,
    Geometry,
    LayerRecord,
    Params,
    Quantization,
    Requantize,
    Samples,
    TensorRecord,
    Trace,
)

__all__ = ["Activation", "References", "TraceBuilder", "WeightCodes", "quantization_of"]

Shape = tuple[int, ...]
Mode = str | Requantize | None


class TraceBuilder:
    """Appends layers of given codes and yields the trace.

    Parameters
    ----------
    name
        Name of the network.
    input_shape
        (C, H, W) or (C,), without the batch axis.
    input_quantization
        What the sample codes mean.
    requantize
        Mode of layers that name none. Multipliers are derived from the scales; a method given a
        whole `Requantize` instead of a mode keeps its numbers.
    multiplier_bits
        Width of derived multipliers in the shift modes.
    accumulator_bits
        Width every sum is proven to fit.
    """

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

    # --- layers with weights

    def conv2d(
        self,
        name: str,
        source: int,
        weight: WeightCodes,
        output: Quantization,
        geometry: Geometry,
        *,
        activation: Activation = NO_ACTIVATION,
        requantize: Mode = None,
    ) -> int:
        """Append a convolution; depthwise is groups = channels."""
        sketch = FloatLayer(name, "conv2d", (source,), geometry, shape_only(weight))
        return self._dot(sketch, weight, output, activation, requantize)

    def linear(
        self,
        name: str,
        source: int,
        weight: WeightCodes,
        output: Quantization,
        *,
        activation: Activation = NO_ACTIVATION,
        requantize: Mode = None,
    ) -> int:
        """Append a linear layer over (C,) inputs."""
        sketch = FloatLayer(name, "linear", (source,), weight=shape_only(weight))
        return self._dot(sketch, weight, output, activation, requantize)

    def _dot(
        self,
        sketch: FloatLayer,
        weight: WeightCodes,
        output: Quantization,
        activation: Activation,
        requantize: Mode,
    ) -> int:
        record = self._sketch(sketch, output, activation)
        where, source = _where(record), self.quantization(record.inputs[0])
        checks.need_weight(where, weight.codes, weight.quantization)
        bias = checks.checked_bias(
            where, weight.bias, weight.codes.shape[0], wide=self.accumulator_bits > 32
        )
        real_bias_scale = float(source.scale[0]) * weight.quantization.scale
        if weight.bias_scale is not None:
            checks.need_bias_scale(where, weight.bias_scale, real_bias_scale)
        bounds = dot_bounds(weight.codes, weight.quantization, source, bias)
        need_fit(where, bounds, self.accumulator_bits)
        step = self._step(
            where,
            requantize,
            lambda mode: dot_requantize(
                mode,
                float(source.scale[0]),
                weight.quantization.scale,
                float(output.scale[0]),
                multiplier_bits=self.multiplier_bits,
                accumulator_bits=self.accumulator_bits,
            ),
            (1, weight.codes.shape[0]),
        )
        need_fixed_point_fit(where, bounds, step)
        checks.need_product_fit(where, bounds, step)
        bias_float = weight.bias_float
        if bias is not None and bias_float is None:
            bias_float = (bias * real_bias_scale).astype(np.float32)
        axes = "OIHW" if record.kind == "conv2d" else "OI"
        codes = np.ascontiguousarray(weight.codes, dtype=code_dtype(weight.quantization))
        return self._append(
            replace(
                record,
                requantize=step,
                pad_code=int(source.zero_point[0]),
                weight=TensorRecord.of(codes, axes=axes, role="weight"),
                weight_quantization=weight.quantization,
                bias=None if bias is None else TensorRecord.of(bias, axes="O", role="bias"),
                weight_float=float_weight(weight, codes, axes),
                bias_float=float_tensor(bias_float, "O", "bias_float"),
            )
        )

    # --- layers that keep the quantization of their input

    def max_pool2d(self, name: str, source: int, geometry: Geometry) -> int:
        """Append a max pooling; a strided selection is one with a 1 x 1 window."""
        return self.keep(FloatLayer(name, "max_pool2d", (source,), geometry))

    def flatten(self, name: str, source: int) -> int:
        """Append a reshape to one axis, C order."""
        return self.keep(FloatLayer(name, "flatten", (source,)))

    def pad(self, name: str, source: int, pads: tuple[int, ...]) -> int:
        """Append real zeros: (front, back, top, bottom, left, right)."""
        return self.keep(FloatLayer(name, "pad", (source,), params=Params(pads=pads)))

    def clip(self, name: str, source: int, activation: Activation) -> int:
        """Append a relu, relu6 or clamp as a layer of its own."""
        kind, clamp = activation.kind, activation.clamp
        sketch = FloatLayer(name, "activation", (source,), activation=kind, clamp=clamp)
        if kind in ("sigmoid", "tanh"):
            raise TraceDataError(f"layer {name}: {kind} needs a table; use lookup")
        return self._append(self._sketch(sketch, self.quantization(source), activation))

    def keep(self, sketch: FloatLayer) -> int:
        """Append a layer of any kind whose output codes mean what those of its input mean."""
        operator = OPERATORS.get(sketch.kind)
        if operator is None or not operator.keeps_codes:
            kinds = ", ".join(kind for kind, found in OPERATORS.items() if found.keeps_codes)
            raise TraceDataError(f"layer {sketch.name}: need one of {kinds}, got {sketch.kind!r}")
        quantization = self.quantization(sketch.inputs[0] if sketch.inputs else NETWORK_INPUT)
        record = self._sketch(sketch, quantization, NO_ACTIVATION)
        lowest = operator.pads_with == "lowest code"
        pad_code = quantization.code_min if lowest else int(quantization.zero_point[0])
        return self._append(replace(record, pad_code=pad_code))

    # --- layers that rescale

    def avg_pool2d(
        self,
        name: str,
        source: int,
        geometry: Geometry,
        *,
        output: Quantization | None = None,
        activation: Activation = NO_ACTIVATION,
        requantize: Mode = None,
    ) -> int:
        """Append an average pooling; without `output` the quantization of the input is kept."""
        before = self.quantization(source)
        output = before if output is None else output
        sketch = FloatLayer(name, "avg_pool2d", (source,), geometry)
        record = self._sketch(sketch, output, activation)
        where, n_elements = _where(record), geometry.kernel[0] * geometry.kernel[1]
        step = self._step(
            where,
            requantize,
            lambda mode: average_requantize(
                mode,
                float(before.scale[0]),
                float(output.scale[0]),
                n_elements,
                multiplier_bits=self.multiplier_bits,
                accumulator_bits=self.accumulator_bits,
            ),
            (0,) if mode_named(_mode(requantize, self.requantize)).divides else (n_elements,),
        )
        low, high = centred_ends(before)
        if step.rule.divides:
            low, high = before.code_min, before.code_max  # TFLite sums raw codes
            if not same_quantization(before, output):
                raise TraceDataError(
                    f"{where}: {step.mode} needs input and output quantized alike; leave out output"
                )
        bounds = np.array([n_elements * low]), np.array([n_elements * high])
        need_fit(where, bounds, self.accumulator_bits)
        checks.need_product_fit(where, bounds, step)
        return self._append(replace(record, requantize=step, pad_code=int(before.zero_point[0])))

    def add(
        self,
        name: str,
        sources: Sequence[int],
        output: Quantization,
        *,
        activation: Activation = NO_ACTIVATION,
        requantize: Mode = None,
    ) -> int:
        """Append an element-wise sum of inputs of any scales."""
        record = self._sketch(FloatLayer(name, "add", tuple(sources)), output, activation)
        where, inputs = _where(record), [self.quantization(i) for i in sources]
        step = self._step(
            where,
            requantize,
            lambda mode: add_requantize(
                mode,
                inputs,
                output,
                multiplier_bits=self.multiplier_bits,
                accumulator_bits=self.accumulator_bits,
            ),
            (len(inputs),),
            shared_shift=True,
        )
        if step.rule.one_shift_for_terms and step.multiplier is not None:
            bounds = add_bounds(inputs, [int(m) for m in step.multiplier])
            need_fit(where, bounds, self.accumulator_bits)
        if step.rule.rounds_terms:
            width = max(bits_needed(add_bounds([q], [1])) for q in inputs) + step.left_shift
            if width > 32:
                raise TraceDataError(
                    f"{where}: need inputs shifted left by {step.left_shift} to fit 32 bits,"
                    f" got {width}; lower left_shift"
                )
        return self._append(replace(record, requantize=step))

    def concat(
        self,
        name: str,
        sources: Sequence[int],
        *,
        axis: int = 0,
        output: Quantization | None = None,
        activation: Activation = NO_ACTIVATION,
        requantize: Mode = None,
    ) -> int:
        """Append a concatenation; without `output` the first input's quantization is kept."""
        inputs = [self.quantization(i) for i in sources]
        output = output or (inputs[0] if inputs else self.input_quantization)
        sketch = FloatLayer(name, "concat", tuple(sources), params=Params(concat_axis=axis))
        record = self._sketch(sketch, output, activation)
        if all(same_quantization(q, output) for q in inputs) and not isinstance(
            requantize, Requantize
        ):
            return self._append(record)
        step = self._step(
            _where(record),
            requantize,
            lambda mode: concat_requantize(
                mode, inputs, output, multiplier_bits=self.multiplier_bits
            ),
            (len(inputs),),
        )
        return self._append(replace(record, requantize=step))

    def lookup(
        self,
        name: str,
        source: int,
        kind: str,
        output: Quantization,
        *,
        table: npt.NDArray[np.integer] | None = None,
    ) -> int:
        """Append a sigmoid or tanh; without `table` (output code by input code - code_min) the
        function's values are encoded."""
        if kind not in ("sigmoid", "tanh"):
            raise TraceDataError(f"layer {name}: need sigmoid or tanh, got {kind!r}")
        before = self.quantization(source)
        sketch = FloatLayer(name, "activation", (source,), activation=kind)
        record = self._sketch(sketch, output, Activation(kind))
        if table is None:
            table = activation_table(kind, before, output)
        checks.need_codes(f"{_where(record)}: table", table, output)
        if table.shape != (1 << before.bits,):
            raise TraceDataError(
                f"{_where(record)}: need a table of {1 << before.bits} codes, got {table.shape}"
            )
        stored = TensorRecord.of(table.astype(code_dtype(output)), axes="K", role="table")
        return self._append(replace(record, table=stored))

    # --- the trace

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
            TensorRecord.of(stored, axes="NCHW"[: codes.ndim], role="codes"),
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

    # --- common steps

    def _sketch(
        self, sketch: FloatLayer, output: Quantization, activation: Activation
    ) -> LayerRecord:
        """Check a layer's shape and quantization; yield its record without numbers."""
        index = len(self.layers)
        where = f"layer {index} {sketch.name!r} ({sketch.kind})"
        if not sketch.name or any(layer.name == sketch.name for layer in self.layers):
            raise TraceDataError(f"{where}: need a name that no other layer has")
        if activation.kind in ("sigmoid", "tanh") and sketch.kind != "activation":
            raise TraceDataError(f"{where}: {activation.kind} is a layer of its own; use lookup")
        checks.need_quantization(f"{where}: output", output)
        checks.need_per_tensor(f"{where}: output", output)
        sketch = replace(sketch, activation=activation.kind, clamp=activation.clamp)
        for i in sketch.inputs:
            self.quantization(i)  # the index is known
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
        mode = _mode(requantize, self.requantize)
        checks.need_mode(where, mode)
        step = requantize if isinstance(requantize, Requantize) else derive(mode)
        checks.need_step(where, step, n_entries, shared_shift=shared_shift)
        return step

    def _append(self, record: LayerRecord) -> int:
        self.layers.append(record)
        return record.index


def _mode(requantize: Mode, usual: str) -> str:
    if isinstance(requantize, Requantize):
        return requantize.mode
    return usual if requantize is None else requantize


def _where(record: LayerRecord) -> str:
    return f"layer {record.index} {record.name!r} ({record.kind})"
