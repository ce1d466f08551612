"""`bitpim program run` and `check`: what a person types and what comes back."""

import io
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bitpim.proof.word_functions import read_functions
from tests.bitpim.cli.conftest import Run
from tests.nor_texts import AND_NOT, FORMS, XOR, adder

RIGHT = "bits(sum, carry) = a + b + c; no_carry = a + b + c < 2"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "adder.txt"
    path.write_text(adder())
    return path


@pytest.fixture
def broken(tmp_path: Path) -> Path:
    path = tmp_path / "broken.txt"
    path.write_text(adder().replace("T12: M5 = nor2 {M7,M3}", "T12: M5 = nor2 {M7,M1}"))
    return path


def test_run_shows_what_it_took_and_the_first_lanes(bitpim: Run, file: Path) -> None:
    code, out, err = bitpim("program", "run", file)
    assert (code, err) == (0, "")
    assert (
        out
        == """\
program  full_adder, veriSIMPLER text
ports    3 inputs, 3 outputs
cycles   14, 13 after the first initialisation
gates    10
INIT     4 steps, 10 cells
cells    8 used of 8
lanes    8, all combinations of 3 inputs
crc32    13abe173

lane  a  b  c  sum  carry  no_carry
   0  0  0  0    0      0         1
   1  1  0  0    1      0         1
   2  0  1  0    1      0         1
   3  1  1  0    0      1         0
   4  0  0  1    1      0         1
   5  1  0  1    0      1         0
   6  0  1  1    0      1         0
   7  1  1  1    1      1         0
"""
    )


@pytest.mark.parametrize("form", FORMS)
def test_every_form_runs_and_is_said(
    bitpim_json: Callable[..., Any], tmp_path: Path, form: str
) -> None:
    path = tmp_path / "program"
    path.write_text(FORMS[form](XOR))
    found = bitpim_json("program", "run", path)
    named = {"text": "veriSIMPLER text", "printed": "SIMPLER text"}.get(form, "SIMPLER JSON")
    assert (found["name"], found["form"], found["row_size"]) == ("xor", named, 12)
    assert (found["inputs"], found["outputs"]) == ({"x": 0, "y": 1}, {"z": 7})
    assert (found["cycles"], found["gates"], found["cells"]) == (6, 5, 12)
    assert (found["init_steps"], found["init_cells"]) == (1, 10)
    assert found["counts"]["nor_gate"] == 5 and found["lanes"] == 4
    assert found["first_lanes"] == {"z": [0, 1, 1, 0]}
    assert len(found["notes"]) == (form != "text")


def test_inputs_and_outputs_may_be_files(bitpim: Run, file: Path, tmp_path: Path) -> None:
    (tmp_path / "in.csv").write_text("c,a,b\n0,1,1\n1,1,1\n0,0,1\n")
    out_file = tmp_path / "out.npz"
    line = ("program", "run", file, "--inputs", tmp_path / "in.csv", "-o", out_file)
    code, out, err = bitpim(*line)
    assert (code, err) == (0, "") and "lanes    3, of " in out
    with np.load(out_file) as found:
        assert {name: found[name].tolist() for name in found.files} == {
            "sum": [0, 1, 1],
            "carry": [1, 1, 0],
            "no_carry": [0, 0, 1],
        }
    first = out_file.read_bytes()
    code, _, err = bitpim(*line)
    assert code == 3 and "exists; --overwrite replaces it" in err
    assert bitpim(*line, "--overwrite")[0] == 0
    assert out_file.read_bytes() == first


def test_inputs_come_through_standard_input(
    bitpim: Run, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def say(content: bytes) -> tuple[int, str, str]:
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(content)))
        return bitpim("program", "run", file, "--inputs", "-")

    code, out, err = say(b"a = 01\nb = 11\nc = 01")
    assert (code, err) == (0, "") and "lanes    2, of standard input\n" in out
    assert say(b"a = 01")[::2] == (
        3,
        "bitpim: standard input: need input b, got none of that name\n",
    )
    code, _, err = bitpim("program", "run", "-", "--inputs", "-")
    assert code == 2 and "need a file for one of program and inputs, got - for both" in err


def test_what_is_read_is_not_written_over(bitpim: Run, tmp_path: Path) -> None:
    program, inputs = tmp_path / "program.npz", tmp_path / "inputs.npz"
    program.write_text(adder())
    np.savez(inputs, a=np.array([0]), b=np.array([1]), c=np.array([1]))
    for name in (program, inputs):
        before = name.read_bytes()
        line = ("program", "run", program, "--inputs", inputs, "-o", name)
        code, _, err = bitpim(*line, "--overwrite")
        assert code == 2 and f"need another file than {name}" in err
        assert name.read_bytes() == before


