"""Bit Prudent beside its paper: what is laid out is what was meant; ratios are of its counts."""

import json
from typing import Any

import numpy as np
import pytest

from bench.reproduce import bit_prudent, prudent_points
from bench.reproduce.pruned_alexnet import (
    CONVOLUTIONS,
    DENSE,
    FORMS,
    PUBLIC_RUNS,
    Pruned,
    alexnet,
    spread,
)
from bitpim import make_machine
from bitpim_traces.masks import OVERLAP_GROUPS
from bitpim_traces.records import LayerRecord, Trace

EIGHT = FORMS["8 x 8 bits"]


def weights(trace: Trace, name: str) -> Any:
    layer = named(trace, name)
    assert layer.weight is not None
    return layer.weight.read()


def named(trace: Trace, name: str) -> LayerRecord:
    return next(layer for layer in trace.layers if layer.name == name)


def test_lanes_of_each_filter_are_pruned() -> None:
    shares = dict(zip(CONVOLUTIONS, PUBLIC_RUNS["group lasso on conv kernels"], strict=True))
    trace = alexnet(EIGHT, Pruned(shares))
    for name, share in shares.items():
        zero = ~weights(trace, name).any(axis=(2, 3))
        assert abs(zero.mean() - share) < 0.5 / zero.size + 1e-12
        assert np.ptp(zero.sum(axis=1)) <= 1
    assert weights(trace, "fc8").all()
    assert [layer.name for layer in trace.layers if layer.weight is not None][:5] == [*CONVOLUTIONS]


def test_filters_of_a_group_share_no_channel() -> None:
    trace = alexnet(EIGHT, Pruned({"conv3": 2 / 3}, group=3))
    groups = named(trace, "conv3").extra[OVERLAP_GROUPS].read()
    kept = weights(trace, "conv3").any(axis=(2, 3))
    assert np.bincount(groups).tolist() == [3] * 128
    for group in range(128):
        assert (kept[groups == group].sum(axis=0) == 1).all()
    assert OVERLAP_GROUPS not in named(trace, "conv2").extra


def test_forms_hold_what_they_say() -> None:
    for form in FORMS.values():
        codes = np.unique(weights(alexnet(form, spread(0.5)), "conv4"))
        few = {"ternary": [-1, 0, 1], "binary": [-1, 0, 1]}
        expected = few.get(form.values, [-(1 << form.weight_bits - 1), 0])
        assert codes.tolist() == expected, form.name
    assert 0 not in weights(alexnet(FORMS["binary x 8 bits"]), "conv4")
    trace = alexnet(FORMS["binary x binary"], ends_in_8_bits=True)
    bits = {layer.name: layer.output.bits for layer in trace.layers}
    assert trace.samples.quantization.bits == 8 and bits["fc7"] == 8
    assert bits["conv1"] == bits["pool1"] == bits["conv5"] == bits["fc6"] == 2
    widths = [layer.weight_quantization for layer in trace.layers if layer.weight is not None]
    assert [w.bits for w in widths if w is not None] == [8, 2, 2, 2, 2, 2, 2, 8]


def test_nothing_pruned_is_neural_cache() -> None:
    for cost in prudent_points.COSTS:
        pruned = Pruned(dict.fromkeys(CONVOLUTIONS, 0.0))
        row = prudent_points._coalesced("nothing", pruned, (cost,))[0]
        assert row.layout == "padded" and row.cost == cost
        assert row.compute == row.pruned == row.network == row.energy == row.filter_bytes == 1


