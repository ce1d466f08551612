"""Pruned real networks on crossbar machines: bit and integer fidelity, and the referee, agree."""

from pathlib import Path

import numpy as np
import pytest

from bitpim.machine.registry import make_machine
from bitpim.proof.reference import iter_network
from bitpim_traces.records import Trace

pytestmark = [pytest.mark.real, pytest.mark.slow]


def agree(trace: Trace, machine: str, n_samples: int, *settings: str) -> None:
    """Require equal outputs of every layer, and equal counts."""
    codes = trace.samples.codes.read(0, n_samples)
    made = make_machine(machine, None, list(settings))
    exact = made.prepare(trace, fidelity="integer", jobs=2)
    bit = made.prepare(trace, fidelity="bit", jobs=2)
    runs = zip(
        bit.run_batch(codes), exact.run_batch(codes), iter_network(trace, codes), strict=True
    )
    for mine, other, (index, expected) in runs:
        assert mine.index == other.index == index
        name = f"{machine}: {trace.layers[index].name}"
        np.testing.assert_array_equal(mine.codes, expected, name)
        np.testing.assert_array_equal(other.codes, expected, name)
        assert mine.counts == other.counts, name


@pytest.fixture(scope="module")
def vgg16q_pattern(real_data: Path) -> Trace:
    pytest.importorskip("torch", reason="the network is exported from PyTorch")
    from bench.networks.vgg16q import make

    return make(real_data, variant="pattern", n_samples=4)


@pytest.mark.parametrize(
    "machine", ["dense_crossbar", "isaac", "sre", "pattern_crossbar", "pipelayer"]
)
def test_the_pattern_pruned_network(machine: str, vgg16q_pattern: Trace) -> None:
    agree(vgg16q_pattern, machine, 4)


def test_pruned_convolutions_are_laid_out_by_patterns_on_fewer_crossbars(
    vgg16q_pattern: Trace,
) -> None:
    rows = make_machine("pattern_crossbar").plan(vgg16q_pattern).table()
    dense = make_machine("dense_crossbar").plan(vgg16q_pattern).table()
    assert sum(r["arrays"] for r in rows) < sum(r["arrays"] for r in dense)
    by_name = {r["name"]: r["rule"] for r in rows}
    assert {n for n, rule in by_name.items() if rule == "patterns"} >= {
        layer.name for layer in vgg16q_pattern.layers if "patterns" in layer.extra
    }


def test_sparse_squeezenet_on_sre(real_data: Path) -> None:
    pytest.importorskip("torch", reason="the network is exported from PyTorch")
    from bench.networks.squeezenet import make

    agree(make(real_data, n_samples=1), "sre", 1)
