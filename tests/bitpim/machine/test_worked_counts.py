"""Counts of small layers on the crossbar presets, worked by hand: each number derived beside it.

One layer is laid out on every preset: 3 channels of 3 x 3 taps, 5 filters, images of 4 x 4, so
2 x 2 = 4 positions; codes of 8 bits. The dense layouts see a matrix

             filter 0   ...   filter 4
    row  0   [ cells ]        [ cells ]     27 rows: channel x 9 + tap
    ...                                     5 x (columns a weight) columns
    row 26   [ cells ]        [ cells ]

A read opens one operation unit for one input slice of one position. Each column of it is converted
once, then shifted and added once; each row is driven by one DAC. Crossbars read side by side, one
unit a cycle, so that time is the reads of the busiest one. Beside the reads, codes cross a buffer
of 256 bits an access: 48 x 8 = 384 bits in (2 accesses) and 20 x 8 = 160 out (1).
"""

from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from bitpim.crossbar.plan import CrossbarPlan
from bitpim.machine.registry import make_machine
from bitpim_traces.masks import LayerMask, masks_from_codes, with_masks
from bitpim_traces.records import Geometry, LayerRecord, Requantize, TensorRecord, Trace
from tests.one_layer import one_layer, quantization

Phases = dict[str, dict[str, int]]
ONE = Requantize("truncate_shift", np.ones(1, np.int32), np.zeros(1, np.int32))


def plan_of(machine: str, preset: str, trace: Trace, *assigned: str) -> Any:
    planned: Any = make_machine(machine, preset, assigned).plan(trace)
    (plan,) = planned.layers
    return plan


def row_of(layer: Any) -> dict[str, Any]:
    """The row of a layer in a plan of it alone."""
    (row,) = CrossbarPlan((layer,)).table()
    return row


def ran(machine: str, preset: str, trace: Trace, *assigned: str, **how: Any) -> list[Phases]:
    """Run one sample after the other, and all together: yield the counts of each, the sum last."""
    prepared = make_machine(machine, preset, assigned).prepare(trace, **how)
    codes = trace.samples.codes.read()
    cuts = [(i, i + 1) for i in range(len(codes))] + [(0, len(codes))]
    found = []
    for start, stop in cuts:
        (got,) = prepared.run_batch(codes[start:stop])
        found.append({phase: dict(events) for phase, events in got.counts.items()})
    return found


def conv(n_filters: int = 5, channels: int = 3, side: int = 4, groups: int = 1) -> Trace:
    return one_layer(
        0, (channels, side, side), n_filters, Geometry((3, 3), groups=groups), n_samples=2
    )


# dense_crossbar


def test_dense_crossbar() -> None:
    """16-bit weights in 4-bit cells: 4 columns each, 20 in all; 16 input slices; units of 9 x 8.

            8     8    4
    9    [ unit | unit | u ]
    9    [ unit | unit | u ]      9 units on one crossbar, for 4 x 16 = 64 slices of positions
    9    [ unit | unit | u ]
    """
    plan = plan_of("dense_crossbar", "dense_crossbar", conv())
    assert plan.counts(1) == {
        "read": {
            "cycles": 64 * 9,
            "ou_activation": 64 * 9,
            "ou_rows": 64 * 27 * 3,
            "ou_cols": 64 * 20 * 3,
            "ou_cells": 64 * 27 * 20,
            "dac_drive": 64 * 27 * 3,
            "shift_add": 64 * 20 * 3,
            "adc_conv_8": 64 * 20 * 3,
        },
        "buffer": {"cycles": 0, "edram_access_256b": 3},
    }
    row = row_of(plan)
    assert (row["arrays"], row["ou_reads"], row["index_bits"]) == (1, 576, 0)
    assert row["utilization"] == 27 * 20 / 512**2
    assert row["cycles"] == {"read": 576, "buffer": 0}


