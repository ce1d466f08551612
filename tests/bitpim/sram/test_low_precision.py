"""Taps without products: which are chosen, that they give the referee's codes, what they cost."""

from typing import Any

import numpy as np
import pytest

from bitpim.config import override
from bitpim.errors import ConfigError
from bitpim.machine.cache_machine import CacheMachine
from bitpim.machine.registry import load_preset
from bitpim.proof.reference import run_network
from bitpim.sram.conv_plan import ConvPlan
from bitpim.sram.costs import StepCosts
from bitpim.sram.low_precision import group_by_precision
from bitpim.sram.sparse_rules import PrunedLanes
from bitpim.sram.transposed import lay_lanes
from bitpim.sram.weighted_layer import WeightedLayer
from bitpim_traces.records import Geometry, Trace
from tests.few_bits import BINARY, few_bits, random_few_bits, with_weights
from tests.one_layer import one_layer, quantization
from tests.toy_rules import with_channels_pruned

SAME = Geometry((3, 3), padding=(1, 1, 1, 1))
TINY = (
    "geometry.n_cache_slices=1",
    "geometry.ways_per_cache_slice=3",
    "geometry.banks_per_way=2",
    "geometry.arrays_per_bank=1",
)
TAPS = {"ternary": "add_by_sign_and_mask", "binary": "add_by_sign", "xnor": "count_agreements"}


def machine(*assignments: str) -> CacheMachine:
    settings = override(load_preset("bit_prudent"), ["sparsity.mode=dense", *assignments])
    return CacheMachine(settings, PrunedLanes())


def plan_of(trace: Trace, *assignments: str) -> ConvPlan:
    (plan,) = machine(*assignments).plan(trace).layers
    assert isinstance(plan, ConvPlan)
    return plan


def tap_of(trace: Trace, *assignments: str) -> str:
    return plan_of(trace, *assignments).parts[0].group.sums.tap.name


def check(trace: Trace, *assignments: str, jobs: int = 1) -> None:
    """See that both fidelities give the referee's codes and the counts of the plan."""
    codes = trace.samples.codes.read()
    expected = run_network(trace, codes)[0]
    chosen = machine(*assignments)
    counts = chosen.plan(trace).counts(0, codes.shape[0])
    for fidelity in ("bit", "integer"):
        (run,) = chosen.prepare(trace, fidelity=fidelity, jobs=jobs).run_batch(codes)
        assert np.array_equal(run.codes, expected), fidelity
        assert run.counts == counts


@pytest.mark.parametrize("seed", range(30))
def test_any_layer_gives_the_codes_of_the_referee(seed: int) -> None:
    kind = ("ternary", "binary", "xnor")[seed % 3]
    trace = random_few_bits(kind, seed, 8)
    told = "precision.weights=" + ("auto" if seed % 2 else kind)
    check(trace, told, *(TINY if seed % 4 == 0 else ()), jobs=1 + seed % 2)


MODES = {
    "a list a filter": ("sparsity.mode=coalesce",),
    "a list an array": ("sparsity.mode=coalesce", "sparsity.gather_list=array"),
    "masked owners": ("sparsity.mode=overlap",),
    "owners side by side": ("sparsity.mode=overlap", "sparsity.owner_reduction=contiguous"),
}


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("kind", TAPS)
def test_pruned_lanes_of_few_bits(kind: str, mode: str) -> None:
    """Signs that meet a pruned lane are ternary: a sign has no code that adds nothing."""
    for trace in (
        few_bits(kind, 11, (7, 4, 5), 6, SAME, n_samples=2),
        few_bits(kind, 12, (6, 3, 3), 130, Geometry((3, 3))),  # filters side by side
        few_bits(kind, 13, (40,), 9),
    ):
        pruned = with_channels_pruned(trace, 3, 0.5)
        check(pruned, *MODES[mode], *TINY, jobs=2)
        assert tap_of(pruned, *MODES[mode]) == "add_by_sign_and_mask"


@pytest.mark.parametrize("kind", ["binary", "xnor"])
def test_signs_are_not_gathered(kind: str) -> None:
    trace = with_channels_pruned(few_bits(kind, 11, (7, 4, 5), 6, SAME), 3, 0.5)
    with pytest.raises(ConfigError, match=r"that keep all channels .* got some that gather their"):
        plan_of(trace, "sparsity.mode=coalesce", f"precision.weights={kind}")


@pytest.mark.parametrize("kind", TAPS)
def test_places(kind: str) -> None:
    for trace in (
        few_bits(kind, 1, (4, 1, 1), 6, Geometry((1, 1))),  # one pixel
        few_bits(kind, 2, (1, 6, 5), 6, SAME),  # one channel
        few_bits(kind, 3, (33,), 200, n_samples=3),  # filters side by side
        few_bits(kind, 4, (9, 6, 6), 9, Geometry((3, 3), (2, 1), (1,) * 4, groups=9)),
        few_bits(kind, 5, (4, 5, 5), 3, SAME, mode="float_scale_half_even"),  # sums to the CPU
    ):
        check(trace, f"precision.weights={kind}", jobs=2)


