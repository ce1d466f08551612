"""The real command on a damaged, full, foreign or missing cache: the same result, one line."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from bitpim_traces import write_trace
from tests.bitpim.cli.live import live
from tests.strategies import small_trace

Spoil = Callable[[Path], None]


@pytest.fixture(scope="module")
def warm(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A trace, a result of it, and the two small kernels that made it."""
    folder = tmp_path_factory.mktemp("warm")
    trace = small_trace(1, kinds=["activation", "max_pool2d"], n_samples=2)
    write_trace(trace, folder / "net.h5")
    done = replay(folder, folder / "whole.h5", folder / "cache")
    assert (done[0], done[1][:9]) == (0, "compiling")
    assert len(kernels(folder / "cache")) == 2
    assert replay(folder, folder / "again.h5", folder / "cache") == (0, "")
    return folder


def replay(warm: Path, out: Path, cache: Path, shell: str = "") -> tuple[int, str]:
    command = ("replay", warm / "net.h5", "-m", "neural_cache", "--fidelity", "integer", "-o", out)
    environ = {"BITPIM_CACHE_DIR": str(cache), "TMPDIR": str(out.parent)}
    done = live(*command, environ=environ, shell=shell)
    return done.returncode, done.stderr


def kernels(cache: Path) -> list[Path]:
    return [path for path in cache.rglob("*") if path.is_file()]


def emptied(cache: Path) -> None:
    for path in kernels(cache):
        path.write_bytes(b"")


def halved(cache: Path) -> None:
    for path in kernels(cache):
        os.truncate(path, path.stat().st_size // 2)


def garbled(cache: Path) -> None:
    for path in kernels(cache):
        content = bytearray(path.read_bytes())
        content[len(content) // 2] ^= 0x10
        path.write_bytes(content)


def swapped(cache: Path) -> None:
    first, *_, last = sorted(kernels(cache))
    first.rename(cache / "kept")
    last.rename(first)
    (cache / "kept").rename(last)


@pytest.mark.parametrize(
    ("spoil", "said"),
    [(emptied, "damaged"), (halved, "damaged"), (garbled, "damaged"), (swapped, "")],
)
def test_a_damaged_cache_is_made_again(warm: Path, tmp_path: Path, spoil: Spoil, said: str) -> None:
    shutil.copytree(warm / "cache", tmp_path / "cache")
    spoil(tmp_path / "cache")
    code, err = replay(warm, tmp_path / "r.h5", tmp_path / "cache")
    lines = [line for line in err.splitlines() if not line.startswith("compiling")]
    assert code == 0 and len(lines) == bool(said), err
    assert not said or (said in lines[0] and str(tmp_path / "cache") in lines[0])
    assert (tmp_path / "r.h5").read_bytes() == (warm / "whole.h5").read_bytes()
    assert replay(warm, tmp_path / "again.h5", tmp_path / "cache") == (0, "")


def test_a_cache_that_others_may_write_is_not_run(warm: Path, tmp_path: Path) -> None:
    shutil.copytree(warm / "cache", tmp_path / "cache")
    (tmp_path / "cache").chmod(0o777)
    code, err = replay(warm, tmp_path / "r.h5", tmp_path / "cache")
    assert code == 0 and "other users may write to it" in err and err.count("\n") == 2
    assert (tmp_path / "r.h5").read_bytes() == (warm / "whole.h5").read_bytes()


def test_a_full_disk_under_it_costs_time_only(warm: Path, tmp_path: Path) -> None:
    """A limit on the size of files fails writes as a full disk does; results are smaller."""
    code, err = replay(warm, tmp_path / "r.h5", tmp_path / "cache", shell="ulimit -f 44; {}")
    lines = [line for line in err.splitlines() if not line.startswith("compiling")]
    assert code == 0, err
    assert len(lines) == 1 and str(tmp_path / "cache") in lines[0] and "make room" in lines[0]
    assert (tmp_path / "r.h5").read_bytes() == (warm / "whole.h5").read_bytes()
    assert not [path for path in kernels(tmp_path / "cache") if path.suffix == ".part"]


def test_no_home(warm: Path, tmp_path: Path) -> None:
    done = live(
        *("replay", warm / "net.h5", "-m", "neural_cache", "--fidelity", "integer"),
        *("-o", tmp_path / "r.h5"),
        environ={"TMPDIR": str(tmp_path)},
        shell="unset BITPIM_CACHE_DIR XDG_CACHE_HOME; HOME=/dev/null {}",
    )
    assert done.returncode == 0
    assert f"compiled kernels are kept in {tmp_path}" in done.stderr
