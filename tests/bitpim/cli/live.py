"""The real command in a process of its own, with limits, signals and streams as they come."""

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

__all__ = ["COMMAND", "environment", "live"]

ROOT = Path(__file__).parents[3]
COMMAND = [sys.executable, "-m", "bitpim"]
PROCESSOR_SECONDS = 300
"""After which the system ends a command that hangs at work; a busy machine does not."""


def environment(more: Mapping[str, str] | None = None) -> dict[str, str]:
    """This environment, the tree on Python's path wherever the command runs."""
    search = os.pathsep.join(str(ROOT / name) for name in ("", "kernels", "traces"))
    return {**os.environ, "PYTHONPATH": search, **(more or {})}


def live(
    *arguments: object, environ: Mapping[str, str] | None = None, shell: str = "", **rest: Any
) -> subprocess.CompletedProcess[str]:
    """Run a command line; `shell` is put around it: `ulimit -v 1000; {} <&-`."""
    script = f"ulimit -t {PROCESSOR_SECONDS}; {shell or 'exec {}'}".replace("{}", '"$@"')
    return subprocess.run(
        ["bash", "-c", script, "bash", *COMMAND, *map(str, arguments)],
        env=environment(environ),
        **{"capture_output": True, "text": True, "check": False, **rest},
    )
