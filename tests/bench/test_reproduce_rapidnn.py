"""RAPIDNN beside its paper: ratios, schedules, what would be needed, matches; counts by hand."""

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch")

from bench.codebook_traces import LARGEST
from bench.reproduce import rapidnn, rapidnn_matches, rapidnn_networks
from bench.reproduce.outlines import perceptron
from bench.reproduce.pipelines import CODES, MachineUse
from bench.reproduce.rapidnn_matches import GAUSSIANS, gaussian_rate, layer_matches
from bench.reproduce.rapidnn_memory import memory, product_bytes
from bench.reproduce.rapidnn_networks import Compared, random_perceptron
from bench.reproduce.rapidnn_ratios import (
    CONVERSION,
    QUOTED,
    Baseline,
    baselines,
    chip_figures,
    consistency,
    needed,
    ratios,
)
from bench.reproduce.rapidnn_swept import swept_prices, swept_settings, swept_sizes
from bench.reproduce.rapidnn_text import text
from bench.reproduce.rapidnn_uses import SCHEDULES, RnaRun, RnaUse, rna_run, rna_uses, scheduled
from bitpim.cost.tables import load_prices
from bitpim.lookup.encoding import Encoding, MatchRule
from bitpim.machine.registry import load_preset, make_machine
from bitpim.programs.nor_sums import csa_levels
from bitpim_traces.codebook import Codebook
from bitpim_traces.quantize import CodebookSettings, quantize_codebooks
from bitpim_traces.records import Trace

SIZES = (12, 5, 3)


def small(codes: int = LARGEST) -> Trace:
    """A perceptron 12-5-3 of random weights, two samples."""
    images = np.random.default_rng(1).random((2, SIZES[0]), np.float32)
    settings = CodebookSettings(weight_codes=codes, input_codes=codes)
    return quantize_codebooks(random_perceptron(SIZES), images, settings=settings)


@pytest.fixture(scope="module")
def trace() -> Trace:
    return small()


@pytest.fixture(scope="module")
def compared(trace: Trace) -> Compared:
    return Compared("perceptron", trace, perceptron(*SIZES, codes=CODES), real=False)


# --- events, energy, time


def test_an_image_of_a_perceptron_by_hand(trace: Trace) -> None:
    """Each neuron counts all its taps; pairs that occur are read, and added on 48 bits."""
    run = rna_run(trace, (), 2)
    assert run.operations == 2 * (12 * 5 + 5 * 3)
    assert run.events["counter_inc"] == 12 * 5 + 5 * 3
    assert run.events["nor_sum"] == 5 + 3
    counted = naive_counts(trace)
    assert run.events["product_read"] == counted["reads"] / 2
    assert run.events["operand_write"] == counted["operands"] / 2
    cycles = counted["levels"] * 13 + 2 * (5 + 3) * 13 * 48
    assert run.events["nor_cycle"] == cycles / 2
    assert "table_write_bit" not in run.events
    for use in rna_uses(trace, 2):
        searched = run.events["cam_row"] * 0.2 / 64
        counting = run.events["counter_cycle"] * 0.7
        assert use.energy_pj["rapidnn_45nm"] == pytest.approx(
            cycles / 2 * 3.7 + searched + counting
        )
        assert use.energy_pj["rapidnn_gates"] == pytest.approx(
            run.events["nor_gate_cell"] * 0.1 + searched + counting
        )
        assert (use.neurons, use.n_chips) == (8, 1)
        assert use.area_mm2 == pytest.approx(124.1 * 8 / 32768)


def naive_counts(trace: Trace) -> dict[str, int]:
    """Count pairs, binary digits of their counts, and levels of trees, one neuron at a time."""
    made = make_machine("rapidnn").prepare(trace, fidelity="bit")
    inputs = trace.samples.codes.read()
    found = {"reads": 0, "operands": 0, "levels": 0}
    for run in made.run_batch(inputs):
        layer = trace.layers[run.index]
        assert layer.weight is not None
        for sample in inputs:
            for row in layer.weight.read():
                pairs: dict[tuple[int, int], int] = {}
                for pair in zip(row.tolist(), sample.tolist(), strict=True):
                    pairs[pair] = pairs.get(pair, 0) + 1
                operands = sum(n.bit_count() for n in pairs.values())
                operands += int(layer.bias is not None)
                found["reads"] += len(pairs)
                found["operands"] += operands
                found["levels"] += csa_levels(operands)
        inputs = run.codes
    return found


