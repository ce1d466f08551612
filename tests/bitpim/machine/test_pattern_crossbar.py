"""Pattern crossbars: block by block, against the referee, a naive machine, and dense crossbars."""

import re
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings

from bitpim.errors import ConfigError, MappingError, TraceDataError
from bitpim.machine.registry import make_machine
from bitpim_traces.records import Geometry, Requantize, TensorRecord, Trace
from tests.bitpim.machine.crossbar_runs import (
    NETWORK,
    Case,
    calibrated_scales,
    cases,
    check_lossless,
    check_naive,
    machine,
    prune,
    run,
)
from tests.one_layer import one_layer, quantization
from tests.strategies import small_trace


def patterned(*assigned: str) -> Any:
    return machine("pattern_crossbar", *assigned)


@settings(max_examples=50)
@given(cases("pattern_crossbar"))
def test_nothing_is_lost_without_a_converter(case: Case) -> None:
    check_lossless(patterned(*case.assigned), case.trace)


@settings(max_examples=50)
@given(cases("pattern_crossbar", lossy=True))
def test_a_converter_loses_what_a_naive_machine_loses(case: Case) -> None:
    check_naive(patterned(*case.assigned), case.trace)


SMALL = (
    "geometry.array_rows=20",
    "geometry.array_columns=24",
    "geometry.ou_columns=5",
    "numbers.weight_bits=10",
)


def conv(seed: int, kernel: int = 3, **more: Any) -> Trace:
    pad = kernel // 2
    geometry = Geometry((kernel, kernel), padding=(pad,) * 4)
    return one_layer(seed, (3, 4, 4), 6, geometry, **more)


@pytest.mark.parametrize("ou_rows", [1, 4, 9, 16])
def test_patterns_of_every_height(ou_rows: int) -> None:
    """0 to 9 positions kept, in units higher and lower than that."""
    weights = quantization(8, [3, 0, 255, 128, 7, 90])
    for height in range(10):
        mask = (1 << height) - 1 << min(2, 9 - height)
        trace = prune(conv(70, weights=weights), height, patterns=[mask or 1], empty=0.3)
        if height == 0:
            trace = prune(conv(70, weights=weights), 0, patterns=[511], empty=1.0)
        unit = (*SMALL, f"geometry.ou_rows={ou_rows}")
        check_lossless(patterned(*unit, "mapping.zero_skip=vector"), trace)
        lossy = ("converter.adc_bits=2", "numbers.overflow=saturate")
        check_naive(patterned(*unit, *lossy), trace)


def test_a_layer_pruned_whole_takes_no_crossbar() -> None:
    trace = prune(conv(71), 0, patterns=[511], empty=1.0)
    (counts,) = check_lossless(patterned(*SMALL, "geometry.ou_rows=9"), trace)
    assert counts["read"] == {"cycles": 0}
    assert patterned().plan(trace).n_crossbars == 0


@pytest.mark.parametrize("kernel", [1, 2, 5])
def test_other_kernels_follow_the_named_rule(kernel: int) -> None:
    trace = prune(conv(72, kernel), 5)
    rules = {}
    for rule in ("dense", "patterns"):
        chosen = patterned(*SMALL, "geometry.ou_rows=7", f"mapping.other_kernels={rule}")
        check_lossless(chosen, trace)
        rules[rule] = chosen.plan(trace).table()[0]["rule"]
    assert rules == {"dense": "dense", "patterns": "patterns"}
    linear = prune(one_layer(73, (20,), 5), 1)
    chosen = patterned("mapping.other_kernels=patterns", "numbers.weight_bits=9")
    assert chosen.plan(linear).table()[0]["rule"] == "dense"
    check_lossless(chosen, linear)


@pytest.mark.parametrize("seed", [0, 9, 18, 27])
def test_networks_of_every_kind_equal_the_referee(seed: int) -> None:
    trace = prune(small_trace(seed, bits=(2, 8)), seed, carry=False)
    check_lossless(patterned(*SMALL, "geometry.ou_rows=4"), trace)
    every = ("mapping.other_kernels=patterns", "mapping.zero_skip=bit_plane")
    check_lossless(patterned(*SMALL, "geometry.ou_rows=4", *every), trace)


