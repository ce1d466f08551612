"""Weights of a trace put into clusters by importance; no weight changes.

Weights at the zero point add nothing: they take no part in the choice of boundaries, and are in the
last cluster. All others are ranked by importance, equal ones by their place (layer after layer,
each in C order), and cut into clusters: `cluster_bounds.py`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from fnmatch import fnmatchcase
from typing import Any

import numpy as np
import numpy.typing as npt

from bitpim_traces.cluster_rules import zero_weights_of
from bitpim_traces.errors import TraceDataError
from bitpim_traces.operators import OPERATORS
from bitpim_traces.provenance import make_provenance
from bitpim_traces.quantize.cluster_bounds import BOUNDARIES
from bitpim_traces.quantize.importance import fixed_point_shares, importances_of
from bitpim_traces.quantize.pruning_values import need_known, need_word
from bitpim_traces.records import (
    CLUSTER_IMPORTANCES,
    MAX_CLUSTERS,
    MIN_CLUSTERS,
    Clusters,
    LayerRecord,
    TensorRecord,
    Trace,
)

__all__ = ["ClusteredLayer", "Clustering", "cluster_trace"]

Floats = npt.NDArray[np.float64]
Numbers = npt.NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Clustering:
    """How weights are put into clusters.

    `importance` ranks them: by `magnitude` within each layer, `layer_relative` (magnitude over the
    layer's largest) over all layers at once, or `activation_aware` (magnitude times the mean
    magnitude of the input channel's activations) within each layer. `boundaries` cut the ranks:
    `equal_count`, `equal_importance` or `kmeans`. `layers` are names or patterns of names; all
    layers with weights where there are none.
    """

    n_clusters: int = 4
    importance: str = "magnitude"
    boundaries: str = "equal_count"
    layers: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not MIN_CLUSTERS <= self.n_clusters <= MAX_CLUSTERS:
            raise TraceDataError(
                f"clusters: need {MIN_CLUSTERS} to {MAX_CLUSTERS} clusters, got {self.n_clusters}"
            )
        need_word("clusters", "importance", self.importance, CLUSTER_IMPORTANCES)
        need_word("clusters", "boundaries", self.boundaries, tuple(BOUNDARIES))

    def as_plain(self) -> dict[str, Any]:
        """Yield settings as words and numbers, for provenance."""
        return {**asdict(self), "layers": list(self.layers)}


@dataclass(frozen=True, slots=True)
class ClusteredLayer:
    """What a layer's clusters hold: weights, and importance in steps of its largest (2**-20)."""

    name: str
    sizes: tuple[int, ...]
    importances: tuple[int, ...]

    @property
    def shares(self) -> tuple[float, ...]:
        """Share of the layer's importance in each cluster."""
        return tuple(own / sum(self.importances) for own in self.importances)


def cluster_trace(
    trace: Trace,
    clustering: Clustering | None = None,
    *,
    activations: Mapping[str, npt.NDArray[Any]] | None = None,
    again: bool = False,
) -> tuple[Trace, tuple[ClusteredLayer, ...]]:
    """Put the weights of a trace into clusters; yield it with them, and a report a layer.

    `activations` has, by the names of layers, a number for each input channel that its mean
    magnitude is proportional to, for clusters that are `activation_aware` and no others. Clusters
    of layers that are not asked for stay; with `again` those of the others are made anew.

    Raises
    ------
    TraceDataError
        A layer that is asked for has clusters already, no weights, binary ones, or fewer distinct
        importances than clusters; a cluster would be empty; activations do not fit.
    """
    clustering = clustering or Clustering()
    if (activations is not None) != (clustering.importance == "activation_aware"):
        got = "none" if activations is None else "some"
        raise TraceDataError(
            "clusters: need activations for the importance activation_aware and no other, got"
            f" {got} for {clustering.importance}"
        )
    chosen = _chosen(trace, clustering)
    _need_fit(chosen, again)
    found = [
        importances_of(layer, clustering.importance, (activations or {}).get(layer.name))
        for layer in chosen
    ]
    numbers = _numbers(chosen, found, clustering)
    reports = tuple(
        _report(layer, own, number, clustering)
        for layer, own, number in zip(chosen, found, numbers, strict=True)
    )
    index = {layer.index: number for layer, number in zip(chosen, numbers, strict=True)}
    layers = [
        replace(layer, clusters=_record(layer, index[layer.index], clustering))
        if layer.index in index
        else layer
        for layer in trace.layers
    ]
    provenance = {
        **make_provenance("cluster_trace", {}),
        "cluster": clustering.as_plain(),
        "clustered_from": {"digest": trace.digest, "provenance": dict(trace.provenance)},
    }
    made = replace(trace, layers=tuple(layers), digest="", provenance=provenance)
    return made, reports


def _chosen(trace: Trace, clustering: Clustering) -> list[LayerRecord]:
    """Yield the layers whose weights are put into clusters."""
    weighted = [layer for layer in trace.layers if layer.weight is not None]
    patterns = clustering.layers or ("*",)
    others = {x.name: x.kind for x in trace.layers if x.weight is None}
    names = [layer.name for layer in weighted]
    for pattern in patterns:
        without = [name for name in others if fnmatchcase(name, pattern)]
        if without and not any(fnmatchcase(name, pattern) for name in names):
            kinds = ", ".join(kind for kind, o in OPERATORS.items() if o.has_weight)
            raise TraceDataError(
                f"clusters: layer {without[0]!r}: need a kind with weights ({kinds}), got"
                f" {others[without[0]]}"
            )
    need_known(patterns, names, "clusters", "layers with weights", "names of")
    return [x for x in weighted if any(fnmatchcase(x.name, pattern) for pattern in patterns)]


def _need_fit(layers: Sequence[LayerRecord], again: bool) -> None:
    """Raise TraceDataError where weights may have no clusters, or have some already."""
    for layer in layers:
        if layer.clusters is not None and not again:
            raise TraceDataError(
                f"clusters: layer {layer.name!r}: need weights without clusters, got"
                f" {layer.clusters.count}; --replace (in Python again=True) makes them anew"
            )
        if layer.weight_quantization is not None and layer.weight_quantization.binary:
            raise TraceDataError(
                f"clusters: layer {layer.name!r}: need weights that may be 0, for clusters that are"
                " left out are, got binary ones; quantize it with weight_values ternary or codes"
            )


def _numbers(
    layers: Sequence[LayerRecord], importances: Sequence[Floats], clustering: Clustering
) -> list[Numbers]:
    """Yield the cluster of every weight of each layer."""
    kept = [~zero_weights_of(layer) for layer in layers]
    ranked = [found[own] for found, own in zip(importances, kept, strict=True)]
    for layer, own in zip(layers, ranked, strict=True):
        _need_distinct(layer, own, clustering)
    if clustering.importance == "layer_relative":
        every = _ranked_clusters(np.concatenate(ranked), clustering)
        parts = np.split(every, np.cumsum([own.size for own in ranked])[:-1])
    else:
        parts = [_ranked_clusters(own, clustering) for own in ranked]
    numbers = []
    for places, part in zip(kept, parts, strict=True):
        number = np.full(places.shape, clustering.n_clusters - 1, np.uint8)
        number[places] = part
        numbers.append(number)
    return numbers


def _need_distinct(layer: LayerRecord, importances: Floats, clustering: Clustering) -> None:
    n_distinct = np.count_nonzero(np.bincount(fixed_point_shares(importances)))
    if clustering.n_clusters > n_distinct:
        aware = clustering.importance == "activation_aware"
        raise TraceDataError(
            f"clusters: layer {layer.name!r}: need at most {n_distinct} clusters, for its weights"
            f" that are not 0 have {n_distinct} distinct {'importances' if aware else 'magnitudes'}"
            f", got {clustering.n_clusters}; ask for fewer, or leave the layer out"
        )


def _ranked_clusters(importances: Floats, clustering: Clustering) -> Numbers:
    """Yield the cluster of weights that are ranked together; equal ones by their place."""
    order = np.argsort(-importances, kind="stable")
    shares = fixed_point_shares(importances)[order]
    cuts = BOUNDARIES[clustering.boundaries](shares, clustering.n_clusters)
    sizes = np.diff([0, *cuts, len(order)])
    numbers = np.empty(len(order), np.uint8)
    numbers[order] = np.repeat(np.arange(clustering.n_clusters, dtype=np.uint8), sizes)
    return numbers


def _report(
    layer: LayerRecord, importances: Floats, numbers: Numbers, clustering: Clustering
) -> ClusteredLayer:
    """Report what is in clusters, if there is something in each."""
    shares = fixed_point_shares(importances)
    sizes = [int(np.count_nonzero(numbers == k)) for k in range(clustering.n_clusters)]
    if 0 in sizes:
        raise TraceDataError(
            f"clusters: layer {layer.name!r}: need a weight in each of {clustering.n_clusters}"
            f" clusters, got none in cluster {sizes.index(0)} by {clustering.boundaries} of"
            f" {clustering.importance}; ask for fewer clusters, or for other boundaries"
        )
    sums = [int(shares[numbers == k].sum()) for k in range(clustering.n_clusters)]
    return ClusteredLayer(layer.name, tuple(sizes), tuple(sums))


def _record(layer: LayerRecord, numbers: Numbers, clustering: Clustering) -> Clusters:
    assert layer.weight is not None
    index = TensorRecord.of(numbers, axes=layer.weight.axes, role="index", units="1")
    return Clusters(index, clustering.n_clusters, clustering.importance, clustering.boundaries)
