"""PipeLayer: spike trains and counters, against the referee and a naive machine."""

import re
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings

from bitpim.errors import BitpimError, ConfigError, MappingError
from bitpim.machine.machine import losses_on
from bitpim.machine.registry import load_preset, make_machine, prices_of
from bitpim_traces.records import Geometry, TensorRecord, Trace
from tests.bitpim.machine.crossbar_runs import (
    NETWORK,
    Case,
    cases,
    check_lossless,
    check_naive,
    machine,
    run,
)
from tests.one_layer import one_layer, quantization
from tests.strategies import small_trace

WIDE = "numbers.weight_bits=9"


@settings(max_examples=25)
@given(cases("pipelayer"))
def test_wide_counters_lose_nothing(case: Case) -> None:
    check_lossless(machine("pipelayer", *case.assigned), case.trace)


@settings(max_examples=25)
@given(cases("pipelayer", lossy=True))
def test_narrow_counters_lose_what_those_of_a_naive_machine_lose(case: Case) -> None:
    check_naive(machine("pipelayer", *case.assigned), case.trace)


@pytest.mark.parametrize("preset", ["pipelayer", "pipelayer_8bit"])
def test_packaged_presets_lose_nothing(preset: str) -> None:
    for seed in (0, 9, 18):
        trace = small_trace(seed, bits=(2, 8), mode="float_scale_half_even")
        chosen = make_machine("pipelayer", preset, [WIDE] if preset.endswith("8bit") else [])
        check_lossless(chosen, trace, against_naive=False)


ODD = {
    "one pixel": ((1, 1, 1), Geometry((1, 1))),
    "a kernel beyond the image": ((2, 2, 3), Geometry((5, 4), padding=(2, 2, 1, 3))),
    "groups, strides, dilation": ((4, 7, 6), Geometry((3, 2), (2, 3), (1, 0, 2, 1), (2, 1), 2)),
    "padding on one side": ((1, 3, 3), Geometry((3, 3), padding=(0, 2, 0, 2))),
}


@pytest.mark.parametrize("zeros", ["low", "high"])
@pytest.mark.parametrize("signed", [False, True])
@pytest.mark.parametrize("shape", ODD)
def test_layers_of_odd_shape_with_zero_points_at_both_ends(
    shape: str, signed: bool, zeros: str
) -> None:
    image, geometry = ODD[shape]
    low = -128 if signed else 0
    zero = low if zeros == "low" else low + 255
    inputs = quantization(8, zero, signed=signed)
    weights = quantization(8, zero, signed=signed)
    trace = one_layer(5, image, 4, geometry, inputs=inputs, weights=weights, n_samples=2)
    small = ("geometry.array_rows=7", "geometry.ou_rows=7", "geometry.array_columns=9")
    unit = ("geometry.ou_columns=9", "numbers.weight_bits=10", "numbers.input_bits=9")
    check_lossless(machine("pipelayer", *small, *unit), trace)


def spelled(codes: list[list[int]], weights: list[list[int]], **how: Any) -> Trace:
    """A linear layer with these input codes and weights, whose outputs are its sums."""
    trace = one_layer(
        0,
        (len(codes[0]),),
        len(weights),
        inputs=quantization(how.get("bits", 4), 0, signed=how.get("signed", False)),
        weights=quantization(5, 0, signed=True),
        n_samples=len(codes),
        bias=False,
    )
    kind = np.int8 if how.get("signed") else np.uint8
    held = TensorRecord.of(np.array(codes, kind), axes="NC", role="samples")
    weight = TensorRecord.of(np.array(weights, np.int8), axes="OI", role="weight")
    layer = replace(trace.layers[0], weight=weight)
    return replace(trace, layers=(layer,), samples=replace(trace.samples, codes=held))


TWO_COLUMNS = (
    *("geometry.array_rows=2", "geometry.ou_rows=2"),
    *("geometry.array_columns=3", "geometry.ou_columns=3"),
)


