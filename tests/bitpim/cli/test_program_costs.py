import json

from typer.testing import CliRunner

from bitpim.cli.program import app

RUNNER = CliRunner()


def output(*arguments: str) -> str:
    result = RUNNER.invoke(app, ["costs", *arguments], catch_exceptions=False)
    assert result.exit_code == 0
    return result.output


def test_costs_are_a_line_a_mode() -> None:
    lines = output("--bits", "8", "--operands", "9").splitlines()
    assert lines[0] == "Cycles of adders; 9 numbers take 4 carry-save levels and an add."
    rows = {line.split()[0]: line.split()[1:6] for line in lines if line}
    assert rows["aritpim"][:4] == ["18", "145", "217", "found"]
    assert rows["simpler"][:4] == ["9", "73", "109", "derived"]
    assert rows["apim13"][:4] == ["13", "104", "156", "recalled"]
    assert rows["floatpim"] == ["13", "97", "or", "104", "149"]
    quoted = {line.split("  ")[0]: line.split()[-6:] for line in lines}
    assert quoted["add of 8 bits"] == ["91", "(8)", "80", "(8)", "83", "73"]


def test_costs_as_json() -> None:
    found = json.loads(output("--bits", "16", "--operands", "1024", "--json"))
    assert (found["bits"], found["operands"], found["levels"]) == (16, 1024, 16)
    modes = {row["mode"]: row for row in found["modes"]}
    assert modes["apim13"]["sum_cycles"] == 13 * 16 + 13 * 16
    assert modes["aritpim"]["sum_cycles"] == 18 * 16 + 289
    assert modes["floatpim"]["other"] == 208
    assert [row["add_cycles"] for row in found["modes"]] == [289, 145, 208, 193]
    assert all(row["source"] for row in found["modes"])
    by_circuit = {row["circuit"]: row for row in found["simpler"]}
    full = by_circuit["full adder"]
    assert (full["cells"], full["simpler"], full["simpler_sets"]) == (10, 14, 2)
    assert (full["ours"], full["ours_sets"], full["wide_ours"]) == (10, 1, 9)
