"""`bitpim cache`: shows and prunes compiled kernels, and touches nothing else."""

import json
from pathlib import Path

import pytest
from numba.core import event

from bitpim.cli.app import run
from bitpim.cli.progress import say_when_compiling
from bitpim_kernels.jit import source_digest


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("BITPIM_CACHE_DIR", str(tmp_path))
    monkeypatch.delenv("NUMBA_CACHE_DIR", raising=False)
    for name in (source_digest(), "0" * 16, "1" * 16, "precious", "2" * 17):
        (tmp_path / name / "sub").mkdir(parents=True)
        (tmp_path / name / "sub" / "a.nbc").write_bytes(bytes(1000))
    (tmp_path / ("3" * 16)).symlink_to(tmp_path / "precious")
    return tmp_path


def shown(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, object]:
    assert run(["cache", *arguments, "--json"]) == 0
    found: dict[str, object] = json.loads(capsys.readouterr().out)
    return found


def test_shows_folder_and_sizes(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    row = shown(capsys)
    assert row["folder"] == str(root)
    assert (row["n_bytes"], row["other_digests"], row["other_n_bytes"]) == (1000, 2, 2000)
    assert run(["cache"]) == 0
    assert str(root) in capsys.readouterr().out


def test_prune_removes_other_digests_only(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert shown(capsys, "--prune")["freed_n_bytes"] == 2000
    left = {path.name for path in root.iterdir()}
    assert left == {source_digest(), "precious", "2" * 17, "3" * 16}
    assert (root / "precious" / "sub" / "a.nbc").exists()
    assert shown(capsys, "--prune")["freed_n_bytes"] == 0


def test_no_folder_yet(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("BITPIM_CACHE_DIR", str(tmp_path / "absent"))
    assert shown(capsys)["n_bytes"] == 0


def test_compiling_is_announced_once(capsys: pytest.CaptureFixture[str]) -> None:
    say_when_compiling()
    assert capsys.readouterr().err == ""
    compile_something()
    compile_something()
    assert capsys.readouterr().err == "compiling kernels, once\n"


def compile_something() -> None:
    with event.trigger_event("numba:compile"):  # what a dispatcher tells when no cache helped
        pass
