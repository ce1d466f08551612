"""Clusters of weights against a twin of lists and fractions; every wrong request is one error."""

from dataclasses import replace
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bitpim_traces.clusters import n_clusters_of
from bitpim_traces.codebook import Codebook
from bitpim_traces.errors import TraceDataError
from bitpim_traces.quantize import (
    Clustering,
    CodebookSettings,
    LanePruning,
    Settings,
    at_level,
    cluster_trace,
    codebooks_of_trace,
    prune_trace,
    requantize_trace,
)
from bitpim_traces.records import (
    CLUSTER_BOUNDARIES,
    CLUSTER_IMPORTANCES,
    LayerRecord,
    Quantization,
    Trace,
)
from bitpim_traces.synthetic import synthetic_network
from tests.clustered_layers import layer_of, line, trace_of
from tests.naive import clusters as naive


def clusters_in(trace: Trace, index: int = 0) -> list[int]:
    clusters = trace.layers[index].clusters
    assert clusters is not None
    return [int(k) for k in clusters.index.read().reshape(-1)]


@st.composite
def weighted_layers(draw: st.DrawFn) -> list[tuple[LayerRecord, np.ndarray[Any, Any]]]:
    """One to three layers and an activation of each input channel."""
    made = []
    for index in range(draw(st.integers(1, 3))):
        groups = draw(st.sampled_from([None, 1, 2]))
        n_out, n_in = (groups or 1) * draw(st.integers(1, 3)), draw(st.integers(1, 3))
        shape = (n_out, n_in) if groups is None else (n_out, n_in, 1, draw(st.integers(1, 2)))
        bits, signed = draw(st.integers(2, 5)), draw(st.booleans())
        low = -(1 << (bits - 1)) if signed else 0
        codes = st.integers(low, low + (1 << bits) - 1)
        n = n_out if draw(st.booleans()) else 1
        scales = draw(st.lists(st.sampled_from([0.25, 0.5, 0.75, 1.5]), min_size=n, max_size=n))
        zeros = draw(st.lists(codes, min_size=n, max_size=n))
        quantization = Quantization(
            bits, signed, np.array(scales), np.array(zeros), 0 if n > 1 else None
        )
        size = int(np.prod(shape))
        values = np.array(draw(st.lists(codes, min_size=size, max_size=size))).reshape(shape)
        n_channels = n_in * (groups or 1)
        activations = draw(st.lists(st.integers(0, 5), min_size=n_channels, max_size=n_channels))
        made.append((layer_of(index, values, quantization, groups=groups), np.array(activations)))
    return made


def written_out(
    layer: LayerRecord, importance: str, activations: np.ndarray[Any, Any]
) -> naive.Weights:
    """The importances of a layer, weight by weight."""
    assert layer.weight is not None and layer.weight_quantization is not None
    q, codes = layer.weight_quantization, layer.weight.read()
    groups = 1 if layer.geometry is None else layer.geometry.groups
    found: naive.Weights = []
    for place in np.ndindex(*codes.shape):
        channel = place[0] if q.axis == 0 else 0
        steps = abs(int(codes[place]) - int(q.zero_point[channel]))
        value = steps * Fraction(float(q.scale[channel]))
        if importance == "activation_aware":
            group = place[0] // (codes.shape[0] // groups)
            value *= int(activations[group * codes.shape[1] + place[1]])
        found.append(value if steps else None)
    if importance == "layer_relative":
        largest = max((w for w in found if w is not None), default=Fraction(1))
        found = [None if w is None else w / largest for w in found]
    return found


@given(
    weighted_layers(),
    st.integers(2, 4),
    st.sampled_from(CLUSTER_IMPORTANCES),
    st.sampled_from(CLUSTER_BOUNDARIES),
)
@settings(max_examples=300, deadline=None)
def test_clusters_are_those_of_the_twin(
    given_layers: list[tuple[LayerRecord, Any]], n: int, importance: str, boundaries: str
) -> None:
    layers = [layer for layer, _ in given_layers]
    aware = importance == "activation_aware"
    activations = {layer.name: channels for layer, channels in given_layers} if aware else None
    weights = [written_out(layer, importance, channels) for layer, channels in given_layers]
    enough = all(len({*naive.shares_of([w for w in x if w is not None])}) >= n for x in weights)
    pools = [weights] if importance == "layer_relative" else [[own] for own in weights]
    expected = [naive.numbers_of(pool, n, boundaries) for pool in pools] if enough else [None]
    clustering = Clustering(n, importance, boundaries)
    if None in expected:
        with pytest.raises(TraceDataError, match=r"need a weight in each|need at most"):
            cluster_trace(trace_of(*layers), clustering, activations=activations)
        return
    made, reports = cluster_trace(trace_of(*layers), clustering, activations=activations)
    flat = [numbers for pool in expected if pool is not None for numbers in pool]
    found = [clusters_in(made, layer.index) for layer in layers]
    if boundaries == "kmeans":
        chosen_of = [found] if importance == "layer_relative" else [[own] for own in found]
        for pool, chosen in zip(pools, chosen_of, strict=True):
            assert kmeans_cost(pool, chosen) == kmeans_cost(pool, best_of(pool, n))
    else:
        assert found == flat
    for layer, own, numbers, report in zip(layers, weights, found, reports, strict=True):
        shares = naive.shares_of([w or Fraction(0) for w in own])
        assert report.name == layer.name
        assert report.sizes == tuple(numbers.count(k) for k in range(n))
        sums = [sum(s for s, k in zip(shares, numbers, strict=True) if k == c) for c in range(n)]
        assert report.importances == tuple(sums)
        assert report.shares == pytest.approx([s / sum(sums) for s in sums])


