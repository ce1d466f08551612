"""Neurons of layers of codebooks, recorded: their codes and counts are the machine's."""

from collections import Counter
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from bitpim.errors import ConfigError, LayoutError
from bitpim.golden.recording import record_tile, tiles_of
from bitpim.golden.replaying import replay_program
from bitpim.golden.stepper import Stepper
from bitpim.lookup import stepped_rna as rna
from bitpim.machine.machine import Recorder, recorder_of
from bitpim.recorded import RecordedTile, TileName
from bitpim_traces.builder import Activation, TraceBuilder, WeightCodes
from bitpim_traces.codebook import Codebook
from bitpim_traces.program_trace.records import ProgramTrace
from bitpim_traces.records import Geometry, Quantization, Trace
from tests.bitpim.machine.rapidnn_runs import machine, run
from tests.codebook_traces import codebook_trace, random_codebook
from tests.naive.rapidnn_machine import NaiveRapidnn

OUTSIDE = ("encode_input", "send_codes", "fill_tables")
"""Phases that no neuron executes: what comes to it, goes from it, and is written first."""
SEEDS = (45, 49, 56, 60, 63, 65)
CODED = Quantization.of_codebook(Codebook(np.arange(-8, 8, dtype=np.int64), 2, 6))
SETTINGS = [
    (),
    ("adder.digits=signed", "adder.cost=simpler"),
    ("match.mode=wxor", "adder.cost=aritpim"),
    ("match.mode=staged", "match.stage_bits=5", "adder.cost=floatpim"),
    ("counters.overflow=saturate", "counters.bits=1", "adder.digits=signed"),
]


def phases_of(program: ProgramTrace) -> dict[str, Counter[str]]:
    """Replay from mark to mark; a mark is the name of a phase."""
    at, found = Stepper(program), {}
    for (start, mark), (stop, _) in pairwise([*program.marks, (program.n_steps, "")]):
        assert at.position == start
        before = at.counts.to_dict()
        assert at.run_to(stop) is None
        found[mark] = Counter(at.counts.to_dict())
        found[mark].subtract(before)
    return found


def check_layer(made: Any, trace: Trace, index: int) -> int:
    """Record all neurons of a layer for the first sample; return how many there are."""
    layer, codes = trace.layers[index], trace.samples.codes.read(0, 1)
    runs = list(made.prepare(trace).run_batch(codes))
    inputs = [codes if i < 0 else runs[i].codes for i in layer.inputs]
    recorder: Recorder = recorder_of(made, trace, index)
    total: dict[str, Counter[str]] = {}
    slowest: Counter[str] = Counter()
    seen = np.zeros(runs[index].codes.shape, np.int64)
    for name in recorder.tiles():
        tile = recorder.record(name.number, inputs)
        adds, coded = layer.product_table is not None, layer.output.codebook is not None
        check_tile(tile, runs[index].codes, adds=adds, coded=coded)
        seen[tuple(tile.places[0])] += 1
        assert tile.program.name == name.told
        for phase, events in phases_of(tile.program).items():
            total.setdefault(phase, Counter()).update(events)
            slowest[phase] = max(slowest[phase], events["cycles"])
    assert (seen == 1).all()
    give = total.pop("give")
    assert not any(give.values())
    for phase, events in runs[index].counts.items():
        if phase in OUTSIDE:
            continue
        mine = {**total.pop(phase), "cycles": slowest[phase]}  # all neurons at once
        assert {e: n for e, n in mine.items() if n} == {e: n for e, n in events.items() if n}
    assert not total
    return len(seen.reshape(-1))


def check_tile(tile: RecordedTile, codes: Any, *, adds: bool, coded: bool) -> None:
    """Hold a neuron against what the machine made of it."""
    assert replay_program(tile.program).equal and tile.is_whole
    assert tile.program.array == "rna" and tile.program.port is not None
    assert tile.sums.dtype == np.int64 and tile.sums.shape == (1,)
    out = tile.program.port.read()[:, 0].tolist()
    assert out[-2 if adds and coded else -1] == int(tile.sums[0])
    need = int(codes[tuple(tile.places[0])])
    assert (out[-1] if coded else tile.sums[0]) == need


