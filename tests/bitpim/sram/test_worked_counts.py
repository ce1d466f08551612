"""Counts of small layers on a toy cache, worked by hand: each number is derived beside it.

The cache and the layer most tests lay out are drawn in `toy_cache`.
"""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from bitpim.config import override
from bitpim.machine.registry import load_preset
from bitpim.sram.network_mapping import plan_layer
from bitpim.sram.rules import OneGroup
from bitpim_traces.records import NETWORK_INPUT, Geometry, LayerRecord, Requantize
from tests.bitpim.sram.toy_cache import OUTPUT, TOY, conv, narrow, plan_of
from tests.one_layer import one_layer, quantization

Phases = dict[str, dict[str, int]]


def test_the_toy_cache_is_what_is_drawn() -> None:
    geometry = override(load_preset("neural_cache", "neural_cache"), list(TOY)).geometry
    assert (geometry.n_arrays, geometry.n_compute_arrays, geometry.n_io_arrays) == (20, 8, 4)
    assert (geometry.n_lanes, geometry.n_compute_lanes) == (640, 256)
    two_io = override(load_preset("neural_cache", "neural_cache"), [*TOY, "geometry.io_ways=2"])
    assert two_io.geometry.n_compute_arrays == 4 and two_io.geometry.n_io_arrays == 8


# convolutions that fit, pass by pass, refilled, spilled


def test_a_convolution_that_fits_in_one_pass() -> None:
    """Four positions of 5 filters: 20 convolutions in 3 of the 8 arrays.

        array 0            array 1            array 2
        8 convolutions     8 convolutions     4 convolutions      each 4 lanes

    135 weights of 6 bits are 810 bits: 102 bytes. A window of 27 codes at 4 positions: 540 bits,
    68 bytes. 20 codes of 7 bits: 140 bits, 18 bytes, gathered into one array.
    """
    assert plan_of(conv(4, 5)).counts(1) == {
        "filter_load": {
            "cycles": 54,  # 9 taps x 6 rows; DRAM would need 102 / 3 = 34
            "sram_access_cycle": 3 * 54,
            "dram_byte": 102,
            "tmu_row": 5 * 6,  # 135 weights, 32 a row: 5 rows of each bit
            "bus_byte": 102,
        },
        "input_stream": {
            "cycles": 45,  # 9 taps x 5 rows; the bus would need 68 / 4 = 17
            "sram_access_cycle": 3 * 45,
            "bus_byte": 68,
        },
        "mac": {"cycles": 9 * 82, "sram_compute_cycle": 3 * 9 * 82, "mac_exec": 20 * 27},
        "reduction": {"cycles": 100, "sram_compute_cycle": 3 * 51, "sram_access_cycle": 3 * 49},
        # sums of 26 rows read from 3 arrays; sum, offset (32) and multiplier (2) written to one
        "gather": {"cycles": 26 + 60, "sram_access_cycle": 3 * 26 + 60},
        "requantize": {"cycles": 207, "sram_compute_cycle": 207},
        "output": {"cycles": 7, "sram_access_cycle": 7, "bus_byte": 18, "dram_byte": 0},
    }


def test_its_row_of_the_plan() -> None:
    """20 convolutions of 4 lanes: 80 of 256 lanes, also of those that idle in their convolution."""
    row = plan_of(conv(4, 5)).row()
    assert (row["arrays"], row["lanes"], row["passes"]) == (3, 80, 1)
    assert row["utilization"] == 80 / 256
    assert sum(row["cycles"].values()) == 54 + 45 + 738 + 100 + 86 + 207 + 7


def test_sums_left_in_place_are_requantized_four_lanes_apart() -> None:
    """Not gathered: each convolution keeps its 4 lanes, so codes come from 3 arrays too."""
    phases = plan_of(conv(4, 5), "mapping.requantize_packing=in_place").counts(1)
    assert phases["gather"] == {"cycles": 34, "sram_access_cycle": 3 * 34}  # offset, multiplier
    assert phases["requantize"] == {"cycles": 207, "sram_compute_cycle": 3 * 207}
    assert phases["output"]["sram_access_cycle"] == 3 * 7


