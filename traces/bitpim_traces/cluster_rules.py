"""Clusters of a layer's weights: what they have to be, by the records alone and by all values."""

from collections.abc import Callable
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from bitpim_traces.faults import Fault, Report
from bitpim_traces.numbers.affine import real_values
from bitpim_traces.records import (
    CLUSTER_BOUNDARIES,
    CLUSTER_IMPORTANCES,
    MAX_CLUSTERS,
    MIN_CLUSTERS,
    LayerRecord,
)

__all__ = ["check_cluster_values", "check_clusters", "magnitudes_of", "zero_weights_of"]

Say = Callable[[str, str, object], None]

_BY_MAGNITUDE = ("magnitude", "layer_relative")
"""Importances by which no weight of a cluster is larger than one of a cluster before."""


def magnitudes_of(layer: LayerRecord) -> npt.NDArray[np.float64]:
    """Yield the magnitude of each weight: |code - zero point| times the scale of its channel.

    The product is rounded once, to float64; scales that are float32 numbers, as all makers of
    bitpim choose them, give it exactly. Of a codebook it is the magnitude of the code's value.

    Shapes
    ------
    result : that of the weight
    """
    assert layer.weight is not None and layer.weight_quantization is not None
    codes = layer.weight.load(0, layer.weight.shape[0])
    return np.abs(real_values(codes.astype(np.int64), layer.weight_quantization))


def zero_weights_of(layer: LayerRecord) -> npt.NDArray[np.bool_]:
    """Say which weights are at the zero point of their channel, and so add nothing.

    Shapes
    ------
    result : that of the weight
    """
    assert layer.weight is not None and layer.weight_quantization is not None
    weight = layer.weight.load(0, layer.weight.shape[0])
    zero = layer.weight_quantization.zero_point.reshape(-1, *[1] * (weight.ndim - 1))
    found: npt.NDArray[np.bool_] = weight == zero
    return found


def check_clusters(layer: LayerRecord, say: Say) -> None:
    """Check the rule of a layer's clusters and the form of their index, reading no values."""
    clusters = layer.clusters
    if clusters is None:
        return
    if layer.weight is None:
        say("clusters", "clusters where there are weights only", layer.kind)
        return
    if not MIN_CLUSTERS <= clusters.count <= MAX_CLUSTERS:
        say("clusters@count", f"{MIN_CLUSTERS} to {MAX_CLUSTERS}", clusters.count)
    words = {"importance": CLUSTER_IMPORTANCES, "boundaries": CLUSTER_BOUNDARIES}
    for name, known in words.items():
        got = getattr(clusters, name)
        if got not in known:
            say(f"clusters@{name}", f"one of {', '.join(known)}", got)
    index, shape = clusters.index, layer.weight.shape
    if index.dtype != np.uint8 or index.shape != shape:
        say("clusters/index", f"uint8 of {shape}", f"{index.dtype} of {index.shape}")
    quantization = layer.weight_quantization
    if quantization is not None and quantization.binary:
        say("clusters", "weights that may be 0, for clusters that are left out are", "binary ones")


def check_cluster_values(layer: LayerRecord, report: Report) -> None:
    """Check a layer's clusters against its weights; their form is in order."""
    clusters = layer.clusters
    if clusters is None:
        return

    def say(need: str, got: str) -> None:
        report(Fault(f"/layers/{layer.index:04d}/clusters/index", need, got, "data"))

    index = clusters.index.load(0, clusters.index.shape[0])
    sizes = np.bincount(index.reshape(-1), minlength=clusters.count)
    if len(sizes) > clusters.count:
        say(f"clusters 0..{clusters.count - 1}", f"{len(sizes) - 1}")
        return
    if not sizes.all():
        say("a weight in each cluster", f"none in cluster {int(np.argmin(sizes))}")
        return
    zeros_before = zero_weights_of(layer) & (index != clusters.count - 1)
    if zeros_before.any():
        place = tuple(int(n) for n in np.argwhere(zeros_before)[0])
        need = f"weights at their zero point in the last cluster, {clusters.count - 1}"
        say(need, f"cluster {int(index[place])} at {place}")
    elif clusters.importance in _BY_MAGNITUDE:
        _check_order(magnitudes_of(layer), index, say)


def _check_order(
    magnitudes: npt.NDArray[np.float64],
    index: npt.NDArray[np.uint8],
    say: Callable[[str, str], None],
) -> None:
    """Check that no weight of a cluster is larger than one of a cluster before."""
    of_each = [magnitudes[index == k] for k in range(int(index.max()) + 1)]
    for k, (before, after) in enumerate(pairwise(of_each)):
        if after.max() > before.min():
            need = f"no weight in cluster {k + 1} larger than one in cluster {k}"
            say(need, f"{after.max():g} and {before.min():g}")
            return
