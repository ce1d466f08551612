"""Layers in exact integers: the referee's codes, each layer prepared once."""

from collections.abc import Callable, Sequence

import numpy as np
import pytest

from bitpim.digital.layers import PreparedLayer, prepare_layer
from bitpim.machine.schedule import run_layers
from bitpim.proof import exact_run as module
from bitpim.proof.exact_run import exact_run
from bitpim.proof.reference import run_network
from bitpim_traces.records import LayerRecord, Quantization, Trace
from tests.codebook_traces import codebook_trace
from tests.strategies import small_trace

KINDS = ["conv2d", "max_pool2d", "add", "activation", "flatten", "linear"]


@pytest.mark.parametrize(
    "make",
    [lambda: small_trace(9, kinds=KINDS, n_samples=3), lambda: codebook_trace(2, n_samples=3)],
    ids=["affine", "codebooks"],
)
def test_codes_are_the_referees(make: Callable[[], Trace]) -> None:
    trace = make()
    run, codes = exact_run(trace), trace.samples.codes.read()
    expected = run_network(trace, codes, keep="all")
    for layer, found in run_layers(trace, codes, run):
        np.testing.assert_array_equal(found, expected[layer.index])


def test_a_layer_is_prepared_once(monkeypatch: pytest.MonkeyPatch) -> None:
    trace, prepared = small_trace(9, kinds=KINDS, n_samples=2), []

    def counted(layer: LayerRecord, inputs: Sequence[Quantization]) -> PreparedLayer:
        prepared.append(layer.index)
        return prepare_layer(layer, inputs)

    monkeypatch.setattr(module, "prepare_layer", counted)
    run, codes = exact_run(trace), trace.samples.codes.read()
    for _ in range(2):
        assert len([*run_layers(trace, codes, run)]) == len(trace.layers)
    assert prepared == [layer.index for layer in trace.layers]
