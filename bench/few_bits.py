"""Networks of few bits with the shapes of ResNet-20, to measure machines on."""

from dataclasses import replace

import numpy as np

from bitpim import make_machine
from bitpim_traces.quantize import LayerBits, Settings
from bitpim_traces.records import (
    NETWORK_INPUT,
    LayerRecord,
    Quantization,
    Samples,
    TensorRecord,
    Trace,
)
from bitpim_traces.synthetic import synthetic_network

__all__ = ["binary_resnet20", "convolutions", "ternary_resnet20"]

_WIDE = ("conv1", "fc")  # keep eight bits, as is the rule
_SHIFT = 13  # places by which sums of -1 and 1 are smaller than those of 8 by 8 bits
_NARROWER = 8  # bits fewer in multipliers
_ACCUMULATOR_BITS = 12  # for sums of at most 576 signs, and their bias


def ternary_resnet20(n_samples: int) -> Trace:
    """ResNet-20 with weights -1, 0 and 1, but for the first and the last layer."""
    wide = {name: LayerBits(weight_bits=8) for name in _WIDE}
    settings = Settings(weight_bits=2, accumulator_bits=20, overrides=wide)
    return synthetic_network("resnet20", n_samples=n_samples, settings=settings)


def binary_resnet20(n_samples: int) -> Trace:
    """ResNet-20 whose convolutions, but the first, have weights and inputs of -1 and 1.

    A table before each of them says -1 below the middle of its input, and 1 from there on.
    """
    trace = synthetic_network("resnet20", n_samples=n_samples)
    layers: list[LayerRecord] = []
    place = {NETWORK_INPUT: NETWORK_INPUT}  # of each old layer
    for layer in trace.layers:
        inputs = tuple(place[i] for i in layer.inputs)
        if layer.kind == "conv2d" and layer.name not in _WIDE:
            layers.append(_signs(layer, layers[inputs[0]], len(layers)))
            inputs = (len(layers) - 1,)
            layer = _binary(layer)
        place[layer.index] = len(layers)
        layers.append(replace(layer, index=len(layers), inputs=inputs, output_float=None))
    return replace(trace, layers=tuple(layers))


def convolutions(trace: Trace) -> list[Trace]:
    """Yield each convolution but the first as a network of its own, with the inputs it has."""
    codes = trace.samples.codes.read()
    outputs = [
        run.codes
        for run in make_machine("neural_cache").prepare(trace, fidelity="integer").run_batch(codes)
    ]
    found = []
    for layer in trace.layers:
        if layer.kind != "conv2d" or layer.name in _WIDE:
            continue
        source = layer.inputs[0]
        record = TensorRecord.of(np.ascontiguousarray(outputs[source]), axes="NCHW", role="samples")
        samples = Samples(record, trace.layers[source].output, dataset="synthetic")
        alone = replace(layer, index=0, inputs=(NETWORK_INPUT,), output_float=None)
        found.append(replace(trace, layers=(alone,), samples=samples))
    return found


def _quantization(n: int = 1) -> Quantization:
    axis = 0 if n > 1 else None
    return Quantization(2, True, np.ones(n), np.zeros(n, np.int64), axis, binary=True)


def _signs(layer: LayerRecord, source: LayerRecord, index: int) -> LayerRecord:
    n_codes = 1 << source.output.bits
    table = np.where(np.arange(n_codes) < n_codes // 4, -1, 1).astype(np.int8)
    return LayerRecord(
        index,
        f"{layer.name}.sign",
        "activation",
        (source.index,),
        (source.output_shape,),
        source.output_shape,
        _quantization(),
        activation="side",
        clamp=(-2, 1),
        table=TensorRecord.of(table, axes="K", role="table"),
    )


def _binary(layer: LayerRecord) -> LayerRecord:
    assert layer.weight is not None and layer.requantize is not None
    weight = np.where(layer.weight.read() < 0, -1, 1).astype(np.int8)
    step = layer.requantize
    assert step.shift is not None and step.multiplier is not None
    narrow = replace(
        step,
        multiplier=(step.multiplier >> _NARROWER).astype(np.int32),
        shift=(step.shift - _NARROWER - _SHIFT).astype(np.int32),
    )
    return replace(
        layer,
        weight=TensorRecord.of(weight, axes="OIHW", role="weight"),
        weight_quantization=_quantization(weight.shape[0]),
        bias=None,
        requantize=narrow,
        accumulator_bits=_ACCUMULATOR_BITS,
        pad_code=0,
        weight_float=None,
        bias_float=None,
    )
