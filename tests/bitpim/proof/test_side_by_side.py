"""A machine against the referee: equal, wrong in one place, lazy, disorderly."""

import json
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from bitpim.errors import ConfigError, MismatchError
from bitpim.proof.reference import iter_network
from bitpim.proof.side_by_side import RunBatch, verify_trace
from bitpim_traces.records import Trace
from tests.naive import network as naive_network
from tests.strategies import small_trace

Array = npt.NDArray[Any]


def _naive_machine(trace: Trace) -> RunBatch:
    return lambda codes: iter(naive_network.run_network(trace, codes).items())


def _wrong_at(trace: Trace, layer: int, sample_code: int) -> RunBatch:
    """Machine whose layer `layer` flips the lowest bit of the last code of every sample."""

    def run(codes: Array) -> Iterator[tuple[int, Array]]:
        for index, out in iter_network(trace, codes):
            if index == layer:
                out = out.copy()
                out.reshape(out.shape[0], -1)[sample_code:, -1] ^= 1
            yield index, out

    return run


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("batch", [1, 2, 5])
def test_an_equal_machine_is_l0(seed: int, batch: int) -> None:
    trace = small_trace(seed, n_layers=4, n_samples=4)
    report = verify_trace(trace, _naive_machine(trace), batch=batch)
    assert report.equal and report.exactness == "L0"
    assert report.first_mismatch is None and report.missing == ()
    assert [layer.n_samples for layer in report.layers] == [4] * len(trace.layers)
    report.require_equal()


def test_a_wrong_code_is_found_where_it_is() -> None:
    trace = small_trace(3, n_samples=5)
    layer = 2
    report = verify_trace(trace, _wrong_at(trace, layer, 1), batch=3)
    assert not report.equal and report.exactness == "L2"
    found = report.first_mismatch
    assert found is not None
    assert (found.layer, found.sample) == (layer, 1)
    assert found.coordinate == tuple(n - 1 for n in trace.layers[layer].output_shape)
    assert found.got == found.expected ^ 1
    assert found.n_mismatches == 3  # samples 1, 2 of the first batch and 4 of the second
    assert [c.equal for c in report.layers] == [i != layer for i in range(len(report.layers))]
    with pytest.raises(MismatchError, match=f"layer {layer} .*sample 1"):
        report.require_equal()


def test_the_earliest_layer_comes_first_even_when_a_later_sample_shows_it() -> None:
    trace = small_trace(3, n_samples=4)

    def run(codes: Array) -> Iterator[tuple[int, Array]]:
        late = _wrong_at(trace, 1, 1)(codes)
        for (index, out), (_, wrong) in zip(_wrong_at(trace, 3, 0)(codes), late, strict=True):
            yield index, (wrong if index == 1 else out)

    report = verify_trace(trace, run, batch=4)
    assert report.first_mismatch is not None
    assert (report.first_mismatch.layer, report.first_mismatch.sample) == (1, 1)


def test_verification_can_stop_at_the_first_wrong_batch() -> None:
    trace = small_trace(3, n_samples=6)
    report = verify_trace(trace, _wrong_at(trace, 0, 0), batch=2, stop_at_mismatch=True)
    assert (report.start, report.stop) == (0, 2)
    assert report.layers[0].n_samples == 2


def test_layers_a_machine_leaves_out_are_missing_not_equal() -> None:
    trace = small_trace(5)

    def run(codes: Array) -> Iterator[tuple[int, Array]]:
        return ((i, out) for i, out in iter_network(trace, codes) if i != 1)

    report = verify_trace(trace, run)
    assert report.missing == (1,) and not report.equal
    with pytest.raises(MismatchError, match="none of layers 1"):
        report.require_equal()


def test_disorderly_machines_are_refused() -> None:
    trace = small_trace(5)

    def twice(codes: Array) -> Iterator[tuple[int, Array]]:
        for index, out in iter_network(trace, codes):
            yield index, out
            yield index, out

    def beyond(codes: Array) -> Iterator[tuple[int, Array]]:
        yield len(trace.layers), codes

    def cropped(codes: Array) -> Iterator[tuple[int, Array]]:
        for index, out in iter_network(trace, codes):
            yield index, out[..., :0]

    for machine, match in ((twice, "in order"), (beyond, "in order"), (cropped, "shape")):
        with pytest.raises(MismatchError, match=match):
            verify_trace(trace, machine)


@pytest.mark.parametrize("samples", [range(0, 4, 2), range(-1, 2), range(1, 4), range(2, 2)])
def test_samples_must_be_in_the_trace(samples: range) -> None:
    trace = small_trace(5, n_samples=3)
    with pytest.raises(ConfigError, match="consecutive samples of 3"):
        verify_trace(trace, _naive_machine(trace), samples)
    with pytest.raises(ConfigError, match="at least 1"):
        verify_trace(trace, _naive_machine(trace), batch=0)


def test_figures_and_accuracy_do_not_depend_on_the_batch() -> None:
    trace = small_trace(7, n_samples=6, float_noise=True, kinds=["conv2d", "flatten", "linear"])
    reports = [
        verify_trace(trace, _naive_machine(trace), range(1, 6), batch=batch).to_dict()
        for batch in (1, 2, 5)
    ]
    assert reports[0] == reports[1] == reports[2]
    figures = reports[0]["figures"]
    assert [layer["n_samples"] for layer in figures["layers"]] == [5, 5, 5]
    assert figures["n_compared"] == 5 and figures["n_labelled"] == 5
    outputs = naive_network.run_network(trace, trace.samples.codes.read(1, 6))[2]
    assert trace.samples.labels is not None
    labels = trace.samples.labels.read(1, 6)
    assert figures["accuracy"] == np.mean(outputs.argmax(axis=1) == labels)
    json.dumps(reports[0])


def test_progress_is_told_by_layer_and_batch() -> None:
    trace = small_trace(5, n_samples=3)
    told: list[tuple[int, int, str]] = []
    verify_trace(
        trace, _naive_machine(trace), range(1, 3), batch=1, progress=lambda *at: told.append(at)
    )
    names = [layer.name for layer in trace.layers]
    assert [name for _, _, name in told] == [*names, "", *names, ""]
    assert [done for done, _, _ in told if done] == [1] * (1 + len(names)) + [2]
    assert {total for _, total, _ in told} == {2}


def test_a_machine_may_use_its_output_buffer_again() -> None:
    trace = small_trace(7, n_samples=4, kinds=["linear"])
    buffer = np.zeros((1, *trace.layers[-1].output_shape), np.int64)

    def run(codes: Array) -> Iterator[tuple[int, Array]]:
        for index, out in iter_network(trace, codes):
            buffer[...] = out
            yield index, buffer

    plain = verify_trace(trace, _naive_machine(trace))
    assert verify_trace(trace, run, batch=1).figures == plain.figures
