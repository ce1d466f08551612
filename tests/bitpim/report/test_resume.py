"""A run that is cut short at any moment and resumed ends with the bytes of one that was not."""

import errno
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from io import FileIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bitpim.errors import ConfigError, ResultError
from bitpim.report import journal
from bitpim.report.journal import pack_record
from bitpim.report.result_file import ResultWriter, open_result
from tests.bitpim.report.small_run import CUTS, FIGURES, HEADER, PRICES, TABLE, add_missing, run

ROOT = Path(__file__).parents[3]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "net.h5"


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return run(tmp_path_factory.mktemp("whole") / "net.h5")


def journal_of(path: Path) -> tuple[Path, list[int]]:
    """Write the journal of a run that did everything but finish; return where records end."""
    part = path.with_name("net.h5.part")
    ends = []
    with ResultWriter(path, HEADER) as writer:
        ends.append(part.stat().st_size)
        for cut in CUTS:
            add_missing(writer, [cut])
            ends.append(part.stat().st_size)
    return part, ends


def test_cut_anywhere_it_resumes_to_the_same_bytes(path: Path, whole: bytes) -> None:
    part, ends = journal_of(path)
    content = part.read_bytes()
    random = np.random.default_rng(0)
    sizes = {0, 1, len(content), *random.integers(0, len(content), 60).tolist()}
    sizes |= {end + step for end in ends for step in (-1, 0, 1, 28)}
    for size in sorted(sizes):
        path.unlink(missing_ok=True)
        part.write_bytes(content[:size])
        with ResultWriter(path, HEADER, resume=True) as writer:
            n_batches = max(sum(end <= size for end in ends) - 1, 0)
            done = {s for start, stop in CUTS[:n_batches] for s in range(start, stop)}
            assert writer.completed == done, size
        assert run(path, resume=True) == whole, size
        assert not part.exists()


def test_damaged_anywhere_it_resumes_to_the_same_bytes(path: Path, whole: bytes) -> None:
    part, ends = journal_of(path)
    content = part.read_bytes()
    random = np.random.default_rng(1)
    for at in random.integers(ends[0], len(content), 40).tolist():
        path.unlink(missing_ok=True)
        part.write_bytes(content[:at] + bytes([content[at] ^ 0x40]) + content[at + 1 :])
        assert run(path, resume=True) == whole, at


def test_a_resume_may_cut_the_rest_differently(path: Path, whole: bytes) -> None:
    with ResultWriter(path, HEADER) as writer:
        add_missing(writer, CUTS[:1])
    assert run(path, [(7, 9), (4, 7)], resume=True) == whole


def test_what_is_done_can_be_asked_for(path: Path) -> None:
    with ResultWriter(path, HEADER) as writer:
        assert writer.error_rows() == {} and writer.final_codes() is None
        add_missing(writer, CUTS[2:])
        add_missing(writer, CUTS[:2])
        rows, final = writer.error_rows(), writer.final_codes()
    with ResultWriter(path, HEADER, resume=True) as writer:
        assert final is not None and final.shape == (7, 10)
        np.testing.assert_array_equal(writer.final_codes(), final)
        for index, expected in rows.items():
            np.testing.assert_array_equal(writer.error_rows()[index], expected)
    assert rows[0].shape == (2, 3)


# Each program dies by SIGKILL at its nth step that touches the disk.
PROGRAM = """
import os, signal, sys
from pathlib import Path
left = int(sys.argv[2])
def deadly(act):
    def wrapped(*args, **keywords):
        global left
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return act(*args, **keywords)
    return wrapped
from tests.bitpim.report.small_run import run
from bitpim.report import journal
journal.Journal._write = deadly(journal.Journal._write)
os.fsync, Path.replace, Path.unlink = map(deadly, (os.fsync, Path.replace, Path.unlink))
run(Path(sys.argv[1]), resume=True)
"""


