"""Layers in order, with the inputs they name, forgotten after their last use."""

import gc
import weakref
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from bitpim.machine.schedule import run_layers
from bitpim.proof.reference import run_layer, run_network
from bitpim_traces.records import LayerRecord
from tests.strategies import small_trace


@pytest.mark.parametrize("seed", [2, 9, 21, 30])
def test_layers_get_the_inputs_they_name(seed: int) -> None:
    kinds = ["conv2d", "add", "concat", "max_pool2d", "add", "flatten", "linear"]
    trace = small_trace(seed, kinds=kinds)
    codes = trace.samples.codes.read()
    expected = run_network(trace, codes, keep="all")

    def run(layer: LayerRecord, inputs: Sequence[Any]) -> Any:
        return run_layer(layer, inputs, trace.input_quantizations(layer))

    found = list(run_layers(trace, codes, run))
    assert [layer.index for layer, _ in found] == list(range(len(trace.layers)))
    for layer, out in found:
        assert np.array_equal(out, expected[layer.index])


def test_codes_are_forgotten_after_their_last_use() -> None:
    """A network as long as it likes holds no more than the codes still to be read."""
    trace = small_trace(7, kinds=["conv2d", "activation", "activation", "add", "activation"])
    last_use = {i: layer.index for layer in trace.layers for i in layer.inputs}
    alive: dict[int, weakref.ref[Any]] = {}

    def run(layer: LayerRecord, inputs: Sequence[Any]) -> Any:
        gc.collect()
        for index, reference in alive.items():
            if last_use.get(index, len(trace.layers)) < layer.index:
                assert reference() is None, f"layer {index} is held at layer {layer.index}"
        out = np.zeros((1, *layer.output_shape), np.int8)
        alive[layer.index] = weakref.ref(out)
        return out

    for layer, out in run_layers(trace, trace.samples.codes.read(), run):
        assert out.shape[1:] == layer.output_shape
        del out


def test_no_layers_run_nothing() -> None:
    def run(layer: LayerRecord, inputs: Sequence[Any]) -> Any:
        raise AssertionError

    trace = replace(small_trace(0), layers=())
    assert list(run_layers(trace, trace.samples.codes.read(), run)) == []
