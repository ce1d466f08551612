"""One layer of a float network becomes one of a trace of tables: its numbers are decided here."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from bitpim_traces.builder import Activation, TraceBuilder, WeightCodes
from bitpim_traces.codebook import Codebook, ProductTable
from bitpim_traces.errors import TraceDataError
from bitpim_traces.functions import function_named
from bitpim_traces.network import FloatLayer
from bitpim_traces.numbers.affine import encode
from bitpim_traces.numbers.product_tables import products_of, shares_of, terms_of
from bitpim_traces.operators import OPERATORS
from bitpim_traces.quantize.codebook_settings import CodebookSettings
from bitpim_traces.quantize.codebook_tree import tree_codebook
from bitpim_traces.quantize.points import Reals, activation_points
from bitpim_traces.quantize.value_counts import ValueCounts
from bitpim_traces.records import CLIPS, Quantization

__all__ = ["Observed", "append_tables"]


@dataclass(frozen=True, slots=True)
class Observed:
    """What was seen of a network: values of layers with codebooks, ends of sums before points.

    `held` are codebooks that are decided already, by the name of the layer.
    """

    counts: Mapping[int, ValueCounts]
    ends: Mapping[int, tuple[float, float]]
    held: Mapping[str, Codebook] = field(default_factory=dict)

    def codebook(
        self, index: int, settings: CodebookSettings, name: str, most: int | None = None
    ) -> Codebook:
        """Make the codebook of a layer's output, of at most so many fraction bits."""
        if name in self.held:
            return _with_fewer_bits(self.held[name], most)
        depth, counted = settings.output_depth_of(name), self.counts[index].counted(most)
        return tree_codebook(counted, depth=depth, value_bits=settings.value_bits)


def _with_fewer_bits(codebook: Codebook, most: int | None) -> Codebook:
    """Round the values of a codebook that has too many fraction bits; its levels go then."""
    if most is None or codebook.fraction_bits <= most:
        return codebook
    values = np.ldexp(codebook.values.astype(np.float64), most - codebook.fraction_bits)
    rounded = np.unique((np.sign(values) * np.floor(np.abs(values) + 0.5)).astype(np.int64))
    return Codebook(rounded if len(rounded) > 1 else np.array([0, 1]), most, codebook.value_bits)


def append_tables(
    builder: TraceBuilder,
    layer: FloatLayer,
    observed: Observed,
    settings: CodebookSettings,
    *,
    index: int,
    by_points: FloatLayer | None = None,
    is_kept: bool = False,
    is_raw: bool = False,
) -> None:
    """Decide one layer's numbers and append it.

    `index` is where the values of its output were seen, `by_points` the activation it has by
    points. `is_kept`: its codes are those of its input. The inputs of `layer` are the builder's.

    Raises
    ------
    TraceDataError
        A number is not finite, or a sum could leave its accumulator.
    """
    operator = OPERATORS[layer.kind]
    if operator.product_rows and not is_kept:
        _append_sums(builder, layer, observed, settings, index, by_points, is_raw)
    elif operator.fixed:
        output = Quantization.of_codebook(observed.codebook(index, settings, layer.name))
        values = layer.tensors["values"]
        codes, source = encode(values, output), layer.inputs[0]
        builder.constant(layer.name, codes, output, source=source, values_float=values)
    elif operator.keeps_codes:
        builder.keep(layer)
    elif layer.kind == "concat":
        axis = layer.params.integer("concat_axis")
        builder.concat(layer.name, layer.inputs, axis=axis)
    elif layer.activation in CLIPS:
        builder.clip(layer.name, layer.inputs[0], Activation(layer.activation, layer.clamp))
    else:
        output = Quantization.of_codebook(observed.codebook(index, settings, layer.name))
        constants = layer.tensors.get("constants")
        builder.lookup(layer.name, layer.inputs[0], layer.activation, output, constants=constants)


def _append_sums(
    builder: TraceBuilder,
    layer: FloatLayer,
    observed: Observed,
    settings: CodebookSettings,
    index: int,
    by_points: FloatLayer | None,
    is_raw: bool,
) -> None:
    """Append a layer that adds up products; its output is encoded, by points or not, or raw."""
    sources = [_codebook(builder, i) for i in layer.inputs]
    weight = _weight_codebook(builder, layer, settings)
    table = _table(layer, sources, weight, settings)
    if is_raw:
        unit, zero = np.array([2.0**-table.fraction_bits]), np.zeros(1, np.int64)
        output = Quantization(settings.accumulator_bits, True, unit, zero)
    else:
        most = None if by_points is not None else table.fraction_bits  # finer than sums is no use
        made = observed.codebook(index, settings, layer.name, most)
        output = Quantization.of_codebook(made)
    applied = layer if by_points is None else by_points
    if by_points is not None:
        table = _with_points(table, by_points, observed.ends[index], output, settings)
    more: dict[str, Any] = {
        "activation": Activation(applied.activation, applied.clamp),
        "table": table,
    }
    if weight is not None:
        codes = _weight_codes(f"layer {len(builder.layers)} {layer.name!r}", layer, weight, table)
        if layer.kind == "conv2d" and layer.geometry is not None:
            builder.conv2d(layer.name, layer.inputs[0], codes, output, layer.geometry, **more)
        else:
            builder.linear(layer.name, layer.inputs[0], codes, output, **more)
    elif layer.kind == "add":
        builder.add(layer.name, layer.inputs, output, **more)
    elif layer.kind == "concat":
        axis = layer.params.integer("concat_axis")
        builder.concat(layer.name, layer.inputs, axis=axis, output=output, **more)
    else:
        assert layer.geometry is not None
        builder.avg_pool2d(layer.name, layer.inputs[0], layer.geometry, output=output, **more)


