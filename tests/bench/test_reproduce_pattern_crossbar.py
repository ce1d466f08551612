"""The recomputed numbers of crossbars: anchors hold, ratios are those counted by hand."""

import json
from collections import Counter
from functools import partial
from math import ceil, comb
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench.reproduce import pattern_crossbar, pattern_points
from bench.reproduce.crossbar_anchors import anchors, edge_rows, isaac_peak, quotes
from bench.reproduce.crossbar_ratios import (
    Comparison,
    compare,
    convolutions,
    laid_out,
    price_tables,
    skipping_zeros,
    use_of,
    use_of_plan,
)
from bench.reproduce.outlines import conv_shapes, outline, pattern_masks, random_weights
from bench.reproduce.pattern_points import BASE, Pruning, grid, sensitivity
from bench.reproduce.pattern_text import text, verdict
from bench.reproduce.sparse_rows import BASELINE, packed_reads, sparse_rows, structured_network
from bitpim.crossbar.plan import CrossbarPlan
from bitpim.machine.crossbar_machine import PreparedCrossbars
from bitpim_traces import write_trace
from bitpim_traces.masks import mask_codes
from bitpim_traces.quantize.pattern import PatternPruning
from bitpim_traces.synthetic import synthetic_network

PAIR = ("dense_crossbar", "pattern_crossbar")
TWO_CELLS = ("numbers.weight_bits=8", "numbers.input_bits=8")


def test_anchors_hold() -> None:
    found = anchors()
    assert [(a.metric, a.ours) for a in found if not a.holds] == []
    ours = {a.metric: a.ours for a in found}
    assert len(found) == len(ours) == 18
    assert ours["vgg16_cifar reads, 16-bit in 4 cells"] == 278_396_928
    assert ours["vgg16_cifar reads, 8-bit in 4 cells"] == 139_198_464
    assert ours["vgg16_cifar reads, 8-bit in 2 cells"] == 69_599_232
    assert ours["vgg16 reads, 16-bit in 4 cells"] == 13_641_449_472
    assert ours["vgg16 reads, 8-bit in 2 cells"] == 3_410_362_368
    assert ours["VGG-16 crossbars of 512 x 512, 16-bit in 4 cells"] == 234
    assert ours["VGG-16 crossbars of 512 x 512, 8-bit in 2 cells"] == 121
    bits = [ours[f"bits for {n} rows of {b}-bit cells"] for n, b in ((9, 1), (9, 2), (9, 4))]
    assert bits == [4, 5, 8]
    assert ours["bits for 128 rows of 2-bit cells, flipped"] == 8


def test_isaac_agrees_with_one_of_its_quoted_peaks() -> None:
    assert isaac_peak()["TOPS"] == pytest.approx(41.29, abs=0.01)
    by_metric = {quote.metric: quote for quote in quotes()}
    area, power = by_metric["ISAAC peak GOPS/mm2"], by_metric["ISAAC peak GOPS/W"]
    assert area.ours == pytest.approx(area.quoted, rel=0.01)
    assert power.ours > 1.6 * power.quoted


def test_arrays_cut_units_unless_windows_keep_together() -> None:
    rows = {(r.network, r.widths, r.rows): r for r in edge_rows()}
    assert len(rows) == 15
    for network, widths, _ in {key for key in rows if key[2] == "uncut"}:
        uncut, array, window = (rows[network, widths, k] for k in ("uncut", "array", "window"))
        assert window.reads == uncut.reads < array.reads
        assert uncut.crossbars < array.crossbars < window.crossbars


@pytest.mark.parametrize(
    ("kept", "share", "both", "area", "reads"),
    [
        (2, 0.3, (), 5.57, 1.39),
        (2, 0.3, TWO_CELLS, 5.04, 1.31),
        (2, 0.4, TWO_CELLS, 5.04, 1.50),
        (3, 0.5, TWO_CELLS, 4.17, 1.77),
        (4, 0.4, TWO_CELLS, 3.27, 1.51),
    ],
)
def test_ratios_are_those_of_an_earlier_count(
    kept: int, share: float, both: tuple[str, ...], area: float, reads: float
) -> None:
    """The ratios were first computed from the formulas, by another program."""
    trace = Pruning(kept, 8, (share, share)).of("vgg16_cifar")
    ratios = Comparison.of(*compare(trace, PAIR, both))
    assert ratios.area == pytest.approx(area, abs=0.01)
    assert ratios.reads == pytest.approx(reads, abs=0.015)


