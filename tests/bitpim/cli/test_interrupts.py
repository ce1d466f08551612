"""SIGINT, SIGTERM and SIGHUP at the real command: one line, 128 + n, nothing left or damaged."""

import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from bitpim.report.result_file import open_result
from bitpim_traces import open_trace, write_trace
from bitpim_traces.synthetic import synthetic_network
from tests.bitpim.cli.live import COMMAND, environment, live
from tests.kills.runs import wait_until_it_worked
from tests.strategies import small_trace

NUMBERS = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP]
WORDS = {
    signal.SIGINT: "interrupted",
    signal.SIGTERM: "ended by SIGTERM",
    signal.SIGHUP: "ended by SIGHUP",
}

# The command, with a signal sent to itself at the nth call of what is named.
PROGRAM = """
import importlib, os, sys
place, name, nth, number = sys.argv[1:5]
module, _, owner = place.partition(":")
module = importlib.import_module(module)
owner = getattr(module, owner) if owner else module
call, left = getattr(owner, name), int(nth)
def wrapped(*arguments, **keywords):
    global left
    left -= 1
    if left == 0:
        os.kill(os.getpid(), int(number))
    return call(*arguments, **keywords)
setattr(owner, name, wrapped)
sys.argv[1:] = sys.argv[5:]
from bitpim.__main__ import main
main()
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "tmp").mkdir()
    write_trace(small_trace(1, kinds=["linear"], n_samples=6), tmp_path / "net.h5")
    return tmp_path


def hit(
    folder: Path, place: str, nth: int, number: int, *arguments: object
) -> subprocess.CompletedProcess[str]:
    where, _, name = place.rpartition(".")
    return subprocess.run(
        [sys.executable, "-c", PROGRAM, where, name, str(nth), str(number), *map(str, arguments)],
        cwd=folder,
        env=environment({"TMPDIR": str(folder / "tmp")}),
        capture_output=True,
        text=True,
        check=False,
    )


def left(folder: Path) -> list[str]:
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.name != "tmp")


WRITERS = [
    ("trace", "synth", "tiny", "-o", "net.h5", "--overwrite"),
    ("trace", "quantize", "other.h5", "-o", "net.h5", "--overwrite", "--weight-bits", "5"),
]


@pytest.mark.parametrize(("number", "nth"), list(zip(NUMBERS, [1, 30, 2], strict=True)))
@pytest.mark.parametrize("command", WRITERS)
def test_a_trace_that_is_being_written(
    folder: Path, number: signal.Signals, command: tuple[str, ...], nth: int
) -> None:
    write_trace(synthetic_network("tiny", 1), folder / "other.h5")
    before = (folder / "net.h5").read_bytes()
    place = "bitpim_traces.deferred_errors:DeferringStream.write"
    done = hit(folder, place, nth, number, *command)
    assert done.stderr == f"bitpim: {WORDS[number]}\n"
    assert (done.returncode, done.stdout) == (128 + number, "")
    assert (folder / "net.h5").read_bytes() == before
    assert left(folder) == ["net.h5", "other.h5"]


@pytest.mark.parametrize("number", NUMBERS)
def test_a_result_that_is_being_written_is_resumable(folder: Path, number: signal.Signals) -> None:
    command = ("replay", "net.h5", "-m", "isaac", "--fidelity", "integer", "-o", "r.h5")
    done = hit(folder, "os.fsync", 4, number, *command, "--batch", "2")
    assert done.returncode == 128 + number
    lines = [line for line in done.stderr.splitlines() if not line.startswith("compiling")]
    assert len(lines) == 1 and "--resume goes on" in lines[0]
    assert left(folder) == ["net.h5", "r.h5.part"]
    again = live(*command, "--resume", cwd=folder)
    assert again.returncode == 0, again.stderr
    assert live(*command[:-1], "whole.h5", cwd=folder).returncode == 0
    assert (folder / "r.h5").read_bytes() == (folder / "whole.h5").read_bytes()
    assert open_result(folder / "r.h5").header.stop == 6


@pytest.mark.parametrize(
    ("number", "place"),
    list(
        zip(
            NUMBERS,
            ["bitpim.run.replay", "bitpim.report.journal:Journal.append", "os.fsync"],
            strict=True,
        )
    ),
)
def test_the_demo_leaves_no_folder(folder: Path, number: signal.Signals, place: str) -> None:
    done = hit(folder, place, 1, number, "demo", "net.h5")
    assert done.returncode == 128 + number and f"bitpim: {WORDS[number]}\n" in done.stderr
    assert left(folder) == ["net.h5"]


@pytest.mark.parametrize("number", NUMBERS)
def test_standard_input_leaves_no_file(folder: Path, number: signal.Signals) -> None:
    """The signal arrives while the command waits for the rest of its input."""
    child = subprocess.Popen(
        [*COMMAND, "trace", "info", "-"],
        env=environment({"TMPDIR": str(folder / "tmp")}),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    while not list((folder / "tmp").iterdir()):
        assert child.poll() is None
        time.sleep(0.01)
    child.send_signal(number)
    out, err = child.communicate()  # ends its input, so it ends
    assert (child.returncode, out, err) == (128 + number, "", f"bitpim: {WORDS[number]}\n")
    assert left(folder) == ["net.h5"]
    whole = live("trace", "info", "-", stdin=(folder / "net.h5").open("rb"), text=False)
    assert whole.returncode == 0
    assert left(folder) == ["net.h5"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_what_the_parent_ignores_does_not_interrupt(folder: Path, number: signal.Signals) -> None:
    ignoring = f"trap '' {number.name.removeprefix('SIG')}; {{}}"
    program = ["bash", "-c", ignoring.replace("{}", '"$@"'), "bash", sys.executable, "-c", PROGRAM]
    where = ["bitpim_traces.deferred_errors:DeferringStream", "write", "3", str(int(number))]
    done = subprocess.run(
        [*program, *where, "trace", "synth", "tiny", "-o", "new.h5"],
        cwd=folder, env=environment(), capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    assert open_trace(folder / "new.h5").name == "tiny"


# The command, with a signal where a library or Python itself makes something else of it.
REPLACED = """
import os, sys
where, number = sys.argv[1], int(sys.argv.pop(2))
del sys.argv[1]
class Name:
    def __set_name__(self, owner, name):
        os.kill(os.getpid(), number)
        while True: pass