def test_signs_that_lie_side_by_side_meet_padding() -> None:
    """Few positions and many filters: weights lie in lanes, inputs are shared, some of them 0."""
    check(few_bits("xnor", 6, (5, 2, 2), 130, SAME), "precision.weights=xnor")


def test_weights_that_are_all_alike() -> None:
    for value in (-1, 0, 1):
        trace = with_weights(few_bits("ternary", 7, (5, 4, 4), 4, SAME), value)
        check(trace)
        assert tap_of(trace) == TAPS["binary" if value else "ternary"]
        for sign in (-1, 1):
            inputs = with_weights(few_bits("xnor", 8, (5, 4, 4), 4, SAME), sign)
            check(inputs)


# what is chosen


def test_auto_takes_the_least_that_weights_and_inputs_allow() -> None:
    for kind, tap in TAPS.items():
        assert tap_of(few_bits(kind, 10, (4, 4, 4), 4, SAME)) == tap
    wide = one_layer(11, (4, 4, 4), 4, SAME)
    assert tap_of(wide) == "multiply_accumulate"
    assert tap_of(with_weights(wide, 1)) == "multiply_accumulate"  # eight bits are not looked at
    assert tap_of(with_weights(wide, 1), "precision.weights=ternary") == TAPS["ternary"]
    beyond = one_layer(12, (4, 4, 4), 4, SAME, weights=quantization(2, 0, signed=True))
    assert beyond.layers[0].weight is not None and beyond.layers[0].weight.read().min() == -2
    assert tap_of(beyond) == tap_of(beyond, "precision.weights=multiply") == "multiply_accumulate"


def test_less_may_be_told() -> None:
    xnor = few_bits("xnor", 13, (4, 4, 4), 4, SAME)
    for told in ("ternary", "binary", "xnor"):
        assert tap_of(xnor, f"precision.weights={told}") == TAPS[told]
        check(xnor, f"precision.weights={told}")
    name = xnor.layers[0].name
    assert tap_of(xnor, f"precision.weights@{name}=binary") == TAPS["binary"]


def test_weights_that_lanes_leave_out_may_be_zero() -> None:
    """Binary is what filters have in the entries of their layout."""
    trace = few_bits("ternary", 14, (4, 4, 4), 4, SAME)
    (record,) = trace.layers
    assert record.weight is not None
    weight = np.ones(record.weight.shape, np.int64)
    weight[:2, 1] = 0
    trace = with_weights(trace, weight)
    layer = WeightedLayer.of(trace.layers[0], quantization(8), load_preset("bit_prudent"))
    for channels, tap in (([0, 2, 3], "binary"), ([0, 1, 2, 3], "ternary")):
        layout = lay_lanes(
            layer.shape,
            split_limit_taps=9,
            pack_limit_channels=16,
            pad_to_power_of_two=True,
            channels=np.array(channels),
        )
        assert group_by_precision(layer, np.arange(2), layout).sums.tap.name == TAPS[tap]
        others = group_by_precision(layer, np.arange(2, 4), layout)
        assert others.sums.tap.name == TAPS["binary"]


