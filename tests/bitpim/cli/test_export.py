"""`bitpim export`: from a named function to a file, and one line for what is wrong."""

import contextlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch")

import torch

from bitpim.cli import trace_make
from bitpim.cli.app import run
from bitpim.cli.progress import COMPILING
from bitpim.errors import AccumulatorError
from bitpim.proof import accuracy
from bitpim.proof.reference import run_network
from bitpim_traces import open_trace

MODULE = """
import torch
from torch import nn

def small():
    return nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(256, 5))

def broken():
    raise RuntimeError("no such thing")

def strange():
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.GroupNorm(2, 4))

number = 3

def seven():
    return 7
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "my_nets.py").write_text(MODULE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.delitem(sys.modules, "my_nets", raising=False)
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (6, 3, 8, 8), dtype=np.uint8)
    np.savez(tmp_path / "test.npz", images=images, labels=np.arange(6) % 5)
    np.save(tmp_path / "floats.npy", rng.normal(size=(6, 3, 8, 8)).astype(np.float32))
    state: dict[str, Any] = {
        "0.weight": (rng.normal(size=(4, 3, 3, 3)) * 0.2).astype(np.float32),
        "0.bias": np.zeros(4, np.float32),
        "3.weight": (rng.normal(size=(5, 256)) * 0.1).astype(np.float32),
        "3.bias": np.zeros(5, np.float32),
    }
    np.savez(tmp_path / "w.npz", **state)
    return tmp_path


def export(*options: str) -> int:
    return run(["export", *options])


def test_images_labels_weights_and_settings_arrive(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code = export(
        *("my_nets:small", "--weights", "w.npz", "--samples", "test.npz", "-o", "net.h5"),
        *("--mean", "0.5,0.4,0.3", "--std", "0.2,0.2,0.3", "--weight-bits", "5", "--per-tensor"),
        *("--requantize", "truncate_shift", "--calibration", "percentile"),
        *("--calibration-samples", "4", "--reference-samples", "2", "--activation-bits", "7"),
        *("--set", "percentile=99.5", "--dataset", "noise"),
    )
    said = capsys.readouterr()
    assert (code, said.err.replace(COMPILING, "")) == (0, "")
    assert said.out.startswith("net.h5: small, 3 layers, 6 samples, digest ")
    trace = open_trace(folder / "net.h5")
    first = trace.layers[0]
    assert first.weight_quantization is not None and first.requantize is not None
    assert first.weight_quantization.bits == 5 and first.weight_quantization.scale.size == 1
    assert first.requantize.mode == "truncate_shift"
    assert first.output.bits == 7
    assert first.output_float is not None and first.output_float.shape[0] == 2
    assert first.weight_float is not None
    with np.load("w.npz") as weights:
        np.testing.assert_array_equal(first.weight_float.read(), weights["0.weight"])
    assert trace.samples.labels is not None
    np.testing.assert_array_equal(trace.samples.labels.read(), np.arange(6) % 5)
    assert trace.samples.dataset == "noise"
    made = trace.provenance
    assert made["parameters"]["input"]["mean"] == [0.5, 0.4, 0.3]
    assert made["parameters"]["calibration_samples"] == 4
    assert (made["quantize"]["calibration"], made["quantize"]["percentile"]) == ("percentile", 99.5)


def test_where_the_numbers_come_from_is_said(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert export("my_nets:small", "--samples", "test.npz", "-o", "net.h5") == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "no --weights: the numbers are those the function made, perhaps random"
    with np.load("w.npz") as archive:
        state = {f"module.{key}": torch.from_numpy(value) for key, value in archive.items()}
    torch.save({"net": state}, "checkpoint.pt")
    given = ("--weights", "checkpoint.pt", "--samples", "test.npz", "-o", "net.h5", "--overwrite")
    assert export("my_nets:small", *given) == 0
    assert capsys.readouterr().out.splitlines()[:2] == [
        "checkpoint.pt: the weights are those of its entry 'net'",
        "checkpoint.pt: the prefix 'module.' of all names is left out",
    ]


GIVEN = ("my_nets:small", "--weights", "w.npz", "--samples", "test.npz", "-o", "net.h5")


def shares(path: Path) -> tuple[str, str]:
    """The accuracies of a trace, from its float outputs and computed by the referee."""
    trace = open_trace(path)
    last = trace.layers[-1].output_float
    assert trace.samples.labels is not None and last is not None
    labels = trace.samples.labels.read()
    (codes,) = run_network(trace, trace.samples.codes.read()).values()
    right = [int((answers.argmax(1) == labels).sum()) for answers in (last.read(), codes)]
    return f"{100 * right[0] / 6:.2f} % of 6 samples", f"{100 * right[1] / 6:.2f} % of 6 samples"


@pytest.mark.parametrize("bits", ["1", "8"])
def test_both_accuracies_are_said_beside_each_other(
    folder: Path, capsys: pytest.CaptureFixture[str], bits: str
) -> None:
    given_bits = ("--activation-bits", bits, "--set", "activation_scheme=symmetric")
    # labels that the float network gives right, but for one
    assert export(*GIVEN, *given_bits, "--no-accuracy") == 0
    last = open_trace(folder / "net.h5").layers[-1].output_float
    assert last is not None
    labels = last.read().argmax(1)
    labels[2] = (labels[2] + 1) % 5
    with np.load("test.npz") as given:
        np.savez("test.npz", images=given["images"], labels=labels)
    capsys.readouterr()
    assert export(*GIVEN, *given_bits, "--overwrite") == 0
    found = capsys.readouterr().out.splitlines()
    of_float, of_codes = shares(folder / "net.h5")
    assert of_float == "83.33 % of 6 samples"
    assert (of_codes != of_float) == (bits == "1")
    assert found[-1] == f"accuracy: float {of_float}, quantized {of_codes} (exact integers)"
    assert export(*GIVEN, *given_bits, "--overwrite", "--no-accuracy") == 0
    assert capsys.readouterr().out.splitlines()[-1] == f"accuracy: float {of_float}"
    assert export(*GIVEN, *given_bits, "--overwrite", "--json") == 0
    content = json.loads(capsys.readouterr().out)
    assert content["n_labelled"] == content["n_float_labelled"] == content["n_compared"] == 6
    assert content["float_accuracy"] == pytest.approx(5 / 6)
    assert f"{100 * content['accuracy']:.2f} % of 6 samples" == of_codes
    assert content["accuracy_not_measured"] is None
    # the same of a trace that is quantized again
    more = (*given_bits, "-o", "again.h5")
    assert run(["trace", "quantize", "net.h5", *more]) == 0
    of_float, of_codes = shares(folder / "again.h5")
    again = capsys.readouterr().out.splitlines()[-1]
    assert again == f"accuracy: float {of_float}, quantized {of_codes} (exact integers)"


def test_without_labels_the_agreement_is_said(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = ("my_nets:small", "--samples", "floats.npy", "-o", "net.h5", "--overwrite")
    assert export(*given, "--weights", "w.npz") == 0
    assert capsys.readouterr().out.splitlines()[-1] == (
        "agreement: the quantized and the float network choose the same class in "
        "100.00 % of 6 samples (exact integers)"
    )
    assert export(*given, "--weights", "w.npz", "--reference-samples", "0") == 0
    assert "net.h5: small" in capsys.readouterr().out.splitlines()[-1]


def test_what_keeps_accuracy_from_being_measured_is_said_and_the_trace_is_written(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def overflow(*given: Any, **named: Any) -> Any:
        raise AccumulatorError("layer 2 'fc' (linear): need sums within signed 32 bits")

    monkeypatch.setattr(accuracy, "exact_run", overflow)
    assert export(*GIVEN) == 0
    float_line, said = capsys.readouterr().out.splitlines()[-2:]
    assert float_line.startswith("accuracy: float ") and "quantized" not in float_line
    assert said == (
        "accuracy: not measured: layer 2 'fc' (linear): need sums within signed 32 bits"
    )
    assert open_trace(folder / "net.h5").n_samples == 6
    assert export(*GIVEN, "--overwrite", "--json") == 0
    content = json.loads(capsys.readouterr().out)
    assert content["accuracy"] is None and content["float_accuracy"] is not None
    assert content["accuracy_not_measured"].endswith("within signed 32 bits")


def test_measuring_shows_a_bar_on_a_terminal(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[tuple[int, int]] = []

    @contextlib.contextmanager
    def bar(title: str) -> Iterator[Any]:
        assert title == "measuring small"
        yield lambda done, total: told.append((done, total))

    monkeypatch.setattr(trace_make, "counted", bar)
    monkeypatch.setattr(accuracy, "batch_size", lambda *_: 4)
    assert export(*GIVEN) == 0
    assert told == [(4, 6), (6, 6)]


def test_floats_and_a_calibration_file(folder: Path) -> None:
    assert (
        export(
            *("my_nets:small", "--samples", "floats.npy", "-o", "net.h5", "--name", "own"),
            *("--calibration-samples", "floats.npy"),
        )
        == 0
    )
    trace = open_trace(folder / "net.h5")
    assert (trace.name, trace.n_samples, trace.samples.labels) == ("own", 6, None)


@pytest.mark.parametrize(
    ("options", "code", "said"),
    [
        (("my_nets", "--samples", "test.npz"), 2, "need PACKAGE.MODULE:FUNCTION, got 'my_nets'"),
        (
            ("absent:small", "--samples", "test.npz"),
            3,
            "absent: need a module that can be imported",
        ),
        (("my_nets:smal", "--samples", "test.npz"), 3, "need smal in it, got torch, nn, small"),
        (("my_nets:number", "--samples", "test.npz"), 3, "need a function, got int"),
        (("my_nets:seven", "--samples", "test.npz"), 3, "need a torch.nn.Module from it, got int"),
        (("my_nets:broken", "--samples", "test.npz"), 3, "RuntimeError('no such thing')"),
        (("my_nets:strange", "--samples", "test.npz"), 3, "1: aten.group_norm"),
        (("my_nets:small", "--samples", "no.npz"), 3, "no.npz: need a file of samples"),
        (("my_nets:small", "--samples", "w.npz"), 3, "w.npz: need an array `images`, got 0.weight"),
        (("my_nets:small", "--samples", "my_nets.py"), 3, "need .npz or .npy of plain arrays"),
        (
            ("my_nets:small", "--samples", "floats.npy", "--mean", "0.5"),
            2,
            "--fold are for uint8 images, got float32",
        ),
        (("my_nets:small", "--samples", "test.npz", "--std", "1,x,1"), 2, "need numbers by commas"),
        (("my_nets:small", "--samples", "test.npz", "--std", "1,1"), 3, "need std for 3 channels"),
        (("my_nets:small", "--samples", "test.npz", "--weight-bits", "17"), 2, "from 1 to 16"),
        (("my_nets:small", "--samples", "test.npz", "--calibration", "max"), 2, "need calibration"),
        (("my_nets:small", "--samples", "test.npz", "--fold"), 3, "leave fold out"),
        (
            ("my_nets:small", "--samples", "test.npz", "--weights", "test.npz"),
            3,
            "test.npz: need the weights of Sequential, got 4 missing",
        ),
    ],
)
def test_what_is_wrong_is_one_line(
    folder: Path,
    capsys: pytest.CaptureFixture[str],
    options: tuple[str, ...],
    code: int,
    said: str,
) -> None:
    assert export(*options, "-o", "net.h5") == code
    err = capsys.readouterr().err
    assert said in err
    assert len(err.splitlines()) == 1
    assert not (folder / "net.h5").exists()


def test_missing_torch_names_the_extra(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [n for n in sys.modules if n.startswith("bitpim_traces.exporter")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "torch", None)
    assert export("my_nets:small", "--samples", "test.npz", "-o", "net.h5") == 3
    assert "pip install bitpim[torch]" in capsys.readouterr().err