def best_of(pool: list[naive.Weights], n: int) -> list[list[int]]:
    found = naive.numbers_of(pool, n, "kmeans")
    assert found is not None
    return found


def kmeans_cost(pool: list[naive.Weights], numbers: list[list[int]]) -> Fraction:
    """What clusters of weights that are not 0 cost, in all layers that are ranked together."""
    kept = [
        (w, k)
        for own, of_own in zip(pool, numbers, strict=True)
        for w, k in zip(own, of_own, strict=True)
        if w is not None
    ]
    return naive.cost_of(naive.shares_of([w for w, _ in kept]), [k for _, k in kept])


def test_scales_of_channels_count() -> None:
    quantization = Quantization(8, True, np.array([1.0, 0.125]), np.zeros(2, np.int64), 0)
    made, _ = cluster_trace(trace_of(layer_of(0, [[1, 2], [9, 3]], quantization)), Clustering(2))
    assert clusters_in(made) == [1, 0, 0, 1]  # 1, 2, 1.125, 0.375


def test_values_of_a_codebook_count() -> None:
    book = Codebook(np.array([-9, 0, 2, 5], np.int64), 0, 8)
    layer = layer_of(0, [[0, 1, 2, 3, 1, 3]], Quantization.of_codebook(book))
    made, _ = cluster_trace(trace_of(layer), Clustering(3))
    assert clusters_in(made) == [0, 2, 2, 0, 2, 1]  # 9 5 | 5 | 2, and what is 0
    made, _ = cluster_trace(trace_of(layer), Clustering(3, boundaries="kmeans"))
    assert clusters_in(made) == [0, 2, 2, 1, 2, 1]


def test_equal_weights_are_taken_by_their_place() -> None:
    made, _ = cluster_trace(trace_of(line(5, -5, 5, 2, 5, -2)), Clustering(2))
    assert clusters_in(made) == [0, 0, 0, 1, 1, 1]


def test_zeros_are_in_the_last_cluster_and_count_for_nothing() -> None:
    made, (report,) = cluster_trace(trace_of(line(0, 4, 0, 3, 0, 2, 0, 1, 0)), Clustering(2))
    assert clusters_in(made) == [1, 0, 1, 0, 1, 1, 1, 1, 1]
    assert report.sizes == (2, 7)
    assert report.shares == pytest.approx((0.7, 0.3))


# --- one error each


def refused(trace: Trace, clustering: Clustering | None = None, **more: Any) -> str:
    with pytest.raises(TraceDataError) as caught:
        cluster_trace(trace, clustering, **more)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("n", [-1, 0, 1, 9])
def test_two_to_eight_clusters(n: int) -> None:
    with pytest.raises(TraceDataError, match=f"need 2 to 8 clusters, got {n}"):
        Clustering(n)


def test_unknown_rules() -> None:
    with pytest.raises(TraceDataError, match="need importance among magnitude, layer_relative, "):
        Clustering(importance="size")
    with pytest.raises(TraceDataError, match="need boundaries among equal_count, equal_importance"):
        Clustering(boundaries="otsu")


@pytest.mark.parametrize("boundaries", CLUSTER_BOUNDARIES)
def test_more_clusters_than_magnitudes(boundaries: str) -> None:
    trace = trace_of(line(3, -3, 1, 0, 3, 1))
    cluster_trace(trace, Clustering(2, boundaries=boundaries))
    said = refused(trace, Clustering(3, boundaries=boundaries))
    assert said.startswith("clusters: layer 'layer0': need at most 2 clusters")
    assert "have 2 distinct magnitudes, got 3; ask for fewer" in said
    assert "need at most 0 clusters" in refused(trace_of(line(0, 0)), Clustering(2))


def test_more_clusters_than_importances() -> None:
    activations = {"layer0": [0, 0, 1]}
    said = refused(
        trace_of(line(3, 2, 1)), Clustering(3, "activation_aware"), activations=activations
    )
    assert "need at most 2 clusters, for its weights that are not 0 have 2 distinct impo" in said