REFUSED: dict[str, tuple[Trace, str, str]] = {
    "ternary multiplied": (
        few_bits("ternary", 20, (4, 4, 4), 4, SAME),
        "multiply",
        "need weights beyond -1, 0 and 1 for precision.weights=multiply, got codes of 2 bits",
    ),
    "wide as ternary": (
        one_layer(21, (4, 4, 4), 4, SAME),
        "ternary",
        "need weights of -1, 0 and 1 for precision.weights=ternary, got weights from -128 to 127",
    ),
    "wide as binary": (
        one_layer(21, (4, 4, 4), 4, SAME),
        "binary",
        "need weights of -1 and 1 for precision.weights=binary, got weights from -128 to 127",
    ),
    "ternary as binary": (
        with_weights(
            few_bits("ternary", 20, (4, 4, 4), 4, SAME), [[[[1]]], [[[1]]], [[[0]]], [[[1]]]]
        ),
        "binary",
        "need weights of -1 and 1 for precision.weights=binary, got a 0 in filter 2",
    ),
    "wide inputs as xnor": (
        few_bits("binary", 22, (4, 4, 4), 4, SAME, inputs=quantization(2, 0, signed=True)),
        "xnor",
        "need inputs of -1 and 1 for precision.weights=xnor, got other codes of 2 bits",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_does_not_fit_is_refused_with_a_remedy(case: str) -> None:
    trace, told, message = REFUSED[case]
    for key in ("precision.weights", "precision.weights@only"):
        with pytest.raises(ConfigError) as raised:
            plan_of(trace, f"{key}={told}")
        text = str(raised.value)
        assert text.startswith(f"layer 0 'only' (conv2d): {message}")
        assert text.endswith(f"use `--set {key}=auto`")
    check(trace, "precision.weights=auto")


def test_the_calibrated_mode_knows_products_alone() -> None:
    trace = few_bits("binary", 23, (4, 4, 4), 4, SAME)
    with pytest.raises(ConfigError, match=r"got taps of add_by_sign; use .*=nc_formula`"):
        plan_of(trace, "timing.cost_mode=nc_paper_calibrated")


# what is counted, worked by hand: 6 channels of 3 x 3 in 8 lanes, 3 levels of a tree


def costs_of(kind: str, *assignments: str, **more: Any) -> StepCosts:
    trace = few_bits(kind, 30, (6, 9, 7), 10, SAME, **more)
    return plan_of(trace, *assignments).parts[0].group.sums.costs


@pytest.mark.parametrize("bits", range(1, 9))
def test_cycles_are_those_of_the_paper(bits: int) -> None:
    moves = 24 + 25 + 26
    tree = 2 * moves + 3
    inputs = quantization(bits, 0)
    ternary = StepCosts((bits + 2) + 25, 25, tree, moves, bits - 1)
    assert costs_of("ternary", inputs=inputs) == ternary
    assert costs_of("binary", inputs=inputs) == StepCosts((bits + 1) + 25, 25, tree, moves)
    mve = StepCosts(2 * bits + 24, 24, 2 * moves, moves)
    assert costs_of("ternary", "timing.cost_mode=mve", inputs=inputs) == mve
    mve = StepCosts(bits + 24, 24, 2 * moves, moves)
    assert costs_of("binary", "timing.cost_mode=mve", inputs=inputs) == mve


def test_signs_are_counted_in_as_few_rows_as_hold_the_number_of_taps() -> None:
    moves = 4 + 5 + 6  # nine taps: four rows
    assert costs_of("xnor") == StepCosts(2 + 5, 5, 2 * moves + 3, moves)
    assert costs_of("xnor", "timing.cost_mode=mve") == StepCosts(2 + 4, 4, 2 * moves, moves)
    plan = plan_of(few_bits("xnor", 31, (32,), 4))  # sixteen channels a lane, no padding
    assert plan.parts[0].group.sums.costs == StepCosts(1 + 6, 6, 2 * 5 + 1, 5)


def test_counts_of_signs_that_agree() -> None:
    """63 positions x 10 filters of 8 lanes: 20 arrays, 10 passes."""
    trace = few_bits("xnor", 32, (6, 9, 7), 10, SAME)
    plan = plan_of(trace, *TINY)
    (part,), (window,) = plan.parts, plan.windows
    phases = plan.counts(1)
    assert phases["mac"] == {
        "cycles": 10 * 9 * 7,
        "sram_compute_cycle": 20 * 9 * 7,
        "mac_exec": 630 * 54,
    }
    assert phases["filter_load"]["dram_byte"] == -(-540 // 8)
    assert phases["filter_load"]["sram_access_cycle"] == 2 * 9
    assert phases["input_stream"]["sram_access_cycle"] == 20 * 9 * 2
    # the inputs that are no padding, counted once for all filters: 63 windows, 2 arrays, one pass
    assert (window.bits, window.sums.input_bits, window.sums.final_bits) == (6, 1, 7)
    assert window.steps == 9 * 5 + 2 * (4 + 5 + 6) + 3
    assert phases["window_sum"]["sram_access_cycle"] == 2 * (9 + 15)
    (one,) = {one.program for one in part.epilogue[:1]}
    assert one.widths["sum"] == 7
    assert one.widths["window"] == 6


def test_ternary_counts_its_first_tap() -> None:
    plan = plan_of(few_bits("ternary", 33, (6, 9, 7), 10, SAME), *TINY)
    assert plan.windows == ()  # no zero point is left
    assert plan.counts(1)["mac"]["cycles"] == 10 * (9 * 35 + 7)
    assert plan.counts(1)["filter_load"]["dram_byte"] == 540 * 2 // 8


@pytest.mark.parametrize("input_bits", range(1, 9))
def test_any_two_widths_are_multiplied_by_the_formula(input_bits: int) -> None:
    for bits in range(1, 9):
        weights = quantization(bits, 0)
        trace = one_layer(40, (4, 4, 4), 4, SAME, inputs=quantization(input_bits), weights=weights)
        ends = np.arange(36).reshape(4, 1, 3, 3) % 4  # beyond what is ternary
        trace = with_weights(trace, np.minimum(ends, (1 << bits) - 1) if bits > 1 else ends % 2)
        sums = plan_of(trace, "precision.weights=multiply").parts[0].group.sums
        cycles = (input_bits + bits) + (1 + input_bits) + (bits - 1) * (input_bits + 3) + 25
        assert sums.costs.multiply_accumulate == sums.tap.n_steps == cycles


def test_inputs_of_signs_are_said_by_their_quantization() -> None:
    assert BINARY.binary
    codes = few_bits("xnor", 50, (4, 4, 4), 4, SAME).samples.codes.read()
    assert set(np.unique(codes)) == {-1, 1}
