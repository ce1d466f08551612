"""What vectors say of themselves, form by form: another tile, machine or trace is told first."""

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bitpim.errors import TraceDataError
from bitpim.golden.vector_check import check_vectors
from bitpim.golden.vector_heads import ABOUT, archived, head_of, head_text, read_head
from bitpim.golden.vectors import make_vectors
from bitpim_traces.program_trace.records import ProgramTrace
from tests.program_traces import random_program

TOLD = {
    "machine": "isaac", "preset": "preset isaac", "trace": "net", "trace_digest": "d" * 64,
    "layer": "conv", "tile": 3, "sample": 0, "told": "somewhere",
}  # fmt: skip
TILE = replace(random_program(3), provenance=TOLD)
SINGLE = {"readmemh": "after_5.rows.hex", "readmemb": "after_5.rows.bin", "csv": "steps.csv",
          "npz": "vectors.npz"}  # fmt: skip


def made(folder: Path, program: ProgramTrace = TILE, form: str = "readmemh") -> Path:
    make_vectors(program, folder, formats=[form], after=[5])
    return folder


@pytest.mark.parametrize("form", SINGLE)
@pytest.mark.parametrize("changed", ["machine", "preset", "trace", "trace_digest", "tile", "layer"])
def test_a_single_file_of_another_tile_is_refused(tmp_path: Path, form: str, changed: str) -> None:
    """The words are the same to the last bit; only what they say of themselves is not."""
    other = replace(TILE, provenance={**TOLD, changed: "other"})
    folder = made(tmp_path / "vectors", form=form)
    mine = made(tmp_path / "mine", other, form) / SINGLE[form]
    with pytest.raises(TraceDataError, match=f"{changed} 'other' instead of .*nothing compared"):
        check_vectors(mine, folder)
    shutil.copy(mine, folder / SINGLE[form])  # among files that are of the right one
    again = made(tmp_path / "again", form=form)
    with pytest.raises(TraceDataError, match=f"{changed} 'other' instead of .*nothing compared"):
        check_vectors(folder, again)


@pytest.mark.parametrize("form", SINGLE)
def test_a_file_of_another_program_is_refused_though_its_words_are_damaged(
    tmp_path: Path, form: str
) -> None:
    other = random_program(4)
    folder = made(tmp_path / "vectors", form=form)
    mine = made(tmp_path / "mine", other, form) / SINGLE[form]
    if form != "npz":
        mine.write_text(mine.read_text() + "nothing\n")
    with pytest.raises(TraceDataError, match=r"is of another program: .*nothing compared"):
        check_vectors(mine, folder)


@pytest.mark.parametrize("form", ["readmemh", "readmemb", "csv"])
def test_words_are_of_the_program_or_say_nothing(tmp_path: Path, form: str) -> None:
    folder = made(tmp_path / "vectors", form=form)
    mine = tmp_path / SINGLE[form]
    text = (folder / SINGLE[form]).read_text()
    assert sum(" of {" in line for line in text.splitlines()) == 1
    mine.write_text(text)
    assert check_vectors(mine, folder).difference == ""
    kept = [line for line in text.splitlines() if not line.startswith(("//", "#"))]
    mine.write_text("\n".join(kept) + "\n")
    assert check_vectors(mine, folder).difference == ""


@pytest.mark.parametrize("form", ["readmemh", "csv"])
def test_the_line_that_says_it_is_named_where_it_is_wrong(tmp_path: Path, form: str) -> None:
    folder = made(tmp_path / "vectors", form=form)
    mine = tmp_path / SINGLE[form]
    text = (folder / SINGLE[form]).read_text()
    line = next(n for n, line in enumerate(text.splitlines(), 1) if " of {" in line)
    for wrong, words in (
        (text.replace('"name": "random 3"', '"name": 3'), "name needs its form, got 3"),
        (text.replace('"array": "sram", ', ""), "array needs its form"),
        (text.replace("[1, 0]", "[2, 0]"), "need format_version 1.x"),
        (text.replace('"bitpim.vectors"', '"bitpim.trace"'), "need what vectors say"),
        (text.replace(' of {"', " of {"), "need a JSON object"),
        (text.replace('"tile": 3', '"tile": 4'), "is of another program: tile 4 instead of 3"),
        (text.replace('"tile": 3, ', ""), "is of another program: tile None instead of 3"),
        (text.replace('"name": "random 3"', '"name": "x"'), "is of another program: name 'x'"),
    ):
        mine.write_text(wrong)
        with pytest.raises(TraceDataError, match=rf"{mine.name}, line {line}: {words}"):
            check_vectors(mine, folder)


def test_a_table_names_its_lines_as_they_are(tmp_path: Path) -> None:
    folder = made(tmp_path / "vectors", form="csv")
    mine = tmp_path / "steps.csv"
    lines = (folder / "steps.csv").read_text().splitlines()
    assert lines[0].startswith("# of {") and lines[1] == "line,hex"
    mine.write_text("\n".join([*lines[:4], "2;0", *lines[5:]]) + "\n")
    with pytest.raises(TraceDataError, match=r"line 5: need line 2 and a word by comma"):
        check_vectors(mine, folder)
    mine.write_text("\n".join(["# mine", lines[0], "# and more", *lines[1:]]) + "\n")
    assert check_vectors(mine, folder).difference == ""
    mine.write_text("# nothing else\n")
    with pytest.raises(TraceDataError, match=r"line 1: need 'line,hex', got '# nothing else'"):
        check_vectors(mine, folder)


@pytest.mark.parametrize(
    ("about", "words"),
    [
        (None, "need an array 'about' that says what it is of"),
        (np.zeros(3, np.int64), "about needs uint8"),
        (np.zeros((2, 2), np.uint8), "about needs uint8"),
        (np.frombuffer(b"{", np.uint8), "about: need a JSON object"),
        (np.frombuffer(b"\xff\xfe", np.uint8), "about: need a JSON object"),
    ],
)
def test_an_archive_says_what_it_is_of(tmp_path: Path, about: Any, words: str) -> None:
    folder = made(tmp_path / "vectors", form="npz")
    with np.load(folder / "vectors.npz") as file:
        arrays = dict(file)
    said = json.loads(arrays.pop(ABOUT).tobytes())
    manifest = json.loads((folder / "manifest.json").read_text())
    assert said == {key: value for key, value in manifest.items() if key not in ("after", "files")}
    mine = tmp_path / "mine.npz"
    np.savez(mine, **arrays, **({} if about is None else {ABOUT: about}))
    with pytest.raises(TraceDataError, match=rf"mine.npz: {words}"):
        check_vectors(mine, folder)
    shutil.copy(mine, folder / "vectors.npz")
    with pytest.raises(TraceDataError, match=rf"vectors.npz: {words}"):
        check_vectors(folder, made(tmp_path / "again", form="npz"))


def test_a_head_is_one_line_whatever_names_it_has() -> None:
    named = replace(TILE, name="two\nlines */ 两", provenance={**TOLD, "layer": "a\rb"})
    text = head_text(head_of(named))
    assert text.isascii() and text.isprintable()
    assert read_head(text, "here") == head_of(named)
    assert read_head(archived(head_of(named)).tobytes().decode(), "here")["name"] == named.name