def test_a_convolution_that_takes_several_passes() -> None:
    """256 positions: 1,280 convolutions fill 160 arrays, 20 passes of 8; filters stay.

    Inputs are 256 x 27 x 5 bits = 4,320 bytes: the bus needs 1,080 cycles, rows 20 x 45 = 900.
    1,280 codes lie in 40 arrays, 5 passes: 1,120 bytes, which the I/O ways hold.
    """
    plan = plan_of(conv(18, 5))
    phases = plan.counts(1)
    assert phases["filter_load"]["cycles"] == 54  # once
    assert phases["filter_load"]["sram_access_cycle"] == 8 * 54  # into all 8 arrays
    assert phases["filter_load"]["dram_byte"] == 102
    assert phases["input_stream"] == {
        "cycles": 1080,
        "sram_access_cycle": 160 * 45,
        "bus_byte": 4320,
    }
    assert phases["mac"]["cycles"] == 20 * 738
    assert phases["mac"]["sram_compute_cycle"] == 160 * 738
    assert phases["reduction"]["cycles"] == 20 * 100
    assert phases["gather"]["cycles"] == 20 * 26 + 5 * 60
    assert phases["gather"]["sram_access_cycle"] == 160 * 26 + 40 * 60
    assert phases["requantize"] == {"cycles": 5 * 207, "sram_compute_cycle": 40 * 207}
    assert phases["output"] == {
        "cycles": 280,  # 1,120 bytes over the bus; rows 5 x 7
        "sram_access_cycle": 40 * 7,
        "bus_byte": 1120,
        "dram_byte": 0,
    }
    place = plan.occupancy(1)
    assert (place.passes, place.arrays, place.array_passes) == (20, 8, 160)
    assert place.utilization == 5120 / (20 * 256)


def test_filters_that_do_not_fit_are_refilled_and_stream_all_windows_again() -> None:
    """150 filters are 600 lanes: 19 arrays, 3 fillings of 8. Four positions: 600 convolutions.

        filling 0: filters 0..63      filling 1: 64..127      filling 2: 128..149
        each streams the 4 windows:   3 x 4 x 27 codes of 5 bits = 1,620 bits = 203 bytes

    75 arrays work, in 10 passes. 4,050 weights of 6 bits: 3,038 bytes, 1,013 cycles of DRAM.

    Filling 2 makes 88 convolutions in 11 arrays, so copies of its 22 filters fill all 8, too.
    """
    phases = plan_of(conv(4, 150)).counts(1)
    assert phases["filter_load"] == {
        "cycles": 1013,  # rows: 3 x 54
        "sram_access_cycle": (8 + 8 + 8) * 54,
        "dram_byte": 3038,
        "tmu_row": 127 * 6,  # 4,050 / 32
        "bus_byte": 3038,
    }
    assert phases["input_stream"] == {
        "cycles": 10 * 45,
        "sram_access_cycle": 75 * 45,
        "bus_byte": 203,
    }
    fast = plan_of(conv(4, 150), "transfer.dram_bytes_per_cycle=3038").counts(1)
    assert fast["filter_load"]["cycles"] == 3 * 54


def test_outputs_that_the_io_ways_cannot_hold_go_to_dram_and_come_back() -> None:
    """37 x 37 positions of 5 filters: 6,845 codes of 7 bits are 47,915 bits, 5,990 bytes.

    3,072 fit. The other 2,918 go out and come back: 5,836 bytes, 1,946 cycles of DRAM; the bus
    takes 1,498, and the rows of 214 arrays in 27 passes take 189.
    """
    assert plan_of(conv(39, 5)).counts(1)["output"] == {
        "cycles": 1946,
        "sram_access_cycle": 214 * 7,
        "bus_byte": 5990,
        "dram_byte": 5836,
    }
    fast = plan_of(conv(39, 5), "transfer.dram_bytes_per_cycle=64").counts(1)
    assert fast["output"]["cycles"] == 1498


