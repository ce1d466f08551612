"""A PyTorch module and samples become a trace."""

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from bitpim_traces.errors import TraceDataError
from bitpim_traces.exporter.calibrate import (
    Answers,
    Progress,
    check_against_module,
    logits_of,
    observe_ranges,
    references_of,
)
from bitpim_traces.exporter.coded_network import train_on_codes
from bitpim_traces.exporter.graph import in_float32, read_network
from bitpim_traces.exporter.plain import plain_name
from bitpim_traces.exporter.prune import layer_masks
from bitpim_traces.exporter.sources import (
    Floats,
    Pixels,
    fold_normalization,
    samples_record,
    source_of,
)
from bitpim_traces.exporter.training import Training
from bitpim_traces.masks import LayerMask, with_masks
from bitpim_traces.network import FloatNetwork
from bitpim_traces.provenance import make_provenance
from bitpim_traces.quantize import Settings, quantize_network
from bitpim_traces.quantize.layers import Ranges
from bitpim_traces.records import NETWORK_INPUT, Samples, TensorRecord, Trace, axes_of
from bitpim_traces.writer import write_trace

__all__ = [
    "CALIBRATION_SAMPLES",
    "CHECKED_SAMPLES",
    "calibration_of",
    "described",
    "export",
    "export_to",
    "first_samples",
    "state_digest",
]


CALIBRATION_SAMPLES = 256
"""How many of the samples calibrate where no others are given."""

CHECKED_SAMPLES = 8
"""How many samples a network is compared with its module on."""


def export(
    module: torch.nn.Module | torch.export.ExportedProgram,
    samples: Any,
    *,
    labels: npt.NDArray[np.integer] | None = None,
    settings: Settings | None = None,
    calibration: Any = None,
    masks: Mapping[str, LayerMask] | None = None,
    taught: tuple[Any, npt.NDArray[np.integer]] | None = None,
    training: Training | None = None,
    name: str = "",
    dataset: str = "",
    progress: Progress | None = None,
) -> Trace:
    """Quantize a module into a trace; one of another precision is taken in float32.

    `samples` are floats as the module takes them, or `Pixels` with their normalization.
    `calibration` is the like for the ranges of the activations (uint8 images are normalized as the
    samples are), a number of samples to take from the front, or None for the first
    CALIBRATION_SAMPLES. `masks` of weights that are pruned already, by parameter name (as
    `prune_module` yields them), go into the trace. With `taught`, samples and labels, weights and
    biases are first trained on in sight of all codes, as `train_on_codes` does; what is float in
    the trace is then of the trained network. The float network is run on the first
    `settings.reference_samples` samples for the reference of every layer, and on all samples for
    that of the last.

    Raises
    ------
    TraceDataError
        An operator has no place in a trace, samples do not fit the module, a mask disagrees with
        its weight, or as for `train_on_codes`.
    """
    settings = settings or Settings()
    source = source_of(samples)
    if not source.shape[0]:
        raise TraceDataError("samples: need at least one, got none")
    observed = calibration_of(calibration, source)
    taken = in_float32(module)
    network, softmax = read_network(taken, tuple(source.shape[1:]), name=name)
    masks_by_layer = layer_masks(taken, network, _by_plain_name(module, masks or {}))
    if isinstance(source, Pixels) and source.fold:
        network = fold_normalization(network, source)
    n_checked = min(CHECKED_SAMPLES, observed.shape[0])
    difference = check_against_module(
        network,
        taken,
        observed.read(0, n_checked),
        observed.normalized(0, n_checked),
        softmax,
    )
    # The float outputs of samples that calibrate are kept: they would be computed again.
    of_samples = calibration is None or isinstance(calibration, int)
    answers: Answers | None = {} if of_samples and settings.reference_samples else None
    ranges = observe_ranges(network, observed, settings, progress, answers)
    quantization = source.quantization(ranges[NETWORK_INPUT], settings)
    notes: dict[str, Any] = {}
    if taught is not None:
        network, notes = _trained(
            network, taught, (source, labels), ranges, settings, training, masks_by_layer, progress
        )
        answers = None
    references = references_of(network, source, settings.reference_samples, progress)
    made_from = make_provenance(
        "bitpim_traces.exporter",
        {
            "module": f"{type(module).__module__}.{type(module).__qualname__}",
            "calibration_samples": observed.shape[0],
            "batch_norm_folded": True,
            "softmax_dropped": softmax,
            "relative_difference_to_module": float(f"{difference:.1e}"),
            "input": described(source),
        },
        packages=("numpy", "torch"),
        sources={"weights": f"state dict, SHA-256 {state_digest(taken)}"},
    )
    samples_of_trace = samples_record(source, quantization, labels, dataset)
    trace = quantize_network(
        network,
        ranges,
        first_samples(samples_of_trace, max(1, settings.reference_samples)),
        settings=settings,
        references=references,
        provenance={**made_from, **notes},
    )
    layers = trace.layers
    if settings.reference_samples:
        logits = logits_of(network, source, progress, answers)
        axes = axes_of(logits.ndim)
        record = TensorRecord.of(logits, axes=axes, role="output_float", units="real")
        layers = (*layers[:-1], replace(layers[-1], output_float=record))
    trace = replace(trace, layers=layers, samples=samples_of_trace)
    return with_masks(trace, masks_by_layer)


