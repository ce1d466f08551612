"""Make a trace from codes that were decided elsewhere; given codes are never quantized again.

A `TraceBuilder` appends layers one by one; every method yields the index by which later layers
name the result. Each call checks shapes, ranges, scales and that sums fit their accumulator, so
what `build` yields is consistent.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from bitpim_traces import builder_checks as checks
from bitpim_traces import builder_tables as tables
from bitpim_traces.builder_core import BuilderCore, Mode, mode_name, where_of
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
from bitpim_traces.codebook import ProductTable
from bitpim_traces.errors import TraceDataError
from bitpim_traces.file_bounds import MAX_BITS
from bitpim_traces.functions import is_function
from bitpim_traces.modes import mode_named
from bitpim_traces.network import FloatLayer
from bitpim_traces.numbers.accumulator import (
    add_bounds,
    bits_needed,
    centred_ends,
    dot_bounds,
    need_fit,
    need_fixed_point_fit,
)
from bitpim_traces.numbers.affine import code_dtype, decode, same_quantization
from bitpim_traces.numbers.multiplier import (
    add_requantize,
    average_requantize,
    concat_requantize,
    dot_requantize,
    rescale_requantize,
)
from bitpim_traces.operators import OPERATORS
from bitpim_traces.records import (
    NETWORK_INPUT,
    Geometry,
    LayerRecord,
    Params,
    Quantization,
    Requantize,
    TensorRecord,
    axes_of,
)

__all__ = ["Activation", "References", "TraceBuilder", "WeightCodes", "quantization_of"]


class TraceBuilder(BuilderCore):
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
        table: ProductTable | None = None,
    ) -> int:
        """Append a convolution; depthwise is groups = channels."""
        sketch = FloatLayer(name, "conv2d", (source,), geometry, shape_only(weight))
        return self._dot(sketch, weight, output, activation, requantize, table)

    def linear(
        self,
        name: str,
        source: int,
        weight: WeightCodes,
        output: Quantization,
        *,
        activation: Activation = NO_ACTIVATION,
        requantize: Mode = None,
        table: ProductTable | None = None,
    ) -> int:
        """Append a linear layer over (C,) inputs."""
        sketch = FloatLayer(name, "linear", (source,), weight=shape_only(weight))
        return self._dot(sketch, weight, output, activation, requantize, table)

    def _dot(
        self,
        sketch: FloatLayer,
        weight: WeightCodes,
        output: Quantization,
        activation: Activation,
        requantize: Mode,
        table: ProductTable | None,
    ) -> int:
        record = self._sketch(sketch, output, activation, table)
        where, source = where_of(record), self.quantization(record.inputs[0])
        checks.need_weight(where, weight.codes, weight.quantization)
        bias = checks.checked_bias(
            where, weight.bias, weight.codes.shape[0], wide=self.accumulator_bits > 32
        )
        axes = "OIHW" if record.kind == "conv2d" else "OI"
        codes = np.ascontiguousarray(weight.codes, dtype=code_dtype(weight.quantization))
        record = replace(
            record,
            weight=TensorRecord.of(codes, axes=axes, role="weight"),
            weight_quantization=weight.quantization,
            bias=None if bias is None else TensorRecord.of(bias, axes="O", role="bias"),
            weight_float=float_weight(weight, codes, axes),
        )
        if tables.need_one_sort(where, [source], weight.quantization) or table is not None:
            record = self._looked_up(record, table, requantize)
            assert record.product_table is not None
            scale = tables.product_scale(record.product_table)
        else:
            scale = float(source.scale[0]) * weight.quantization.scale
            record = self._scaled_dot(record, weight, bias, requantize)
        if weight.bias_scale is not None:
            checks.need_bias_scale(where, weight.bias_scale, scale)
        bias_float = weight.bias_float
        if bias is not None and bias_float is None:
            bias_float = (bias * scale).astype(np.float32)
        return self._append(replace(record, bias_float=float_tensor(bias_float, "O", "bias_float")))

    def _scaled_dot(
        self,
        record: LayerRecord,
        weight: WeightCodes,
        bias: npt.NDArray[np.integer] | None,
        requantize: Mode,
    ) -> LayerRecord:
        """Give a dot product of affine codes its requantize step."""
        where, source = where_of(record), self.quantization(record.inputs[0])
        output = record.output
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
        if output.bits > MAX_BITS and not step.rule.scales_products:
            raise TraceDataError(
                f"{where}: need a mode with shifts for output codes of {output.bits} bits, got"
                f" {step.mode}; give requantize half_up_shift with multiplier 1 and shift 0"
            )
        return replace(record, requantize=step, pad_code=int(source.zero_point[0]))

    def _looked_up(
        self, record: LayerRecord, table: ProductTable | None, requantize: Mode
    ) -> LayerRecord:
        """Give a layer its product table; an affine output without a step is its raw sums."""
        step = requantize if isinstance(requantize, Requantize) else None
        sources = [self.quantization(i) for i in record.inputs]
        return tables.with_product_table(where_of(record), record, sources, table, step)

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
        if is_function(kind):
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
        table: ProductTable | None = None,
    ) -> int:
        """Append an average pooling; without `output` the quantization of the input is kept."""
        before = self.quantization(source)
        output = before if output is None else output
        sketch = FloatLayer(name, "avg_pool2d", (source,), geometry)
        record = self._sketch(sketch, output, activation, table)
        if tables.need_one_sort(where_of(record), [before]) or table is not None:
            return self._append(self._looked_up(record, table, requantize))
        where, n_elements = where_of(record), geometry.kernel[0] * geometry.kernel[1]
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
            (0,) if mode_named(mode_name(requantize, self.requantize)).divides else (n_elements,),
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
        table: ProductTable | None = None,
    ) -> int:
        """Append an element-wise sum of inputs of any scales."""
        record = self._sketch(FloatLayer(name, "add", tuple(sources)), output, activation, table)
        where, inputs = where_of(record), [self.quantization(i) for i in sources]
        if tables.need_one_sort(where, inputs) or table is not None:
            return self._append(self._looked_up(record, table, requantize))
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
        table: ProductTable | None = None,
    ) -> int:
        """Append a concatenation; without `output` the first input's quantization is kept."""
        inputs = [self.quantization(i) for i in sources]
        output = output or (inputs[0] if inputs else self.input_quantization)
        sketch = FloatLayer(name, "concat", tuple(sources), params=Params(concat_axis=axis))
        record = self._sketch(sketch, output, activation, table)
        given = isinstance(requantize, Requantize) or table is not None
        if all(same_quantization(q, output) for q in inputs) and not given:
            return self._append(record)
        if tables.need_one_sort(where_of(record), inputs) or table is not None:
            return self._append(self._looked_up(record, table, requantize))
        step = self._step(
            where_of(record),
            requantize,
            lambda mode: concat_requantize(
                mode, inputs, output, multiplier_bits=self.multiplier_bits
            ),
            (len(inputs),),
        )
        return self._append(replace(record, requantize=step))

    def multiply(
        self,
        name: str,
        sources: Sequence[int],
        output: Quantization,
        *,
        activation: Activation = NO_ACTIVATION,
        requantize: Mode = None,
    ) -> int:
        """Append an element-wise product of two inputs of any scales."""
        sketch = FloatLayer(name, "multiply", tuple(sources))
        return self.accumulate(sketch, output, activation=activation, requantize=requantize)

    def accumulate(
        self,
        sketch: FloatLayer,
        output: Quantization,
        *,
        activation: Activation = NO_ACTIVATION,
        requantize: Mode = None,
    ) -> int:
        """Append a layer of any kind that has an accumulator of its own, and one entry."""
        kinds = [kind for kind, found in OPERATORS.items() if found.accumulated is not None]
        if sketch.kind not in kinds:
            need = ", ".join(kinds)
            raise TraceDataError(f"layer {sketch.name}: need one of {need}, got {sketch.kind!r}")
        record = self._sketch(sketch, output, activation)
        for source in record.inputs:
            checks.need_affine(where_of(record), self.quantization(source))
        accumulated = OPERATORS[sketch.kind].accumulated
        assert accumulated is not None
        where, inputs = where_of(record), [self.quantization(i) for i in record.inputs]
        low, high = accumulated.reach(record, [centred_ends(q) for q in inputs])
        unit = np.array([accumulated.unit(record, [float(q.scale[0]) for q in inputs])])
        step = self._step(
            where,
            requantize,
            lambda mode: rescale_requantize(
                mode,
                unit,
                output,
                multiplier_bits=self.multiplier_bits,
                accumulator_bits=max(bits_needed((np.array([low]), np.array([high]))), 1),
            ),
            (1,),
        )
        bounds = np.array([low], object), np.array([high], object)
        need_fixed_point_fit(where, bounds, step)
        checks.need_product_fit(where, bounds, step)
        return self._append(replace(record, requantize=step))

    # --- functions and constants

    def lookup(
        self,
        name: str,
        source: int,
        function: str,
        output: Quantization,
        *,
        constants: npt.NDArray[np.floating] | None = None,
        table: npt.NDArray[np.integer] | None = None,
    ) -> int:
        """Append a function of every code, by a table.

        Without `table` it is one of `functions.FUNCTIONS`, and its values are encoded.

        Shapes
        ------
        constants : (P,), or (C, P) of each channel
        table : (K,) output code by (input code - code_min), or (C, K)
        """
        if not is_function(function):
            raise TraceDataError(
                f"layer {name}: need a function's small name, got {function!r}; clip limits values"
            )
        before = self.quantization(source)
        tensors = {}
        if constants is not None:
            tensors["constants"] = np.asarray(constants, np.float32)
        sketch = FloatLayer(name, "activation", (source,), activation=function, tensors=tensors)
        record = self._sketch(sketch, output, Activation(function))
        where = where_of(record)
        if table is None:
            table = activation_table(where, sketch, before, output)
        checks.need_codes(f"{where}: table", table, output)
        n_codes = before.code_max - before.code_min + 1
        if table.shape not in ((n_codes,), (record.output_shape[0], n_codes)):
            raise TraceDataError(
                f"{where}: need a table of {n_codes} codes, or one a channel, got {table.shape}"
            )
        stored = TensorRecord.of(
            table.astype(code_dtype(output)), axes="CK"[-table.ndim :], role="table"
        )
        held = {
            role: TensorRecord.of(values, axes="CP"[-values.ndim :], role=role, units="real")
            for role, values in tensors.items()
        }
        return self._append(replace(record, table=stored, tensors=held))

    def constant(
        self,
        name: str,
        values: npt.NDArray[np.integer],
        output: Quantization,
        *,
        source: int = NETWORK_INPUT,
        values_float: npt.NDArray[np.floating] | None = None,
    ) -> int:
        """Append codes that are the same for all samples, of which `source` has the number.

        Shapes
        ------
        values, values_float : the output's, without the sample axis
        """
        shape = np.broadcast_to(np.float32(0), values.shape)
        sketch = FloatLayer(name, "constant", (source,), tensors={"values": shape})
        record = self._sketch(sketch, output, NO_ACTIVATION)
        where, axes = where_of(record), axes_of(1 + values.ndim)[1:]
        checks.need_codes(f"{where}: values", values, output)
        real = decode(values, output) if values_float is None else values_float
        if real.shape != values.shape:
            raise TraceDataError(f"{where}: need real values of {values.shape}, got {real.shape}")
        codes = np.ascontiguousarray(values, code_dtype(output))
        tensors = {
            "values": TensorRecord.of(codes, axes=axes, role="values"),
            "values_float": TensorRecord.of(
                np.asarray(real, np.float32), axes=axes, role="values_float", units="real"
            ),
        }
        return self._append(replace(record, tensors=tensors))
