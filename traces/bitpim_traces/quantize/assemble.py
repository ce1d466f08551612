"""A float network with ranges becomes a trace: every number a machine will need is decided here."""

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from bitpim_traces.builder import TraceBuilder
from bitpim_traces.builder_parts import References
from bitpim_traces.errors import TraceDataError
from bitpim_traces.masks import masks_of, with_masks
from bitpim_traces.modes import mode_named
from bitpim_traces.network import FloatLayer, FloatNetwork
from bitpim_traces.numbers.affine import (
    choose_quantization,
    decode,
    encode,
)
from bitpim_traces.operators import OPERATORS
from bitpim_traces.provenance import make_provenance
from bitpim_traces.quantize.float_network import to_float_network
from bitpim_traces.quantize.layers import Ranges, append_layer, range_of
from bitpim_traces.quantize.observers import calibrate
from bitpim_traces.quantize.prune import (
    Pruning,
    joined_mask,
    masked_network,
    prune_network,
    pruning_as_plain,
)
from bitpim_traces.quantize.settings import Settings
from bitpim_traces.records import (
    NETWORK_INPUT,
    Samples,
    TensorRecord,
    Trace,
    axes_of,
)

__all__ = ["quantize_network", "requantize_trace", "with_answers"]

_CALIBRATION_SAMPLES = 256
"""Samples of a trace that are enough to observe ranges again."""


def quantize_network(
    network: FloatNetwork,
    ranges_by_layer: Ranges,
    samples: npt.NDArray[np.floating] | Samples,
    *,
    labels: npt.NDArray[np.integer] | None = None,
    settings: Settings | None = None,
    references: References | None = None,
    provenance: Mapping[str, Any] | None = None,
    dataset: str = "",
) -> Trace:
    """Quantize a float network into a trace.

    `network` should have gone through `fuse_activations`. `ranges_by_layer` has the real range of
    every layer's output and of the input (NETWORK_INPUT), as `calibrate` yields it. `samples` are
    float values (N, ...) or a `Samples` record whose codes, labels and dataset are kept as they
    are. Without `references` the float forward of this package computes them, for the first
    `settings.reference_samples` samples; a callable is asked when a tensor is read.

    Rules: max pooling, flatten and other moves, and clipping layers keep the quantization of their
    input, and so do a concat whose inputs agree and, in fixed_point_half_away, average pooling.
    Functions with both ends, as sigmoid, cover their whole range. A weight scale is never so small
    that its bias would take more than a quarter of the accumulator's range.

    Raises
    ------
    TraceDataError
        A range is missing, a setting names an unknown layer, a number is not finite, or a sum
        could leave its accumulator.
    """
    settings = settings or Settings()
    _check_overrides(network, settings)
    if isinstance(samples, Samples):
        source, codes = samples.quantization, samples.codes.read()
        labels = samples.labels.read() if samples.labels is not None else None
        dataset = samples.dataset
    else:
        low, high = range_of(ranges_by_layer, NETWORK_INPUT, "network input")
        source = choose_quantization(
            low,
            high,
            bits=settings.activation_bits_of("input"),
            scheme=settings.activation_scheme,
            where="network input",
        )
        codes = encode(samples, source)
    builder = TraceBuilder(
        network.name,
        network.input_shape,
        source,
        requantize=settings.requantize,
        multiplier_bits=settings.multiplier_bits,
        accumulator_bits=settings.accumulator_bits,
    )
    deciding = _deciding_layer(network, settings)
    for index, layer in enumerate(network.layers):
        bits = settings.activation_bits_of(layer.name, is_output=index == deciding)
        is_last = index == len(network.layers) - 1
        append_layer(builder, layer, ranges_by_layer, settings, bits=bits, is_last=is_last)
    n_references = min(settings.reference_samples, codes.shape[0])
    if references is None and n_references:
        first = codes[:n_references]
        real = decode(first, source) if isinstance(samples, Samples) else samples[:n_references]
        references = network.outputs(real, range(len(network.layers)))
    return builder.build(
        codes,
        labels=labels,
        dataset=dataset,
        references=references if n_references else None,
        n_references=n_references,
        provenance={
            **(make_provenance("quantize_network", {}) if provenance is None else provenance),
            "quantize": settings.as_plain(),
        },
    )


