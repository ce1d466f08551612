"""Files that are whole or not there: what may be replaced, and what signals and errors leave."""

import os
import signal
import stat
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from bitpim_traces import open_trace, write_trace
from bitpim_traces import whole_file as whole_file_module
from bitpim_traces.deferred_errors import DeferringStream
from bitpim_traces.errors import TraceError
from bitpim_traces.whole_file import refusal, signals_held, whole_file
from tests.strategies import small_trace


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.fixture(params=["unnamed", "named"])
def kind(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """With files that have no name until the end, and as systems do that lack them."""
    if request.param == "named":
        monkeypatch.delattr(os, "O_TMPFILE", raising=False)
    elif whole_file_module._unnamed(Path(tempfile.gettempdir())) is None:
        pytest.skip("this system has no files without a name")
    return str(request.param)


@pytest.mark.parametrize("overwrite", [False, True])
def test_the_file_appears_when_it_is_whole(tmp_path: Path, kind: str, overwrite: bool) -> None:
    target = tmp_path / "a.h5"
    with whole_file(target, overwrite=overwrite) as half:
        half.path.write_text("all of it")
        assert len(names(tmp_path)) == (kind == "named") and not target.exists()
    assert (names(tmp_path), target.read_text()) == (["a.h5"], "all of it")


@pytest.mark.usefixtures("kind")
@pytest.mark.parametrize("umask", [0o022, 0o077])
def test_it_has_the_rights_of_any_new_file(tmp_path: Path, umask: int) -> None:
    before = os.umask(umask)
    try:
        with whole_file(tmp_path / "a"):
            pass
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == 0o666 & ~umask


@pytest.mark.usefixtures("kind")
@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError, ValueError, SystemExit])
def test_an_error_leaves_what_was_there(tmp_path: Path, error: type[BaseException]) -> None:
    (tmp_path / "a").write_text("old")
    with pytest.raises(error), whole_file(tmp_path / "a") as half:
        half.path.write_text("new")
        raise error
    assert (names(tmp_path), (tmp_path / "a").read_text()) == (["a"], "old")


