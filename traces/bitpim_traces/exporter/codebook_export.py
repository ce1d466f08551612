"""A PyTorch module and samples become a trace of codebooks and product tables."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from bitpim_traces.codebook import Codebook
from bitpim_traces.errors import TraceDataError
from bitpim_traces.exporter.calibrate import (
    Progress,
    check_against_module,
    logits_of,
    references_of,
)
from bitpim_traces.exporter.export import (
    CHECKED_SAMPLES,
    calibration_of,
    described,
    state_digest,
)
from bitpim_traces.exporter.graph import in_float32, read_network
from bitpim_traces.exporter.observed_codes import chosen_samples
from bitpim_traces.exporter.retrain import retrain
from bitpim_traces.exporter.retraining import Retrained, Retraining
from bitpim_traces.exporter.sources import (
    Floats,
    Pixels,
    fold_normalization,
    samples_record,
    source_of,
)
from bitpim_traces.network import FloatNetwork
from bitpim_traces.provenance import make_provenance
from bitpim_traces.quantize import CodebookSettings, quantize_codebooks
from bitpim_traces.quantize.codebooks import drawn_places
from bitpim_traces.records import TensorRecord, Trace, axes_of

__all__ = ["export_codebooks"]

Labels = npt.NDArray[np.integer] | None


def export_codebooks(
    module: torch.nn.Module | torch.export.ExportedProgram,
    samples: Any,
    *,
    labels: Labels = None,
    settings: CodebookSettings | None = None,
    calibration: Any = None,
    retraining: Retraining | None = None,
    taught: tuple[Any, Labels] | None = None,
    name: str = "",
    dataset: str = "",
    progress: Progress | None = None,
) -> Trace:
    """Cluster a module's weights and activations into a trace of tables.

    `samples`, `calibration`, `name` and `dataset` are as for `export`; of the samples that
    calibrate (without any, of all) `settings.calibration_samples` are looked at, drawn by the seed.
    With `taught`, samples and labels, the shared values of weights are first trained on as
    `retrain` does; float references are then those of the trained network.

    Raises
    ------
    TraceDataError
        An operator has no place in a trace of tables, samples do not fit the module, or as for
        `retrain`.
    """
    settings = settings or CodebookSettings()
    source = source_of(samples)
    if not source.shape[0]:
        raise TraceDataError("samples: need at least one, got none")
    if retraining is not None and taught is None:
        raise TraceDataError("retrain: need samples and labels to train on, got none")
    observed = source if calibration is None else calibration_of(calibration, source)
    observed = chosen_samples(observed, drawn_places(observed.shape[0], settings))
    taken = in_float32(module)
    network, difference, softmax = _read(taken, source, observed, name)
    notes: dict[str, Any] = {}
    codebooks = None
    if taught is not None:
        like = source if isinstance(source, Pixels) else None
        given = (source_of(taught[0], like), taught[1])
        retraining = retraining or Retraining()
        found = retrain(
            network, *given, settings, retraining, calibration=observed, progress=progress
        )
        network, codebooks = found.network, found.codebooks
        notes = {"retrain": _noted(found, retraining, given[0])}
    parameters = {
        "module": f"{type(module).__module__}.{type(module).__qualname__}",
        "calibration_samples": observed.shape[0],
        "batch_norm_folded": True,
        "softmax_dropped": softmax,
        "relative_difference_to_module": float(f"{difference:.1e}"),
        "input": described(source),
    }
    sources = {"weights": f"state dict, SHA-256 {state_digest(taken)}"}
    made = make_provenance(
        "bitpim_traces.exporter", parameters, packages=("numpy", "torch"), sources=sources
    )
    noted = {**made, **notes}
    return _tables(network, codebooks, source, labels, observed, settings, noted, dataset, progress)


def _read(
    module: torch.nn.Module, source: Floats | Pixels, observed: Floats | Pixels, name: str
) -> tuple[FloatNetwork, float, str]:
    """Read the network; yield it, how far from the module it is, and the softmax left out."""
    network, softmax = read_network(module, tuple(source.shape[1:]), name=name)
    if isinstance(source, Pixels) and source.fold:
        network = fold_normalization(network, source)
    n = min(CHECKED_SAMPLES, observed.shape[0])
    difference = check_against_module(
        network, module, observed.read(0, n), observed.normalized(0, n), softmax
    )
    return network, difference, softmax


def _tables(
    network: FloatNetwork,
    codebooks: Mapping[str, Codebook] | None,
    source: Floats | Pixels,
    labels: Labels,
    observed: Floats | Pixels,
    settings: CodebookSettings,
    provenance: dict[str, Any],
    dataset: str,
    progress: Progress | None,
) -> Trace:
    """Decide all numbers; samples are encoded when they are read."""

    def clustering(done: int, total: int) -> None:
        if progress is not None:
            progress("clustering", done, total)

    n_references = min(settings.reference_samples, source.shape[0])
    trace = quantize_codebooks(
        network,
        source.read(0, max(1, n_references)),
        settings=settings,
        calibration=observed.read(0, observed.shape[0]),
        codebooks=codebooks,
        references=references_of(network, source, n_references, progress),
        provenance=provenance,
        progress=clustering,
    )
    samples = samples_record(source, trace.samples.quantization, labels, dataset)
    layers = trace.layers
    if n_references:
        logits = logits_of(network, source, progress)
        axes = axes_of(logits.ndim)
        record = TensorRecord.of(logits, axes=axes, role="output_float", units="real")
        layers = (*layers[:-1], replace(layers[-1], output_float=record))
    return replace(trace, layers=layers, samples=samples)


def _noted(found: Retrained, retraining: Retraining, source: Floats | Pixels) -> dict[str, Any]:
    """Say what training did, for provenance."""
    return {
        **retraining.as_plain(),
        "n_samples": source.shape[0],
        "n_steps": found.n_steps,
        "float_accuracy": found.float_accuracy,
        "accuracies": list(found.accuracies),
        "epoch": found.epoch,
    }