def test_the_last_byte_that_the_io_ways_hold() -> None:
    """3,510 codes are 24,570 bits, 3,072 bytes; 3,511 are 24,577 bits, one byte too many."""
    for n_filters, spilled in ((3510, 0), (3511, 2)):
        trace = narrow(
            one_layer(0, (4,), n_filters, inputs=quantization(5), weights=quantization(6))
        )
        assert plan_of(trace).counts(1)["output"]["dram_byte"] == spilled


# batches


def test_a_batch_shares_its_filters_and_rounds_bytes_once() -> None:
    """Five samples in batches of two: two whole ones and the rest.

    Filters are loaded three times. Windows of two samples are 1,080 bits, 135 bytes; of one 540
    bits, 68 bytes. Two samples are 40 convolutions: 5 arrays; one takes 3.
    """
    phases = plan_of(conv(4, 5), "mapping.batch_size=2").counts(5)
    assert phases["filter_load"]["dram_byte"] == 3 * 102
    assert phases["filter_load"]["sram_access_cycle"] == (5 + 5 + 3) * 54
    assert phases["input_stream"]["bus_byte"] == 135 + 135 + 68
    assert phases["mac"]["sram_compute_cycle"] == (5 + 5 + 3) * 738
    assert phases["mac"]["cycles"] == 3 * 738
    assert phases["mac"]["mac_exec"] == 5 * 20 * 27
    assert phases["output"]["bus_byte"] == 35 + 35 + 18  # 280 and 140 bits
    alone = plan_of(conv(4, 5)).counts(5)  # batches of one: five times the counts of one
    for phase, events in plan_of(conv(4, 5)).counts(1).items():
        assert alone[phase] == {event: 5 * n for event, n in events.items()}, phase


# zero points of weights, conv groups


def test_a_zero_point_of_weights_sums_each_window_once() -> None:
    """Zero point 4: four windows in 4 lanes each, half an array; all 5 filters use them.

    They cross the bus once more: 540 bits, 68 bytes, 17 cycles.

    A tap: 5 rows written, 25 cycles added; then the tree of 100. A sum is at most 27 x 31 = 837,
    10 rows. Correcting takes the sum times 2^2 off: complement 10, carry 1, add to 30 rows.
    """
    phases = plan_of(conv(4, 5, zero=4)).counts(1)
    assert phases["window_sum"] == {
        "cycles": 9 * (25 + 5) + 100,
        "sram_compute_cycle": 9 * 25 + 51,
        "sram_access_cycle": 9 * 5 + 49,
        "bus_byte": 68,
    }
    # read 26 rows in 3 arrays and 10 in one; write 26 + 32 + 2 + 10
    assert phases["gather"] == {"cycles": 26 + 10 + 70, "sram_access_cycle": 3 * 26 + 10 + 70}
    assert phases["requantize"]["cycles"] == 207 + 41
    # 256 positions: 32 arrays, 4 passes
    many = plan_of(conv(18, 5, zero=4)).counts(1)["window_sum"]
    assert many["sram_access_cycle"] == 32 * 94
    assert many["bus_byte"] == 4320
    assert many["cycles"] == 4 * (9 * 25 + 100) + 1080  # 4,320 bytes; rows 4 x 45
    wide = plan_of(conv(18, 5, zero=4), "transfer.bus_bytes_per_cycle=99").counts(1)["window_sum"]
    assert wide["cycles"] == 4 * 370