def test_reads_of_patterns_are_those_counted_by_hand() -> None:
    masks = pattern_masks("vgg16_cifar", 3, 4, (0.2, 0.5), 7)
    shapes = conv_shapes("vgg16_cifar")
    sides = {1: 32, 2: 16, 3: 8, 4: 4, 5: 2}
    reads, kernels = 0, 0
    for name in ("conv1_1", "conv1_2", "conv2_1"):
        codes = mask_codes(masks[name].mask)
        assert codes.shape == shapes[name][:2]
        side = sides[int(name[4])]
        for channel in codes.T.tolist():
            blocks = Counter(code for code in channel if code)
            reads += side * side * 16 * sum(ceil(4 * n / 8) for n in blocks.values())
            kernels += sum(blocks.values())
    plan = laid_out(outline("vgg16_cifar", masks), "pattern_crossbar", "pattern_crossbar", ())
    layers = convolutions(plan)[:3]
    assert sum(CrossbarPlan((layer,)).table()[0]["ou_reads"] for layer in layers) == reads
    assert sum(layer.maps[0].position_events["accum_scatter"] for layer in layers) == kernels


def test_the_share_of_zero_kernels_rises_with_depth() -> None:
    masks = pattern_masks("vgg16_cifar", 2, 8, (0.3, 0.6), 0)
    shares = [mask.n_zero_kernels / (mask.mask.size // 9) for mask in masks.values()]
    assert shares[0] == pytest.approx(0.3, abs=0.01) and shares[-1] == pytest.approx(0.6, abs=0.01)
    assert np.diff(shares).min() > 0
    assert all(mask.patterns is not None and len(mask.patterns) == 8 for mask in masks.values())


def test_an_outline_has_shapes_masks_and_no_sample() -> None:
    trace = outline("vgg16_cifar")
    weight = trace.layers[0].weight
    assert weight is not None and weight.shape == (64, 3, 3, 3)
    assert weight.read(60).shape == (4, 3, 3, 3) and not weight.read().any()
    assert trace.n_samples == 0
    masks = pattern_masks("vgg16_cifar", 2, 8, (0.3, 0.6), 0)
    pruned = outline("vgg16_cifar", masks).layers[0]
    assert pruned.weight is not None
    assert np.array_equal(pruned.weight.read() != 0, masks[pruned.name].mask != 0)
    codes = random_weights((8, 3, 3, 3), np.random.default_rng(0))
    assert abs(codes.astype(int)).max() == 127


def test_every_sensitivity_can_be_planned() -> None:
    rows = sensitivity((), pattern_points.SENSITIVITIES, "tiny")
    assert len({(row.key, row.value) for row in rows}) == len(pattern_points.SENSITIVITIES)
    reads = {(row.key, row.value): row.ratios.reads for row in rows}
    assert reads["zero kernels z, first to last", "0.6 to 0.6"] > reads["seed", "0"]


@pytest.mark.parametrize("share", [0.0, 0.4, 1.0])
def test_reads_done_and_skipped_add_up(share: float) -> None:
    plan = laid_out(BASE.of("vgg16_cifar"), "pattern_crossbar", "pattern_crossbar", ())
    counts = skipping_zeros(share)
    whole = use_of_plan(plan, ())
    use = use_of(plan, {layer.index: counts(layer) for layer in convolutions(plan)}, ())
    assert use.reads + use.skipped == whole.reads
    assert use.skipped == pytest.approx(share**2 * whole.reads, rel=0.01)  # blocks have two rows


def test_energies_are_by_tables_that_price_all_events() -> None:
    trace, tables = BASE.of("vgg16_cifar"), price_tables()
    dense, pattern = compare(trace, PAIR, tables=tables)
    assert {"yu2020", "isaac"} <= dense.energy_pj.keys() == pattern.energy_pj.keys()
    assert "neural_cache_22nm" not in dense.energy_pj
    wide, _ = compare(trace, PAIR, ("geometry.cell_bits=8", "converter.adc_bits=12"), (), tables)
    assert "isaac" not in wide.energy_pj  # it has no converter of 12 bits
    # yu2020: 4.8 pJ a read, 1.67 pJ a conversion, 0.0182 pJ a row; all else is free
    known = 4.8 * dense.reads + 1.67 * dense.conversions
    rows = dense.energy_pj["yu2020"] - known
    assert 0 < rows / 0.0182 <= 9 * dense.reads


@pytest.mark.parametrize(("n_rows", "unit", "share"), [(1, 1, 0.5), (5, 2, 0.3), (33, 16, 0.9)])
def test_packed_reads_are_an_expectation(n_rows: int, unit: int, share: float) -> None:
    expected = sum(
        comb(n_rows, n) * share**n * (1 - share) ** (n_rows - n) * ceil(n / unit)
        for n in range(n_rows + 1)
    )
    assert packed_reads(n_rows, unit, share) == pytest.approx(expected, rel=1e-12)
    assert packed_reads(n_rows, unit, 1.0) == ceil(n_rows / unit)
    assert packed_reads(n_rows, unit, 0.0) == 0


def test_sparse_reram_gains_by_rows_dropped_and_by_bits() -> None:
    rows = sparse_rows("tiny", ((0.0, 0.0), (0.5, 0.0)), (1.0, 0.2), price_tables())
    gains = {(row.row_share, row.bit_share): row.ratios.reads for row in rows}
    assert gains[0.0, 1.0] < gains[0.0, 0.2] < gains[0.5, 0.2]
    assert gains[0.0, 1.0] < gains[0.5, 1.0]
    trace = structured_network("tiny", 0.5, 0.0, 0)
    every_bit = use_of_plan(laid_out(trace, "sre", "sre", ()), ())
    baseline = use_of_plan(laid_out(trace, "sre", "sre", BASELINE), ())
    assert gains[0.5, 1.0] == pytest.approx(baseline.reads / every_bit.reads)


def test_a_change_names_what_it_changes() -> None:
    changes = [c for c in pattern_points.SENSITIVITIES if c.key in ("column padding", "crossbar")]
    rows = {(row.key, row.value): row.ratios for row in sensitivity(price_tables(), changes)}
    assert len(rows) == 6
    assert rows["crossbar", "512 x 512"] == rows["column padding", "on"]
    assert rows["crossbar", "128 x 128"].area > rows["crossbar", "1024 x 1024"].area
    keys = {change.key for change in pattern_points.SENSITIVITIES}
    assert {"patterns P", "kept entries k", "cell bits", "operation unit", "encoding"} <= keys


def test_a_verdict_says_where_a_ratio_lies() -> None:
    assert [verdict(x, (1.15, 1.35)) for x in (1.14, 1.15, 1.2, 1.35, 1.36)] == [
        "below",
        "in",
        "in",
        "in",
        "above",
    ]


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fewer points, so that the whole command takes seconds."""
    named = {(change.key, change.value): change for change in pattern_points.SENSITIVITIES}
    changes = (named["seed", "0"], named["cell bits", "8"])
    monkeypatch.setattr(pattern_crossbar, "POINTS", (BASE,))
    monkeypatch.setattr(pattern_crossbar, "SENSITIVITIES", changes)
    monkeypatch.setattr(pattern_crossbar, "SPARSE_NETWORK", "tiny")
    monkeypatch.setattr(
        pattern_crossbar, "grid", partial(grid, kept=(2, 4), zero_shares=(0.2, 0.5))
    )


def printed(found: dict[str, Any]) -> str:
    written = text(json.loads(json.dumps(found)))
    assert "MISSED" not in written and "nan" not in written
    return written


@pytest.mark.usefixtures("small")
def test_without_traces_nothing_is_run(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("an image was run")

    monkeypatch.setattr(PreparedCrossbars, "run_batch", refuse)
    figure = tmp_path / "ratios.svg"
    assert pattern_crossbar.main(["--json", "--plot", str(figure)]) == 0
    assert figure.stat().st_size > 1000
    found = json.loads(capsys.readouterr().out)
    written = printed(found)
    for row in ("PP1", "PP3", "PP4", "PP6", "why they differ", "4.16-5.20x", "13.1x"):
        assert row in written
    assert "real inputs" not in written
    assert [row["value"] for row in found["sensitivity"]] == ["0", "8"]
    assert len(found["points"]) == 3 and len(found["grid"]) == 4
    assert found["linear_layers"]["convolutions_dense"] == 234


@pytest.mark.usefixtures("small")
def test_traces_are_run_on_images(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    pruning = PatternPruning(kept=4, n_patterns=8)
    for name in ("vgg16q_pattern", "squeezenet"):
        trace = synthetic_network("tiny", 1, n_samples=3, pruning=pruning)
        write_trace(trace, tmp_path / f"{name}.h5")
    assert pattern_crossbar.main(["--json", "--traces", str(tmp_path), "--images", "2"]) == 0
    found = json.loads(capsys.readouterr().out)
    real = found["real"]
    assert {row["network"] for row in real["sparse"]} == {"vgg16q_pattern", "squeezenet"}
    by_key = {(row["preset"], row["skip"]): row["use"] for row in real["pattern"]}
    assert len(by_key) == 12
    for preset in (name for pair in found["presets"].values() for name in pair):
        whole = by_key[preset, "none"]["reads"]
        for skip in ("bit_plane", "vector"):
            use = by_key[preset, skip]
            assert use["reads"] + use["skipped"] == whole
        assert by_key[preset, "bit_plane"]["skipped"] >= by_key[preset, "vector"]["skipped"]
    written = printed(found)
    assert "PP5" in written and "real zeros" in written


def test_a_folder_without_traces_is_refused(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    with pytest.raises(SystemExit):
        pattern_crossbar.main(["--traces", str(tmp_path)])
    assert "no trace of a known name" in capsys.readouterr().err
