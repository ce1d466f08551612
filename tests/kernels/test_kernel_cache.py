"""Compiled kernels on the disk: each state that the folder and a file in it can be in."""

import logging
import os
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from bitpim_kernels import cache_folder, kernel_cache
from bitpim_kernels.jit import kernel
from bitpim_kernels.kernel_cache import KernelCache, source_digest

IS_ROOT = hasattr(os, "geteuid") and os.geteuid() == 0


def plus_three(values: Any, out: Any) -> None:
    for i in range(values.shape[0]):
        out[i] = values[i] + 3


@pytest.fixture(autouse=True)
def fresh(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """A folder of temporary files of our own, and nothing remembered of other folders."""
    (tmp_path / "tmp").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))
    monkeypatch.setenv("BITPIM_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.delenv("NUMBA_CACHE_DIR", raising=False)
    forget()
    yield
    forget()


def forget() -> None:
    for remembered in (cache_folder._usable, cache_folder.tell, kernel_cache._prune_once):
        remembered.cache_clear()


@pytest.fixture
def lines(caplog: pytest.LogCaptureFixture) -> Callable[[], list[str]]:
    """What was said since it was last asked."""
    caplog.set_level(logging.WARNING)

    def said() -> list[str]:
        found = [record.getMessage() for record in caplog.records]
        caplog.clear()
        return found

    return said


def answers() -> tuple[int, int]:
    """Run a kernel as a fresh process would; yields how often the cache had it, and had it not."""
    again = kernel()(plus_three)
    out = np.zeros(4, np.int64)
    again(np.arange(4), out)
    assert out.tolist() == [3, 4, 5, 6]
    stats = again.stats  # type: ignore[attr-defined]
    return sum(stats.cache_hits.values()), sum(stats.cache_misses.values())


def entry(root: Path) -> Path:
    """The one file of the one kernel."""
    (found,) = (root / source_digest()).iterdir()
    return found


COMPILED, KEPT = (0, 1), (1, 0)


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o777])
def test_an_absent_folder_is_made_for_this_user_alone(
    tmp_path: Path, lines: Callable[[], list[str]], umask: int
) -> None:
    before = os.umask(umask)
    try:
        assert answers() == COMPILED
    finally:
        os.umask(before)
    root = tmp_path / "cache"
    assert [mode_of(p) for p in (root, root / source_digest())] == [0o700, 0o700]
    assert mode_of(entry(root)) & 0o077 == 0
    if not umask:
        assert answers() == KEPT
    assert lines() == []


def damages() -> list[Callable[[bytes], bytes]]:
    return [
        lambda content: b"",
        lambda content: content[: len(content) // 2],
        lambda content: content[:20],
        lambda content: content[:-1],
        lambda content: content + b"\0",
        lambda content: content[:1000] + bytes([content[1000] ^ 1]) + content[1001:],
        lambda content: b"\x80\x04." + content,
        lambda content: bytes(len(content)),
    ]


@pytest.mark.parametrize("damage", damages())
def test_a_damaged_kernel_is_made_again(
    tmp_path: Path, lines: Callable[[], list[str]], damage: Callable[[bytes], bytes]
) -> None:
    answers()
    path = entry(tmp_path / "cache")
    content = path.read_bytes()
    path.write_bytes(damage(content))
    assert answers() == COMPILED
    (line,) = lines()
    assert str(tmp_path / "cache") in line and "damaged; it is compiled again" in line
    assert answers() == KEPT
    assert lines() == []


def test_what_bears_no_digest_is_never_unpickled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lines: Callable[[], list[str]]
) -> None:
    answers()
    path = entry(tmp_path / "cache")
    path.write_bytes(path.read_bytes()[:-1] + b"!")
    monkeypatch.setattr("pickle.loads", lambda _: pytest.fail("unpickled"))
    assert answers() == COMPILED
    assert len(lines()) == 1


