"""Every command, every option, every kind of wrong value: one line on stderr, exit 2 or 3.

Commands and options are taken from the command line itself: a new one is covered by itself.
"""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import typer

from bitpim.cli.app import app
from bitpim.cli.streams import open_streams
from bitpim_traces import write_trace
from tests.bitpim.cli.conftest import Run
from tests.strategies import small_trace

ROOT_COMMAND: Any = typer.main.get_command(app)
Words = tuple[str, ...]

WRONG = [
    "",
    " ",
    "-",
    "-1",
    "0",
    "1.5",
    "nan",
    "inf",
    "1e400",
    "9" * 19,
    "9" * 30,
    "9" * 5000,
    "-" + "9" * 30,
    f"0:{'9' * 30}",
    f"{'9' * 5000}:",
    "5:2",
    ",",
    "=",
    "a=b",
    "exact",
    ".",
    "..",
    "/",
    "folder",
    "folder.toml",
    "/dev/null",
    "empty",
    "empty.toml",
    "rubbish",
    "rubbish.toml",
    "rubbish.npz",
    "halved.npz",
    "strings.npz",
    "halved.npy",
    "absent/x.h5",
    "x" * 300,
    "\udcff",
    "\x1b[31m[bold]",
    "两\n行",
]


def commands(command: Any = ROOT_COMMAND, words: Words = ()) -> Iterator[tuple[Words, Any]]:
    """Every command that does something, and the words that name it."""
    if not hasattr(command, "commands"):
        yield words, command
    for name, sub in getattr(command, "commands", {}).items():
        yield from commands(sub, (*words, name))


COMMANDS = dict(commands())

LEGAL = {
    "trace": "net.h5",
    "source": "net.h5",
    "result": "result.h5",
    "first": "result.h5",
    "second": "result.h5",
    "a": "result.h5",
    "b": "result.h5",
    "machine": "neural_cache",
    "output": "out.h5",
    "module": "nets:small",
    "samples": "samples.npz",
    "name": "tiny",
}
"""A right value of each parameter that has to be given, by its name."""

NO_PRICES = ("--prices", "none")  # the referee counts what no table prices

LEGAL_OF: dict[Words, dict[str, str]] = {("program", "show"): {"name": "multiply"}}


def is_option(parameter: Any) -> bool:
    return bool(parameter.param_type_name == "option")


def given(words: Words, parameter: Any, value: str) -> Words:
    return (parameter.opts[0], value) if is_option(parameter) else (value,)


def command_line(words: Words, chosen: Any, value: str) -> list[str]:
    """The shortest legal command line, with one parameter given another value."""
    line = list(words)
    for parameter in COMMANDS[words].params:
        if parameter is chosen:
            line += given(words, parameter, value)
        elif parameter.required:
            known = {**LEGAL, **LEGAL_OF.get(words, {})}
            assert parameter.name in known, f"{words}: LEGAL lacks {parameter.name}"
            line += given(words, parameter, known[parameter.name])
    if words == ("replay",) and chosen.name != "prices":
        line += NO_PRICES
    return line


CASES = [
    (words, parameter)
    for words, command in COMMANDS.items()
    for parameter in command.params
    if not getattr(parameter, "is_flag", False)
]


def values_of(words: Words, parameter: Any) -> list[str]:
    """Wrong values: all of them at one, two or three commands that have the parameter, shared.

    Few where every run exports a network, whose parameters other commands walk as well.
    """
    endless = parameter.name in ("trace", "source", "output") or words == ("export",)
    values = [*WRONG, *(("pipe", "/dev/full") if endless else ())]
    if words == ("export",):
        return values[::5]
    named_so = [w for w, p in CASES if p.name == parameter.name and w != ("export",)]
    n_shares = min(len(named_so), 3)
    return values[named_so.index(words) % n_shares :: n_shares]


def named(part: Any) -> str:
    return " ".join(part) if isinstance(part, tuple) else str(part.name)


def test_there_is_something_to_walk() -> None:
    assert len(COMMANDS) > 15 and len(CASES) > 60
    for words, parameter in CASES:
        if words != ("export",):
            shares = [values_of(w, p) for w, p in CASES if p.name == parameter.name]
            assert set(WRONG) <= {value for share in shares for value in share}, parameter.name


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of right and wrong files."""
    folder = tmp_path_factory.mktemp("files")
    write_trace(small_trace(1, kinds=["conv2d", "linear"], n_samples=2), folder / "net.h5")
    images = np.zeros((2, 1, 4, 4), np.uint8)
    np.savez(folder / "samples.npz", images=images, labels=np.zeros(2, np.int64))
    whole = (folder / "samples.npz").read_bytes()
    (folder / "halved.npz").write_bytes(whole[: len(whole) // 2])
    np.save(folder / "halved.npy", images)
    whole = (folder / "halved.npy").read_bytes()
    (folder / "halved.npy").write_bytes(whole[:-9])
    np.savez(folder / "strings.npz", images=np.array(["a", "b"]))
    for suffix in ("", ".toml"):
        (folder / f"folder{suffix}").mkdir()
        (folder / f"empty{suffix}").touch()
        os.mkfifo(folder / f"pipe{suffix}")
    for suffix in ("", ".toml", ".npz"):
        (folder / f"rubbish{suffix}").write_bytes(bytes(range(256)))
    (folder / "nets.py").write_text(
        "from torch import nn\n"
        "def small():\n"
        "    return nn.Sequential(nn.Flatten(), nn.Linear(16, 3))\n"
    )
    return folder


@pytest.mark.parametrize(("words", "parameter"), CASES, ids=named)
@pytest.mark.usefixtures("referee")
def test_a_wrong_value_is_one_line(
    bitpim: Run, files: Path, monkeypatch: pytest.MonkeyPatch, words: Words, parameter: Any
) -> None:
    monkeypatch.chdir(files)
    monkeypatch.setattr("os.fsync", lambda _: None)
    monkeypatch.setattr("typer.main.get_command", lambda _: ROOT_COMMAND)  # made once
    monkeypatch.setattr("sys.stdin", open(os.devnull))  # noqa: SIM115, PTH123
    open_streams()  # as the real command does
    if not (files / "result.h5").exists():
        made = bitpim("replay", "net.h5", "-m", "neural_cache", "-o", "result.h5", *NO_PRICES)
        assert made[0] == 0, made
    before = {path.name: path.stat().st_size for path in files.iterdir()}
    faults = []
    for value in values_of(words, parameter):
        line = command_line(words, parameter, value)
        code, out, err = bitpim(*line)
        n_lines = err.count("\n")
        wrong = code not in (0, 2, 3, 4) or "Traceback" in err or "bug" in err
        is_list = words == ("trace", "check") and out.count("\n") > 1  # faults, one a line
        if wrong or (code in (2, 3) and n_lines != 1 - is_list) or (not code and n_lines):
            faults.append(f"{' '.join(words)} {parameter.name} {value[:40]!r}: {code} {err[-300:]}")
        for path in files.iterdir():
            if path.name not in before:
                path.unlink()
            elif path.is_file() and before[path.name]:
                assert path.stat().st_size == before[path.name], (path, line)
    assert not faults, "\n".join(faults)