@pytest.mark.parametrize("assigned", SETTINGS)
@pytest.mark.parametrize("seed", SEEDS)
def test_all_neurons_of_a_layer_are_what_the_machine_computes_and_counts(
    seed: int, assigned: tuple[str, ...]
) -> None:
    few = "counters.overflow=saturate" in assigned
    kinds: Any = ("conv2d", "avg_pool2d", "add", "concat")
    trace = codebook_trace(seed, n_layers=2, most_codes=3 if few else 16, n_samples=1, kinds=kinds)
    made, n = machine(*assigned), 0
    for layer in trace.layers:
        if layer.product_table is not None:
            n += check_layer(made, trace, layer.index)
    assert n > 2


def test_seeds_draw_all_kinds_of_layers() -> None:
    """Else the test above would not compare them."""
    kinds: Any = ("conv2d", "avg_pool2d", "add", "concat")
    found = set()
    for seed in SEEDS:
        trace = codebook_trace(seed, n_layers=2, most_codes=16, n_samples=1, kinds=kinds)
        with_table = [layer for layer in trace.layers if layer.product_table is not None]
        found |= {layer.kind for layer in with_table}
        found |= {"points" for layer in with_table if layer.product_table.points is not None}  # type: ignore[union-attr]
        found |= {"raw" for layer in with_table if layer.output.codebook is None}
    assert found >= {"conv2d", "linear", "avg_pool2d", "add", "concat", "points", "raw"}


def tiny(seed: int = 0) -> Trace:
    rng = np.random.default_rng(seed)
    builder = TraceBuilder("tiny", (4, 5, 6), CODED)
    weight = WeightCodes(rng.integers(0, 16, (6, 2, 3, 3)), CODED, rng.integers(-9, 9, 6))
    parts: Any = ((3, 3), (1, 1), (1, 1, 1, 1), (1, 1), 2)
    conv = builder.conv2d("conv", -1, weight, CODED, Geometry(*parts))
    pool = builder.max_pool2d("pool", conv, Geometry((2, 2), (2, 2)))
    flat = builder.flatten("flat", pool)
    n = builder.shape(flat)[0]
    builder.linear("fc", flat, WeightCodes(rng.integers(0, 16, (3, n)), CODED), CODED)
    return builder.build(rng.integers(0, 16, (2, 4, 5, 6)))


def test_groups_of_a_convolution() -> None:
    assert check_layer(machine(), tiny(), 0) == 6 * 5 * 6
    assert check_layer(machine(), tiny(), 3) == 3


@pytest.mark.parametrize("count_include_pad", [False, True])
def test_windows_at_a_border_have_shares_of_their_own(count_include_pad: bool) -> None:
    """A corner sees 4 elements and an edge 6: each is a share of so many, or of 9."""
    builder = TraceBuilder("means", (2, 3, 4), CODED)
    geometry = Geometry((3, 3), (1, 1), (1, 1, 1, 1), count_include_pad=count_include_pad)
    builder.avg_pool2d("means", -1, geometry, output=CODED)
    trace = builder.build(np.random.default_rng(3).integers(0, 16, (1, 2, 3, 4)))
    assert check_layer(machine(), trace, 0) == 24


def test_tiles_are_the_elements_of_the_output() -> None:
    tiles = tiles_of(tiny(), machine(), "conv")
    assert len(tiles) == 180
    assert tiles[0] == TileName(0, "neuron of channel 0, y 0, x 0")
    assert tiles[-1] == TileName(179, "neuron of channel 5, y 4, x 5")
    assert tiles[30 + 6 + 2].told == "neuron of channel 1, y 1, x 2"
    assert [tile.number for tile in tiles] == list(range(180))
    assert [tile.number for tile in tiles[178:]] == [178, 179]
    assert tiles_of(tiny(), machine(), "fc")[2] == TileName(2, "neuron of output 2")
    with pytest.raises(IndexError):
        tiles[180]