def test_conv_groups_stream_and_sum_windows_of_their_own() -> None:
    """Two groups of 2 channels and 3 filters: 2 lanes a convolution, 16 an array.

        group 0: channels 0 1 -> filters 0 1 2       group 1: channels 2 3 -> filters 3 4 5

    Four positions: 24 convolutions in 2 arrays; 8 windows of 18 codes: 720 bits, 90 bytes, whose
    sums take 16 lanes.
    """
    phases = plan_of(conv(4, 6, channels=4, groups=2, zero=4)).counts(1)
    assert phases["input_stream"]["bus_byte"] == 90
    assert phases["mac"]["sram_compute_cycle"] == 2 * 738
    assert phases["mac"]["mac_exec"] == 24 * 18
    assert phases["filter_load"]["dram_byte"] == 81  # 108 weights of 6 bits
    assert phases["window_sum"]["sram_access_cycle"] == 45 + 24  # one halving moves 24
    assert phases["window_sum"]["bus_byte"] == 90
    # 256 positions: 512 windows, of which 16 fit an array
    many = plan_of(conv(18, 6, channels=4, groups=2, zero=4)).counts(1)
    assert many["window_sum"]["sram_access_cycle"] == 32 * (45 + 24)
    assert many["window_sum"]["bus_byte"] == 256 * 90 // 4
    assert many["input_stream"]["bus_byte"] == 256 * 90 // 4


# lanes that do not divide an array


def test_large_filters_are_split_and_lanes_may_not_divide_an_array() -> None:
    """5 x 5 taps of 3 channels: 3 lanes of 9 taps a channel, 9 lanes; of 16 with padding.

        without padding     |  9  |  9  |  9  | 5 idle |   three an array
        with padding        |   16    |   16    |          two an array

    Four filters at 4 positions: 16 convolutions. Four halvings: widths 24 to 27.
    """
    trace = conv(6, 4, kernel=5)
    moves = 24 + 25 + 26 + 27
    loose = plan_of(trace, "mapping.pad_channels_to_power_of_two=false")
    assert loose.counts(1)["mac"]["sram_compute_cycle"] == 6 * 738
    assert loose.occupancy(1).utilization == 16 * 9 / 256
    padded = plan_of(trace)
    assert padded.counts(1)["mac"]["sram_compute_cycle"] == 8 * 738
    for plan, arrays in ((loose, 6), (padded, 8)):
        assert plan.counts(1)["reduction"] == {
            "cycles": 2 * moves + 4,
            "sram_compute_cycle": arrays * (moves + 4),
            "sram_access_cycle": arrays * moves,
        }
        # 300 weights of 6 bits; 4 x 75 codes of 5
        assert plan.counts(1)["filter_load"]["dram_byte"] == 225
        assert plan.counts(1)["input_stream"]["bus_byte"] == 188


def test_a_dot_product_longer_than_an_array_takes_whole_arrays() -> None:
    """A linear layer of 1,120 inputs packs 16 a lane: 70 lanes, so 3 arrays of 32 a filter.

        arrays 0 1 2: filter 0     arrays 3 4 5: filter 1     arrays 6 7: idle

    Five filters: 15 arrays work, 6 at once: 3 passes.
    """
    trace = narrow(one_layer(0, (1120,), 5, inputs=quantization(5), weights=quantization(6)))
    plan = plan_of(trace, "mapping.pad_channels_to_power_of_two=false")
    place = plan.occupancy(1)
    assert (place.passes, place.array_passes, place.arrays, place.lanes) == (3, 15, 6, 350)
    assert place.utilization == 350 / (3 * 256)
    phases = plan.counts(1)
    assert phases["mac"]["cycles"] == 3 * 16 * 82
    assert phases["filter_load"] == {
        "cycles": 1400,  # 5 x 1,120 x 6 bits = 4,200 bytes
        "sram_access_cycle": 15 * 96,
        "dram_byte": 4200,
        "tmu_row": 175 * 6,
        "bus_byte": 4200,
    }
    # each filling of 2 filters streams the 1,120 codes: 3 x 5,600 bits
    assert phases["input_stream"] == {
        "cycles": 525,
        "sram_access_cycle": 15 * 80,
        "bus_byte": 2100,
    }


