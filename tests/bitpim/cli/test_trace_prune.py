"""`bitpim trace prune` and `trace masks`: every way, the table, and one line for what is wrong."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bitpim.cli.progress import COMPILING
from bitpim_traces import check_trace, open_trace, write_trace
from bitpim_traces.masks import masks_of
from bitpim_traces.quantize import (
    ChannelPruning,
    LanePruning,
    OverlapPruning,
    PatternPruning,
    prune_trace,
)
from bitpim_traces.synthetic import synthetic_network
from tests.bitpim.cli.conftest import Run


@pytest.fixture(scope="module")
def dense(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("dense") / "net.h5"
    write_trace(synthetic_network("tiny", 4, n_samples=2), path)
    return path


WAYS: list[tuple[tuple[object, ...], list[Any]]] = [
    (("--lanes", 0.5), [LanePruning(0.5)]),
    (
        ("--lanes", 0.25, "--set", "lanes@conv3=0.5", "--set", "norm=l1", "--prune-first"),
        [LanePruning(0.25, norm="l1", skip_first=False, overrides={"conv3": 0.5})],
    ),
    (
        (
            "--lanes",
            0.5,
            "--set",
            "rank=network",
            "--set",
            "linear=true",
            "--set",
            "largest_share=0.8",
        ),
        [LanePruning(0.5, "network", linear=True, largest_share=0.8)],
    ),
    (("--set", "lanes@conv[23]=0.5"), [LanePruning(0.0, overrides={"conv[23]": 0.5})]),
    (
        (
            *("--set", "lanes@conv2=0.5"),
            *("--set", "lanes@c*=0.25"),
            *("--set", "lanes@conv2=0.75"),
        ),
        [LanePruning(0.0, overrides={"c*": 0.25, "conv2": 0.75})],
    ),
    (("--overlap", 2), [OverlapPruning(2)]),
    (
        (
            "--set",
            "overlap@conv2=4",
            "--set",
            "assignment=balanced",
            "--set",
            "partition=consecutive",
        ),
        [OverlapPruning(2, "balanced", "consecutive", overrides={"*": 1, "conv2": 4})],
    ),
    (
        ("--channels", 0.4, "--prune-first", "--set", "channels@conv2=0.25", "--set", "macs=0"),
        [ChannelPruning(0.4, macs=0.0, skip_first=False, overrides={"conv2": 0.25})],
    ),
    (
        ("--patterns", 3, "--kept", 2, "--zero-kernels", 0.25, "--prune-first"),
        [PatternPruning(2, 3, 0.25, skip_first=False)],
    ),
    (
        ("--overlap", 2, "--lanes", 0.25, "--patterns", 4),
        [PatternPruning(4, 4), LanePruning(0.25), OverlapPruning(2)],
    ),
]


@pytest.mark.parametrize(("options", "ways"), WAYS, ids=[" ".join(map(str, o)) for o, _ in WAYS])
def test_every_way_is_that_of_the_library(
    bitpim: Run, dense: Path, tmp_path: Path, options: tuple[object, ...], ways: list[Any]
) -> None:
    path = tmp_path / "p.h5"
    code, out, err = bitpim("trace", "prune", dense, "-o", path, *options, "--no-accuracy")
    assert (code, err) == (0, "")
    expected, _ = prune_trace(open_trace(dense), ways)
    pruned = open_trace(path)
    assert check_trace(path, deep=True) == []
    assert pruned.provenance["prune"] == expected.provenance["prune"]
    masks = masks_of(expected)
    for name, mask in masks_of(pruned).items():
        np.testing.assert_array_equal(mask.mask, masks[name].mask)
        assert (mask.groups is None) == (masks[name].groups is None)
    head, *rows = out.splitlines()[: 1 + len(masks)]
    assert head.split("  ")[0] == "layer"
    for name, row in zip(masks, rows, strict=True):
        n_lanes = masks[name].mask.shape[0] * masks[name].mask.shape[1]
        kept = n_lanes - masks[name].n_zero_kernels
        assert row.startswith(name) and f" {kept} of {n_lanes} " in row
    assert f"{len(masks)} layer{'s' * (len(masks) != 1)} pruned, " in out


def test_accuracy_and_json(
    bitpim: Run, bitpim_json: Callable[..., Any], dense: Path, tmp_path: Path
) -> None:
    path = tmp_path / "p.h5"
    code, out, err = bitpim("trace", "prune", dense, "-o", path, "--overlap", 2)
    assert (code, err.replace(COMPILING, "")) == (0, "")
    assert out.splitlines()[-1].startswith("accuracy: float ")
    content = bitpim_json("trace", "prune", dense, "-o", path, "--overlap", 2, "--overwrite")
    assert [layer["layer"] for layer in content["pruned"]] == ["conv2", "conv3"]
    first = content["pruned"][0]
    assert (first["n_groups"], first["n_patterns"]) == (2, None)
    assert first["n_kept_lanes"] <= first["n_lanes"] // 2 and 0 < first["retained_energy"] < 1
    assert content["masks"]["conv2"]["n_groups"] == 2
    assert "zero, 2 groups" in bitpim("trace", "info", path)[1]
    assert content["n_labelled"] == 2 and content["accuracy"] is not None
    # `trace quantize` prunes to patterns as before, and holds what was pruned
    held = tmp_path / "q.h5"
    options = ("--set", "weight_values=ternary", "--set", "weight_values@fc=codes")
    code, out, _ = bitpim("trace", "quantize", path, "-o", held, *options)
    assert code == 0 and "2 layers pruned" in out
    before, after = masks_of(open_trace(path)), masks_of(open_trace(held))
    for name, mask in before.items():
        np.testing.assert_array_equal(mask.mask, after[name].mask)
        assert np.asarray(mask.groups).tolist() == np.asarray(after[name].groups).tolist()
    assert open_trace(held).provenance["quantize"]["weight_values"] == "ternary"


def test_masks_go_round(
    bitpim: Run, bitpim_json: Callable[..., Any], dense: Path, tmp_path: Path
) -> None:
    pruned, again, file = tmp_path / "p.h5", tmp_path / "q.h5", tmp_path / "m.npz"
    assert bitpim("trace", "prune", dense, "-o", pruned, "--overlap", 2, "--no-accuracy")[0] == 0
    code, out, err = bitpim("trace", "masks", pruned, "-o", file)
    assert (code, err) == (0, "")
    assert out.splitlines()[-1] == f"{file}: masks of 2 layers"
    assert bitpim("trace", "prune", dense, "-o", again, "--mask", file, "--no-accuracy")[0] == 0
    one, other = open_trace(pruned), open_trace(again)
    for a, b in zip(one.layers, other.layers, strict=True):
        assert {n: t.read().tolist() for n, t in a.extra.items()} == {
            n: t.read().tolist() for n, t in b.extra.items()
        }
        assert a.weight is None or (
            b.weight is not None and (a.weight.read() == b.weight.read()).all()
        )
    assert other.provenance["prune"]["file"] == "m.npz"
    code, _, err = bitpim("trace", "masks", pruned, "-o", file)
    assert code == 3 and "exists; --overwrite replaces it" in err
    shown = bitpim_json("trace", "masks", pruned, "-o", file, "--overwrite")
    assert [layer["layer"] for layer in shown["masks"]] == ["conv2", "conv3"]
    code, _, err = bitpim("trace", "masks", dense, "-o", tmp_path / "none.npz")
    assert code == 3 and "need a trace with pruning masks, got none" in err


@pytest.mark.parametrize(
    ("options", "code", "message"),
    [
        ((), 2, "need --lanes, --overlap, --channels, --patterns or --mask"),
        (("--lanes", 1), 2, "lanes: need share from 0 to below 1, got 1.0"),
        (("--lanes", "nan"), 2, "lanes: need share from 0 to below 1, got nan"),
        (("--overlap", 1), 2, "--overlap"),
        (("--channels", -1), 2, "channels: need share"),
        (("--lanes", 0.5, "--set", "norm=l9"), 2, "need norm among l1, l2"),
        (
            ("--lanes", 0.5, "--set", "macs=2"),
            2,
            "need a key among rank, norm, largest_share, linear",
        ),
        (("--set", "rank=network"), 2, "need --channels or --lanes or --overlap beside --set"),
        (("--lanes", 0.5, "--set", "linear=1"), 2, "need true or false for linear"),
        (("--lanes", 0.5, "--set", "lanes"), 2, "need KEY=VALUE, got 'lanes'"),
        (("--lanes", 0.5, "--set", "lanes@conv2=x"), 2, "need a number for lanes, got 'x'"),
        (("--set", "overlap@conv2=1.5"), 2, "need a whole number for overlap"),
        (("--set", "rank@conv2=x"), 2, "need channels, lanes, overlap before @LAYERS"),
        (("--set", "lanes@=0.5"), 2, "need channels, lanes, overlap before @LAYERS"),
        (("--set", "channels@conv2=0.5"), 2, "need --channels beside channels@LAYERS"),
        (("--kept", 3, "--lanes", 0.5), 2, "need --patterns"),
        (("--patterns", 3, "--mask", "none.npz"), 2, "need --patterns or --mask, got both"),
        (("--lanes", 0.5, "--set", "lanes@conv9=0.5"), 3, "got 'conv9'; did you mean"),
        (("--set", "lanes@conv2=0.99"), 3, "layer 'conv2': need a lane that is left, got all 16"),
        (("--set", "overlap@depthwise=2"), 3, "'depthwise': need groups of at most 1 filters"),
        (("--mask", "none.npz"), 3, "none.npz"),
    ],
)
def test_a_wrong_option_is_one_line(
    bitpim: Run, dense: Path, tmp_path: Path, options: tuple[object, ...], code: int, message: str
) -> None:
    got, out, err = bitpim("trace", "prune", dense, "-o", tmp_path / "x.h5", *options)
    assert (got, out) == (code, "")
    assert message in err and err.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_a_trace_without_float_weights_says_what_it_loses(
    bitpim: Run, dense: Path, tmp_path: Path
) -> None:
    trace = open_trace(dense)
    bare = [replace(r, weight_float=None, bias_float=None) for r in trace.layers]
    write_trace(replace(trace, layers=tuple(bare)), tmp_path / "bare.h5")
    code, out, err = bitpim(
        "trace", "prune", tmp_path / "bare.h5", "-o", tmp_path / "p.h5", "--lanes", 0.5
    )
    assert (code, err.replace(COMPILING, "")) == (0, "")
    assert "float reference outputs left out: there are no float weights" in out
    assert out.splitlines()[-1].startswith("accuracy: quantized ")


MASK = np.ones((4, 4, 3, 3), np.uint8)


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"conv2": MASK[:3]}, "'conv2': need a mask of shape (4, 4, 3, 3)"),
        ({"conv8": MASK}, "got 'conv8'; did you mean 'conv3'"),
        ({"conv2": MASK * 3}, "'conv2': need 0 (pruned) and 1 (kept) alone, got 3"),
        ({"conv2": MASK * 0}, "'conv2': need a weight that is left, got all 144 pruned"),
        (
            {"conv2": MASK, "conv2.overlap_groups": np.zeros(4, np.int32)},
            "'conv2.overlap_groups': need groups whose filters keep no channel in common, got"
            " channel 0 kept by filters 0 and 1",
        ),
    ],
)
def test_a_wrong_mask_is_one_line(
    bitpim: Run, dense: Path, tmp_path: Path, arrays: dict[str, Any], message: str
) -> None:
    np.savez(tmp_path / "m.npz", **arrays)
    got, out, err = bitpim(
        "trace", "prune", dense, "-o", tmp_path / "x.h5", "--mask", tmp_path / "m.npz"
    )
    assert (got, out) == (3, "")
    assert message in err and err.count("\n") == 1
    assert not (tmp_path / "x.h5").exists()


@pytest.mark.parametrize("bits", [0, 17])
def test_widths_that_no_code_has(bitpim: Run, dense: Path, tmp_path: Path, bits: int) -> None:
    for options in (
        ("--weight-bits", bits),
        ("--activation-bits", bits),
        ("--set", f"weight_bits@conv2={bits}"),
    ):
        got, _, err = bitpim("trace", "quantize", dense, "-o", tmp_path / "x.h5", *options)
        assert got == 2 and f"from 1 to 16, got {bits}" in err and err.count("\n") == 1