def in_child(program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    search = os.pathsep.join(str(ROOT / name) for name in ("", "kernels", "traces"))
    return subprocess.run(
        [sys.executable, "-c", program, *arguments],
        env={**os.environ, "PYTHONPATH": search},
        capture_output=True,
        text=True,
    )


def test_killed_at_each_step_it_resumes_to_the_same_bytes(tmp_path: Path, whole: bytes) -> None:
    n_killed = 0
    for nth in range(1, 40):
        path = tmp_path / f"{nth}.h5"
        done = in_child(PROGRAM, str(path), str(nth))
        if done.returncode == 0:
            assert path.read_bytes() == whole
            break
        assert done.returncode == -9, done.stderr
        n_killed += 1
        assert not path.exists() or path.read_bytes() == whole
        assert run(path, resume=True) == whole
        assert [p.name for p in tmp_path.glob(f"{nth}.h5*")] == [path.name]
    else:
        pytest.fail("the program never came to its end")
    assert n_killed >= 12  # two a record, and the end


# --- another run's journal or file


OTHERS: list[tuple[str, Any, str]] = [
    ("trace_digest", "ff00", "trace_digest '00ff' and 'ff00'"),
    ("machine", "other", "machine 'neural_cache' and 'other'"),
    ("preset", "[preset]\nname = 'q'\n", "preset \"name = 'p'\" and \"name = 'q'\""),
    ("preset", "[preset]\n", "preset \"name = 'p'\" and ''"),
    ("fidelity", "integer", "fidelity 'bit' and 'integer'"),
    ("start", 3, "start 2 and 3"),
    ("stop", 8, "stop 9 and 8"),
    ("software", "bitpim 1", "software 'bitpim 0' and 'bitpim 1'"),
    ("options", {"layers": "0"}, "options {'layers': 'all'} and {'layers': '0'}"),
]


@pytest.mark.parametrize(("field", "value", "said"), OTHERS)
@pytest.mark.parametrize("is_finished", [True, False])
def test_another_run_is_refused_and_left_alone(
    path: Path, field: str, value: Any, said: str, is_finished: bool
) -> None:
    if is_finished:
        run(path)
        kept = path
    else:
        kept, _ = journal_of(path)
    content = kept.read_bytes()
    with pytest.raises(ResultError) as error:
        ResultWriter(path, replace(HEADER, **{field: value}), resume=True)
    assert said in str(error.value)
    assert kept.read_bytes() == content
    assert len(list(path.parent.iterdir())) == 1


def test_provenance_may_differ_and_the_first_one_stays(path: Path, whole: bytes) -> None:
    journal_of(path)
    assert run(path, resume=True, provenance={"python": "4"}) == whole


def test_nothing_unfinished_is_discarded_unless_one_says_so(path: Path) -> None:
    part, _ = journal_of(path)
    left = part.read_bytes()
    for header in (HEADER, replace(HEADER, fidelity="integer")):
        with pytest.raises(ResultError, match=r"3 finished batches; --resume .* --overwrite"):
            ResultWriter(path, header)
        assert part.read_bytes() == left
    with pytest.raises(ConfigError, match="need one of them, got both"):
        ResultWriter(path, HEADER, resume=True, overwrite=True)
    with ResultWriter(path, replace(HEADER, fidelity="integer"), overwrite=True) as writer:
        assert not writer.completed
    run(path)  # a run that had finished nothing is nothing to lose
    assert open_result(path).header == HEADER


def test_a_finished_run_is_not_run_again(path: Path, whole: bytes) -> None:
    run(path)
    with ResultWriter(path, HEADER, resume=True) as writer:
        assert writer.is_finished and writer.completed == set(range(2, 9))
        with pytest.raises(ResultError, match="still to do"):
            writer.add_batch(2, 4, {}, None)
        assert writer.finish([]) == path
    assert path.read_bytes() == whole
    assert list(path.parent.iterdir()) == [path]


def test_an_old_result_stays_until_the_new_one_is_whole(path: Path, whole: bytes) -> None:
    old = run(path, fidelity="integer")
    with ResultWriter(path, HEADER, overwrite=True) as writer:
        add_missing(writer)
        assert path.read_bytes() == old
    assert run(path, resume=True) == whole


def test_a_damaged_file_or_a_strange_journal_is_no_run_to_resume(path: Path) -> None:
    path.write_bytes(b"nonsense")
    with pytest.raises(ResultError, match="not a bitpim result"):
        ResultWriter(path, HEADER, resume=True)
    path.unlink()
    for fields in ({}, {"header": {"colour": 1}}, {"header": 3}):
        with journal.Journal(path.with_name("net.h5.part"), resume=False) as log:
            log.append(pack_record(fields))
        with pytest.raises(ResultError, match="record 0 is none of this version's"):
            ResultWriter(path, HEADER, resume=True)


# --- a disk that does not take it


class FullDisk(FileIO):
    """Takes so many bytes in all, the last of them short, as a full disk does."""

    left = 0

    def write(self, content: Any) -> int:
        size = min(len(content), FullDisk.left)
        if not size:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        FullDisk.left -= size
        return super().write(bytes(content[:size]))


def test_a_disk_full_at_any_byte(path: Path, whole: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    part, ends = journal_of(path)
    random = np.random.default_rng(2)
    limits = {0, 5, *(e - 1 for e in ends), *random.integers(0, ends[-1], 20).tolist()}
    for limit in sorted(limits):
        part.unlink(missing_ok=True)
        path.unlink(missing_ok=True)
        with monkeypatch.context() as patch, pytest.raises(ResultError) as error:
            patch.setattr(journal, "FileIO", FullDisk)
            FullDisk.left = limit
            run(path)
        assert "No space left on device" in str(error.value)
        assert "--resume" in str(error.value)
        assert not path.exists()
        assert run(path, resume=True) == whole, limit


LIMITED = """
import json, resource, sys
from pathlib import Path
from tests.bitpim.report.small_run import run
from bitpim.errors import ConfigError, ResultError
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]), resource.RLIM_INFINITY))
try:
    run(Path(sys.argv[1]))
except ResultError as error:
    print(json.dumps(str(error)))
"""


@pytest.mark.parametrize("share", ["journal", "final"])
def test_a_limit_on_the_size_of_files(path: Path, whole: bytes, share: str) -> None:
    part, ends = journal_of(path)
    part.unlink()
    assert ends[-1] < len(whole) - 1
    limit = ends[1] + 5 if share == "journal" else len(whole) - 1
    done = in_child(LIMITED, str(path), str(limit))
    assert done.returncode == 0, done.stderr
    message = json.loads(done.stdout)
    assert "File too large" in message and "--resume" in message
    assert [p.name for p in path.parent.iterdir()] == [part.name]
    with ResultWriter(path, HEADER, resume=True) as writer:
        assert len(writer.completed) == (2 if share == "journal" else 7)
    assert run(path, resume=True) == whole


@contextmanager
def nobody() -> Iterator[None]:
    """Be a user whom folder permissions bind, where the tests run as one whom they do not."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


@pytest.mark.skipif(not hasattr(os, "seteuid"), reason="needs POSIX users")
def test_a_read_only_folder_is_said_before_anything_runs() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o555)
        with nobody(), pytest.raises(ResultError, match="cannot be written") as error:
            ResultWriter(folder / "net.h5", HEADER)
        folder.chmod(0o755)
        assert not list(folder.iterdir())
    assert "Permission denied" in str(error.value)


def test_no_such_folder(tmp_path: Path) -> None:
    with pytest.raises(ResultError, match="No such file or directory"):
        ResultWriter(tmp_path / "gone" / "net.h5", HEADER)


def test_a_failing_rename_leaves_no_half_file(
    path: Path, whole: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", refuse)
        with (
            pytest.raises(ResultError, match="Read-only file system"),
            ResultWriter(path, HEADER) as writer,
        ):
            add_missing(writer)
            writer.finish(TABLE, PRICES, FIGURES)
    assert [p.name for p in path.parent.iterdir()] == ["net.h5.part"]
    assert run(path, resume=True) == whole