def some_run(tiles: int) -> RnaRun:
    settings: Any = make_machine("rapidnn", None, (f"chip.tiles={tiles}",)).settings
    plan: Any = type("Plan", (), {"totals": lambda self: {"arrays": 40_000}})()
    events = {"nor_cycle": 100.0, "nor_gate_cell": 7.0, "counter_cycle": 10.0, "cam_row": 64.0}
    events["table_write_bit"] = 5.0
    cycles, refills = (10.0, 40.0, 20.0), (1.0, 2.0, 3.0)
    return RnaRun("net", plan, events, cycles, refills, 2.0, 99, settings)


@pytest.mark.parametrize(
    ("schedule", "tiles", "interval", "latency", "n_chips", "written"),
    [
        ("one chip", 32, 76, 76, 1, 5),
        ("one chip, no refill", 32, 70, 70, 1, 0),
        ("all neurons", 96, 70, 70, 3, 0),
        ("all neurons, pipeline", 96, 40, 70, 3, 0),
    ],
)
def test_schedules(
    schedule: str, tiles: int, interval: int, latency: int, n_chips: int, written: int
) -> None:
    """2 GHz; refills are of the chip that is too small, and a pipeline is as fast as a layer."""
    use = scheduled(some_run(tiles), schedule, 50_000)
    assert use.interval_s == pytest.approx(interval / 2e9)
    assert use.latency_s == pytest.approx(latency / 2e9)
    assert (use.n_chips, use.neurons, use.operations) == (n_chips, 50_000, 99)
    assert use.area_mm2 == pytest.approx(124.1 * 40_000 / 32_768)
    assert use.events["table_write_bit"] == written
    assert use.energy_pj["rapidnn_45nm"] == pytest.approx(100 * 3.7 + 10 * 0.7 + 0.2)
    assert use.energy_pj["rapidnn_gates"] == pytest.approx(0.7 + 7 + 0.2)


