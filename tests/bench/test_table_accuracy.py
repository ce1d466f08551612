"""Accuracy against codebook sizes: exact arithmetic, points, levels, the table and the figure."""

import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch")

from bench import codebook_traces, table_accuracy
from bench.codebook_traces import LARGEST, at_size, codebook_trace
from bench.exact_tables import ExactTables
from bench.finished_points import Journal
from bench.networks.float_networks import RealNetwork
from bench.table_accuracy import Point, Wanted, accuracies, baseline, measure
from bench.table_text import loss_of, plain, table
from bitpim import make_machine
from bitpim.errors import ConfigError, MismatchError
from bitpim.proof.reference import run_network
from bitpim_traces import write_trace
from bitpim_traces.exporter import Pixels
from bitpim_traces.quantize import CodebookSettings, quantize_codebooks
from bitpim_traces.quantize.assemble import with_answers
from bitpim_traces.records import TensorRecord, Trace
from bitpim_traces.synthetic import synthetic_float_network
from bitpim_traces.synthetic.images import synthetic_images
from tests.codebook_traces import codebook_trace as codebook_trace_of

N_IMAGES = 18


@pytest.fixture(scope="module")
def trace() -> Trace:
    """A small network whose choices are many; labels are half the float answers."""
    network = synthetic_float_network("tiny", 3)
    images = np.random.default_rng(8).standard_normal((N_IMAGES, *network.input_shape), np.float32)
    (scores,) = network.outputs(images).values()
    last = network.layers[-1]
    bias = -scores.mean(axis=0) + (0 if last.bias is None else last.bias)
    layers = (*network.layers[:-1], replace(last, bias=bias.astype(np.float32)))
    network = replace(network, layers=layers)
    settings = CodebookSettings(weight_codes=LARGEST, input_codes=LARGEST)
    made = with_answers(quantize_codebooks(network, images, settings=settings), network, images)
    answers = made.layers[-1].output_float
    assert answers is not None
    labels = answers.read().argmax(axis=1)
    labels[::2] = (labels[::2] + 1) % answers.shape[1]
    samples = replace(
        made.samples,
        labels=TensorRecord.of(labels.astype(np.int32), axes="N", role="labels"),
    )
    return replace(made, samples=samples)


def wanted(size: int = LARGEST, mode: str = "abs", *counts: int) -> Wanted:
    return Wanted("tiny", size, mode, counts or (N_IMAGES,))


def classes(trace: Trace, *assigned: str) -> list[int]:
    made = make_machine("rapidnn", None, assigned)
    *_, last = made.prepare(trace, fidelity="bit").run_batch(trace.samples.codes.read())
    found: list[int] = last.codes.argmax(axis=1).tolist()
    return found


@pytest.mark.parametrize("size", [4, 16, LARGEST])
def test_exact_arithmetic_is_that_of_the_referee(trace: Trace, size: int) -> None:
    sized = trace if size == LARGEST else at_size(trace, size)
    codes = sized.samples.codes.read(0, 5)
    (expected,) = run_network(sized, codes).values()
    np.testing.assert_array_equal(ExactTables(sized).run(codes), expected)


def test_exact_arithmetic_of_windows_of_any_kind() -> None:
    """Strides, groups and borders that differ on all sides, where products are exact."""
    n_exact = 0
    for seed in range(24):
        trace = codebook_trace_of(seed, n_layers=1, most_codes=16, kinds=("conv2d",))
        try:
            exact = ExactTables(trace)
        except ConfigError:
            continue
        (expected,) = run_network(trace, trace.samples.codes.read()).values()
        np.testing.assert_array_equal(exact.run(trace.samples.codes.read()), expected)
        padding = trace.layers[0].geometry.padding  # type: ignore[union-attr]
        n_exact += len(set(padding)) > 1
    assert n_exact >= 3


def test_rounded_products_have_no_exact_arithmetic() -> None:
    network = synthetic_float_network("tiny", 3)
    images = synthetic_images(2, network.input_shape, 3)
    settings = CodebookSettings(weight_codes=4, input_codes=4, product_fraction_bits=3)
    with pytest.raises(ConfigError, match="need products that are exact, got rounded ones"):
        ExactTables(quantize_codebooks(network, images, settings=settings))


