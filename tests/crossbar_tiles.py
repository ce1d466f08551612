"""All tiles of a layer on crossbars, recorded, against what the layer's fast reading gave."""

from collections import Counter
from fractions import Fraction
from typing import Any

import numpy as np
import numpy.typing as npt

from bitpim.golden.replaying import replay_program
from bitpim_traces.records import LayerRecord, Trace
from tests.naive.crossbar import half_up
from tests.naive.requantize import requantize

__all__ = ["check_tiles", "inputs_of_layers"]

Ints = npt.NDArray[np.int64]
OUTSIDE = ("cycles", "index_read_bit", "accum_scatter")
"""Events of a layer that no array counts, and time, which crossbars take side by side."""


def inputs_of_layers(chosen: Any, trace: Trace, codes: Any) -> dict[int, tuple[Any, Any]]:
    """Run a network; yield the input codes of each layer, and its run."""
    runs = {run.index: run for run in chosen.prepare(trace).run_batch(codes)}
    held = {-1: codes} | {index: run.codes for index, run in runs.items()}
    return {layer.index: (held[layer.inputs[0]], runs[layer.index]) for layer in trace.layers}


def check_tiles(
    chosen: Any, trace: Trace, index: int, inputs: Any, run: Any, replays: int = 3
) -> None:
    """See that the tiles of one sample have its codes and counts; replay some of them."""
    layer, recorder = trace.layers[index], chosen.recorder(trace, index)
    plan = chosen.plan(trace).layers[index]
    tiles = recorder.tiles()
    n_crossbars = sum(part.n_crossbars for part in plan.maps)
    assert len(tiles) == n_crossbars * plan.n_positions
    sums = np.zeros((1, *layer.output_shape), np.int64)
    parts = np.zeros_like(sums)
    counts: Counter[str] = Counter()
    busy: Counter[tuple[int, int]] = Counter()
    said: list[tuple[bool, Ints]] = []
    step = Fraction(1)
    for number in range(len(tiles)):
        recorded = recorder.record(number, [inputs])
        program = recorded.program
        np.add.at(sums, tuple(recorded.places.T), recorded.sums)
        np.add.at(parts, tuple(recorded.places.T), 1)
        said.append((recorded.is_whole, recorded.places))
        assert program.counts is not None
        counts.update(program.counts)
        position, crossbar = divmod(number, n_crossbars)
        busy[crossbar, position % plan.n_copies] += program.counts.get("cycles", 0)
        step = Fraction(program.provenance["levels_of_a_reading"])
        if number % max(1, len(tiles) // replays) == 0:
            assert replay_program(program).equal
    for is_whole, places in said:
        assert is_whole == (parts[tuple(places.T)] == 1).all()
    read = {event: n for event, n in run.counts["read"].items() if event not in OUTSIDE and n}
    assert {e: n for e, n in counts.items() if e != "cycles" and n} == read
    assert max([0, *busy.values()]) == run.counts["read"]["cycles"]
    assert np.array_equal(_finished(chosen, trace, layer, inputs, sums, step), run.codes)


def _finished(
    chosen: Any, trace: Trace, layer: LayerRecord, inputs: Any, sums: Ints, step: Fraction
) -> Ints:
    """Do what the digital side does with sums of readings, number by number."""
    source = trace.input_quantizations(layer)[0]
    zero = int(source.zero_point[0])
    assert layer.weight is not None and layer.weight_quantization is not None
    assert layer.requantize is not None
    codes = layer.weight.read().astype(np.int64).reshape(layer.weight.shape[0], -1)
    weights = codes - layer.weight_quantization.zero_point.reshape(-1, 1)
    beside = weights - _in_cells(chosen, trace, layer, source)
    most = 2 ** (layer.accumulator_bits - 1) - 1
    bias = np.zeros(len(codes), np.int64) if layer.bias is None else layer.bias.read()
    found = np.zeros_like(sums)
    for place in np.ndindex(sums.shape):
        channel = place[1]
        x = _window(layer, inputs[0], zero, channel, place[2:])
        total = half_up(int(sums[place]) * step) + int(x @ beside[channel])
        total += int(bias[channel]) - zero * int(weights[channel].sum())
        if chosen.settings.numbers.overflow == "saturate":
            total = min(max(total, -most - 1), most)
        code = requantize(total, layer.requantize, channel) + int(layer.output.zero_point[0])
        found[place] = min(max(code, layer.clamp[0]), layer.clamp[1])
    return found


def _in_cells(chosen: Any, trace: Trace, layer: LayerRecord, source: Any) -> Ints:
    """What cells count for together, (outputs, rows of a group)."""
    setup = chosen.setups(trace)[layer.index]
    maps, found = chosen.plan(trace).layers[layer.index].maps, []
    inputs = setup.coding.inputs(layer, source)
    for mapping, weights in zip(maps, setup.coding.weights(layer), strict=True):
        stored = mapping.matrix(weights, setup.coding, setup.adc, inputs).stored
        counted = stored.cells * stored.factors[stored.row_groups]
        by_part = counted.reshape(stored.n_rows, -1, stored.n_outputs)
        found.append(by_part.sum(axis=1).T)
    return np.concatenate(found)


def _window(layer: LayerRecord, image: Any, zero: int, channel: int, at: Any) -> Ints:
    """The inputs of one output, tap by tap."""
    g = layer.geometry
    if g is None:
        return np.array(image, np.int64)
    depth = image.shape[0] // g.groups
    first = channel // (layer.output_shape[0] // g.groups) * depth
    taps = []
    for i in range(first, first + depth):
        for r, s in np.ndindex(*g.kernel):
            y = at[0] * g.stride[0] + r * g.dilation[0] - g.padding[0]
            x = at[1] * g.stride[1] + s * g.dilation[1] - g.padding[2]
            inside = 0 <= y < image.shape[1] and 0 <= x < image.shape[2]
            taps.append(int(image[i, y, x]) if inside else zero)
    return np.array(taps, np.int64)
