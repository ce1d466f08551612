"""Operators that write to their inputs: replaced where that is sound, else left to PyTorch."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch")

import torch
from torch import nn
from torch.nn import functional as f

from bitpim_traces import write_trace
from bitpim_traces.exporter import export, graph, read_network, torch_forward
from bitpim_traces.network import FloatNetwork
from bitpim_traces.quantize import Settings
from tests.traces.exporter.modules import Branches, Forward, InvertedResidual, SmallResidual, seeded

IMAGE = (3, 8, 8)


def images(n: int = 2) -> Any:
    return np.random.default_rng(0).normal(size=(n, *IMAGE)).astype(np.float32)


@pytest.fixture
def traced_again(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What PyTorch had to trace once more."""
    seen: list[Any] = []
    own = torch.export.ExportedProgram.run_decompositions

    def spied(program: Any, *given: Any, **named: Any) -> Any:
        seen.append(program)
        return own(program, *given, **named)

    monkeypatch.setattr(torch.export.ExportedProgram, "run_decompositions", spied)
    return seen


def conv(**options: Any) -> nn.Module:
    return seeded(nn.Conv2d(3, 3, 3, padding=1, **options))


def calling(run: Callable[[Any, torch.Tensor], Any]) -> nn.Module:
    return Forward(run, c=conv(), d=seeded(nn.Conv2d(3, 3, 1), 1))


ALONE: dict[str, Callable[[], nn.Module]] = {
    "a residual network": SmallResidual,
    "a mobile block": lambda: InvertedResidual(3),
    "branches": Branches,
    "limits": lambda: nn.Sequential(conv(), nn.ReLU(True), conv(), nn.Hardtanh(-1, 2, True)),
    "one after the other": lambda: calling(lambda m, x: m.c(x).add_(m.d(x)).relu_().mul_(2.0)),
    "to itself": lambda: calling(lambda m, x: (y := m.c(x)).add_(y)),
}


@pytest.mark.parametrize("case", ALONE)
def test_what_nothing_else_reads_needs_no_second_trace(case: str, traced_again: list[Any]) -> None:
    check(seeded(ALONE[case]()))
    assert not traced_again


def buffered() -> nn.Module:
    module = calling(lambda m, x: (m.seen.add_(1.0), m.c(x))[1])
    module.register_buffer("seen", torch.zeros(1))
    return module


def scaled() -> nn.Module:
    module = calling(lambda m, x: f.conv2d(x, m.w.clone().mul_(2.0)))
    module.register_buffer("w", torch.ones(3, 3, 1, 1))
    return module


SHARED: dict[str, Callable[[], nn.Module]] = {
    "read before": lambda: calling(lambda m, x: (y := m.c(x), m.d(y) + y.relu_())[1]),
    "a view": lambda: calling(lambda m, x: (y := m.c(x), y[:, :, ::2].relu_(), y)[2]),
    "the input": lambda: calling(lambda m, x: (x.relu_(), m.c(x) + x)[1]),
    "a buffer": buffered,
    "unknown": lambda: calling(lambda m, x: torch.hstack([m.c(x), m.c(x)])),
}


@pytest.mark.parametrize("case", SHARED)
def test_what_something_else_may_read_is_traced_again(case: str, traced_again: list[Any]) -> None:
    module = seeded(SHARED[case]())
    try:
        check(module)
    except Exception as refused:  # slices that are written to have no place in a trace
        assert case == "a view" and "slice_scatter" in str(refused), refused
    assert traced_again


def test_constants_may_be_written_to_and_are_left_as_they_were() -> None:
    module = scaled()
    check(module)
    assert torch.equal(module.get_buffer("w"), torch.ones(3, 3, 1, 1))


def check(module: nn.Module) -> FloatNetwork:
    """Read a module and compare what it computes."""
    network, softmax = read_network(module, IMAGE)
    assert not softmax
    x = torch.from_numpy(images())
    with torch.no_grad():
        expected = module(x.clone()).numpy()
    found = torch_forward(network, x)[len(network.layers) - 1].numpy().reshape(expected.shape)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)
    return network


@pytest.mark.parametrize("calibration", ["minmax", "mse"])
@pytest.mark.parametrize("n_references", [0, 3])
@pytest.mark.parametrize("case", ["a residual network", "a mobile block", "limits"])
def test_the_trace_is_that_of_a_second_tracing(
    case: str,
    n_references: int,
    calibration: str,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    module = seeded(ALONE[case]())
    settings = Settings(reference_samples=n_references, calibration=calibration)

    def digest(calibration: Any) -> str:
        trace = export(module, images(9), settings=settings, calibration=calibration)
        return write_trace(trace, tmp_path / "net.h5", overwrite=True)

    once = digest(4)
    monkeypatch.setattr(graph, "functional", lambda p, _: p.run_decompositions({}))
    assert digest(images(9)[:4]) == once  # an array's answers are not kept for the samples
