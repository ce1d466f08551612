"""The shipped samples: small, in order, equal to the referee, true to their float network."""

import gzip
import hashlib
import runpy
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
from bitpim_traces.operators import OPERATORS
from bitpim_traces.records import TensorRecord, Trace
from bitpim_traces.versions import minor_of

TRACES = Path(__file__).parents[2] / "traces"
SAMPLES = sorted(TRACES.glob("samples/v*/*.h5"))
MNIST = TRACES / SAMPLE
EVERY_KIND = TRACES / "samples/v1.1/every_kind.h5"

every_sample = pytest.mark.parametrize(
    "path", SAMPLES, ids=[f"{path.parent.name}-{path.stem}" for path in SAMPLES]
)


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


@every_sample
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
    assert figures.accuracy is not None and figures.accuracy * trace.n_samples >= 31
    assert figures.top1_agreement is not None and figures.top1_agreement * trace.n_samples >= 31


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