# the presets


@pytest.mark.parametrize(
    ("preset", "tap", "halvings", "moved"),
    [
        # 16 zeroed, 1 + 8, 7 x 11: 102; partial sum 25. Two halvings of 24 and 25 bits.
        ("neural_cache", 102 + 25, 49 + 51, 49),
        # 236 a tap; 132 a halving, of which a move of 32 bits takes 3 x 32
        ("neural_cache_calibrated", 236, 2 * 132, 2 * 96),
        # a multiply of 16 bits 152, an add of 24 bits 24; move and add of 24 and 25 bits
        ("neural_cache_mve", 152 + 24, 49 + 49, 49),
    ],
)
def test_presets_differ_in_cycles_alone(preset: str, tap: int, halvings: int, moved: int) -> None:
    """8-bit codes; 20 convolutions in 3 arrays, as above; bytes are the same in all presets."""
    phases = plan_of(conv(4, 5, bits=(8, 8)), preset=preset).counts(1)
    assert phases["mac"] == {
        "cycles": 9 * tap,
        "sram_compute_cycle": 3 * 9 * tap,
        "mac_exec": 540,
    }
    assert phases["reduction"] == {
        "cycles": halvings,
        "sram_compute_cycle": 3 * (halvings - moved),
        "sram_access_cycle": 3 * moved,
    }
    assert phases["filter_load"]["dram_byte"] == phases["filter_load"]["bus_byte"] == 135
    assert phases["filter_load"]["tmu_row"] == 5 * 8
    assert phases["input_stream"]["bus_byte"] == 108
    assert phases["output"]["bus_byte"] == 18


def test_window_sums_under_each_preset() -> None:
    """A tap of a window sum: 8 rows written, and an add of 24 bits: 25 cycles, 24 in MVE's table.

    The calibrated preset prices taps of products and halvings only, so its add is by formula.
    """
    sums = {"neural_cache": (25, 100), "neural_cache_calibrated": (25, 264)}
    sums["neural_cache_mve"] = (24, 98)
    for preset, (add, tree) in sums.items():
        phases = plan_of(conv(4, 5, zero=4, bits=(8, 8)), preset=preset).counts(1)
        assert phases["window_sum"]["cycles"] == 9 * (add + 8) + tree, preset


def test_calibrated_moves_never_exceed_the_halving_they_are_part_of() -> None:
    """Five cycles a bit would be 160 of the 132 cycles of a halving: all of it is moving then."""
    plan = plan_of(
        conv(4, 5, bits=(8, 8)), "timing.move_cycles_per_bit=5", preset="neural_cache_calibrated"
    )
    assert plan.counts(1)["reduction"] == {
        "cycles": 264,
        "sram_compute_cycle": 0,
        "sram_access_cycle": 3 * 264,
    }


@pytest.mark.parametrize(
    ("bits", "multiply"), [((2, 6), 42), ((4, 5), 152), ((8, 8), 152), ((8, 9), 560)]
)
def test_mve_multiplies_at_the_next_width_that_holds_the_product(
    bits: tuple[int, int], multiply: int
) -> None:
    """2 x 6 bits are 8, the width of an element; 4 x 5 are 9, so 16; 8 x 9 are 17, so 32."""
    phases = plan_of(conv(4, 5, bits=bits), preset="neural_cache_mve").counts(1)
    assert phases["mac"]["cycles"] == 9 * (multiply + 24)


# on the CPU


