"""What `make demo` says where it cannot make its environment: one line, with what to do."""

import os
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def set_up(venv: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    known = {k: v for k, v in os.environ.items() if not k.startswith("PIP_")}
    return subprocess.run(
        ["sh", ".ci/environment", "core"],
        cwd=ROOT,
        env={**known, "VENV": str(venv), **environment},
        capture_output=True,
        text=True,
        check=False,
    )


def test_an_old_python_is_named(tmp_path: Path) -> None:
    old = tmp_path / "python-old"
    old.write_text('#!/bin/sh\ncase "$2" in *exit*) exit 1 ;; *) echo 3.9.2 ;; esac\n')
    old.chmod(0o755)
    run = set_up(tmp_path / "venv", PYTHON=str(old))
    assert run.returncode != 0
    assert run.stderr.count("\n") == 1
    assert "need Python 3.11 or newer" in run.stderr and "3.9.2" in run.stderr
    assert not (tmp_path / "venv").exists()


@pytest.mark.slow
def test_a_package_index_out_of_reach_is_named(tmp_path: Path) -> None:
    run = set_up(
        tmp_path / "venv",
        PIP_INDEX_URL="http://127.0.0.1:9",
        PIP_CONFIG_FILE=os.devnull,
        PIP_NO_CACHE_DIR="1",
    )
    assert run.returncode != 0
    assert run.stderr.count("\n") == 1
    assert "the package index cannot be reached" in run.stderr
    assert not (tmp_path / "venv" / ".core-installed").exists()