@pytest.mark.parametrize(("size", "mode"), [(LARGEST, "abs"), (4, "abs"), (4, "wxor")])
def test_a_point_counts_what_the_machine_chooses(trace: Trace, size: int, mode: str) -> None:
    sized = trace if size == LARGEST else at_size(trace, size)
    base = baseline(trace)
    few, every = measure(sized, base, wanted(size, mode, 7, N_IMAGES))
    chosen, labels = classes(sized, f"match.mode={mode}"), base.labels.tolist()
    answers = trace.layers[-1].output_float
    assert answers is not None
    real = answers.read().argmax(axis=1).tolist()
    for point, n in ((few, 7), (every, N_IMAGES)):
        pairs = list(zip(chosen, labels, real, strict=True))[:n]
        assert point.n_images == n
        assert point.n_right == sum(a == b for a, b, _ in pairs)
        assert point.n_float == sum(b == c for _, b, c in pairs) == n // 2
        assert point.n_same == sum(a == c for a, _, c in pairs)
        assert (point.size, point.mode) == (size, mode)
        assert point.fidelity == ("integer" if mode == "abs" else "bit")
    assert few.key != every.key


def test_small_codebooks_choose_otherwise(trace: Trace) -> None:
    """Else the tests above compare one network with itself."""
    assert len(set(classes(trace))) > 2
    assert classes(at_size(trace, 4)) != classes(trace)
    assert classes(at_size(trace, 4), "match.mode=wxor") != classes(at_size(trace, 4))


