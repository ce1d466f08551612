"""ISAAC: whole arrays with flipped columns, against the referee and a naive machine."""

import re
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings

from bitpim.errors import ConfigError, MappingError
from bitpim.machine.registry import make_machine
from bitpim_traces.records import Geometry, TensorRecord, Trace
from tests.bitpim.machine.crossbar_runs import (
    Case,
    cases,
    check_lossless,
    check_naive,
    machine,
    run,
)
from tests.one_layer import one_layer, quantization
from tests.strategies import small_trace


@settings(max_examples=25)
@given(cases("isaac"))
def test_nothing_is_lost_without_a_converter(case: Case) -> None:
    check_lossless(machine("isaac", *case.assigned), case.trace)


@settings(max_examples=25)
@given(cases("isaac", lossy=True))
def test_a_converter_loses_what_a_naive_machine_loses(case: Case) -> None:
    check_naive(machine("isaac", *case.assigned), case.trace)


def full_columns() -> Trace:
    """128 rows and more of the highest weights, driven by the highest inputs."""
    trace = one_layer(
        50,
        (300,),
        9,
        inputs=quantization(8, 0),
        weights=quantization(8, 0, signed=True),
        n_samples=2,
    )
    layer = trace.layers[0]
    assert layer.weight is not None
    weight = layer.weight.read().copy()
    weight[0], weight[1], weight[2, :128], weight[3, 5:] = 127, -128, 127, 0
    layer = replace(layer, weight=TensorRecord.of(weight, axes="OI", role="weight"))
    codes = trace.samples.codes.read().copy()
    codes[0] = 255
    samples = replace(trace.samples, codes=TensorRecord.of(codes, axes="NC", role="samples"))
    return replace(trace, layers=(layer,), samples=samples)


def test_flipped_columns_save_a_bit_of_the_converter() -> None:
    """384 is the most that 128 rows of 2-bit cells sum to, 192 where columns are flipped."""
    trace = full_columns()
    check_lossless(machine("isaac"), trace)
    check_lossless(machine("isaac", "converter.adc_bits=9", "numbers.encoding=offset"), trace)
    exact = run(machine("isaac"), trace)[0]
    for assigned in (["numbers.encoding=offset"], ["converter.adc_bits=7"]):
        lossy = machine("isaac", *assigned, "numbers.overflow=saturate")
        check_naive(lossy, trace)
        assert not np.array_equal(run(lossy, trace)[0].codes, exact.codes)


@pytest.mark.parametrize("preset", ["isaac", "isaac_8bit"])
def test_packaged_presets_lose_nothing(preset: str) -> None:
    for seed in (0, 9, 18):
        check_lossless(
            make_machine("isaac", preset, ["chip.tiles=1"]),
            small_trace(seed, bits=(2, 8), mode="float_scale_half_even"),
            against_naive=False,
        )


def test_a_16_bit_weight_takes_eight_columns_and_an_input_sixteen_reads() -> None:
    trace = one_layer(51, (3, 4, 4), 20, Geometry((3, 3)))
    (counts,) = check_lossless(make_machine("isaac", "isaac"), trace)
    n_positions, n_arrays = 4, 2  # 20 x 8 columns on 128
    assert counts["read"] == {
        "cycles": 16 * n_positions,
        "ou_activation": 16 * n_positions * n_arrays,
        "ou_rows": 16 * n_positions * n_arrays * 27,
        "ou_cols": 16 * n_positions * 160,
        "ou_cells": 16 * n_positions * 160 * 27,
        "dac_drive": 16 * n_positions * n_arrays * 27,
        "shift_add": 16 * n_positions * 160,
        "adc_conv_8": 16 * n_positions * 160,
    }


def test_a_network_larger_than_the_chip_is_refused() -> None:
    trace = one_layer(52, (300,), 70)  # 3 arrays down, 3 across at 4 columns a weight
    small = ("chip.tiles=2", "chip.imas_per_tile=2", "chip.crossbars_per_ima=2")
    message = (
        "isaac: need at most 8 crossbars, what the chip has, got 9 for 'one'; use "
        "`--set chip.tiles=3`"
    )
    with pytest.raises(MappingError, match=re.escape(message)):
        machine("isaac", *small).plan(trace)
    just = ("chip.tiles=3", "chip.imas_per_tile=3", "chip.crossbars_per_ima=1")
    assert machine("isaac", *just).plan(trace).n_crossbars == 9


@pytest.mark.parametrize("key", ["chip.area_mm2", "chip.power_w"])
def test_figures_of_the_chip_are_above_0_and_at_most_a_million(key: str) -> None:
    for value in ("0.001", "1000000"):
        machine("isaac", f"{key}={value}")
    for value, said in (
        ("0", "greater than 0, got 0"),
        ("-0.5", "greater than 0, got -0.5"),
        ("1000001", "less than or equal to 1000000, got 1000001"),
    ):
        with pytest.raises(ConfigError, match=re.escape(f"{key}: Input should be {said}")):
            machine("isaac", f"{key}={value}")


def test_tiles_that_are_just_filled_are_enough() -> None:
    """1,536 rows by 256 outputs of 8 columns: 12 x 16 crossbars, two tiles of 96."""
    trace = one_layer(1, (1536,), 256)
    with pytest.raises(MappingError, match=r"got 192 for 'one'; use `--set chip.tiles=2`"):
        make_machine("isaac", None, ["chip.tiles=1"]).plan(trace)
    make_machine("isaac", None, ["chip.tiles=2"]).plan(trace)