def test_the_steps_of_a_neuron() -> None:
    """Weights 1, 1, 2 of inputs 3, 3, 0: pair (1, 3) twice, and (2, 0) once."""
    builder = TraceBuilder("three", (3,), CODED)
    builder.linear("fc", -1, WeightCodes(np.array([[1, 1, 2]]), CODED, np.array([5])), CODED)
    trace = builder.build(np.array([[3, 3, 0]]))
    program = record_tile(trace, machine("match.stage_bits=30"), "fc").program
    assert program.marks == (
        (0, "count_pairs"), (2, "add_products"), (9, "find_code"), (13, "give")
    )  # fmt: skip
    assert program.steps.read().tolist() == [
        [rna.COUNT, -1, -1, -1, 0],
        [rna.COUNT, -1, -1, -1, 0],
        [rna.OPERAND_IN, -1, -1, -1, 0],
        [rna.READ_PRODUCT, 1, 3, -1, 0],
        [rna.OPERAND, 1, -1, -1, 0],
        [rna.READ_PRODUCT, 2, 0, -1, 0],
        [rna.OPERAND, 0, -1, -1, 0],
        [rna.LEVEL, -1, -1, -1, 0],
        [rna.ADD_LAST, -1, -1, -1, 0],
        [rna.SEEK_CODE, -1, -1, -1, 0],
        [rna.STAGE_CODE, 0, -1, -1, 0],
        [rna.STAGE_CODE, 1, -1, -1, 0],
        [rna.SETTLE_CODE, -1, -1, -1, 0],
        [rna.GIVE_SUM, -1, -1, -1, 0],
        [rna.GIVE_CODE, -1, -1, -1, 0],
    ]
    assert program.port is not None
    rows = program.port.read()
    assert rows[0, :4].tolist() == [-1, 3, 0, -1] and rows[1, :4].tolist() == [-1, 3, -1, -1]
    assert rows[2, :2].tolist() == [5, 0]
    assert rows[3, 0] == 5 + 2 * 7 * 5 + 6 * 8  # (1 - 8)(3 - 8), (2 - 8)(0 - 8)
    assert program.parameters["n_operands"] == 4 and program.provenance["layer"] == "fc"


def test_states_are_kept_as_asked() -> None:
    trace = tiny()
    program = record_tile(trace, machine("match.mode=staged"), "conv", 7, after="every").program
    assert program.expected is not None and len(program.expected.after) == program.n_steps
    lines = program.expected.state["match"].read()
    steps = program.steps.read()[:, 0]
    stages = np.flatnonzero(steps == rna.STAGE_CODE)
    standing = np.bitwise_count(lines[stages, 0]).tolist()
    assert standing == sorted(standing, reverse=True) and standing[-1] >= 1
    assert replay_program(program).n_states == program.n_steps


def test_what_is_no_tile_says_so() -> None:
    trace = tiny()
    recorder = recorder_of(machine(), trace, 0)
    inputs = [trace.samples.codes.read(0, 1)]
    for tile in (-1, 180):
        with pytest.raises(ConfigError, match=rf"'conv' .*need one of 180 tiles, .* got {tile};"):
            recorder.record(tile, inputs)
    with pytest.raises(LayoutError, match=r"need the inputs \[\(1, 4, 5, 6\)\] of one sample"):
        recorder.record(0, [trace.samples.codes.read()])
    with pytest.raises(ConfigError, match="states to keep"):
        recorder.record(0, inputs, after="never")


# --- neurons that search for the largest, or look up


BY_VALUE = [*SETTINGS[:3], ("match.mode=staged", "match.stage_bits=5"), ("match.stage_bits=1",),
            ("match.mode=staged", "match.stage_bits=1"),
            ("match.mode=wxor", "match.stage_bits=64")]  # fmt: skip
WINDOWS: list[Any] = [
    ((2, 2), (2, 2)),
    ((3, 3), (2, 2), (1, 1, 1, 1)),
    ((1, 3), (1, 2), (0, 0, 2, 0)),
    ((2, 2), (1, 1), (1, 0, 0, 1), (2, 2)),
    ((5, 7), (1, 1)),
]


