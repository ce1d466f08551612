"""RAPIDNN at its ends: axes, borders, rounds that are not full, words that are just wide enough."""

import re

import numpy as np
import pytest

from bitpim.errors import AccumulatorError, ConfigError
from bitpim.proof.reference import run_network
from bitpim_traces.builder import TraceBuilder, WeightCodes
from bitpim_traces.codebook import Codebook
from bitpim_traces.records import Geometry, Quantization, Trace
from tests.bitpim.machine.rapidnn_runs import added, machine, run
from tests.codebook_traces import codebook_trace
from tests.naive.rapidnn_machine import NaiveRapidnn


def coded(*values: int, fraction_bits: int = 0, value_bits: int = 12) -> Quantization:
    return Quantization.of_codebook(Codebook(np.array(values, np.int64), fraction_bits, value_bits))


@pytest.mark.parametrize(
    ("shape", "axis"),
    [((2, 3, 4), 0), ((2, 3, 4), 1), ((2, 3, 4), 2), ((4, 5), 0), ((4, 5), 1)]
    + [((2, 3, 1, 2), axis) for axis in range(4)],
)
def test_inputs_are_joined_along_any_axis(shape: tuple[int, ...], axis: int) -> None:
    builder = TraceBuilder("joined", shape, coded(-64, 0, 5, 7))
    doubled = builder.add("sum", [-1, -1], coded(-128, 0, 12))
    builder.concat("cat", [-1, doubled], axis=axis, output=coded(-100, -50, 0, 6, 11))
    trace = builder.build(np.random.default_rng(1).integers(0, 4, (2, *shape)))
    need = run_network(trace, trace.samples.codes.read(), keep="all")
    for fidelity in ("bit", "integer"):
        for layer in run(machine(), trace, fidelity):
            np.testing.assert_array_equal(layer.codes, need[layer.index])


def _pooled_at_borders(count_include_pad: bool) -> Trace:
    builder = TraceBuilder("pooled", (1, 3, 4), coded(0, 60, 100))
    window = Geometry((3, 3), (1, 1), (1, 1, 1, 1), count_include_pad=count_include_pad)
    builder.avg_pool2d("mean", -1, window, output=coded(0, 20, 60))
    return builder.build(np.full((2, 1, 3, 4), 2))


@pytest.mark.parametrize("count_include_pad", [False, True])
def test_sums_as_wide_as_the_plan_needs_are_enough(count_include_pad: bool) -> None:
    """Whoever follows the plan's remedy can run: padded positions add nothing to a mean."""
    builder = TraceBuilder("below", (4,), coded(-64, 0))
    builder.add("sum", [-1, -1], coded(-128, 0))
    below = builder.build(np.zeros((1, 4), np.int64))
    for trace in (below, _pooled_at_borders(count_include_pad)):
        with pytest.raises(AccumulatorError) as refused:
            machine("adder.sum_bits=2").plan(trace)
        found = re.search(r"adder.sum_bits=(\d+)`", str(refused.value))
        assert found
        need = run_network(trace, trace.samples.codes.read())[0]
        (layer,) = run(machine(f"adder.sum_bits={found.group(1)}"), trace)
        np.testing.assert_array_equal(layer.codes, need)


def test_rounds_are_those_of_the_neurons_in_them() -> None:
    """Corners add 4 shares, edges 6, the inside 9: 2, 3 and 4 levels; rounds of 4 neurons."""
    few = machine("chip.tiles=1", "chip.rnas_per_tile=5")
    (layer,) = run(few, _pooled_at_borders(False))
    rows = [2, 3, 3, 2, 3, 4, 4, 3, 2, 3, 3, 2]
    levels = sum(max(rows[first : first + 5]) for first in (0, 5, 10))
    assert levels == 3 + 4 + 3
    assert layer.counts["add_products"]["cycles"] == 2 * (13 * levels + 3 * 13 * 48)
    builder = TraceBuilder("lengths", (1, 1, 4), coded(0, 1))
    weights = np.array([[0, 0, 0, 0], [0, 0, 1, 1], [0, 0, 1, 1]]).reshape(3, 1, 1, 4)
    builder.conv2d("conv", -1, WeightCodes(weights, coded(0, 1)), coded(0, 1), Geometry((1, 4)))
    trace = builder.build(np.zeros((1, 1, 1, 4), np.int64))
    for n_rnas, cycles in ((1, 4 + 2 + 2), (2, 4 + 2), (3, 4)):
        (layer,) = run(machine("chip.tiles=1", f"chip.rnas_per_tile={n_rnas}"), trace)
        assert layer.counts["count_pairs"]["cycles"] == cycles
        assert layer.counts["count_pairs"]["counter_cycle"] == 8


