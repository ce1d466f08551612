"""The examination of real networks, on a synthetic one: what it measures and what it refuses."""

from dataclasses import replace
from pathlib import Path

import pytest

from bench.real_networks import NETWORKS, Network, Row, examine, faults_of, make_trace, table

GOOD = Row("n", 100, 90, 0.9, 0.9, 1.0, 4, 5, 5, 5, True, 1000, 1.0, 2.0, 1 << 20, 1 << 20, ())


@pytest.mark.slow
def test_a_network_is_replayed_and_compared(tmp_path: Path) -> None:
    network = Network("tiny", 1, 1.0, 0.0, synthetic=True)  # labels are the float network's own
    trace = tmp_path / "tiny.h5"
    make_trace(network, None, trace)
    row = examine(network, trace, tmp_path)
    assert faults_of(network, row) == []
    assert row.n_layers == row.layers_equal_referee == row.layers_equal_integer == 12
    assert row.counts_equal and row.bit_cycles_per_image > 0
    assert 10 << 20 < row.bit_peak_bytes < 1 << 30
    assert "12/12" in table([row])


def test_real_networks_need_their_files(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="resnet20: give --real-data"):
        make_trace(NETWORKS["resnet20"], None, tmp_path / "resnet20.h5")


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"accuracy": 0.889}, "accuracy 0.8890, need 0.9000 within 0.0100"),
        ({"accuracy": 0.911}, "accuracy 0.9110"),
        ({"accuracy": None}, "no labels"),
        ({"layers_equal_referee": 4}, "4 of 5 layers equal the referee"),
        ({"bit_peak_bytes": 3 << 30}, "peak 3072 MiB, at most 2048"),
        ({"integer_peak_bytes": 3 << 30}, "peak 3072 MiB, at most 2048"),
        ({"faults": ("layer 1 mac cycles: 3 and 4",)}, "layer 1 mac cycles"),
    ],
)
def test_every_miss_is_a_fault(changes: dict[str, object], fault: str) -> None:
    network = Network("n", 4, 0.9, 0.01)
    assert faults_of(network, GOOD) == []
    (found,) = faults_of(network, replace(GOOD, **changes))  # type: ignore[arg-type]
    assert found.startswith("n: ") and fault in found
