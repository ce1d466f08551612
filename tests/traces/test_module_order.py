"""README.md shows the modules of the package in the order in which they know each other."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

TRACES = Path(__file__).parents[2] / "traces"
PACKAGE = TRACES / "bitpim_traces"


def rows() -> list[list[str]]:
    """Modules and packages of each row of the table, from the ground up."""
    lines = (TRACES / "README.md").read_text("utf-8").splitlines()
    table = lines[lines.index("| module | what it knows |") + 2 :]
    cells = [line.split("|")[1] for line in table if line.startswith("| `")]
    return [[name.strip("/") for name in re.findall(r"`(\w+)(?:\.py|/)`", c)] for c in cells]


def imported(path: Path) -> Iterator[str]:
    """First part of every module of the package that a file imports, wherever it does."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module == PACKAGE.name:
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith(PACKAGE.name):
            yield str(node.module).split(".")[1]


def test_the_table_has_every_module_once() -> None:
    named = [name for row in rows() for name in row]
    there = {path.stem for path in PACKAGE.iterdir() if path.suffix == ".py" or path.is_dir()}
    assert sorted(named) == sorted(there - {"__init__", "__pycache__"})


def test_a_module_knows_rows_above_its_own_and_nothing_below() -> None:
    level = {name: n for n, row in enumerate(rows()) for name in row}
    faults = [
        f"{name} imports {other}"
        for name in level
        for path in (PACKAGE / f"{name}.py", *(PACKAGE / name).glob("*.py"))
        if path.is_file()
        for other in imported(path)
        if level[other] > level[name]
    ]
    assert not faults, "\n" + "\n".join(faults)
