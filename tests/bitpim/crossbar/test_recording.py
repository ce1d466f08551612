"""Tiles of crossbars: their names, their steps and places, and what is no tile."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bitpim.crossbar.recording import CrossbarRecorder
from bitpim.crossbar.stepped import (
    CLEAR,
    DRIVE,
    OUTPUT,
    PROGRAM,
    READ,
    READ_PACKED,
    READ_UNLESS_ZERO,
    SHIFT_ADD,
    SHIFT_SUBTRACT,
)
from bitpim.errors import ConfigError, LayoutError, MappingError
from bitpim.golden.recording import record_tile, tiles_of
from bitpim.golden.replaying import replay_program
from bitpim.machine.machine import recorder_of
from bitpim.recorded import TileName
from bitpim_traces.records import Geometry, TensorRecord, Trace
from tests.bitpim.machine.crossbar_runs import NETWORK, cases, machine, prune
from tests.crossbar_tiles import check_tiles, inputs_of_layers
from tests.naive.crossbar_mapping import place_cells
from tests.one_layer import one_layer, quantization

# 18 rows and 3 outputs of 4 bit-slices on crossbars of 10 x 8: two down, two across.
GROUPS = Geometry((3, 3), (1, 1), (0, 0, 0, 0), (1, 1), 2)
LAYER = one_layer(3, (4, 4, 5), 6, GROUPS, weights=quantization(8, 0, signed=True), n_samples=2)
SIZES = (
    "geometry.array_rows=10",
    "geometry.array_columns=8",
    "geometry.ou_rows=4",
    "geometry.ou_columns=3",
    "geometry.cell_bits=2",
    "numbers.encoding=offset",
)


def recorded(
    *assigned: str, tile: int = 0, trace: Trace = LAYER, name: str = "dense_crossbar"
) -> Any:
    chosen = machine(name, *SIZES, *assigned)
    inputs = [trace.samples.codes.read()[:1]]
    return recorder_of(chosen, trace, 0).record(tile, inputs)


def taken(program: Any) -> list[list[int]]:
    return [step for step in program.steps.read().tolist() if step[0] not in (PROGRAM, CLEAR)]


def test_tiles_are_numbered_by_crossbar_then_by_position() -> None:
    tiles = recorder_of(machine("dense_crossbar", *SIZES), LAYER, 0).tiles()
    assert len(tiles) == 2 * 4 * 6
    assert tiles[0] == TileName(0, "conv group 0, crossbar 0, position 0 (y 0, x 0)")
    assert tiles[5].told == "conv group 1, crossbar 1, position 0 (y 0, x 0)"
    assert tiles[8 + 3].told == "conv group 0, crossbar 3, position 1 (y 0, x 1)"
    assert tiles[-1] == TileName(47, "conv group 1, crossbar 3, position 5 (y 1, x 2)")
    assert [tile.number for tile in tiles] == list(range(48))
    assert [tile.number for tile in tiles[45:]] == [45, 46, 47]
    with pytest.raises(IndexError):
        tiles[48]
    linear = one_layer(3, (9,), 3)
    (only,) = tiles_of(linear, machine("dense_crossbar"), 0)
    assert only == TileName(0, "conv group 0, crossbar 0, position 0")


def test_sums_say_which_outputs_they_are_parts_of() -> None:
    found = recorded(tile=8 * 4 + 4 + 3)  # position 4, group 1, lower right
    assert found.places.tolist() == [[0, 3, 1, 1], [0, 4, 1, 1], [0, 5, 1, 1]]
    assert not found.is_whole and found.sums.dtype == np.int64
    across = recorded("geometry.array_rows=18")  # some of an output's columns lie on the next one
    assert not across.is_whole
    assert recorded("geometry.array_rows=18", "geometry.array_columns=12").is_whole
    linear = one_layer(3, (9,), 3, n_samples=1)
    whole = recorded("geometry.array_columns=12", trace=linear)
    assert whole.places.tolist() == [[0, 0], [0, 1], [0, 2]] and whole.is_whole


def test_the_steps_of_a_tile() -> None:
    """Crossbar 1 has rows 0 to 9 and 4 of 12 columns: bit-slices 2 and 3 of outputs 2, 0, 1, 2."""
    program = recorded(tile=1).program
    steps = program.steps.read().tolist()
    assert steps[:11] == [[PROGRAM, -1, -1, row, 0] for row in range(10)] + [[CLEAR, -1, -1, -1, 0]]
    assert program.marks[:3] == (
        (0, "program the cells"), (10, "clear the sums"), (11, "input slice 0: bit 0")
    )  # fmt: skip
    units = [(rows, columns) for rows in range(3) for columns in range(2)]
    of_slice = [[DRIVE, -1, -1, -1, 0]]
    for rows, columns in units:
        of_slice += [[READ, rows, columns, -1, 0], [SHIFT_ADD, 0, columns, -1, 0]]
    assert steps[11:24] == of_slice
    assert steps[24:37] == [[s[0], s[1] or int(s[0] == SHIFT_ADD), *s[2:]] for s in of_slice]
    assert steps[-1] == [OUTPUT, 0, 3, -1, 0] and program.marks[-1][1] == "give the sums out"
    constants = {name: table.read().tolist() for name, table in program.constants.items()}
    assert constants["row_starts"] == [0, 4, 8, 10]
    assert constants["row_lists"] == list(range(10))
    assert constants["column_starts"] == [0, 3, 4]
    assert constants["column_sums"] == [2, 0, 1, 2]
    assert constants["column_factors"] == [16, 64, 64, 64]
    assert constants["adc_table"] == [min(sum_, 31) for sum_ in range(4 * 3 + 1)]


def test_a_negative_input_slice_is_subtracted() -> None:
    signed = one_layer(3, (9,), 3, inputs=quantization(3, 0, signed=True))
    steps = taken(recorded(trace=signed).program)
    shifts = [step[:2] for step in steps if step[0] in (SHIFT_ADD, SHIFT_SUBTRACT)]
    assert [tuple(step) for step in dict.fromkeys(map(tuple, shifts))] == [
        (SHIFT_ADD, 0), (SHIFT_ADD, 1), (SHIFT_SUBTRACT, 2)
    ]  # fmt: skip


def test_the_cells_of_a_weight_of_a_pattern_are_neighbours() -> None:
    trace = prune(one_layer(3, (1, 3, 3), 2, Geometry((3, 3))), 0, patterns=[7], empty=0.0)
    size = ("geometry.array_columns=9", "converter.adc_bits=5")
    constants = recorded(*size, trace=trace, name="pattern_crossbar").program.constants
    assert constants["row_lists"].read().tolist() == [0, 1, 2]
    assert constants["column_sums"].read().tolist() == [0] * 4 + [1] * 4
    assert constants["column_factors"].read().tolist() == [1, 4, 16, 64] * 2


def test_a_pattern_taller_than_a_crossbar_goes_on_below() -> None:
    """Six rows in units of 2 on crossbars of 4: bands of 4 and 2."""
    trace = prune(one_layer(3, (1, 3, 3), 2, Geometry((3, 3))), 0, patterns=[0b1011111], empty=0.0)
    size = ("geometry.array_rows=4", "geometry.ou_rows=2", "geometry.cell_bits=4")
    chosen = machine("pattern_crossbar", *SIZES, *size)
    (mapping,) = chosen.plan(trace).layers[0].maps
    rows = [
        patch.rows.tolist()
        for crossbar in range(mapping.n_crossbars)
        for patch in mapping.contents(crossbar).patches
    ]
    assert sorted(rows) == [[0, 1, 2, 3], [4, 6]]
    codes = trace.samples.codes.read()
    for index, (inputs, found) in inputs_of_layers(chosen, trace, codes).items():
        check_tiles(chosen, trace, index, inputs, found)


def silent(trace: Trace, n_rows: int) -> Trace:
    """Set some inputs to 0, and all others to 1."""
    codes = np.ones_like(trace.samples.codes.read())
    codes.reshape(len(codes), -1)[:, :n_rows] = 0
    record = TensorRecord.of(codes, axes="NC", role="samples")
    return replace(trace, samples=replace(trace.samples, codes=record))


def test_reads_that_inputs_leave_out() -> None:
    """Of 9 rows in units of 4, 4 and 1 the first five have no input; others only in bit 0."""
    trace = silent(one_layer(3, (9,), 2, inputs=quantization(2)), 5)
    size = ("geometry.ou_columns=8", "converter.adc_bits=5")

    def reads(program: Any) -> list[tuple[int, int]]:
        every = (READ, READ_UNLESS_ZERO, READ_PACKED)
        return [(s[0], s[1]) for s in program.steps.read().tolist() if s[0] in every]

    for skip, kinds, skipped in (
        ("none", [READ] * 3, 0),
        ("bit_plane", [READ_UNLESS_ZERO] * 3, 1 + 3),
        ("vector", [READ_UNLESS_ZERO, READ, READ], 1 + 1),
    ):
        program = recorded(*size, f"mapping.zero_skip={skip}", trace=trace).program
        assert reads(program) == [(kind, row) for _ in range(2) for row, kind in enumerate(kinds)]
        assert program.counts.get("ou_skipped", 0) == skipped
        assert program.counts["shift_add"] == 8 * (6 - skipped)
    encoding = "numbers.encoding=twos_complement", "mapping.drop_zero_rows=false"
    packed = recorded(*size, *encoding, trace=trace, name="sre").program
    parts = [s[3] for s in packed.steps.read().tolist() if s[0] == READ_PACKED]
    assert parts == [0, 1, 2] * (len(parts) // 3)
    assert packed.counts["ou_activation"] * 5 == packed.counts["ou_skipped"]


@settings(max_examples=40, deadline=None)
@given(
    drawing=st.data(), name=st.sampled_from(["dense_crossbar", "isaac", "pattern_crossbar", "sre"])
)
def test_contents_lie_where_placements_say(drawing: st.DataObject, name: str) -> None:
    case = drawing.draw(cases(name))
    chosen = machine(name, *case.assigned)
    for mapping in chosen.plan(case.trace).layers[0].maps:
        geometry = chosen.setup.coding.geometry
        placed = set(place_cells(mapping.placements(), geometry.rows, geometry.columns))
        found: set[tuple[int, int, int]] = set()
        for crossbar in range(mapping.n_crossbars):
            for patch in mapping.contents(crossbar).patches:
                assert (patch.heights.sum(), patch.widths.sum()) == (
                    len(patch.rows), len(patch.columns)
                )  # fmt: skip
                cells = {
                    (crossbar, patch.row + i, patch.column + j)
                    for i in range(len(patch.rows))
                    for j in range(len(patch.columns))
                }
                assert not cells & found
                found |= cells
        assert found == placed


def test_a_layer_that_no_crossbar_computes_has_no_tiles() -> None:
    pool = next(layer for layer in NETWORK.layers if layer.kind == "max_pool2d")
    words = f"layer {pool.index} .*max_pool2d.*: records no tiles, the digital side computes it"
    for name in ("dense_crossbar", "pipelayer"):
        with pytest.raises(ConfigError, match=words):
            tiles_of(NETWORK, machine(name), pool.name)
    left = machine("dense_crossbar", f"layers.digital@{NETWORK.layers[0].name}=true")
    with pytest.raises(ConfigError, match=r"layer 0 .*conv2d.*: records no tiles"):
        tiles_of(NETWORK, left, 0)


def test_a_layer_pruned_whole_has_no_tile() -> None:
    trace = prune(one_layer(3, (2, 5, 5), 3, Geometry((3, 3))), 0, empty=1.0)
    chosen = machine("pattern_crossbar")
    assert len(tiles_of(trace, chosen, 0)) == 0
    with pytest.raises(ConfigError, match="layer 'only': has no tile"):
        record_tile(trace, chosen, 0, 0)


@pytest.mark.parametrize("tile", [-1, 48])
def test_a_tile_that_is_none_is_refused(tile: int) -> None:
    with pytest.raises(ConfigError, match=f"layer .*: need one of 48 tiles, .* got {tile};"):
        recorded(tile=tile)
    with pytest.raises(ConfigError, match=f"layer .*: need one of 48 tiles, .* got {tile};"):
        record_tile(LAYER, machine("dense_crossbar", *SIZES), 0, tile)


def test_inputs_of_another_shape_are_refused() -> None:
    recorder = recorder_of(machine("dense_crossbar", *SIZES), LAYER, 0)
    codes = LAYER.samples.codes.read()
    for inputs in ([codes], [codes[:0]], [codes[0]], [codes[:1]] * 2, []):
        with pytest.raises(LayoutError, match="recorder: need the inputs"):
            recorder.record(0, inputs)


def test_samples_are_read_one_after_the_other_on_cells_programmed_once() -> None:
    """Each as alone: the same steps after the cells, the same sums, the same places but one."""
    chosen = machine("dense_crossbar", *SIZES)
    recorder = recorder_of(chosen, LAYER, 0)
    assert isinstance(recorder, CrossbarRecorder)
    codes = LAYER.samples.codes.read()
    both = recorder.record_samples(0, codes)
    apart = [recorder.record(0, [codes[n : n + 1]]) for n in range(2)]
    steps = [tile.program.steps.read()[10:] for tile in apart]  # of rows, the rest are sums
    assert both.program.steps.read()[10:].tolist() == np.concatenate(steps).tolist()
    assert both.sums.tolist() == [*apart[0].sums, *apart[1].sums]
    assert both.sums[:3].tolist() != both.sums[3:].tolist()
    assert both.places[:, 0].tolist() == [0, 0, 0, 1, 1, 1]
    assert both.places[:3, 1:].tolist() == both.places[3:, 1:].tolist()
    assert both.seen.tolist() == apart[0].seen.tolist()
    marks = [text for _, text in both.program.marks]
    assert [text for text in marks if "vector" in text] == ["input vector 0", "input vector 1"]
    assert replay_program(both.program).equal
    with pytest.raises(MappingError, match="need weights that lie on one crossbar, got 48"):
        recorder.products(codes, both)


@pytest.mark.parametrize("seed", range(5))
def test_a_level_changed_in_a_tile_is_found(seed: int) -> None:
    """At the end in the cells; with states after every step, at the step that programs it."""
    rng = np.random.default_rng(seed)
    recorder = recorder_of(machine("dense_crossbar", *SIZES), LAYER, 0)
    program = recorder.record(0, [LAYER.samples.codes.read()[:1]], after="every").program
    assert program.port is not None
    port = program.port.read().copy()
    row, column = int(rng.integers(10)), int(rng.integers(8))
    port[row, column] ^= 1
    spoilt = replace(program, port=TensorRecord.of(port, axes="", role="", units="1"))
    found = replay_program(spoilt).difference
    assert found is not None
    assert (found.step, found.state, found.place) == (row, "cells", (row, column))
    port = program.port.read().copy()
    port[-1, 1] += 1
    spoilt = replace(program, port=TensorRecord.of(port, axes="", role="", units="1"))
    found = replay_program(spoilt).difference
    assert found is not None
    assert (found.step, found.state, found.place) == (program.n_steps - 1, "port", (1,))
