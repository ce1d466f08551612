"""Wrong command lines: what can be wrong with each parameter, and what an answer has to be.

Commands and options are taken from the command line itself: a new one is covered by itself.

    PYTHONPATH=.:kernels:traces python -m tests.bitpim.cli.wrong_lines 200

draws so many, runs each as a process of its own, and prints the table of tests/README.md.
"""

import os
import random
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import typer

from bitpim.cli.app import app
from bitpim.cli.progress import COMPILING
from bitpim.golden.vector_words import step_words
from bitpim_traces import write_trace
from bitpim_traces.program_trace.writer import write_program
from tests.bitpim.cli.live import live
from tests.nor_texts import adder
from tests.program_traces import random_program
from tests.strategies import small_trace

__all__ = [
    "CASES", "COMMANDS", "ENDLESS", "NO_PRICES", "ROOT_COMMAND", "WRONG", "Words",
    "command_line", "fault_of", "make_files", "remove",
]  # fmt: skip

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

ENDLESS = ("pipe", "/dev/full")
"""Values that only a parameter which names a file is given."""

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
    "stored": "memory.npz",
    "kind": "best",
    "layer": "0",
    "mine": "steps.hex",
    "against": "tile.h5",
}
"""A right value of each parameter that has to be given, by its name."""

NO_PRICES = ("--prices", "none")  # the referee counts what no table prices

LEGAL_OF: dict[Words, dict[str, str]] = {
    ("program", "show"): {"name": "multiply"},
    ("program", "run"): {"file": "adder.txt"},
    ("program", "check"): {"file": "adder.txt"},
    ("vectors", "make"): {"source": "tile.h5", "output": "vectors"},
}

NEEDED_OF: dict[Words, tuple[str, ...]] = {("replay",): ("machine", "output")}
"""Parameters that a command needs with a network, though not with every file."""


def is_option(parameter: Any) -> bool:
    """Whether a parameter is given by its name."""
    return bool(parameter.param_type_name == "option")


def given(parameter: Any, value: str) -> Words:
    """The words of a parameter with a value."""
    return (parameter.opts[0], value) if is_option(parameter) else (value,)


def remove(path: Path) -> None:
    """Remove what a command made, a file or a folder."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink()


def command_line(words: Words, chosen: dict[str, str]) -> list[str]:
    """The shortest legal command line, with these parameters given other values."""
    line = list(words)
    for parameter in COMMANDS[words].params:
        if parameter.name in chosen:
            line += given(parameter, chosen[parameter.name])
        elif parameter.required or parameter.name in NEEDED_OF.get(words, ()):
            known = {**LEGAL, **LEGAL_OF.get(words, {})}
            assert parameter.name in known, f"{words}: LEGAL lacks {parameter.name}"
            line += given(parameter, known[parameter.name])
    if words == ("replay",) and "prices" not in chosen:
        line += NO_PRICES
    return line


CASES = [
    (words, parameter)
    for words, command in COMMANDS.items()
    for parameter in command.params
    if not getattr(parameter, "is_flag", False)
]


def make_files(folder: Path) -> None:
    """Fill a folder with right and wrong files."""
    write_trace(small_trace(1, kinds=["conv2d", "linear"], n_samples=2), folder / "net.h5")
    images = np.zeros((2, 1, 4, 4), np.uint8)
    np.savez(folder / "samples.npz", images=images, labels=np.zeros(2, np.int64))
    words = np.eye(4, dtype=np.uint8)
    np.savez(folder / "memory.npz", stored=words, queries=words[::-1])
    whole = (folder / "samples.npz").read_bytes()
    (folder / "halved.npz").write_bytes(whole[: len(whole) // 2])
    np.save(folder / "halved.npy", images)
    whole = (folder / "halved.npy").read_bytes()
    (folder / "halved.npy").write_bytes(whole[:-9])
    np.savez(folder / "strings.npz", images=np.array(["a", "b"]))
    (folder / "adder.txt").write_text(adder())
    program = random_program(1)
    write_program(program, folder / "tile.h5")
    steps = step_words(program.steps.read()).text("readmemh", "steps")
    (folder / "steps.hex").write_text(steps)
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


def fault_of(words: Words, code: int, out: str, err: str) -> str:
    """Say what is wrong with an answer to a wrong command line; nothing where it is right."""
    n_lines = err.count("\n")
    if code not in (0, 2, 3, 4) or "Traceback" in err or "bug" in err:
        return "not an expected end"
    is_list = words == ("trace", "check") and out.count("\n") > 1  # faults, one a line
    if code in (2, 3) and n_lines != 1 - is_list:
        return f"{n_lines} lines"
    return "a line, and exit 0" if code == 0 and n_lines else ""


def drawn(draw: random.Random) -> tuple[Words, list[str]]:
    """A command line with one or two parameters wrong, or with words wrong, missing or too many."""
    words, command = draw.choice(list(COMMANDS.items()))
    named = [p for p in command.params if not getattr(p, "is_flag", False)]
    chosen = draw.sample(named, min(len(named), draw.choice([1, 1, 2])))
    files = ENDLESS if words != ("export",) else ()
    line = command_line(words, {p.name: draw.choice([*WRONG, *files]) for p in chosen})
    kind = draw.randrange(6)
    if kind == 0:
        del line[draw.randrange(len(line))]
    elif kind == 1:
        line.insert(draw.randint(0, len(line)), draw.choice(["--nope", "-q", "nope", "--", "-"]))
    elif kind == 2:
        line.append(draw.choice(line))
    return words, line


def main() -> None:
    """Run so many wrong command lines; stop at the first that does not end as it should."""
    draw, ends = random.Random(0), Counter[int]()
    n_lines = int(sys.argv[1])
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        make_files(folder)
        made = live("replay", "net.h5", "-m", "isaac", "-o", "result.h5", cwd=folder)
        assert made.returncode == 0, made.stderr
        before = {path.name: path.stat().st_size for path in folder.iterdir()}
        for _ in range(n_lines):
            words, line = drawn(draw)
            done = live(*line, cwd=folder, stdin=subprocess.DEVNULL, timeout=600)
            said = done.stderr.replace(COMPILING, "")
            fault = fault_of(words, done.returncode, done.stdout, said)
            left = {path.name: path.stat().st_size for path in folder.iterdir()}
            changed = [name for name, size in before.items() if size and left.get(name) != size]
            if fault or changed:
                sys.exit(f"{line}: {fault or changed}: {done.returncode} {said[-500:]}")
            for name in set(left) - set(before):
                remove(folder / name)
            ends[done.returncode] += 1
            if not done.returncode:
                print("legal:", shlex.join(line), file=sys.stderr)
    print("| command lines | exit 0 | 2 | 3 | 4 | otherwise, or not one line |")
    print("|---|---|---|---|---|---|")
    print(f"| {n_lines} |", " | ".join(str(ends[code]) for code in (0, 2, 3, 4)), "| 0 |")


if __name__ == "__main__":
    main()
