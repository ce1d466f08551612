"""`bitpim plan`: the table of a network on a machine."""

from pathlib import Path
from typing import Any

import pytest

from bitpim_traces import open_trace, write_trace
from tests.bitpim.cli.conftest import Run
from tests.fakes import RefereePlan
from tests.strategies import small_trace


@pytest.mark.usefixtures("referee")
def test_one_row_a_layer_and_a_sum(bitpim: Run, net: Path) -> None:
    code, out, err = bitpim("plan", net, "--machine", "neural_cache")
    assert (code, err) == (0, "")
    lines = out.splitlines()
    trace = open_trace(net)
    assert all(layer.name in line for layer, line in zip(trace.layers, lines[3:], strict=False))
    assert lines[2].split()[:4] == ["index", "name", "kind", "arrays"]
    counts = [RefereePlan(trace, 1).counts(layer.index, 1) for layer in trace.layers]
    total = sum(events["cycles"] for phases in counts for events in phases.values())
    assert lines[-1].split()[0] == "all" and lines[-1].split()[-1] == f"{total:,}"


@pytest.mark.usefixtures("referee")
def test_json_has_the_same_rows(bitpim_json: Any, net: Path) -> None:
    found = bitpim_json("plan", net, "--machine", "neural_cache")
    trace = open_trace(net)
    assert [row["name"] for row in found["layers"]] == [layer.name for layer in trace.layers]
    assert found["layers"][0]["cycles"]["filter_load"] == 3


def test_crossbars_of_all_layers_are_added(bitpim: Run, bitpim_json: Any, net: Path) -> None:
    for machine, words in (("isaac", ""), ("sre", " that skips nothing")):
        command = ("plan", net, "-m", machine, *["--set", "numbers.encoding=offset"])
        _, out, _ = bitpim(*command)
        rows = bitpim_json(*command)["layers"]
        sums = [sum(row[key] for row in rows) for key in ("arrays", "ou_reads", "index_bits")]
        assert out.splitlines()[-1].split()[:4] == ["all", *(f"{n:,}" for n in sums)]
        assert f"cycles of one sample{words}, by phase" in out.splitlines()[0]


def test_the_largest_layer_is_drawn_unless_another_is_named(
    bitpim: Run, bitpim_json: Any, tmp_path: Path
) -> None:
    pytest.importorskip("matplotlib")
    net = tmp_path / "net.h5"
    write_trace(small_trace(9, kinds=["conv2d", "conv2d", "flatten", "linear"]), net)
    drawn = tmp_path / "plan.svg"
    command = ("plan", net, "--machine", "dense_crossbar", "--plot", drawn)
    rows = bitpim_json(*command)["layers"]
    pictures = {"": drawn.read_bytes()}
    for row in rows:
        if row["arrays"]:
            assert bitpim(*command, "--layer", row["name"])[::2] == (0, "")
            pictures[row["name"]] = drawn.read_bytes()
            assert bitpim(*command, "--layer", row["index"])[::2] == (0, "")
            assert drawn.read_bytes() == pictures[row["name"]]
    largest = max(rows, key=lambda row: (row["arrays"], row["utilization"]))
    assert len(set(pictures.values())) == 3 and pictures[""] == pictures[largest["name"]]


def test_what_cannot_be_drawn_is_refused(bitpim: Run, net: Path, tmp_path: Path) -> None:
    drawn = tmp_path / "plan.png"
    crossbars = ("plan", net, "--machine", "dense_crossbar")
    cases = [
        (("plan", net, "--machine", "neural_cache", "--plot", drawn), 3, "leave out --plot"),
        ((*crossbars, "--plot", drawn, "--layer", "max_pool2d_1"), 3, "a layer with weights"),
        ((*crossbars, "--plot", drawn, "--layer", "0,5"), 3, "one layer to draw, got 2"),
        ((*crossbars, "--plot", drawn, "--layer", "conv9"), 3, "has layers 0 to 5"),
        ((*crossbars, "--plot", tmp_path / "plan.gif"), 3, ".png, .svg, .pdf"),
        ((*crossbars, "--layer", "0"), 2, "--plot"),
        ((*crossbars, "--plot", net), 2, "another file than the trace"),
    ]
    before = net.read_bytes()
    for command, expected, words in cases:
        code, _, err = bitpim(*command)
        assert (code, words in err.replace("\n", " ")) == (expected, True), (command, err)
    assert not drawn.exists() and net.read_bytes() == before
