"""Vectors: words of every state, read back; a dump that differs is told by its first difference."""

import json
import random
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bitpim.errors import BitpimError, ConfigError, MismatchError, TraceDataError
from bitpim.golden.layer_shares import layer_arrays
from bitpim.golden.stepper import Stepper
from bitpim.golden.vector_check import check_vectors
from bitpim.golden.vector_words import read_words, state_words, step_words
from bitpim.golden.vectors import FORMATS, MANIFEST, PROGRAM, after_steps, make_vectors
from bitpim_traces.program_trace.records import ProgramTrace
from bitpim_traces.program_trace.writer import write_program
from bitpim_traces.records import TensorRecord
from tests.crossbar_programs import random_crossbar_program
from tests.program_traces import random_cam_program, random_program, random_share

PROGRAMS = {
    "sram": random_program(3, after="marks"),
    "tile": replace(random_program(4, after="marks"), layer=random_share(4)),
    "cam": random_cam_program(3, after="marks"),
    "crossbar": random_crossbar_program(3, after="marks"),
}


def made(tmp_path: Path, program: ProgramTrace, **how: Any) -> Path:
    how = {"formats": FORMATS, "after": after_steps(program, None), **how}
    make_vectors(program, tmp_path / "vectors", **how)
    return tmp_path / "vectors"


def copied(folder: Path) -> Path:
    """Return a copy of a folder of vectors, to be changed."""
    copy = folder.with_name("mine")
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(folder, copy)
    return copy


def flipped(path: Path) -> None:
    """Change the last digit of a text."""
    text = path.read_text()
    path.write_text(text[:-2] + ("1" if text[-2] == "0" else "0") + "\n")


@pytest.mark.parametrize("kind", PROGRAMS)
def test_what_is_made_is_equal(tmp_path: Path, kind: str) -> None:
    program = PROGRAMS[kind]
    folder = made(tmp_path, program)
    write_program(program, tmp_path / "tile.h5")
    whole = check_vectors(folder, tmp_path / "tile.h5")
    n_states = len(Stepper(program).states)
    n_times = 1 + len(after_steps(program, None))  # before the first step, and after some
    n_of_layer = len(layer_arrays(program))
    assert whole.difference == "" and whole.n_entries == 2 + n_of_layer + n_states * n_times
    assert check_vectors(folder / "vectors.npz", folder).difference == ""
    assert n_of_layer == 5 * (kind == "tile")
    for name in ("steps.hex", "port.bin", "before.csv"):
        for file in folder.glob(name.replace("before", "before.*")):
            assert check_vectors(file, folder).n_entries == 1


def test_words_are_the_states(tmp_path: Path) -> None:
    program = PROGRAMS["sram"]
    last = program.n_steps - 1
    folder = made(tmp_path, program, after=[last])
    at = Stepper(program)
    at.run_to_end()
    lines = (folder / f"after_{last}.rows.bin").read_text().splitlines()
    assert lines[0] == f"// after_{last}.rows: 6 words of 70 bits"
    bits = [[int(digit) for digit in line[::-1]] for line in lines[2:]]
    assert bits == at.peek("rows").tolist()
    hexadecimal = (folder / f"after_{last}.rows.hex").read_text().splitlines()[2:]
    assert [int(line, 16) for line in hexadecimal] == [int(line, 2) for line in lines[2:]]
    assert all(len(line) == 18 for line in hexadecimal)
    steps = (folder / "steps.hex").read_text().splitlines()[2:]
    numbers = [[int(line[i : i + 8], 16) for i in range(0, 40, 8)] for line in steps]
    signed = np.array(numbers, np.uint32).astype(np.int32)
    assert signed.tolist() == program.steps.read().tolist()


def test_numbers_are_twos_complement() -> None:
    form = next(f for f in Stepper(PROGRAMS["crossbar"]).states if f.name == "sums")
    values = np.arange(-1, form.sizes[0] - 1, dtype=np.int64)
    assert state_words(form, values).values[:2] == (2**64 - 1, 0)[: form.sizes[0]]
    assert step_words(np.array([[1, -1, 0, 0, 2]], np.int32)).values == (
        (1 << 128) + (0xFFFFFFFF << 96) + 2,
    )


