"""`bitpim export` that prunes in other ways and trains in sight of codes: traces, and refusals."""

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bitpim.cli.export_training import admm_of, on_codes, pruning_steps
from bitpim.cli.progress import COMPILING
from bitpim_traces import open_trace
from bitpim_traces.masks import LayerMask, masks_of
from bitpim_traces.quantize import LanePruning, LayerBits, OverlapPruning, Settings
from bitpim_traces.records import Trace
from tests.bitpim.cli.conftest import Run

MODULE = """
import torch
from torch import nn

def small():
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 4, 3, padding=1, bias=False), nn.BatchNorm2d(4), nn.ReLU(),
        nn.Conv2d(4, 6, 3, padding=1), nn.ReLU(), nn.AdaptiveAvgPool2d(2), nn.Flatten(),
        nn.Linear(24, 2),
    )
"""
TAUGHT = ("--finetune", "train.npz", "--learning-rate", "0.05", "--seed", 3)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    pytest.importorskip("torch")
    (tmp_path / "nets_to_train.py").write_text(MODULE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.delitem(sys.modules, "nets_to_train", raising=False)
    rng = np.random.default_rng(0)
    labels = np.arange(64) % 2
    images = rng.integers(0, 100, (64, 3, 8, 8)) + 120 * labels[:, None, None, None]
    images = images.astype(np.uint8)
    np.savez(tmp_path / "train.npz", images=images, labels=labels)
    np.savez(tmp_path / "test.npz", images=images[:8], labels=labels[:8])
    np.savez(tmp_path / "bare.npz", images=images[:8])
    return tmp_path


def export(bitpim: Run, *options: object) -> tuple[int, str, str]:
    target = "nets_to_train:small"
    scaled = ("--mean", "0.5", "--std", "0.25", "--no-accuracy", "--overwrite")
    return bitpim("export", target, "--samples", "test.npz", "-o", "net.h5", *scaled, *options)


def made(bitpim: Run, *options: object) -> tuple[Trace, list[str]]:
    code, out, err = export(bitpim, *options)
    assert (code, err.replace(COMPILING, "")) == (0, "")
    return open_trace("net.h5"), out.splitlines()[1:]


def lanes(mask: LayerMask) -> Any:
    return mask.mask.any(axis=(2, 3))


def test_lanes_are_pruned_trained_on_and_noted(bitpim: Run, folder: Path) -> None:
    more = ("--prune-set", "lanes@7=0.25", "--prune-set", "norm=l1")
    trace, said = made(bitpim, "--lanes", 0.5, *more, *TAUGHT, "--mirror", "--shift", 1)
    masks = masks_of(trace)
    assert list(masks) == ["3", "7"]
    assert np.count_nonzero(lanes(masks["3"])) == 12
    assert np.count_nonzero(masks["7"].mask) == 36
    assert said[0].startswith("fine-tuned: accuracy on the samples ")
    noted = trace.provenance
    assert (noted["prune"]["way"], noted["prune"]["norm"]) == ("lanes", "l1")
    told = noted["finetune"]
    assert (told["seed"], told["mirror"], told["shift"]) == (3, True, 1)
    assert "on_codes" not in told


def test_shared_lanes_and_mask_files_go_together(bitpim: Run, folder: Path) -> None:
    kept = np.ones((6, 4, 3, 3), np.uint8)
    kept[:, 0] = 0
    masks: dict[str, Any] = {"3.weight": kept}
    np.savez("masks.npz", **masks)
    trace, _ = made(bitpim, "--mask", "masks.npz", "--overlap", 3)
    mask = masks_of(trace)["3"]
    assert mask.groups is not None and np.bincount(mask.groups).tolist() == [3, 3]
    assert lanes(mask)[:, 0].sum() == 0
    assert [lanes(mask)[mask.groups == g].sum() for g in (0, 1)] == [3, 3]
    assert [one["way"] for one in trace.provenance["prune"]] == ["masks", "overlap"]


def test_channels_are_gone_with_their_biases(bitpim: Run, folder: Path) -> None:
    trace, _ = made(bitpim, "--channels", 0.5, "--prune-first", *TAUGHT)
    masks = masks_of(trace)
    for layer in trace.layers:
        if layer.name in ("0", "3"):
            gone = ~lanes(masks[layer.name]).any(axis=1)
            assert gone.any() and layer.bias_float is not None
            assert not layer.bias_float.read()[gone].any()


def test_admm_prunes_by_training_with_a_seed(bitpim: Run, folder: Path) -> None:
    pull = ("--admm", "filter=0.5", "--admm-epochs", 3, "--admm-set", "rounds=3", *TAUGHT)
    trace, said = made(bitpim, *pull)
    assert np.count_nonzero(lanes(masks_of(trace)["3"]).any(axis=1)) == 3
    assert said[0].startswith("pruned by ADMM: weights were ")
    assert " of 3 rounds, " in said[0]
    told = trace.provenance["admm"]
    assert (told["kind"], told["rounds"], told["epochs"], told["seed"]) == ("filter", 3, 3, 3)
    assert made(bitpim, *pull)[0].digest == trace.digest
    assert made(bitpim, *pull, "--seed", 4)[0].digest != trace.digest


def test_ternary_weights_are_trained_in_sight_of_codes(bitpim: Run, folder: Path) -> None:
    own = ("--weight-values", "ternary", "--set", "weight_values@0=codes")
    trace, said = made(bitpim, *own, *TAUGHT, "--epochs", 2, "--distill", 0.5)
    codes = {layer.name: layer.weight.read() for layer in trace.layers if layer.weight}
    assert {*codes["3"].ravel()} == {-1, 0, 1} and {*codes["7"].ravel()} == {-1, 0, 1}
    assert len({*codes["0"].ravel()}) > 3
    for layer in trace.layers:
        if layer.name == "3" and layer.weight_float is not None:
            rows = np.abs(layer.weight_float.read()).reshape(6, -1)
            assert all(len({*row[row > 0]}) == 1 for row in rows)
    assert "as codes, " in said[0]
    told = trace.provenance["finetune"]
    assert told["on_codes"] is True and told["distilled"] == 0.5


def test_activations_of_few_bits_are_trained_for(bitpim: Run, folder: Path) -> None:
    few = ("--activation-bits", 2, "--set", "output_bits=8")
    code, out, _ = export(bitpim, *few, *TAUGHT, "--code-epochs", 2, "--json")
    assert code == 0
    told = json.loads(out)["provenance"]["train_on_codes"]
    assert (told["epochs"], told["n_samples"]) == (2, 64)
    assert told["loss_after"] < told["loss_before"]
    _, said = made(bitpim, *few, *TAUGHT, "--code-epochs", 2)
    assert said[0].startswith("trained on codes: accuracy ")


@pytest.mark.parametrize(
    ("options", "code", "message"),
    [
        (("--admm", "lane=0.5"), 2, "--admm trains; give --finetune too"),
        (("--code-epochs", 1), 2, "--code-epochs trains; give --finetune too"),
        (("--admm", "lane=0.5", "--lanes", 0.5, *TAUGHT), 2, "got both"),
        (("--admm", "lane", *TAUGHT), 2, "need KIND=SHARE, got 'lane'"),
        (("--admm", "row=0.5", *TAUGHT), 2, "need kind among filter, channel"),
        (("--admm", "lane=half", *TAUGHT), 2, "need a number for SHARE, got 'half'"),
        (("--admm", "lane=1", *TAUGHT), 2, "need share from 0 to below 1"),
        (("--admm-set", "rounds=3"), 2, "--admm-set needs --admm"),
        (("--admm", "lane=0.5", "--admm-set", "round=3", *TAUGHT), 2, "got 'round=3'"),
        (("--prune-set", "norm=l1"), 2, "--prune-set needs --lanes"),
        (("--lanes", 0.5, "--prune-set", "nrm=l1"), 2, "--prune-set: need a key among"),
        (("--lanes", 1.5), 2, "need share from 0 to below 1, got 1.5"),
        (("--weight-values", "quaternary"), 2, "need weight_values among codes, ternary, binary"),
        (("--codebooks", 8, "--lanes", 0.5), 2, "--lanes is for affine codes"),
        (("--codebooks", 8, "--weight-values", "ternary"), 2, "--weight-values is for affine"),
        (("--lanes", 0.5, "--finetune", "bare.npz"), 3, "need an array `labels`"),
        (("--mask", "none.npz"), 3, "none.npz"),
        (("--per-tensor", "--weight-values", "ternary", *TAUGHT), 3, "need per_channel to train"),
        (("--channels", 0.99), 3, "channels: need"),
    ],
)
def test_what_is_wrong_is_one_line(
    bitpim: Run, folder: Path, options: tuple[object, ...], code: int, message: str
) -> None:
    got, _, err = export(bitpim, *options)
    assert (got, message in err, err.count("\n")) == (code, True, 1), err
    assert not (folder / "net.h5").exists()


def test_weights_of_few_codes_are_known() -> None:
    assert not on_codes(Settings())
    assert on_codes(Settings(weight_bits=4))
    assert not on_codes(Settings(weight_bits=4, per_channel=False))
    assert on_codes(Settings(overrides={"0": LayerBits(weight_values="binary")}))
    assert on_codes(Settings(overrides={"0": LayerBits(weight_bits=2)}))


def test_options_become_settings_in_order() -> None:
    ways = {"channels": None, "lanes": 0.3, "overlap": 2}
    steps = pruning_steps(ways, None, ["rank=network"], True)
    assert steps == [
        LanePruning(share=0.3, rank="network", skip_first=False),
        OverlapPruning(group=2, skip_first=False),
    ]
    pull = admm_of("shape=0.4", ["rho=0.5", "share@3=0.2"], False)
    assert pull is not None
    assert (pull.kind, pull.share, pull.rho, pull.shares) == ("shape", 0.4, 0.5, {"3": 0.2})
    assert pull.skip_first
