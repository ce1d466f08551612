"""Commands run in this process, on a machine that is only the referee."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bitpim.cli.app import run
from bitpim.cli.progress import COMPILING
from bitpim.config import MachineEntry
from bitpim.machine import registry
from bitpim_traces import write_trace
from tests import fakes
from tests.strategies import small_trace

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def bitpim(capsys: pytest.CaptureFixture[str]) -> Run:
    """Run a command line; yields exit code, stdout and stderr.

    Whether kernels are compiled, and said to be, depends on what ran before: that line is left out.
    """

    def call(*arguments: object) -> tuple[int, str, str]:
        capsys.readouterr()
        code = run([str(argument) for argument in arguments])
        out, err = capsys.readouterr()
        return code, out, err.replace(COMPILING, "")

    return call


@pytest.fixture
def bitpim_json(bitpim: Run) -> Callable[..., Any]:
    """Run a command line with --json that has to succeed; yields what it printed."""

    def call(*arguments: object) -> Any:
        code, out, err = bitpim(*arguments, "--json")
        assert (code, err) == (0, "")
        return json.loads(out, parse_constant=pytest.fail)

    return call


class Referee(fakes.RefereeMachine):
    """What the commands get when they ask for neural_cache."""

    wrong: int | None = None

    def __init__(self, settings: Any) -> None:
        super().__init__(settings, wrong_at=self.wrong)


@pytest.fixture
def referee(monkeypatch: pytest.MonkeyPatch) -> type[Referee]:
    """Put the referee where neural_cache is; `referee.wrong = 3` makes it err in layer 3."""
    monkeypatch.setattr(Referee, "wrong", None)
    known = registry.entry_of

    def entry_of(name: str) -> MachineEntry:
        entry = known(name)
        return replace(entry, make=Referee) if name == "neural_cache" else entry

    monkeypatch.setattr(registry, "entry_of", entry_of)
    return Referee


@pytest.fixture
def net(tmp_path: Path) -> Path:
    """A small trace file of six layers and five samples."""
    path = tmp_path / "net.h5"
    kinds = ["conv2d", "max_pool2d", "add", "activation", "flatten", "linear"]
    write_trace(small_trace(9, kinds=kinds, n_samples=5, float_noise=True), path)
    return path