def test_the_manifest_says_what_it_is_of(tmp_path: Path) -> None:
    folder = made(tmp_path, PROGRAMS["cam"])
    manifest = json.loads((folder / MANIFEST).read_text())
    assert manifest["array"] == "cam" and manifest["after"] == after_steps(PROGRAMS["cam"], None)
    assert {file["name"] for file in manifest["files"]} | {MANIFEST, PROGRAM, "vectors.npz"} == {
        path.name for path in folder.iterdir()
    }
    again = tmp_path / "again"
    make_vectors(PROGRAMS["cam"], again, formats=FORMATS, after=manifest["after"])
    for file in manifest["files"]:
        assert (again / file["name"]).read_bytes() == (folder / file["name"]).read_bytes()


@pytest.mark.parametrize("kind", PROGRAMS)
@pytest.mark.parametrize("form", ["hex", "bin", "csv"])
def test_a_flipped_digit_is_named(tmp_path: Path, kind: str, form: str) -> None:
    program = PROGRAMS[kind]
    folder = made(tmp_path, program, formats=["readmemh", "readmemb", "csv"])
    mine = copied(folder)
    step = after_steps(program, None)[1]
    state = Stepper(program).states[0]
    path = mine / f"after_{step}.{state.name}.{form}"
    flipped(path)
    found = check_vectors(mine, folder).difference
    assert f"{path.name}: after step {step}: {state.name}, {state.axes[0]} " in found
    with pytest.raises(MismatchError, match=f"after step {step}"):
        check_vectors(path, folder).require_equal()


def test_the_lowest_bit_that_differs_is_named(tmp_path: Path) -> None:
    folder = made(tmp_path, PROGRAMS["sram"], formats=["readmemb"])
    mine = copied(folder)
    step = after_steps(PROGRAMS["sram"], None)[0]
    path = mine / f"after_{step}.rows.bin"
    lines = path.read_text().splitlines()
    digits = [*lines[4]]
    for column in (5, 60):  # the last digit is column 0
        digits[-1 - column] = "10"[int(digits[-1 - column])]
    path.write_text("\n".join([*lines[:4], "".join(digits), *lines[5:]]) + "\n")
    found = check_vectors(mine, folder).difference
    assert f"after step {step}: rows, row 2 (x[2]), column 5 is" in found
    assert found.endswith("(2 bits of that word differ)")


def test_missing_and_additional_entries_are_differences(tmp_path: Path) -> None:
    program = PROGRAMS["sram"]
    folder = made(tmp_path, program, formats=["csv"])
    step = after_steps(program, None)[0]
    mine = copied(folder)
    (mine / f"after_{step}.tag.csv").unlink()
    assert f"after_{step}.tag.csv is missing" in check_vectors(mine, folder).difference
    for name in ("before.tags", "after_1.tag", "sums"):
        mine = copied(folder)
        (mine / f"{name}.csv").write_text("x")
        assert f"{name!r} is no entry" in check_vectors(mine, folder).difference
    path = mine / f"after_{step}.tag.csv"
    lines = path.read_text().splitlines()
    (mine / "sums.csv").unlink()
    path.write_text("\n".join([*lines, "1," + lines[2][2:]]) + "\n")
    assert "need 1 words, got 2" in check_vectors(mine, folder).difference
    path.write_text("\n".join(lines[:2]) + "\n")
    assert "need 1 words, got 0" in check_vectors(mine, folder).difference


def test_no_form_of_an_entry_may_be_missing(tmp_path: Path) -> None:
    """What one form has is no excuse for another that the dump says it has."""
    folder = made(tmp_path, PROGRAMS["cam"])
    step = after_steps(PROGRAMS["cam"], None)[-1]
    for name in (f"after_{step}.match.hex", "steps.csv", "before.value.bin"):
        mine = copied(folder)
        (mine / name).unlink()
        assert check_vectors(mine, folder).difference.endswith(f"{name} is missing")
    mine = copied(folder)
    with np.load(mine / "vectors.npz") as file:
        arrays = {name: file[name] for name in file.files if name != f"after_{step}.answer"}
    np.savez(mine / "vectors.npz", **arrays)
    told = check_vectors(mine, folder).difference
    assert told.endswith(f"after_{step}.answer of vectors.npz is missing")


