"""`bitpim trace cluster`: every rule, the table, and one line for what is wrong."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bitpim.proof.activations import channel_activations
from bitpim_traces import check_trace, open_trace, write_trace
from bitpim_traces.quantize import ClusteredLayer, Clustering, cluster_trace
from bitpim_traces.records import CLUSTER_BOUNDARIES, CLUSTER_IMPORTANCES
from bitpim_traces.synthetic import synthetic_network
from tests.bitpim.cli.conftest import Run


@pytest.fixture(scope="module")
def dense(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("dense") / "net.h5"
    write_trace(synthetic_network("tiny", 4, n_samples=2), path)
    return path


def same_clusters(path: Path, expected: Any) -> None:
    with open_trace(path) as found:
        for layer, its in zip(found.layers, expected.layers, strict=True):
            assert (layer.clusters is None) == (its.clusters is None)
            if layer.clusters is not None:
                np.testing.assert_array_equal(
                    layer.clusters.index.read(), its.clusters.index.read()
                )
        assert found.provenance["cluster"] == expected.provenance["cluster"]


@pytest.mark.parametrize("importance", CLUSTER_IMPORTANCES)
@pytest.mark.parametrize("boundaries", CLUSTER_BOUNDARIES)
def test_every_rule_is_that_of_the_library(
    bitpim: Run, dense: Path, tmp_path: Path, importance: str, boundaries: str
) -> None:
    path = tmp_path / "c.h5"
    rules = ("--importance", importance, "--boundaries", boundaries, "--clusters", 3)
    code, out, err = bitpim("trace", "cluster", dense, "-o", path, *rules)
    assert (code, err) == (0, "")
    trace = open_trace(dense)
    aware = channel_activations(trace) if importance == "activation_aware" else None
    made, reports = cluster_trace(trace, Clustering(3, importance, boundaries), activations=aware)
    same_clusters(path, made)
    assert check_trace(path, deep=True) == []
    head, *rows = out.splitlines()[: 1 + len(reports)]
    assert head.split() == ["layer", *("cluster", "0", "cluster", "1", "cluster", "2")]
    for report, row in zip(reports, rows, strict=True):
        assert row.split()[0] == report.name
        assert cells_of(row) == [*zip(report.sizes, shares_of(report), strict=True)]
    assert f"{path}: tiny, 12 layers, 2 samples, digest " in out


def cells_of(row: str) -> list[tuple[int, str]]:
    words = row.split()[1:]
    pairs = zip(words[::2], words[1::2], strict=True)
    return [(int(n.replace(",", "")), share) for n, share in pairs]


def shares_of(report: ClusteredLayer) -> list[str]:
    return [f"({share:.1%})" for share in report.shares]


def test_the_default_is_four_equal_clusters_by_magnitude(
    bitpim: Run, bitpim_json: Callable[..., Any], dense: Path, tmp_path: Path
) -> None:
    path = tmp_path / "c.h5"
    content = bitpim_json("trace", "cluster", dense, "-o", path)
    made, reports = cluster_trace(open_trace(dense))
    same_clusters(path, made)
    assert content["clusters"] == [
        {"layer": r.name, "n_weights": list(r.sizes), "importance": list(r.shares)} for r in reports
    ]
    assert content["provenance"]["cluster"] == Clustering().as_plain()
    shown = bitpim("trace", "info", path)[1]
    assert "clusters" in shown and "4 by magnitude, equal_count" in shown
    described = bitpim_json("trace", "info", path)
    rule = {"count": 4, "importance": "magnitude", "boundaries": "equal_count"}
    for layer in described["layers"]:
        assert layer["clusters"] == (rule if layer["n_weights"] else None)
    assert "clusters" not in bitpim("trace", "info", dense)[1]


def test_layers_one_by_one_and_again(bitpim: Run, dense: Path, tmp_path: Path) -> None:
    one, two, three = (tmp_path / f"{n}.h5" for n in (1, 2, 3))
    options = ("--layer", "conv1", "--layer", "fc*", "--clusters", 2)
    assert bitpim("trace", "cluster", dense, "-o", one, *options)[0] == 0
    assert bitpim("trace", "cluster", one, "-o", two, "--layer", "conv2", "--clusters", 3)[0] == 0
    shown = bitpim("trace", "info", two)[1]
    assert shown.count("2 by magnitude") == 2 and shown.count("3 by magnitude") == 1
    code, out, err = bitpim("trace", "cluster", two, "-o", three)
    assert (code, out) == (3, "")
    assert "layer 'conv1': need weights without clusters, got 2; --replace" in err
    code, _, err = bitpim("trace", "cluster", two, "-o", three, "--replace")
    assert (code, err) == (0, "")
    assert bitpim("trace", "info", three)[1].count("4 by magnitude") == 5


@pytest.mark.parametrize(
    ("options", "code", "message"),
    [
        (("--clusters", 1), 2, "need 2 to 8 clusters, got 1"),
        (("--clusters", 9), 2, "need 2 to 8 clusters, got 9"),
        (("--importance", "size"), 2, "need importance among magnitude, layer_relative, "),
        (("--boundaries", "x"), 2, "need boundaries among equal_count, equal_importance, kmeans"),
        (("--layer", "konv1"), 3, "need names of layers with weights, got 'konv1'; did you mean"),
        (
            ("--layer", "pool1"),
            3,
            "'pool1': need a kind with weights (conv2d, linear), got max_pool2d",
        ),
        (
            ("--boundaries", "equal_importance", "--clusters", 8, "--importance", "layer_relative"),
            3,
            "need a weight in each of 8 clusters, got none in cluster 1",
        ),
    ],
)
def test_a_wrong_option_is_one_line(
    bitpim: Run, dense: Path, tmp_path: Path, options: tuple[object, ...], code: int, message: str
) -> None:
    got, out, err = bitpim("trace", "cluster", dense, "-o", tmp_path / "x.h5", *options)
    assert (got, out) == (code, "")
    assert message in err and err.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_a_network_that_cannot_be_clustered_is_one_line(
    bitpim: Run, dense: Path, tmp_path: Path
) -> None:
    ternary = tmp_path / "ternary.h5"
    values = ("--set", "weight_values=ternary", "--set", "per_channel=false")
    assert bitpim("trace", "quantize", dense, "-o", ternary, *values, "--no-accuracy")[0] == 0
    code, _, err = bitpim("trace", "cluster", ternary, "-o", tmp_path / "x.h5", "--layer", "fc")
    assert code == 3 and "have 1 distinct magnitudes, got 4; ask for fewer" in err
    trace = open_trace(dense)
    none = replace(trace.samples.codes, shape=(0, *trace.samples.codes.shape[1:]))
    bare = [replace(layer, output_float=None) for layer in trace.layers]
    samples = replace(trace.samples, codes=none, labels=None)
    write_trace(replace(trace, layers=tuple(bare), samples=samples), tmp_path / "none.h5")
    aware = ("--importance", "activation_aware")
    code, _, err = bitpim("trace", "cluster", tmp_path / "none.h5", "-o", tmp_path / "x.h5", *aware)
    assert code == 3 and "need samples to measure activations on, got none" in err
    assert bitpim("trace", "cluster", tmp_path / "none.h5", "-o", tmp_path / "x.h5")[0] == 0


def test_makers_of_other_weights_say_what_is_left_out(
    bitpim: Run, dense: Path, tmp_path: Path
) -> None:
    made, books, out = (tmp_path / f"{name}.h5" for name in ("made", "books", "out"))
    assert bitpim("trace", "cluster", dense, "-o", made, "--clusters", 2)[0] == 0
    codes = ("--weights", 16, "--inputs", 16)
    assert bitpim("trace", "codebooks", dense, "-o", tmp_path / "b.h5", *codes)[0] == 0
    assert bitpim("trace", "cluster", tmp_path / "b.h5", "-o", books, "--clusters", 2)[0] == 0
    for source, line, n_lines in (
        (made, ("prune", made, "--lanes", 0.5), 1),
        (made, ("quantize", made, "--weight-bits", 6), 1),
        (made, ("codebooks", made, *codes), 1),
        (books, ("level", books, "--weights", 4), 1),
        (books, ("level", books, "--inputs", 4), 0),
        (dense, ("quantize", dense), 0),
    ):
        code, said, err = bitpim("trace", *line, "-o", out, "--no-accuracy", "--overwrite")
        assert (code, err) == (0, ""), source
        assert said.count("clusters left out: they were of other weights") == n_lines
        assert check_trace(out, deep=True) == []