def test_outputs_that_cannot_be_written_are_one_line(
    bitpim: Run, file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    absent = tmp_path / "absent" / "out.npz"
    code, _, err = bitpim("program", "run", file, "-o", absent)
    said = "cannot be written (No such file or directory); choose another place"
    assert (code, err) == (3, f"bitpim: {absent}: {said}\n")
    monkeypatch.chdir(tmp_path)
    for name in ("-", "out.csv", "out"):
        code, _, err = bitpim("program", "run", file, "-o", name)
        assert code == 2 and f"need a name that ends in .npz, got {name}" in err
    assert [path.name for path in tmp_path.iterdir()] == [file.name]


def test_random_lanes_are_those_of_the_seed(
    bitpim_json: Callable[..., Any], file: Path, tmp_path: Path
) -> None:
    rng = np.random.default_rng(5)
    a, b, c = (rng.integers(0, 2, 100, dtype=np.uint8) for _ in range(3))
    out_file = tmp_path / "out.npz"
    found = bitpim_json("program", "run", file, "--lanes", 100, "--seed", 5, "-o", out_file)
    assert (found["lanes"], found["lane_inputs"]) == (100, "random, seed 5")
    with np.load(out_file) as outputs:
        assert np.array_equal(outputs["sum"], (a + b + c) % 2)
    assert bitpim_json("program", "run", file, "--seed", 5)["lanes"] == 65_536


def test_a_program_comes_through_standard_input(
    bitpim: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(adder("json").encode())))
    code, out, err = bitpim("program", "run", "-")
    assert (code, err) == (0, "") and "crc32    13abe173" in out
    assert out.rstrip().endswith("cells that are no input, set at the start")
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"")))
    assert bitpim("program", "check", "-") == (
        3, "", "bitpim: standard input, line 1: need a NOR program, got an empty file\n"
    )  # fmt: skip


def test_check_alone_looks_at_the_steps(bitpim: Run, file: Path) -> None:
    code, out, err = bitpim("program", "check", file)
    assert (code, err) == (0, "") and out.endswith("steps    legal\n")
    file.write_text(adder().replace("T9: INIT M4", "T9: INIT M3"))
    code, out, err = bitpim("program", "check", file)
    assert (code, out) == (3, "")
    assert err.startswith(f"bitpim: {file}, line 22: writes M4, which was not set to 1 before")
    code, out, err = bitpim("program", "check", file, "--without-init")
    assert (code, err) == (0, "") and "steps    legal\n" in out


def test_a_program_without_init_has_no_first_initialisation(bitpim: Run, tmp_path: Path) -> None:
    path = tmp_path / "and_not.txt"
    path.write_text(AND_NOT)
    code, out, err = bitpim("program", "check", path, "--without-init")
    assert (code, err) == (0, "") and "\ncycles   3\ngates    2\nINIT     1 step" in out


def test_check_says_that_all_outputs_are_equal(bitpim: Run, file: Path) -> None:
    code, out, err = bitpim("program", "check", file, "--against", RIGHT)
    assert (code, err) == (0, "")
    assert out.endswith(
        "against  the function\nlanes    8, all combinations of 3 inputs\n"
        "outputs  3 of 3 equal\n"
    )  # fmt: skip


def test_check_lists_the_wrong_outputs_and_ends_with_4(bitpim: Run, broken: Path) -> None:
    code, out, err = bitpim("program", "check", broken, "--against", RIGHT)
    assert code == 4
    assert (
        out.split("outputs  ")[1]
        == """1 of 3 equal

wrong output  cell  wrong lanes  first lane  got  expected
carry            5            4           1    1         0
no_carry         6            4           1    0         1

lane 1: a=1 b=0 c=0
"""
    )
    assert err == (
        f"bitpim: {broken}: 2 of 3 outputs differ from the function; the first is carry, cell 5, "
        "in 4 of 8 lanes\n"
    )


def test_check_prints_json_and_still_ends_with_4(bitpim: Run, broken: Path) -> None:
    code, out, _ = bitpim("program", "check", broken, "--against", RIGHT, "--json")
    found = json.loads(out)
    assert code == 4 and found["equal"] is False and found["lanes"] == 8
    assert found["wrong"] == [
        {
            "output": name,
            "cell": cell,
            "wrong_lanes": 4,
            "first_lane": 1,
            "inputs": {"a": 1, "b": 0, "c": 0},
            "got": got,
            "expected": 1 - got,
        }
        for name, cell, got in (("carry", 5, 1), ("no_carry", 6, 0))
    ]


