"""Packages whose machine is no good: one clear line for each, and the other machines still work.

All of them lie on the path at once, and every command runs in a fresh interpreter.
"""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from bitpim_traces import write_trace
from tests.additions.outside import Ended, register, run_commands
from tests.strategies import small_trace
from tests.test_house import HEAVY

SOUND = '''
"""A package whose machine would be sound if it made one."""

from pathlib import Path

from pydantic import Field

from bitpim.config import MachineEntry, Part, Settings
from bitpim.legend import Legend


class SizeSettings(Part):
    """Sizes."""

    rows: int = Field(description="rows of an array")


class OwnSettings(Settings):
    """Settings."""

    size: SizeSettings


class Misnamed:
    """Has all members and bears another's name."""

    name = "sre"
    settings = legend = losses = plan = prepare = None


class Unread(Misnamed):
    """Has no legend."""

    name = "NAME"


class Failing(Misnamed):
    """Has a bug."""

    name, legend = "NAME", Legend()

    def __init__(self, settings):
        self.settings = settings

    def plan(self, trace):
        return 1 // 0


ENTRY = MachineEntry(
    name="NAME",
    settings=OwnSettings,
    make=lambda settings: settings,
    prices="isaac",
    wing="PACKAGE",
    presets=Path(__file__).parent / "presets",
)
'''
PRESET = """
[preset]
machine = "NAME"
name = "NAME"

[size]
rows = { value = 8, source = "me", confidence = "assumed" }
"""
ROWS = 'rows: int = Field(description="rows of an array")'
SIZE = "size: SizeSettings"
MAKE = "lambda settings: settings"
IMPORT = "cannot be imported ("
REMEDY = "); mend or uninstall the package, other machines work without it"

# Name of the machine -> what is changed in module or preset, and what is then said. Packages are
# called pkg-NAME and pkg_NAME.
MODULES: dict[str, tuple[str, str, str]] = {
    "unlisted": (SOUND, "import no_such_library\n", f"{IMPORT}ModuleNotFoundError: No module"),
    "unfinished": (SOUND, "def (\n", f"{IMPORT}SyntaxError: invalid syntax"),
    "raising": (SOUND, "raise RuntimeError('one\\ntwo')\n", f"{IMPORT}RuntimeError: one{REMEDY}"),
    "silent": (SOUND, "raise RuntimeError\n", f"{IMPORT}RuntimeError{REMEDY}"),
    "leaving": (SOUND, "import sys\nsys.exit(0)\n", f"{IMPORT}SystemExit: 0{REMEDY}"),
    "empty": (SOUND, "", f"{IMPORT}AttributeError: module 'pkg_empty' has no attribute 'ENTRY'"),
    "number": (SOUND, "ENTRY = 3\n", "need a bitpim.config.MachineEntry at pkg_number:ENTRY, got"),
    "renamed": ('"NAME"', '"else"', "need the record of that name, got one of 'else'; register"),
    "defaulted": (ROWS, ROWS.replace("(", "(3, "), "setting size.rows has a default, so nothing"),
    "tabled": (SIZE, f"{SIZE} = SizeSettings(rows=3)", "setting size has a default, so nothing"),
    "undescribed": (ROWS, "rows: int", "setting size.rows has no description; say what it means"),
    "scattered": (SIZE, f"rows: int\n    {SIZE}", "setting rows lies outside the parts; put it in"),
    "nested": (ROWS, 'rows: Part = Field(description="x")', "setting size.rows is a table; values"),
    "shapeless": ("settings=OwnSettings", "settings=dict", "need settings that are a subclass of"),
    "folderless": ('/ "presets"', '/ "preset"', "need a folder of .toml files, got none;"),
    "objectless": (MAKE, "lambda settings: object()", ""),
    "late": (MAKE, "lambda settings: __import__('no_such_library')", ""),
    "misnamed": (MAKE, "lambda settings: Misnamed()", ""),
    "unread": (MAKE, "lambda settings: Unread()", ""),
    "unset": (MAKE, "lambda settings: Failing(None)", ""),
    "failing": (MAKE, "lambda settings: Failing(settings)", ""),
}
PRESETS: dict[str, tuple[str, str, str]] = {
    "sourceless": (
        '{ value = 8, source = "me", confidence = "assumed" }',
        "8",
        'size.rows: need { value = ..., source = "..."',
    ),
    "unsourced": ('"me"', '""', "size.rows: source: String should have at least 1 character"),
    "garbled": ("[size]", "[size", "not TOML"),
    "headless": ("[preset]", "[head]", "needs a [preset] table"),
    "foreign": ('machine = "NAME"', 'machine = "isaac"', "unknown preset 'foreign' of machine"),
}
TWICE = "twice"