def test_float_scales_carry_accumulators_and_window_sums_to_the_cpu() -> None:
    """20 accumulators of 32 bits there and codes of 7 bits back: 780 bits.

    With a zero point 4 windows of 10 bits go too: 820 bits, 103 bytes, 26 cycles; before that 26
    rows of 3 arrays are read, and 10 of one.
    """
    phases = plan_of(conv(4, 5, mode="float_scale_half_even")).counts(1)
    assert phases["host"] == {"cycles": 26 + 25, "sram_access_cycle": 3 * 26, "bus_byte": 98}
    assert not {"gather", "requantize", "output"} & set(phases)
    phases = plan_of(conv(4, 5, zero=4, mode="float_scale_half_even")).counts(1)
    assert phases["host"] == {
        "cycles": 26 + 10 + 26,
        "sram_access_cycle": 3 * 26 + 10,
        "bus_byte": 103,
    }
    # two conv groups: 24 accumulators and codes, 8 windows of 18 x 31 = 558, 10 bits: 1,016 bits
    grouped = conv(4, 6, channels=4, groups=2, zero=4, mode="float_scale_half_even")
    assert plan_of(grouped).counts(1)["host"]["bus_byte"] == 127


# layers without weights


def plain(
    kind: str, shapes: list[tuple[int, ...]], bits: list[int], out: tuple[int, ...], **more: Any
) -> tuple[LayerRecord, Any]:
    """Build a layer that reads tensors of these shapes and widths, zero points 0."""
    record = LayerRecord(
        0,
        "only",
        kind,
        (NETWORK_INPUT,) * len(shapes),
        tuple(shapes),
        out,
        more.pop("output", OUTPUT),
        clamp=more.pop("clamp", (0, 127)),
        **more,
    )
    return record, tuple(quantization(n) for n in bits)


def counts_of(layer: tuple[LayerRecord, Any], n_samples: int, *assigned: str) -> Phases:
    settings = override(load_preset("neural_cache", "neural_cache"), [*TOY, *assigned])
    found: Phases = plan_layer(*layer, settings, OneGroup()).counts(n_samples)
    return found


def test_max_pooling() -> None:
    """Four taps of 5 bits into each of 3 x 2 x 2 outputs: best = 0 (5), then 3 x 5 + 2 a tap.

    Twelve lanes in one array: 20 rows, 12 x 20 bits = 30 bytes. Outputs keep 5 bits: 8 bytes.
    """
    layer = plain(
        "max_pool2d",
        [(3, 4, 4)],
        [5],
        (3, 2, 2),
        output=quantization(5),
        clamp=(0, 31),
        geometry=Geometry((2, 2), (2, 2)),
    )
    assert counts_of(layer, 1) == {
        "input_stream": {"cycles": 20, "sram_access_cycle": 20, "bus_byte": 30},
        "pooling": {"cycles": 5 + 4 * 17, "sram_compute_cycle": 73},
        "output": {"cycles": 5, "sram_access_cycle": 5, "bus_byte": 8, "dram_byte": 0},
    }
    # batches of 100 samples: 1,200 lanes, 38 arrays, 5 passes; 3,000 bytes in, 750 out
    many = counts_of(layer, 100, "mapping.batch_size=100")
    assert many["input_stream"] == {
        "cycles": 750,
        "sram_access_cycle": 38 * 20,
        "bus_byte": 3000,
    }
    assert many["pooling"] == {"cycles": 5 * 73, "sram_compute_cycle": 38 * 73}
    assert many["output"] == {
        "cycles": 188,
        "sram_access_cycle": 38 * 5,
        "bus_byte": 750,
        "dram_byte": 0,
    }


