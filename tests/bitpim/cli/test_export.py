"""`bitpim export`: from a named function to a file, and one line for what is wrong."""

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch")

import torch

from bitpim.cli.app import run
from bitpim_traces import open_trace

MODULE = """
import torch
from torch import nn

def small():
    return nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(256, 5))

def broken():
    raise RuntimeError("no such thing")

def strange():
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.Hardswish())

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
    assert (code, said.err) == (0, "")
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
        (("my_nets:strange", "--samples", "test.npz"), 3, "1: aten.hardswish"),
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
