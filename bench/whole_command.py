"""A command as one whole: its seconds, its peak memory, what it printed.

`python bench/whole_command.py FILE COMMAND...` runs COMMAND as its only child and writes seconds,
peak and exit code to FILE. That stage lies between because Linux counts the memory of a child
from before it became the command: a child of a large process has a large peak whatever it does.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

__all__ = ["ROOT", "Run", "bitpim", "measure"]

ROOT = Path(__file__).parents[1]

_PEAK_UNIT = 1 if sys.platform == "darwin" else 1024  # of ru_maxrss, bytes


@dataclass(frozen=True, slots=True)
class Run:
    """What a command took and gave."""

    command: tuple[str, ...]
    seconds: float
    peak_bytes: int
    exit_code: int
    stdout: str
    stderr: str

    def require_success(self) -> "Run":
        """Return itself, or raise RuntimeError with the last line of stderr."""
        if self.exit_code:
            last = (self.stderr.strip().splitlines() or ["nothing on stderr"])[-1]
            raise RuntimeError(f"{' '.join(self.command)}: exit code {self.exit_code}, {last}")
        return self


def bitpim(*arguments: str) -> list[str]:
    """Return the command line of bitpim under this interpreter."""
    return [sys.executable, "-m", "bitpim", *arguments]


PLACES = (ROOT, ROOT / "kernels", ROOT / "traces")
"""Where this tree's packages are imported from."""


def measure(
    command: Sequence[str],
    *,
    environment: Mapping[str, str] | None = None,
    places: Sequence[Path] = PLACES,
) -> Run:
    """Run a command to its end; `environment` is added to this process's own.

    Packages are looked for in `places` first; none lets an interpreter find its own.

    The peak is that of the command alone: processes it starts and waits for count if larger, and
    it is at least that of a bare interpreter, some 10 MB.
    """
    inherited = os.environ.get("PYTHONPATH")
    path = os.pathsep.join([*map(str, places), *([inherited] if inherited else [])])
    with tempfile.TemporaryDirectory(prefix="bitpim-") as folder:
        report = Path(folder) / "report.json"
        done = subprocess.run(
            [sys.executable, str(Path(__file__).resolve()), str(report), *command],
            env={**os.environ, "PYTHONPATH": path, **(environment or {})},
            capture_output=True,
            text=True,
            check=False,
        )
        if not report.exists():
            raise RuntimeError(f"{' '.join(command)}: could not be started: {done.stderr.strip()}")
        found = json.loads(report.read_text("utf-8"))
    return Run(tuple(command), stdout=done.stdout, stderr=done.stderr, **found)


def _run_and_report(report: Path, command: list[str]) -> None:
    """Run the command, and write what it took."""
    began = time.perf_counter()
    child = subprocess.Popen(command)
    _, status, usage = os.wait4(child.pid, 0)
    taken = {
        "seconds": time.perf_counter() - began,
        "peak_bytes": usage.ru_maxrss * _PEAK_UNIT,
        "exit_code": os.waitstatus_to_exitcode(status),
    }
    report.write_text(json.dumps(taken), "utf-8")


if __name__ == "__main__":
    _run_and_report(Path(sys.argv[1]), sys.argv[2:])
