"""What becomes of an error on the command line: exit code, one line, no traceback."""

import errno
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import typer

from bitpim.cli import app as frame
from bitpim.cli import interrupts
from bitpim.errors import ConfigError, MismatchError, OutOfMemoryError, TraceFormatError

ROOT = Path(__file__).parents[3]
Run = Callable[[BaseException | None], tuple[int, str]]


@pytest.fixture
def failing(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run a command line whose command raises; yields exit code and what stderr got."""

    def run(error: BaseException | None) -> tuple[int, str]:
        app = typer.Typer()

        @app.command()
        def one() -> None:
            if error is not None:
                raise error

        @app.command()
        def two() -> None:
            pass

        monkeypatch.setattr(frame, "app", app)
        return frame.run(["one"]), capsys.readouterr().err

    return run


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (ConfigError("unknown machine 'x'"), 3, "bitpim: unknown machine 'x'\n"),
        (TraceFormatError("a.h5: need\n  this"), 3, "bitpim: a.h5: need this\n"),
        (MismatchError("layer 3"), 4, "bitpim: layer 3\n"),
        (
            FileNotFoundError(errno.ENOENT, "No such file", "a.h5"),
            3,
            "bitpim: a.h5: No such file\n",
        ),
        (OSError(errno.ENOSPC, "No space left on device"), 3, "bitpim: No space left on device\n"),
        (KeyboardInterrupt(), 130, "bitpim: interrupted\n"),
        (typer.Abort(), 130, "bitpim: interrupted\n"),
        (MemoryError(), 3, "bitpim: out of memory; let bitpim use more\n"),
        (
            ImportError("x.so: failed to map segment"),
            3,
            "bitpim: out of memory; let bitpim use more\n",
        ),
        (
            RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to ..."),
            3,
            "bitpim: out of memory; let bitpim use more\n",
        ),
        (
            OutOfMemoryError("out of memory with 2 samples"),
            3,
            "bitpim: out of memory with 2 samples\n",
        ),
        (SystemExit(130), 130, ""),
        (SystemExit(4), 4, ""),
        (None, 0, ""),
    ],
)
def test_an_expected_error_is_one_line(
    failing: Run, error: BaseException | None, code: int, line: str
) -> None:
    assert failing(error) == (code, line)


def replaced(error: BaseException, *, explicitly: bool) -> BaseException:
    """Return what a library raised in the place of an error."""
    try:
        try:
            raise error
        except BaseException:
            raise RuntimeError("within") from (error if explicitly else None)
    except RuntimeError as error:
        return error


@pytest.mark.parametrize("explicitly", [True, False])
def test_what_a_library_replaced(failing: Run, explicitly: bool) -> None:
    stopped = replaced(KeyboardInterrupt(), explicitly=explicitly)
    assert failing(stopped) == (130, "bitpim: interrupted\n")
    short = replaced(MemoryError(), explicitly=explicitly)
    assert failing(short) == (3, "bitpim: out of memory; let bitpim use more\n")


@pytest.mark.parametrize("error", [ZeroDivisionError("division by zero"), EOFError("no more")])
def test_a_bug_shows_its_traceback(failing: Run, error: BaseException) -> None:
    code, text = failing(error)
    assert code == 1
    assert "Traceback" in text and text.splitlines()[-1].startswith("bitpim: this is a bug")


@pytest.mark.parametrize("arguments", [["nope"], ["--nope"]])
def test_a_wrong_command_line_is_one_line(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert frame.run(arguments) == 2
    text = capsys.readouterr().err
    assert text.count("\n") == 1 and "nope" in text and "--help" in text


def test_version_and_bare_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert frame.run(["--version"]) == 0
    assert capsys.readouterr().out.startswith("bitpim ")
    assert frame.run([]) == 0
    assert "Usage: bitpim" in capsys.readouterr().out


def test_a_reader_that_went_away_is_no_news() -> None:
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run(
        [sys.executable, "-m", "bitpim", "--version"], stdout=write, stderr=subprocess.PIPE,
        check=False,
    )  # fmt: skip
    os.close(write)
    assert (done.returncode, done.stderr) == (-signal.SIGPIPE, b"")


def test_the_table_of_exit_codes_is_what_the_code_does() -> None:
    page = (ROOT / "bitpim" / "README.md").read_text("utf-8").partition("## Exit codes")[2]
    rows = dict(re.findall(r"^\| ([0-9]|128 \+ n) \| (.+) \|$", page, re.MULTILINE))
    codes = {name: code for name, code in vars(frame).items() if name.startswith("EXIT_")}
    ended = {name: code for name, code in codes.items() if code >= interrupts.EXIT_SIGNAL}
    plain = set(codes.values()) - set(ended.values())
    assert {str(code) for code in plain} | {"128 + n"} == set(rows)
    words = {"FINE": "fine", "BUG": "bug", "USAGE": "command line", "BAD_INPUT": "bad input"}
    for name, word in {**words, "MISMATCH": "mismatch"}.items():
        assert word in rows[str(codes[f"EXIT_{name}"])]
    for number, word in (
        (signal.SIGHUP, "SIGHUP"), (signal.SIGINT, "Ctrl-C"), (signal.SIGPIPE, "a reader"),
        (signal.SIGTERM, "SIGTERM"),
    ):  # fmt: skip
        assert f"{128 + number} {word}" in rows["128 + n"]
    assert ended == {"EXIT_INTERRUPTED": 130, "EXIT_BROKEN_PIPE": 141}
