"""SRE: rows of zero weights and of zero inputs left out, against referee and naive machine."""

import re
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings

from bitpim.errors import ConfigError, MappingError
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


def sre(*assigned: str) -> Any:
    return machine("sre", *assigned)


@settings(max_examples=50)
@given(cases("sre"))
def test_nothing_is_lost_without_a_converter(case: Case) -> None:
    check_lossless(sre(*case.assigned), case.trace)


@settings(max_examples=50)
@given(cases("sre", lossy=True))
def test_a_converter_loses_what_a_naive_machine_loses(case: Case) -> None:
    check_naive(sre(*case.assigned), case.trace)


SMALL = (
    "geometry.array_rows=20",
    "geometry.array_columns=24",
    "geometry.ou_rows=6",
    "geometry.ou_columns=5",
    "numbers.weight_bits=10",
)


@pytest.mark.parametrize("seed", [0, 9, 13, 27])
def test_networks_of_every_kind_equal_the_referee(seed: int) -> None:
    trace = small_trace(seed, bits=(2, 8))
    check_lossless(sre(*SMALL), trace)
    check_lossless(make_machine("sre", "sre", ["numbers.weight_bits=9"]), trace)


def test_a_network_with_a_residual_loses_what_a_naive_machine_loses() -> None:
    check_naive(sre(*SMALL, "converter.adc_bits=3", "numbers.overflow=saturate"), NETWORK)


def test_a_calibrated_range_holds_what_packed_reads_gave() -> None:
    """A layer that reads nothing, as all its weights are zero, has nothing to fit."""
    bits = ("converter.adc_bits=3", "numbers.overflow=saturate", "converter.calibration_samples=2")
    ranged = ("converter.adc_model=round", "converter.adc_range=calibrated")
    empty = prune(NETWORK, 2, empty=1.0)
    for trace in (NETWORK, prune(NETWORK, 4), empty):
        for pack in ("true", "false"):
            packed = (*SMALL, f"mapping.pack_active_rows={pack}")
            exact = sre(*packed, "converter.adc_model=exact")
            scales = calibrated_scales(exact, trace, 2, 1.0)
            check_naive(sre(*packed, *bits, *ranged), trace, scales)
            assert bool(scales) == (trace is not empty)


def linear(weights: Any, inputs: Any, bits: int) -> Trace:
    """Build a linear layer whose output codes are its sums."""
    weight, codes = np.array(weights, np.int8), np.array(inputs, np.uint8)
    trace = one_layer(
        0,
        (weight.shape[1],),
        len(weight),
        inputs=quantization(bits, 0),
        weights=quantization(3, 0, signed=True),
        bias=False,
    )
    one = Requantize("truncate_shift", np.ones(1, np.int32), np.zeros(1, np.int32))
    layer = replace(
        trace.layers[0],
        requantize=one,
        output=quantization(8, 0, signed=True),
        weight=TensorRecord.of(weight, axes="OI", role="weight"),
    )
    samples = replace(trace.samples, codes=TensorRecord.of(codes, axes="NC", role="samples"))
    return replace(trace, layers=(layer,), samples=samples)


TWO_ROWS = (
    "geometry.array_rows=8",
    "geometry.array_columns=8",
    "geometry.ou_rows=2",
    "geometry.ou_columns=2",
    "geometry.cell_bits=1",
    "converter.adc_bits=1",
)


def read(trace: Trace, *assigned: str) -> tuple[npt.NDArray[Any], dict[str, int]]:
    (got,) = run(sre(*assigned), trace)
    return got.codes, dict(got.counts["read"])


def test_packed_rows_meet_in_other_reads() -> None:
    """Inputs 1 0 1 0: alone in their units of two rows they read 1 and 1; packed, 2 clips to 1."""
    trace = linear([[1, 1, 1, 1]], [[1, 0, 1, 0]], bits=1)
    assert read(trace, *TWO_ROWS)[0].tolist() == [[1]]
    assert read(trace, *TWO_ROWS, "mapping.pack_active_rows=false")[0].tolist() == [[2]]
    for pack in ("true", "false"):
        chosen = sre(*TWO_ROWS, "converter.adc_bits=2", f"mapping.pack_active_rows={pack}")
        check_lossless(chosen, trace)
        assert read(trace, *TWO_ROWS, "converter.adc_bits=2")[0].tolist() == [[2]]