class Gone:
    def __del__(self):
        os.kill(os.getpid(), number)
        while True: pass
def strike(event, arguments):
    global where
    if event == "import" and arguments[0] == module:
        kind, where = where, ""
        if kind.startswith("name"):
            type("Owner", (), {"name": Name()})
        elif kind.startswith("gone"):
            Gone()
module = "bitpim.cli.app" if where.endswith("early") else "bitpim_traces.synthetic"
sys.addaudithook(strike)
from bitpim.__main__ import main
main()
"""


@pytest.mark.parametrize("number", NUMBERS)
@pytest.mark.parametrize("where", ["name, early", "name", "gone, early", "gone"])
def test_a_signal_is_never_lost(folder: Path, where: str, number: signal.Signals) -> None:
    done = subprocess.run(
        [sys.executable, "-c", REPLACED, where, str(int(number)), *WRITERS[0]],
        cwd=folder, env=environment(), capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (128 + number, f"bitpim: {WORDS[number]}\n")
    assert left(folder) == ["net.h5"]


@pytest.mark.slow
def test_signals_at_any_moment(folder: Path) -> None:
    """From outside, whenever: the old file, or the whole new one."""
    before = (folder / "net.h5").read_bytes()
    assert live("trace", "synth", "tiny", "-o", "new.h5", cwd=folder).returncode == 0
    after = (folder / "new.h5").read_bytes()
    draw = random.Random(0)
    for k in range(6):
        (folder / "net.h5").write_bytes(before)
        child = subprocess.Popen(
            [*COMMAND, *WRITERS[0]], cwd=folder, env=environment(), stderr=subprocess.PIPE,
            stdout=subprocess.DEVNULL, text=True,
        )  # fmt: skip
        wait_until_it_worked(child, draw.uniform(0.0, 0.5))
        child.send_signal(NUMBERS[k % 3])
        _, err = child.communicate()
        assert child.returncode in (0, 128 + NUMBERS[k % 3]), err
        assert "Traceback" not in err
        assert (folder / "net.h5").read_bytes() in (before, after)
        assert left(folder) == ["net.h5", "new.h5"]