@pytest.mark.parametrize("content", [b"no pickle", b"", b"\x80\x04K\x03.", b"\x80\x04)."])
def test_what_is_sealed_and_no_kernel_is_made_again(
    tmp_path: Path, lines: Callable[[], list[str]], content: bytes
) -> None:
    answers()
    cache_folder.write_sealed(entry(tmp_path / "cache"), content)
    assert answers() == COMPILED
    (line,) = lines()
    assert "does not fit this Python; it is compiled again" in line
    assert answers() == KEPT


def before_in_the_alphabet(values: Any, out: Any) -> None:
    for i in range(values.shape[0]):
        out[i] = values[i] * 7


def short_after_it(values: Any, out: Any) -> None:
    for i in range(values.shape[0]):
        out[i] = values[i] * 9


@pytest.mark.parametrize("other", [before_in_the_alphabet, short_after_it])
def test_a_kernel_under_the_name_of_another_is_not_run(
    tmp_path: Path, other: Callable[..., None]
) -> None:
    answers()
    path = entry(tmp_path / "cache")
    name = path.name
    path.rename(path.with_name("other"))
    kernel()(other)(np.arange(4), np.zeros(4, np.int64))
    (made,) = (p for p in path.parent.iterdir() if p.name != "other")
    made.replace(path.with_name(name))
    assert answers() == COMPILED


@pytest.mark.parametrize(("lifted", "dynamic"), [((), True), (("a loop",), False)])
def test_what_other_processes_could_not_run_is_not_kept(
    tmp_path: Path, lifted: tuple[str, ...], dynamic: bool
) -> None:
    compiled = SimpleNamespace(lifted=lifted, library=SimpleNamespace(has_dynamic_globals=dynamic))
    with pytest.raises(TypeError, match="plus_three: need arrays, numbers and constants only"):
        KernelCache(plus_three).save_overload((), compiled)
    assert not (tmp_path / "cache").exists()


def test_statistics_name_the_folder(tmp_path: Path) -> None:
    answers()
    folder = tmp_path / "cache" / source_digest()
    assert kernel()(plus_three).stats.cache_path == str(folder)  # type: ignore[attr-defined]


def test_each_file_is_looked_at(tmp_path: Path, lines: Callable[[], list[str]]) -> None:
    answers()
    path = entry(tmp_path / "cache")
    path.chmod(0o622)
    assert answers() == COMPILED
    assert "other users may write to it" in lines()[0]
    forget()
    content = path.read_bytes()
    (tmp_path / "planted").write_bytes(content)
    path.unlink()
    path.symlink_to(tmp_path / "planted")
    assert answers() == COMPILED
    assert len(lines()) == 1 and not path.is_symlink()
    assert (tmp_path / "planted").read_bytes() == content
    forget()
    path.unlink()
    os.mkfifo(path)
    assert answers() == COMPILED
    assert len(lines()) == 1 and path.is_file()


@pytest.mark.skipif(not IS_ROOT, reason="only the superuser gives files away")
def test_a_file_of_another_user_is_not_read(tmp_path: Path, lines: Callable[[], list[str]]) -> None:
    answers()
    os.chown(entry(tmp_path / "cache"), 12345, -1)
    assert answers() == COMPILED
    assert "not a file of this user" in lines()[0]
    assert answers() == KEPT


def spare(tmp_path: Path) -> Path:
    return tmp_path / "tmp" / f"bitpim-{cache_folder._user()}"


def open_to_all(root: Path) -> str:
    root.chmod(0o777)
    return "other users may write to it"


def open_to_the_group(root: Path) -> str:
    root.chmod(0o770)
    return "other users may write to it"


def open_below(root: Path) -> str:
    (root / source_digest()).chmod(0o707)
    return "other users may write to it"


def given_away(root: Path) -> str:
    os.chown(root, 12345, -1)
    return "belongs to another user"


def given_away_below(root: Path) -> str:
    os.chown(root / source_digest(), 12345, -1)
    return "belongs to another user"


