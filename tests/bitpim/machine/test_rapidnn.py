"""RAPIDNN: the referee at both fidelities, a naive machine where something is lost, refusals."""

import re
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from bitpim.errors import AccumulatorError, ConfigError, MappingError
from bitpim.lookup import rna_layers
from bitpim.lookup.nearest_table import NearestTable, width_of
from bitpim.lookup.rna_plan import RnaPlan
from bitpim.proof.reference import run_network
from bitpim_traces.builder import Activation, TraceBuilder, WeightCodes, quantization_of
from bitpim_traces.codebook import Codebook
from bitpim_traces.numbers.product_tables import products_of
from bitpim_traces.records import Geometry, Quantization, Requantize, Trace
from tests.bitpim.machine.rapidnn_runs import added, machine, run
from tests.codebook_traces import codebook_trace
from tests.naive.rapidnn import neuron
from tests.naive.rapidnn_machine import NaiveRapidnn
from tests.strategies import small_trace

SMALL: Any = {"most_codes": 64, "n_samples": 2}


# --- exactness


@pytest.mark.parametrize("seed", range(10))
def test_codes_are_those_of_the_referee_at_both_fidelities(seed: int) -> None:
    trace = codebook_trace(seed, n_layers=4, **SMALL)
    need = run_network(trace, trace.samples.codes.read(), keep="all")
    bit, integer = (run(machine(), trace, f, j) for f, j in (("bit", 1), ("integer", 2)))
    for one, other in zip(bit, integer, strict=True):
        np.testing.assert_array_equal(one.codes, need[one.index])
        np.testing.assert_array_equal(other.codes, need[one.index])
        assert one.counts == other.counts


LOSSY = [
    (),
    ("adder.digits=signed",),
    ("match.mode=wxor",),
    ("match.mode=staged", "match.stage_bits=5"),
    ("counters.overflow=saturate", "counters.bits=1"),
    ("counters.overflow=saturate", "counters.bits=2", "adder.digits=signed"),
    ("match.mode=wxor", "match.stage_bits=64", "adder.cost=floatpim", "adder.sum_bits=40"),
]


def _lossy_trace(seed: int, assigned: tuple[str, ...]) -> Trace:
    """Make a network; where counters saturate, one of few codes, so that pairs are met often."""
    few = "counters.overflow=saturate" in assigned
    kinds: Any = {"kinds": ("conv2d",), "raw": True} if few else {}
    return codebook_trace(
        seed + 20, n_layers=2 if few else 3, most_codes=3 if few else 16, n_samples=2, **kinds
    )


@pytest.mark.parametrize("assigned", LOSSY)
@pytest.mark.parametrize("seed", range(3))
def test_codes_and_counts_are_those_of_a_naive_machine(
    seed: int, assigned: tuple[str, ...]
) -> None:
    trace = _lossy_trace(seed, assigned)
    made = machine(*assigned)
    naive = NaiveRapidnn(made.settings, trace)
    codes = trace.samples.codes.read()
    by_sample = [naive.run(sample) for sample in codes]
    for layer in run(made, trace):
        for b, sample in enumerate(by_sample):
            np.testing.assert_array_equal(layer.codes[b], sample[layer.index][0])
        assert layer.counts == added([sample[layer.index][1] for sample in by_sample])


def test_settings_that_lose_something_change_codes() -> None:
    """Else the tests above would compare nothing."""
    for assigned in LOSSY[2:]:
        differ = 0
        for seed in range(3):
            trace = _lossy_trace(seed, assigned)
            pairs = zip(run(machine(*assigned), trace), run(machine(), trace), strict=True)
            differ += sum(int((one.codes != other.codes).sum()) for one, other in pairs)
        assert differ, assigned