def test_an_empty_cluster() -> None:
    said = refused(trace_of(line(120, 4, 2, 1)), Clustering(4, boundaries="equal_importance"))
    assert said == (
        "clusters: layer 'layer0': need a weight in each of 4 clusters, got none in cluster 1 by"
        " equal_importance of magnitude; ask for fewer clusters, or for other boundaries"
    )
    one, other = line(9, 8), replace(line(9, 1, 2, 3), index=1, name="other")
    said = refused(trace_of(one, other), Clustering(2, "layer_relative"))
    assert "layer 'layer0': need a weight in each of 2 clusters, got none in cluster 1 by" in said


def test_a_layer_without_weights() -> None:
    tiny = synthetic_network("tiny", 1)
    pool = next(layer for layer in tiny.layers if layer.kind == "max_pool2d")
    said = refused(tiny, Clustering(layers=(pool.name,)))
    assert f"layer {pool.name!r}: need a kind with weights (conv2d, linear), got max_pool" in said
    said = refused(tiny, Clustering(layers=("conv1", "konv2")))
    assert "need names of layers with weights, got 'konv2'; did you mean 'conv2'?" in said


def test_binary_weights_have_no_zero() -> None:
    quantization = Quantization(2, True, np.array([1.0, 0.5]), np.zeros(2, np.int64), 0, True)
    said = refused(trace_of(layer_of(0, [[1, -1], [-1, 1]], quantization)), Clustering(2))
    assert "layer 'layer0': need weights that may be 0" in said


@pytest.mark.parametrize(
    ("activations", "need"),
    [
        (None, "need activations for the importance activation_aware and no other, got none"),
        ({}, "layer 0 'layer0': need the activation of each of 3 input channels"),
        ({"layer0": [1, 2]}, "need activations of 3 input channels, got shape (2,)"),
        ({"layer0": [[1, 2, 3]]}, "need activations of 3 input channels, got shape (1, 3)"),
        ({"layer0": [1, -2, 3]}, "need finite activations from 0, got -2"),
        ({"layer0": [1, np.nan, 3]}, "need finite activations from 0, got nan"),
        ({"layer0": [1, np.inf, 3]}, "need finite activations from 0"),
    ],
)
def test_activations_that_do_not_fit(activations: Any, need: str) -> None:
    aware = Clustering(2, "activation_aware")
    assert need in refused(trace_of(line(3, 2, 1)), aware, activations=activations)
    assert "got some for magnitude" in refused(trace_of(line(3, 2)), activations={})


def test_clusters_that_are_there_stay_unless_they_are_asked_for() -> None:
    tiny = synthetic_network("tiny", 4)
    first, _ = cluster_trace(tiny, Clustering(2, layers=("conv1",)))
    both, reports = cluster_trace(first, Clustering(3, boundaries="kmeans", layers=("conv2",)))
    assert [report.name for report in reports] == ["conv2"]
    rules = {x.name: x.clusters.count for x in both.layers if x.clusters is not None}
    assert rules == {"conv1": 2, "conv2": 3}
    assert "layer 'conv1': need weights without clusters, got 2; --replace" in refused(both)
    again, _ = cluster_trace(both, Clustering(5, layers=("conv[1]",)), again=True)
    rules = {x.name: x.clusters.count for x in again.layers if x.clusters is not None}
    assert rules == {"conv1": 5, "conv2": 3}
    assert again.provenance["cluster"]["layers"] == ["conv[1]"]
    assert again.provenance["clustered_from"]["provenance"]["cluster"]["n_clusters"] == 3


# --- weights that become others


def test_makers_of_other_weights_leave_clusters_out() -> None:
    tiny = synthetic_network("tiny", 4, n_samples=2)
    made, _ = cluster_trace(tiny)
    assert n_clusters_of(made) == 4
    pruned, _ = prune_trace(made, LanePruning(0.5))
    for other in (
        pruned,
        requantize_trace(made, Settings(weight_bits=6)),
        codebooks_of_trace(made, CodebookSettings(weight_codes=16, input_codes=16)),
    ):
        assert n_clusters_of(other) == 0
        assert {x.name for x in other.layers if x.weight is not None}


def test_a_level_keeps_clusters_of_weights_that_stay() -> None:
    tiny = synthetic_network("tiny", 4, n_samples=2)
    tables = codebooks_of_trace(tiny, CodebookSettings(weight_codes=16, input_codes=16))
    made, _ = cluster_trace(tables, Clustering(2))
    assert n_clusters_of(at_level(made, weight_levels=4)) == 0
    same = at_level(made, input_levels=4)
    assert n_clusters_of(same) == 2
    for one, other in zip(made.layers, same.layers, strict=True):
        if one.clusters is not None and other.clusters is not None:
            np.testing.assert_array_equal(one.clusters.index.read(), other.clusters.index.read())