def test_figures_of_layers_that_count_nothing() -> None:
    """Terms that are added are no pairs, and codes that move are on no RNA."""
    builder = TraceBuilder("terms", (1, 2, 2), coded(0, 1))
    builder.add("sum", [-1, -1, -1], coded(0, 2))
    builder.flatten("flat", 0)
    trace = builder.build(np.zeros((1, 1, 2, 2), np.int64))
    made = machine()
    sums, _ = run(made, trace)
    assert sums.counts["add_products"]["value_read"] == 12
    share = made.legend.headlines[0]
    assert share.value(sums.counts["add_products"]) is None
    rows = made.plan(trace).table()
    assert [row["utilization"] for row in rows] == [1.0, 0.0]


def test_words_that_no_search_holds_name_the_layer_and_what_to_do() -> None:
    builder = TraceBuilder("fine", (4,), coded(0, 1))
    builder.add("sum", [-1, -1], coded(0, 1, fraction_bits=20))
    trace = builder.build(np.zeros((1, 4), np.int64))
    with pytest.raises(
        AccumulatorError, match=r"layer 0 'sum' .* 68 bits .*`--set adder.sum_bits=44`"
    ):
        machine().plan(trace)
    assert run(machine("adder.sum_bits=44"), trace)
    builder = TraceBuilder("coarse", (4,), coded(0, 1, fraction_bits=40))
    builder.add("sum", [-1, -1], coded(0, 1, value_bits=32))
    trace = builder.build(np.zeros((1, 4), np.int64))
    with pytest.raises(
        AccumulatorError, match=r"layer 0 'sum' .* 72 bits .* product_fraction_bits=N"
    ):
        machine().plan(trace)


def test_settings_by_layer_that_lose_something_are_to_be_left_out() -> None:
    trace = codebook_trace(22, n_layers=3, most_codes=16, n_samples=2)
    last = trace.layers[-1].name
    with pytest.raises(ConfigError, match=r"match.mode@.*=wxor; .*, or leave them out"):
        machine(f"match.mode@{last}=wxor").prepare(trace, fidelity="integer")


@pytest.mark.parametrize("stage_bits", [1, 3, 5, 12])
@pytest.mark.parametrize("seed", [0, 3])
def test_candidates_that_a_stage_leaves_are_not_compared_again(seed: int, stage_bits: int) -> None:
    rng = np.random.default_rng(seed)
    book = Codebook(np.unique(np.append(rng.integers(-60, 60, 20), [0, -2048, 2047])), 0, 12)
    builder = TraceBuilder("largest", (2, 5, 4), Quantization.of_codebook(book))
    builder.max_pool2d("pool", -1, Geometry((3, 2), (2, 1), (1, 1, 0, 1)))
    trace = builder.build(rng.integers(0, book.n_codes, (2, 2, 5, 4)))
    made = machine("match.mode=staged", f"match.stage_bits={stage_bits}")
    naive = NaiveRapidnn(made.settings, trace)
    by_sample = [naive.run(sample)[0][1] for sample in trace.samples.codes.read()]
    (layer,) = run(made, trace)
    assert layer.counts == added(by_sample)
    most = made.plan(trace).counts(0, 2)["find_largest"]["cam_row"]
    assert (layer.counts["find_largest"]["cam_row"] < most) == (stage_bits < 12)
