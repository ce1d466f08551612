"""Clusters in files, there and back; networks masked to some of them."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bitpim.proof.reference import run_network
from bitpim_traces import check_trace, open_trace, write_trace
from bitpim_traces.clusters import (
    masked_layer,
    masked_to_clusters,
    n_clusters_of,
    without_clusters,
)
from bitpim_traces.errors import TraceDataError, TraceError
from bitpim_traces.quantize import Clustering, LanePruning, cluster_trace, prune_trace
from bitpim_traces.records import LayerRecord, Trace
from bitpim_traces.versions import minor_of
from tests.clustered_layers import network_with_zeros
from tests.strategies import small_trace
from tests.traces.edits import redo_digests

RULES = [
    Clustering(2, "magnitude", "kmeans"),
    Clustering(3, "layer_relative", "equal_importance"),
    Clustering(4, "magnitude", "equal_count"),
]


@pytest.fixture(scope="module")
def dense() -> Trace:
    return network_with_zeros()


@pytest.fixture(scope="module")
def clustered(dense: Trace) -> Trace:
    return cluster_trace(dense, Clustering(3))[0]


# --- there and back


@pytest.mark.parametrize("rule", RULES, ids=lambda r: f"{r.importance}-{r.boundaries}")
def test_a_file_gives_back_what_was_written(dense: Trace, rule: Clustering, tmp_path: Path) -> None:
    trace, _ = cluster_trace(dense, rule)
    path = tmp_path / "net.h5"
    write_trace(trace, path)
    assert check_trace(path, deep=True) == []
    with open_trace(path) as found:
        assert n_clusters_of(found) == rule.n_clusters
        for layer, its in zip(found.layers, trace.layers, strict=True):
            assert (layer.clusters is None) == (layer.weight is None)
            if layer.clusters is None or its.clusters is None:
                continue
            got = layer.clusters
            assert (got.count, got.importance, got.boundaries) == (
                rule.n_clusters, rule.importance, rule.boundaries,
            )  # fmt: skip
            assert layer.weight is not None
            assert got.index.shape == layer.weight.shape
            assert got.index.dtype == np.uint8
            np.testing.assert_array_equal(got.index.read(), its.clusters.index.read())
    with h5py.File(path) as file:
        group = file["layers/0000/clusters"]
        assert {name: group.attrs[name] for name in group.attrs} == {
            "count": rule.n_clusters,
            "importance": rule.importance.encode(),
            "boundaries": rule.boundaries.encode(),
        }
        assert file.attrs["format_version"].tolist() == [1, 3]
        assert group["index"].attrs["role"] == b"index"


def test_without_clusters_it_is_the_file_it_was(
    dense: Trace, clustered: Trace, tmp_path: Path
) -> None:
    assert (minor_of(dense), minor_of(clustered)) == (0, 3)
    bare = replace(without_clusters(clustered), provenance=dense.provenance)
    assert without_clusters(dense) is dense
    assert without_clusters(clustered).digest == ""
    for name, trace in (("a", dense), ("b", bare)):
        write_trace(trace, tmp_path / name)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_clusters_change_no_output(dense: Trace, clustered: Trace) -> None:
    codes = dense.samples.codes.read()
    one, other = (run_network(trace, codes, keep="all") for trace in (dense, clustered))
    for index, outputs in one.items():
        np.testing.assert_array_equal(outputs, other[index])


def test_an_older_version_has_no_clusters(clustered: Trace, tmp_path: Path) -> None:
    path = tmp_path / "net.h5"
    write_trace(clustered, path)
    with h5py.File(path, "r+") as file:
        file.attrs.create("format_version", np.array([1, 2]), dtype="<i8")
    redo_digests(path)
    with pytest.raises(TraceError, match=r"1\.3, which first had what the file uses"):
        open_trace(path)


# --- masked to the first clusters


def codes_of(layer: LayerRecord) -> Any:
    return None if layer.weight is None else layer.weight.read()


@given(st.integers(0, 300), st.integers(2, 3))
@settings(max_examples=40, deadline=None)
def test_weights_of_later_clusters_are_at_their_zero_points(seed: int, n: int) -> None:
    trace = small_trace(seed, kinds=["conv2d", "linear"], n_samples=1, bits=(4, 8))
    try:
        made, _ = cluster_trace(trace, Clustering(n))
    except TraceDataError:  # too few magnitudes
        return
    for last in range(n):
        masked = masked_to_clusters(made, last)
        for layer, its in zip(masked.layers, made.layers, strict=True):
            assert layer.clusters is None
            if its.clusters is None:
                assert layer is its
                continue
            assert its.weight is not None and its.weight_quantization is not None
            expected, number = its.weight.read().copy(), its.clusters.index.read()
            zeros = np.broadcast_to(its.weight_quantization.zero_point, (len(expected),))
            for place in np.ndindex(*expected.shape):
                if number[place] > last:
                    expected[place] = zeros[place[0]]
            found = codes_of(layer)
            assert found.dtype == expected.dtype
            np.testing.assert_array_equal(found, expected)
            assert layer.weight is not None
            assert (layer.weight.load is its.weight.load) == (last == n - 1)
            half = len(expected) // 2
            np.testing.assert_array_equal(layer.weight.read(half, None), expected[half:])
    codes = trace.samples.codes.read()
    whole = run_network(masked_to_clusters(made, n - 1), codes)
    for index, outputs in run_network(trace, codes).items():
        np.testing.assert_array_equal(whole[index], outputs)


def test_layers_with_fewer_clusters_or_none_keep_their_weights(dense: Trace) -> None:
    made, _ = cluster_trace(dense, Clustering(4, layers=("conv1",)))
    made, _ = cluster_trace(made, Clustering(2, layers=("conv2",)))
    masked = masked_to_clusters(made, 1)
    same = {
        layer.name: np.array_equal(codes_of(layer), codes_of(its))
        for layer, its in zip(masked.layers, made.layers, strict=True)
        if layer.weight is not None
    }
    assert same.pop("conv1") is False
    assert all(same.values()) and len(same) > 2
    first = masked_layer(made.layers[1], 0)
    assert not np.array_equal(codes_of(first), codes_of(made.layers[1]))
    assert first.bias is made.layers[1].bias
    assert first.weight_float is made.layers[1].weight_float


def test_a_masked_network_can_be_written(clustered: Trace, tmp_path: Path) -> None:
    write_trace(masked_to_clusters(clustered, 0), tmp_path / "masked.h5")
    assert check_trace(tmp_path / "masked.h5", deep=True) == []
    with open_trace(tmp_path / "masked.h5") as found:
        assert n_clusters_of(found) == 0


@pytest.mark.parametrize("last", [-1, 3, 8])
def test_clusters_that_there_are_not(clustered: Trace, dense: Trace, last: int) -> None:
    with pytest.raises(TraceDataError, match=f"need a last cluster from 0 to 2, got {last}"):
        masked_to_clusters(clustered, last)
    with pytest.raises(TraceDataError, match="need clusters of weights, got none; make them with"):
        masked_to_clusters(dense, last)
    if last < 0:
        with pytest.raises(TraceDataError, match="need a last cluster from 0, got -1"):
            masked_layer(clustered.layers[0], last)


def test_pruned_weights_are_in_the_last_cluster(dense: Trace, tmp_path: Path) -> None:
    pruned, _ = prune_trace(dense, LanePruning(0.5, skip_first=False))
    made, reports = cluster_trace(pruned, Clustering(2))
    write_trace(made, tmp_path / "net.h5")
    assert check_trace(tmp_path / "net.h5", deep=True) == []
    for layer in made.layers:
        if "pruning_mask" in layer.extra and layer.clusters is not None:
            mask = layer.extra["pruning_mask"].read()
            assert (layer.clusters.index.read()[mask == 0] == 1).all()
    conv1 = reports[0]
    assert conv1.sizes[0] < conv1.sizes[1] / 2 and conv1.shares[0] > 0.6