def test_dense_crossbar_that_spills_over_several_arrays() -> None:
    """60 channels are 540 rows, 200 filters 800 columns: 2 x 2 crossbars of 512 x 512.

                    512 columns: 64 units       288 columns: 36 units
        512 rows    57 x 64 = 3,648 reads       57 x 36             57 = 56 of 9 rows and one of 8
         28 rows     4 x 64                      4 x 36              4 = 3 of 9 rows and one of 1

    All crossbars read at the same time: the busiest makes 3,648 reads a slice.
    """
    plan = plan_of("dense_crossbar", "dense_crossbar", conv(200, 60))
    read = plan.counts(3)["read"]
    n_times = 3 * 4 * 16
    assert read["cycles"] == n_times * 3648
    assert read["ou_activation"] == n_times * (57 + 4) * 100
    assert read["ou_rows"] == read["dac_drive"] == n_times * 540 * 100
    assert read["ou_cols"] == read["shift_add"] == read["adc_conv_8"] == n_times * 800 * 61
    assert read["ou_cells"] == n_times * 540 * 800
    # 60 x 16 codes of 8 bits are 30 accesses, 800 are 25
    assert plan.counts(3)["buffer"] == {"cycles": 0, "edram_access_256b": 3 * 55}
    row = row_of(plan)
    assert (row["arrays"], row["utilization"]) == (4, 540 * 800 / (4 * 512**2))


def test_windows_kept_whole_start_units_and_stay_on_one_array() -> None:
    """Units of 4 rows on arrays of 20: a window of 9 rows takes 4 + 4 + 1, an array two windows.

        array 0:  4 4 1 | 4 4 1 | 2 rows idle       array 1:  4 4 1       3 channels, 27 rows

    Without that, rows follow each other: 4 4 4 4 4 on array 0, and 4 3 on array 1.
    """
    small = ("geometry.array_rows=20", "geometry.ou_rows=4", "geometry.array_columns=12")
    kept = (*small, "mapping.row_blocks=window")
    for assigned, units, busiest in ((kept, 9, 6), (small, 7, 5)):
        plan = plan_of("dense_crossbar", "dense_crossbar", conv(), *assigned)
        read = plan.counts(1)["read"]
        # 20 columns: 8 + 4 on the first array across, 8 on the second
        assert read["cycles"] == 64 * busiest * 2
        assert read["ou_activation"] == 64 * units * 3
        assert read["ou_rows"] == 64 * 27 * 3
        assert read["adc_conv_8"] == 64 * units * 20
        assert read["ou_cells"] == 64 * 27 * 20
        assert row_of(plan)["arrays"] == 4
        assert row_of(plan)["utilization"] == 27 * 20 / (4 * 20 * 12)


@pytest.mark.parametrize(
    ("preset", "columns", "units_down", "units_across", "adc"),
    [
        # 8 bits in 2-bit cells: 4 columns a weight, units of 9 x 8
        ("dense_crossbar_8bit", 20, 3, 3, 5),
        # 8 bits in 1-bit cells: 8 columns a weight, one unit for the whole array
        ("dense_crossbar_128rows", 40, 1, 1, 8),
    ],
)
def test_dense_presets_of_the_traces_width(
    preset: str, columns: int, units_down: int, units_across: int, adc: int
) -> None:
    """8 input slices: 4 positions x 8 = 32 reads of each unit."""
    plan = plan_of("dense_crossbar", preset, conv())
    assert plan.counts(1)["read"] == {
        "cycles": 32 * units_down * units_across,
        "ou_activation": 32 * units_down * units_across,
        "ou_rows": 32 * 27 * units_across,
        "ou_cols": 32 * columns * units_down,
        "ou_cells": 32 * 27 * columns,
        "dac_drive": 32 * 27 * units_across,
        "shift_add": 32 * columns * units_down,
        f"adc_conv_{adc}": 32 * columns * units_down,
    }
    assert row_of(plan)["utilization"] == 27 * columns / 128**2


def test_conv_groups_lie_on_crossbars_of_their_own() -> None:
    """Two groups of 1 channel and 3 filters: 9 rows x 12 columns each, two units, side by side."""
    plan = plan_of("dense_crossbar", "dense_crossbar_8bit", conv(6, 2, groups=2))
    read = plan.counts(1)["read"]
    assert read["cycles"] == 32 * 2  # both at the same time
    assert read["ou_activation"] == 32 * 2 * 2
    assert read["adc_conv_5"] == 32 * 2 * 12
    assert read["dac_drive"] == 32 * 2 * 2 * 9
    assert row_of(plan)["arrays"] == 2
    assert row_of(plan)["utilization"] == 2 * 9 * 12 / (2 * 128**2)


