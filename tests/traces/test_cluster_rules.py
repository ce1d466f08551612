"""Every rule of FORMAT.md on clusters, broken once."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from bitpim.proof.reference import run_network
from bitpim_traces import check_trace, open_trace, write_trace
from bitpim_traces.clusters import (
    masked_layer,
    masked_to_clusters,
)
from bitpim_traces.errors import TraceDataError, TraceError
from bitpim_traces.faults import Fault
from bitpim_traces.quantize import Clustering, Settings, cluster_trace
from bitpim_traces.records import Clusters, TensorRecord, Trace
from bitpim_traces.rules import check_rules
from bitpim_traces.synthetic import synthetic_network
from bitpim_traces.value_rules import check_values
from tests.clustered_layers import clusters_of, network_with_zeros
from tests.traces.edits import redo_digests, set_text


@pytest.fixture(scope="module")
def dense() -> Trace:
    return network_with_zeros()


@pytest.fixture(scope="module")
def clustered(dense: Trace) -> Trace:
    return cluster_trace(dense, Clustering(3))[0]


def changed(trace: Trace, **changes: Any) -> Trace:
    """Change the clusters of the first layer."""
    first = replace(trace.layers[0], clusters=replace(clusters_of(trace), **changes))
    return replace(trace, layers=(first, *trace.layers[1:]))


def tensor(values: Any, axes: str = "OIHW") -> TensorRecord:
    return TensorRecord.of(values, axes=axes, role="index", units="1")


def faults_of(trace: Trace, check: Any = check_rules) -> list[str]:
    found: list[Fault] = []
    check(trace, found.append)
    return [str(fault) for fault in found]


def test_rules_of_the_records(clustered: Trace, tmp_path: Path) -> None:
    index = clusters_of(clustered).index.read()
    wrong: list[tuple[dict[str, Any], str]] = [
        ({"count": 1}, "@count: need 2 to 8, got 1"),
        ({"count": 9}, "@count: need 2 to 8, got 9"),
        ({"importance": "size"}, "@importance: need one of magnitude, layer_relative, "),
        ({"boundaries": "otsu"}, "@boundaries: need one of equal_count, equal_importance, km"),
        ({"index": tensor(index.astype(np.int8))}, "/index: need uint8 of (4, 3, 3, 3), got int8"),
        ({"index": tensor(index[:-1])}, "/index: need uint8 of (4, 3, 3, 3), got uint8 of (3,"),
        ({"index": tensor(index[0], "IHW")}, "/index: need uint8 of (4, 3, 3, 3), got uint8 of"),
    ]
    for changes, need in wrong:
        (fault,) = faults_of(changed(clustered, **changes))
        assert fault.startswith(f"/layers/0000/clusters{need}")
        with pytest.raises(TraceError, match="clusters"):
            write_trace(changed(clustered, **changes), tmp_path / "bad.h5")
        assert not (tmp_path / "bad.h5").exists()


def test_clusters_only_where_there_are_weights(clustered: Trace) -> None:
    layers = list(clustered.layers)
    bare = next(layer for layer in layers if layer.weight is None)
    layers[bare.index] = replace(bare, clusters=clusters_of(clustered))
    (fault,) = faults_of(replace(clustered, layers=tuple(layers)))
    assert fault == (
        f"/layers/{bare.index:04d}/clusters: need clusters where there are weights only, got"
        f" {bare.kind}"
    )


def test_binary_weights_have_no_clusters() -> None:
    trace = synthetic_network("tiny", 1, settings=Settings(weight_values="binary"))
    shape = trace.layers[0].weight.shape if trace.layers[0].weight is not None else ()
    index = np.arange(np.prod(shape, dtype=int)).reshape(shape) % 2
    clusters = Clusters(tensor(index.astype(np.uint8)), 2, "magnitude", "equal_count")
    layer = replace(trace.layers[0], clusters=clusters)
    (fault,) = faults_of(replace(trace, layers=(layer, *trace.layers[1:])))
    assert "/layers/0000/clusters: need weights that may be 0" in fault
    with pytest.raises(TraceDataError, match="'conv1': need weights that may be 0"):
        masked_layer(layer, 0)


@pytest.mark.parametrize(
    ("name", "value", "need"),
    [
        ("count", 12, "/layers/0000/clusters@count: need 2 to 8, got 12"),
        ("importance", "size", "/layers/0000/clusters@importance: need one of magnitude, "),
        ("boundaries", "otsu", "/layers/0000/clusters@boundaries: need one of equal_count, "),
    ],
)
def test_attributes_of_a_file(
    clustered: Trace, tmp_path: Path, name: str, value: Any, need: str
) -> None:
    path = tmp_path / "net.h5"
    write_trace(clustered, path)
    with h5py.File(path, "r+") as file:
        group = file["layers/0000/clusters"]
        if isinstance(value, str):
            set_text(group, name, value)
        else:
            group.attrs.create(name, np.array(value), dtype="<i8")
    redo_digests(path)
    with pytest.raises(TraceError) as caught:
        open_trace(path)
    assert need in str(caught.value)
    with h5py.File(path, "r+") as file:
        del file["layers/0000/clusters"].attrs[name]
    redo_digests(path)
    with pytest.raises(TraceError, match=f"clusters@{name}"):
        open_trace(path)


def test_rules_of_the_values(clustered: Trace, tmp_path: Path) -> None:
    layer = clustered.layers[0]
    assert layer.weight is not None and layer.weight_quantization is not None
    index, weight = clusters_of(clustered).index.read(), layer.weight.read()
    zero = layer.weight_quantization.zero_point.reshape(-1, 1, 1, 1)
    size = np.abs(weight - zero) * layer.weight_quantization.scale.reshape(-1, 1, 1, 1)
    beyond, empty, early, swapped, late = (index.copy() for _ in range(5))
    beyond[2, 1, 0, 0] = 3
    empty[index == 1] = 2
    at = tuple(int(n) for n in np.argwhere(weight == zero)[0])
    early[at] = 1
    largest = np.unravel_index(np.argmax(size), size.shape)
    swapped[largest] = 2
    middle = float(np.sort(size[index == 0])[(index == 0).sum() // 2])
    late[size == middle] = 1  # larger than the least of cluster 0, and not than its largest
    for values, need in (
        (beyond, "need clusters 0..2, got 3"),
        (empty, "need a weight in each cluster, got none in cluster 1"),
        (
            early,
            f"need weights at their zero point in the last cluster, 2, got cluster 1 at {at}",
        ),
        (swapped, "need no weight in cluster 2 larger than one in cluster 1, got "),
        (late, f"need no weight in cluster 1 larger than one in cluster 0, got {middle:g} and "),
    ):
        bad = changed(clustered, index=tensor(values))
        (fault,) = faults_of(bad, check_values)
        assert fault.startswith(f"/layers/0000/clusters/index: {need}")
        path = tmp_path / "net.h5"
        write_trace(bad, path, overwrite=True)
        assert [str(f) for f in check_trace(path, deep=True)] == [fault]
        assert check_trace(path) == []
    aware = changed(clustered, index=tensor(swapped), importance="activation_aware")
    assert faults_of(aware, check_values) == []  # activations are not in the file
    relative = changed(clustered, index=tensor(swapped), importance="layer_relative")
    assert len(faults_of(relative, check_values)) == 1


def test_a_cluster_beyond_is_refused_when_it_is_read(clustered: Trace) -> None:
    index = clusters_of(clustered).index.read().copy()
    index[0, 0, 0, 1] = 7
    bad = changed(clustered, index=tensor(index))
    with pytest.raises(TraceDataError, match=r"layer 0 'conv1' clusters: need clusters 0\.\.2"):
        clusters_of(bad).index.read()
    with pytest.raises(TraceDataError, match=r"need clusters 0\.\.2, got 7 at \(0, 0, 0, 1\)"):
        run_network(masked_to_clusters(bad, 1), bad.samples.codes.read())