def test_a_program_trace_has_states_after_every_step(tmp_path: Path) -> None:
    """Against a folder a state after another step is too much; a program trace has them all."""
    program = PROGRAMS["sram"]
    folder = made(tmp_path, program, formats=["csv"])
    write_program(program, tmp_path / "tile.h5")
    more = tmp_path / "more"
    make_vectors(program, more, formats=["csv"], after=[1, *after_steps(program, None)])
    assert check_vectors(more, tmp_path / "tile.h5").difference == ""
    assert "'after_1.carry' is no entry" in check_vectors(more, folder).difference


def test_arrays_are_compared_whole(tmp_path: Path) -> None:
    folder = made(tmp_path, PROGRAMS["crossbar"], formats=["npz"])
    with np.load(folder / "vectors.npz") as file:
        arrays = dict(file)
    step = after_steps(PROGRAMS["crossbar"], None)[1]
    arrays[f"after_{step}.sums"][0] ^= 4
    np.savez(tmp_path / "mine.npz", **arrays)
    assert f"after step {step}: sums, sum 0, bit 2 is" in check_vectors(
        tmp_path / "mine.npz", folder
    ).difference  # fmt: skip
    arrays[f"after_{step}.sums"] = arrays[f"after_{step}.sums"][:-1]
    np.savez(tmp_path / "mine.npz", **arrays)
    assert f"after_{step}.sums: need int64 of shape" in check_vectors(
        tmp_path / "mine.npz", folder
    ).difference  # fmt: skip
    del arrays["port"]
    np.savez(tmp_path / "mine.npz", **arrays)
    assert "port is missing" in check_vectors(tmp_path / "mine.npz", folder).difference


def test_a_dump_of_another_program_is_told_before_anything_is_compared(tmp_path: Path) -> None:
    folder = made(tmp_path, PROGRAMS["sram"], formats=["csv"])
    (folder / "steps.csv").write_text("nothing")
    write_program(random_program(4, after="marks"), tmp_path / "other.h5")
    with pytest.raises(TraceDataError, match=r"is of another program.*nothing compared"):
        check_vectors(folder, tmp_path / "other.h5")
    with pytest.raises(TraceDataError, match=r"other.h5: is of another program: name"):
        check_vectors(tmp_path / "other.h5", _intact(tmp_path))


def _intact(tmp_path: Path) -> Path:
    write_program(PROGRAMS["sram"], tmp_path / "tile.h5")
    return tmp_path / "tile.h5"


@pytest.mark.parametrize("changed", ["machine", "layer", "tile", "trace_digest", "sample"])
def test_the_same_numbers_of_another_tile_are_refused(tmp_path: Path, changed: str) -> None:
    told = {"machine": "m", "layer": "l", "tile": 3, "trace_digest": "d", "sample": 0}
    program = replace(PROGRAMS["sram"], provenance=told)
    other = replace(program, provenance={**told, changed: "other"})
    write_program(program, tmp_path / "tile.h5")
    write_program(other, tmp_path / "other.h5")
    make_vectors(other, tmp_path / "vectors")
    for mine in (tmp_path / "other.h5", tmp_path / "vectors"):
        with pytest.raises(TraceDataError, match=f"{changed} 'other' instead of"):
            check_vectors(mine, tmp_path / "tile.h5")


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"format_version": [2, 0]}, "need format_version 1.x"),
        ({"format_version": "x"}, "need format_version 1.x"),
        ({"format_name": "bitpim.trace"}, "need what vectors say"),
        ({"source": {"machine": "isaac"}}, "machine 'isaac' instead of None"),
        ({"source": None}, "source needs its form"),
        ({"array": "cam"}, "array 'cam' instead of 'sram'"),
        ({"parameters": {}}, "parameters {} instead of"),
        ({"name": "mine"}, "name 'mine' instead of 'random 3'"),
        ({"program_digest": "0" * 64}, "program_digest '0"),
        ({"files": None}, "files needs its form"),
        ({"files": [{}]}, "files need a name and a crc32 each"),
        ({"files": [{"name": "../x", "crc32": "0"}]}, "files need a name"),
        ({"after": [3, 2]}, "rising steps"),
        ({"after": [10**6]}, "need states after steps 0 to"),
        ({"after": ["1"]}, "rising steps"),
    ],
)
def test_a_manifest_is_believed_in_nothing(
    tmp_path: Path, changed: dict[str, Any], words: str
) -> None:
    folder = made(tmp_path, PROGRAMS["sram"], formats=["csv"])
    mine = copied(folder)
    manifest = json.loads((mine / MANIFEST).read_text())
    (mine / MANIFEST).write_text(json.dumps({**manifest, **changed}))
    with pytest.raises(TraceDataError, match=words):
        check_vectors(mine, folder)