# isaac


@pytest.mark.parametrize(("preset", "bits"), [("isaac", 16), ("isaac_8bit", 8)])
def test_isaac(preset: str, bits: int) -> None:
    """One read opens a whole crossbar; a weight takes bits / 2 columns, inputs `bits` slices."""
    plan = plan_of("isaac", preset, conv())
    n_times, columns = 4 * bits, 5 * bits // 2
    assert plan.counts(1) == {
        "read": {
            "cycles": n_times,
            "ou_activation": n_times,
            "ou_rows": n_times * 27,
            "ou_cols": n_times * columns,
            "ou_cells": n_times * 27 * columns,
            "dac_drive": n_times * 27,
            "shift_add": n_times * columns,
            "adc_conv_8": n_times * columns,
        },
        "buffer": {"cycles": 0, "edram_access_256b": 3},
    }


def test_isaac_over_several_arrays() -> None:
    """20 channels are 180 rows: 128 and 52; 40 filters of 8 columns 320: 128, 128 and 64.

    Six crossbars at once: a read of each for every slice, 4 x 16 = 64 cycles in all.
    """
    plan = plan_of("isaac", "isaac", conv(40, 20))
    read = plan.counts(1)["read"]
    assert read["cycles"] == 64
    assert read["ou_activation"] == 64 * 6
    assert read["dac_drive"] == 64 * 180 * 3
    assert read["adc_conv_8"] == read["shift_add"] == 64 * 320 * 2
    assert read["ou_cells"] == 64 * 180 * 320
    # the chip's peak rate is this, whole: 16,128 crossbars x 128 x 128 / 8 weights in 16 x 100 ns
    assert row_of(plan)["utilization"] == 180 * 320 / (6 * 128**2)


# sre


def ones(weights: npt.ArrayLike, inputs: npt.ArrayLike, kind: str, bits: int = 4) -> Trace:
    """Build a layer of given weights (signed, 3 bits) and inputs (samples first)."""
    weight, codes = np.array(weights, np.int8), np.array(inputs, np.uint8)
    is_conv = kind == "conv2d"
    trace = one_layer(
        0,
        codes.shape[1:],
        len(weight),
        Geometry((3, 3)) if is_conv else None,
        inputs=quantization(bits),
        weights=quantization(3, signed=True),
        bias=False,
    )
    (layer,) = trace.layers
    layer = replace(
        layer,
        requantize=ONE,
        weight=TensorRecord.of(weight, axes="OIHW"[: weight.ndim], role="weight"),
    )
    record = TensorRecord.of(codes, axes="NCHW"[: codes.ndim], role="samples")
    return replace(trace, layers=(layer,), samples=replace(trace.samples, codes=record))


def test_sre_drops_rows_and_packs_those_with_an_input() -> None:
    """40 rows, 2 outputs, 3-bit weights: one 2-bit cell for plus and one for minus, 4 columns.

    One operation unit is 16 columns wide, so all four share the rows that they keep: those of a
    weight that is not 0. Output 0 has weights in the even rows, output 1 in rows 0 to 9: 25 rows.

        kept rows  0 1 2 3 4 5 6 7 8 9 10 12 14 ... 38      reads unpacked: 16 + 9 rows, so 2

    Inputs of 4 bits: sample 0 has 1 (bit 0 alone) in all rows, sample 1 has 9 (bits 0 and 3) in
    rows 0 to 19, of which 15 are kept, and 0 elsewhere.

        sample 0   bit 0: 25 rows, 2 reads      bits 1 2 3: none
        sample 1   bit 0: 15 rows, 1 read       bit 3: the same      bits 1 2: none
    """
    weights = np.zeros((2, 40), np.int8)
    weights[0, ::2], weights[1, :10] = 3, -2
    inputs = np.zeros((2, 40), np.uint8)
    inputs[0], inputs[1, :20] = 1, 9
    trace = ones(weights, inputs, "linear")
    first, second, both = ran("sre", "sre", trace)
    index = 25 * 6  # clog2(40) bits a kept row, read at every position
    assert first["read"] == {
        "cycles": 2,
        "ou_activation": 2,
        "ou_skipped": 4 * 2 - 2,
        "ou_rows": 25,
        "ou_cols": 2 * 4,
        "ou_cells": 25 * 4,
        "dac_drive": 25,
        "shift_add": 2 * 4,
        "adc_conv_6": 2 * 4,
        "index_read_bit": index,
    }
    assert second["read"] == {
        "cycles": 2,
        "ou_activation": 2,
        "ou_skipped": 4 * 2 - 2,
        "ou_rows": 2 * 15,
        "ou_cols": 2 * 4,
        "ou_cells": 2 * 15 * 4,
        "dac_drive": 2 * 15,
        "shift_add": 2 * 4,
        "adc_conv_6": 2 * 4,
        "index_read_bit": index,
    }
    assert both["read"] == {e: n + second["read"][e] for e, n in first["read"].items()}
    # 40 codes of 4 bits: 160 bits; 2 of 8 bits out
    assert both["buffer"] == {"cycles": 0, "edram_access_256b": 2 * 2}
    plan = plan_of("sre", "sre", trace)
    assert row_of(plan)["index_bits"] == index
    assert row_of(plan)["utilization"] == 25 * 4 / 128**2
    # nothing skipped: 2 reads of each of 4 slices
    assert plan.counts(1)["read"]["cycles"] == plan.counts(1)["read"]["ou_activation"] == 8


