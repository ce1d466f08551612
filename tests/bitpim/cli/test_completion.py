"""Shell completion, as bash, zsh and fish ask for it."""

import shutil
import subprocess
from pathlib import Path

import pytest

from bitpim.machine.registry import list_presets, machine_names
from tests.bitpim.cli.live import COMMAND, environment, live


def offered(*words: str, cwd: Path | None = None) -> list[str]:
    """What bash is offered for the last word."""
    asked = {
        "_BITPIM_COMPLETE": "complete_bash",
        "COMP_WORDS": " ".join(["bitpim", *words]),
        "COMP_CWORD": str(len(words)),
    }
    done = live(environ=asked, cwd=cwd)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.split()


def test_commands_and_options() -> None:
    assert {"replay", "plan", "trace", "demo"} <= set(offered(""))
    assert offered("trace", "q") == ["quantize"]
    assert offered("replay", "net.h5", "--fi") == ["--fidelity"]
    assert offered("replay", "net.h5", "--fidelity", "") == ["bit", "integer"]


@pytest.mark.parametrize("words", [("replay", "x", "-m"), ("plan", "x", "--machine")])
def test_machines(words: tuple[str, ...]) -> None:
    assert offered(*words, "") == list(machine_names())
    assert offered(*words, "sr") == ["sre"]


def test_machines_elsewhere() -> None:
    assert offered("config", "show", "neu") == ["neural_cache"]
    assert offered("verify", "x", "-m", "isa") == ["isaac"]


def test_presets_of_the_machine_named() -> None:
    assert offered("replay", "x", "-m", "isaac", "--preset", "") == list(list_presets("isaac"))
    assert offered("replay", "x", "-p", "") == list(list_presets())
    assert offered("replay", "x", "-m", "none", "-p", "") == []
    assert offered("config", "show", "neural_cache", "-p", "neural_cache_c") == [
        "neural_cache_calibrated"
    ]


def test_price_tables() -> None:
    for words in (("replay", "x", "-m", "isaac"), ("cost", "r.h5"), ("replay", "x", "-m", "none")):
        assert "neural_cache_22nm" in offered(*words, "--prices", "")
    assert offered("cost", "r.h5", "--prices", "neural_cache_2") == ["neural_cache_22nm"]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_script_of_a_shell(shell: str) -> None:
    done = live(environ={"_BITPIM_COMPLETE": f"source_{shell}"})
    assert done.returncode == 0 and "_BITPIM_COMPLETE" in done.stdout


@pytest.mark.skipif(shutil.which("bash") is None, reason="there is no bash")
def test_bash_completes_words_and_files(tmp_path: Path) -> None:
    """A real bash with the real script: a machine, and a file where nothing else is offered."""
    (tmp_path / "bitpim").write_text(f'#!/bin/sh\nexec {COMMAND[0]} -m bitpim "$@"\n')
    (tmp_path / "bitpim").chmod(0o755)
    (tmp_path / "mynet.h5").touch()
    program = """
        PATH="$PWD:$PATH"
        eval "$(_BITPIM_COMPLETE=source_bash bitpim)"
        complete -p bitpim
        ask() { COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); COMPREPLY=(); _bitpim_completion "$1"
            echo "[${COMPREPLY[*]}]"; }
        ask bitpim replay x -m neu
        ask bitpim replay my
    """
    done = subprocess.run(
        ["bash", "--norc", "-c", program],
        cwd=tmp_path, env=environment(), capture_output=True, text=True, check=False,
    )  # fmt: skip
    first, *asked = done.stdout.splitlines()
    assert "-o default" in first, done.stderr  # files where the list is empty
    assert asked == ["[neural_cache]", "[]"]