def test_codebooks_as_large_as_the_code_range_are_the_affine_network() -> None:
    """Codes 0 .. 255 stand for the values of affine codes; the search shifts sums."""
    rng = np.random.default_rng(5)
    shift, bits = 6, 8
    affine = TraceBuilder("affine", (3, 6, 5), quantization_of(1.0, 20, bits=bits))
    w = rng.integers(-128, 128, (4, 3, 3, 3))
    bias = rng.integers(-3000, 3000, 4)
    one = np.ones(1, np.int32)
    step = Requantize("half_up_shift", multiplier=one, shift=shift * one)
    affine.conv2d(
        "conv",
        -1,
        WeightCodes(w, quantization_of(1.0, bits=bits, signed=True), bias),
        quantization_of(float(1 << shift), 7, bits=bits),
        Geometry((3, 3), (1, 1), (1, 1, 1, 1)),
        activation=Activation("relu"),
        requantize=step,
    )
    codes = rng.integers(0, 256, (2, 3, 6, 5))
    need = run_network(affine.build(codes), codes)[0]

    def book(zero: int, up: int = 0) -> Codebook:
        return Codebook((np.arange(256) - zero) << up, 0, 9 + up)

    weights, inputs, outputs = book(128), book(20), book(7, shift + 1)
    tables = TraceBuilder("tables", (3, 6, 5), Quantization.of_codebook(inputs))
    table = products_of(weights, inputs, fraction_bits=1)  # doubled, and a half more: no ties
    tables.conv2d(
        "conv",
        -1,
        WeightCodes(w + 128, Quantization.of_codebook(weights), 2 * bias + 1),
        Quantization.of_codebook(replace(outputs, fraction_bits=1)),
        Geometry((3, 3), (1, 1), (1, 1, 1, 1)),
        activation=Activation("relu"),
        table=table,
    )
    trace = tables.build(codes)
    for fidelity in ("bit", "integer"):
        (layer,) = run(
            machine("neurons.cam_rows=256", "neurons.crossbar_rows=4096"), trace, fidelity
        )
        np.testing.assert_array_equal(layer.codes, need)


def test_no_samples() -> None:
    trace = codebook_trace(3, n_layers=3, most_codes=64, n_samples=0)
    for fidelity in ("bit", "integer"):
        for layer in run(machine(), trace, fidelity):
            assert layer.codes.shape == (0, *trace.layers[layer.index].output_shape)
            assert not any(n for events in layer.counts.values() for n in events.values())


# --- rounds, tables, plans


def _wide() -> Trace:
    """Five samples of a network whose first layer has more than 40 neurons."""
    made = (codebook_trace(s, n_layers=1, kinds=("conv2d",), n_samples=5) for s in range(99))
    return next(t for t in made if np.prod(t.layers[0].output_shape) > 40 and _fits(t))


def _fits(trace: Trace) -> bool:
    return all(book.n_codes <= 64 for _, book in trace.codebooks)