def test_tables_are_filled_again_where_rnas_are_too_few(trace: Trace) -> None:
    """8 neurons and one tile of 4 RNAs: 2 rounds of 5, one of 3; all tables written anew."""
    few = ("chip.tiles=1", "chip.rnas_per_tile=4")
    run, whole = rna_run(trace, few), rna_run(trace)
    bits = [layer.table_bits for layer in run.plan.layers if layer.rnas]
    assert run.refills == tuple(-(-b // 1024) for b in bits)
    assert run.events["table_write_bit"] == 4 * bits[0] + 3 * bits[1]
    assert whole.refills == (0.0, 0.0)
    assert run.cycles[0] > whole.cycles[0]


# --- ratios


def some_uses() -> tuple[RnaUse, Baseline]:
    ours = RnaUse(
        *("net", "one chip", 2, 9, 4e-6, 8e-6, {"rapidnn_45nm": 370.0, "rapidnn_gates": 50.0}),
        *(10.0, 99, {"nor_cycle": 90.0, "nor_gate_cell": 400.0}),
    )
    theirs = MachineUse(
        *("net", "isaac", (), 3, 77, 20e-6, 24e-6, 740.0, "isaac", 99, {CONVERSION: 200.0})
    )
    return ours, Baseline("isaac", "copies, pipeline", theirs, 4.0)


def test_ratios_are_theirs_over_ours() -> None:
    ours, other = some_uses()
    (ratio,) = ratios([ours], [other])
    assert ratio.energy == pytest.approx({"rapidnn_45nm": 2.0, "rapidnn_gates": 14.8})
    assert ratio.latency == pytest.approx(3.0)
    assert ratio.speed == pytest.approx(5.0)
    assert ratio.per_chip == pytest.approx(5.0 * 3 / 2)
    assert ratio.per_area == pytest.approx(5.0 * 4 / 10)
    assert (ratio.machine, ratio.machine_schedule) == ("isaac", "copies, pipeline")


def test_what_is_needed_gives_the_published_ratio() -> None:
    ours, other = some_uses()
    power, gates, *conversions, speed = needed([ours], other)
    assert power.value is None  # 370 - 333 pJ of other events are more than 740 / 68.4
    total = 50.0 + 400 * (gates.value - 0.1)  # type: ignore[operator]
    assert 740.0 / total == pytest.approx(68.4)
    for row, spent in zip(conversions, (370.0, 50.0), strict=True):
        assert row.value is not None
        assert (740.0 + 200 * (row.value - row.now)) / spent == pytest.approx(68.4)
    assert speed.ours == pytest.approx(5.0) and speed.value == pytest.approx(48.1 / 5)
    assert [row.now for row in (power, gates, conversions[0], speed)] == [3.7, 0.1, 1.667, 1.0]


def test_baselines_are_the_machines_as_they_are_scheduled(compared: Compared) -> None:
    found = {(b.machine, b.schedule): b for b in baselines(compared)}
    assert len(found) == 4
    arrays = {"isaac": (1 * 1 + 1 * 1, 168 * 12 * 8, 85.4), "pipelayer": (2, 14_050, 82.63)}
    for (machine, _), baseline in found.items():
        used, held, area = arrays[machine]
        assert baseline.use.arrays == used
        assert baseline.area_mm2 == pytest.approx(used / held * area)
        table = load_prices(baseline.use.prices)
        spent = sum(n * table.price(e).energy_pj for e, n in baseline.use.events.items())
        assert baseline.use.energy_pj == pytest.approx(spent)
    one, piped = found["isaac", "one copy"].use, found["isaac", "copies, pipeline"].use
    assert one.interval_s == pytest.approx(3.2e-6) and piped.interval_s == pytest.approx(1.6e-6)


def test_the_published_ratios_contradict_what_pipelayer_is_quoted_with(compared: Compared) -> None:
    others = baselines(compared)
    found = consistency(others)
    assert found["energy, by RAPIDNN's ratios"] == pytest.approx(1.38, abs=0.005)
    assert 1 / found["energy, by PipeLayer's GOPS/s/W"] == pytest.approx(2.7, abs=0.05)
    assert found["speed, by RAPIDNN's ratios"] == pytest.approx(4.4, abs=0.02)
    assert found["speed, by PipeLayer's GOPS/s/mm2"] == pytest.approx(3.1, abs=0.01)
    uses = {(b.machine, b.schedule): b.use for b in others}
    isaac, layer = (uses[m, "copies, pipeline"] for m in ("isaac", "pipelayer"))
    assert found["energy, ours"] == pytest.approx(isaac.energy_pj / layer.energy_pj)
    assert found["speed, ours"] == pytest.approx(100 / 29.31)


def test_the_peaks_of_the_chip_do_not_agree() -> None:
    found = chip_figures()
    assert found["TOPS by area"] == pytest.approx(236.36, abs=0.01)
    assert found["TOPS by power"] == pytest.approx(128.89, abs=0.01)
    assert found["MAC an RNA and ns by area"] == pytest.approx(3.607, abs=0.001)
    assert found["MAC an RNA and ns by power"] == pytest.approx(1.967, abs=0.001)


# --- one number changed


def test_prices_are_changed_one_by_one(trace: Trace) -> None:
    use = replace(rna_uses(trace)[0], events={**rna_uses(trace)[0].events, "table_write_bit": 3000})
    found = {row.change: row for row in swept_prices(use)}
    base = use.energy_pj["rapidnn_45nm"]
    part = use.events["nor_cycle"] * 3.7
    for factor in (0.1, 10):
        row = found[f"rapidnn_45nm: nor_cycle 3.7 pJ x {factor:g}"]
        assert row.energy == pytest.approx({"rapidnn_45nm": (base - part + part * factor) / base})
        assert row.interval == 1.0
    written = found["rapidnn_gates: table_write_bit 1 pJ"].energy["rapidnn_gates"]
    assert written == pytest.approx(1 + 3000 / use.energy_pj["rapidnn_gates"])
    assert not any("counter_inc" in change for change in found)  # no price, and not asked for


def test_settings_and_sizes_are_changed_one_by_one(compared: Compared) -> None:
    base = rna_uses(compared.tables)[0]
    found = swept_settings(
        compared,
        base,
        {"clock": ("timing.clock_ghz=2",), "aritpim": ("adder.cost=aritpim",)},
    )
    assert found[0].interval == pytest.approx(0.5)
    assert found[0].energy == pytest.approx({"rapidnn_45nm": 1.0, "rapidnn_gates": 1.0})
    assert found[1].energy["rapidnn_gates"] < 1 < found[1].energy["rapidnn_45nm"]
    sizes = {row.change: row for row in swept_sizes(compared, base)}
    assert list(sizes) == [f"codebooks of {n}, not 64" for n in (4, 8, 16, 32)]
    assert sizes["codebooks of 4, not 64"].energy["rapidnn_gates"] < 1


# --- memory


def test_tables_of_a_neuron(trace: Trace) -> None:
    assert (product_bytes(64, 64, 16), product_bytes(32, 64, 16)) == (8192, 4096)
    first, last = memory(trace)
    layer = trace.layers[0]
    assert layer.product_table is not None and layer.output.codebook is not None
    n_weights, n_inputs = layer.product_table.products.shape
    assert (first.weights, first.inputs, first.bits) == (n_weights, n_inputs, 32)
    assert first.products == 2 * first.halved == 4 * n_weights * n_inputs
    assert first.tables == first.products + layer.output.codebook.n_codes * 48 // 8
    assert last.tables == last.products  # sums go out as they are
    assert [row.neurons for row in (first, last)] == [5, 3]


# --- matches


@pytest.mark.parametrize("row", [GAUSSIANS[0], GAUSSIANS[3], GAUSSIANS[5]])
def test_how_often_the_winner_is_another(row: tuple[int, int, str, int, float]) -> None:
    bits, rows, mode, stage, known = row
    assert 100 * gaussian_rate(bits, rows, mode, stage, "samples") == pytest.approx(known, abs=4)
    assert gaussian_rate(bits, rows, mode, stage, "quantiles") < known / 100


def test_winners_on_the_sums_of_layers() -> None:
    """By all sums of the first layer, added up one by one; some are beyond the codebook's ends."""
    network = random_perceptron(SIZES)
    first, last = network.layers
    network = replace(network, layers=(replace(first, activation="none"), last))
    images = np.random.default_rng(4).standard_normal((9, SIZES[0]), np.float32)
    settings = CodebookSettings(weight_codes=16, input_codes=16)
    held = {first.name: Codebook(np.arange(-8, 8), 3, 16)}
    trace = quantize_codebooks(network, images, settings=settings, codebooks=held)
    (found,) = layer_matches(trace, 9)  # the last layer searches nothing
    layer = trace.layers[0]
    assert layer.weight is not None and layer.product_table is not None
    products, weights = layer.product_table.products, layer.weight.read()
    bias = np.zeros(5, np.int64) if layer.bias is None else layer.bias.read()
    sums = np.array(
        [
            [sum(products[w, u] for w, u in zip(row, x, strict=True)) + b for row, b in
             zip(weights, bias, strict=True)]
            for x in trace.samples.codes.read(0, 9)
        ],
        np.int64,
    )  # fmt: skip
    codes = {
        mode: Encoding(layer, MatchRule(mode, 8), 48).run(sums).codes.astype(int)
        for mode in ("abs", "wxor", "staged")
    }
    assert (found.layer, found.searches) == ("fc1", 45)
    for mode in ("wxor", "staged"):
        apart = np.abs(codes[mode] - codes["abs"])
        assert apart.max() > 1 or mode == "staged"
        assert found.by_mode[mode] == pytest.approx(np.mean(apart > 0))
        assert found.apart[mode] == pytest.approx(apart[apart > 0].mean() if apart.any() else 0)


# --- the whole


def test_the_command_prints_all_tables(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Any
) -> None:
    pytest.importorskip("matplotlib")
    small_one = (lambda: random_perceptron(SIZES), lambda: perceptron(*SIZES, codes=CODES), None)
    monkeypatch.setattr(rapidnn_networks, "NETWORKS", {"resnet20": small_one})
    monkeypatch.setattr(rapidnn, "NETWORKS", {"resnet20": small_one})
    monkeypatch.setattr(rapidnn_matches, "N_QUERIES", 200)
    monkeypatch.delenv("BITPIM_REAL_DATA", raising=False)
    figure = tmp_path / "ratios.svg"
    assert rapidnn.main(["--plot", str(figure)]) == 0
    said = capsys.readouterr().out
    for word in ("RA1", "RA2", "RA4", "RA6", "RA7", "68.4", "49.5", "48.1", "10.9", "382.6"):
        assert word in said
    for table in ("rapidnn_45nm", "rapidnn_gates", "isaac:", "pipelayer:"):
        assert table in said
    assert "cannot be derived" in said and "random weights and images" in said
    assert b"</svg>" in figure.read_bytes()
    assert rapidnn.main(["--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [use["schedule"] for use in found["networks"][0]["uses"]] == list(SCHEDULES)
    assert found["quoted"] == {m: dict(q) for m, q in QUOTED.items()}
    assert text(found).strip() + "\n" in said
    assert found["real"] is None


def test_images_below_one_are_refused() -> None:
    with pytest.raises(SystemExit):
        rapidnn.main(["--images", "0"])


def test_the_preset_is_the_chip_that_ratios_rest_on() -> None:
    chip = load_preset("rapidnn").chip
    assert (chip.n_rnas, chip.area_mm2, chip.power_w) == (32_768, 124.1, 153.6)
