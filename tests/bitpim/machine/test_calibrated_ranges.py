"""Ranges of converters fitted to the first samples, worked by hand on nine rows.

One output, weight 1 in each of nine rows, inputs of one bit; all rows are in one operation unit. So
a sample of n ones has the partial sum n in its plus column and 0 in its minus column:

    sample         0   1   2   3   4
    ones           2   5   3   7   9        a range of F reads min(n, F)
"""

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

import bitpim.crossbar.layers
from bitpim.machine.registry import make_machine
from bitpim_traces.records import Requantize, TensorRecord, Trace
from tests.one_layer import one_layer, quantization

ONES = (2, 5, 3, 7, 9)
PRESETS = {
    "dense_crossbar": "dense_crossbar_8bit",
    "sre": "sre",
    "pattern_crossbar": "pattern_crossbar_8bit",
}


def counting(weight: int = 1, ones: Sequence[int] = ONES) -> Trace:
    """Build a linear layer whose output codes are its sums."""
    trace = one_layer(
        0, (9,), 1, inputs=quantization(1), weights=quantization(3, signed=True), bias=False
    )
    codes = (np.arange(9) < np.array(ones)[:, None]).astype(np.uint8)
    (layer,) = trace.layers
    layer = replace(
        layer,
        requantize=Requantize("truncate_shift", np.ones(1, np.int32), np.zeros(1, np.int32)),
        output=quantization(8, 0, signed=True),
        weight=TensorRecord.of(np.full((1, 9), weight, np.int8), axes="OI", role="weight"),
    )
    samples = replace(trace.samples, codes=TensorRecord.of(codes, axes="NC", role="samples"))
    return replace(trace, layers=(layer,), samples=samples)


def outputs(machine: str, trace: Trace, *assigned: str, cuts: Sequence[int] = (0, 5)) -> list[int]:
    settings = (
        "converter.adc_range=calibrated",
        "converter.adc_model=round",
        "converter.adc_bits=8",
        "numbers.encoding=differential",
        *assigned,
    )
    prepared = make_machine(machine, PRESETS[machine], settings).prepare(trace)
    codes, found = trace.samples.codes.read(), []
    for start, stop in pairwise(cuts):
        (run,) = prepared.run_batch(codes[start:stop])
        found += run.codes[:, 0].tolist()
    return found


@pytest.mark.parametrize("machine", PRESETS)
@pytest.mark.parametrize("at_once", [1, 2, 99])
@pytest.mark.parametrize(
    ("n_samples", "full_scale"), [(1, 2), (2, 5), (3, 5), (4, 7), (5, 9), (16, 9)]
)
def test_the_first_samples_decide_in_any_blocks(
    machine: str, at_once: int, n_samples: int, full_scale: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Sixteen asked for, five given: all five are seen. A sample takes 9 + 8 bytes of work."""
    monkeypatch.setattr(bitpim.crossbar.layers, "_WORK_BYTES", at_once * 17)
    expected = [min(n, full_scale) for n in ONES]
    asked = f"converter.calibration_samples={n_samples}"
    assert outputs(machine, counting(), asked) == expected
    # the batches that are run, and what is in them, decide nothing
    assert outputs(machine, counting(), asked, cuts=(0, 1, 3, 5)) == expected


@pytest.mark.parametrize(
    ("coverage", "full_scale"),
    [(1.0, 9), (0.91, 9), (0.9, 7), (0.81, 7), (0.8, 5), (0.7, 3), (0.6, 2), (0.5, 1)],
)
def test_a_share_of_all_partial_sums_is_held(coverage: float, full_scale: int) -> None:
    """Ten sums: 0 0 0 0 0 2 3 5 7 9. Eight of them, 80 %, are at most 5; half are 0.

    A range is at least 1.
    """
    asked = ("converter.calibration_samples=5", f"converter.calibration_coverage={coverage}")
    expected = [min(n, full_scale) for n in ONES]
    assert outputs("dense_crossbar", counting(), *asked) == expected


@pytest.mark.parametrize(
    ("machine", "assigned"),
    [
        ("dense_crossbar", ()),
        ("pattern_crossbar", ("mapping.zero_skip=none",)),
        ("sre", ("mapping.pack_active_rows=false",)),
    ],
)
def test_slices_that_drive_nothing_are_reads_of_zero(
    machine: str, assigned: tuple[str, ...]
) -> None:
    """Codes of one bit driven as four: three slices of zeros, for both columns and every unit.

    Units of 5 rows: rows 0..4 and 5..8. Plus columns see

        ones         2     5     3     7     9
        rows 0..4    2     5     3     5     5        and 0 or n - 5 in rows 5..8: 0 0 0 2 4
        rows 5..8    0     0     0     2     4

    5 samples x 4 slices x 2 units x 2 columns are 80 sums; 7 are not 0: 2 2 3 4 5 5 5. So 73 of 80
    (91.25 %) are 0, 75 (93.75 %) at most 2, 76 (95 %) at most 3, 77 (96.25 %) at most 4.
    """
    wide = ("numbers.input_bits=4", "geometry.ou_rows=5", "converter.calibration_samples=5")
    for coverage, full_scale in ((0.9, 1), (0.92, 2), (0.9375, 2), (0.94, 3), (0.96, 4), (0.97, 5)):
        held = f"converter.calibration_coverage={coverage}"
        expected = [min(n, 5, full_scale) + min(max(n - 5, 0), full_scale) for n in ONES]
        assert outputs(machine, counting(), *wide, *assigned, held) == expected, coverage


def test_packed_reads_have_no_sum_without_an_input() -> None:
    """Where reads of zeros are not made, no sum of theirs is seen: of `sre` a sample of no ones.

    The others have 2 and 9 in plus, 0 in minus: of four sums, half are 0, three are at most 2. All
    rows read, there are two zeros more: four of six, 67 %, are 0.
    """
    trace = counting(ones=(0, 2, 9))
    asked = ("converter.calibration_samples=3", "converter.calibration_coverage=0.66")
    assert outputs("dense_crossbar", trace, *asked, cuts=(0, 3)) == [0, 1, 1]
    assert outputs("sre", trace, *asked, "mapping.drop_zero_rows=false", cuts=(0, 3)) == [0, 2, 2]


@pytest.mark.parametrize("machine", PRESETS)
def test_sums_below_zero_count_by_their_size(machine: str) -> None:
    """Pairs of bitlines and a weight of -1: sums of -2, -5, ... in their only column."""
    for n_samples, full_scale in ((1, 2), (2, 5), (4, 7)):
        found = outputs(
            machine,
            counting(-1),
            "numbers.encoding=differential_paired",
            "converter.adc_model=sign_magnitude",
            f"converter.calibration_samples={n_samples}",
        )
        assert found == [-min(n, full_scale) for n in ONES]