def test_neurons_that_outnumber_rnas_take_turns_and_fill_tables_again() -> None:
    trace = _wide()
    few = machine("chip.tiles=1", "chip.rnas_per_tile=7", "mapping.batch_size=2")
    plan = few.plan(trace)
    assert not plan.resident
    assert few.prepare(trace).batch_multiple == 2
    assert plan.layers[0].rounds > 5
    everything = {layer.index: layer for layer in run(machine(), trace)}
    for layer, planned in zip(run(few, trace), plan.layers, strict=True):
        np.testing.assert_array_equal(layer.codes, everything[layer.index].codes)
        neurons = int(np.prod(trace.layers[layer.index].output_shape))
        if not planned.rnas:
            continue
        assert (planned.rnas, planned.rounds) == (min(7, neurons), -(-neurons // min(7, neurons)))
        whole = everything[layer.index].counts
        filled = layer.counts["fill_tables"]  # for two samples, two and one
        assert filled["table_write_bit"] == 3 * planned.rnas * planned.table_bits
        assert filled["cycles"] == 3 * -(-planned.table_bits // 1024)
        for phase, events in layer.counts.items():
            if phase in ("fill_tables", "encode_input"):
                continue
            assert events.items() - {("cycles", events["cycles"])} == (
                whole[phase].items() - {("cycles", whole[phase]["cycles"])}
            )
            fixed = {"count_pairs", "find_code", "find_point", "find_largest"}
            if phase in fixed:  # as long in every round
                assert events["cycles"] == planned.rounds * whole[phase]["cycles"]


def test_a_round_is_as_slow_as_its_slowest_neuron() -> None:
    trace = _wide()
    made = machine("chip.tiles=1", "chip.rnas_per_tile=5")
    naive = NaiveRapidnn(made.settings, trace)
    layer = run(made, trace)[0]
    record = trace.layers[0]
    cycles = 0
    for sample in trace.samples.codes.read():
        neurons = naive._neurons(record, [sample], [trace.samples.quantization])
        grid = np.array([_levels(record, *pair) for pair in neurons]).reshape(record.output_shape)
        order = np.moveaxis(grid, 0, -1).reshape(-1)  # pixel by pixel, channels beside each other
        for first in range(0, len(order), 5):
            cycles += 13 * int(order[first : first + 5].max()) + 13 * 48
    assert layer.counts["add_products"]["cycles"] == cycles


def _levels(record: Any, rows: list[int], codes: list[int]) -> int:
    bias = None if record.bias is None else 0
    return neuron(rows, codes, record.product_table.products.tolist(), bias).levels


def test_shared_rnas_save_rnas_and_cost_a_round() -> None:
    trace = _wide()
    plain, shared = (machine(*a).plan(trace) for a in ((), ("neurons.shared=0.3",)))
    for one, other in zip(plain.layers, shared.layers, strict=True):
        if one.rnas:
            assert other.rnas == -(-7 * one.neurons // 10)
            assert (one.rounds, other.rounds) == (1, -(-one.neurons // other.rnas))
    assert max(layer.rounds for layer in shared.layers) == 2


def test_a_small_share_counts_too() -> None:
    trace = codebook_trace(31, n_layers=0, n_samples=0, most_codes=16)
    weighted = machine("neurons.shared=0.0004").plan(trace).layers[-1]
    assert weighted.rnas == weighted.neurons < 2500
    coded = Quantization.of_codebook(Codebook(np.array([0, 1]), 0, 2))
    builder = TraceBuilder("large", (1,), coded)
    builder.linear("fc", -1, WeightCodes(np.zeros((5000, 1), np.int64), coded), coded)
    (large,) = machine("neurons.shared=0.0004").plan(builder.build(np.zeros((0, 1), int))).layers
    assert large.rnas == 4998


def test_the_plan_states_the_most_there_can_be() -> None:
    trace = codebook_trace(33, n_layers=4, **SMALL)
    made = machine()
    plan: RnaPlan = made.plan(trace)
    for layer in run(made, trace):
        most = plan.counts(layer.index, 2)
        assert most.keys() == layer.counts.keys()
        for phase, events in layer.counts.items():
            for event, n in events.items():
                assert n <= most[phase][event], (phase, event)
    for row in plan.table():
        assert 0 <= row["utilization"] <= 1
        assert (row["neurons"] > 0) == (row["arrays"] > 0) == (row["utilization"] > 0)
    assert plan.totals()["arrays"] == sum(row["arrays"] for row in plan.table())
    assert plan.totals()["neurons"] == sum(row["neurons"] for row in plan.table())
    assert plan.assumes == "whose pairs of codes all differ"
    with pytest.raises(ConfigError, match="leave the plot out"):
        plan.placements(0)


def test_a_plan_of_pairs_that_all_differ_is_what_is_counted() -> None:
    """One tap of each weight code: no pair can be met twice."""
    book = Codebook(np.arange(-8, 8, dtype=np.int64), 2, 6)
    coded = Quantization.of_codebook(book)
    builder = TraceBuilder("apart", (16,), coded)
    weight = WeightCodes(np.stack([np.arange(16), np.arange(16)[::-1]]), coded, np.array([3, -4]))
    builder.linear("fc", -1, weight, coded)
    trace = builder.build(np.random.default_rng(0).integers(0, 16, (3, 16)))
    made = machine()
    (layer,) = run(made, trace)
    assert layer.counts == made.plan(trace).counts(0, 3)
    row = made.plan(trace).table()[0]
    # 16 x 16 products of 32 bits, 16 words of 48 bits
    assert row["table_bytes"] == (256 * 32 + 16 * 48) // 8
    assert layer.counts["add_products"]["cycles"] == 3 * (13 * 6 + 13 * 48)  # 17 operands: 6 levels
    assert layer.counts["count_pairs"]["cycles"] == 3
    assert layer.counts["find_code"]["cycles"] == 3 * 6


def test_settings_by_layer() -> None:
    trace = codebook_trace(22, n_layers=3, most_codes=16, n_samples=2)
    last = trace.layers[-1].name
    made = machine(f"match.mode@{last}=wxor", f"adder.digits@{last}=signed")
    assert "match.mode" in made.losses()
    rows = made.plan(trace).table()
    assert "match.mode=" in rows[-1]["own_settings"]
    for one, other in zip(run(made, trace)[:-1], run(machine(), trace)[:-1], strict=True):
        np.testing.assert_array_equal(one.codes, other.codes)


def test_windows_at_a_border_add_fewer_elements() -> None:
    """Padding counts for the mean, if it is to, and is no operand."""
    coded = Quantization.of_codebook(Codebook(np.arange(-8, 8, dtype=np.int64), 2, 6))
    for include in (False, True):
        builder = TraceBuilder("mean", (2, 4, 4), coded)
        window = Geometry((3, 3), (1, 1), (1, 1, 1, 1), count_include_pad=include)
        builder.avg_pool2d("mean", -1, window, output=coded)
        trace = builder.build(np.random.default_rng(1).integers(0, 16, (2, 2, 4, 4)))
        naive = NaiveRapidnn(machine().settings, trace)
        samples = [naive.run(sample)[0] for sample in trace.samples.codes.read()]
        for fidelity in ("bit", "integer"):
            (layer,) = run(machine(), trace, fidelity)
            assert layer.counts == added([counts for _, counts in samples])
            np.testing.assert_array_equal(layer.codes, np.stack([codes for codes, _ in samples]))
        assert layer.counts["add_products"]["operand_write"] == 2 * 2 * (4 * 4 + 8 * 6 + 4 * 9)


def test_samples_that_run_in_turn_add_up(monkeypatch: pytest.MonkeyPatch) -> None:
    trace = _wide()
    together = run(machine(), trace)
    monkeypatch.setattr(rna_layers, "_WORK_BYTES", 1)
    for one, other in zip(run(machine(), trace), together, strict=True):
        np.testing.assert_array_equal(one.codes, other.codes)
        assert one.counts == other.counts


@pytest.mark.parametrize("mode", ["abs", "wxor", "staged"])
def test_values_may_be_finer_than_sums(mode: str) -> None:
    rng = np.random.default_rng(3)
    coarse = Quantization.of_codebook(Codebook(np.arange(-8, 8, dtype=np.int64), 0, 6))
    fine = Quantization.of_codebook(Codebook(np.array([-50, -7, 0, 9, 99]), 3, 9))
    builder = TraceBuilder("finer", (6,), coarse)
    builder.linear("fc", -1, WeightCodes(rng.integers(0, 16, (30, 6)), coarse), fine)
    trace = builder.build(rng.integers(0, 16, (4, 6)))
    made = machine(f"match.mode={mode}")
    naive = NaiveRapidnn(made.settings, trace)
    (layer,) = run(made, trace)
    need = [naive.run(sample)[0] for sample in trace.samples.codes.read()]
    np.testing.assert_array_equal(layer.codes, np.stack([codes for codes, _ in need]))
    assert layer.counts == added([counts for _, counts in need])
    assert len(np.unique(layer.codes)) > 2


def test_the_bits_of_tables() -> None:
    """Products, x and y of points, values: 4 x 3 of 20 bits, 5 of 30 and 11, 3 of 11."""
    weights = Quantization.of_codebook(Codebook(np.array([-2, -1, 0, 1]), 0, 4))
    inputs = Quantization.of_codebook(Codebook(np.array([-1, 0, 1]), 0, 4))
    output = Quantization.of_codebook(Codebook(np.array([-500, 0, 500]), 0, 10))
    points = np.array([[-9, -1000], [-3, -500], [0, 0], [3, 500], [9, 1000]])
    assert weights.codebook is not None
    assert inputs.codebook is not None
    table = replace(products_of(weights.codebook, inputs.codebook, bits=20), points=points)
    builder = TraceBuilder("points", (3,), inputs)
    codes = WeightCodes(np.array([[0, 1, 3]]), weights)
    builder.linear("fc", -1, codes, output, activation=Activation("tanh"), table=table)
    trace = builder.build(np.zeros((1, 3), np.int64))
    (planned,) = machine("adder.sum_bits=30").plan(trace).layers
    assert planned.table_bits == 12 * 20 + 5 * (30 + 11) + 3 * 11
    # three operands beside the products: 12 * 20 + 3 * 30 cells
    tight = ("adder.sum_bits=30", "neurons.crossbar_columns=10")
    assert machine(*tight, "neurons.crossbar_rows=33").plan(trace)
    with pytest.raises(MappingError, match=r"need 330 cells .* `--set neurons.crossbar_rows=33`"):
        machine(*tight, "neurons.crossbar_rows=32").plan(trace)


# --- refusals


def test_affine_codes_are_refused_with_the_command_that_makes_codebooks() -> None:
    trace = small_trace(1)
    with pytest.raises(MappingError, match=r"need a codebook.* affine .* `bitpim trace codebooks"):
        machine().plan(trace)


def test_counters_that_are_wide_may_not_saturate() -> None:
    book = Codebook(np.array([0, 1], np.int64), 0, 2)
    coded = Quantization.of_codebook(book)
    builder = TraceBuilder("equal", (16,), coded)
    builder.linear("fc", -1, WeightCodes(np.ones((1, 16), np.int64), coded), coded)
    trace = builder.build(np.ones((1, 16), np.int64))
    with pytest.raises(
        AccumulatorError, match=r"need counters of 5 bits .* `--set counters.bits=5`"
    ):
        machine("counters.bits=4").plan(trace)
    machine("counters.bits=5").plan(trace)
    saturating = machine("counters.bits=4", "counters.overflow=saturate")
    (layer,) = run(saturating, trace)
    assert layer.counts["add_products"]["operand_write"] == 4  # 15 = 8 + 4 + 2 + 1
    with pytest.raises(ConfigError, match=r"fidelity integer .* counters of 4 bits"):
        saturating.prepare(trace, fidelity="integer")


@pytest.mark.parametrize(
    ("assigned", "error", "need"),
    [
        ("neurons.cam_rows=2", MappingError, r"`--set neurons.cam_rows=\d+`"),
        ("neurons.crossbar_rows=1", MappingError, r"`--set neurons.crossbar_rows=\d+`"),
        ("adder.sum_bits=6", AccumulatorError, r"`--set adder.sum_bits=\d+`"),
    ],
)
def test_what_does_not_fit_says_what_would(
    assigned: str, error: type[Exception], need: str
) -> None:
    trace = codebook_trace(34, n_layers=3, most_codes=64, kinds=("conv2d", "add"))
    given = [assigned]
    for _ in range(12):  # each refusal is of one layer, or one part
        try:
            machine(*given).plan(trace)
        except error as fault:
            found = re.search(need, str(fault))
            assert found, str(fault)
            given.append(found.group(0).removeprefix("`--set ").removesuffix("`"))
        else:
            break
    assert len(given) > 1
    assert run(machine(*given), trace)


def test_integer_needs_nearest_values() -> None:
    trace = codebook_trace(3, n_layers=1, **SMALL)
    with pytest.raises(ConfigError, match=r"fidelity integer needs .* nearest match wxor"):
        machine("match.mode=wxor").prepare(trace, fidelity="integer")
    assert machine("match.mode=staged").losses() == "nearest match staged of 8 bits"
    assert machine().losses() is None


# --- the memory that is searched


@pytest.mark.parametrize("mode", ["wxor", "staged"])
def test_a_relu_is_compared_before_the_search(mode: str) -> None:
    """Else a small negative sum, 0111.. to the bit, would find the largest value."""
    values = np.array([0, 2, 40], np.int64)
    output = Quantization.of_codebook(Codebook(values, 0, 8))
    inputs = Quantization.of_codebook(Codebook(np.array([-1, 0, 30]), 0, 8))
    builder = TraceBuilder("relu", (1,), inputs)
    weight = WeightCodes(
        np.array([[1]]), Quantization.of_codebook(Codebook(np.array([0, 1]), 0, 8))
    )
    builder.linear("compared", -1, weight, output, activation=Activation("relu"))
    builder.linear("searched", -1, weight, output)
    trace = builder.build(np.array([[0], [1], [2]], np.uint8))
    compared, searched = run(machine(f"match.mode={mode}"), trace)
    assert compared.codes.ravel().tolist()[:2] == [0, 0]
    assert searched.codes.ravel().tolist()[:2] == [2, 0]


def test_a_relu_of_points_is_not_compared_again() -> None:
    """Its values go to the search as they are: 9, 1001, is nearer to 0 than to 5, by its bits."""
    output = Quantization.of_codebook(Codebook(np.array([0, 2, 5]), 0, 8))
    inputs, one = Codebook(np.array([-1, 0, 9]), 0, 8), Codebook(np.array([0, 1]), 0, 8)
    products = products_of(one, inputs, fraction_bits=0, bits=16)
    table = replace(products, points=np.array([[0, 0], [9, 9]]))
    builder = TraceBuilder("points", (1,), Quantization.of_codebook(inputs))
    weight = WeightCodes(np.array([[1]]), Quantization.of_codebook(one))
    builder.linear("relu", -1, weight, output, activation=Activation("relu"), table=table)
    trace = builder.build(np.array([[1], [2]], np.uint8))
    found = {mode: run(machine(f"match.mode={mode}"), trace)[0].codes for mode in ("abs", "wxor")}
    assert [codes.ravel().tolist() for codes in found.values()] == [[0, 2], [0, 0]]


def test_the_classic_failure_of_bits() -> None:
    """0111 is one from 1000; by its bits 0000 is nearer."""
    values, query = np.array([0b0000, 0b1000]) - 8, np.array([0b0111]) - 8
    rows = {
        mode: int(NearestTable(values, 4, mode, 4).find(query).rows[0])
        for mode in ("abs", "wxor", "staged")
    }
    assert rows == {"abs": 1, "wxor": 0, "staged": 1}
    assert int(NearestTable(values, 4, "staged", 1).find(query).rows[0]) == 0


def test_words_are_wide_enough() -> None:
    assert [width_of(np.array([n])) for n in (0, 1, -1, 127, 128, -128, -129)] == [
        1, 2, 1, 8, 9, 8, 9
    ]  # fmt: skip
    with pytest.raises(AccumulatorError, match="need words of 9 bits"):
        NearestTable(np.array([0, 128]), 8, "abs", 8)
    with pytest.raises(AccumulatorError, match="need words of 65 bits"):
        NearestTable(np.array([0, 128]), 65, "abs", 8)
    with pytest.raises(AccumulatorError, match="need queries of 8 bits, got one of 9"):
        NearestTable(np.array([0, 1]), 8, "abs", 8).find(np.array([128]))
    with pytest.raises(AccumulatorError, match="need queries of 8 bits, got one of 9"):
        NearestTable(np.array([0, 1]), 8, "abs", 8).encode(np.array([32]), 2, None, np.uint8)


@pytest.mark.parametrize("mode", ["abs", "wxor", "staged"])
@pytest.mark.parametrize("width", [16, 63, 64])
@pytest.mark.parametrize(("up", "limits"), [(0, None), (3, None), (2, (-300, 301))])
def test_sums_are_encoded_as_they_are_found(
    up: int, limits: tuple[int, int] | None, width: int, mode: str
) -> None:
    rng = np.random.default_rng(width)
    values = rng.choice(np.arange(-900, 900), 40, replace=False)
    table = NearestTable(values, width, mode, 5)
    sums = rng.integers(-1000, 1000, (17, 6))
    moved = sums << up if limits is None else np.clip(sums << up, *limits)
    rows, compared = table.encode(sums.T.copy().T, up, limits, np.uint16)
    assert rows.dtype == np.uint16 and rows.tolist() == table.find(moved).rows.tolist()
    assert compared == table.find(moved).rows_compared