def test_average_pooling_with_padding_on_the_right_and_below() -> None:
    """A 3 x 3 image, windows of 2 x 2 two apart, padded by one column and row at the far ends.

        x x | x .      windows see 4, 2, 2 and 1 elements: each count has a multiplier of its own,
        x x | x .      3 (2 bits), 6 (3 bits) and 12 (4 bits), and so a program
        ----+----
        x x | x .      a sum: 5 + 3 + 1 = 9 rows: cleared 9, four taps of 10: 49
        . . | . .      a code: 2 x 9 + 2 + 13 (m - 1) + 1 + 4 r + 7 + 4 with r = 8, 8, 9 rows

    77, 90 and 107 cycles for a code, so programs of 126, 139 and 156, on 3, 6 and 3 lanes.
    """
    rule = Requantize(
        "truncate_shift", np.array([12, 6, 4, 3], np.int32), np.array([5] * 4, np.int32)
    )
    layer = plain(
        "avg_pool2d",
        [(3, 3, 3)],
        [5],
        (3, 2, 2),
        geometry=Geometry((2, 2), (2, 2), (0, 1, 0, 1)),
        requantize=rule,
    )
    assert counts_of(layer, 1) == {
        # one after the other: 20 rows of taps each, and 2 + 3 + 4 of multipliers
        "input_stream": {"cycles": 69, "sram_access_cycle": 69, "bus_byte": 30},
        "pooling": {"cycles": 126 + 139 + 156, "sram_compute_cycle": 421},
        "output": {"cycles": 21, "sram_access_cycle": 21, "bus_byte": 11, "dram_byte": 0},
    }
    # 40 samples at once: 120, 240 and 120 lanes: 4, 8 and 4 arrays
    many = counts_of(layer, 40, "mapping.batch_size=40")
    assert many["pooling"] == {
        "cycles": 421,
        "sram_compute_cycle": 4 * 126 + 8 * 139 + 4 * 156,
    }
    assert many["input_stream"] == {
        "cycles": 300,  # 1,200 bytes; rows take 3 x 20 + 9
        "sram_access_cycle": 4 * 22 + 8 * 23 + 4 * 24,
        "bus_byte": 1200,
    }
    slow = counts_of(layer, 40, "mapping.batch_size=40", "transfer.bus_bytes_per_cycle=100")
    assert slow["input_stream"]["cycles"] == 69
    included = replace(layer[0].geometry, count_include_pad=True)  # type: ignore[type-var]
    whole = (replace(layer[0], geometry=included), layer[1])
    assert counts_of(whole, 1)["pooling"] == {"cycles": 126, "sram_compute_cycle": 126}


def test_an_addition_streams_operands_of_different_widths() -> None:
    """Codes of 5 and 7 bits, times 3 (2 bits) and 5 (3 bits): products of 8 and 11 rows, T = 12.

        clear the total 12
        first: multiplier 2, centre 1 + 5 + 2, multiply 2 x 6 + 2 + 10, add 1 + 12      47
        second: multiplier 3, centre 1 + 7 + 2, multiply 2 x 8 + 2 + 2 x 12, add 1 + 12 68
        scale: 1, 2 x 12 + 2, shift 4, r = 13 - 4 + 1: 1 + 10, 3 x 10 + 7 + 4           79

    Centring takes a cycle for each bit of the code, and two for the row above, which is cleared.
    """
    rule = Requantize("truncate_shift", np.array([3, 5], np.int32), np.array([4], np.int32))
    layer = plain("add", [(3, 7), (3, 7)], [5, 7], (3, 7), requantize=rule)
    assert counts_of(layer, 1) == {
        "input_stream": {"cycles": 12, "sram_access_cycle": 12, "bus_byte": 32},  # 252 bits
        "add": {"cycles": 206, "sram_compute_cycle": 206},
        "output": {"cycles": 7, "sram_access_cycle": 7, "bus_byte": 19, "dram_byte": 0},
    }


def test_sums_of_codes_spill_as_those_of_products_do() -> None:
    """3,600 codes of 7 bits are 3,150 bytes, 78 more than the I/O ways hold; 3,500 are 3,063."""
    rule = Requantize("truncate_shift", np.array([3, 5], np.int32), np.array([4], np.int32))
    for n, n_bytes, spilled in ((3500, 3063, 0), (3600, 3150, 2 * 78)):
        layer = plain("add", [(n,), (n,)], [5, 7], (n,), requantize=rule)
        output = counts_of(layer, 1)["output"]
        assert (output["bus_byte"], output["dram_byte"]) == (n_bytes, spilled)
    assert counts_of(layer, 2, "mapping.batch_size=2")["output"]["dram_byte"] == 2 * (6300 - 3072)


