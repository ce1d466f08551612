"""Error figures against figures computed the plain way over whole tensors."""

import dataclasses
import math
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bitpim.proof.reference import run_network
from bitpim.report.figures import error_rows, float_accuracy, network_figures, summarize, top1
from bitpim_traces.records import LayerRecord, Quantization, Samples, TensorRecord, Trace
from tests.strategies import small_trace


def outputs_of(trace: Trace) -> dict[int, npt.NDArray[Any]]:
    return run_network(trace, trace.samples.codes.read(), keep="all")


@given(seed=st.integers(0, 200), cut=st.integers(0, 3))
def test_rows_of_batches_join_to_figures_of_the_whole(seed: int, cut: int) -> None:
    trace = small_trace(seed, n_samples=3, float_noise=True)
    codes = outputs_of(trace)
    for layer in trace.layers:
        out = codes[layer.index]
        assert layer.output_float is not None
        rows = np.concatenate([error_rows(layer, 0, out[:cut]), error_rows(layer, cut, out[cut:])])
        whole = error_rows(layer, 0, out)
        assert np.array_equal(rows, whole)
        q = layer.output
        real = (out.astype(np.float64) - q.zero_point[0]) * q.scale[0]
        reference = layer.output_float.read().astype(np.float64)
        figures = summarize(layer, rows)
        error = np.linalg.norm(real - reference) / np.linalg.norm(reference)
        assert figures.max_abs == np.abs(real - reference).max()
        assert figures.relative_l2 == pytest.approx(error)
        assert figures.sqnr_db == pytest.approx(-20 * math.log10(error))


def layer_with(codes: npt.NDArray[Any], reference: npt.NDArray[Any], **more: Any) -> LayerRecord:
    quantization = Quantization(8, True, np.array([0.5]), np.array([1]), **more)
    shape = codes.shape[1:]
    return LayerRecord(
        0, "out", "flatten", (-1,), (shape,), shape, quantization,
        output_float=TensorRecord.of(reference, axes="NC", role="output_float", units="real"),
    )  # fmt: skip


def test_exact_outputs_have_no_error() -> None:
    codes = np.array([[3, -5]], np.int8)
    figures = summarize(layer_with(codes, (codes - 1.0) * 0.5), error_rows(
        layer_with(codes, (codes - 1.0) * 0.5), 0, codes))  # fmt: skip
    assert (figures.max_abs, figures.relative_l2, figures.sqnr_db) == (0.0, 0.0, math.inf)


def test_all_zero_reference_is_infinitely_far_unless_met() -> None:
    codes = np.array([[3]], np.int8)
    layer = layer_with(codes, np.zeros((1, 1)))
    assert summarize(layer, error_rows(layer, 0, codes)).sqnr_db == -math.inf
    assert summarize(layer, error_rows(layer, 0, codes * 0 + 1)).sqnr_db == math.inf


def test_samples_beyond_the_references_have_no_row() -> None:
    codes = np.zeros((4, 2), np.int8)
    layer = layer_with(codes, np.ones((3, 2)))
    assert error_rows(layer, 2, codes).shape == (1, 3)
    assert error_rows(layer, 3, codes).shape == (0, 3)
    assert error_rows(layer, 9, codes).shape == (0, 3)
    assert math.isnan(summarize(layer, error_rows(layer, 9, codes)).max_abs)


def test_top1_takes_the_first_of_equals() -> None:
    assert top1(np.array([[1, 7, 7], [-1, -2, -3]])).tolist() == [1, 0]


def classifier(labels: list[int], reference: npt.NDArray[Any]) -> Trace:
    codes = np.zeros((len(labels), 3), np.int8)
    layer = layer_with(codes, reference)
    samples = Samples(
        TensorRecord.of(codes, axes="NC", role="samples"),
        layer.output,
        TensorRecord.of(np.array(labels, np.int32), axes="N", role="labels", units="1"),
    )
    return Trace("classifier", (layer,), samples, {})


def test_agreement_and_accuracy_count_only_what_is_known() -> None:
    trace = classifier([0, 1, 2, -1], np.array([[9.0, 0, 0], [0, 0, 9.0]]))
    final = np.array([[5, 1, 1], [1, 5, 1], [1, 5, 1], [5, 1, 1]], np.int8)
    figures = network_figures(trace, {}, 0, final)
    assert (figures.n_compared, figures.top1_agreement) == (2, 0.5)
    assert figures.n_labelled == 3
    assert figures.accuracy == pytest.approx(2 / 3)
    assert (figures.n_float_labelled, figures.float_accuracy) == (2, 0.5)  # answers 0 2, labels 0 1
    assert float_accuracy(trace) == (2, 0.5)
    later = network_figures(trace, {}, 3, final[3:])
    assert (later.n_compared, later.top1_agreement) == (0, None)
    assert (later.n_labelled, later.accuracy) == (0, None)
    assert (later.n_float_labelled, later.float_accuracy) == (0, None)


def test_a_run_that_begins_later_is_compared_with_its_own_samples() -> None:
    """Four references choose 0 2 1 2, labels are 2 0 1 2. From sample 1 on the run chooses 2 1 1.

    So it agrees with the references 2 and 1, not with 2; and with the label 1, not with 0 and 2.
    """
    reference = np.eye(3)[[0, 2, 1, 2]]
    trace = classifier([2, 0, 1, 2], reference)
    final = np.eye(3, dtype=np.int8)[[2, 1, 1]]
    figures = network_figures(trace, {}, 1, final)
    assert (figures.n_compared, figures.n_labelled) == (3, 3)
    assert figures.top1_agreement == pytest.approx(2 / 3)
    assert figures.accuracy == pytest.approx(1 / 3)
    assert figures.n_float_labelled == 3
    assert figures.float_accuracy == pytest.approx(2 / 3)
    assert float_accuracy(trace) == (4, 0.5)


def test_an_image_has_no_top1() -> None:
    trace = classifier([0], np.array([[9.0, 0, 0]]))
    image = dataclasses.replace(trace.layers[0], output_shape=(3, 2, 2))
    trace = dataclasses.replace(trace, layers=(image,))
    assert network_figures(trace, {}, 0, np.zeros((1, 3, 2, 2), np.int8)).accuracy is None
    assert float_accuracy(trace) == (0, None)


def test_rows_do_not_depend_on_how_codes_lie_in_memory() -> None:
    rng = np.random.default_rng(0)
    codes = rng.integers(0, 256, (8, 64, 27, 27), dtype=np.uint8)
    layer = small_trace(0).layers[0]
    layer = dataclasses.replace(
        layer,
        output=Quantization(8, False, np.array([0.0371]), np.array([113])),
        output_float=TensorRecord.of(
            rng.standard_normal(codes.shape).astype(np.float32), axes="NCHW", role="reference"
        ),
    )
    channels_last = np.ascontiguousarray(codes.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2)
    assert np.array_equal(error_rows(layer, 0, codes), error_rows(layer, 0, channels_last))