def test_counts_worked_out_by_hand() -> None:
    """Inputs 5 and 3, then 0 and 15, as 4 spikes; weights of 4 bits in one cell, either sign.

    3 rows on 2 arrays down (2 and 1 rows); 2 outputs are 4 columns (positive, negative of each) on
    2 arrays across, of 3 and 1. Bits of 1: 5 = 0101 has 2, 3 = 0011 has 2, 6 = 0110 has 2; 15 has
    4. A row's spikes go to both arrays that it runs through, and cross its 4 cells.
    """
    trace = spelled([[5, 3, 6], [0, 15, 0]], [[1, -2, 3], [0, 4, -15]])
    chosen = machine("pipelayer", *TWO_COLUMNS)
    both = check_lossless(chosen, trace)[0]
    (one,) = run(chosen, trace, trace.samples.codes.read()[:1])
    assert one.counts["read"] == {
        "cycles": 4,
        "spike_read": 4 * 4,
        "spike": 6 * 2,
        "spike_silent": 4 * 3 * 2 - 6 * 2,
        "spike_cell": 6 * 4,
        "if_count": 4 * 2 * 4,
        "shift_add": 4 * 2 * 4,
    }
    assert both["read"]["spike"] == (6 + 4) * 2
    assert both["read"]["cycles"] == 2 * 4
    # 3 input codes and 2 output codes; 4-bit inputs in one cell each, 8-bit outputs in two
    assert trace.layers[0].output.bits == 8
    assert one.counts["memory"] == {"cycles": 0, "reram_read": 3, "reram_write": 4}
    plan = chosen.plan(trace)
    (row,) = plan.table()
    assert row["weight_writes"] == 3 * 4
    assert (row["arrays"], row["copies"], row["positions"]) == (4, 1, 1)
    assert (row["steps"], row["trains"], row["spike_reads"]) == (4, 1, 16)
    assert row["memory_arrays"] == 1  # 4 cells of 2 x 3
    planned = plan.counts(0, 1)["read"]
    assert planned["spike"] == 24 and "spike_silent" not in planned
    assert plan.assumes == "that spikes in every step"


def test_a_signed_code_spikes_as_its_twos_complement_is_driven() -> None:
    """-1 and -8 of 4 bits, driven as 6: 111111 and 111000; 7 is 000111."""
    trace = spelled([[-1, -8, 7]], [[1, 1, 1]], signed=True)
    chosen = machine("pipelayer", *TWO_COLUMNS, "numbers.input_bits=6")
    (counts,) = check_lossless(chosen, trace)
    assert counts["read"]["spike"] == (6 + 3 + 3)
    assert counts["read"]["cycles"] == 6


def test_a_counter_stays_at_its_top_in_every_step() -> None:
    """Two rows of 15 count to 30 in a step where both spike; 4 bits stay at 15, 5 do not."""
    trace = spelled([[3, 1]], [[15, 15]])
    loose = ("converter.counter_overflow=saturate", "numbers.overflow=saturate")

    def codes(bits: int) -> Any:
        chosen = machine("pipelayer", *TWO_COLUMNS, *loose, f"converter.counter_bits={bits}")
        check_naive(chosen, trace)
        return run(chosen, trace)[0].codes

    exact = run(machine("pipelayer", *TWO_COLUMNS), trace)[0].codes
    assert np.array_equal(codes(5), exact)
    assert not np.array_equal(codes(4), exact)


def test_work_is_priced_as_the_paper_is_quoted() -> None:
    table = prices_of("pipelayer")
    assert table.price("spike").energy_pj == table.price("reram_read").energy_pj == 1.08
    assert table.price("reram_write").energy_pj == 3910.0
    for preset in ("pipelayer", "pipelayer_8bit"):
        for got in run(make_machine("pipelayer", preset, [WIDE]), NETWORK):
            for events in got.counts.values():
                table.require(events.keys() - {"cycles"})


def test_the_chip_gives_the_published_peak() -> None:
    """1485 GOPS/s/mm2 on 82.63 mm2, when 14,050 arrays of 2,048 weights read in 16 x 29.31 ns."""
    settings = load_preset("pipelayer")
    assert settings.timing.clock_compute_ghz == pytest.approx(1 / 29.31)
    ops = 2 * settings.chip.morphable_arrays * 128 * 128 / 8 / (16 * 29.31)
    assert ops / settings.chip.area_mm2 == pytest.approx(1485, rel=1e-3)


# What is refused.


def test_counters_that_could_overflow_where_they_are_said_to_be_wide() -> None:
    message = (
        "converter.counter_bits needs 11 or more with counter_overflow error, for counts up to "
        "1920 of 128 rows of 4-bit cells, got 10; use `--set converter.counter_bits=11`, or "
        "`--set converter.counter_overflow=saturate`"
    )
    with pytest.raises(ConfigError, match=re.escape(message)):
        machine("pipelayer", "converter.counter_bits=10")
    assert machine("pipelayer", "converter.counter_bits=11").losses() is None
    narrow = machine(
        "pipelayer", "converter.counter_bits=10", "converter.counter_overflow=saturate"
    )
    assert narrow.losses() == "counters of 10 bits, partial sums 0 to 1920 of OUs of 128 rows"