def test_vectors_that_are_damaged_are_held_against_nothing(tmp_path: Path) -> None:
    folder = made(tmp_path, PROGRAMS["sram"], formats=["csv"])
    mine = copied(folder)
    flipped(folder / "steps.csv")
    with pytest.raises(TraceDataError, match=r"steps.csv: need the text with CRC-32"):
        check_vectors(mine, folder)
    (folder / "steps.csv").unlink()
    with pytest.raises(TraceDataError, match=r"steps.csv: cannot be read"):
        check_vectors(mine, folder)


@pytest.mark.parametrize(
    ("text", "steps"),
    [("end", [9]), ("every", list(range(10))), ("3, 1,3", [1, 3]), (None, [])],
)
def test_steps_are_chosen(text: str | None, steps: list[int]) -> None:
    program = random_program(1, n_steps=30)
    short = replace(program, steps=_cut(program, 10), expected=None, marks=())
    assert after_steps(short, text) == steps
    for wrong in ("all", "10", "-1", "1,,2", "9" * 30):
        with pytest.raises(ConfigError, match="after: need"):
            after_steps(short, wrong)


def _cut(program: ProgramTrace, n: int) -> Any:
    return TensorRecord.of(program.steps.read(0, n), axes="", role="", units="1")


def test_what_cannot_be_made_is_said(tmp_path: Path) -> None:
    program = PROGRAMS["sram"]
    with pytest.raises(ConfigError, match=r"format: need readmemh, .*, got 'vcd'"):
        make_vectors(program, tmp_path / "v", formats=["vcd"])
    (tmp_path / "there").mkdir()
    with pytest.raises(ConfigError, match="exists"):
        make_vectors(program, tmp_path / "there")
    with pytest.raises(ConfigError, match="need a folder to make it in"):
        make_vectors(program, tmp_path / "none" / "v")
    assert [path.name for path in tmp_path.iterdir()] == ["there"]


@pytest.mark.parametrize(
    ("text", "form", "words"),
    [
        ("0g", "readmemh", "line 1: need a hexadecimal word of 8 bits, got '0g'"),
        ("// a\n/* b\nc */ 1 2\n123\n", "readmemh", "line 4: need a hexadecimal word"),
        ("2", "readmemb", "line 1: need a binary word"),
        ("000000001", "readmemb", "line 1: need a binary word of 8 bits"),
        ("line,hex\n0,1\n2,3\n", "csv", "line 3: need line 1 and a word"),
        ("line,hex\n0;1\n", "csv", "line 2: need line 0"),
        ("lines\n", "csv", "line 1: need 'line,hex'"),
        ("1\n" * 99, "readmemh", "line 6: need 3 words, got more"),
        ("line,hex\n" + "0,1\n" * 99, "csv", "line 5: need 3 words, got more"),
        ("x", "readmemh", "need a hexadecimal word"),
    ],
)
def test_a_text_that_is_none_is_refused_by_its_line(text: str, form: str, words: str) -> None:
    with pytest.raises(TraceDataError, match=words):
        read_words(text, form, 8, 3, "mine")