def make_package(folder: Path, name: str, module: str, preset: str) -> None:
    package = folder / f"pkg_{name}"
    (package / "presets").mkdir(parents=True)
    for path, text in (
        (package / "__init__.py", module),
        (package / f"presets/{name}.toml", preset),
    ):
        path.write_text(text.replace("NAME", name).replace("PACKAGE", package.name), "utf-8")
    register(folder, f"pkg-{name}", {name: f"{package.name}:ENTRY"})


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    for name, (old, new, _) in MODULES.items():
        assert old in SOUND
        make_package(folder, name, SOUND.replace(old, new), PRESET)
    for name, (old, new, _) in PRESETS.items():
        assert old in PRESET
        make_package(folder, name, SOUND, PRESET.replace(old, new))
    make_package(folder, TWICE, SOUND, PRESET)
    shutil.copytree(folder / "pkg_twice", folder / "fork_of_twice")
    register(folder, "fork-of-twice", {TWICE: "fork_of_twice:ENTRY"})
    register(folder, "pkg-misspelt", {"misspelt": "no such: name"})
    return folder


def one_line(ended: Ended, *words: str) -> None:
    assert (ended.code, ended.out) == (3, ""), ended
    assert ended.err.startswith("bitpim: ") and ended.err.count("\n") == 1
    for word in words:
        assert word in ended.err


def test_each_is_one_clear_line(place: Path) -> None:
    known = {**MODULES, **PRESETS}
    names = [name for name, (_, _, said) in known.items() if said]
    for name, ended in zip(
        names, run_commands([["config", "show", name] for name in names], place), strict=True
    ):
        assert f"pkg-{name}" in ended.err or f"pkg_{name}" in ended.err or name == "foreign"
        one_line(ended, name, known[name][2])


def test_what_makes_no_machine_is_said_before_it_runs(place: Path, tmp_path: Path) -> None:
    write_trace(small_trace(3), tmp_path / "net.h5")
    names = ("objectless", "late", "misnamed", "unread", "unset")
    lines = [["plan", tmp_path / "net.h5", "-m", name] for name in names]
    objectless, late, misnamed, unread, unset = run_commands(lines, place)
    one_line(objectless, "package pkg_objectless: need the members of", "got object without name, ")
    one_line(late, "package pkg_late: ", f"{IMPORT}ModuleNotFoundError: No module named", REMEDY)
    one_line(misnamed, "package pkg_misnamed: need a machine of that name, got one of 'sre'")
    one_line(unread, "package pkg_unread: need a bitpim.legend.Legend as its legend, got NoneType")
    one_line(unset, "package pkg_unset: need the settings it was made of as its settings, got None")


def test_a_bug_of_a_package_is_not_called_one_of_bitpim(place: Path, tmp_path: Path) -> None:
    write_trace(small_trace(3), tmp_path / "net.h5")
    [ended] = run_commands([["plan", tmp_path / "net.h5", "-m", "failing"]], place)
    assert (ended.code, "ZeroDivisionError" in ended.err) == (1, True)
    assert ended.err.splitlines()[-1].startswith("bitpim: this is a bug in pkg_failing; please")


def test_two_packages_of_one_machine_are_both_named(place: Path) -> None:
    show, misspelt = run_commands([["config", "show", n] for n in (TWICE, "misspelt")], place)
    one_line(show, "machine 'twice': need one of that name", "pkg-twice (pkg_twice:ENTRY)")
    one_line(show, "fork-of-twice (fork_of_twice:ENTRY)", "uninstall one, or have")
    one_line(misspelt, "machine 'misspelt' of package pkg-misspelt", IMPORT)


def test_the_other_machines_work_beside_them(place: Path, tmp_path: Path) -> None:
    net, out = tmp_path / "net.h5", tmp_path / "r.h5"
    write_trace(small_trace(9, kinds=["conv2d", "flatten", "linear"], bits=(8, 8)), net)
    lines: list[list[object]] = [
        ["replay", net, "-m", "dense_crossbar", "-o", out],
        ["verify", net, out],
        ["cost", out, "--prices", "isaac"],
        ["config", "show", "isaac"],
        ["config", "show", "neural_cash"],
    ]
    *sound, unknown = run_commands(lines, place)
    for ended in sound:
        assert (ended.code, ended.err) == (0, "")
    one_line(unknown, "unknown machine 'neural_cash'; did you mean 'neural_cache'?")


def test_help_loads_none_of_them(place: Path) -> None:
    loaded: list[str] = []
    [ended] = run_commands([["--help"]], place, loaded=loaded)
    assert ended.code == 0 and "Usage: bitpim" in ended.out
    assert not [name for name in loaded if name.startswith("pkg_")]
    assert not {name.partition(".")[0] for name in loaded} & HEAVY


def test_the_presets_of_all_sound_machines_are_listed(place: Path) -> None:
    code = "import bitpim; print(*bitpim.presets())"
    done = subprocess.run(
        [sys.executable, "-c", code], env={"PYTHONPATH": str(place)}, capture_output=True,
        text=True, check=True,
    )  # fmt: skip
    names = set(done.stdout.split())
    assert {"neural_cache", "isaac_8bit", "objectless", "sourceless"} <= names
    assert not names & {"unlisted", "leaving", "defaulted", "folderless", TWICE, "garbled"}


def test_the_same_distribution_twice_on_the_path_is_one(place: Path, tmp_path: Path) -> None:
    again = tmp_path / "again"
    make_package(again, "once", SOUND, PRESET)
    shutil.copytree(again, tmp_path / "copy")
    [ended] = run_commands([["config", "show", "once"]], again, tmp_path / "copy", place)
    assert (ended.code, ended.err) == (0, "") and "size.rows" in ended.out
