"""The page "Use bitpim as your golden model": its commands print what stands there."""

import doctest
import re
import subprocess
import sys
from pathlib import Path

import pytest

import bitpim
from bitpim.cli.app import run

PAGE = (Path(bitpim.__file__).parent / "golden" / "README.md").read_text("utf-8")
BLOCKS = re.findall(r"```(console|python)(?: (\S+))?\n(.*?)```\n", PAGE, re.DOTALL)
MENDED = "carry = A & B | (A ^ B) & carry"


def printed(command: str, capsys: pytest.CaptureFixture[str]) -> str:
    """Run a command line as the page has it; return what it prints."""
    program, _, rest = command.partition(" ")
    if program == "bitpim":
        capsys.readouterr()
        assert run(rest.split()) == 0
        return capsys.readouterr().out
    arguments = re.findall(r'"([^"]*)"|(\S+)', rest)
    done = subprocess.run(
        [sys.executable, *(quoted or plain for quoted, plain in arguments)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert not done.stderr
    return done.stdout


def test_every_command_prints_what_is_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    kinds = []
    for language, name, body in BLOCKS:
        kinds.append(f"{language} {name}".strip())
        if name == "fixed":
            wrong = re.search(r"carry = A & B \| A & carry.*", Path("mine.py").read_text("utf-8"))
            assert wrong is not None and f"`{MENDED}`" in PAGE
            mended = Path("mine.py").read_text("utf-8").replace(wrong[0], MENDED)
            Path("mine.py").write_text(mended, "utf-8")
        if language == "console":
            for step in body.split("$ ")[1:]:
                command, _, output = step.partition("\n")
                assert printed(command, capsys) == output
        elif name:
            Path(name).write_text(body, "utf-8")
        else:
            test = doctest.DocTestParser().get_doctest(body, {}, "page", None, 0)
            assert doctest.DocTestRunner().run(test).failed == 0
    words = "console, python, python mine.py, console, console fixed, console, console"
    assert ", ".join(kinds) == words


def test_every_module_is_in_the_table() -> None:
    folder = Path(bitpim.__file__).parent / "golden"
    modules = {path.name for path in folder.glob("*.py")} - {"__init__.py"}
    assert set(re.findall(r"^\| `(\w+\.py)`", PAGE, re.MULTILINE)) == modules