def _codebook(builder: TraceBuilder, index: int) -> Codebook:
    found = builder.quantization(index).codebook
    assert found is not None
    return found


def _weight_codebook(
    builder: TraceBuilder, layer: FloatLayer, settings: CodebookSettings
) -> Codebook | None:
    if layer.weight is None:
        return None
    where = f"layer {len(builder.layers)} {layer.name!r} weight"
    counts = ValueCounts(where, value_bits=settings.value_bits)
    counts.update(layer.weight)
    depth = settings.weight_depth_of(layer.name)
    return tree_codebook(counts.counted(), depth=depth, value_bits=settings.value_bits)


def _weight_codes(
    where: str, layer: FloatLayer, weight: Codebook, table: ProductTable
) -> WeightCodes:
    assert layer.weight is not None
    quantization, bias = Quantization.of_codebook(weight), None
    if layer.bias is not None:
        if not np.isfinite(layer.bias).all():
            raise TraceDataError(f"{where} bias: need finite values, got NaN or infinity")
        bias = np.rint(np.ldexp(layer.bias.astype(np.float64), table.fraction_bits))
        bias = np.clip(bias, -(2.0**62), 2.0**62).astype(np.int64)  # beyond what any sum may be
    return WeightCodes(
        encode(layer.weight, quantization),
        quantization,
        bias,
        weight_float=layer.weight,
        bias_float=layer.bias,
    )


def _table(
    layer: FloatLayer,
    sources: Sequence[Codebook],
    weight: Codebook | None,
    settings: CodebookSettings,
) -> ProductTable:
    """Make the product table of a layer, with the fraction bits that fit."""
    bits = settings.product_bits
    if weight is not None:
        source = sources[0]
        exact = weight.fraction_bits + source.fraction_bits
        largest = [(_largest(weight) * _largest(source), exact)]
        fraction_bits = _fraction_bits(largest, settings, exact)
        return products_of(weight, source, fraction_bits=fraction_bits, bits=bits)
    finest = max(source.fraction_bits for source in sources)
    values = [(_largest(source), source.fraction_bits) for source in sources]
    if layer.kind == "avg_pool2d":
        assert layer.geometry is not None
        fraction_bits = _fraction_bits(values, settings, finest + _SHARE_BITS)
        n_elements = layer.geometry.kernel[0] * layer.geometry.kernel[1]
        return shares_of(sources[0], n_elements, fraction_bits=fraction_bits, bits=bits)
    fraction_bits = _fraction_bits(values, settings, finest)
    return terms_of(sources, fraction_bits=fraction_bits, bits=bits)


_SHARE_BITS = 8
"""Fraction bits that shares of a mean have beyond those of its values."""


def _largest(codebook: Codebook) -> int:
    return int(np.abs(codebook.values).max())


def _fraction_bits(
    largest: Sequence[tuple[int, int]], settings: CodebookSettings, wanted: int
) -> int:
    """Choose the fraction bits of products: those wanted, or as few as leave the largest in.

    `largest` has magnitudes, each with its fraction bits.
    """
    if settings.product_fraction_bits is not None:
        wanted = min(wanted, settings.product_fraction_bits)
    limit = (1 << (settings.product_bits - 1)) - 1
    fits = [
        settings.product_bits - 1 - magnitude.bit_length() + fraction_bits
        for magnitude, fraction_bits in largest
    ]
    found = min(wanted, *fits)
    for magnitude, fraction_bits in largest:  # one that is rounded up may take a bit more
        down = fraction_bits - found
        if down > 0 and (magnitude + (1 << (down - 1))) >> down > limit:
            return found - 1
    return found


def _with_points(
    table: ProductTable,
    function: FloatLayer,
    ends: tuple[float, float],
    output: Quantization,
    settings: CodebookSettings,
) -> ProductTable:
    assert output.codebook is not None

    def compute(x: Reals) -> Reals:
        if function.activation in CLIPS:
            return np.clip(x, *function.clamp_range)
        found = function_named(f"layer {function.name!r}", function.activation)
        values: Reals = found.of(x[None, None], None)[0, 0]
        return values

    points = activation_points(
        compute,
        ends,
        settings.activation_rows,
        fraction_bits=table.fraction_bits,
        output=output.codebook,
    )
    return replace(table, points=points)
