"""The tool that plants bugs, on a toy: it tells the found from the unfound, and touches nothing."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.mutation.mirrors import COMPILING, EMITTING, ROOMS, Trial, modules_of, trials_of
from tests.mutation.records import Record, read_reasons, read_records
from tests.mutation.table import survivors, table

ROOT = Path(__file__).parents[2]

TOY = "LIMIT = 10\n\n\ndef is_small(n):\n    return n < LIMIT\n"
TEST = """
from toy import is_small

def test_small():
    assert is_small(3) and not is_small(30)
"""
MUTANTS = {
    "killed": TOY.replace("<", ">"),
    "survives": TOY.replace("<", "<="),
    "does not load": "raise RuntimeError\n",
    "is endless": TOY.replace("return", "while True: pass\n    return"),
    "ends the process": TOY.replace("return", "import os; os.abort()\n    return"),
    "same size, same second": TOY.replace("10", "50"),
}
SCRIPT = """
import json, sys
from pathlib import Path
from tests.mutation.ground import Ground
from tests.mutation.mirrors import Trial

root, folder = (Path(word) for word in sys.argv[1:])
ground, trial = Ground(root, folder, spare=1), Trial("test_toy.py")
ground.warm(trial)
ends = {}
for name, text in json.load(sys.stdin).items():
    with ground.planted("toy.py", text):
        end = ground.judge(trial)
    ends[name] = end.passed, end.out_of_time
json.dump(ends, sys.stdout)
"""


@pytest.fixture
def toy(tmp_path: Path) -> Iterator[Path]:
    """A tree with one module and its test; it must be left as it was."""
    root = tmp_path / "root"
    root.mkdir()
    (root / "toy.py").write_text(TOY)
    (root / "test_toy.py").write_text(TEST)
    (root / "pytest.ini").write_text("[pytest]\npythonpath = .\n")
    yield root
    assert {path.name for path in root.iterdir()} == {"toy.py", "test_toy.py", "pytest.ini"}
    assert (root / "toy.py").read_text() == TOY


def judged(toy: Path, mutants: dict[str, str]) -> dict[str, list[bool]]:
    """Whether each mutant passes its test, and whether it ran out of time."""
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(toy), str(toy.parent / "ground")],
        input=json.dumps(mutants), capture_output=True, text=True, check=False, cwd=ROOT,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    ends: dict[str, list[bool]] = json.loads(done.stdout)
    return ends


def test_the_unfound_is_told_from_the_found(toy: Path) -> None:
    assert judged(toy, MUTANTS) == {
        "killed": [False, False],
        "survives": [True, False],
        "does not load": [False, False],
        "is endless": [False, True],
        "ends the process": [False, False],
        "same size, same second": [False, False],
    }


def test_tests_that_fail_without_a_mutant_are_named(toy: Path) -> None:
    (toy / "test_toy.py").write_text(TEST.replace("3)", "33)"))
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(toy), str(toy.parent / "ground")],
        input="{}", capture_output=True, text=True, check=False, cwd=ROOT,
    )  # fmt: skip
    assert done.returncode == 1
    assert "test_toy.py fails without a mutant, mend it first" in done.stderr


def test_mutants_of_a_toy_are_found_and_drawn(toy: Path) -> None:
    pytest.importorskip("cosmic_ray")
    from tests.mutation.plant import change_of, draw, find, plant

    found = find("toy.py", TOY)
    assert {m.family for m in found} == {"NumberReplacer", "ReplaceComparisonOperator"}
    texts = {plant(m, TOY) or "" for m in found}
    assert {MUTANTS["killed"], MUTANTS["survives"]} <= {t.replace("= 10", "= 10") for t in texts}
    assert TOY not in texts and len(texts) == len(found)
    drawn = draw(found, TOY, 2, "seed")
    assert drawn == draw(found, TOY, 2, "seed")
    assert {m.family for m in drawn} == {"NumberReplacer", "ReplaceComparisonOperator"}
    assert sorted(draw(found, TOY, 99, "seed"), key=str) == sorted(found, key=str)
    assert change_of(TOY, MUTANTS["survives"]) == ("return n < LIMIT", "return n <= LIMIT")


@pytest.mark.parametrize(
    ("source", "n"),
    [
        ("def f(a: int | None) -> int | None:\n    b: int | str = a\n", 0),
        ("def f(a=1):\n    return a\n", 2),
        ("def f(a, *, b):\n    return a\n", 0),
        ("@property\ndef f(a=1): ...\n", 0),
        ("def f(a, *b):\n    return a\n", 0),
        ("if TYPE_CHECKING:\n    x = 1\n", 0),
        ("if x:\n    y = 'a' 'b'\n", 1),
        ("@cache\n@functools.lru_cache\n@kernel()\n@overload\ndef f():\n    pass\n", 0),
        ("@property\ndef f():\n    pass\n", 1),
        ("@dataclass(frozen=True, slots=True)\nclass A:\n    pass\n", 1),
        ("zip(a, b, strict=True)\n", 0),
        ("a.astype(b, copy=False)\n", 0),
        ("a.astype(b, copy=True)\n", 1),
        ("zip(a, b, fast=True)\n", 1),
        ("x = a is not b\n", 6),
    ],
)
def test_what_says_nothing_about_tests_is_skipped(source: str, n: int) -> None:
    pytest.importorskip("cosmic_ray")
    from tests.mutation.plant import find

    assert len(find("toy.py", source)) == n


def record(survived: bool, line: str = "a", first: bool = True) -> Record:
    killer = "" if survived else "tests/test_toy.py"
    return Record("bitpim/toy.py", "text", f"Op_{line}", 0, 1, line, "b", killer, False, 1.0, first)


def test_the_table_counts_survivors_and_those_with_a_reason() -> None:
    records = [record(True, "x"), record(True, "y"), record(False, "z"), record(False, "w", False)]
    reasons = {("bitpim/toy.py", "x", "b"): "the same"}
    rows = table(records, {"bitpim/toy.py": 1234}, reasons).splitlines()
    assert rows[2] == "| bitpim | 1,234 | 4 | 2 | 2 | 1 | 50.0 % | 25.0 % |"
    assert survivors(records, reasons) == ["bitpim/toy.py:1: Op_y 0\n  - y\n  + b"]


def test_the_last_record_of_a_mutant_holds(tmp_path: Path) -> None:
    file = tmp_path / "results.jsonl"
    assert read_records(file) == {}
    file.write_text(record(True).written() + record(True, "x").written() + record(False).written())
    assert list(read_records(file).values()) == [record(False), record(True, "x")]


def test_reasons_are_about_lines_that_stand_in_the_sources() -> None:
    for module, line, becomes in read_reasons():
        lines = {" ".join(found.split()) for found in (ROOT / module).read_text().splitlines()}
        assert line in lines, f"survivors.toml: {module} has no line {line!r}"
        assert becomes != line
    assert all(reason.strip() for reason in read_reasons().values())


def test_every_module_has_tests_to_ask() -> None:
    for room in ROOMS:
        modules = modules_of(ROOT, room)
        assert modules
        for module in modules:
            trials = trials_of(ROOT, module)
            assert trials, f"no tests are named for {module}"
            assert any(trial.anew for trial in trials) == (module in (*EMITTING, *COMPILING))
    first = trials_of(ROOT, "bitpim/sram/lanes.py")[0]
    assert first == Trial("tests/bitpim/sram/test_lanes.py")