def test_a_network_with_a_residual_loses_what_a_naive_machine_loses() -> None:
    trace = prune(NETWORK, 4)
    every = ("mapping.other_kernels=patterns", "converter.adc_bits=3", "numbers.overflow=saturate")
    check_naive(patterned(*SMALL, "geometry.ou_rows=4", *every), trace)


@pytest.mark.parametrize("model", ["floor", "symmetric"])
def test_a_calibrated_range_holds_what_blocks_gave(model: str) -> None:
    bits = ("converter.adc_bits=2", "numbers.overflow=saturate", "converter.calibration_samples=1")
    ranged = (f"converter.adc_model={model}", "converter.adc_range=calibrated")
    for ou_rows in (2, 9):
        unit = (*SMALL, f"geometry.ou_rows={ou_rows}", "mapping.zero_skip=none")
        for trace in (prune(conv(78, n_samples=2), 4), prune(conv(78), 0, empty=1.0)):
            exact = patterned(*unit, "converter.adc_model=exact")
            scales = calibrated_scales(exact, trace, 1, 1.0)
            check_naive(patterned(*unit, *bits, *ranged), trace, scales)


@pytest.mark.parametrize("preset", ["pattern_crossbar", "pattern_crossbar_8bit"])
def test_packaged_presets_lose_nothing(preset: str) -> None:
    trace = prune(conv(74, n_samples=2), 8)
    check_lossless(make_machine("pattern_crossbar", preset), trace, against_naive=False)


def test_threads_change_nothing() -> None:
    trace = prune(conv(75, n_samples=4), 9)
    for ou_rows in (3, 9):
        chosen = patterned(*SMALL, f"geometry.ou_rows={ou_rows}", "mapping.zero_skip=bit_plane")
        (alone,), (shared,) = run(chosen, trace), run(chosen, trace, jobs=2)
        assert np.array_equal(alone.codes, shared.codes) and alone.counts == shared.counts


# dense and pattern mapping


def plain_sum(positions: list[int], *, bits: int = 1) -> Trace:
    """One kernel of ones at some positions of one window of ones; the output code is the sum."""
    kept = np.zeros((1, 1, 3, 3), np.int8)
    kept.reshape(-1)[positions] = 1
    trace = one_layer(
        0,
        (1, 3, 3),
        1,
        Geometry((3, 3)),
        inputs=quantization(bits, 0),
        weights=quantization(2, 0, signed=True),
        bias=False,
    )
    layer = replace(
        trace.layers[0],
        weight=TensorRecord.of(kept, axes="OIHW", role="weight"),
        requantize=Requantize("truncate_shift", np.ones(1, np.int32), np.zeros(1, np.int32)),
        output=quantization(8, 0, signed=True),
    )
    ones = np.ones((1, 1, 3, 3), np.uint8)
    samples = replace(trace.samples, codes=TensorRecord.of(ones, axes="NCHW", role="samples"))
    return replace(trace, layers=(layer,), samples=samples)


def output(name: str, trace: Trace, *assigned: str) -> Any:
    return run(machine(name, *assigned), trace)[0].codes.ravel().tolist()


FOUR_ROWS = (
    "geometry.ou_rows=4",
    "geometry.cell_bits=1",
    "numbers.encoding=differential",
    "mapping.zero_skip=none",
)


def test_dense_and_pattern_mapping_differ_where_their_units_do() -> None:
    """Kept positions 0, 2, 4, 8: the dense mapping opens rows 0-3, 4-7 and 8, which read 2, 1 and
    1; the pattern's four rows lie in one unit, whose 4 clips to the 3 that two bits hold.
    """
    trace = plain_sum([0, 2, 4, 8])
    lossy = (*FOUR_ROWS, "converter.adc_bits=2")
    assert output("dense_crossbar", trace, *lossy) == [4]
    assert output("pattern_crossbar", trace, *lossy) == [3]
    lossless = (*FOUR_ROWS, "converter.adc_bits=3")
    assert output("dense_crossbar", trace, *lossless) == [4]
    assert output("pattern_crossbar", trace, *lossless) == [4]
    for name in ("dense_crossbar", "pattern_crossbar"):
        check_lossless(machine(name, *lossless), trace)
        check_naive(machine(name, *lossy), trace)


