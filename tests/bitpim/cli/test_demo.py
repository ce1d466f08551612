"""`bitpim demo` on the real machine, and where it finds the shipped trace."""

from importlib import metadata
from pathlib import Path
from typing import Any

import pytest

import bitpim_traces
from bitpim.cli import demo
from bitpim.cli.progress import COMPILING
from bitpim.errors import ConfigError
from bitpim_traces import write_trace
from bitpim_traces.synthetic import synthetic_network
from tests.bitpim.cli.conftest import Run


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    path = tmp_path / "tiny.h5"
    write_trace(synthetic_network("tiny", 0, n_samples=3), path)
    return path


def test_replays_and_verifies_bit_by_bit(bitpim: Run, tiny: Path) -> None:
    code, out, err = bitpim("demo", tiny)
    assert code == 0
    assert err in ("", COMPILING)
    assert "tiny, 3 samples, on neural_cache" in out
    assert "L0: 12 of 12 layers equal the integer referee" in out
    assert "cycles" in out and "energy" in out and "% recalled" in out


def test_json(bitpim_json: Any, tiny: Path) -> None:
    found = bitpim_json("demo", tiny)
    assert found["verified"]["equal"] is True
    assert found["fidelity"] == "bit" and found["prices"] == "neural_cache_22nm"
    assert found["cycles"] > 0 and found["energy_pj"] > 0


def test_the_sample_beside_the_sources_is_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sample = tmp_path / demo.SAMPLE
    monkeypatch.setattr(bitpim_traces, "__file__", str(tmp_path / "bitpim_traces" / "__init__.py"))
    monkeypatch.setattr(metadata, "files", lambda _: None)
    with pytest.raises(ConfigError, match="bitpim demo TRACE"):
        demo.sample_path()
    sample.parent.mkdir(parents=True)
    sample.touch()
    assert demo.sample_path() == sample


class Entry:
    """One file of an installed wheel, where its scheme put it."""

    def __init__(self, name: str, root: Path) -> None:
        self.name, self.root = name, root

    def as_posix(self) -> str:
        return self.name

    def locate(self) -> Path:
        return self.root / self.name


def test_the_sample_of_an_installed_wheel_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bitpim_traces, "__file__", str(tmp_path / "bitpim_traces" / "__init__.py"))
    names = ["bitpim/cli/app.py", f"share/bitpim/{demo.SAMPLE}"]
    entries = [Entry(name, tmp_path / "prefix") for name in names]
    monkeypatch.setattr(metadata, "files", lambda _: entries)
    sample = tmp_path / "prefix" / "share" / "bitpim" / demo.SAMPLE
    with pytest.raises(ConfigError, match="install bitpim anew"):
        demo.sample_path()
    sample.parent.mkdir(parents=True)
    sample.touch()
    assert demo.sample_path() == sample