def test_arithmetic_that_is_not_the_machine_s_stops_it(
    trace: Trace, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = ExactTables.run
    monkeypatch.setattr(ExactTables, "run", lambda self, codes: run(self, codes) + 1)
    with pytest.raises(MismatchError, match="exact arithmetic differ on the first 16 images"):
        measure(trace, baseline(trace), wanted())


def test_fidelities_that_differ_stop_it(trace: Trace, monkeypatch: pytest.MonkeyPatch) -> None:
    made = make_machine("rapidnn")
    other = make_machine("rapidnn", None, ["adder.digits=signed"])
    monkeypatch.setattr(
        made,
        "prepare",
        lambda trace, *, fidelity, jobs: (made if fidelity == "bit" else other).__class__.prepare(
            made if fidelity == "bit" else other, trace, fidelity=fidelity, jobs=jobs
        ),
    )
    with pytest.raises(MismatchError, match=r"layer 0 .* bit and integer fidelity differ"):
        table_accuracy.need_equal(trace, made, ExactTables(trace), 2)


def test_finished_points_are_not_run_again(
    trace: Trace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, ran = tmp_path / "points.jsonl", list[Wanted]()

    def counted(*given: Any, **more: Any) -> list[Point]:
        ran.append(given[2])
        return measure(*given, **more)

    monkeypatch.setattr(table_accuracy, "measure", counted)
    every = [wanted(4, "wxor", 3), wanted(LARGEST, "wxor", 3)]
    first = accuracies(lambda *_: trace, every, Journal(Point, path))
    with path.open("a") as cut:
        cut.write('{"network": "ti')
    more = [*every, wanted(4, "wxor", 4), wanted(4, "staged", 3)]
    again = accuracies(lambda *_: trace, more, Journal(Point, path))
    assert again[:2] == first
    assert ran == [*every, *more[2:]]
    assert len(Journal(Point, path).points) == 4


@pytest.mark.parametrize("n", [0, N_IMAGES + 1])
def test_a_count_of_images_that_there_is_not(trace: Trace, n: int) -> None:
    with pytest.raises(ConfigError, match=f"need 1 to {N_IMAGES} images, got --images {n}"):
        measure(trace, baseline(trace), wanted(4, "abs", n))


def test_answers_to_some_images_are_no_baseline(trace: Trace) -> None:
    last = trace.layers[-1]
    assert last.output_float is not None
    few = TensorRecord.of(
        last.output_float.read(0, 5), axes="NC", role="output_float", units="real"
    )
    short = replace(trace, layers=(*trace.layers[:-1], replace(last, output_float=few)))
    with pytest.raises(ConfigError, match="answers to all samples"):
        baseline(short)


def point(size: int, mode: str, n_right: int, n_images: int = 200, *, again: bool = False) -> Point:
    key = f"{size}{mode}{n_images}{again}"
    return Point("net", size, mode, again, "bit", n_images, n_right, n_images // 2, 9, 0.1, key)


POINTS = [
    point(4, "abs", 20),
    point(64, "abs", 90),
    point(64, "abs", 500, 1000),
    point(64, "wxor", 30),
    point(4, "abs", 80, again=True),
]


def test_the_table_has_a_row_for_each_curve_and_count() -> None:
    assert loss_of(POINTS[1]) == pytest.approx(5.0)
    head, *rows = (line.split() for line in table(POINTS).splitlines())
    assert head[:6] == ["network", "match", "images", "float", "4", "64"]
    assert rows == [
        ["net", "abs", "200", "50.00", "10.00", "45.00", "+5.00"],
        ["net", "abs", "1,000", "50.00", "-", "50.00", "+0.00"],
        ["net", "wxor", "200", "50.00", "-", "15.00", "+35.00"],
        ["net", "abs,", "re-trained", "200", "50.00", "40.00", "-", "+10.00"],
    ]


def test_the_figure_has_a_panel_a_network_and_a_line_a_curve() -> None:
    pytest.importorskip("matplotlib")
    from bench.table_figure import draw_accuracy

    (axes,) = draw_accuracy(plain(POINTS)).axes
    lines = {line.get_label(): line for line in axes.get_lines()}
    assert list(lines["abs"].get_xdata()) == [4, 64]
    assert list(lines["abs"].get_ydata()) == [10.0, 50.0]  # of most images
    assert list(lines["wxor"].get_ydata()) == [15.0]
    assert list(lines["abs, re-trained"].get_ydata()) == [40.0]
    assert list(lines["float"].get_ydata()) == [50.0, 50.0]


def test_the_command_writes_json_points_and_a_figure(
    trace: Trace,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    pytest.importorskip("matplotlib")
    write_trace(trace, tmp_path / f"perceptron_{LARGEST}.h5")
    out, figure = tmp_path / "a.json", tmp_path / "a.svg"
    words = ["--network", "perceptron", "--traces", str(tmp_path), "--sizes", "4", "64", "--all"]
    words += ["--images", "16", "--match-images", "2", "--modes", "abs", "wxor", "--jobs", "1"]
    words += ["-o", str(out), "--figure", str(figure)]
    monkeypatch.setattr(sys, "argv", ["table_accuracy", *words])
    assert table_accuracy.main() == 0
    assert "loss at the largest" in capsys.readouterr().out
    points = json.loads(out.read_text("utf-8"))["points"]
    found = [(p["size"], p["mode"], p["n_images"]) for p in points]
    assert found == [
        (4, "abs", 16), (64, "abs", 16), (64, "abs", N_IMAGES), (4, "wxor", 2), (64, "wxor", 2),
    ]  # fmt: skip
    assert len((tmp_path / "a.jsonl").read_text("utf-8").splitlines()) == 5
    assert b"</svg>" in figure.read_bytes()


def test_a_trace_that_is_not_there_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("BITPIM_REAL_DATA", raising=False)
    monkeypatch.setattr(sys, "argv", ["table_accuracy", "--traces", str(tmp_path)])
    assert table_accuracy.main() == 3
    message = capsys.readouterr().err
    assert "no such trace; give --real-data" in message and message.count("\n") == 1


def test_a_made_trace_is_kept_and_smaller_sizes_are_levels(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Float answers are those of the network as given; training leaves them."""
    network = synthetic_float_network("tiny", 3)
    rng = np.random.default_rng(2)
    pixels = Pixels(rng.integers(0, 256, (6, *network.input_shape), np.uint8))
    labels = np.zeros(6, np.int64)
    nothing: Any = None
    real = RealNetwork(network, nothing, pixels, labels, pixels, labels, "drawn")
    asked: list[str] = []

    def read(name: str, _: Path) -> RealNetwork:
        asked.append(name)
        return real

    monkeypatch.setattr(codebook_traces, "_real", read)
    made = codebook_trace("perceptron", tmp_path, tmp_path, 16)
    assert codebook_trace("perceptron", tmp_path, None, 16).digest == made.digest
    assert asked == ["perceptron"]
    (expected,) = network.outputs(pixels.read(0, 6)).values()
    answers = made.layers[-1].output_float
    assert answers is not None
    np.testing.assert_allclose(answers.read(), expected, rtol=1e-4, atol=1e-5)
    sizes = [q.code_max + 1 for q in (made.samples.quantization, made.layers[0].output)]
    small = at_size(made, 4)
    assert all(4 < size <= 16 for size in sizes)
    assert small.samples.quantization.code_max < 4
    assert small.layers[0].weight_quantization.code_max < 4  # type: ignore[union-attr]


def test_points_of_some_files_are_drawn_together(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("matplotlib")
    from bench.table_figure import main

    for place, some in enumerate((POINTS[:2], POINTS[2:])):
        journal = Journal(Point, tmp_path / f"{place}.jsonl")
        for one in some:
            journal.add(one)
    files, figure = [str(tmp_path / f"{place}.jsonl") for place in range(2)], tmp_path / "a.svg"
    assert main([*files, "--figure", str(figure)]) == 0
    assert capsys.readouterr().out.strip() == table(POINTS)
    assert b"</svg>" in figure.read_bytes()
    with pytest.raises(SystemExit):
        main([str(tmp_path / "none.jsonl")])
