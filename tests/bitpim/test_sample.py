"""The shipped network is found in a checkout and where a wheel put it."""

from importlib import metadata
from pathlib import Path

import pytest

import bitpim_traces
from bitpim import sample
from bitpim.errors import ConfigError


def test_the_sample_beside_the_sources_is_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / sample.SAMPLE
    monkeypatch.setattr(bitpim_traces, "__file__", str(tmp_path / "bitpim_traces" / "__init__.py"))
    monkeypatch.setattr(metadata, "files", lambda _: None)
    with pytest.raises(ConfigError, match="bitpim demo TRACE"):
        sample.sample_path()
    path.parent.mkdir(parents=True)
    path.touch()
    assert sample.sample_path() == path


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
    names = ["bitpim/cli/app.py", f"share/bitpim/{sample.SAMPLE}"]
    entries = [Entry(name, tmp_path / "prefix") for name in names]
    monkeypatch.setattr(metadata, "files", lambda _: entries)
    path = tmp_path / "prefix" / "share" / "bitpim" / sample.SAMPLE
    with pytest.raises(ConfigError, match="install bitpim anew"):
        sample.sample_path()
    path.parent.mkdir(parents=True)
    path.touch()
    assert sample.sample_path() == path
