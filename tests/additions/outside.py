"""Packages outside the tree, put on the path of a fresh interpreter and never installed."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

__all__ = ["Ended", "register", "run_commands"]

_DRIVER = """
import contextlib, io, json, sys
from bitpim.cli.app import run
from bitpim.cli.progress import COMPILING
ended = []
for line in json.load(sys.stdin):
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = run(line)
    ended.append([code, out.getvalue(), err.getvalue().replace(COMPILING, "")])
print(json.dumps([ended, sorted(sys.modules)]))
"""


class Ended(NamedTuple):
    """How one command line ended."""

    code: int
    out: str
    err: str


def register(folder: Path, distribution: str, machines: Mapping[str, str]) -> None:
    """Make the record that an installed distribution leaves, with its entry points."""
    record = folder / f"{distribution.replace('-', '_')}-1.0.dist-info"
    record.mkdir(parents=True)
    (record / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 1.0\n")
    points = "".join(f"{name} = {value}\n" for name, value in machines.items())
    (record / "entry_points.txt").write_text(f"[bitpim.machines]\n{points}")


def run_commands(
    lines: Sequence[Sequence[object]], *path: Path, loaded: list[str] | None = None
) -> list[Ended]:
    """Run command lines one after the other in a fresh interpreter with folders on its path.

    The names of the modules that it had loaded in the end are added to `loaded`.
    """
    folders = [*map(str, path), *filter(None, [os.environ.get("PYTHONPATH")])]
    done = subprocess.run(
        [sys.executable, "-c", _DRIVER],
        input=json.dumps([[str(word) for word in line] for line in lines]),
        env={**os.environ, "PYTHONPATH": os.pathsep.join(folders)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    ended, modules = json.loads(done.stdout.splitlines()[-1])
    if loaded is not None:
        loaded += modules
    return [Ended(*each) for each in ended]
