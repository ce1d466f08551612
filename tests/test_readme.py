"""What README.md shows happens: the picture multiplies, the demo prints that, links lead on."""

import re
from pathlib import Path

import numpy as np
import pytest

from bitpim.cli.app import run
from bitpim.programs.catalog import Widths, catalog_program
from bitpim.sram.subarray import Subarray

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text("utf-8")


def test_the_picture_is_a_run_of_the_program_it_names() -> None:
    drawn = re.findall(r"([awp])\d +([01])  ([01])  ([01])  ([01])", README)
    rows = np.array([bits for _, *bits in drawn]).astype(np.uint8)
    program = catalog_program("multiply", Widths(bits=2, weight_bits=2))
    array = Subarray(n_rows=program.n_rows, n_cols=4)
    array.write_rows(0, rows[:4])
    array.run(program)
    assert [name for name, *_ in drawn] == list("aawwpppp")
    assert np.array_equal(array.read_rows(4, 4), rows[4:])
    weights = 1 << np.arange(4)
    for name, start, stop in (("a", 0, 2), ("w", 2, 4), ("p", 4, 8)):
        codes = weights[: stop - start] @ rows[start:stop]
        assert f"{name} = {' '.join(map(str, codes))}" in README
    assert f"{len(program.table)} steps" in README


def shape(line: str) -> str:
    """What a line of the demo looks like whatever the numbers are; a bar is a bar."""
    line = re.sub(r"[█▓▒░·#=+.-]{20,}", "BAR", line)
    if "%  " in line:
        return re.sub(r"\d.*", "LEGEND", line)[:12]
    line = re.sub(r"\d[\d,.]*", "0", line)
    return re.sub(r"0 [pnumkM]?([sJ])\b", r"0 \1", line)


def test_the_demo_prints_what_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    match = re.search(r"<!-- demo -->\n```\n(.*?)```\n", README, re.DOTALL)
    assert match is not None
    shown = match[1].splitlines()
    assert run(["demo"]) == 0
    printed = capsys.readouterr().out.splitlines()
    assert [shape(line) for line in printed] == [shape(line) for line in shown]
    assert printed[:-1] == shown[:-1]  # all but the time it took


def test_the_search_prints_what_is_shown(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    match = re.search(r"<!-- search -->\n```\n(.*?)```\n", README, re.DOTALL)
    assert match is not None
    monkeypatch.chdir(tmp_path)
    *files, command = [step.partition("\n") for step in match[1].split("$ ")[1:]]
    for name, _, content in files:
        Path(name.removeprefix("cat ")).write_text(content, "utf-8")
    assert run(command[0].split()[1:]) == 0
    assert capsys.readouterr().out == command[2]


def test_links_lead_somewhere() -> None:
    texts = [ROOT / "README.md", *ROOT.glob("*/README.md"), ROOT / "bitpim" / "GLOSSARY.md"]
    for text in texts:
        for link in re.findall(r"\]\(([^)#:]+)\)", text.read_text("utf-8")):
            assert (text.parent / link).exists(), f"{text.relative_to(ROOT)}: {link}"


def test_files_named_by_the_reading_guide_exist() -> None:
    guide = (ROOT / "bitpim" / "README.md").read_text("utf-8")
    names = set(re.findall(r"`([\w/]+\.(?:py|toml))`", guide))
    assert len(names) > 10
    for name in names:
        found = [*ROOT.glob(f"bitpim/**/{name}"), *ROOT.glob(f"*/bitpim_*/**/{name}")]
        assert found, f"bitpim/README.md: {name}"


def test_commands_named_exist(capsys: pytest.CaptureFixture[str]) -> None:
    lines = re.findall(
        r"^    (bitpim \w+)(?: (info|check|synth|quantize|list|show))?", README, re.M
    )
    assert len(lines) >= 5
    for command, more in lines:
        assert run([*command.split()[1:], *([more] if more else []), "--help"]) == 0
    capsys.readouterr()
    targets = set(re.findall(r"^    make (\w+)", README, re.M))
    makefile = (ROOT / "Makefile").read_text("utf-8")
    assert targets >= {"demo", "test", "check"}
    assert all(re.search(rf"^{target}:", makefile, re.M) for target in targets)
