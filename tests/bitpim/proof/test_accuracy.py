"""Accuracy in exact integers: the referee's answers, over the samples that say something."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import bitpim
from bitpim.errors import ConfigError, MappingError
from bitpim.proof import accuracy
from bitpim.proof.accuracy import accuracy_text, integer_figures
from bitpim.proof.reference import run_network
from bitpim.report.figures import ErrorFigures
from bitpim_traces import write_trace
from bitpim_traces.records import TensorRecord, Trace
from tests.codebook_traces import codebook_trace
from tests.strategies import small_trace

KINDS = ["conv2d", "max_pool2d", "add", "activation", "flatten", "linear"]
N = 7


def made(seed: int = 9) -> Trace:
    return small_trace(seed, kinds=KINDS, n_samples=N, float_noise=True)


def labelled(trace: Trace, labels: Any) -> Trace:
    record = TensorRecord.of(np.array(labels, np.int32), axes="N", role="labels", units="1")
    return replace(trace, samples=replace(trace.samples, labels=record))


def answers(trace: Trace) -> Any:
    (codes,) = run_network(trace, trace.samples.codes.read(), keep={len(trace.layers) - 1}).values()
    return codes.reshape(N, -1).argmax(axis=1)


@pytest.mark.parametrize("batch", [1, 3, 256])
def test_answers_are_the_referees_in_any_batch(batch: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(accuracy, "batch_size", lambda *_: batch)
    trace = made()
    labels = answers(trace)
    labels[1] = -1  # not known
    labels[4] = (labels[4] + 1) % np.prod(trace.layers[-1].output_shape)
    told: list[tuple[int, int]] = []
    found = integer_figures(labelled(trace, labels), progress=lambda *a: told.append(a))
    assert found.n_labelled == N - 1
    assert found.accuracy == pytest.approx((N - 2) / (N - 1))
    assert found.layers == ()
    assert [done for done, _ in told] == [min(n + batch, N) for n in range(0, N, batch)]


@pytest.mark.parametrize("seed", [2, 5, 8])
def test_answers_of_codebooks_are_the_referees_too(seed: int) -> None:
    trace = codebook_trace(seed, n_samples=N, n_layers=4)
    labels = answers(trace)
    labels[3] = (labels[3] + 1) % np.prod(trace.layers[-1].output_shape)
    found = integer_figures(labelled(trace, labels), jobs=2)
    wrong = int(trace.layers[-1].output_shape != (1,))
    assert found.n_labelled == N
    assert found.accuracy == pytest.approx((N - wrong) / N)


def test_without_labels_the_samples_of_the_float_network_run() -> None:
    trace = replace(made(), samples=replace(made().samples, labels=None))
    last = trace.layers[-1]
    assert last.output_float is not None
    floats = last.output_float.read()
    kept = TensorRecord.of(floats[:3], axes="NC", role="output_float", units="real")
    layers = (*trace.layers[:-1], replace(last, output_float=kept))
    told: list[tuple[int, int]] = []
    found = integer_figures(replace(trace, layers=layers), progress=lambda *a: told.append(a))
    expected = float(np.mean(answers(trace)[:3] == floats[:3].argmax(axis=1)))
    assert (found.n_compared, found.top1_agreement, found.accuracy) == (3, expected, None)
    assert told == [(3, 3)]


def test_nothing_runs_where_nothing_can_be_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(accuracy, "exact_run", None)
    images = small_trace(3, kinds=["conv2d"], n_samples=2)
    assert np.prod(images.layers[-1].output_shape[1:]) > 1
    assert integer_figures(images) == ErrorFigures(())
    trace = made()
    bare = (*trace.layers[:-1], replace(trace.layers[-1], output_float=None))
    samples = replace(trace.samples, labels=None)
    assert integer_figures(replace(trace, layers=bare, samples=samples)) == ErrorFigures(())


def test_what_cannot_run_is_an_error(tmp_path: Path) -> None:
    trace = labelled(made(), [0] * N)
    with pytest.raises(ConfigError, match="more than the 1e-06 GiB"):
        integer_figures(trace, memory_gib=1e-6)
    layers = (replace(trace.layers[0], kind="fold"), *trace.layers[1:])
    with pytest.raises(MappingError, match="fold"):
        integer_figures(replace(trace, layers=layers))


def test_a_file_is_measured_by_its_name(tmp_path: Path) -> None:
    trace = labelled(made(), answers(made()))
    write_trace(trace, tmp_path / "net.h5")
    assert bitpim.accuracy(tmp_path / "net.h5").accuracy == 1.0
    assert bitpim.accuracy(trace, jobs=2) == integer_figures(trace)


@pytest.mark.parametrize(
    ("known", "said"),
    [
        ({}, ""),
        ({"n_float_labelled": 1, "float_accuracy": 1.0}, "accuracy: float 100.00 % of 1 sample"),
        (
            {"n_labelled": 1000, "accuracy": 0.909, "n_compared": 9, "top1_agreement": 0.5},
            "accuracy: quantized 90.90 % of 1,000 samples (exact integers)",
        ),
        (
            {"n_compared": 3, "top1_agreement": 2 / 3},
            "agreement: the quantized and the float network choose the same class in 66.67 % of 3"
            " samples (exact integers)",
        ),
    ],
)
def test_what_is_known_is_said(known: dict[str, Any], said: str) -> None:
    assert accuracy_text(ErrorFigures((), **known)) == said