def test_options_that_contradict_each_other_are_usage_errors(bitpim: Run, file: Path) -> None:
    for line in (
        ("run", file, "--inputs", "x.csv", "--lanes", 5),
        ("run", file, "--inputs", "x.csv", "--seed", 5),
        ("check", file, "--lanes", 5),
        ("check", file, "--seed", 5),
        ("run", file, "--lanes", 0),
        ("run",),
    ):
        code, out, err = bitpim("program", *line)
        assert (code, out, err.count("\n")) == (2, "", 1), line


def test_many_ports_are_shown_in_part(bitpim: Run, tmp_path: Path) -> None:
    names = [f"i{n}" for n in range(40)]
    steps = [("inv1", (f"o{n}", 40 + n), [(f"i{n}", n)]) for n in range(40)]
    program = {
        "name": "many",
        "row": 80,
        "inputs": [(name, n) for n, name in enumerate(names)],
        "outputs": [(f"o{n}", 40 + n) for n in range(40)],
        "steps": steps,
    }
    path = tmp_path / "many"
    path.write_text(FORMS["text"](program))
    code, out, _ = bitpim("program", "run", path)
    assert code == 0 and "lanes    65,536, random, seed 0" in out
    assert "i15  o0" in out and "o15\n" in out and "(48 more ports; -o FILE has all outputs)" in out
    against = "; ".join(f"o{n} = i{n} ^ 1" for n in range(39)) + "; o39 = i39"
    code, out, _ = bitpim("program", "check", path, "--against", against)
    assert (
        code == 4 and "outputs  39 of 40 equal" in out and "o39             79       65,536" in out
    )


def nor_of(n_inputs: int) -> str:
    inputs = [(f"i{n}", n) for n in range(n_inputs)]
    program = {"name": "none", "row": 24, "inputs": inputs, "outputs": [("o", 23)]}
    return FORMS["text"](program | {"steps": [(f"nor{n_inputs}", ("o", 23), inputs)]})


@pytest.mark.parametrize(
    ("command", "n_inputs", "said"),
    [
        ("run", 16, "65,536, all combinations of 16 inputs"),
        ("run", 17, "65,536, random, seed 0"),
        ("check", 20, "1,048,576, all combinations of 20 inputs"),
        ("check", 21, "65,536, random, seed 0"),
    ],
)
def test_all_combinations_of_few_inputs(
    bitpim: Run, tmp_path: Path, command: str, n_inputs: int, said: str
) -> None:
    path = tmp_path / "nor"
    path.write_text(nor_of(n_inputs))
    word = ", ".join(f"i{n}" for n in range(n_inputs))
    against = () if command == "run" else ("--against", f"o = bits({word}) == 0")
    code, out, _ = bitpim("program", command, path, *against)
    assert code == 0 and f"\nlanes    {said}\n" in out


def test_lanes_of_wrong_outputs_are_shown_in_their_order(bitpim: Run, file: Path) -> None:
    wrong = "sum = a ^ b ^ c ^ (a & b); carry = (a + b + c) // 2 ^ (a ^ 1); no_carry = c"
    code, out, _ = bitpim("program", "check", file, "--against", wrong)
    assert code == 4
    assert re.findall(r"^lane (\d): a=(\d) b=(\d) c=(\d)$", out, re.MULTILINE) == [
        ("0", "0", "0", "0"),
        ("3", "1", "1", "0"),
    ]


def test_the_page_shows_what_comes_back(
    bitpim: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = (Path(__file__).parents[3] / "bitpim/programs/NOR_FILES.md").read_text("utf-8")
    blocks = [
        re.sub(r"(?m)^    ", "", block[0])
        for block in re.finditer(r"(?m)(^    .*\n|^\n(?=    ))+", page)
    ]
    monkeypatch.chdir(tmp_path)
    Path("xor.txt").write_text(blocks[0])
    assert bitpim("program", "run", "xor.txt") == (0, blocks[1].lstrip("\n"), "")
    code, out, _ = bitpim("program", "check", "xor.txt", "--against", "z = x | y")
    assert (code, out) == (4, blocks[2].lstrip("\n"))
    assert read_functions(blocks[3], "f").assigned[:2] == ("G16", "p0")