def foreign_link(root: Path) -> str:
    root.rename(root.with_name("elsewhere"))
    root.symlink_to(root.with_name("elsewhere"))
    os.chown(root, 12345, -1, follow_symlinks=False)
    return "belongs to another user"


def file_in_the_way(root: Path) -> str:
    root.rename(root.with_name("elsewhere"))
    root.write_text("")
    return "cannot be used"


def dangling_link(root: Path) -> str:
    root.rename(root.with_name("elsewhere"))
    root.symlink_to(root.with_name("nowhere"))
    return "cannot be used"


AS_ROOT = pytest.mark.skipif(not IS_ROOT, reason="only the superuser gives folders away")


@pytest.mark.parametrize(
    "spoil",
    [
        open_to_all,
        open_to_the_group,
        open_below,
        file_in_the_way,
        dangling_link,
        pytest.param(given_away, marks=AS_ROOT),
        pytest.param(given_away_below, marks=AS_ROOT),
        pytest.param(foreign_link, marks=AS_ROOT),
    ],
)
def test_a_folder_that_cannot_be_trusted_is_left_alone(
    tmp_path: Path, lines: Callable[[], list[str]], spoil: Callable[[Path], str]
) -> None:
    root = tmp_path / "cache"
    answers()
    before = entry(root).stat()
    reason = spoil(root)
    forget()
    assert answers() == COMPILED
    (line,) = lines()
    assert reason in line and str(root) in line and "set BITPIM_CACHE_DIR" in line
    assert f"kept in {spare(tmp_path)}" in line
    assert mode_of(spare(tmp_path)) == 0o700
    assert answers() == KEPT
    left = (root if root.is_dir() else root.with_name("elsewhere")) / source_digest()
    (file,) = left.iterdir()
    assert (file.stat().st_mtime_ns, file.stat().st_size) == (before.st_mtime_ns, before.st_size)
    spare(tmp_path).chmod(0o777)
    forget()
    assert answers() == COMPILED == answers()
    assert len(lines()) == 1


def test_a_link_of_ours_is_followed(tmp_path: Path, lines: Callable[[], list[str]]) -> None:
    (tmp_path / "real").mkdir(mode=0o700)
    (tmp_path / "cache").symlink_to(tmp_path / "real")
    assert (answers(), answers(), lines()) == (COMPILED, KEPT, [])
    assert entry(tmp_path / "real").is_file()


def test_no_folder_for_temporary_files_either(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lines: Callable[[], list[str]]
) -> None:
    def nowhere() -> str:
        raise FileNotFoundError(2, "No usable temporary directory found")

    monkeypatch.setattr(tempfile, "gettempdir", nowhere)
    open_to_all(Path(os.environ["BITPIM_CACHE_DIR"]).parent)
    (tmp_path / "cache").write_text("")
    assert answers() == COMPILED == answers()
    (line,) = lines()
    assert "compiled kernels are not kept" in line and line.count("\n") == 0


def test_no_home_and_no_known_user(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lines: Callable[[], list[str]]
) -> None:
    for name in ("BITPIM_CACHE_DIR", "HOME", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)

    def unknown(user: int) -> None:
        raise KeyError(user)

    monkeypatch.setattr("pwd.getpwuid", unknown)
    monkeypatch.chdir(tmp_path)
    assert answers() == COMPILED
    (line,) = lines()
    assert "no home folder is known" in line and str(spare(tmp_path)) in line
    forget()
    assert answers() == KEPT
    assert sorted(p.name for p in tmp_path.iterdir()) == ["tmp"]


@pytest.mark.parametrize("error", [28, 30, 13])  # no space, read-only, no permission
def test_a_folder_that_takes_no_file_costs_time_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lines: Callable[[], list[str]], error: int
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(error, os.strerror(error))

    with monkeypatch.context() as patch:
        patch.setattr(tempfile, "mkstemp", refuse)
        assert answers() == COMPILED == answers()
    (line,) = lines()
    assert str(tmp_path / "cache") in line and os.strerror(error) in line and "make room" in line
    assert answers() == COMPILED
    with monkeypatch.context() as patch:
        patch.setattr(tempfile, "mkstemp", refuse)
        assert answers() == KEPT


