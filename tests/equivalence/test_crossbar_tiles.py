"""Recorded tiles of every crossbar machine: the sums and counts of the fast reading, to the bit."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from bitpim.golden.recording import record_tile, tiles_of
from bitpim.golden.replaying import replay_program
from bitpim.machine.registry import list_presets, make_machine
from bitpim_traces.program_trace.reader import open_program
from bitpim_traces.program_trace.writer import write_program
from bitpim_traces.records import Geometry, Trace
from bitpim_traces.synthetic import synthetic_network
from tests.bitpim.machine.crossbar_runs import cases, machine, prune
from tests.crossbar_tiles import check_tiles, inputs_of_layers
from tests.one_layer import one_layer, quantization

MACHINES = ("dense_crossbar", "isaac", "pattern_crossbar", "pipelayer", "sre")
MOST_TILES = 100
SMALL = (
    "geometry.array_rows=24",
    "geometry.array_columns=20",
    "geometry.ou_rows=6",
    "geometry.ou_columns=5",
    "numbers.weight_bits=9",
)


@pytest.fixture(scope="module")
def network() -> Trace:
    """Convolutions with and without groups, a residual, pooling, a linear layer; pruned."""
    return prune(synthetic_network("tiny", 0, n_samples=3), 1)


def all_tiles(chosen: Any, trace: Trace, sample: int = 0) -> None:
    codes = trace.samples.codes.read()[sample : sample + 1]
    for index, (inputs, run) in inputs_of_layers(chosen, trace, codes).items():
        if trace.layers[index].weight is not None:
            check_tiles(chosen, trace, index, inputs, run)


def n_tiles(chosen: Any, trace: Trace) -> int:
    plans = [part for part in chosen.plan(trace).layers if hasattr(part, "maps")]
    return sum(p.n_positions * sum(part.n_crossbars for part in p.maps) for p in plans)


@pytest.mark.parametrize("lossy", [False, True], ids=["exact", "lossy"])
@pytest.mark.parametrize("name", MACHINES)
@settings(
    max_examples=12,
    deadline=None,
    suppress_health_check=[HealthCheck.filter_too_much, HealthCheck.too_slow],
)
@given(drawing=st.data())
def test_tiles_of_any_layer_are_what_the_layer_gave(
    name: str, lossy: bool, drawing: st.DataObject
) -> None:
    case = drawing.draw(cases(name, lossy=lossy))
    assume(case.trace.n_samples)
    chosen = machine(name, *case.assigned)
    assume(n_tiles(chosen, case.trace) <= MOST_TILES)
    all_tiles(chosen, case.trace, case.trace.n_samples - 1)


@pytest.mark.parametrize(
    ("name", "preset"), [(name, preset) for name in MACHINES for preset in list_presets(name)]
)
def test_tiles_of_every_preset(name: str, preset: str) -> None:
    inputs, weights = quantization(8, 3), quantization(8, 0, signed=True)
    geometry = Geometry((3, 3), (2, 2), (1, 1, 1, 1), (1, 1), 1)
    conv = one_layer(7, (16, 5, 5), 20, geometry, inputs=inputs, weights=weights)
    linear = one_layer(8, (200,), 5, inputs=inputs, weights=weights)
    bits = ["numbers.weight_bits=9"]
    if name == "pipelayer":
        bits += ["numbers.input_bits=8", "numbers.overflow=saturate"]
    for trace in (prune(conv, 3), linear):
        all_tiles(make_machine(name, preset, bits), trace)


@pytest.mark.parametrize("model", ["sign_magnitude", "symmetric", "clip"])
def test_tiles_of_cells_in_pairs(model: str) -> None:
    layer = one_layer(4, (40,), 6, weights=quantization(8, 0, signed=True), n_samples=1)
    lossy = (f"converter.adc_model={model}", "converter.adc_bits=3", "numbers.overflow=saturate")
    all_tiles(
        machine("dense_crossbar", *SMALL, "numbers.encoding=differential_paired", *lossy), layer
    )


@pytest.mark.parametrize("name", MACHINES)
def test_tiles_within_a_network(name: str, network: Trace) -> None:
    lossy = ["converter.adc_bits=3"]
    if name == "pipelayer":
        lossy = ["converter.counter_bits=3", "converter.counter_overflow=saturate"]
    last = network.layers[-1].name  # is read in a way of its own
    own = f"{lossy[0].replace('=3', '')}@{last}=2"
    chosen = machine(name, *SMALL, *lossy, "numbers.overflow=saturate", own)
    all_tiles(chosen, network, sample=2)


@pytest.mark.parametrize("name", ["dense_crossbar", "pattern_crossbar", "sre"])
def test_tiles_are_read_through_the_calibrated_converter(name: str, network: Trace) -> None:
    lossy = (
        "numbers.encoding=twos_complement",
        "numbers.overflow=saturate",
        "converter.adc_model=round",
        "converter.adc_bits=3",
    )
    calibrated = (
        "converter.adc_range=calibrated",
        "converter.calibration_samples=2",
        "converter.calibration_coverage=0.9",
    )
    chosen, maximal = (machine(name, *SMALL, *lossy, *more) for more in (calibrated, ()))
    inputs = [network.samples.codes.read()[:1]]
    tables = [
        made.recorder(network, 0).record(0, inputs).program.constants["adc_table"].read().tolist()
        for made in (chosen, maximal)
    ]
    assert tables[0] != tables[1]
    all_tiles(chosen, network)


@pytest.mark.parametrize("name", ["isaac", "pipelayer"])
def test_copies_share_the_tiles_of_a_layer(name: str, network: Trace) -> None:
    chosen = machine(name, "schedule.replication=given", "schedule.copies=3")
    told = [tile.told for tile in chosen.recorder(network, 0).tiles()[:4]]
    assert told == [
        f"conv group 0, crossbar 0, copy {p % 3} of 3, position {p} (y 0, x {p})" for p in range(4)
    ]
    all_tiles(chosen, network)


@pytest.mark.parametrize("name", MACHINES)
def test_a_tile_in_a_file_is_a_program_of_its_own(
    name: str, network: Trace, tmp_path: Path
) -> None:
    chosen = machine(name)
    layer = network.layers[-1].name
    tiles = tiles_of(network, chosen, layer)
    assert [tile.number for tile in tiles] == list(range(len(tiles)))
    recorded = record_tile(network, chosen, layer, len(tiles) - 1, sample=1, after="marks")
    write_program(recorded.program, tmp_path / "tile.h5")
    opened = open_program(tmp_path / "tile.h5")
    run = replay_program(opened)
    assert run.equal and run.n_states > 8 and run.n_steps == recorded.program.n_steps
    assert opened.provenance["machine"] == name and opened.provenance["sample"] == 1
    assert np.array_equal(opened.steps.read(), recorded.program.steps.read())
