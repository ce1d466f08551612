"""The shipped samples: small, in order, equal to the referee, true to their float network."""

import gzip
import hashlib
import runpy
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from bitpim.machine.registry import make_machine
from bitpim.proof.reference import iter_network, run_network
from bitpim.proof.side_by_side import VerifyReport, verify_trace
from bitpim.report.figures import n_references
from bitpim.sample import SAMPLE
from bitpim_traces import check_trace, open_trace, write_trace
from bitpim_traces.clusters import masked_to_clusters
from bitpim_traces.numbers.affine import decode
from bitpim_traces.operators import OPERATORS
from bitpim_traces.records import (
    CLUSTER_BOUNDARIES,
    CLUSTER_IMPORTANCES,
    NETWORK_INPUT,
    TensorRecord,
    Trace,
)
from bitpim_traces.versions import minor_of
from tests.naive.looked_up import layer_codes

TRACES = Path(__file__).parents[2] / "traces"
SAMPLES = sorted(TRACES.glob("samples/v*/*.h5"))
MNIST = TRACES / SAMPLE
EVERY_KIND = TRACES / "samples/v1.1/every_kind.h5"
CODEBOOKS = TRACES / "samples/v1.2/mnist_codebooks.h5"
EVERY_TABLE = TRACES / "samples/v1.2/every_table.h5"
CLUSTERS = TRACES / "samples/v1.3/mnist_clusters.h5"
OF_CODEBOOKS = (CODEBOOKS, EVERY_TABLE)


def each(paths: Sequence[Path]) -> pytest.MarkDecorator:
    names = [f"{path.parent.name}-{path.stem}" for path in paths]
    return pytest.mark.parametrize("path", paths, ids=names)


every_sample = each(SAMPLES)


def verified(trace: Trace, fidelity: str) -> VerifyReport:
    prepared = make_machine("neural_cache").prepare(trace, fidelity=fidelity, jobs=2)
    return verify_trace(
        trace, lambda codes: ((run.index, run.codes) for run in prepared.run_batch(codes))
    )


def test_the_sample_of_the_demo_is_shipped() -> None:
    assert MNIST in SAMPLES


@every_sample
def test_a_sample_is_small_and_in_order(path: Path) -> None:
    assert path.stat().st_size < 1_000_000
    assert check_trace(path, deep=True) == []


@every_sample
def test_a_sample_says_where_it_is_from(path: Path) -> None:
    trace = open_trace(path)
    readme = (TRACES / "samples" / "README.md").read_text("utf-8")
    assert trace.digest in readme
    sources = trace.provenance["sources"]
    assert {"weights", "samples", "licence"} <= set(sources)
    if path == MNIST:
        assert (
            f"{trace.provenance['parameters']['integer_accuracy']:.2%}".replace("%", " %") in readme
        )


@each([path for path in SAMPLES if path not in OF_CODEBOOKS])
@pytest.mark.parametrize("fidelity", ["bit", "integer"])
def test_a_sample_is_equal_to_the_referee_and_near_to_its_floats(path: Path, fidelity: str) -> None:
    trace = open_trace(path)
    report = verified(trace, fidelity)
    report.require_equal()
    assert [layer.n_samples for layer in report.layers] == [trace.n_samples] * len(trace.layers)
    figures = report.figures
    assert figures is not None
    assert [layer.n_samples for layer in figures.layers] == [trace.n_samples] * len(trace.layers)
    assert min(layer.sqnr_db for layer in figures.layers) > 30 - 5 * (path == EVERY_KIND)
    if path == EVERY_KIND:
        return
    assert figures.n_compared == figures.n_labelled == trace.n_samples
    enough = (trace.n_samples - 1) / trace.n_samples
    assert figures.accuracy is not None and figures.accuracy >= enough
    assert figures.top1_agreement is not None and figures.top1_agreement >= enough


def test_the_sample_of_1_1_has_every_kind_and_gives_the_same_codes_for_ever() -> None:
    trace = open_trace(EVERY_KIND)
    kinds = {layer.kind for layer in trace.layers}
    assert kinds >= {kind for kind, operator in OPERATORS.items() if operator.since == 1}
    assert minor_of(trace) == 1
    (codes,) = run_network(trace, trace.samples.codes.read()).values()
    readme = (TRACES / "samples" / "README.md").read_text("utf-8")
    assert hashlib.sha256(codes.tobytes()).hexdigest() in readme
    machine = make_machine("dense_crossbar").prepare(trace, fidelity="bit", jobs=2)
    found = [run.codes for run in machine.run_batch(trace.samples.codes.read())][-1]
    np.testing.assert_array_equal(found, codes)


