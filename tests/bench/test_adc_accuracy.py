"""Accuracy against ADC bits: points, resuming, the table and the figure."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from bench import adc_accuracy
from bench.adc_accuracy import Point, Wanted, accuracies, baseline, measure, plain, table
from bench.finished_points import Journal
from bitpim.errors import ConfigError
from bitpim.proof.reference import run_network
from bitpim_traces import open_trace, write_trace
from bitpim_traces.records import Trace
from bitpim_traces.synthetic import synthetic_network

N_IMAGES = 7
SMALL = ("geometry.array_rows=64", "geometry.array_columns=64")


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("adc") / "tiny.h5"
    write_trace(synthetic_network("tiny", 3, n_samples=N_IMAGES + 2), path)
    return path


def wanted(bits: int, model: str = "clip") -> Wanted:
    return Wanted("dense_crossbar", model, bits, "dense_crossbar_8bit", SMALL)


def test_the_baseline_is_the_referee_and_the_float_network(tiny: Path) -> None:
    trace = open_trace(tiny)
    base = baseline(trace, N_IMAGES)
    codes = trace.samples.codes.read(0, N_IMAGES)
    (expected,) = run_network(trace, codes).values()
    assert base.exact.tolist() == expected.reshape(N_IMAGES, -1).argmax(axis=1).tolist()
    last = trace.layers[-1].output_float
    assert last is not None and base.real is not None
    assert base.real.tolist() == last.read(0, N_IMAGES).argmax(axis=1).tolist()
    assert trace.samples.labels is not None
    right = np.mean(base.exact == trace.samples.labels.read(0, N_IMAGES))
    assert base.integer_accuracy == right


@pytest.mark.parametrize("n_images", [0, N_IMAGES + 3])
def test_images_that_are_not_there_are_refused(n_images: int, tiny: Path) -> None:
    with pytest.raises(ConfigError, match=f"1 to 9 images, got --images {n_images}"):
        baseline(open_trace(tiny), n_images)


def test_a_lossy_point_is_the_machine_at_bit_fidelity(
    tiny: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(adc_accuracy, "BATCH", 3)  # two whole batches and a rest
    trace = open_trace(tiny)
    base = baseline(trace, N_IMAGES)
    seen: list[int] = []
    point = measure(trace, base, wanted(1), advance=lambda _, n: seen.append(n))
    machine = wanted(1).make()
    codes = trace.samples.codes.read(0, N_IMAGES)
    *_, last = machine.prepare(trace, fidelity="bit").run_batch(codes)
    chosen = last.codes.reshape(N_IMAGES, -1).argmax(axis=1)
    assert not point.lossless
    assert point.n_right == int((chosen == base.labels).sum())
    assert point.n_same == int((chosen == base.exact).sum())
    assert seen == [3, 3, 1]


def test_a_lossless_point_has_the_exact_answers(tiny: Path) -> None:
    trace = open_trace(tiny)
    base = baseline(trace, N_IMAGES)
    point = measure(trace, base, wanted(5, "round"))  # 9 rows of 2-bit cells: at most 27
    assert point.lossless and point.n_same == N_IMAGES
    assert point.n_right == int((base.exact == base.labels).sum())


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Wanted]]:
    """Points that are really run."""
    run: list[Wanted] = []

    def counted(trace: Trace, base: object, one: Wanted, **options: object) -> Point:
        run.append(one)
        return measure(trace, base, one, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(adc_accuracy, "measure", counted)
    yield run


def test_finished_points_are_not_run_again(
    tiny: Path, tmp_path: Path, measured: list[Wanted]
) -> None:
    trace, path = open_trace(tiny), tmp_path / "points.jsonl"
    base = baseline(trace, N_IMAGES)
    first = accuracies(trace, base, [wanted(1), wanted(5)], Journal(Point, path))
    with path.open("a", encoding="utf-8") as lines:
        lines.write('{"machine": "dense_cro')  # cut off
    seen: list[int] = []
    again = accuracies(
        trace,
        base,
        [wanted(1), wanted(2), wanted(5)],
        Journal(Point, path),
        advance=lambda _, n: seen.append(n),
    )
    assert [one.adc_bits for one in measured] == [1, 5, 2]
    assert sum(seen) == 3 * N_IMAGES
    assert [again[0], again[2]] == first
    assert {p.adc_bits for p in Journal(Point, path).points.values()} == {1, 2, 5}


def test_other_settings_and_other_images_are_other_points(
    tiny: Path, measured: list[Wanted]
) -> None:
    trace, journal = open_trace(tiny), Journal(Point)
    base = baseline(trace, N_IMAGES)
    skipping = Wanted(
        "dense_crossbar", "clip", 5, "dense_crossbar_8bit", (*SMALL, "mapping.zero_skip=vector")
    )
    accuracies(trace, base, [wanted(5), skipping, wanted(5)], journal)
    accuracies(trace, baseline(trace, N_IMAGES - 1), [wanted(5)], journal)
    assert len(measured) == len(journal.points) == 3


def some_point(machine: str, model: str, bits: int, n_right: int, *, lossless: bool) -> Point:
    return Point(machine, "", model, bits, 8, n_right, 8, lossless, 0.5, f"{machine}{model}{bits}")


def test_the_table_marks_what_is_lossless(tiny: Path) -> None:
    base = baseline(open_trace(tiny), N_IMAGES)
    points = [
        some_point("isaac", "clip", 3, 1, lossless=False),
        some_point("isaac", "clip", 8, 7, lossless=True),
        some_point("isaac", "clip", 9, 7, lossless=True),
        some_point("sre", "round", 3, 2, lossless=True),
    ]
    lines = table(base, points).splitlines()
    assert lines[1].split() == ["bits", "isaac", "clip", "sre", "round"]
    assert lines[2].split() == ["3", "12.50", "25.00="]
    assert lines[3].split() == ["8", "87.50=", "-"]
    found = plain(base, points)
    assert found["lossless_bits"] == {"isaac clip": 8, "sre round": 3}
    assert [p["accuracy"] for p in found["points"]] == [0.125, 0.875, 0.875, 0.25]


def run_main(monkeypatch: pytest.MonkeyPatch, *words: str) -> int:
    monkeypatch.setattr(sys, "argv", ["adc_accuracy", *words])
    return adc_accuracy.main()


def test_the_command_writes_json_points_and_a_figure(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("matplotlib")
    out, figure = tmp_path / "a.json", tmp_path / "a.svg"
    words = ["--trace", str(tiny), "--images", "3", "--jobs", "1", "-o", str(out)]
    words += ["--machines", "dense_crossbar=dense_crossbar_8bit", "--bits", "2", "5"]
    words += ["--models", "clip", "round", "--set", *SMALL]
    assert run_main(monkeypatch, *words, "--figure", str(figure)) == 0
    assert "exact integers" in capsys.readouterr().out
    found = json.loads(out.read_text("utf-8"))
    assert found["lossless_bits"] == {
        "dense_crossbar_8bit clip": 5,
        "dense_crossbar_8bit round": 5,
    }
    assert len(found["points"]) == 4
    assert len((tmp_path / "a.jsonl").read_text("utf-8").splitlines()) == 4
    drawn = figure.read_bytes()
    assert drawn.startswith(b"<?xml") and b"</svg>" in drawn
    assert run_main(monkeypatch, *words, "--figure", str(figure)) == 0
    assert figure.read_bytes() == drawn


def test_the_figure_has_a_line_for_each_curve_and_a_ring_for_each_lossless_one(tiny: Path) -> None:
    pytest.importorskip("matplotlib")
    from bench.adc_figure import draw_accuracy

    points = [
        some_point("isaac", "clip", 8, 7, lossless=True),  # out of order
        some_point("isaac", "clip", 3, 1, lossless=False),
        some_point("sre", "clip", 3, 2, lossless=False),
    ]
    found = plain(baseline(open_trace(tiny), N_IMAGES), points)
    found |= {"float_accuracy": None, "integer_accuracy": 0.875}
    (axes,) = draw_accuracy(found).axes
    lines = {line.get_label(): line for line in axes.get_lines()}
    assert list(lines["isaac"].get_xdata()) == [3, 8]
    assert list(lines["isaac"].get_ydata()) == [12.5, 87.5]
    assert list(lines["sre"].get_ydata()) == [25.0]
    assert "float" not in lines
    assert list(lines["exact integers"].get_ydata()) == [87.5, 87.5]
    rings = [line for line in axes.get_lines() if line.get_label().startswith("_")]
    assert [list(ring.get_xdata()) for ring in rings] == [[8]]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--machines", "isaak"], "isaak"),
        (["--bits", "0"], "need 1 to 16 bits, got 0"),
        (["--machines", "sre=nothing"], "nothing"),
        (["--images", "100"], "got --images 100"),
    ],
)
def test_bad_input_is_one_line(
    words: list[str],
    said: str,
    tiny: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    given = ["--trace", str(tiny), "--images", "2", *words]
    assert run_main(monkeypatch, *given) == 3
    message = capsys.readouterr().err
    assert said in message and message.count("\n") == 1
