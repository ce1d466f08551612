"""A kind of layer touches its own module, and an entry in the referee and in each machine.

A copy of the tree gets the toy, `operators/reverse.py`; `entries.toml` lists all else it touches.
"""

import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from tests.bitpim.cli.live import environment

ROOT = Path(__file__).parents[2]
TOY = Path(__file__).parent / "operators"
ENTRIES = tomllib.loads((TOY / "entries.toml").read_text("utf-8"))
PACKAGES = ("bitpim", "kernels", "traces", "tests")


def put(path: Path, before: str, code: str, entry: str) -> None:
    """Add a function above a table, and the table's entry."""
    text = path.read_text("utf-8")
    assert text.count(f"\n{before}\n") == 1
    path.write_text(text.replace(f"\n{before}\n", f"{code}\n{before}\n{entry}\n"), "utf-8")


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the tree, with the toy."""
    tree = tmp_path_factory.mktemp("tree")
    unwanted = shutil.ignore_patterns("__pycache__", "*.egg-info", "golden", "mutation")
    for name in PACKAGES:
        shutil.copytree(ROOT / name, tree / name, ignore=unwanted)
    shutil.copy(TOY / "reverse.py", tree / "traces/bitpim_traces/operators")
    for name, entry in ENTRIES.items():
        put(tree / name, **entry)
    return tree


def run(tree: Path, folder: Path, *command: str) -> str:
    search = ":".join(str(tree / name) for name in ("", "kernels", "traces"))
    done = subprocess.run(
        [sys.executable, *command],
        cwd=folder, env=environment({"PYTHONPATH": search}), capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_toy_touches_no_more_than_it_has_to() -> None:
    """The referee, the digital side of crossbars, and the cache: an entry each."""
    assert set(ENTRIES) == {
        "bitpim/proof/reference.py",
        "bitpim/digital/layers.py",
        "bitpim/sram/elementwise_mapping.py",
    }


@pytest.mark.slow
def test_a_kind_of_layer_is_one_module(tree: Path, tmp_path: Path) -> None:
    machines = ("neural_cache", "isaac", "sre", "dense_crossbar", "pattern_crossbar", "pipelayer")
    run(tree, tmp_path, str(TOY / "runs.py"), *machines)
    lines = run(tree, tmp_path, str(TOY / "wrong.py")).splitlines()
    where = "layer 0 'r' (reverse): axis: need"
    assert lines[:5] == [
        f"{where} 0 to 2, got 3",
        f"{where} 0 to 2, got -1",
        f"{where} a value, got nothing",
        f"{where} one whole number, got (1, 2)",
        "layer 0 'r' (reverse): by: need only what reverse has, got another member",
    ]
    assert "/layers/0002@axis: need 0 to 2, got 7" in lines[5]
    assert any("/layers/0002@axis: need 0 to 2, got 7" in line for line in lines[6:])


@pytest.mark.slow
def test_the_format_has_a_row_of_it(tree: Path) -> None:
    run(tree, tree, "-m", "tests.traces.format_text")
    text = (tree / "traces/FORMAT.md").read_text("utf-8")
    assert "| `reverse` | 1 | the codes in reverse order along `axis` | none | none |" in text
    assert "| `axis` | int | reverse | axis of the shape without samples |" in text


@pytest.mark.slow
def test_the_exporter_reads_it(tree: Path, tmp_path: Path) -> None:
    pytest.importorskip("torch")
    layers = "[('conv2d', {}), ('reverse', {'axis': 2})]\n"
    assert run(tree, tmp_path, str(TOY / "exports.py")) == layers


@pytest.mark.slow
def test_machines_without_the_kind_say_so(tree: Path, tmp_path: Path) -> None:
    """The kind is in the format and nowhere else."""
    bare = tmp_path / "bare"
    shutil.copytree(tree, bare)
    for name in ENTRIES:
        shutil.copy(ROOT / name, bare / name)
    said = run(bare, tmp_path, str(TOY / "runs.py"), "--refused", "neural_cache", "isaac")
    (line,) = set(said.splitlines())
    assert line.startswith(
        "layer 1 'r0' (reverse): need a kind that this machine runs, activation, "
    )
    assert line.endswith("; use another machine, or export the network without it")
