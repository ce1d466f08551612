"""What a tile takes of its layer and gives to it: exactly what its array depends on."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import bitpim
from bitpim.golden.layer_shares import LAYER_ENTRIES, PLACES, layer_arrays, share_of
from bitpim.golden.recording import inputs_of, record_tile
from bitpim.golden.vector_check import check_vectors
from bitpim.golden.vectors import after_steps, make_vectors
from bitpim.machine.machine import recorder_of
from bitpim.recorded import RecordedTile
from bitpim_traces.program_trace.reader import open_program
from bitpim_traces.program_trace.records import ProgramTrace
from bitpim_traces.program_trace.writer import write_program
from bitpim_traces.records import Geometry, Trace
from tests.codebook_traces import codebook_trace
from tests.one_layer import one_layer
from tests.pruned_layers import random_pruned
from tests.strategies import small_trace

NET = bitpim.open_trace(bitpim.sample_path())
LANES = ["max_pool2d", "avg_pool2d", "add", "multiply", "concat", "activation"]
PARTS = {"array_rows": 10, "array_columns": 8, "ou_rows": 4, "ou_columns": 3}
CASES = [
    *(("neural_cache", {}, small_trace(seed, kinds=["conv2d", kind], n_samples=1))
      for seed, kind in enumerate(LANES, 3)),
    ("neural_cache", {}, small_trace(2, kinds=["linear"], n_samples=1)),
    ("bit_prudent", {}, random_pruned(5)),
    *((name, {}, small_trace(seed, kinds=["conv2d", "conv2d"], n_samples=1))
      for seed, name in enumerate(("isaac", "dense_crossbar", "pipelayer", "sre"), 20)),
    ("dense_crossbar", PARTS, one_layer(3, (4, 4, 5), 6, Geometry((3, 3), groups=2))),
    *(("rapidnn", {}, codebook_trace(seed, n_layers=2, most_codes=16, n_samples=1,
                                     kinds=("conv2d", "avg_pool2d", "add", "concat")))
      for seed in (45, 49, 56, 60)),
]  # fmt: skip


def taken(tile: RecordedTile) -> list[Any]:
    """All that an array is given: steps, what passes its port, what it holds before."""
    program = tile.program
    tables = {"steps": program.steps, "port": program.port, **program.state, **program.constants}
    return [(name, None if t is None else t.read().tolist()) for name, t in tables.items()]


def others(trace: Trace, index: int, inputs: list[Any]) -> list[Any]:
    """Return the inputs with every code another one."""
    changed = []
    for number, codes in zip(trace.layers[index].inputs, inputs, strict=True):
        what = trace.samples.quantization if number < 0 else trace.layers[number].output
        n = what.code_max - what.code_min + 1 if what.codebook is None else what.codebook.n_codes
        least = what.code_min if what.codebook is None else 0
        changed.append(((codes.astype(np.int64) - least + 1) % n + least).astype(codes.dtype))
    return changed


@pytest.mark.parametrize(("name", "assigned", "trace"), CASES)
def test_an_array_depends_on_the_elements_that_it_takes_and_on_no_other(
    name: str, assigned: Any, trace: Trace
) -> None:
    machine, n_taken = bitpim.make_machine(name, settings=assigned), 0
    for layer in trace.layers:
        try:
            tiles = recorder_of(machine, trace, layer.index).tiles()
        except bitpim.errors.ConfigError:
            continue  # codes move, or the digital side makes them
        for number in {0, len(tiles) // 2, len(tiles) - 1}:
            n_taken += check_tile(machine, trace, layer.index, number)
    assert n_taken


@pytest.mark.parametrize("layer", ["add", "max_pool2d"])
def test_lanes_of_other_arrays_take_other_elements(layer: str) -> None:
    machine = bitpim.make_machine("neural_cache")
    index = next(one.index for one in NET.layers if one.name == layer)
    n_tiles = len(recorder_of(machine, NET, index).tiles())
    assert n_tiles > 1
    for number in (0, n_tiles - 1):
        check_tile(machine, NET, index, number)


def check_tile(machine: Any, trace: Trace, index: int, number: int) -> int:
    """Change elements of the inputs one by one; return how many made a difference."""
    recorder, rng, n_taken = recorder_of(machine, trace, index), np.random.default_rng(0), 0
    inputs = inputs_of(trace, machine, index, 0)
    changed, sizes = others(trace, index, inputs), [codes.size for codes in inputs]
    tile = recorder.record(number, inputs)
    if recorder.tiles()[number].told.startswith("requantize"):
        assert not tile.seen.size  # it takes sums
        return 0
    before, seen = taken(tile), set(tile.seen.tolist())
    assert len(seen) == tile.seen.size and sorted(seen) == tile.seen.tolist()
    for element in [
        *rng.permutation(sum(sizes))[:24].tolist(),
        *tile.seen[:1].tolist(),
        *tile.seen[-1:].tolist(),
    ]:
        which = int(np.searchsorted(np.cumsum(sizes), element, "right"))
        at = element - sum(sizes[:which])
        given = [codes.copy() for codes in inputs]
        given[which].reshape(-1)[at] = changed[which].reshape(-1)[at]
        depends = taken(recorder.record(number, given)) != before
        assert depends == (element in seen), (number, element)
        n_taken += depends
    return n_taken


@pytest.mark.parametrize("name", ["neural_cache", "isaac"])
@pytest.mark.parametrize("layer", ["conv1", "conv2", "linear"])
def test_places_and_codes_are_those_of_the_sample(name: str, layer: str) -> None:
    machine, sample = bitpim.make_machine(name), 3
    recorded = record_tile(NET, machine, layer, 0, sample=sample)
    runs = list(machine.prepare(NET, fidelity="bit").run_batch(NET.samples.codes.read(3, 4)))
    index = next(one.index for one in NET.layers if one.name == layer)
    (codes,) = inputs_of(NET, machine, index, sample)
    found = layer_arrays(recorded.program)
    assert tuple(found) == LAYER_ENTRIES
    assert found["inputs"].dtype == codes.dtype and len(found["inputs"]) == recorded.seen.size > 1
    for place, code in zip(found["input_places"].tolist(), found["inputs"].tolist(), strict=True):
        assert place[:2] == [0, sample] and codes[(0, *place[2:])] == code
    assert found["output_places"].tolist() == recorded.places.tolist()
    assert set(recorded.places[:, 0].tolist()) == {sample}
    outputs = [runs[index].codes[(0, *place[1:])] for place in recorded.places.tolist()]
    assert found["outputs"].tolist() == outputs and found["sums"].tolist() == recorded.sums.tolist()


def test_a_window_at_the_border_takes_no_padding() -> None:
    """The first position of a 3 x 3 window over 5 channels, padded by one: 4 pixels of 9."""
    recorded = record_tile(NET, bitpim.make_machine("isaac"), "conv2", 0)
    layer = next(one for one in NET.layers if one.name == "conv2")
    assert layer.geometry is not None
    top, _, left, _ = layer.geometry.padding
    (high, wide), channels = layer.geometry.kernel, layer.input_shapes[0][0]
    at = layer_arrays(recorded.program)["input_places"][:, 2:].tolist()
    assert at == [
        [c, y, x] for c in range(channels) for y in range(high - top) for x in range(wide - left)
    ]


def test_several_inputs_and_samples_are_in_their_order() -> None:
    program = ProgramTrace("none", "sram", {}, NET.samples.codes)
    first = np.arange(12, dtype=np.int8).reshape(2, 2, 3)
    second = np.arange(20, 24, dtype=np.int8).reshape(2, 2, 1)
    outputs = np.arange(100, 112).reshape(2, 2, 3)
    places = np.array([[0, 1, 2], [1, 0, 0]])
    tile = RecordedTile(program, np.array([7, 8]), places, True, np.array([1, 5, 7]))
    share = share_of(tile, [first, second], outputs, 4)
    found = layer_arrays(replace(program, layer=share))
    assert found["input_places"].tolist() == [
        [0, 4, 0, 1], [0, 4, 1, 2], [0, 5, 0, 1], [0, 5, 1, 2], [1, 4, 1, 0], [1, 5, 1, 0]
    ]  # fmt: skip
    assert found["inputs"].tolist() == [1, 5, 7, 11, 21, 23]
    assert found["output_places"].tolist() == [[4, 1, 2], [5, 0, 0]]
    assert found["outputs"].tolist() == [105, 106]
    empty = share_of(replace(tile, seen=np.zeros(0, np.int64)), [first], outputs)
    assert empty.inputs.shape == (0,) and empty.input_places.shape == (0, 4)


@pytest.mark.parametrize(
    ("told", "found"),
    [
        ([[0, 3, 1, 1, -9], [0, 4, 1, 1, 2**40]], {"output_places", "sums"}),
        ([], set()),
        ("sums", set()),
        ([[1, 2], [3]], set()),
        ([[1]], set()),
        ([1, 2], set()),
        ([["a", "b"]], set()),
        ([[2**40, 1]], set()),
        ([[0, 2**70]], set()),
    ],
)
def test_files_of_1_0_say_sums_in_their_provenance(told: Any, found: set[str]) -> None:
    program = ProgramTrace("none", "sram", {}, NET.samples.codes, provenance={"sums": told})
    arrays = layer_arrays(program)
    assert set(arrays) == found
    if found:
        assert arrays["output_places"].tolist() == [[0, 3, 1, 1], [0, 4, 1, 1]]
        assert arrays["sums"].tolist() == [-9, 2**40]


@pytest.mark.parametrize("form", ["readmemh", "readmemb", "csv", "npz", "h5"])
@pytest.mark.parametrize("name", LAYER_ENTRIES)
def test_a_number_of_the_layer_that_differs_is_named_by_its_place(
    tmp_path: Any, form: str, name: str
) -> None:
    program = record_tile(NET, bitpim.make_machine("isaac"), "conv2", 5, sample=2).program
    make_vectors(program, tmp_path / "vectors", after=after_steps(program, None))
    assert program.layer is not None
    tensor = getattr(program.layer, name)
    values = tensor.read().copy()
    values[3] ^= 2
    changed = replace(tensor, load=lambda start, stop: values[start:stop])
    wrong = replace(program, layer=replace(program.layer, **{name: changed}))
    mine = tmp_path / "mine.h5"
    digest = write_program(program, tmp_path / "right.h5")
    write_program(wrong, mine)
    if form != "h5":
        mine = mine.with_suffix("")
        make_vectors(wrong, mine, formats=[form], after=after_steps(wrong, None))
        other = open_program(mine / "program.h5").digest
        for path in mine.iterdir():  # what it is of is no matter here
            path.write_bytes(path.read_bytes().replace(other.encode(), digest.encode()))
        if form == "npz":
            with np.load(tmp_path / "mine" / "vectors.npz") as file:
                arrays = dict(file)
            about = arrays["about"].tobytes().replace(other.encode(), digest.encode())
            np.savez(mine / "vectors.npz", **arrays | {"about": np.frombuffer(about, np.uint8)})
    told = check_vectors(mine, tmp_path / "vectors").difference
    if name in PLACES:
        places = layer_arrays(program)[PLACES[name]][3].tolist()
        where = f"input {places.pop(0)}, " if name == "inputs" else ""
        sample, *at = places
        what = {"inputs": "code", "sums": "sum", "outputs": "output"}[name]
        expected = (
            f"layer conv2, {where}sample {sample}, coordinate {tuple(at)}, bit 1 of the {what}"
        )
        assert sample == 2
    else:
        expected = f"{name.removesuffix('s').replace('_', ' ')} 3, bit "
    assert expected in told