def test_sre_without_packing_opens_the_rows_that_are_kept_whatever_their_inputs() -> None:
    """As above: 2 reads for each of 4 slices, 25 rows over both, in both samples alike."""
    weights = np.zeros((2, 40), np.int8)
    weights[0, ::2], weights[1, :10] = 3, -2
    inputs = np.ones((2, 40), np.uint8)
    trace = ones(weights, inputs, "linear")
    for fidelity in ("bit", "integer"):
        one, _, both = ran("sre", "sre", trace, "mapping.pack_active_rows=false", fidelity=fidelity)
        assert one["read"] == {
            "cycles": 8,
            "ou_activation": 8,
            "ou_rows": 4 * 25,
            "ou_cols": 8 * 4,
            "ou_cells": 4 * 25 * 4,
            "dac_drive": 4 * 25,
            "shift_add": 8 * 4,
            "adc_conv_6": 8 * 4,
            "index_read_bit": 150,
        }
        assert both["read"] == {event: 2 * n for event, n in one["read"].items()}
    dense = row_of(plan_of("sre", "sre", trace, "mapping.drop_zero_rows=false"))
    assert dense["index_bits"] == 0 and dense["utilization"] == 40 * 4 / 128**2


def test_sre_groups_columns_and_goes_on_where_an_array_is_full() -> None:
    """200 rows, 6 outputs of 4 columns (8-bit weights would take 8): units of 16 columns.

        columns 0..15: outputs 0..3       columns 16..23: outputs 4, 5

    Outputs 0 to 3 have weights in all rows: 128 on the first level, 72 on the second, each on a
    crossbar. Outputs 4 and 5 have them in rows 0 to 9: one segment of 10 rows by 8 columns,
    beside the first. So 210 kept rows of 8 bits each; crossbar 0 makes 8 + 1 reads, the other 5.
    """
    weights = np.zeros((6, 200), np.int8)
    weights[:4], weights[4:, :10] = 1, 1
    trace = ones(weights, np.ones((1, 200), np.uint8), "linear")
    plan = plan_of("sre", "sre", trace, "numbers.weight_bits=5")
    read = plan.counts(1)["read"]
    assert read["cycles"] == 4 * 9
    assert read["ou_activation"] == 4 * (8 + 1 + 5)
    assert read["ou_rows"] == read["dac_drive"] == 4 * (128 + 10 + 72)
    assert read["ou_cols"] == read["adc_conv_6"] == 4 * (8 * 16 + 1 * 8 + 5 * 16)
    assert read["ou_cells"] == 4 * (200 * 16 + 10 * 8)
    assert read["index_read_bit"] == 210 * 8
    row = row_of(plan)
    assert (row["arrays"], row["utilization"]) == (2, (200 * 16 + 10 * 8) / (2 * 128**2))
    (placed,) = plan.maps
    found = [(p.crossbar, p.column, p.height, p.width, p.padding) for p in placed.placements()]
    assert found == [(0, 0, 128, 16, 0), (0, 16, 10, 8, 8), (1, 0, 72, 16, 0)]


# pattern_crossbar