def test_dropped_rows_let_others_meet() -> None:
    """Weights 1 0 0 1: the rows between them take no wordline, so both lie in one unit."""
    trace = linear([[1, 0, 0, 1]], [[1, 1, 1, 1]], bits=1)
    unpacked = (*TWO_ROWS, "mapping.pack_active_rows=false")
    assert read(trace, *unpacked)[0].tolist() == [[1]]
    assert read(trace, *unpacked, "mapping.drop_zero_rows=false")[0].tolist() == [[2]]


def test_reads_and_indices_of_a_worked_example() -> None:
    """Five rows, two outputs, one column each for plus and minus and two bits: 8 columns, 4 units.

    Output 0 has weights in rows 0, 1 and 4, all positive: its units of plus bits keep them, those
    of minus bits keep nothing. Output 1 has one negative weight, in row 2.
    """
    trace = linear([[1, 3, 0, 0, 2], [0, 0, -3, 0, 0]], [[2, 0, 3, 1, 2]], bits=2)
    codes, counts = read(trace, *TWO_ROWS, "mapping.column_order=weight", "converter.adc_bits=2")
    assert codes.tolist() == [[6, -9]]
    # Bits of the inputs: 0 0 1 1 0 and 1 0 1 0 1. Rows 0, 1, 4 have none, then two; row 2 one each.
    assert counts == {
        "cycles": 1 + 2,
        "ou_activation": 1 + 2,
        "ou_skipped": 2 * (2 + 1) - 3,
        "ou_rows": 2 + 2,
        "dac_drive": 2 + 2,
        "ou_cols": 2 * 3,
        "ou_cells": 2 * 2 + 2 * 2,
        "shift_add": 2 * 3,
        "adc_conv_2": 2 * 3,
        "index_read_bit": (3 + 1) * 3,
    }


def test_a_layer_without_weights_reads_nothing() -> None:
    trace = linear([[0, 0, 0]], [[3, 2, 1]], bits=2)
    (counts,) = check_lossless(sre(*TWO_ROWS), trace)
    assert counts["read"] == {"cycles": 0}
    (dense,) = check_lossless(sre(*TWO_ROWS, "mapping.drop_zero_rows=false"), trace)
    assert dense["read"]["ou_activation"] > 0
    assert "index_read_bit" not in dense["read"]


def test_threads_and_batches_change_nothing() -> None:
    trace = prune(one_layer(60, (6, 7, 7), 8, Geometry((3, 3)), n_samples=4), 3)
    chosen = sre(*SMALL)
    (alone,) = run(chosen, trace)
    (shared,) = run(chosen, trace, jobs=2)
    assert np.array_equal(alone.codes, shared.codes) and alone.counts == shared.counts
    codes = trace.samples.codes.read()
    network = chosen.prepare(trace)
    parts = [next(network.run_batch(codes[a:b])) for a, b in ((0, 1), (1, 4))]
    assert np.array_equal(np.concatenate([part.codes for part in parts]), alone.codes)
    for event, n in alone.counts["read"].items():
        assert n == sum(part.counts["read"].get(event, 0) for part in parts), event


@pytest.mark.parametrize(
    ("assigned", "error", "message"),
    [
        (
            ["numbers.encoding=column_flip"],
            ConfigError,
            "sre: numbers.encoding column_flip needs columns with all their rows",
        ),
        (
            ["converter.adc_model=symmetric", "converter.adc_bits=2"],
            ConfigError,
            "sre: converter.adc_model symmetric does not read 0 as 0",
        ),
        (
            ["numbers.weight_bits=trace"],
            MappingError,
            "layer 0 'only' (conv2d): need 9 bits for weights in encoding differential, "
            "got 8; use `--set numbers.weight_bits=9`",
        ),
        (
            ["numbers.input_bits=4"],
            MappingError,
            "layer 0 'only' (conv2d): need inputs of at most 4 bits, got 8",
        ),
    ],
)
def test_bad_settings_are_one_line(
    assigned: list[str], error: type[Exception], message: str
) -> None:
    trace = one_layer(61, (5, 3, 3), 4, Geometry((3, 3)))
    with pytest.raises(error, match=re.escape(message)) as told:
        run(sre(*SMALL, *assigned), trace)
    assert "\n" not in str(told.value)