def test_the_sample_of_1_1_can_be_made_again() -> None:
    made = runpy.run_path(str(TRACES / "samples/make_every_kind.py"))["trace"]()
    kept = open_trace(EVERY_KIND)
    for one, other in zip(made.layers, kept.layers, strict=True):
        assert (one.name, one.kind, one.params) == (other.name, other.kind, other.params)
        np.testing.assert_allclose(one.output.scale, other.output.scale, rtol=1e-4)


@each(OF_CODEBOOKS)
def test_a_sample_of_1_2_gives_the_same_codes_for_ever(path: Path) -> None:
    trace = open_trace(path)
    assert path.stat().st_size < 300_000
    assert minor_of(trace) == 2
    (codes,) = run_network(trace, trace.samples.codes.read()).values()
    readme = (TRACES / "samples" / "README.md").read_text("utf-8")
    assert hashlib.sha256(codes.tobytes()).hexdigest() in readme
    answers = trace.layers[-1].output_float
    assert answers is not None
    noise = answers.read() - decode(codes, trace.layers[-1].output)
    assert np.square(noise).sum() < 0.04 * np.square(answers.read()).sum()  # 14 dB
    if path == CODEBOOKS:
        assert trace.samples.labels is not None
        assert (codes.argmax(axis=1) == trace.samples.labels.read()).all()


def test_a_sample_of_1_2_is_what_the_written_out_sums_give() -> None:
    trace = open_trace(EVERY_TABLE)
    codes = {NETWORK_INPUT: trace.samples.codes.read(0, 1)}
    n_compared = 0
    for index, found in iter_network(trace, codes[NETWORK_INPUT]):
        layer, codes[index] = trace.layers[index], found
        if layer.product_table is None or layer.kind == "conv2d":  # a thousand sums each
            continue
        sources = [trace.quantization_of(i) for i in layer.inputs]
        given = [codes[i][0] for i in layer.inputs]
        np.testing.assert_array_equal(found[0], layer_codes(layer, given, sources))
        n_compared += 1
    assert n_compared == 6


def test_the_samples_of_1_2_have_every_form_of_table() -> None:
    layers = [layer for path in OF_CODEBOOKS for layer in open_trace(path).layers]
    tables = [layer.product_table for layer in layers if layer.product_table is not None]
    kinds = {layer.kind for layer in layers if layer.product_table is not None}
    assert kinds == {kind for kind, operator in OPERATORS.items() if operator.product_rows}
    books = [layer.output.codebook for layer in layers if layer.output.codebook is not None]
    assert all(book.levels is not None for book in books)
    assert {book.value_bits for book in books} == {12, 16}
    by_points = [table.points is not None for table in tables]
    assert {True, False} == {*by_points}
    weights = [layer.weight_quantization for layer in layers if layer.weight is not None]
    sizes = {found.codebook.n_codes for found in weights if found and found.codebook}
    assert sizes == {16, 32}
    raw = [layer for layer in layers if layer.requantize is not None]
    assert [layer.output.codebook for layer in raw] == [None, None]
    assert {layer.activation for layer in layers} >= {"relu", "relu6", "silu", "tanh", "prelu"}


def test_a_table_of_the_sample_of_1_2_is_rounded() -> None:
    trace = open_trace(EVERY_TABLE)
    layer = trace.layers[-1]
    assert layer.product_table is not None and layer.weight_quantization is not None
    weight, source = layer.weight_quantization.codebook, trace.layers[-2].output.codebook
    assert weight is not None and source is not None
    dropped = weight.fraction_bits + source.fraction_bits - layer.product_table.fraction_bits
    assert dropped > 0
    exact = np.multiply.outer(weight.values, source.values)
    assert (exact != layer.product_table.products << dropped).any()


@pytest.mark.parametrize("name", ["mnist_codebooks", "every_table"])
def test_a_sample_of_1_2_can_be_made_again_in_every_byte(name: str, tmp_path: Path) -> None:
    made = runpy.run_path(str(TRACES / f"samples/make_{name}.py"))
    kept = TRACES / f"samples/v1.2/{name}.h5"
    assert made["SAMPLE"] == kept
    made_again = with_kept_floats(made["trace"](), open_trace(kept))
    assert write_trace(made_again, tmp_path / "again.h5") == open_trace(kept).digest
    assert (tmp_path / "again.h5").read_bytes() == kept.read_bytes()


def with_kept_floats(made: Trace, kept: Trace) -> Trace:
    """Take float outputs, which round otherwise elsewhere, and versions as they were."""
    layers = []
    for layer, other in zip(made.layers, kept.layers, strict=True):
        assert layer.output_float is not None and other.output_float is not None
        found, wanted = layer.output_float.read(), other.output_float.read()
        np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-4)
        layers.append(replace(layer, output_float=other.output_float))
    for key in ("codebooks", "sources"):
        assert made.provenance[key] == kept.provenance[key]
    return replace(made, layers=tuple(layers), provenance=kept.provenance)