def patterned(n_samples: int = 2) -> Trace:
    """Build 2 channels of 4 x 4, 8 filters; kernels keep one of two patterns, or nothing.

    pattern A      pattern B          channel 0: filters 0 1 2 3 4 have A, 5 6 have B
    x x .          . . .              channel 1: all 8 filters have A
    x . .          . . .
    . . .          . x x              filter 7 of channel 0 is pruned whole
    """
    a, b = 0b000001011, 0b110000000
    codes = np.array([[a, a]] * 5 + [[b, a]] * 2 + [[0, a]], np.uint64)
    mask = masks_from_codes(codes, (3, 3))
    inputs = np.zeros((n_samples, 2, 4, 4), np.uint8)
    inputs[0], inputs[1:, 0] = 5, 4
    trace = ones(np.where(mask, 1, 0), inputs, "conv2d")
    return with_masks(trace, {"only": LayerMask(mask, np.array([a, b], np.uint32))})


def test_pattern_crossbar() -> None:
    """Blocks, a weight in 4 columns (16 bits of 4): heights 2 and 3, widths 8, 20 and 32.

        channel 0, B: 2 x  8     1 unit          2 rows       index: 2 outputs of 3 bits
        channel 0, A: 3 x 20     3 units         3 x 3 rows          5 outputs of 3 bits
        channel 1, A: 3 x 32     4 units         4 x 3 rows          8 outputs of 3 bits
                                 -- 8 reads      -- 23 rows          each block: pattern 1 bit,
                                    60 columns, 172 cells            channel 1, width clog2(9) = 4

    Reads that skip nothing: 4 positions x 16 slices = 64 of each unit; one crossbar.
    """
    plan = plan_of("pattern_crossbar", "pattern_crossbar", patterned())
    index_bits = 15 * 3 + 3 * (1 + 1 + 4)
    assert plan.counts(1)["read"] == {
        "cycles": 64 * 8,
        "ou_activation": 64 * 8,
        "ou_rows": 64 * 23,
        "ou_cols": 64 * 60,
        "ou_cells": 64 * (16 + 60 + 96),
        "dac_drive": 64 * 23,
        "shift_add": 64 * 60,
        "adc_conv_8": 64 * 60,
        "accum_scatter": 4 * 15,  # each stored kernel's sum to its output, once a position
        "index_read_bit": 4 * index_bits,
    }
    row = row_of(plan)
    assert (row["arrays"], row["index_bits"]) == (1, index_bits)
    assert row["utilization"] == (16 + 60 + 96) / 512**2
    # what it is compared with: 18 rows in 2 units, 32 columns in 4
    dense = plan_of("dense_crossbar", "dense_crossbar", patterned()).counts(1)["read"]
    assert (dense["ou_activation"], dense["ou_cells"]) == (64 * 8, 64 * 18 * 32)


def test_pattern_crossbar_skips_blocks_without_an_input() -> None:
    """Sample 0 is 5 everywhere, sample 1 is 4 in channel 0 and 0 in channel 1.

    Skipping vectors, sample 1 leaves out all reads of channel 1: 4 units, 12 rows, 32 columns.
    Skipping bit planes, only bits 0 and 2 of 16 are read in sample 0, and bit 2 in sample 1.
    """
    first, second, both = ran("pattern_crossbar", "pattern_crossbar", patterned())
    assert first["read"].get("ou_skipped", 0) == 0
    assert first["read"]["ou_activation"] == first["read"]["cycles"] == 64 * 8
    assert second["read"]["ou_activation"] == second["read"]["cycles"] == 64 * 4
    assert second["read"]["ou_skipped"] == 64 * 4
    assert second["read"]["dac_drive"] == second["read"]["ou_rows"] == 64 * 11
    assert second["read"]["adc_conv_8"] == second["read"]["shift_add"] == 64 * 28
    assert second["read"]["ou_cells"] == 64 * (16 + 60)
    assert second["read"]["accum_scatter"] == 4 * 15  # indices are read whatever the inputs
    assert second["read"]["index_read_bit"] == 4 * 63
    assert both["read"] == {
        event: first["read"].get(event, 0) + n for event, n in second["read"].items()
    }
    # 32 codes of 4 bits in: 1 access; 32 of 8 bits out: 1
    assert both["buffer"]["edram_access_256b"] == 2 * 2
    planes = ran("pattern_crossbar", "pattern_crossbar", patterned(), "mapping.zero_skip=bit_plane")
    for got, done in zip(planes, (4 * 2 * 8, 4 * 1 * 4, 4 * 2 * 8 + 4 * 1 * 4), strict=True):
        assert got["read"]["ou_activation"] == got["read"]["cycles"] == done
    assert planes[2]["read"]["ou_skipped"] == 2 * 64 * 8 - 80


