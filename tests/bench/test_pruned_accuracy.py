"""Traces of pruned networks and their accuracy, on a small network and few images."""

import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch")

from torch import nn

from bench import pruned_accuracy, pruned_traces
from bench.networks.float_networks import RealNetwork
from bench.pruned_accuracy import measure, sum_of, table, zeros_of, zeros_table
from bench.pruned_traces import RECIPES, Recipe, recipe_trace
from bitpim.proof.reference import run_network
from bitpim_traces.exporter import Training, read_network
from bitpim_traces.masks import masks_of
from bitpim_traces.quantize import LanePruning, Settings
from tests.traces.exporter.modules import pictures, seeded, small_classifier

FEW = Training(epochs=2, batch=16, learning_rate=0.05, distilled=0.5)
LANES = Recipe("small_lanes", "small", FEW, LanePruning(share=0.5))
TERNARY = Recipe("small_ternary", "small", FEW, None, Settings(weight_values="ternary"), True)


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the networks that were loaded."""
    loaded: list[str] = []

    def load(name: str, __: Path) -> RealNetwork:
        loaded.append(name)
        module: nn.Module = seeded(small_classifier())
        network, _ = read_network(module, (1, 8, 8), name=name)
        return RealNetwork(network, module, *pictures(40, 1), *pictures(64, 0), "bars")

    monkeypatch.setattr(pruned_traces, "float_network", load)
    monkeypatch.setattr(pruned_traces, "N_CALIBRATION", 32)
    return loaded


def test_a_recipe_is_trained_once_and_measured_as_the_trace_answers(
    tmp_path: Path, made: list[str]
) -> None:
    trace = recipe_trace(LANES, tmp_path, tmp_path)
    assert made == ["small"]
    mask = masks_of(trace)["4"].mask
    (codes,) = run_network(trace, trace.samples.codes.read()).values()
    labels = pictures(40, 1)[1]
    row = measure(trace)
    assert row.quantized == float((codes.argmax(1) == labels).mean())
    assert (row.n_images, row.epochs, row.lanes) == (40, 2, 0.5)
    assert row.weights == 1 - np.count_nonzero(mask) / mask.size
    logits = trace.layers[-1].output_float
    assert logits is not None
    assert row.trained == float((logits.read().argmax(1) == labels).mean())
    assert row.lost_points == pytest.approx(100 * (row.dense - row.quantized))
    assert recipe_trace(LANES, tmp_path, None).digest == trace.digest
    assert made == ["small"]
    (tmp_path / "small_lanes.h5").unlink()  # the weights are there: nothing is trained
    other = replace(LANES, training=replace(FEW, learning_rate=5.0))
    (codes_again,) = run_network(
        again := recipe_trace(other, tmp_path, tmp_path), again.samples.codes.read()
    ).values()
    np.testing.assert_array_equal(codes_again, codes)
    assert again.provenance["finetune"] == trace.provenance["finetune"]


def test_a_ternary_recipe_has_three_values_and_counts_all_layers(
    tmp_path: Path, made: list[str]
) -> None:
    trace = recipe_trace(TERNARY, tmp_path, tmp_path, epochs=1)
    for layer in trace.layers:
        if layer.weight is not None:
            assert set(np.unique(layer.weight.read())) <= {-1, 0, 1}
    row = measure(trace)
    assert row.epochs == 1
    assert 0.2 < row.weights < 0.7
    assert f"| small_ternary | 40 | {100 * row.dense:.2f} |" in table([row])


def test_zeros_are_counted_by_weights_and_by_lanes() -> None:
    weight = np.ones((2, 3, 1, 2))
    weight[0, 1] = 0
    weight[1, :, 0, 0] = 0
    one = zeros_of("a", weight)
    assert (one.n_weights, one.n_zero_weights, one.n_lanes, one.n_zero_lanes) == (12, 5, 6, 1)
    both = sum_of([one, zeros_of("b", np.zeros((1, 2)))])
    assert (both.n_weights, both.n_zero_weights, both.n_lanes, both.n_zero_lanes) == (14, 7, 8, 3)
    assert "| a | 1 x 2 | 12 | 41.7% | 6 | 16.7% |" in zeros_table([one])


def test_the_command_prints_what_it_measured(
    tmp_path: Path, made: list[str], monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    monkeypatch.setitem(RECIPES, "resnet20_lanes50", LANES)
    arguments = ["--recipe", "resnet20_lanes50", "--traces", str(tmp_path), "--json"]
    monkeypatch.setattr(sys, "argv", ["pruned_accuracy", *arguments])
    monkeypatch.delenv("BITPIM_REAL_DATA", raising=False)
    assert pruned_accuracy.main() == 3
    assert "small_lanes.h5: no such trace; give --real-data" in capsys.readouterr().err
    monkeypatch.setattr(sys, "argv", ["x", *arguments, "--real-data", str(tmp_path)])
    assert pruned_accuracy.main() == 0
    said = capsys.readouterr()
    (row,) = json.loads(said.out)
    assert (row["recipe"], row["n_images"]) == ("small_lanes", 40)
    assert "fine-tuning: 50 %" in said.err
