"""The same network of codebooks with fewer values: a level of every tree, and new tables."""

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from bitpim_traces.builder_tables import with_product_table
from bitpim_traces.codebook_rules import made_again
from bitpim_traces.errors import TraceDataError
from bitpim_traces.numbers.affine import code_dtype
from bitpim_traces.numbers.product_tables import nearest
from bitpim_traces.provenance import make_provenance
from bitpim_traces.quantize.levels import coarser
from bitpim_traces.records import (
    NETWORK_INPUT,
    LayerRecord,
    Quantization,
    Samples,
    TensorRecord,
    Trace,
)

__all__ = ["at_level"]

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class _Level:
    """A tensor's quantization before and after, and the new code by the old one."""

    before: Quantization
    after: Quantization
    codes: Ints | None  # None: as they are

    @classmethod
    def of(cls, quantization: Quantization, size: int | None, where: str) -> "_Level":
        if quantization.codebook is None or size is None:
            return cls(quantization, quantization, None)
        made, codes = coarser(quantization.codebook, size, where)
        return cls(quantization, Quantization.of_codebook(made), codes)

    def of_code(self, code: int) -> int:
        return code if self.codes is None else int(self.codes[code])

    def of_tensor(self, tensor: TensorRecord) -> TensorRecord:
        """Map codes as they are read."""
        if self.codes is None:
            return tensor
        codes = self.codes.astype(code_dtype(self.after))
        return replace(
            tensor,
            dtype=codes.dtype,
            limits=None,
            load=lambda start, stop: codes[tensor.read(start, stop)],
        )

    def nearest_before(self) -> Ints:
        """Yield the old code that is nearest to the value of each new one."""
        before, after = self.before.codebook, self.after.codebook
        if self.codes is None or before is None or after is None:
            return np.arange(self.before.code_max - self.before.code_min + 1)
        return nearest(before.values, after.values)


def at_level(
    trace: Trace, *, weight_levels: int | None = None, input_levels: int | None = None
) -> Trace:
    """Yield the same network with the codebooks of a level of their trees.

    `weight_levels` and `input_levels` are the most values of the codebooks of weights and of
    activations; None leaves them as they are. Codes of weights, samples and constants become those
    of their ancestors, product tables are made of the new values with the fraction bits and the
    width they had, and so are tables of codes: a function of a new value is that of the old value
    nearest to it. Biases, points and float numbers stay; clusters of weights that change do not.

    Raises
    ------
    TraceDataError
        No level is asked for, a codebook has no such level, there are none, or a sum could leave
        its accumulator.
    """
    if weight_levels is None and input_levels is None:
        raise TraceDataError(
            f"trace {trace.name}: need weight_levels or input_levels, got none; give one of them"
        )
    if not any(trace.codebooks):
        raise TraceDataError(
            f"trace {trace.name}: need a network of codebooks, got affine codes; make one with"
            " `bitpim trace codebooks`"
        )
    levels = {NETWORK_INPUT: _Level.of(trace.samples.quantization, input_levels, "samples")}
    layers = []
    for layer in trace.layers:
        where = f"layer {layer.index} {layer.name!r} ({layer.kind})"
        levels[layer.index] = _Level.of(layer.output, input_levels, where)
        inputs = [levels[i] for i in layer.inputs]
        layers.append(_layer(layer, inputs, levels[layer.index], weight_levels, where))
    old, samples = trace.samples, levels[NETWORK_INPUT]
    chosen = {"weight_levels": weight_levels, "input_levels": input_levels}
    return Trace(
        trace.name,
        tuple(layers),
        Samples(samples.of_tensor(old.codes), samples.after, old.labels, old.dataset),
        {
            **make_provenance("at_level", chosen),
            "level_of": {"digest": trace.digest, "provenance": dict(trace.provenance)},
        },
        file=trace.file,
    )


def _layer(
    layer: LayerRecord, inputs: list[_Level], output: _Level, size: int | None, where: str
) -> LayerRecord:
    made = replace(
        layer,
        output=output.after,
        clamp=(output.of_code(layer.clamp[0]), output.of_code(layer.clamp[1])),
        pad_code=inputs[0].of_code(layer.pad_code),
        table=None if layer.table is None else _table(layer.table, inputs[0], output),
        tensors={
            name: output.of_tensor(tensor) if name == "values" else tensor
            for name, tensor in layer.tensors.items()
        },
    )
    if layer.weight is not None and layer.weight_quantization is not None:
        weight = _Level.of(layer.weight_quantization, size, f"{where} weight")
        codes = weight.of_tensor(layer.weight)
        made = replace(made, weight=codes, weight_quantization=weight.after)
        if weight.codes is not None:
            made = replace(made, clusters=None)  # of the weights as they were
    if layer.product_table is None:
        return made
    sources = [level.after for level in inputs]
    table = made_again(made, sources, layer.product_table)
    table = replace(table, points=layer.product_table.points)
    return with_product_table(where, made, sources, table, layer.requantize)


def _table(table: TensorRecord, source: _Level, output: _Level) -> TensorRecord:
    """Look up the functions of new values."""
    old = table.read()[..., source.nearest_before()]
    codes = old if output.codes is None else output.codes[old]
    codes = codes.astype(code_dtype(output.after))
    return TensorRecord.of(codes, axes=table.axes, role=table.role)
