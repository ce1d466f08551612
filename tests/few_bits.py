"""Layers of weights, and inputs, of few bits."""

from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from bitpim_traces.records import REQUANTIZE_MODES, Geometry, Quantization, TensorRecord, Trace
from tests.one_layer import code_array, one_layer, quantization

__all__ = ["BINARY", "few_bits", "random_few_bits", "with_weights"]

BINARY = Quantization(2, True, np.ones(1), np.zeros(1, np.int64), binary=True)


def with_weights(trace: Trace, weight: npt.ArrayLike) -> Trace:
    """Give the only layer these codes."""
    (layer,) = trace.layers
    assert layer.weight is not None and layer.weight_quantization is not None
    codes = code_array(np.broadcast_to(weight, layer.weight.shape), layer.weight_quantization)
    record = TensorRecord.of(np.ascontiguousarray(codes), axes=layer.weight.axes, role="weight")
    return replace(trace, layers=(replace(layer, weight=record),))


def few_bits(
    kind: str, seed: int, image: tuple[int, ...], n_filters: int, *args: Any, **more: Any
) -> Trace:
    """Draw a layer of weights -1 and 1, and 0 where they are ternary, around any zero point.

    Inputs of xnor are -1 and 1; others as asked for.
    """
    rng = np.random.default_rng(seed)
    weights = more.pop("weights", BINARY if kind != "ternary" else quantization(2, 0, signed=True))
    if kind == "xnor":
        more["inputs"] = BINARY
    trace = one_layer(seed, image, n_filters, *args, weights=weights, **more)
    (layer,) = trace.layers
    assert layer.weight is not None
    centred = rng.integers(-1, 1, layer.weight.shape, endpoint=True)
    if kind != "ternary":
        centred = np.where(centred == 0, 1, centred)
    zeros = np.broadcast_to(weights.zero_point, (n_filters,)).reshape(
        -1, *(1,) * (centred.ndim - 1)
    )
    trace = with_weights(trace, centred + zeros)
    if kind == "xnor":
        codes = rng.choice(np.array([-1, 1], np.int8), trace.samples.codes.shape)
        record = TensorRecord.of(codes, axes="NCHW"[: codes.ndim], role="samples")
        trace = replace(trace, samples=replace(trace.samples, codes=record))
    return trace


def random_few_bits(kind: str, seed: int, input_bits: int) -> Trace:
    """Draw a layer of any shape, with zero points of weights and inputs at the ends or between."""
    rng = np.random.default_rng(seed)
    groups = int(rng.choice([1, 1, 2, 3]))
    n_filters = groups * int(rng.integers(1, 9))
    like = quantization(input_bits, 0, signed=bool(seed % 2))
    between = int(rng.integers(like.code_min, like.code_max, endpoint=True))
    zero = (like.code_min, like.code_max, between)[int(rng.integers(3))]
    mode = REQUANTIZE_MODES[seed % len(REQUANTIZE_MODES)]
    inputs = quantization(input_bits, zero, signed=like.signed)
    more: dict[str, Any] = {"inputs": inputs, "mode": mode}
    more["n_samples"] = int(rng.integers(1, 4))
    if kind == "ternary" and seed % 3:
        more["weights"] = quantization(2, rng.choice([1, 2], n_filters))
    if seed % 5 == 4:
        return few_bits(kind, seed, (int(rng.integers(1, 70)),), n_filters, **more)
    size = rng.integers(1, 8, 2)
    kernel = rng.integers(1, 5, 2)
    padding = (*rng.integers(0, 4, 2), *rng.integers(0, 4, 2)) if seed % 4 else (0,) * 4
    dilation = rng.integers(1, 3, 2)
    room = size + np.array([padding[0] + padding[1], padding[2] + padding[3]])
    kernel = np.where(dilation * (kernel - 1) + 1 <= room, kernel, 1)
    geometry = Geometry(
        (int(kernel[0]), int(kernel[1])),
        (int(rng.integers(1, 4)), int(rng.integers(1, 4))),
        tuple(int(p) for p in padding),  # type: ignore[arg-type]
        (int(dilation[0]), int(dilation[1])),
        groups=groups,
    )
    image = (groups * int(rng.integers(1, 7)), int(size[0]), int(size[1]))
    return few_bits(kind, seed, image, n_filters, geometry, **more)