def test_ratios_are_of_counts() -> None:
    """By the plans' own counts of the four layers, and of their filters' bytes."""
    row = next(r for r in prudent_points._coalesced("half", spread(0.5), ("nc_formula",)))
    dense, half = (
        make_machine(machine, None, settings).plan(alexnet(EIGHT, pruned))
        for machine, settings, pruned in (
            ("neural_cache", [], DENSE),
            ("bit_prudent", ["sparsity.mode@fc*=dense", "sparsity.mode@conv1=dense"], spread(0.5)),
        )
    )
    layers = (2, 4, 5, 6)  # conv2 to conv5
    mac = [
        sum(plan.counts(i, 1)[phase]["cycles"] for i in layers for phase in ("mac", "reduction"))
        for plan in (dense, half)
    ]
    every = [
        sum(events["cycles"] for i in layers for events in plan.counts(i, 1).values())
        for plan in (dense, half)
    ]
    assert (row.compute, row.pruned) == (mac[0] / mac[1], every[0] / every[1])
    kept = 192 * 32 * 25 + 384 * 96 * 9 + 256 * 192 * 9 + 256 * 128 * 9
    index = 192 * 32 * 6 + 384 * 96 * 8 + 256 * 192 * 9 + 256 * 128 * 8
    n_bytes = sum(half.counts(i, 1)["filter_load"]["dram_byte"] for i in layers)
    assert kept < n_bytes <= kept + index // 8 + 4


@pytest.fixture(scope="module")
def found() -> Any:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(prudent_points, "SWEPT", (0.3, 0.9))
        patch.setattr(prudent_points, "GROUPS", (2,))
        kept = ("padding", "images a batch", "signed weights")
        assumed = {key: prudent_points.ASSUMPTIONS[key] for key in kept}
        patch.setattr(prudent_points, "ASSUMPTIONS", assumed)
        runs = {name: PUBLIC_RUNS[name] for name in ("group lasso on conv kernels",)}
        patch.setattr(prudent_points, "PUBLIC_RUNS", runs)
        forms = [FORMS[n] for n in ("8 x 8 bits", "ternary x 8 bits", "binary x binary")]
        rows = prudent_points.narrow(forms)
        patch.setattr(bit_prudent, "narrow", lambda: rows)
        yield bit_prudent.result()


def test_the_public_lanes_explain_what_is_known(found: Any) -> None:
    """About 1.16x padded by the recalled cycles (derived); the more lanes, the faster."""
    rows = {(r["what"], r["layout"], r["cost"]): r for r in found["public_runs"]}
    lasso = rows["group lasso on conv kernels", "padded", "nc_paper_calibrated"]
    assert 1.1 < lasso["compute"] < 1.2
    few, many = (r for r in found["swept"] if r["layout"] == "padded")
    assert many["pruned"] > 3 * few["pruned"] and many["network"] < 1.6
    two = {r["layout"]: r for r in found["shared"]}
    assert two["overlapping, contiguous"]["compute"] > two["overlapping, masked"]["compute"] > 1


def test_fewer_bits_are_faster(found: Any) -> None:
    alike = {r["form"]: r for r in found["narrow"] if not r["ends_in_8_bits"]}
    assert alike["8 x 8 bits"]["compute"] == 1
    speeds = [alike[form]["convolutions"] for form in ("ternary x 8 bits", "binary x binary")]
    assert 1 < speeds[0] < speeds[1]
    assert all(
        alike[r["form"]]["network"] > r["network"] for r in found["narrow"] if r["ends_in_8_bits"]
    )


def test_the_tables_say_it(
    found: Any, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bit_prudent, "result", lambda: found)
    assert bit_prudent.main([]) == 0
    printed = capsys.readouterr().out
    for text in ("NC1", "43", "BP1, BP3", "published 1.6x", "BP2", "3.9x", "BP4", "BP5", "2 %"):
        assert text in printed
    assert "moves the ratio of conv2 to conv5 most" in " ".join(printed.split())
    assert bit_prudent.main(["--json"]) == 0
    assert json.loads(capsys.readouterr().out)["quoted"]["speed"] == 1.6


def test_a_missed_anchor_is_said(
    found: Any, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    missed = {**found["anchors"][0], "holds": False}
    monkeypatch.setattr(bit_prudent, "result", lambda: {**found, "anchors": [missed]})
    assert bit_prudent.main([]) == 4
    assert "MISSED" in capsys.readouterr().out