def one_layer(kind: str, shape: tuple[int, ...], seed: int, draw: Any, geometry: Any = ()) -> Trace:
    """Make a layer of a kind on codes that `draw` makes of a codebook with few or many values."""
    rng = np.random.default_rng(seed)
    n, bits, low = ((2, 4, -1), (3, 12, 0), (16, 9, -1), (255, 16, -1))[seed % 4]
    builder = TraceBuilder("one", shape, Quantization.of_codebook(book(rng, n, bits, low)))
    if kind == "max_pool2d":
        builder.max_pool2d("it", -1, Geometry(*geometry))
    else:
        output = Quantization.of_codebook(random_codebook(rng, 7, 6))
        table = rng.integers(0, 7, n if kind == "one table" else (shape[0], n))
        builder.lookup("it", -1, "my_own", output, table=table)
    return builder.build(draw(rng, n, (2, *shape)))


def book(rng: np.random.Generator, n: int, bits: int, low: int) -> Codebook:
    """Make a codebook with the ends of its words in it, the least and the largest number."""
    half = 1 << (bits - 1)
    values = {0, half - 1, -half} if low < 0 and n > 2 else {0, half - 1}
    while len(values) < n:
        values.add(int(rng.integers(low * half, half)))
    return Codebook(np.array(sorted(values), np.int64), 2, bits)


DRAWS = {
    "any": lambda rng, n, shape: rng.integers(0, n, shape),
    "lowest": lambda rng, n, shape: np.zeros(shape, np.int64),
    "highest": lambda rng, n, shape: np.full(shape, n - 1),
    "ends": lambda rng, n, shape: rng.integers(0, 2, shape) * (n - 1),
}


def check_one(made: Any, trace: Trace) -> None:
    """Hold a layer's tiles against the machine, and the machine against plain Python."""
    n = check_layer(made, trace, 0)
    (codes, phases), *_ = NaiveRapidnn(made.settings, trace).run(trace.samples.codes.read(0, 1)[0])
    assert n == codes.size
    (layer,) = made.prepare(trace).run_batch(trace.samples.codes.read(0, 1))
    assert np.array_equal(layer.codes[0], codes)
    found = {phase: {e: k for e, k in events.items() if k} for phase, events in phases.items()}
    for phase in ("find_largest", "look_up"):
        its = {e: k for e, k in layer.counts.get(phase, {}).items() if k}
        assert its == found.get(phase, {})


@pytest.mark.parametrize("draw", DRAWS)
@pytest.mark.parametrize("number", range(len(BY_VALUE)))
def test_all_neurons_of_a_max_pooling_find_the_largest(number: int, draw: str) -> None:
    made, seed = machine(*BY_VALUE[number]), number + len(draw)
    sizes = np.random.default_rng(seed).integers(5, 8, 2)
    geometry = WINDOWS[seed % len(WINDOWS)]
    shape = (1, int(sizes[0]), int(sizes[1]) + 2)
    check_one(made, one_layer("max_pool2d", shape, seed, DRAWS[draw], geometry))


@pytest.mark.parametrize("geometry", WINDOWS)
def test_every_window_of_a_max_pooling(geometry: Any) -> None:
    made = machine("match.mode=staged", "match.stage_bits=3")
    for seed in (2, 3):
        check_one(made, one_layer("max_pool2d", (3, 5, 7), seed, DRAWS["any"], geometry))


def test_a_max_pooling_of_one_pixel() -> None:
    """Its window sees the pixel and padding, and padding is no candidate."""
    for seed in range(4):
        trace = one_layer("max_pool2d", (1, 1, 1), seed, DRAWS["lowest"], WINDOWS[1])
        program = record_tile(trace, machine(), "it").program
        assert program.steps.read()[:, 0].tolist().count(rna.CANDIDATE) == 1
        check_one(machine(), trace)


@pytest.mark.parametrize("shape", [(3, 5, 3), (1, 1, 1), (2, 1, 4), (5,), (1,)])
@pytest.mark.parametrize("kind", ["one table", "a table a channel"])
def test_all_neurons_of_a_function_look_up(kind: str, shape: tuple[int, ...]) -> None:
    for seed, draw in enumerate(DRAWS.values()):
        check_one(machine(), one_layer(kind, shape, seed, draw))