def test_the_sample_of_1_3_gives_the_same_codes_for_ever() -> None:
    trace, whole = open_trace(CLUSTERS), open_trace(MNIST)
    assert minor_of(trace) == 3
    (codes,) = run_network(trace, trace.samples.codes.read()).values()
    readme = (TRACES / "samples" / "README.md").read_text("utf-8")
    assert hashlib.sha256(codes.tobytes()).hexdigest() in readme
    (same,) = run_network(whole, whole.samples.codes.read(0, trace.n_samples)).values()
    np.testing.assert_array_equal(codes, same)
    (masked,) = run_network(masked_to_clusters(trace, 0), trace.samples.codes.read()).values()
    assert (masked.argmax(axis=1) != codes.argmax(axis=1)).any()


def test_the_sample_of_1_3_has_every_rule_of_clusters() -> None:
    found = [layer.clusters for layer in open_trace(CLUSTERS).layers if layer.clusters is not None]
    assert {clusters.importance for clusters in found} == {*CLUSTER_IMPORTANCES}
    assert {clusters.boundaries for clusters in found} == {*CLUSTER_BOUNDARIES}
    assert [clusters.count for clusters in found] == [2, 4, 4, 8]


def test_the_sample_of_1_3_can_be_made_again_in_every_byte(tmp_path: Path) -> None:
    made = runpy.run_path(str(TRACES / "samples/make_mnist_clusters.py"))
    assert made["SAMPLE"] == CLUSTERS
    again, kept = made["trace"](), open_trace(CLUSTERS)
    assert again.provenance["parameters"] == kept.provenance["parameters"]
    again = replace(again, provenance=kept.provenance)
    assert write_trace(again, tmp_path / "again.h5") == kept.digest
    assert (tmp_path / "again.h5").read_bytes() == CLUSTERS.read_bytes()


@every_sample
def test_a_sample_has_float_references_of_every_layer(path: Path) -> None:
    trace = open_trace(path)
    for layer in trace.layers:
        assert n_references(layer) == trace.n_samples, layer.name
        assert (layer.weight is None) == (layer.weight_float is None)


def test_the_maker_of_the_sample_measures_its_accuracy() -> None:
    pytest.importorskip("torch")
    maker = runpy.run_path(str(TRACES / "samples" / "make_mnist_cnn.py"))
    trace = open_trace(MNIST)
    assert trace.samples.labels is not None
    codes, labels = trace.samples.codes.read(), trace.samples.labels.read()
    *_, (_, logits) = iter_network(trace, codes)
    assert maker["accuracy_at_integers"](trace, codes, logits.argmax(axis=1)) == 1.0
    assert maker["accuracy_at_integers"](trace, codes, labels) >= 31 / 32
    assert maker["accuracy_at_integers"](trace, codes, (labels + 1) % 10) <= 1 / 32


def test_writing_the_sample_again_gives_the_same_bytes(tmp_path: Path) -> None:
    trace = open_trace(MNIST)
    assert write_trace(trace, tmp_path / "again.h5") == trace.digest
    assert (tmp_path / "again.h5").read_bytes() == MNIST.read_bytes()


def idx(path: Path, offset: int) -> npt.NDArray[np.uint8]:
    return np.frombuffer(gzip.decompress(path.read_bytes()), np.uint8, -1, offset)


@pytest.mark.real
def test_all_test_images_of_mnist_at_integer_fidelity(real_data: Path) -> None:
    images = idx(real_data / "mnist_t10k-images-idx3-ubyte.gz", 16).reshape(-1, 1, 28, 28)
    labels = idx(real_data / "mnist_t10k-labels-idx1-ubyte.gz", 8)
    trace = open_trace(MNIST)
    assert trace.samples.labels is not None
    n_samples = trace.n_samples
    assert np.array_equal(trace.samples.codes.read(), images[:n_samples])  # a code is its pixel
    assert np.array_equal(trace.samples.labels.read(), labels[:n_samples])
    assert n_right(trace, images, labels) / len(images) == pytest.approx(
        trace.provenance["parameters"]["integer_accuracy"], abs=1e-9
    )
    assert trace.provenance["parameters"]["integer_accuracy"] >= 0.985


def n_right(trace: Trace, images: npt.NDArray[Any], labels: npt.NDArray[Any]) -> int:
    codes = TensorRecord.of(images, axes="NCHW", role="codes")
    whole = replace(trace, samples=replace(trace.samples, codes=codes, labels=None))
    prepared = make_machine("neural_cache").prepare(whole, fidelity="integer", jobs=2)
    total = 0
    for start in range(0, len(images), 500):
        *_, last = prepared.run_batch(images[start : start + 500])
        total += int((last.codes.argmax(axis=1) == labels[start : start + 500]).sum())
    return total