def requantize_trace(
    trace: Trace,
    settings: Settings | None = None,
    pruning: Pruning | Sequence[Pruning] | None = None,
) -> Trace:
    """Quantize the float weights inside a trace to other widths or another mode.

    Ranges are observed by a float forward over the trace's own samples. Sample codes are kept
    where the input's width does not change; float reference outputs are kept where they exist.
    Pruning masks are held; clusters and other tensors of `extra` belong to the old codes and are
    left out. With `pruning` (one way, or several in turn) the network is pruned first, and float
    reference outputs computed anew.

    Raises
    ------
    TraceDataError
        A layer has no float weights, or as for `quantize_network`.
    """
    settings = settings or Settings()
    masks = masks_of(trace)
    network = masked_network(to_float_network(trace), masks)
    if pruning is not None:
        network, new_masks, _ = prune_network(network, pruning)
        masks |= {name: joined_mask(masks.get(name), mask) for name, mask in new_masks.items()}
    old = trace.samples
    real = decode(old.codes.read(), old.quantization)
    ranges = calibrate(network, real[:_CALIBRATION_SAMPLES], settings)
    keep = settings.activation_bits_of("input") == old.quantization.bits
    n_references = min(settings.reference_samples, trace.n_samples)
    stored = [r.output_float for r in trace.layers if r.output_float is not None]
    references: References | None = None
    complete = len(stored) == len(trace.layers)
    if pruning is None and complete and all(t.shape[0] >= n_references for t in stored):
        references = {index: tensor.read(0, n_references) for index, tensor in enumerate(stored)}
    made = quantize_network(
        network,
        ranges,
        old if keep else real,
        labels=None if old.labels is None else old.labels.read(),
        settings=settings,
        references=references,
        provenance={
            **make_provenance("requantize_trace", {}),
            **({} if pruning is None else {"prune": pruning_as_plain(pruning)}),
            "quantized_from": {"digest": trace.digest, "provenance": dict(trace.provenance)},
        },
        dataset=old.dataset,
    )
    if n_references:
        kept = trace.layers[-1].output_float if pruning is None else None
        made = with_answers(made, network, real, kept)
    return with_masks(made, masks)


def with_answers(
    trace: Trace,
    network: FloatNetwork,
    real: npt.NDArray[np.floating],
    kept: TensorRecord | None = None,
) -> Trace:
    """Give a trace the float network's outputs for all samples, of which some may be kept."""
    answers = _answers(network, real, kept)
    layers = (*trace.layers[:-1], replace(trace.layers[-1], output_float=answers))
    return replace(trace, layers=layers)


def _answers(
    network: FloatNetwork, real: npt.NDArray[np.floating], kept: TensorRecord | None
) -> TensorRecord:
    """Yield the float network's outputs for all samples: those that are kept, and the others."""
    n_kept = 0 if kept is None else kept.shape[0]
    if kept is not None and n_kept == len(real):
        return kept
    (outputs,) = network.outputs(real[n_kept:]).values()
    if kept is not None:
        outputs = np.concatenate([kept.read(), outputs])
    axes = axes_of(outputs.ndim)
    return TensorRecord.of(outputs, axes=axes, role="output_float", units="real")


def _keeps_quantization(layer: FloatLayer, settings: Settings) -> bool:
    """Say whether a layer's output codes mean what its input's do (a concat never says so)."""
    operator = OPERATORS[layer.kind]
    if layer.kind == "activation":
        return not operator.is_table(layer.activation)
    if operator.sums == "window":
        return mode_named(settings.requantize).divides
    return operator.keeps_codes


def _deciding_layer(network: FloatNetwork, settings: Settings) -> int:
    """Index of the layer whose quantization the network's output has."""
    index = len(network.layers) - 1
    while index >= 0 and _keeps_quantization(network.layers[index], settings):
        index = network.layers[index].inputs[0]
    return index


def _check_overrides(network: FloatNetwork, settings: Settings) -> None:
    by_name = {layer.name: layer for layer in network.layers}
    for name, bits in settings.overrides.items():
        if name != "input" and name not in by_name:
            close = difflib.get_close_matches(name, ["input", *by_name], n=1)
            hint = f"; did you mean {close[0]!r}?" if close else ""
            raise TraceDataError(f"settings: overrides name an unknown layer {name!r}{hint}")
        layer = by_name.get(name)
        of_weights = bits.weight_bits is not None or bits.weight_values is not None
        if of_weights and (layer is None or layer.weight is None):
            raise TraceDataError(
                f"settings: overrides give weight bits or values to {name!r}, without weight"
            )
        if bits.activation_values == "binary" and (layer is None or layer.activation != "sign"):
            raise TraceDataError(
                f"settings: overrides let activations of {name!r} be binary, which only the"
                " function sign can make"
            )
        if (
            layer is not None
            and bits.activation_bits is not None
            and _keeps_quantization(layer, settings)
        ):
            raise TraceDataError(
                f"settings: {name!r} keeps the codes of its input; give the bits to its input"
            )
