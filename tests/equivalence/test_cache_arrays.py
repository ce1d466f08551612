"""The machine against itself done literally: every array, row and column move one by one."""

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from bitpim.config import override
from bitpim.counts import Counts
from bitpim.machines.neural_cache import NeuralCache, NeuralCacheSettings
from bitpim.machines.registry import load_preset
from bitpim.sram.lane_codes import Encoding
from bitpim.sram.mapping import plan_layer
from bitpim.sram.plan import ConvPlan
from bitpim.verify.reference import run_network
from bitpim_traces.records import Geometry, Trace
from tests.naive.cache_arrays import run_lane_program, run_lanes
from tests.one_layer import one_layer, quantization

TWO_ARRAYS = (
    "geometry.n_cache_slices=1",
    "geometry.ways_per_cache_slice=3",
    "geometry.banks_per_way=2",
    "geometry.arrays_per_bank=1",
)
EVENTS = ("cycles", "sram_compute_cycle", "sram_access_cycle")
Codes = npt.NDArray[np.int64]


def settings(*assignments: str) -> NeuralCacheSettings:
    base: NeuralCacheSettings = load_preset("neural_cache")
    return override(base, [*TWO_ARRAYS, *assignments])


def same(height: int) -> Geometry:
    return Geometry((height, height), padding=(height // 2,) * 4)


CASES: dict[str, tuple[Trace, tuple[str, ...]]] = {
    "3x3": (one_layer(1, (4, 8, 8), 8, same(3)), ()),
    "5x5 split over lanes": (one_layer(2, (2, 5, 4), 4, same(5)), ()),
    "1x1 packed": (one_layer(3, (40, 4, 5), 4, Geometry((1, 1))), ()),
    "linear": (one_layer(4, (65,), 10), ()),
    "linear over two arrays": (one_layer(5, (4200,), 2), ()),
    "weight zero point": (
        one_layer(6, (3, 6, 5), 4, same(3), weights=quantization(8, 113)),
        (),
    ),
    "zero points of channels": (
        one_layer(
            7,
            (3, 5, 5),
            4,
            Geometry((2, 3), (2, 1), (1, 0, 0, 2), (1, 2)),
            weights=quantization(8, [0, 255, 128, 3]),
            inputs=quantization(8, -128, signed=True),
            mode="half_up_shift",
        ),
        (),
    ),
    "not a power of two": (
        one_layer(8, (5, 4, 4), 4, same(3), weights=quantization(8, 255)),
        ("mapping.pad_channels_to_power_of_two=false",),
    ),
    "groups, two samples, one loading": (
        one_layer(9, (4, 4, 4), 4, Geometry((3, 3), groups=2), n_samples=2),
        ("mapping.batch_size=2",),
    ),
    "fixed reduction": (
        one_layer(10, (4, 4, 4), 4, same(3)),
        ("mapping.reduction_bits=fixed", "mapping.reduction_fixed_bits=24"),
    ),
    "inputs streamed in parts": (
        one_layer(11, (2, 4, 4), 4, same(3)),
        ("geometry.array_rows=128",),
    ),
    "carries out of a full sum, moves of three cycles": (
        one_layer(12, (8,), 4, inputs=quantization(3, 0), weights=quantization(5, 0)),
        (
            "mapping.partial_sum_bits=8",
            "mapping.filter_pack_limit_channels=1",
            "timing.move_cycles_per_bit=3",
        ),
    ),
}


def windows_of(layer: Any, codes: Codes, pad: int) -> Codes:
    """Yield the encoded window of every position, sample and group, (items, groups, entries)."""
    groups = layer.geometry.groups if layer.geometry else 1
    if layer.geometry is None:
        return codes[:, None, :]
    g = layer.geometry
    top, bottom, left, right = g.padding
    image = np.pad(codes, ((0, 0), (0, 0), (top, bottom), (left, right)), constant_values=pad)
    windows = []
    for sample in image:
        for y in range(layer.output_shape[1]):
            for x in range(layer.output_shape[2]):
                row, column = y * g.stride[0], x * g.stride[1]
                taps = sample[
                    :,
                    row : row + g.kernel[0] * g.dilation[0] : g.dilation[0],
                    column : column + g.kernel[1] * g.dilation[1] : g.dilation[1],
                ]
                windows.append(taps.reshape(groups, -1))
    return np.array(windows)


class Literal:
    """A layer's convolutions one by one, filters of a position side by side."""

    def __init__(self, trace: Trace, plan: ConvPlan) -> None:
        (layer,) = trace.layers
        assert layer.weight is not None and layer.weight_quantization is not None
        self.layer, self.plan = layer, plan
        inputs = Encoding.of(trace.samples.quantization)
        weights = Encoding.of(layer.weight_quantization)
        self.zero = int(inputs.zero_point[0])
        self.zeros = np.broadcast_to(weights.zero_point, layer.weight.shape[:1])
        self.weights = weights.encode(layer.weight.read()).astype(np.int64)
        self.weights = self.weights.reshape(layer.weight.shape[0], -1)
        codes = inputs.encode(trace.samples.codes.read()).astype(np.int64)
        self.windows = windows_of(layer, codes, self.zero)
        n_positions, n_filters = self.windows.shape[0], self.weights.shape[0]
        self.filters = np.tile(np.arange(n_filters), n_positions)
        self.positions = np.repeat(np.arange(n_positions), n_filters)
        self.groups = self.filters // (n_filters // self.windows.shape[1])

    def dot_products(self) -> tuple[Codes, Any]:
        windows = self.windows[self.positions, self.groups]
        return run_lanes(self.plan, self.weights, windows, self.filters)

    def window_sums(self) -> tuple[Codes, Any]:
        flat = self.windows.reshape(-1, self.windows.shape[2])
        sums, counts = run_lanes(self.plan, None, flat, np.arange(flat.shape[0]))
        return sums.reshape(self.windows.shape[:2])[self.positions, self.groups], counts

    def operands(self, sums: Codes, windows: Codes | None) -> dict[str, Codes]:
        step = self.layer.requantize
        assert step is not None and step.multiplier is not None and self.layer.bias is not None
        n = self.weights.shape[1]
        constant = self.layer.bias.read() - self.zero * self.weights.sum(axis=1)
        constant = constant + n * self.zero * self.zeros
        named = {
            "sum": sums,
            "total": constant[self.filters],
            "multiplier": step.multiplier[self.filters].astype(np.int64),
            "weight_zero": self.zeros[self.filters],
        }
        return named if windows is None else named | {"window": windows}


def in_order(trace: Trace, codes: npt.NDArray[Any]) -> Codes:
    """Yield outputs (N, M, E, F) in the order of the items."""
    flat = codes.reshape(codes.shape[0], codes.shape[1], -1)
    return flat.transpose(0, 2, 1).reshape(-1).astype(np.int64)


@pytest.mark.parametrize("case", CASES)
def test_a_layer_done_array_by_array(case: str) -> None:
    trace, assignments = CASES[case]
    chosen = settings(*assignments)
    (layer,) = trace.layers
    plan = plan_layer(layer, trace.input_quantizations(layer), chosen)
    assert isinstance(plan, ConvPlan)
    literal = Literal(trace, plan)
    sums, counts = literal.dot_products()
    expected = (
        (literal.windows[literal.positions, literal.groups]) * literal.weights[literal.filters]
    )
    assert np.array_equal(sums, expected.sum(axis=1))
    windows = None
    if plan.correction is not None:
        windows, window_counts = literal.window_sums()
        whole = literal.windows.sum(axis=2)[literal.positions, literal.groups]
        assert np.array_equal(windows, whole)
    codes = np.empty(sums.size, np.int64)
    steps = 0
    for part in plan.epilogue:
        mine = np.isin(literal.filters, part.filters)
        operands = {name: values[mine] for name, values in literal.operands(sums, windows).items()}
        codes[mine], done = run_lane_program(part.program, plan.pool.n_columns, operands, [])
        steps += done["sram_compute_cycle"]

    referee = run_network(trace, trace.samples.codes.read())[0]
    assert np.array_equal(codes, in_order(trace, referee))
    network = NeuralCache(chosen).prepare(trace)
    (run,) = network.run_batch(trace.samples.codes.read())
    assert np.array_equal(in_order(trace, run.codes), codes)

    planned = plan.counts(trace.n_samples)
    for phase in ("mac", "reduction"):
        events = {name: planned[phase].get(name, 0) for name in EVENTS}
        assert {name: counts[phase][name] for name in EVENTS} == events, phase
    for phase in ("filter_load", "input_stream"):
        assert planned[phase]["sram_access_cycle"] == counts[phase]["sram_access_cycle"], phase
        assert planned[phase]["cycles"] >= counts[phase]["cycles"], phase
    assert planned["requantize"]["sram_compute_cycle"] == steps
    if windows is not None:
        total = sum(window_counts.values(), Counts())
        assert {name: total[name] for name in EVENTS} == planned["window_sum"]
