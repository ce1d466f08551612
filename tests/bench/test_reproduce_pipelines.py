"""ISAAC and PipeLayer as their papers run them: figures worked out, and what is quoted."""

import json

import pytest

from bench.reproduce import pipelines
from bench.reproduce.outlines import outline, perceptron
from bench.reproduce.pipelines import CODES, machine_use, pipelayer_peak, pipelayer_quotes
from bitpim.errors import MappingError
from bitpim.machine.registry import prices_of
from bitpim_traces.synthetic import synthetic_network


def test_a_perceptron_takes_a_train_a_layer() -> None:
    """784-512-512-10: one position a layer, so nothing is copied; 16 steps each."""
    trace = perceptron(784, 512, 512, 10, codes=CODES)
    operations = 2 * (784 * 512 + 512 * 512 + 512 * 10)
    arrays = 7 * 32 + 4 * 32 + 4 * 1  # of 128 rows and 16 weights
    for machine, step_ns in (("isaac", 100.0), ("pipelayer", 29.31)):
        use = machine_use(trace, machine)
        assert (use.network, use.operations, use.arrays) == ("784-512-512-10", operations, arrays)
        assert use.interval_s == pytest.approx(16 * step_ns * 1e-9)
        assert use.latency_s == pytest.approx(3 * 16 * step_ns * 1e-9)
        assert use.images_per_s == pytest.approx(1 / use.interval_s)
        assert use.gops == pytest.approx(operations / use.interval_s / 1e9)
        assert use.gops_per_w == pytest.approx(operations / use.energy_pj * 1e3)
    # a spike on each wordline in each step, codes of 4 cells read and written
    rows = 784 * 32 + 512 * 32 + 512
    read, written = 4 * (784 + 512 + 512), 4 * (512 + 512 + 10)
    expected = 1.08 * (16 * rows + read) + 3910 * written
    assert use.energy_pj == pytest.approx(expected)
    assert use.prices == "pipelayer"


def test_copies_keep_early_layers_of_a_network_as_fast_as_the_last() -> None:
    trace = outline("lenet5", codes=CODES)
    plain = machine_use(trace, "isaac", settings=())
    use = machine_use(trace, "isaac")
    assert use.interval_s == pytest.approx(1.6e-6)  # one position of 16 reads
    assert plain.interval_s == pytest.approx(plain.latency_s) and plain.latency_s > 100e-6
    assert use.energy_pj == plain.energy_pj and use.arrays > plain.arrays
    assert use.operations == plain.operations


def test_a_network_too_large_for_a_chip_has_as_many_as_hold_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    trace = outline("alexnet", codes=CODES)
    assert (machine_use(trace, "isaac").n_chips, machine_use(trace, "pipelayer").n_chips) == (2, 3)
    monkeypatch.setattr(pipelines, "_MOST_CHIPS", 1)
    with pytest.raises(MappingError, match="'alexnet' on isaac: need at most 1 chips, got more"):
        machine_use(trace, "isaac")


def test_images_that_run_spike_less_than_those_of_the_plan() -> None:
    trace = synthetic_network("tiny", 0, n_samples=2)
    preset, own = "pipelayer_8bit", (*pipelines.AS_THE_PAPERS, "numbers.weight_bits=9")
    planned = machine_use(trace, "pipelayer", preset, own)
    ran = machine_use(trace, "pipelayer", preset, own, n_images=2)
    assert ran.interval_s == planned.interval_s and 0 < ran.energy_pj < planned.energy_pj
    isaac = [machine_use(trace, "isaac", "isaac_8bit", n_images=n).energy_pj for n in (0, 1, 2)]
    assert isaac[0] == pytest.approx(isaac[1]) == pytest.approx(isaac[2])


def test_the_peak_of_pipelayer_follows_from_its_arrays_and_its_spikes() -> None:
    """2 x 2048 operations an array in 16 steps of 29.31 ns."""
    peak = pipelayer_peak()
    of_array = 2 * 128 * 128 / 8 / (16 * 29.31)
    assert peak["TOPS"] == pytest.approx(14_050 * of_array / 1e3)
    assert peak["arrays for the quoted density"] == pytest.approx(1485 * 82.63 / of_array)
    assert round(peak["arrays for the quoted density"]) in (14_049, 14_050)
    assert peak["W"] == pytest.approx(14_050 * 128 * 1.08 / 29.31 / 1e3)
    assert peak["GOPS/W, a spike a cell"] < 142.9 < peak["GOPS/W"]
    assert prices_of("pipelayer").price("spike").energy_pj == 1.08


def test_quoted_figures_that_nothing_gives_are_said_to_be_quoted() -> None:
    density, power = pipelayer_quotes()
    assert (density.quoted, power.quoted) == (1485.0, 142.9)
    assert density.ours == pytest.approx(1485, rel=1e-3)
    assert all(quote.note.startswith("cannot be derived, quoted") for quote in (density, power))


def test_the_script_prints_both_forms(capsys: pytest.CaptureFixture[str]) -> None:
    networks = {"mlp": perceptron(20, 10, codes=CODES), "lenet": outline("lenet5", codes=CODES)}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pipelines, "networks", lambda: networks)
        patch.setattr(pipelines, "SHOWN", "lenet5")
        assert pipelines.main(["--json"]) == 0
        found = json.loads(capsys.readouterr().out)
        assert pipelines.main([]) == 0
    out = capsys.readouterr().out
    assert [use["machine"] for use in found["uses"]] == ["isaac", "pipelayer"] * 2
    assert all(f"{use['images_per_s']:,.0f}" in out for use in found["uses"])
    assert len(found["quotes"]) == 3 and "PipeLayer GOPS/s/W on lenet5" in out
    assert "schedule.replication=balanced schedule.pipeline=true" in out
