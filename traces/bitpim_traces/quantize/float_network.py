"""The float network inside a trace, taken out of it again."""

from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from bitpim_traces.errors import TraceDataError
from bitpim_traces.network import FloatLayer, FloatNetwork
from bitpim_traces.numbers.affine import decode, real_values
from bitpim_traces.records import CLIPS, NETWORK_INPUT, LayerRecord, TensorRecord, Trace

__all__ = ["to_float_network"]


def to_float_network(trace: Trace, *, decoded: bool = False) -> FloatNetwork:
    """Take the float network out of a trace; functions by points become layers of their own.

    With `decoded` codes stand in where there are no float numbers: what is 0 is 0 then, and
    magnitudes of weights are in order, but biases of product tables have another scale.

    Raises
    ------
    TraceDataError
        A conv2d, linear or constant carries no float numbers.
    """
    layers: list[FloatLayer] = []
    new_index = {NETWORK_INPUT: NETWORK_INPUT}
    for record in trace.layers:
        layer = _to_float_layer(_with_floats(trace, record) if decoded else record)
        layer = replace(layer, inputs=tuple(new_index[i] for i in layer.inputs))
        if record.kind != "activation" and record.activation not in CLIPS:
            layers.append(replace(layer, activation="none"))
            name, source = f"{record.name}.{record.activation}", (len(layers) - 1,)
            layer = FloatLayer(name, "activation", source, activation=record.activation)
        new_index[record.index] = len(layers)
        layers.append(layer)
    return FloatNetwork(trace.name, tuple(layers), trace.shape_of(NETWORK_INPUT))


def _with_floats(trace: Trace, record: LayerRecord) -> LayerRecord:
    """Give a layer the real numbers of its codes where it has no float ones."""
    found: dict[str, Any] = {}
    weight = record.weight_quantization
    if record.weight is not None and record.weight_float is None and weight is not None:
        found["weight_float"] = _real(record.weight, decode(record.weight.read(), weight))
    if record.bias is not None and record.bias_float is None and weight is not None:
        unit = trace.quantization_of(record.inputs[0]).scale[0] * weight.scale
        found["bias_float"] = _real(record.bias, (record.bias.read() * unit).astype(np.float32))
    values = record.tensors.get("values")
    if values is not None and "values_float" not in record.tensors:
        real = _real(values, decode(values.read(), record.output))
        found["tensors"] = {**record.tensors, "values_float": real}
    return replace(record, **found)


def _real(codes: TensorRecord, values: npt.NDArray[np.float32]) -> TensorRecord:
    return TensorRecord.of(values, axes=codes.axes, role=f"{codes.role}_float", units="real")


def _to_float_layer(record: LayerRecord) -> FloatLayer:
    where = f"layer {record.index} {record.name!r} ({record.kind})"
    held = record.tensors
    for name, codes, real in (
        ("weights", record.weight, record.weight_float),
        ("a bias", record.bias, record.bias_float),
        ("values", held.get("values"), held.get("values_float")),
    ):
        if codes is not None and real is None:
            raise TraceDataError(
                f"{where}: need {name} in float to quantize again, got codes alone; export the"
                " network, which keeps its float numbers"
            )
    clamp = None
    if record.activation == "clamp":
        low, high = real_values(np.array(record.clamp), record.output).tolist()
        clamp = (
            -np.inf if record.clamp[0] == record.output.code_min else low,
            np.inf if record.clamp[1] == record.output.code_max else high,
        )
    return FloatLayer(
        record.name,
        record.kind,
        record.inputs,
        geometry=record.geometry,
        weight=None if record.weight_float is None else record.weight_float.read(),
        bias=None if record.bias_float is None else record.bias_float.read(),
        activation=record.activation,
        clamp=clamp,
        params=record.params,
        tensors={
            name.removesuffix("_float"): tensor.read()
            for name, tensor in held.items()
            if tensor.units == "real"
        },
    )
