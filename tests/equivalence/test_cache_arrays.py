"""The machine against itself done literally: every array, row and column move one by one."""

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from bitpim.config import override
from bitpim.counts import Counts
from bitpim.machine.cache_machine import CacheMachine
from bitpim.machine.neural_cache import NeuralCacheSettings
from bitpim.machine.registry import load_preset
from bitpim.proof.reference import run_network
from bitpim.sram.conv_plan import ConvPlan, GroupPlan
from bitpim.sram.lane_codes import LaneCodes
from bitpim.sram.network_mapping import plan_layer
from bitpim.sram.rules import ConvRule, OneGroup
from bitpim.sram.settings import CacheSettings
from bitpim.sram.sparse_rules import PrunedLanes
from bitpim_traces.records import Geometry, Trace
from tests.few_bits import few_bits
from tests.naive.cache_arrays import PhaseCounts, add_counts, run_lanes
from tests.naive.cache_banks import Banks, Job
from tests.one_layer import one_layer, quantization
from tests.toy_rules import NarrowWeights, TwoGroups, with_channels_pruned

TWO_ARRAYS = (
    "geometry.n_cache_slices=1",
    "geometry.ways_per_cache_slice=3",
    "geometry.banks_per_way=2",
    "geometry.arrays_per_bank=1",
)
NARROW = ("geometry.array_columns=32",)
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
    "filters in two fillings": (one_layer(16, (4, 3, 2), 24, same(3)), NARROW),
    "conv groups in two fillings": (
        one_layer(17, (8, 4, 4), 48, Geometry((3, 3), groups=4), n_samples=2),
        (*NARROW, "mapping.batch_size=2"),
    ),
    "filters over arrays, in three fillings": (
        one_layer(18, (1100,), 5),
        ("geometry.banks_per_way=7", "geometry.array_columns=32"),
    ),
    "one shift after the other": (
        one_layer(13, (4, 8, 8), 8, same(3)),
        ("mapping.requantize_schedule=in_turn",),
    ),
    "shifts in banks of two arrays": (
        one_layer(14, (2, 7, 6), 8, same(3)),
        ("geometry.banks_per_way=3", "geometry.arrays_per_bank=2", "geometry.array_columns=32"),
    ),
    "shifts in one bank follow each other": (
        one_layer(15, (2, 6, 5), 6, same(3)),
        ("geometry.banks_per_way=1", "geometry.arrays_per_bank=3", "geometry.array_columns=32"),
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
        inputs = LaneCodes.of(trace.samples.quantization)
        weights = LaneCodes.of(layer.weight_quantization)
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
        self.window_bytes = self.waits = 0
        self.surplus = np.zeros(n_filters, np.int64)  # known once filters are held

    def dot_products(self) -> tuple[Codes, PhaseCounts]:
        """Run the filter groups in turn; yield the sums of all items, and the counts of all."""
        sums = np.zeros(self.filters.size, np.int64)
        counts: PhaseCounts = {}
        for part in self.plan.parts:
            items = np.isin(self.filters, part.group.filters)
            sums[items], done = self._dot_products_of(part, items)
            add_counts(counts, done)
        return sums, counts

    def _dot_products_of(
        self, part: GroupPlan, items: npt.NDArray[np.bool_]
    ) -> tuple[Codes, PhaseCounts]:
        filters = part.group.filters
        holding = part.group.hold(self.weights[filters])
        held = holding.codes.astype(np.int64)
        self.surplus[filters] = holding.surplus
        windows = self.windows[self.positions[items], self.groups[items]]
        which = np.searchsorted(filters, self.filters[items])
        order = np.argsort(which // self.at_once(part), kind="stable")  # filling after filling
        sums = np.empty(which.size, np.int64)
        sums[order], counts = run_lanes(
            self.plan, part.group.sums, held, windows[order], which[order]
        )
        return sums, counts

    def at_once(self, part: GroupPlan) -> int:
        """How many filters of a group fit in all arrays."""
        pool, n_lanes = self.plan.pool, part.group.layout.n_lanes
        return (pool.n_columns // n_lanes) * pool.n_arrays or pool.n_arrays // (
            -(-n_lanes // pool.n_columns)
        )

    def bytes_streamed(self) -> int:
        """Bytes of the codes that each filling's filters need, windows of a conv group once."""
        n_bytes = 0
        for part in self.plan.parts:
            mine = np.isin(self.filters, part.group.filters)
            filling = np.searchsorted(part.group.filters, self.filters) // self.at_once(part)
            windows = {*zip(filling[mine], self.positions[mine], self.groups[mine], strict=True)}
            n_codes = len(windows) * part.group.layout.entries.size
            n_bytes += -(-n_codes * part.group.sums.input_bits // 8)
        return n_bytes

    def window_sums(self) -> tuple[Codes, PhaseCounts]:
        """Sum the entries of each window once for all filters that use them."""
        out = np.zeros(self.filters.size, np.int64)
        counts: PhaseCounts = {}
        for index, window in enumerate(self.plan.windows):
            wanted = self.plan.window_of[self.filters] == index
            places = np.stack([self.positions, self.groups], axis=1)
            once, which = np.unique(places[wanted], axis=0, return_inverse=True)
            codes = self.windows[once[:, 0], once[:, 1]] % (1 << window.sums.input_bits)
            items = np.arange(len(codes))
            sums, done = run_lanes(
                self.plan, window.sums, None, codes, items, read_bits=window.bits
            )
            n_bytes = -(
                -codes.shape[0] * window.sums.layout.entries.size * window.sums.input_bits // 8
            )
            self.window_bytes += n_bytes
            rows = done["input_stream"]["cycles"]
            self.waits += max(0, self.plan.bus_cycles(n_bytes) - rows)  # for the bus
            out[wanted] = sums[which.reshape(-1)]
            add_counts(counts, done)
        return out, counts

    def codes(self, sums: Codes, windows: Codes | None, *, at_once: bool) -> tuple[Codes, Banks]:
        """Requantize all items, the longest program first; yield codes, and what the banks did."""
        geometry = self.plan.settings.geometry
        banks = Banks(self.plan.pool.n_arrays, geometry.array_columns, geometry.arrays_per_bank)
        operands = self.operands(sums, windows)
        epilogues = [one for part in self.plan.parts for one in part.epilogue]
        epilogues.sort(key=lambda one: one.program.n_steps(), reverse=True)
        whose = [np.isin(self.filters, one.filters) for one in epilogues]
        jobs = [
            Job(one.program, {name: values[mine] for name, values in operands.items()})
            for one, mine in zip(epilogues, whose, strict=True)
        ]
        codes = np.empty(sums.size, np.int64)
        for mine, done in zip(whose, banks.run(jobs, at_once=at_once), strict=True):
            codes[mine] = done
        return codes, banks

    def operands(self, sums: Codes, windows: Codes | None) -> dict[str, Codes]:
        step = self.layer.requantize
        assert step is not None and step.multiplier is not None and self.layer.bias is not None
        centred = self.weights - self.zeros[:, None]
        constant = self.layer.bias.read() - self.zero * centred.sum(axis=1) - self.surplus
        left = np.zeros(self.zeros.size, np.int64)
        for part in self.plan.parts:
            left[part.group.filters] = part.group.zeros
        named = {
            "sum": sums,
            "total": constant[self.filters],
            "multiplier": step.multiplier[self.filters].astype(np.int64),
            "weight_zero": left[self.filters],
        }
        return named if windows is None else named | {"window": windows}


def in_order(trace: Trace, codes: npt.NDArray[Any]) -> Codes:
    """Yield outputs (N, M, E, F) in the order of the items."""
    flat = codes.reshape(codes.shape[0], codes.shape[1], -1)
    return flat.transpose(0, 2, 1).reshape(-1).astype(np.int64)


@pytest.mark.parametrize("case", CASES)
def test_a_layer_done_array_by_array(case: str) -> None:
    trace, assignments = CASES[case]
    literal = done_array_by_array(trace, settings(*assignments), OneGroup())
    weights = literal.weights[literal.filters]
    expected = literal.windows[literal.positions, literal.groups] * weights
    assert np.array_equal(literal.dot_products()[0], expected.sum(axis=1))
    if literal.plan.windows:
        whole = literal.windows.sum(axis=2)[literal.positions, literal.groups]
        assert np.array_equal(literal.window_sums()[0], whole)


PRUNED: dict[str, tuple[Trace, tuple[str, ...]]] = {
    "3x3": (one_layer(20, (6, 6, 5), 8, same(3)), ()),
    "zero points of channels, strides": (
        one_layer(
            21,
            (5, 5, 5),
            4,
            Geometry((3, 2), (2, 1), (1, 0, 0, 2), (1, 2)),
            weights=quantization(8, [0, 255, 128, 3]),
            inputs=quantization(8, -128, signed=True),
            mode="half_up_shift",
        ),
        (),
    ),
    "conv groups": (
        one_layer(22, (8, 4, 4), 4, Geometry((3, 3), groups=2), n_samples=2),
        ("mapping.batch_size=2",),
    ),
    "linear, one filter": (one_layer(23, (70,), 1), ()),
    "not a power of two": (
        one_layer(24, (7, 4, 4), 4, same(3), weights=quantization(8, 255)),
        ("mapping.pad_channels_to_power_of_two=false",),
    ),
    "a kernel beyond its image": (one_layer(25, (3, 2, 2), 2, same(5)), ()),
}


@pytest.mark.parametrize("rule", [TwoGroups(), NarrowWeights()], ids=lambda r: type(r).__name__)
@pytest.mark.parametrize("case", PRUNED)
def test_filter_groups_done_array_by_array(case: str, rule: ConvRule) -> None:
    trace, assignments = PRUNED[case]
    pruned = with_channels_pruned(trace, 1, 0.5)
    done_array_by_array(pruned, settings(*assignments), rule)


FEW_BITS: dict[str, tuple[Trace, str, tuple[str, ...]]] = {
    "ternary": (few_bits("ternary", 30, (5, 6, 5), 8, same(3)), "add_by_sign_and_mask", ()),
    "ternary, zero points, strides": (
        few_bits(
            "ternary",
            31,
            (4, 5, 5),
            4,
            Geometry((3, 2), (2, 1), (1, 0, 0, 2), (1, 2)),
            weights=quantization(2, [1, 2, 2, 1]),
            inputs=quantization(3, -4, signed=True),
        ),
        "add_by_sign_and_mask",
        ("mapping.partial_sum_bits=9",),
    ),
    "ternary, inputs of one bit": (
        few_bits("ternary", 32, (40,), 3, inputs=quantization(1, 1)),
        "add_by_sign_and_mask",
        ("mapping.pad_channels_to_power_of_two=false",),
    ),
    "binary, conv groups": (
        few_bits("binary", 33, (8, 4, 4), 4, Geometry((3, 3), groups=2), n_samples=2),
        "add_by_sign",
        ("mapping.batch_size=2",),
    ),
    "ternary, inputs streamed in parts": (
        few_bits("ternary", 34, (2, 4, 4), 4, same(3)),
        "add_by_sign_and_mask",
        ("geometry.array_rows=120",),
    ),
    "xnor, padded": (few_bits("xnor", 35, (6, 5, 5), 4, same(3)), "count_agreements", ()),
    "xnor": (
        few_bits(
            "xnor", 36, (6, 5, 5), 4, Geometry((2, 2), (2, 1), groups=2), mode="half_up_shift"
        ),
        "count_agreements",
        (),
    ),
    "xnor, a kernel beyond its image, moves of two cycles": (
        few_bits("xnor", 37, (3, 2, 2), 4, same(5)),
        "count_agreements",
        ("timing.move_cycles_per_bit=2", "mapping.reduction_bits=fixed"),
    ),
    "xnor, linear": (few_bits("xnor", 38, (70,), 3), "count_agreements", ()),
}


@pytest.mark.parametrize("case", FEW_BITS)
def test_taps_without_products_done_array_by_array(case: str) -> None:
    trace, tap, assignments = FEW_BITS[case]
    chosen = override(
        load_preset("bit_prudent"), ["sparsity.mode=dense", *TWO_ARRAYS, *assignments]
    )
    literal = done_array_by_array(trace, chosen, PrunedLanes())
    (part,) = literal.plan.parts
    assert part.group.sums.tap.name == tap
    assert bool(literal.plan.windows) == case.startswith(("xnor, padded", "xnor, a kernel"))


def done_array_by_array(trace: Trace, chosen: CacheSettings, rule: ConvRule) -> Literal:
    """See that codes are the referee's and the machine's, and counts those of the plan."""
    (layer,) = trace.layers
    plan = plan_layer(layer, trace.input_quantizations(layer), chosen, rule)
    assert isinstance(plan, ConvPlan)
    literal = Literal(trace, plan)
    sums, counts = literal.dot_products()
    windows, window_counts = literal.window_sums() if plan.windows else (None, {})
    at_once = chosen.mapping.requantize_schedule == "at_once"
    codes, banks = literal.codes(sums, windows, at_once=at_once)
    referee = run_network(trace, trace.samples.codes.read())[0]
    assert np.array_equal(codes, in_order(trace, referee))
    network = CacheMachine(chosen, rule).prepare(trace)
    (run,) = network.run_batch(trace.samples.codes.read())
    assert np.array_equal(in_order(trace, run.codes), codes)

    planned = plan.counts(trace.n_samples)
    assert run.counts == planned
    for phase in ("mac", "reduction"):
        events = {name: planned[phase].get(name, 0) for name in EVENTS}
        assert {name: counts.get(phase, Counts())[name] for name in EVENTS} == events, phase
    for phase in ("filter_load", "input_stream"):
        assert planned[phase]["sram_access_cycle"] == counts[phase]["sram_access_cycle"], phase
        assert planned[phase]["cycles"] >= counts[phase]["cycles"], phase
    if trace.n_samples <= chosen.mapping.batch_size:  # bytes are rounded once a batch
        assert planned["input_stream"]["bus_byte"] == literal.bytes_streamed()
    read = sum((c.pop("gather", Counts()) for c in (counts, window_counts)), Counts())
    if windows is not None:
        total = sum(window_counts.values(), Counts())
        assert planned["window_sum"] == {
            "cycles": total["cycles"] + literal.waits,
            "sram_compute_cycle": total["sram_compute_cycle"],
            "sram_access_cycle": total["sram_access_cycle"],
            "bus_byte": literal.window_bytes,
        }
    assert planned["requantize"] == {
        "cycles": banks.compute_cycles,
        "sram_compute_cycle": banks.work["sram_compute_cycle"],
    }
    # operands are written and codes read in the arrays whose program runs between
    bits, gather, output = layer.output.bits, planned["gather"], planned["output"]
    accesses = gather["sram_access_cycle"] + output["sram_access_cycle"]
    assert accesses == (read + banks.work)["sram_access_cycle"]
    rows = bits * len(banks.passes)
    assert gather["cycles"] + rows == read["cycles"] + banks.access_cycles
    assert output["cycles"] >= rows
    return literal