@pytest.mark.parametrize("seed", range(8))
def test_layers_of_random_networks_without_products(seed: int) -> None:
    """Each layer is recorded, or nothing happens in it in an array."""
    kinds: Any = ("max_pool2d", "select", "clip", "lookup", "concat")
    trace = codebook_trace(seed, n_layers=4, n_samples=1, most_codes=16, kinds=kinds)
    made, plan = machine("match.mode=staged"), machine().plan(trace)
    for layer in trace.layers:
        if plan.layers[layer.index].rule in ("search", "table"):
            check_layer(made, trace, layer.index)
        elif layer.product_table is None:
            with pytest.raises(ConfigError, match="nothing happens in an array there"):
                recorder_of(made, trace, layer.index)


def test_the_steps_of_a_neuron_that_searches_for_the_largest() -> None:
    builder = TraceBuilder("largest", (1, 2, 2), CODED)
    builder.max_pool2d("pool", -1, Geometry((2, 2), (2, 2)))
    trace = builder.build(np.array([[[[3, 9], [9, 4]]]]))
    program = record_tile(trace, machine("match.mode=staged", "match.stage_bits=4"), "pool").program
    assert program.marks == ((0, "find_largest"), (8, "give"))
    assert program.steps.read().tolist() == [
        *[[rna.CANDIDATE, -1, -1, -1, 0]] * 4,
        [rna.SEEK_LARGEST, -1, -1, -1, 0],
        [rna.STAGE_LARGEST, 0, -1, -1, 0],
        [rna.STAGE_LARGEST, 1, -1, -1, 0],
        [rna.SETTLE_LARGEST, -1, -1, -1, 0],
        [rna.GIVE_CODE, -1, -1, -1, 0],
    ]
    assert program.port is not None and program.port.read().tolist() == [[3], [9], [9], [4], [9]]
    assert program.counts == {
        "cycles": 2, "cam_search": 1, "cam_stage": 2, "cam_row": 6, "cam_survivor": 1
    }  # fmt: skip
    assert program.parameters["n_candidates"] == 4 and program.parameters["value_bits"] == 6


def test_the_steps_of_a_neuron_that_looks_up() -> None:
    trace = one_layer("a table a channel", (3, 1, 2), 2, DRAWS["highest"])
    program = record_tile(trace, machine(), "it", 5).program
    assert program.marks == ((0, "look_up"), (1, "give"))
    assert program.steps.read().tolist() == [
        [rna.LOOK_UP, 2, -1, -1, 0], [rna.GIVE_CODE, -1, -1, -1, 0]
    ]  # fmt: skip
    table = trace.layers[0].table
    assert table is not None and program.port is not None
    assert program.port.read()[:, 0].tolist() == [15, int(table.read()[2, 15])]
    assert program.counts == {"cycles": 1, "value_read": 1}


def test_a_layer_that_moves_codes_says_that_no_array_does() -> None:
    builder = TraceBuilder("moves", (2, 4, 4), CODED)
    at = builder.max_pool2d("select", -1, Geometry((1, 1), (2, 2)))
    at = builder.clip("clip", at, Activation("relu"))
    at = builder.pad("pad", at, (0, 1, 1, 0, 0, 0))
    builder.flatten("flat", at)
    trace = builder.build(np.zeros((1, 2, 4, 4), np.int64))
    for name in ("select", "clip", "pad", "flat"):
        with pytest.raises(ConfigError, match=rf"^layer \d '{name}' .*: nothing happens in an arr"):
            tiles_of(trace, machine(), name)


def test_a_layer_has_settings_of_its_own() -> None:
    made = machine("match.mode@conv=wxor", "adder.digits@conv=signed")
    trace = tiny()
    first, last = (record_tile(trace, made, layer).program for layer in ("conv", "fc"))
    assert (first.parameters["match"], first.parameters["digits"]) == ("wxor", "signed")
    assert (last.parameters["match"], last.parameters["digits"]) == ("abs", "binary")
    assert check_layer(made, trace, 0) and check_layer(made, trace, 3)


def test_runs_have_more_samples_than_one() -> None:
    """The second sample is recorded as well as the first."""
    trace = tiny(1)
    codes = run(machine(), trace)[0].codes
    tile = record_tile(trace, machine(), "conv", 100, sample=1)
    check_tile(tile, codes, adds=True, coded=True)