def test_pattern_crossbar_8bit_pads_blocks_to_whole_units() -> None:
    """2-bit cells and the trace's 3-bit weights: 2 columns a weight; blocks of 4, 10 and 16.

        row 0   B0 B0 B0 B0  .  .  .  .                  2 rows     padded to 8, 16 and 16
        row 2   A0 x 10  . . . . . .  A1 x 16            3 rows

    Units: 1, 2 and 2 of 8 columns; conversions are of stored columns only: 4, 10 and 16.
    """
    plan = plan_of("pattern_crossbar", "pattern_crossbar_8bit", patterned())
    n_times = 4 * 4  # 4 input slices
    read = plan.counts(1)["read"]
    assert read["cycles"] == read["ou_activation"] == n_times * 5
    assert read["dac_drive"] == n_times * (2 + 2 * 3 + 2 * 3)
    assert read["adc_conv_5"] == read["shift_add"] == read["ou_cols"] == n_times * 30
    assert read["ou_cells"] == n_times * (8 + 30 + 48)
    (placed,) = plan.maps
    found = [(p.row, p.column, p.height, p.width, p.padding) for p in placed.placements()]
    assert found == [(0, 0, 2, 4, 4), (2, 0, 3, 10, 6), (2, 16, 3, 16, 0)]
    assert placed.placements().utilization == (8 + 30 + 48) / 128**2
    loose = plan_of(
        "pattern_crossbar", "pattern_crossbar_8bit", patterned(), "mapping.pad_ou_columns=false"
    )
    close = [(p.column, p.width, p.padding) for p in loose.maps[0].placements()]
    assert close == [(0, 4, 0), (0, 10, 0), (10, 16, 0)]


# whole networks


def test_totals_add_crossbars_reads_and_index_bits() -> None:
    """Two layers one behind the other: conv to 8 x 2 x 2 codes, then 32 rows to 3 outputs.

    The conv: 1 crossbar, 64 x 8 reads, 63 index bits, as above. The linear layer lies dense: 4
    units of 9, 9, 9 and 5 rows by 12 columns in 2 units, 16 slices: 128 reads.
    """
    (first,) = patterned().layers
    flat = LayerRecord(
        1, "flat", "flatten", (0,), ((8, 2, 2),), (32,), first.output, clamp=first.clamp
    )
    (last,) = ones(np.ones((3, 32), np.int8), np.zeros((1, 32), np.uint8), "linear").layers
    last = replace(last, index=2, name="last", inputs=(1,))
    trace = replace(patterned(), layers=(first, flat, last))
    plan = make_machine("pattern_crossbar", "pattern_crossbar", ()).plan(trace)
    assert plan.totals() == {"arrays": 2, "ou_reads": 512 + 128, "index_bits": 63}
    assert [row["arrays"] for row in plan.table()] == [1, 0, 1]
    assert [row["cycles"].get("read") for row in plan.table()] == [512, None, 128]
    # flattening reads 32 codes of 8 bits and writes them: 1 access each
    assert plan.counts(1, 2) == {"buffer": {"cycles": 0, "edram_access_256b": 4}}


# the buffer between layers


def test_each_tensor_crosses_the_buffer_in_whole_accesses() -> None:
    """257 codes of 1 bit are 2 accesses, of 16 bits 17; 33 outputs of 8 bits are 264 bits, 2."""
    for bits, accesses in ((1, 2 + 2), (16, 17 + 2)):
        trace = one_layer(
            0,
            (257,),
            33,
            inputs=quantization(bits),
            weights=quantization(4, signed=True),
            accumulator_bits=48,
            bias=False,
        )
        plan = plan_of("dense_crossbar", "dense_crossbar", trace)
        assert plan.counts(5)["buffer"]["edram_access_256b"] == 5 * accesses
