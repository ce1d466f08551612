"""AlexNet at 224 pixels as shapes, masks and made-up weights: enough to lay it out in a cache.

What a kept weight is does not matter to a plan, but for its width: codes are the least that there
are, those of ternary and binary layers 1 and -1. Pruned ones are 0. Each layer has one shift.

Source: torchvision's AlexNet, whose whole zero conv kernels distiller logged (papers on it call
such kernels lanes).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from bitpim_traces.masks import OVERLAP_GROUPS
from bitpim_traces.network import FloatLayer
from bitpim_traces.numbers.affine import code_dtype
from bitpim_traces.records import (
    NETWORK_INPUT,
    LayerRecord,
    Quantization,
    Requantize,
    Samples,
    TensorRecord,
    Trace,
)
from bitpim_traces.synthetic import weightless_network

__all__ = ["CONVOLUTIONS", "DENSE", "FORMS", "PUBLIC_RUNS", "Form", "Pruned", "alexnet", "spread"]

CONVOLUTIONS = ("conv1", "conv2", "conv3", "conv4", "conv5")

PUBLIC_RUNS = {
    "unstructured, sensitivity": (0.0, 0.0204, 0.0614, 0.0703, 0.1572),
    "unstructured, gradual": (0.0, 0.0220, 0.0886, 0.0045, 0.0069),
    "group lasso on conv kernels": (0.0052, 0.0918, 0.2934, 0.3530, 0.4334),
}
"""Shares of conv kernels that are wholly zero, conv1 to conv5: about 88 % of all weights are zero.

Source: IntelLabs/distiller d859fc85, logged 90-epoch ImageNet runs.
"""

_SHIFT = 24
_MULTIPLIER = (1 << 16) - 1


@dataclass(frozen=True, slots=True)
class Form:
    """Widths of a network's weights and activations, and what a kept weight is."""

    name: str
    weight_bits: int
    input_bits: int
    values: str = "codes"  # or ternary, binary
    signs: bool = False  # activations are -1 and 1


FORMS = {
    form.name: form
    for form in (
        Form("8 x 8 bits", 8, 8),
        Form("8 x 4 bits", 8, 4),
        Form("4 x 8 bits", 4, 8),
        Form("4 x 4 bits", 4, 4),
        Form("2 x 2 bits", 2, 2),
        Form("ternary x 8 bits", 2, 8, "ternary"),
        Form("ternary x 4 bits", 2, 4, "ternary"),
        Form("ternary x 2 bits", 2, 2, "ternary"),
        Form("binary x 8 bits", 2, 8, "binary"),
        Form("binary x binary", 2, 2, "binary", signs=True),
    )
}
"""Weights x activations; codes of -1, 0 and 1 take 2 bits."""


@dataclass(frozen=True, slots=True)
class Pruned:
    """Which lanes of a network's convolutions are pruned.

    `shares` by layer are drawn for each filter alone, as many channels in each. With `group` of two
    and more, each channel is kept by one filter of as many in turn, so that these overlap.
    """

    shares: Mapping[str, float]
    group: int = 1


DENSE = Pruned({})


def spread(share: float) -> Pruned:
    """Prune the same share of lanes of every convolution but the first."""
    return Pruned(dict.fromkeys(CONVOLUTIONS[1:], share))


def alexnet(form: Form, pruned: Pruned = DENSE, *, ends_in_8_bits: bool = False) -> Trace:
    """Make a trace that can be planned for a cache, and holds no sample.

    With `ends_in_8_bits` the first and the last weighted layer have weights and inputs of 8 bits.
    """
    network = weightless_network("alexnet")
    shapes = dict(enumerate(network.shapes()))
    shapes[NETWORK_INPUT] = network.input_shape
    weighted = [layer.name for layer in network.layers if layer.weight is not None]
    ends = (weighted[0], weighted[-1]) if ends_in_8_bits else ()
    source = {i: _codes(form) for i in shapes}
    for layer in network.layers:
        if layer.name in ends:
            source.update(dict.fromkeys(layer.inputs, _codes(FORMS["8 x 8 bits"])))
    for index, layer in enumerate(network.layers):  # what moves codes keeps them
        if layer.weight is None:
            source[layer.inputs[0]] = source[index]
    layers = []
    for index, layer in enumerate(network.layers):
        own = FORMS["8 x 8 bits"] if layer.name in ends else form
        layers.append(_record(index, layer, shapes, source, own, pruned))
    none = TensorRecord.of(
        np.zeros((0, *network.input_shape), code_dtype(source[NETWORK_INPUT])),
        axes="NCHW",
        role="samples",
    )
    return Trace("alexnet", tuple(layers), Samples(none, source[NETWORK_INPUT]), {})