def test_words_are_read_as_verilog_reads_them() -> None:
    text = "// head\n0_1 /* two\nlines */ fF\n\n  3"
    assert read_words(text, "readmemh", 8, 3, "mine") == [1, 255, 3]
    assert read_words("1010_1010", "readmemb", 8, 1, "mine") == [0xAA]


@pytest.mark.parametrize("form", FORMATS)
def test_mutated_dumps_are_errors_or_differences_or_equal(tmp_path: Path, form: str) -> None:
    """500 dumps in all, against vectors that are intact; one that is equal reads the same."""
    folder = made(tmp_path, PROGRAMS["tile"], formats=[form], after=[5])
    mine = copied(folder)
    names = sorted(path.name for path in mine.iterdir() if path.name != PROGRAM)
    outcomes = {"error": 0, "different": 0, "equal": 0}
    for seed in range(125):
        dice = random.Random(seed)
        name = dice.choice(names)
        raw = (folder / name).read_bytes()
        above = raw.find(b"}\n") + 2 if dice.random() < 0.6 and form != "npz" else 0
        (mine / name).write_bytes(raw[:above] + _mutated(dice, raw[above:]))
        try:
            found = check_vectors(mine, folder)
            outcomes["different" if found.difference else "equal"] += 1
            if not found.difference and name != MANIFEST:
                assert _read_plainly(mine / name) == _read_plainly(folder / name), seed
        except BitpimError as error:
            assert str(mine) in str(error) and "\n" not in str(error)
            outcomes["error"] += 1
        (mine / name).write_bytes(raw)
    assert check_vectors(mine, folder).difference == ""
    assert outcomes["error"] > 5 and (form == "npz" or min(outcomes.values()) > 5), outcomes


def _read_plainly(path: Path) -> Any:
    """Read a file of vectors by other means: as Verilog's lines, as a table, by NumPy."""
    if path.suffix == ".npz":
        with np.load(path) as file:
            return {name: file[name].tolist() for name in file.files}
    lines = path.read_text("utf-8").splitlines()
    if path.suffix == ".csv":
        table = [line for line in lines if line and not line.startswith("#")][1:]
        return [int(line.split(",")[1].replace("_", ""), 16) for line in table]
    words = [word for line in lines for word in line.partition("//")[0].split()]
    return [int(word.replace("_", ""), 2 if path.suffix == ".bin" else 16) for word in words]


def _mutated(dice: random.Random, raw: bytes) -> bytes:
    lines = raw.split(b"\n")
    at = dice.randrange(len(lines))
    way = dice.randrange(9)
    if way == 0:
        place = dice.randrange(len(raw))
        return raw[:place] + bytes([raw[place] ^ 1 << dice.randrange(8)]) + raw[place + 1 :]
    if way == 1:
        return raw[: dice.randrange(len(raw))]
    if way == 2:
        return raw + dice.choice([b"\n", b"0", b"\0", b"\xff", b"// end\n", b"1" * 10**6])
    if way == 3:
        lines[at] = dice.choice([b"", b"9" * 4000, b"-1", b"0x1", b"zzz", b"\xc3\xa9", b"@10"])
    elif way == 4:
        lines.insert(at, lines[at])
    elif way == 5:
        del lines[at]
    elif way == 6:
        other = dice.randrange(len(lines))
        lines[at], lines[other] = lines[other], lines[at]
    elif way == 7:
        lines[at] = lines[at].swapcase()
    else:
        return dice.choice([b"", b"[]", b"{}", b"nan", b"PK\x03\x04" + b"\0" * 40, raw * 3])
    return b"\n".join(lines)


