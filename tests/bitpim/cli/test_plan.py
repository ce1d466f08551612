"""`bitpim plan`: the table of a network on a machine."""

from pathlib import Path
from typing import Any

import pytest

from bitpim_traces import open_trace
from tests.bitpim.cli.conftest import Run
from tests.fakes import RefereePlan


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