def _codes(form: Form) -> Quantization:
    if form.signs:
        return Quantization(2, True, np.ones(1), np.zeros(1, np.int64))
    return Quantization(form.input_bits, False, np.ones(1), np.zeros(1, np.int64))


def _record(
    index: int,
    layer: FloatLayer,
    shapes: Mapping[int, tuple[int, ...]],
    source: Mapping[int, Quantization],
    form: Form,
    pruned: Pruned,
) -> LayerRecord:
    output = source[index]
    clamp = (output.code_min, output.code_max)
    common: dict[str, Any] = {"geometry": layer.geometry, "clamp": clamp}
    if layer.weight is not None:
        keep = _keeper(layer, pruned)
        common |= {
            "weight": _weight(layer.weight.shape, form, keep),
            "weight_quantization": Quantization(
                form.weight_bits, True, np.ones(1), np.zeros(1, np.int64)
            ),
            "requantize": Requantize(
                "truncate_shift", np.full(1, _MULTIPLIER, np.int32), np.full(1, _SHIFT, np.int32)
            ),
            "activation": layer.activation,
            "extra": _extra(layer, pruned),
        }
    return LayerRecord(
        index,
        layer.name,
        layer.kind,
        layer.inputs,
        tuple(shapes[i] for i in layer.inputs),
        shapes[index],
        output,
        **common,
    )


def _keeper(layer: FloatLayer, pruned: Pruned) -> npt.NDArray[np.bool_] | None:
    """Return which channels each filter keeps, (M, C); None for all."""
    assert layer.weight is not None
    n_filters, n_channels = layer.weight.shape[:2]
    share = pruned.shares.get(layer.name, 0.0)
    rng = np.random.default_rng(sum(map(ord, layer.name)))
    if pruned.group > 1 and share:
        owner = rng.integers(0, pruned.group, (-(-n_filters // pruned.group), n_channels))
        filters = np.arange(n_filters)
        kept = owner[filters // pruned.group] == (filters % pruned.group)[:, None]
        return np.asarray(kept)
    if not share:
        return None
    n_pruned = round(share * n_channels * n_filters)
    each = np.full(n_filters, n_pruned // n_filters)
    each[: n_pruned % n_filters] += 1
    order = rng.random((n_filters, n_channels)).argsort(axis=1)
    return np.asarray(order.argsort(axis=1) >= each[:, None])


def _weight(shape: tuple[int, ...], form: Form, keep: npt.NDArray[np.bool_] | None) -> TensorRecord:
    """Return weights that are made when they are read."""
    value = -(1 << (form.weight_bits - 1)) if form.values == "codes" else 1

    def load(start: int, stop: int) -> npt.NDArray[np.int8]:
        codes = np.full((stop - start, *shape[1:]), value, np.int8)
        if form.values != "codes":
            codes[1::2] = -value
        if form.values == "ternary":
            codes.reshape(len(codes), shape[1], -1)[:, ::3, 0] = 0
        if keep is not None:
            codes[~keep[start:stop]] = 0
        return codes

    axes = "OIHW" if len(shape) == 4 else "OI"
    return TensorRecord(shape, np.dtype(np.int8), axes, "code", "weight", load)


def _extra(layer: FloatLayer, pruned: Pruned) -> dict[str, TensorRecord]:
    if pruned.group < 2 or layer.name not in pruned.shares:
        return {}
    assert layer.weight is not None
    groups = (np.arange(layer.weight.shape[0]) // pruned.group).astype(np.int32)
    return {OVERLAP_GROUPS: TensorRecord.of(groups, axes="O", role=OVERLAP_GROUPS, units="1")}