def _trained(
    network: FloatNetwork,
    taught: tuple[Any, npt.NDArray[np.integer]],
    given: tuple[Floats | Pixels, npt.NDArray[np.integer] | None],
    ranges: Ranges,
    settings: Settings,
    training: Training | None,
    masks: Mapping[str, LayerMask],
    progress: Progress | None,
) -> tuple[FloatNetwork, dict[str, Any]]:
    """Train on codes; yield the network, and what to note of it."""
    source, labels = given
    samples = source_of(taught[0], source)
    training = training or Training()
    found = train_on_codes(
        network,
        samples,
        taught[1],
        ranges,
        settings,
        training,
        quantization=source.quantization(ranges[NETWORK_INPUT], settings),
        masks=masks,
        evaluation=None if labels is None else (source, labels),
        progress=progress,
    )
    noted = {**training.as_plain(), "n_samples": samples.shape[0], **asdict(found.measured)}
    return found.network, {"train_on_codes": noted}


def export_to(
    path: str | Path,
    module: torch.nn.Module | torch.export.ExportedProgram,
    samples: Any,
    **options: Any,
) -> Trace:
    """Export a module (options as `export` has them) and write the trace to a file."""
    trace = export(module, samples, **options)
    write_trace(trace, path)
    return trace


def calibration_of(calibration: Any, source: Floats | Pixels) -> Floats | Pixels:
    """Yield what is calibrated on: samples, or how many of the first of a source.

    Raises
    ------
    TraceDataError
        There are not so many, none, or of another shape.
    """
    if calibration is None:
        calibration = min(CALIBRATION_SAMPLES, source.shape[0])
    if isinstance(calibration, int):
        if not 1 <= calibration <= source.shape[0]:
            raise TraceDataError(
                f"calibration: need from 1 to {source.shape[0]} samples, got {calibration}"
            )
        values = source.images if isinstance(source, Pixels) else source.values
        calibration = values[:calibration]
    found = source_of(calibration, source)
    if found.shape[1:] != source.shape[1:] or not found.shape[0]:
        raise TraceDataError(
            f"calibration: need samples of shape {list(source.shape[1:])}, got {list(found.shape)}"
        )
    return found


def _by_plain_name(
    module: torch.nn.Module | torch.export.ExportedProgram, masks: Mapping[str, LayerMask]
) -> dict[str, LayerMask]:
    """Name masks as the module without wrappers names its parameters."""
    if isinstance(module, torch.export.ExportedProgram):
        return dict(masks)
    return {plain_name(module, name): mask for name, mask in masks.items()}


def first_samples(samples: Samples, n: int) -> Samples:
    """Cut samples to the first ones: all that deciding numbers needs, so the rest may stream."""
    codes = samples.codes
    first = codes.read(0, min(n, codes.shape[0]))
    return Samples(TensorRecord.of(first, axes=codes.axes, role=codes.role), samples.quantization)


def described(source: Floats | Pixels) -> dict[str, Any]:
    """Describe the input of a network, for provenance."""
    if isinstance(source, Floats):
        return {"kind": "floats"}
    mean, std = source.per_channel()
    return {
        "kind": "pixels",
        "mean": mean.tolist(),
        "std": std.tolist(),
        "normalization_folded": source.fold,
    }


def state_digest(module: torch.nn.Module) -> str:
    """Digest names and values of a module's parameters and buffers."""
    found = hashlib.sha256()
    for name, tensor in sorted(module.state_dict().items()):
        values = tensor.detach().cpu().contiguous()
        found.update(f"{name} {values.dtype} {tuple(values.shape)}\n".encode())
        found.update(values.reshape(-1).view(torch.uint8).numpy().tobytes())
    return found.hexdigest()
