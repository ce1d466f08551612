"""`bitpim cache`: shows and prunes compiled kernels, and touches nothing else."""

import json
from pathlib import Path

import pytest
from numba.core import event

from bitpim.cli.app import run
from bitpim.cli.progress import COMPILING, say_when_compiling
from bitpim_kernels.kernel_cache import source_digest


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    root = tmp_path / "cache"
    root.mkdir(mode=0o700)
    monkeypatch.setenv("BITPIM_CACHE_DIR", str(root))
    monkeypatch.delenv("NUMBA_CACHE_DIR", raising=False)
    for name in (source_digest(), "0" * 16, "1" * 16, "precious", "2" * 17):
        (root / name / "sub").mkdir(parents=True)
        (root / name / "sub" / "a.kernel").write_bytes(bytes(1000))
    (root / ("3" * 16)).symlink_to(root / "precious")
    return root


def shown(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, object]:
    assert run(["cache", *arguments, "--json"]) == 0
    found: dict[str, object] = json.loads(capsys.readouterr().out)
    return found


def test_shows_folder_sizes_and_bounds(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    row = shown(capsys)
    assert row["folder"] == str(root)
    assert (row["n_kernels"], row["n_bytes"]) == (1, 1000)
    assert (row["other_digests"], row["other_n_bytes"]) == (2, 2000)
    assert run(["cache"]) == 0
    out = capsys.readouterr().out
    assert str(root) in out and "2 other sources: bitpim cache --prune" in out
    assert f"unused for {row['max_days']} days" in out and "512.0 MiB" in out


def test_prune_removes_other_digests_only(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert shown(capsys, "--prune")["freed_n_bytes"] == 2000
    left = {path.name for path in root.iterdir()}
    assert left == {source_digest(), "precious", "2" * 17, "3" * 16}
    assert (root / "precious" / "sub" / "a.kernel").exists()
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
    assert capsys.readouterr().err == COMPILING


def compile_something() -> None:
    with event.trigger_event("numba:compile"):  # what a dispatcher tells when no cache helped
        pass
