"""Options that prune: masks in the trace, what `trace info` shows, one line for what is wrong."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bitpim.cli.progress import COMPILING
from bitpim_traces import check_trace, open_trace
from bitpim_traces.masks import masks_of
from tests.bitpim.cli.conftest import Run

THREE = ("--patterns", 3, "--kept", 2, "--zero-kernels", 0.25)


def test_synth_prunes_and_info_shows_it(
    bitpim: Run, bitpim_json: Callable[..., Any], tmp_path: Path
) -> None:
    path = tmp_path / "p.h5"
    code, out, err = bitpim("trace", "synth", "tiny", "-o", path, "--seed", 4, *THREE)
    assert (code, err) == (0, "")
    assert out.splitlines()[-2].startswith("2 layers pruned, ")
    assert check_trace(path, deep=True) == []
    masks = masks_of(open_trace(path))
    shown = bitpim_json("trace", "info", path)
    described = {layer["name"]: layer["mask"] for layer in shown["layers"]}
    assert described["conv2"] == {
        "sparsity": pytest.approx(1 - 0.75 * 2 / 9),
        "n_zero_kernels": 4,
        "n_patterns": 3,
        "n_groups": None,
    }
    assert {name for name, mask in described.items() if mask} == set(masks)
    text = bitpim("trace", "info", path)[1]
    assert "83.3% zero, 3 patterns" in text
    assert shown["provenance"]["parameters"]["prune"]["n_patterns"] == 3
    # the seed decides them
    for seed, same in ((4, True), (5, False)):
        bitpim("trace", "synth", "tiny", "-o", tmp_path / f"q{seed}.h5", "--seed", seed, *THREE)
        again = masks_of(open_trace(tmp_path / f"q{seed}.h5"))
        assert all((again[n].mask == masks[n].mask).all() for n in masks) == same


def test_a_trace_without_masks_shows_none(
    bitpim: Run, bitpim_json: Callable[..., Any], net: Path
) -> None:
    assert all(layer["mask"] is None for layer in bitpim_json("trace", "info", net)["layers"])
    assert "mask" not in bitpim("trace", "info", net)[1]


def test_one_set_for_the_network_and_the_first_convolution(bitpim: Run, tmp_path: Path) -> None:
    path = tmp_path / "p.h5"
    options = ("--patterns", 2, "--pattern-scope", "network", "--prune-first")
    assert bitpim("trace", "synth", "tiny", "-o", path, *options)[0] == 0
    masks = masks_of(open_trace(path))
    assert list(masks) == ["conv1", "conv2", "depthwise"]
    assert len({tuple(m.patterns) for m in masks.values() if m.patterns is not None}) == 1
    assert all(m.sparsity == pytest.approx(5 / 9) for m in masks.values())


def test_quantize_prunes_and_holds_masks(bitpim: Run, tmp_path: Path) -> None:
    dense, pruned, held = (tmp_path / f"{name}.h5" for name in "dph")
    assert bitpim("trace", "synth", "tiny", "-o", dense)[0] == 0
    assert bitpim("trace", "quantize", dense, "-o", pruned, *THREE)[0] == 0
    code, out, _ = bitpim("trace", "quantize", pruned, "-o", held, "--weight-bits", 4)
    assert code == 0 and "2 layers pruned" in out
    before, after = (masks_of(open_trace(path)) for path in (pruned, held))
    assert all((before[name].mask == after[name].mask).all() for name in before)
    assert check_trace(held, deep=True) == []


@pytest.mark.parametrize(
    ("options", "code", "message"),
    [
        (("--kept", 3), 2, "--kept, --zero-kernels, --pattern-scope and --prune-first need --patt"),
        (("--prune-first",), 2, "need --patterns"),
        (("--patterns", 0), 2, "--patterns"),
        (("--patterns", 3, "--kept", 10), 2, "--kept"),
        (("--patterns", 3, "--zero-kernels", 1.2), 2, "--zero-kernels"),
        (("--patterns", 3, "--pattern-scope", "net"), 2, "need scope among layer, network"),
    ],
)
def test_a_wrong_option_is_one_line(
    bitpim: Run, tmp_path: Path, options: tuple[object, ...], code: int, message: str
) -> None:
    got, out, err = bitpim("trace", "synth", "tiny", "-o", tmp_path / "x.h5", *options)
    assert (got, out) == (code, "")
    assert message in err and err.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_a_network_without_3x3_windows_is_bad_input(bitpim: Run, tmp_path: Path) -> None:
    got, _, err = bitpim("trace", "synth", "lenet5", "-o", tmp_path / "x.h5", "--patterns", 3)
    assert got == 3
    assert err == "bitpim: pruning: need a 3 x 3 convolution to prune, got 0\n"


# --- from PyTorch

MODULE = """
import torch
from torch import nn

