"""Runs a case many times, ends each run at a random moment, and looks at what is left."""

import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from math import inf
from pathlib import Path

from tests.bitpim.cli.live import COMMAND, environment
from tests.kills.cases import Case

__all__ = ["end_runs", "wait_until_it_worked"]

HANGS_SECONDS = 600
"""After its end was asked for; nothing here takes more than a few."""

INTERRUPTS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def end_runs(case: Case, numbers: Sequence[signal.Signals], n_runs: int, seed: int) -> Counter[str]:
    """Count what came of the runs; what must not be is an AssertionError that names the run."""
    draw = random.Random(f"{case.name} {seed}")
    found: Counter[str] = Counter()
    with tempfile.TemporaryDirectory(prefix="kills-") as place:
        ready = Path(place, "ready")
        ready.mkdir()
        case.prepare(ready)
        for _ in range(2):  # the first compiles kernels, the second tells how much work there is
            whole = shutil.copytree(ready, Path(place, "whole"), dirs_exist_ok=True)
            for target in case.targets:
                (whole / target).unlink(missing_ok=True)
            seconds, code, err = _ended(case.arguments, whole, None, inf)
            assert code == 0, err
        for k in range(n_runs):
            number = numbers[k % len(numbers)]
            folder = shutil.copytree(ready, Path(place, "run"))
            where = f"{case.name}, run {k} of seed {seed}, {number.name}"
            found.update(_one(case, folder, whole, number, draw.uniform(0.0, seconds), where))
            shutil.rmtree(folder)
    return found


def _one(
    case: Case, folder: Path, whole: Path, number: signal.Signals, seconds: float, where: str
) -> list[str]:
    """End one run; return what there is to count."""
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    _, code, err = _ended(case.arguments, folder, number, seconds)
    is_killed = number == signal.SIGKILL
    ends = {-number, 1} if case.is_script else {-number} if is_killed else {128 + number}
    assert code in {0, *ends}, f"{where}: exit {code}: {err}"
    if not case.is_script:
        assert "Traceback" not in err, f"{where}: {err}"
    if not is_killed and not case.is_script:
        strange = _files(folder / "tmp") - case.libraries_leave
        assert not strange, f"{where}: left {strange}"
    left = _files(folder) - set(before) - set(case.targets) - case.may_be_left()
    found = ["ended" if code else "had finished"]
    if left:
        assert is_killed and all(".bitpim-" in name for name in left), f"{where}: left {left}"
        found.append("left")
    for target in case.targets:
        there = (folder / target).read_bytes() if (folder / target).exists() else None
        expected = before.get(target), (whole / target).read_bytes()
        assert there in expected, f"{where}: {target} is damaged"
    if code and case.again:
        found += ["had finished batches"] * any((folder / n).exists() for n in case.may_be_left())
        _, code, err = _ended(case.again, folder, None, inf)
        assert code == 0, f"{where}: does not go on: {err}"
        for target in case.targets:
            same = (folder / target).read_bytes() == (whole / target).read_bytes()
            assert same, f"{where}: {target} is another after going on"
        found.append("went on to the same bytes")
    return found


def _files(folder: Path) -> set[str]:
    """Return the names of what is in a folder, but for the place of temporary files."""
    return {path.name for path in folder.iterdir() if path.name not in ("tmp", "__pycache__")}


def _ended(
    arguments: tuple[str, ...], folder: Path, number: signal.Signals | None, seconds: float
) -> tuple[float, int, str]:
    """Run it, end it after that much work; tell how much it had done, exit code and words."""
    (folder / "tmp").mkdir(exist_ok=True)
    command = [sys.executable] if arguments[0].endswith(".py") else COMMAND
    child = subprocess.Popen(
        [*command, *arguments],
        cwd=folder,
        env=environment({"TMPDIR": str(folder / "tmp")}),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    worked = wait_until_it_worked(child, seconds, minds_signals=command is COMMAND)
    if number is not None:
        child.send_signal(number)
    try:
        _, err = child.communicate(timeout=HANGS_SECONDS)
    except subprocess.TimeoutExpired as error:
        child.kill()
        raise AssertionError(f"{arguments}: hangs, {number}, after {worked} s of work") from error
    return worked, child.returncode, err


def wait_until_it_worked(
    child: "subprocess.Popen[str]", seconds: float, *, minds_signals: bool = True
) -> float:
    """Wait until a command minds signals and has then worked so long, or ended; return how long.

    In seconds of a processor. Before that the interpreter starts, which no program can make tidy.
    """
    process = Path("/proc", str(child.pid))
    began, worked = None, 0.0
    while child.poll() is None:
        caught = re.search(r"^SigCgt:\s*(\w+)", (process / "status").read_text(), re.M)
        ticks = (process / "stat").read_text().rpartition(")")[2].split()[11:13]
        used = sum(map(int, ticks)) / os.sysconf("SC_CLK_TCK")
        minds = bool(caught and int(caught[1], 16) >> (signal.SIGHUP - 1) & 1)
        if minds or not minds_signals:
            began = used if began is None else began
            worked = used - began
            if worked >= seconds:
                break
        time.sleep(0.002)
    return worked