def test_a_write_cut_short_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def cut(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "replace", cut)
    with pytest.raises(KeyboardInterrupt):
        answers()
    assert list((tmp_path / "cache" / source_digest()).iterdir()) == []


PROGRAM = """
import sys
import numpy as np
from tests.kernels.test_kernel_cache import plus_three
from bitpim_kernels.jit import kernel
run = kernel()(plus_three)
out = np.zeros(4, np.int64)
sys.stdin.readline()
run(np.arange(4), out)
print(out.tolist())
"""


def test_two_processes_at_once(tmp_path: Path) -> None:
    """Both begin when the other is ready, on an empty folder and then on a damaged file."""
    for _ in range(2):
        children = [
            subprocess.Popen(
                [sys.executable, "-c", PROGRAM],
                cwd=Path(__file__).parents[2],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
            for _ in range(2)
        ]
        for child in children:
            assert child.stdin is not None
            child.stdin.write("go\n")
            child.stdin.flush()
        for child in children:
            out, err = child.communicate()
            assert (child.returncode, out) == (0, "[3, 4, 5, 6]\n"), err
        entry(tmp_path / "cache").write_bytes(b"half")


def kept_file(root: Path, digest: str, name: str, n_bytes: int, days: float) -> Path:
    path = root / digest / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(bytes(n_bytes))
    used = time.time() - days * 86_400
    os.utime(path, (used, used))
    return path


def test_the_cache_is_bounded_by_age_and_size(tmp_path: Path) -> None:
    root = tmp_path / "cache"
    one, two = "1" * 16, "2" * 16
    ages = [(one, 1.0), (two, 5.0), (one, 29.0), (two, 31.0), (one, 90.0)]
    files = [kept_file(root, d, f"{i}.kernel", 100, age) for i, (d, age) in enumerate(ages)]
    kept_file(root, "3" * 16 + "/of/old", "6.kernel", 50, 40)
    assert cache_folder.prune(root) == 250
    assert not (root / ("3" * 16)).exists()
    assert [f.exists() for f in files] == [True, True, True, False, False]
    assert cache_folder.prune(root, max_bytes=200) == 100
    assert [f.exists() for f in files[:3]] == [True, True, False]
    assert cache_folder.prune(root, max_bytes=199) == 100
    assert not (root / two).exists()
    assert cache_folder.prune(root, max_bytes=0) == 100
    assert list(root.iterdir()) == []
    assert cache_folder.prune(root / "absent") == 0


def test_what_is_used_is_spared(tmp_path: Path) -> None:
    answers()
    path = entry(tmp_path / "cache")
    os.utime(path, (0, 0))
    assert answers() == KEPT
    assert path.stat().st_mtime > time.time() - 3600


def test_a_process_that_adds_a_kernel_prunes(tmp_path: Path) -> None:
    root = tmp_path / "cache"
    root.mkdir(mode=0o700)
    old = kept_file(root, "1" * 16, "old.kernel", 10, 31)
    foreign = kept_file(root, "precious", "old.kernel", 10, 31)
    answers()
    assert not old.parent.exists() and foreign.exists()


def test_a_kernel_has_no_closure() -> None:
    three = 3

    def inner(values: Any, out: Any) -> None:
        out[0] = values[0] + three

    with pytest.raises(TypeError, match="without a closure"):
        KernelCache(inner)


def test_numbas_own_variable_names_the_second_choice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("BITPIM_CACHE_DIR")
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path / "numba"))
    assert answers() == COMPILED
    assert entry(tmp_path / "numba" / "bitpim").is_file()


def test_kernels_let_other_threads_run() -> None:
    compiled: Any = kernel()(lambda x: x)
    assert compiled.targetoptions["nogil"] is True
