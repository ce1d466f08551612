import json
import subprocess
import sys

import pytest
from typer.testing import CliRunner

from bitpim.cli.program import app
from bitpim.errors import ProgramError

RUNNER = CliRunner()


def output(*arguments: str) -> str:
    result = RUNNER.invoke(app, list(arguments), catch_exceptions=False)
    assert result.exit_code == 0
    return result.output


def test_show_prints_what_a_person_can_follow() -> None:
    text = output("show", "multiply", "--bits", "8")
    assert text.startswith("program multiply: 102 steps\n")
    assert "rows 8..15: w, 8 bits" in text
    assert "T = w[7]" in text
    assert "product[7] = product[7] ^ a[0] ^ C" in text
    assert len([line for line in text.splitlines() if line[:4].strip().isdigit()]) == 102


def test_show_json_is_the_table_itself() -> None:
    arguments = ("--bits", "4", "--weight-bits", "3", "--accumulator-bits", "9", "--json")
    shown = json.loads(output("show", "multiply_accumulate", *arguments))
    assert shown["cycles"] == len(shown["steps"]) == (7 + 5 + 2 * 7) + 10
    assert [field["width"] for field in shown["fields"]] == [4, 3, 9, 7]
    assert shown["family"] == "sram"
    assert [step["opcode"] for step in shown["steps"] if step["if_tag"]].count("ADD") == 4 * 2
    first = shown["steps"][0]
    assert (first["opcode"], first["dst"], first["rows"]) == ("ZERO", 7, ["", "", "product[0]"])


def test_list_has_the_cycles_of_all() -> None:
    rows = {row["name"]: row for row in json.loads(output("list", "--bits", "16", "--json"))}
    assert rows["multiply"]["cycles"] == 334
    assert rows["add"]["cycles"] == 17
    text = output("list", "--bits", "16")
    heads = [line for line in text.splitlines() if " program " in line]
    assert [head.split()[0] for head in heads] == ["sram", "magic"]
    assert len(text.splitlines()) == len(rows) + len(heads) + 1
    assert "need" in output("list", "--bits", "60", "--rows", "64")


def test_list_has_each_family_with_its_own_events() -> None:
    rows = {row["name"]: row for row in json.loads(output("list", "--json"))}
    assert {rows[name]["family"] for name in rows if name.startswith("nor_")} == {"magic"}
    assert rows["nor"]["family"] == rows["add"]["family"] == "sram"
    sram, magic = output("list").split("\n\n")
    assert "tag loads" in sram and "nor" not in sram.splitlines()[0]
    heads = "magic program cycles rows nor gates nor inits nor init cells"
    assert magic.splitlines()[0].split() == heads.split()
    assert magic.splitlines()[1].split() == ["nor_add", "145", "29", "72", "73", "73"]


def test_unknown_program_is_an_error_of_bitpim() -> None:
    with pytest.raises(ProgramError, match="did you mean divide"):
        output("show", "devide")


def test_showing_loads_no_numba() -> None:
    code = (
        "import sys; from bitpim.cli.program import app;"
        "from bitpim.programs.catalog import CATALOG;"
        "assert not {'numba', 'h5py', 'torch'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
