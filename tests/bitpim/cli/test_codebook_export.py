"""`bitpim export --codebooks`: tables in the trace, training noted, one line for what is wrong."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest

from bitpim.cli.progress import COMPILING
from bitpim_traces import check_trace, open_trace
from bitpim_traces.numbers.affine import decode
from bitpim_traces.records import Trace
from tests.bitpim.cli.conftest import Run

MODULE = """
import torch
from torch import nn

def small():
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(64, 2),
    )
"""
EIGHT = ("--codebooks", 8)
TRAIN = (*EIGHT, "--retrain", "train.npz")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    pytest.importorskip("torch")
    (tmp_path / "nets_to_cluster.py").write_text(MODULE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.delitem(sys.modules, "nets_to_cluster", raising=False)
    rng = np.random.default_rng(0)
    labels = np.arange(64) % 2
    images = rng.integers(0, 100, (64, 3, 8, 8)) + 120 * labels[:, None, None, None]
    images = images.astype(np.uint8)
    np.savez(tmp_path / "train.npz", images=images, labels=labels)
    np.savez(tmp_path / "test.npz", images=images[:8], labels=labels[:8])
    np.savez(tmp_path / "bare.npz", images=images[:8])
    return tmp_path


def export(bitpim: Run, *options: object) -> tuple[int, str, str]:
    target = "nets_to_cluster:small"
    scaled = ("--mean", "0.5", "--std", "0.25", "--no-accuracy")
    return bitpim("export", target, "--samples", "test.npz", "-o", "net.h5", *scaled, *options)


def weights_of(trace: Trace) -> list[bytes]:
    return [layer.weight_float.read().tobytes() for layer in trace.layers if layer.weight_float]


def test_tables_are_exported(bitpim: Run, folder: Path) -> None:
    more = ("--set", "product_bits=24", "--set", "weight_codes@0=4", "--reference-samples", 5)
    code, out, err = export(bitpim, *EIGHT, *more, "--calibration-samples", "train.npz")
    assert (code, err.replace(COMPILING, "")) == (0, "")
    assert out.splitlines()[1].startswith("net.h5: small, ")
    assert check_trace("net.h5", deep=True) == []
    trace = open_trace("net.h5")
    first, last = trace.layers[0], trace.layers[-1]
    assert first.weight_quantization is not None and first.weight_quantization.codebook is not None
    assert first.weight_quantization.codebook.n_codes == 4
    assert first.output.codebook is not None and first.output.codebook.n_codes <= 8
    assert first.product_table is not None and first.product_table.bits == 24
    assert first.output_float is not None and first.output_float.shape[0] == 5
    assert last.output_float is not None and last.output_float.shape[0] == trace.n_samples == 8
    noted = trace.provenance
    assert noted["parameters"]["calibration_samples"] == 64
    assert (noted["codebooks"]["weight_codes"], noted["codebooks"]["input_codes"]) == (8, 8)
    assert "retrain" not in noted and noted["sources"]["weights"].startswith("state dict")


def test_training_is_noted_and_the_weights_are_those_of_the_codebooks(
    bitpim: Run, folder: Path
) -> None:
    options = ("--retrain-epochs", 2, "--retrain-rate", 0.03, "--recluster-every", 1, "--seed", 7)
    code, out, err = export(bitpim, *TRAIN, *options, "--json")
    assert (code, err.replace(COMPILING, "")) == (0, "")
    noted = json.loads(out)["provenance"]["retrain"]
    chosen = {"epochs": 2, "learning_rate": 0.03, "recluster_every": 1, "seed": 7, "delta": 0.0}
    assert chosen.items() <= noted.items()
    assert noted["n_samples"] == 64
    assert noted["n_steps"] == len(noted["accuracies"]) - 1
    assert noted["accuracies"][noted["epoch"]] == max(noted["accuracies"])
    trace = open_trace("net.h5")
    for layer in trace.layers:
        if layer.weight is not None and layer.weight_quantization is not None:
            assert layer.weight_float is not None
            stored = decode(layer.weight.read(), layer.weight_quantization)
            np.testing.assert_array_equal(stored, layer.weight_float.read())
    again = export(bitpim, *TRAIN, *options, "--overwrite")[1].splitlines()
    assert again[1].startswith("re-trained: accuracy on the training images ")
    assert open_trace("net.h5").digest == trace.digest
    assert export(bitpim, *EIGHT, "--overwrite")[0] == 0
    assert weights_of(open_trace("net.h5")) != weights_of(trace)


@pytest.mark.parametrize(
    ("options", "code", "message"),
    [
        (("--retrain", "train.npz"), 2, "give --codebooks too"),
        ((*EIGHT, "--retrain-epochs", 2), 2, "--retrain-epochs, --retrain-delta"),
        ((*EIGHT, "--weight-bits", 4, "--per-tensor"), 2, "--weight-bits, --per-tensor are for"),
        ((*EIGHT, "--patterns", 2), 2, "--patterns is for affine codes"),
        (("--codebooks", 7), 2, "need a size among 2, 4, 8"),
        ((*EIGHT, "--set", "per_channel=true"), 2, "need a key among weight_codes"),
        ((*EIGHT, "--retrain", "bare.npz"), 3, "retrain: need an array `labels` beside the images"),
        ((*EIGHT, "--retrain", "none.npz"), 3, "none.npz: need a file"),
        ((*TRAIN, "--retrain-rate", -1), 2, "--retrain-rate"),
        ((*TRAIN, "--retrain-delta", 1), 3, "need delta from 0 to below 1, got 1.0"),
    ],
)
def test_wrong_options_are_one_line(
    bitpim: Run, folder: Path, options: tuple[object, ...], code: int, message: str
) -> None:
    got, _, err = export(bitpim, *options)
    assert message in err
    assert (got, err.count("\n")) == (code, 1)