def test_a_folder_that_is_no_dump_is_refused(tmp_path: Path) -> None:
    folder = made(tmp_path, PROGRAMS["sram"], formats=["csv"])
    for name, words in (
        ("none", "need a folder of vectors"),
        ("none.hex", "cannot be read|no entry"),
    ):
        with pytest.raises(BitpimError, match=words):
            check_vectors(tmp_path / name, folder).require_equal()
    (tmp_path / "empty").mkdir()
    with pytest.raises(TraceDataError, match="need a manifest"):
        check_vectors(tmp_path / "empty", folder)
    mine = copied(folder)
    shutil.copy(folder / PROGRAM, mine / "other.txt")
    with pytest.raises(TraceDataError, match="need files of vectors here"):
        check_vectors(mine, folder)


def test_states_that_a_dump_leaves_out_are_missing(tmp_path: Path) -> None:
    folder = made(tmp_path, PROGRAMS["sram"])
    steps = after_steps(PROGRAMS["sram"], None)
    with np.load(folder / "vectors.npz") as file:
        kept = {name: file[name] for name in file.files if not name.startswith("after_")}
    np.savez(tmp_path / "mine.npz", **kept)
    found = check_vectors(tmp_path / "mine.npz", folder).difference
    assert found.endswith(f"after_{steps[0]}.rows is missing")
    fewer = tmp_path / "fewer"
    make_vectors(PROGRAMS["sram"], fewer, after=steps[:-1])
    assert f"after_{steps[-1]}.rows is missing" in check_vectors(fewer, folder).difference


def test_the_first_difference_in_time_is_told(tmp_path: Path) -> None:
    program = PROGRAMS["sram"]
    folder = made(tmp_path, program, formats=["csv"])
    mine = copied(folder)
    at = Stepper(program)
    assert program.port is not None
    last = program.port.shape[0] - 1
    step = after_steps(program, None)[1]
    assert step < at.step_of_port_row(last)
    flipped(mine / "port.csv")
    told = f"port.csv: step {at.step_of_port_row(last)}: port row {last}, bit"
    assert told in check_vectors(mine, folder).difference
    flipped(mine / f"after_{step}.rows.csv")
    assert f"after step {step}: rows" in check_vectors(mine, folder).difference
    with pytest.raises(ConfigError, match="need a port row of 0"):
        at.step_of_port_row(last + 1)


def test_what_a_layer_makes_is_told_after_the_states_and_what_it_gets_before(
    tmp_path: Path,
) -> None:
    program = PROGRAMS["tile"]
    folder = made(tmp_path, program, formats=["csv"])
    mine = copied(folder)
    last = after_steps(program, None)[-1]
    for name, told in (
        ("outputs", "layer None, sample "),
        ("sums", "layer None, sample "),
        (f"after_{last}.rows", f"after step {last}: rows"),
        ("inputs", "layer None, input "),
    ):
        flipped(mine / f"{name}.csv")
        assert f"{name}.csv: {told}" in check_vectors(mine, folder).difference


def test_a_program_trace_is_a_dump_too(tmp_path: Path) -> None:
    program = PROGRAMS["crossbar"]
    folder = made(tmp_path, program)
    write_program(program, tmp_path / "mine.h5")
    assert check_vectors(tmp_path / "mine.h5", folder).difference == ""
    assert program.expected is not None
    sums = program.expected.state["sums"].read().copy()
    sums[1, 0] ^= 8
    state = {**program.expected.state, "sums": TensorRecord.of(sums, axes="", role="", units="1")}
    wrong = replace(program, expected=replace(program.expected, state=state))
    write_program(wrong, tmp_path / "wrong.h5")
    step = after_steps(program, None)[1]
    found = check_vectors(tmp_path / "wrong.h5", folder).difference
    assert f"after step {step}: sums, sum 0, bit 3 is" in found


def test_comments_end_words_and_do_not_hang() -> None:
    assert read_words("00/* */01\n", "readmemh", 8, 2, "mine") == [0, 1]
    with pytest.raises(TraceDataError, match="need a hexadecimal word"):
        read_words("/*/ " * 200_000 + "*/ x", "readmemh", 8, 2, "mine")
    assert read_words("7 /* open" + " /* " * 200_000, "readmemh", 8, 2, "mine") == [7]
