"""The base of machines on crossbars, with a layout that only this file knows."""

import re
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import pytest

from bitpim.config import override
from bitpim.counts import Counts
from bitpim.crossbar.adc import Adc
from bitpim.crossbar.array import CrossbarGeometry
from bitpim.crossbar.contents import Contents, Patch
from bitpim.crossbar.dense_matrix import DenseMatrix
from bitpim.crossbar.encodings import StoredWeights
from bitpim.crossbar.input_slices import InputCoding
from bitpim.crossbar.number_coding import NumberCoding, WeightMatrix
from bitpim.crossbar.pieces import ReadCounts, ReadPieces
from bitpim.errors import ConfigError, MappingError
from bitpim.machine.crossbar_machine import CrossbarMachine
from bitpim.machine.registry import load_preset
from bitpim.placement import Placements
from bitpim_traces.records import Geometry, LayerRecord, TensorRecord, Trace
from tests.bitpim.machine.crossbar_runs import NETWORK, check_lossless, machine, run
from tests.crossbar_tiles import check_tiles, inputs_of_layers
from tests.naive.crossbar_mapping import place_cells
from tests.one_layer import one_layer

Ints = npt.NDArray[np.int64]


# A layout: as the dense one, but every array is filled from its last matrix row to its first.


@dataclass(frozen=True)
class Upended:
    """One matrix; `order` are its rows as wordlines hold them, array after array."""

    rule: ClassVar[str] = "upended"
    index_bits: ClassVar[int] = 0
    position_events: ClassVar[Counts] = Counts()
    n_rows: int
    n_columns: int
    geometry: CrossbarGeometry

    @property
    def bands(self) -> list[range]:
        """Matrix rows of each row of arrays."""
        step = self.geometry.rows
        return [range(at, min(at + step, self.n_rows)) for at in range(0, self.n_rows, step)]

    @property
    def order(self) -> list[int]:
        return [row for band in self.bands for row in reversed(band)]

    @property
    def widths(self) -> list[int]:
        """Columns of each column of arrays."""
        step = self.geometry.columns
        return [min(step, self.n_columns - at) for at in range(0, self.n_columns, step)]

    @property
    def n_crossbars(self) -> int:
        return len(self.bands) * len(self.widths)

    @property
    def used_cells(self) -> int:
        return self.n_rows * self.n_columns

    @cached_property
    def pieces(self) -> ReadPieces:
        found, source, unit = [], 0, self.geometry.unit_rows
        for a, band in enumerate(self.bands):
            for first in range(0, len(band), unit):
                height = min(unit, len(band) - first)
                for b, width in enumerate(self.widths):
                    reads = -(-width // self.geometry.unit_columns)
                    crossbar = a * len(self.widths) + b
                    found.append((source, crossbar, reads, reads * height, width, height * width))
                source += 1
        return ReadPieces(*np.array(found, np.int64).T)

    def placements(self) -> Placements:
        """Row by row: a row of the matrix in one array is a rectangle."""
        step = self.geometry.columns
        found = [
            (a * len(self.widths) + b, wordline, 0, 1, width, 0, row, 0, row, b * step)
            for a, band in enumerate(self.bands)
            for wordline, row in enumerate(reversed(band))
            for b, width in enumerate(self.widths)
        ]
        fields = list(np.array(found, np.int64).T)
        fields[6] = fields[6].astype(np.uint64)
        return Placements(self.geometry, "channel", *fields)

    def contents(self, crossbar: int) -> Contents:
        a, b = divmod(crossbar, len(self.widths))
        heights, columns = self.geometry.row_units(self.n_rows)[a], self.geometry.columns * b
        widths = self.geometry.column_units(self.n_columns)[b]
        rows = np.array(self.bands[a][::-1])
        patch = Patch(0, 0, rows, columns + np.arange(widths.sum()), heights, widths)
        return Contents((patch,), "none")

    def matrix(
        self, weights: WeightMatrix, coding: NumberCoding, adc: Adc, inputs: InputCoding
    ) -> "UpendedMatrix":
        upended = replace(weights, numbers=weights.numbers[self.order])
        stored = coding.encoded(upended, coding.geometry.rows)
        wordlines = DenseMatrix(stored, coding.geometry, adc, inputs)
        return UpendedMatrix(coding.encoded(weights, coding.geometry.rows), wordlines, self.order)


class UpendedMatrix:
    def __init__(self, stored: StoredWeights, wordlines: DenseMatrix, order: list[int]) -> None:
        self.stored, self.wordlines, self.order = stored, wordlines, order

    @property
    def is_lossless(self) -> bool:
        return self.wordlines.is_lossless

    def read(
        self, x: npt.NDArray[Any], n_samples: int, fidelity: Any = "bit"
    ) -> tuple[Ints, ReadCounts]:
        return self.wordlines.read(x[:, self.order], n_samples, fidelity)

    def partial_sums(self, x: npt.NDArray[Any]) -> tuple[Ints, int]:
        return self.wordlines.partial_sums(x[:, self.order])


@dataclass(frozen=True)
class UpendedLayout:
    keeps_columns_whole: bool = True
    skips_unless: str | None = None

    def lay(self, layer: LayerRecord, coding: NumberCoding) -> tuple[Upended, ...]:
        columns = coding.columns_per_weight(layer)
        return tuple(
            Upended(part.numbers.shape[0], part.numbers.shape[1] * columns, coding.geometry)
            for part in coding.weights(layer)
        )


SMALL = (
    "geometry.array_rows=20",
    "geometry.array_columns=24",
    "geometry.ou_rows=6",
    "geometry.ou_columns=5",
    "numbers.weight_bits=10",
)


def upended(*assigned: str, **layout: Any) -> CrossbarMachine:
    settings = load_preset("dense_crossbar", "dense_crossbar_8bit")
    return CrossbarMachine(override(settings, assigned), UpendedLayout(**layout))


@pytest.mark.parametrize("encoding", ["offset", "differential", "column_flip", "twos_complement"])
def test_a_layout_of_ones_own_gives_the_referees_codes(encoding: str) -> None:
    chosen = upended(*SMALL, f"numbers.encoding={encoding}")
    assert chosen.name == "dense_crossbar"  # as its settings say
    check_lossless(chosen, NETWORK, against_naive=False)


def test_its_counts_are_its_closed_form() -> None:
    """45 rows lie on arrays of 20, 20 and 5, in 4 + 4 + 1 units of 6 rows; 7 outputs of 5 cells
    are 35 columns, 24 and 11 of them on an array, in 5 + 3 units of 5.
    """
    trace = one_layer(90, (5, 5, 4), 7, Geometry((3, 3)), n_samples=2)
    chosen = upended(*SMALL)
    (counts,) = check_lossless(chosen, trace, against_naive=False)
    n_times = 2 * (3 * 2) * 8  # samples, positions, input bits
    assert counts["read"] == {
        "cycles": n_times * 4 * 5,
        "ou_activation": n_times * 9 * 8,
        "ou_rows": n_times * 45 * 8,
        "dac_drive": n_times * 45 * 8,
        "ou_cols": n_times * 35 * 9,
        "ou_cells": n_times * 45 * 35,
        "shift_add": n_times * 35 * 9,
        "adc_conv_5": n_times * 35 * 9,
    }
    (row,) = chosen.plan(trace).table()
    assert (row["rule"], row["arrays"], row["ou_reads"]) == ("upended", 6, n_times // 2 * 72)
    (placed,) = chosen.plan(trace).placements(0)
    held = place_cells(placed, 20, 24)
    assert held[(0, 0, 0)] == (0, 19, 0) and held[(5, 4, 10)] == (0, 40, 34)
    assert len(held) == 45 * 35


CALIBRATED = (
    "converter.adc_model=round",
    "converter.adc_range=calibrated",
    "converter.calibration_coverage=1.0",
)


@pytest.mark.parametrize("adc", [(), CALIBRATED], ids=["clip", "calibrated"])
def test_its_operation_units_open_its_own_rows(adc: tuple[str, ...]) -> None:
    """With a converter that loses something it reads as dense crossbars do that hold, and are
    driven, the same rows the other way round; and not as those that hold them as they are.
    """
    trace = one_layer(91, (17,), 6, n_samples=3)
    (layer,) = trace.layers
    assert layer.weight is not None
    weight = TensorRecord.of(layer.weight.read()[:, ::-1].copy(), axes="OI", role="weight")
    codes = TensorRecord.of(trace.samples.codes.read()[:, ::-1].copy(), axes="NC", role="samples")
    turned = replace(
        trace,
        layers=(replace(layer, weight=weight),),
        samples=replace(trace.samples, codes=codes),
    )
    bits = ("numbers.encoding=differential", "converter.adc_bits=3")
    lossy = (*SMALL, *bits, *adc, "numbers.overflow=saturate")
    (found,) = run(upended(*lossy), trace)
    (same,) = run(machine("dense_crossbar", *lossy), turned)
    (dense,) = run(machine("dense_crossbar", *lossy), trace)
    assert np.array_equal(found.codes, same.codes) and found.counts == same.counts
    assert not np.array_equal(found.codes, dense.codes)


# What a layout says of itself is asked.


def test_what_does_not_go_with_a_layout_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"dense_crossbar: numbers\.encoding column_flip needs"):
        upended("numbers.encoding=column_flip", keeps_columns_whole=False)
    symmetric = ("converter.adc_model=symmetric", "converter.adc_bits=2")
    upended(*symmetric)
    with pytest.raises(
        ConfigError, match=r"no read of zero .* be left out; use `--set mapping\.quiet=no`"
    ):
        upended(*symmetric, skips_unless="quiet=no")


def test_a_plan_says_whether_reads_are_left_out() -> None:
    assert upended().plan(NETWORK).assumes == ""
    assert upended(skips_unless="quiet=no").plan(NETWORK).assumes == "that skips nothing"


def test_a_network_that_does_not_fit_the_machine_is_refused() -> None:
    seen: list[int] = []

    def check(trace: Trace, plan: Any) -> None:
        seen.append(plan.n_crossbars)
        raise MappingError(f"too large: {trace.name}")

    chosen = upended()
    small = CrossbarMachine(chosen.settings, chosen.layout, check)
    for lay in (small.plan, small.prepare):
        with pytest.raises(MappingError, match=re.escape(f"too large: {NETWORK.name}")):
            lay(NETWORK)
    assert seen == [chosen.plan(NETWORK).n_crossbars] * 2


def test_a_layout_of_ones_own_is_recorded() -> None:
    chosen = upended(*SMALL, "numbers.encoding=column_flip")
    codes = NETWORK.samples.codes.read()[:1]
    for index, (inputs, found) in inputs_of_layers(chosen, NETWORK, codes).items():
        if NETWORK.layers[index].weight is not None:
            check_tiles(chosen, NETWORK, index, inputs, found)