def test_a_layer_whose_counters_could_overflow_is_named() -> None:
    own = "converter.counter_bits@conv2d_0=3"
    trace = replace(NETWORK)
    with pytest.raises(ConfigError, match=r"layer 0 'conv2d_0' .*counter_bits needs 11 or more"):
        machine("pipelayer", own).plan(trace)
    loose = "converter.counter_overflow@conv2d_0=saturate"
    chosen = machine("pipelayer", own, loose, WIDE)
    assert "counters of 3 bits" in str(losses_on(chosen, trace))
    assert "(in 'conv2d_0')" in str(losses_on(chosen, trace))


def test_integer_fidelity_needs_counters_that_no_count_exceeds() -> None:
    trace = spelled([[15, 15]], [[15, 15]])
    loose = ("converter.counter_bits=4", "converter.counter_overflow=saturate")
    message = (
        "layer 0 'only' (linear): fidelity integer needs counters that no count exceeds, got 4 "
        "bits for counts up to 30; use `--fidelity bit`, or `--set converter.counter_bits=5`"
    )
    with pytest.raises(ConfigError, match=re.escape(message)):
        run(machine("pipelayer", *TWO_COLUMNS, *loose), trace, fidelity="integer")
    small = spelled([[15, 15]], [[7, 8]])  # whose cells cannot
    run(machine("pipelayer", *TWO_COLUMNS, *loose), small, fidelity="integer")


def test_counters_do_not_count_down() -> None:
    with pytest.raises(ConfigError, match="differential_paired needs counts below 0"):
        machine("pipelayer", "numbers.encoding=differential_paired")


def test_a_network_larger_than_the_chip_is_refused_with_what_serves() -> None:
    """300 rows of 140 columns, at 15 cells of 3 bits a column; outputs in 2 cells of 70 codes."""
    trace = one_layer(52, (300,), 70)  # 3 arrays down, 280 columns are 3 across
    chip = ("chip.morphable_arrays=8", "chip.memory_arrays=1")
    message = (
        "pipelayer: need at most 8 morphable arrays, what the chip has, got 9 for 'one', 9 that "
        "compute and 0 that hold codes; use `--set chip.morphable_arrays=9`"
    )
    with pytest.raises(MappingError, match=re.escape(message)):
        machine("pipelayer", *chip, WIDE).plan(trace)
    machine("pipelayer", "chip.morphable_arrays=9", chip[1], WIDE).plan(trace)


def test_morphable_arrays_hold_the_codes_that_memory_arrays_do_not() -> None:
    """Arrays of 6 cells; 5 output codes of 8 bits are 10 of 4: 2 arrays, and 4 in a pipeline."""
    trace = spelled([[1, 1]], [[1, 1]] * 5)
    small = (*TWO_COLUMNS, "chip.memory_arrays=1")
    chosen = machine("pipelayer", *small, "chip.morphable_arrays=5")
    plan = chosen.plan(trace)  # 10 columns are 4 arrays, and one array of codes is left
    assert (plan.n_crossbars, plan.n_memory_arrays) == (4, 2)
    with pytest.raises(MappingError, match=r"got 5 for .*, 4 that compute and 1 that hold codes"):
        machine("pipelayer", *small, "chip.morphable_arrays=4").plan(trace)
    with pytest.raises(MappingError, match=r"got 7 for .*, 4 that compute and 3 that hold codes"):
        machine("pipelayer", *small, "chip.morphable_arrays=6", "schedule.pipeline=true").plan(
            trace
        )


@pytest.mark.parametrize(
    ("assigned", "said"),
    [
        ("converter.counter_bits=0", "counter_bits: Input should be greater than or equal to 1"),
        ("converter.counter_bits=17", "counter_bits: Input should be less than or equal to 16"),
        ("schedule.copies=0", "schedule.copies: Input should be greater than or equal to 1"),
        ("schedule.replication=greedy", "schedule.replication: Input should be 'none', 'given'"),
        ("schedule.arrays=0", 'schedule.arrays: need 1 to 1000000000 crossbars, or "chip" for all'),
        ("memory.cell_bits=0", "memory.cell_bits: Input should be greater than or equal to 1"),
        ("chip.memory_arrays=0", "chip.memory_arrays: Input should be greater than or equal to 1"),
        ("timing.write_spike_ns=0", "timing.write_spike_ns: Input should be greater than 0"),
        ("converter.adc_bits=4", "unknown"),
    ],
)
def test_values_out_of_range(assigned: str, said: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(said)):
        machine("pipelayer", assigned)


def test_weights_and_inputs_that_do_not_fit() -> None:
    lowest = spelled([[1, 1]], [[-16, 1]])
    for assigned, trace in ((("numbers.input_bits=3",), spelled([[9, 9]], [[1, 1]])), ((), lowest)):
        with pytest.raises(BitpimError) as error:
            machine("pipelayer", *TWO_COLUMNS, *assigned).plan(trace)
        assert re.search(r"layer 0 'only' .* use `--set numbers\.\w+=\d+`", str(error.value))