def test_a_product_streams_both_operands_into_each_lane() -> None:
    """Codes of 5 and 7 bits, the second of 3 repeated 7 times: 21 lanes of 12 rows, 252 bits.

    centre 1 + 5 + 2 and 1 + 7 + 2                                                  18
    multiply 6 by 8 signed rows: 2 x 6 + 2 + 7 x (6 + 4), and 6 for the complement  90
    scale the 14 rows by 3 (2 bits): 2 x 14 + 2 + 18                                48
    shift 9, r = 16 - 9 + 1: 1 + 8, 3 x 8 + 7 + 4                                   44
    """
    rule = Requantize("truncate_shift", np.array([3], np.int32), np.array([9], np.int32))
    layer = plain("multiply", [(3, 7), (3, 1)], [5, 7], (3, 7), requantize=rule)
    assert counts_of(layer, 1) == {
        "input_stream": {"cycles": 14, "sram_access_cycle": 14, "bus_byte": 32},  # and 2 rows
        "multiply": {"cycles": 200, "sram_compute_cycle": 200},
        "output": {"cycles": 7, "sram_access_cycle": 7, "bus_byte": 19, "dram_byte": 0},
    }


def test_a_concatenation_that_rescales_takes_its_inputs_one_after_the_other() -> None:
    """Three rows of the first input, five of the second; a program each, in arrays of its own.

    40 elements of 3 bits and 72 of 5: 2 arrays and 3. A multiplier of 1 bit each: centre 1 + b +
    2, multiply 2 w + 2 with w = b + 1, shift 0, and with r = 8 rows 1 + 8, 3 x 8 + 7 + 4. So 6 +
    10 + 9 + 35 and 8 + 14 + 9 + 35 cycles.
    """
    rule = Requantize("truncate_shift", np.array([1, 1], np.int32), np.array([0, 0], np.int32))
    layer = plain("concat", [(40,), (72,)], [3, 5], (112,), requantize=rule)
    first, second = 60, 66
    assert counts_of(layer, 1) == {
        "input_stream": {
            "cycles": 15,  # 40 x 3 + 72 x 5 bits = 60 bytes; rows 3 + 1 + 5 + 1
            "sram_access_cycle": 2 * 4 + 3 * 6,
            "bus_byte": 60,
        },
        "requantize": {
            "cycles": first + second,
            "sram_compute_cycle": 2 * first + 3 * second,
        },
        "output": {"cycles": 25, "sram_access_cycle": 5 * 7, "bus_byte": 98, "dram_byte": 0},
    }


def test_what_only_moves_crosses_the_bus_twice() -> None:
    """15 codes of 5 bits are 75 bits, 10 bytes; there and back 20; of 3 samples 60: 15 cycles."""
    layer = plain("flatten", [(3, 5, 1)], [5], (15,), output=quantization(5), clamp=(0, 31))
    assert counts_of(layer, 3) == {"move": {"cycles": 15, "bus_byte": 60}}
    # in one batch as in three: each tensor is whole bytes
    batch = counts_of(layer, 3, "mapping.batch_size=3")
    assert batch == {"move": {"cycles": 15, "bus_byte": 60}}


def test_what_the_cpu_computes_goes_there_in_its_width_and_back_in_the_outputs() -> None:
    """Sums of 21 codes of 5 bits (14 bytes) and 21 of 3 (8), codes of 7 bits back (19): 41 bytes.

    41 bytes are 11 cycles of the bus.
    """
    rule = Requantize("float_scale_half_even", scale=np.array([0.5, 0.25], np.float32))
    layer = plain("add", [(21,), (21,)], [5, 3], (21,), requantize=rule)
    assert counts_of(layer, 1) == {"host": {"cycles": 11, "bus_byte": 41}}
