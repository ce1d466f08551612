"""The referee's layers of codebooks against plain Python, and machines that cannot have them."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import bitpim
from bitpim.digital.layers import prepare_layer
from bitpim.errors import AccumulatorError, MappingError, TraceDataError
from bitpim.proof import looked_up
from bitpim.proof.reference import run_layer, run_network
from bitpim_traces.records import LayerRecord, Trace
from tests.codebook_traces import codebook_trace
from tests.naive import looked_up as naive


def _run(trace: Trace) -> dict[int, Any]:
    return {-1: trace.samples.codes.read()} | run_network(
        trace, trace.samples.codes.read(), keep="all"
    )


@pytest.mark.parametrize("seed", range(12))
def test_layers_are_those_of_the_format(seed: int) -> None:
    trace = codebook_trace(seed, n_samples=2)
    outputs = _run(trace)
    for layer in trace.layers:
        if layer.product_table is None:
            continue
        quants = trace.input_quantizations(layer)
        for b in range(2):
            inputs = [outputs[i][b] for i in layer.inputs]
            need = naive.layer_codes(layer, inputs, quants)
            np.testing.assert_array_equal(outputs[layer.index][b], need, err_msg=layer.name)


def test_products_that_are_exact_are_multiplied_and_others_looked_up() -> None:
    """Both ways give one answer where both may be taken."""
    for seed in range(40):
        trace = codebook_trace(seed, n_layers=1, kinds=("conv2d",))
        layer, quant = trace.layers[0], trace.samples.quantization
        add = looked_up._adding(layer, quant)
        if add.__name__ != "<lambda>":
            continue
        table = layer.product_table
        assert table is not None
        assert layer.weight is not None
        weight = layer.weight.read()
        tap = weight.reshape(1, len(weight), -1).astype(np.int64)
        seen = np.random.default_rng(seed).integers(0, quant.code_max + 1, (2, 1, tap.shape[2], 5))
        need = table.products[tap[0][:, :, None], seen[:, 0][:, None]].sum(axis=2)
        np.testing.assert_array_equal(add(tap, seen)[:, 0], need)
        return
    raise AssertionError("no exact table among 40 networks")


def test_of_two_that_are_equally_near_the_lower_is_taken() -> None:
    values = np.array([-3, -1, 0, 4], np.int64)
    queries = np.array([-9, -3, -2, -1, 0, 1, 2, 3, 4, 99], np.int64)
    assert looked_up.nearest(values, queries).tolist() == [0, 0, 0, 1, 2, 2, 2, 3, 3, 3]


def _with_product_table(trace: Trace) -> LayerRecord:
    return next(layer for layer in trace.layers if layer.kind == "conv2d")


def test_sums_beyond_the_accumulator_are_an_error() -> None:
    trace = codebook_trace(0, kinds=("conv2d",), n_layers=1)
    layer = replace(_with_product_table(trace), accumulator_bits=3)
    with pytest.raises(AccumulatorError, match="layer 0"):
        run_layer(layer, [trace.samples.codes.read()], trace.input_quantizations(layer))


def test_a_kind_without_a_table_is_refused() -> None:
    trace = codebook_trace(0, kinds=("conv2d",), n_layers=1)
    layer = replace(_with_product_table(trace), kind="multiply")
    with pytest.raises(TraceDataError, match="need a kind of conv2d, linear"):
        run_layer(layer, [trace.samples.codes.read()], trace.input_quantizations(layer))


@pytest.mark.parametrize(
    "machine", ["neural_cache", "dense_crossbar", "isaac", "sre", "pattern_crossbar"]
)
def test_machines_of_affine_codes_say_what_to_do(machine: str) -> None:
    trace = codebook_trace(3)
    with pytest.raises(
        MappingError, match=r"need affine codes .* got a codebook .* `bitpim trace quantize`"
    ):
        bitpim.make_machine(machine).plan(trace)


def test_the_digital_side_refuses_arithmetic_on_codebooks_and_moves_their_codes() -> None:
    trace = codebook_trace(1, n_layers=4)
    outputs = _run(trace)
    refused = 0
    for layer in trace.layers:
        quants = trace.input_quantizations(layer)
        if layer.product_table is not None:
            refused += 1
            with pytest.raises(MappingError, match="need affine codes"):
                prepare_layer(layer, quants)
        else:
            got = prepare_layer(layer, quants).run([outputs[i] for i in layer.inputs])
            np.testing.assert_array_equal(got, outputs[layer.index])
    assert refused