@pytest.mark.usefixtures("kind")
def test_files_of_guessable_names_are_left_alone(tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    precious.write_text("precious")
    for name in ("a.tmp", "a.part", ".a.tmp", "a~"):
        (tmp_path / name).symlink_to(precious)
    before = names(tmp_path)
    with whole_file(tmp_path / "a") as half:
        half.path.write_text("new")
    assert names(tmp_path) == sorted([*before, "a"])
    assert precious.read_text() == "precious"


def test_a_name_taken_meanwhile_is_not_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_links(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    for kind in ("unnamed", "named", "without links"):
        if kind == "named":
            monkeypatch.delattr(os, "O_TMPFILE", raising=False)
        elif kind == "without links":
            monkeypatch.setattr(Path, "hardlink_to", no_links)
        with (
            pytest.raises(FileExistsError, match="exists by now"),
            whole_file(tmp_path / "a", overwrite=False) as half,
        ):
            half.path.write_text("new")
            (tmp_path / "a").write_text("theirs")
        assert (names(tmp_path), (tmp_path / "a").read_text()) == (["a"], "theirs")
        with whole_file(tmp_path / "b", overwrite=False):
            pass
        assert names(tmp_path) == ["a", "b"]
        (tmp_path / "b").unlink()
        (tmp_path / "a").unlink()


def test_what_may_not_be_replaced(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "link").symlink_to("file")
    (tmp_path / "lost").symlink_to("nowhere")
    os.mkfifo(tmp_path / "pipe")
    for overwrite in (False, True):
        for name, words in [
            ("", "is a folder"),
            ("link", "is a symbolic link"),
            ("lost", "is a symbolic link"),
            ("pipe", "is a device, pipe or socket"),
            ("file/x", "need the name of a file (Not a directory)"),
            ("x" * 300, "need the name of a file (File name too long)"),
            ("zero\0byte", "need the name of a file (embedded null byte"),
        ]:
            said = refusal(tmp_path / name, overwrite=overwrite)
            assert said is not None and words in said
            if "\0" not in name:
                with pytest.raises(TraceError, match=r"need|name"):
                    write_trace(small_trace(1), tmp_path / name, overwrite=overwrite)
    assert refusal(tmp_path / "new", overwrite=False) is None
    assert refusal(tmp_path / "file", overwrite=True) is None
    assert refusal(Path("/dev/null"), overwrite=True) is not None
    with pytest.raises(TraceError, match=r"file: exists; --overwrite replaces it"):
        write_trace(small_trace(1), tmp_path / "file", overwrite=False)
    assert names(tmp_path) == ["file", "link", "lost", "pipe"]


def raised(number: int, frame: Any) -> None:
    raise KeyboardInterrupt(number)


@pytest.fixture
def listening() -> Iterator[None]:
    """Signals answered as the command line answers them."""
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = {number: signal.signal(number, raised) for number in numbers}
    yield
    for number, answer in before.items():
        assert signal.signal(number, answer) is raised


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
@pytest.mark.usefixtures("listening")
def test_a_signal_is_held_and_raised_once(number: int) -> None:
    steps = []
    with pytest.raises(KeyboardInterrupt, match=str(int(number))), signals_held():
        signal.raise_signal(number)
        steps.append("the end")
    with pytest.raises(KeyboardInterrupt, match=str(int(number))), signals_held() as raise_held:
        raise_held()
        signal.raise_signal(number)
        steps.append("before")
        raise_held()
        steps.append("after")
    assert steps == ["the end", "before"]


def test_what_is_ignored_stays_ignored() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with signals_held():
            signal.raise_signal(signal.SIGHUP)
            assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


def test_other_threads_write_too(tmp_path: Path) -> None:
    thread = threading.Thread(target=lambda: write_trace(small_trace(1), tmp_path / "a.h5"))
    thread.start()
    thread.join()
    assert open_trace(tmp_path / "a.h5").n_samples > 0


class Interrupting:
    """Raises a signal inside the nth call of a method that HDF5 calls."""

    def __init__(self, method: Callable[..., Any], number: int, nth: int) -> None:
        self.method, self.number, self.left = method, number, nth

    def bound(self) -> Callable[..., Any]:
        def call(stream: Any, *arguments: Any) -> Any:
            self.left -= 1
            if self.left == 0:
                signal.raise_signal(self.number)
            return self.method(stream, *arguments)

        return call


@pytest.mark.parametrize("name", ["write", "seek", "truncate", "close"])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.usefixtures("listening")
def test_no_signal_is_lost_and_no_good_file_damaged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, number: int
) -> None:
    """A signal within each callback in turn, until the write has no further one."""
    monkeypatch.setattr(os, "fsync", lambda _: None)  # hundreds of writes
    target = tmp_path / "net.h5"
    write_trace(small_trace(1), target)
    before = target.read_bytes()
    other = small_trace(2, kinds=["linear"], n_samples=1)
    for nth in range(1, 10_000):
        calls = Interrupting(getattr(DeferringStream, name), number, nth)
        with monkeypatch.context() as patch:
            patch.setattr(DeferringStream, name, calls.bound())
            interrupted = _is_interrupted(other, target)
        assert interrupted == (calls.left <= 0) and names(tmp_path) == ["net.h5"]
        if not interrupted:
            break
        assert target.read_bytes() == before
    assert nth > 1
    assert target.read_bytes() != before and open_trace(target).n_samples > 0


def _is_interrupted(trace: Any, target: Path) -> bool:
    try:
        write_trace(trace, target)
    except KeyboardInterrupt:
        return True
    return False


@pytest.mark.parametrize("error", [OSError(28, "No space left"), MemoryError(), RuntimeError("x")])
@pytest.mark.parametrize("nth", [1, 5, 20])
def test_an_error_in_a_callback_is_raised_by_the_writer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception, nth: int
) -> None:
    left = nth

    class File:
        def __init__(self, file: Any) -> None:
            self.file = file

        def write(self, content: Any) -> int:
            nonlocal left
            left -= 1
            if left == 0:
                raise error
            return int(self.file.write(content))

        def __getattr__(self, name: str) -> Any:
            return getattr(self.file, name)

    begin = DeferringStream.__init__

    def wrapped(stream: Any, path: Path) -> None:
        begin(stream, path)
        stream._file = File(stream._file)

    monkeypatch.setattr(DeferringStream, "__init__", wrapped)
    with pytest.raises((TraceError, MemoryError)):
        write_trace(small_trace(1), tmp_path / "net.h5")
    assert names(tmp_path) == []