def small():
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, 4, 3, padding=1), nn.ReLU(),
        nn.Flatten(), nn.Linear(256, 2),
    )
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    pytest.importorskip("torch")
    (tmp_path / "nets_to_prune.py").write_text(MODULE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.delitem(sys.modules, "nets_to_prune", raising=False)
    rng = np.random.default_rng(0)
    labels = np.arange(64) % 2
    images = rng.integers(0, 100, (64, 3, 8, 8)) + 120 * labels[:, None, None, None]
    images = images.astype(np.uint8)
    np.savez(tmp_path / "train.npz", images=images, labels=labels)
    np.savez(tmp_path / "test.npz", images=images[:8], labels=labels[:8])
    np.savez(tmp_path / "bare.npz", images=images[:8])
    return tmp_path


def export(bitpim: Run, *options: object, samples: str = "test.npz") -> tuple[int, str, str]:
    target = "nets_to_prune:small"
    return bitpim("export", target, "--samples", samples, "-o", "net.h5", *options)


def test_export_prunes_trains_on_and_notes_it(bitpim: Run, folder: Path) -> None:
    code, out, err = export(
        bitpim,
        *THREE,
        *("--finetune", "train.npz", "--epochs", 3, "--seed", 7, "--mean", "0.5", "--std", "0.25"),
    )
    assert (code, err.replace(COMPILING, "")) == (0, "")
    _, trained, written, pruned, right = out.splitlines()
    assert right.startswith("accuracy: float ") and right.endswith(
        " % of 8 samples (exact integers)"
    )
    assert trained.startswith("fine-tuned: accuracy on the samples ")
    assert trained.endswith(" after 3 steps")
    assert written.startswith("net.h5: small") and pruned.startswith("1 layer pruned, ")
    trace = open_trace("net.h5")
    assert check_trace("net.h5", deep=True) == []
    assert masks_of(trace)["2"].sparsity == pytest.approx(1 - 0.75 * 2 / 9)
    assert trace.provenance["prune"]["zero_kernel_share"] == 0.25
    noted = trace.provenance["finetune"]
    assert (noted["epochs"], noted["seed"], noted["n_samples"]) == (3, 7, 64)

    def digest(*options: object) -> str:
        assert export(bitpim, *THREE, "--overwrite", *options)[0] == 0
        return open_trace("net.h5").digest

    assert digest("--finetune", "train.npz") == digest("--finetune", "train.npz")
    assert digest("--finetune", "train.npz") != digest()


def test_without_labels_of_samples_training_images_are_measured(bitpim: Run, folder: Path) -> None:
    out = export(bitpim, *THREE, "--finetune", "train.npz", samples="bare.npz")[1]
    assert out.splitlines()[1].startswith("fine-tuned: accuracy on the training images ")


@pytest.mark.parametrize(
    ("options", "code", "message"),
    [
        (("--finetune", "train.npz"), 2, "pruned or has few codes; give --patterns too"),
        ((*THREE, "--finetune", "bare.npz"), 3, "need an array `labels` beside the images"),
        ((*THREE, "--finetune", "none.npz"), 3, "none.npz: need a file"),
        ((*THREE, "--finetune", "train.npz", "--learning-rate", -1), 2, "--learning-rate"),
    ],
)
def test_wrong_training_is_one_line(
    bitpim: Run, folder: Path, options: tuple[object, ...], code: int, message: str
) -> None:
    got, _, err = export(bitpim, *options)
    assert got == code
    assert message in err and err.count("\n") == 1
    assert not (folder / "net.h5").exists()