def test_dense_and_pattern_mapping_differ_where_dropped_weights_have_cells() -> None:
    """Offset cells hold 3 for a weight of 1 and 2 for one of 0. Nine dense rows read 4 in the low
    bit and 9, clipped to 7, in the high one; the pattern's four rows read 4 in both.
    """
    trace = plain_sum([0, 2, 4, 8])
    lossy = ("geometry.cell_bits=1", "numbers.encoding=offset", "converter.adc_bits=3")
    assert output("dense_crossbar", trace, *lossy) == [4 + 2 * 7 - 2 * 9]
    assert output("pattern_crossbar", trace, *lossy) == [4 + 2 * 4 - 2 * 4]


@pytest.mark.parametrize("adc_bits", [1, 2, 3])
@pytest.mark.parametrize("encoding", ["differential", "differential_paired"])
def test_dense_and_pattern_mapping_agree_where_their_units_read_the_same(
    encoding: str, adc_bits: int
) -> None:
    """Units as high as a window, that start with it: rows that a pattern drops hold level 0, so a
    unit of the dense mapping reads what the pattern's rows read. Order and place do not matter.
    """
    trace = prune(conv(76, n_samples=2), 4)
    assigned = (
        f"numbers.encoding={encoding}",
        f"converter.adc_bits={adc_bits}",
        "mapping.row_blocks=window",
        "numbers.weight_bits=9",
        "numbers.overflow=saturate",
    )
    dense, pattern = (
        run(machine(name, *assigned), trace)[0] for name in ("dense_crossbar", "pattern_crossbar")
    )
    assert np.array_equal(dense.codes, pattern.codes)
    exact = run(machine("dense_crossbar", *assigned, "converter.adc_bits=5"), trace)[0]
    assert adc_bits == 3 or not np.array_equal(exact.codes, dense.codes)
    event = f"adc_conv_{adc_bits}"
    assert pattern.counts["read"][event] < dense.counts["read"][event]


# errors


def with_extra(trace: Trace, **extra: Any) -> Trace:
    layer = trace.layers[0]
    assert layer.weight is not None
    tensors = dict(layer.extra)
    for name, values in extra.items():
        axes = "P" if values.ndim == 1 else layer.weight.axes
        tensors[name] = TensorRecord.of(values, axes=axes, role=name, units="1")
    return replace(trace, layers=(replace(layer, extra=tensors),))


def test_a_mask_that_disagrees_with_the_weights() -> None:
    trace = plain_sum([0, 2, 4, 8])
    mask = np.ones((1, 1, 3, 3), np.uint8)
    mask[0, 0, 1, 1] = 0
    message = (
        "layer 0 'only' (conv2d): /layers/0000/extra/pruning_mask: need weights at their zero "
        "point where the mask is 0, got code 1 at (0, 0, 1, 1)"
    )
    with pytest.raises(TraceDataError, match=re.escape(message)) as told:
        patterned().plan(with_extra(trace, pruning_mask=mask))
    assert "\n" not in str(told.value)


def test_a_pattern_set_that_does_not_cover_a_kernel() -> None:
    trace = plain_sum([0, 2, 4, 8])
    mask = np.zeros((1, 1, 3, 3), np.uint8)
    mask.reshape(-1)[[0, 2, 4, 8]] = 1
    patterns = np.array([0b1, 0b11], np.uint32)
    message = "need conv kernels whose mask is 0 or one of the patterns, got 0b100010101 at (0, 0)"
    with pytest.raises(TraceDataError, match=re.escape(message)) as told:
        patterned().plan(with_extra(trace, pruning_mask=mask, patterns=patterns))
    assert "\n" not in str(told.value)


def test_windows_without_mask_codes_are_refused_or_dense() -> None:
    trace = one_layer(77, (1, 6, 6), 2, Geometry((6, 6)), weights=quantization(8, 128))
    check_lossless(patterned(), trace)
    message = r"layer 0 'only' \(conv2d\): need a window of at most 32 positions for masks, got 6 x"
    with pytest.raises(MappingError, match=message):
        patterned("mapping.other_kernels=patterns").plan(trace)


def test_flipped_columns_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"pattern_crossbar: .* column_flip needs columns"):
        patterned("numbers.encoding=column_flip")
