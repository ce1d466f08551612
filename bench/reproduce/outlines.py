"""Networks as shapes, masks and made-up weights, without images: enough to lay them out.

Pruned weights are 0 and kept ones 1, so that a mask and its weights agree; what a weight is does
not matter to a plan, but for sparse ReRAM, which looks at the bits of weights (`random_weights`).
"""

from collections.abc import Mapping
from functools import lru_cache
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from bitpim_traces.masks import PATTERNS, PRUNING_MASK, LayerMask
from bitpim_traces.network import FloatLayer
from bitpim_traces.quantize.pattern import WINDOW, LayerPruning, PatternPruning, random_masks
from bitpim_traces.records import (
    NETWORK_INPUT,
    LayerRecord,
    Quantization,
    Samples,
    TensorRecord,
    Trace,
)
from bitpim_traces.synthetic import weightless_network

__all__ = [
    "conv_shapes",
    "outline",
    "pattern_masks",
    "perceptron",
    "ramp_pruning",
    "random_weights",
]

Codes = npt.NDArray[np.int8]
Shape = tuple[int, ...]

WEIGHT_BITS = 8
INPUTS = Quantization(8, False, np.ones(1), np.zeros(1, np.int64))
WEIGHTS = Quantization(WEIGHT_BITS, True, np.ones(1), np.zeros(1, np.int64))


def conv_shapes(name: str) -> dict[str, Shape]:
    """Yield the weight shapes of a synthetic network's convolutions, in execution order."""
    layers = weightless_network(name).layers
    return {
        layer.name: layer.weight.shape
        for layer in layers
        if layer.kind == "conv2d" and layer.weight is not None
    }


def ramp_pruning(
    shapes: Mapping[str, Shape], kept: int, n_patterns: int, zero_shares: tuple[float, float]
) -> PatternPruning:
    """Yield the pruning whose share of all-zero kernels rises evenly from layer to layer.

    Every 3 x 3 convolution is pruned, the first one too.
    """
    fitting = [layer for layer, shape in shapes.items() if shape[2:] == WINDOW]
    shares = np.linspace(*zero_shares, len(fitting)).tolist()
    overrides = {
        layer: LayerPruning(zero_kernel_share=share)
        for layer, share in zip(fitting, shares, strict=True)
    }
    return PatternPruning(kept, n_patterns, skip_first=False, overrides=overrides)


@lru_cache(maxsize=1)
def pattern_masks(
    name: str, kept: int, n_patterns: int, zero_shares: tuple[float, float], seed: int
) -> dict[str, LayerMask]:
    """Draw patterns for all convolutions of a synthetic network."""
    shapes = conv_shapes(name)
    return random_masks(shapes, ramp_pruning(shapes, kept, n_patterns, zero_shares), seed)


def random_weights(shape: Shape, rng: np.random.Generator) -> Codes:
    """Draw weights of a bell curve, the largest of which takes all bits."""
    weights = rng.standard_normal(shape, np.float32)
    largest = np.abs(weights).max(initial=np.float32(1e-6))
    codes: Codes = np.rint(weights * (127 / largest)).astype(np.int8)
    return codes


def outline(
    name: str,
    masks: Mapping[str, LayerMask] | None = None,
    weights: Mapping[str, Codes] | None = None,
    codes: Quantization = INPUTS,
) -> Trace:
    """Make a trace of a synthetic network that can be planned, and holds no sample.

    Layers without given weights have those of their mask, or zeros that take no memory unread. All
    inputs and outputs are `codes`.
    """
    network, masks, weights = weightless_network(name), masks or {}, weights or {}
    shapes = dict(enumerate(network.shapes()))
    shapes[NETWORK_INPUT] = network.input_shape
    layers = []
    for index, layer in enumerate(network.layers):
        mask = masks.get(layer.name)
        weight = _weight(layer, mask, weights.get(layer.name))
        layers.append(
            LayerRecord(
                index,
                layer.name,
                layer.kind,
                layer.inputs,
                tuple(shapes[i] for i in layer.inputs),
                shapes[index],
                codes,
                layer.geometry,
                weight=weight,
                weight_quantization=None if weight is None else WEIGHTS,
                extra={} if mask is None else _extra(mask),
            )
        )
    none = TensorRecord.of(
        np.zeros((0, *network.input_shape), np.uint8), axes="NCHW", role="samples"
    )
    return Trace(name, tuple(layers), Samples(none, codes), {})


def perceptron(*sizes: int, codes: Quantization = INPUTS) -> Trace:
    """Make a trace of linear layers of so many inputs and outputs that can be planned."""
    layers = tuple(
        LayerRecord(
            index,
            f"fc{index + 1}",
            "linear",
            (index - 1 if index else NETWORK_INPUT,),
            ((n_inputs,),),
            (n_outputs,),
            codes,
            weight=_zeros((n_outputs, n_inputs), "OI"),
            weight_quantization=WEIGHTS,
        )
        for index, (n_inputs, n_outputs) in enumerate(pairwise(sizes))
    )
    none = TensorRecord.of(np.zeros((0, sizes[0]), np.uint8), axes="NC", role="samples")
    return Trace("-".join(map(str, sizes)), layers, Samples(none, codes), {})


def _weight(layer: FloatLayer, mask: LayerMask | None, given: Codes | None) -> TensorRecord | None:
    if layer.weight is None:
        return None
    axes = "OIHW" if layer.weight.ndim == 4 else "OI"
    if given is None and mask is not None:
        given = mask.mask.astype(np.int8)
    if given is not None:
        return TensorRecord.of(given, axes=axes, role="weight")
    return _zeros(layer.weight.shape, axes)


def _zeros(shape: Shape, axes: str) -> TensorRecord:
    """Return weights of 0 that take no memory unread."""

    def zeros(start: int, stop: int) -> Codes:
        return np.zeros((stop - start, *shape[1:]), np.int8)

    return TensorRecord(shape, np.dtype(np.int8), axes, "code", "weight", zeros)


def _extra(mask: LayerMask) -> dict[str, TensorRecord]:
    found = {PRUNING_MASK: TensorRecord.of(mask.mask, axes="OIHW", role=PRUNING_MASK, units="1")}
    if mask.patterns is not None:
        found[PATTERNS] = TensorRecord.of(mask.patterns, axes="P", role=PATTERNS, units="1")
    return found
