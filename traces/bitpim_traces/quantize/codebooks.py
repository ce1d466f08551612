"""A float network and samples become a trace of codebooks and product tables."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from bitpim_traces.builder import TraceBuilder
from bitpim_traces.builder_parts import References
from bitpim_traces.codebook import Codebook
from bitpim_traces.errors import TraceDataError
from bitpim_traces.masks import masks_of, with_masks
from bitpim_traces.network import FloatNetwork
from bitpim_traces.numbers.affine import decode, encode
from bitpim_traces.provenance import make_provenance
from bitpim_traces.quantize.assemble import with_answers
from bitpim_traces.quantize.codebook_layers import Observed, append_tables
from bitpim_traces.quantize.codebook_plan import CodebookPlan, plan_codebooks
from bitpim_traces.quantize.codebook_settings import CodebookSettings
from bitpim_traces.quantize.float_network import to_float_network
from bitpim_traces.quantize.prune import masked_network
from bitpim_traces.quantize.value_counts import ValueCounts
from bitpim_traces.records import NETWORK_INPUT, Quantization, Trace

__all__ = ["codebooks_of_trace", "drawn_places", "quantize_codebooks"]

Progress = Callable[[int, int], None]

_BATCH = 16


def quantize_codebooks(
    network: FloatNetwork,
    samples: npt.NDArray[np.floating],
    *,
    labels: npt.NDArray[np.integer] | None = None,
    settings: CodebookSettings | None = None,
    calibration: npt.NDArray[np.floating] | None = None,
    codebooks: Mapping[str, Codebook] | None = None,
    references: References | None = None,
    provenance: Mapping[str, Any] | None = None,
    dataset: str = "",
    progress: Progress | None = None,
) -> Trace:
    """Cluster the weights and activations of a float network, and make its tables.

    `network` should have gone through `fuse_activations`. Values of activations are seen in a float
    forward over `calibration`, without it over `samples`: over `settings.calibration_samples` of
    them, drawn by the seed. Every conv2d and linear has one codebook of its weights, every layer
    one of its output; but those that move, compare or clip codes keep that of their input, and so
    does a concat whose inputs have one in common. A function that alone reads a conv2d, linear or
    add becomes its activation, by points; others are layers of their own, by a table of codes.

    `codebooks` are those of outputs that are decided already, by layer, "input" for the network
    input: as a network was trained with.

    `references` gives float outputs by the layers of `network`; without them its float forward
    computes those of the first samples. `progress` is told samples seen, and how many will be.

    Shapes
    ------
    samples, calibration : (n, *network.input_shape)

    Raises
    ------
    TraceDataError
        A kind of layer has no tables, a setting fits no layer, a number is not finite, or a sum
        could leave its accumulator.
    """
    settings = settings or CodebookSettings()
    plan = plan_codebooks(network, settings)
    seen = _drawn(samples if calibration is None else calibration, settings, network.name)
    _need_own(plan, codebooks or {})
    observed = replace(_observe(plan, seen, settings, progress), held=codebooks or {})
    source = Quantization.of_codebook(observed.codebook(NETWORK_INPUT, settings, "input"))
    builder = TraceBuilder(
        network.name, network.input_shape, source, accumulator_bits=settings.accumulator_bits
    )
    given = _append_layers(builder, plan, observed, settings)
    n_references = min(settings.reference_samples, len(samples))
    if references is None and n_references:
        references = network.outputs(samples[:n_references], range(len(network.layers)))
    return builder.build(
        encode(samples, source),
        labels=labels,
        dataset=dataset,
        references=_renumbered(references, given) if n_references else None,
        n_references=n_references,
        provenance={
            **(make_provenance("quantize_codebooks", {}) if provenance is None else provenance),
            "codebooks": settings.as_plain(),
        },
    )


def codebooks_of_trace(
    trace: Trace, settings: CodebookSettings | None = None, *, progress: Progress | None = None
) -> Trace:
    """Cluster the float weights inside a trace, and what its own samples give.

    Samples are the real values that the trace's codes stand for. Pruning masks are held: what is 0
    stays 0; clusters, which are of the old codes, are left out. Float outputs of the last layer are
    kept where they exist, and made for all samples.

    Raises
    ------
    TraceDataError
        A layer has no float weights, or as for `quantize_codebooks`.
    """
    settings = settings or CodebookSettings()
    old, masks = trace.samples, masks_of(trace)
    network = masked_network(to_float_network(trace), masks)
    real = decode(old.codes.read(), old.quantization)
    made = quantize_codebooks(
        network,
        real,
        labels=None if old.labels is None else old.labels.read(),
        settings=settings,
        provenance={
            **make_provenance("codebooks_of_trace", {}),
            "quantized_from": {"digest": trace.digest, "provenance": dict(trace.provenance)},
        },
        dataset=old.dataset,
        progress=progress,
    )
    if settings.reference_samples:
        made = with_answers(made, network, real, trace.layers[-1].output_float)
    return with_masks(made, masks)


def _drawn(
    samples: npt.NDArray[np.floating], settings: CodebookSettings, name: str
) -> npt.NDArray[np.floating]:
    """Yield the samples that are looked at, in their order."""
    if not len(samples):
        raise TraceDataError(f"network {name}: need at least one sample to cluster, got none")
    if len(samples) <= settings.calibration_samples:
        return samples
    found: npt.NDArray[np.floating] = samples[drawn_places(len(samples), settings)]
    return found


def _need_own(plan: CodebookPlan, codebooks: Mapping[str, Codebook]) -> None:
    known = set(plan.names.values())
    for name in codebooks:
        if name not in known:
            raise TraceDataError(
                f"network {plan.network.name}: need codebooks by layers that have their own, got"
                f" {name!r}; known: {', '.join(sorted(known))}"
            )


def drawn_places(n_samples: int, settings: CodebookSettings) -> npt.NDArray[np.integer]:
    """Yield which of some samples are looked at: all, or as many as the settings say, in order."""
    if n_samples <= settings.calibration_samples:
        return np.arange(n_samples)
    rng = np.random.default_rng(settings.seed)
    return np.sort(rng.permutation(n_samples)[: settings.calibration_samples])


def _observe(
    plan: CodebookPlan,
    samples: npt.NDArray[np.floating],
    settings: CodebookSettings,
    progress: Progress | None,
) -> Observed:
    """Run the float network and count what it computes."""
    layers = plan.network.layers
    names = {index: f"layer {index} {layers[index].name!r} output" for index in plan.own}
    names[NETWORK_INPUT] = "network input"
    bits = settings.value_bits
    counts = {index: ValueCounts(name, value_bits=bits) for index, name in names.items()}
    ends: dict[int, tuple[float, float]] = {}
    for start in range(0, len(samples), _BATCH):
        counts[NETWORK_INPUT].update(samples[start : start + _BATCH].astype(np.float32))
    for index, start, output in plan.network.forward(samples, batch=_BATCH):
        if index in counts:
            counts[index].update(output)
        if index in plan.joined:
            by, low, high = plan.joined[index], float(output.min()), float(output.max())
            if not (math.isfinite(low) and math.isfinite(high)):
                raise TraceDataError(
                    f"layer {index} {layers[index].name!r} output: need finite values, got NaN or"
                    " infinity"
                )
            before = ends.get(by, (low, high))
            ends[by] = min(low, before[0]), max(high, before[1])
        if progress is not None and index == len(layers) - 1:
            progress(start + len(output), len(samples))
    return Observed(counts, ends)


def _append_layers(
    builder: TraceBuilder, plan: CodebookPlan, observed: Observed, settings: CodebookSettings
) -> list[int]:
    """Append all layers, and yield the index that each one's output had in the network given."""
    given = []
    layers, parts = plan.network.layers, {*plan.joined.values()}
    new_index = {NETWORK_INPUT: NETWORK_INPUT}
    for index, layer in enumerate(layers):
        if index in parts:
            continue
        moved = replace(layer, inputs=tuple(new_index[i] for i in layer.inputs))
        by = plan.joined.get(index, index)
        new_index[index] = new_index[by] = len(builder.layers)
        given.append(plan.given[by])
        append_tables(
            builder,
            moved,
            observed,
            settings,
            index=by,
            by_points=None if by == index else layers[by],
            is_kept=plan.origins[index] != index,
            is_raw=plan.is_raw and index == len(layers) - 1,
        )
    return given


def _renumbered(references: References | None, given: Sequence[int]) -> References | None:
    """Number float outputs as the builder's layers are."""
    if references is None:
        return None
    if callable(references):
        asked = references
        return lambda index: asked(given[index])
    held: Mapping[int, npt.NDArray[np.float32]] = references
    return {new: held[old] for new, old in enumerate(given) if old in held}
