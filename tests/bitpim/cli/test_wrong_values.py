"""Every command, every option, every kind of wrong value: one line on stderr, exit 2 or 3."""

import os
from pathlib import Path
from typing import Any

import pytest

from bitpim.cli.streams import open_streams
from tests.bitpim.cli.conftest import Run
from tests.bitpim.cli.wrong_lines import (
    CASES,
    COMMANDS,
    ENDLESS,
    NO_PRICES,
    ROOT_COMMAND,
    WRONG,
    Words,
    command_line,
    fault_of,
    make_files,
    remove,
)


def values_of(words: Words, parameter: Any) -> list[str]:
    """Wrong values: all of them at one, two or three commands that have the parameter, shared.

    Few where every run exports a network, whose parameters other commands walk as well.
    """
    endless = parameter.name in ("trace", "source", "output") or words == ("export",)
    values = [*WRONG, *(ENDLESS if endless else ())]
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
    make_files(folder)
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
        line = command_line(words, {parameter.name: value})
        code, out, err = bitpim(*line)
        if fault_of(words, code, out, err):
            faults.append(f"{' '.join(words)} {parameter.name} {value[:40]!r}: {code} {err[-300:]}")
        for path in files.iterdir():
            if path.name not in before:
                remove(path)
            elif path.is_file() and before[path.name]:
                assert path.stat().st_size == before[path.name], (path, line)
    assert not faults, "\n".join(faults)
