"""NOR programs of other tools: what each form says, and what is wrong with files that break it."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bitpim.errors import ProgramError
from bitpim.programs.nor_draft import MAX_CELLS
from bitpim.programs.nor_files import MAX_BYTES, NorFile, nor_program, read_nor_file
from bitpim_kernels.magic import MAGIC
from tests.mutants.nor_files import outputs_of
from tests.naive.nor_files import naive_outputs
from tests.nor_texts import ADDER, AND_NOT, FORMS, XOR, adder

A, B, C = 0b10101010, 0b11001100, 0b11110000  # of all eight combinations
SUM, CARRY = A ^ B ^ C, A & B | A & C | B & C


def read(text: str, **options: Any) -> NorFile:
    return nor_program(text.encode(), "f", **options)


@pytest.mark.parametrize("form", FORMS)
def test_a_full_adder_adds_in_every_form(form: str) -> None:
    file = read(adder(form))
    assert outputs_of(file) == {"sum": SUM, "carry": CARRY, "no_carry": CARRY ^ 0xFF}
    assert (file.name, file.row_size) == ("full_adder", 8)
    assert [(p.name, p.cell) for p in file.inputs] == ADDER["inputs"]
    assert [(p.name, p.cell) for p in file.outputs] == ADDER["outputs"]
    assert (file.n_cycles, file.n_gates, file.n_init_steps, file.n_init_cells) == (14, 10, 4, 10)
    assert file.n_cells == 8
    assert outputs_of(read(FORMS[form](XOR))) == {"z": 0b0110}


@pytest.mark.parametrize("form", FORMS)
def test_the_naive_reader_agrees(form: str) -> None:
    for program in (ADDER, XOR):
        text = FORMS[form](program)
        assert outputs_of(read(text)) == naive_outputs(text)


def test_each_line_of_a_program_knows_where_it_stands() -> None:
    file = read(adder())
    lines = [place.line for place in file.places]
    assert lines == [*[12] * 5, *range(13, 18), 18, 18, *range(19, 23), 23, 23, 24, 25]
    keys = [place.in_file for place in read(adder("json")).places]
    assert keys[0] == "T0 (line 11)" and keys[-1] == "T13 (line 24)"
    old = read(adder("old json"))
    assert [place.key for place in old.places][-2:] == ["T12", "T13"]
    assert old.places[-1].line < old.places[-2].line


def test_what_is_convention_is_said() -> None:
    assert read(adder()).notes == ()
    assert read(adder("json")).notes == (
        "T0 lists 10 cells, one a net: it stands for all 5 cells that are no input, set at the "
        "start",
    )
    for form in ("old json", "printed"):
        assert read(adder(form)).notes == (
            "the file has no first initialisation: by convention all 5 cells that are no input, "
            "set at the start",
        )
    right = adder("json").replace(",'INIT_CYCLE(8)'", "").replace(",'INIT_CYCLE(9)'", "")
    right = re.sub(r",'INIT_CYCLE\((10|11|12)\)'", "", right)
    assert read(right).notes == ()
    assert read(right).listing()[0] == "program full_adder: 14 steps"
    assert read(adder("json")).listing()[0].startswith("note: T0 lists 10 cells")


def test_a_first_initialisation_that_lists_other_cells_is_taken_as_it_is() -> None:
    cells = "'INIT_CYCLE(7)','INIT_CYCLE(6)','INIT_CYCLE(5)','INIT_CYCLE(4)','INIT_CYCLE(3)'"
    text = re.sub(r"Ron\)\{'.*'\}", f"Ron){{{cells}}}", adder("json"))
    assert [int(row[3]) for row in read(text).program.table[:5]] == [7, 6, 5, 4, 3]
    refused(text.replace(",'INIT_CYCLE(3)'", ""), r"f, T5 .*writes u1\(3\), .* an INIT is missing")


def test_gates_of_many_inputs() -> None:
    text = """
        Row size: 9
        Inputs: a(M0),b(M1),c(M2),d(M3),e(M4)
        Outputs: x(M5),y(M6),z(M7)
        Total cycles: 3
        Execution sequence:
        T0: INIT M5,M6,M7
        T1: M5 = nor3 {M0,M1,M2}
        T2: M6 = nor5 {M0,M1,M2,M3,M4}
        T3: M7 = nor4 {M4,M4,M5,M6}
    """
    file = read(text)
    every = (1 << 32) - 1
    a, b, c, d, e = (sum(1 << lane for lane in range(32) if lane >> i & 1) for i in range(5))
    x, y = every & ~(a | b | c), every & ~(a | b | c | d | e)
    assert outputs_of(file) == {"x": x, "y": y, "z": every & ~(e | x | y)} == naive_outputs(text)
    assert (file.n_gates, file.n_cycles) == (3, 4)
    codes = [MAGIC.by_code[code].mnemonic for code in file.program.table[3:, 0].tolist()]
    wide = {n: ["NOR_OPEN", *["NOR_OPEN_MORE"] * (n - 3), "NOR_WIDE"] for n in (3, 4, 5)}
    assert codes == [*wide[3], *wide[5], *wide[4]]
    assert [place.line for place in file.places][3:] == [8] * 2 + [9] * 4 + [10] * 3


def test_old_content_is_anded_where_it_is_asked_for() -> None:
    lines = adder().split("\n")
    text = "\n".join(
        line.replace("INIT M6,M5", "INIT M6") if line.startswith("T11") else line for line in lines
    )
    error = refused(
        text, "f, line 24: writes M5, .* holds the result of step 8; an INIT is missing"
    )
    assert error.endswith("an INIT is missing: set it, or allow that by --without-init")
    file = read(text, without_init=True)
    found = outputs_of(file)
    assert found == naive_outputs(text)
    assert found["carry"] != CARRY


def test_a_program_may_start_with_a_gate_and_set_cells_later() -> None:
    """No INIT is free there: the one it has is a cycle that sets cells again."""
    file = read(AND_NOT, without_init=True)
    assert (file.n_cycles, file.n_init_steps, file.starts_with_init) == (3, 1, False)
    assert read(adder()).starts_with_init
    with pytest.raises(ProgramError, match=r"`Reuse cycles` needs to be .*, 1, got 0"):
        read(AND_NOT.replace("Reuse cycles: 1", "Reuse cycles: 0"), without_init=True)


def test_what_stands_below_the_announced_last_step_is_left_out_and_said_to_be() -> None:
    below = adder() + "\n# 提取\nprint(r'T0: INIT M1')\n\nend\n"
    file = read(below)
    assert file.notes == ("lines 27 to 30 stand below the announced last step and are left out",)
    assert outputs_of(file) == outputs_of(read(adder()))
    refused(adder() + "print(1)\n", r"f, line 26: need a step .*got 'print\(1\)'")
    refused(adder() + "\nx\nT14: INIT M4\n", "f, line 28: need no step after the announced last")
    early = adder().replace("T9: INIT M4", "\nhere\nT9: INIT M4")
    refused(early, "f, line 22: need a step")
    assert outputs_of(read(adder().replace("T9: INIT M4", "\n\nT9: INIT M4")))["sum"] == SUM


def test_oddities_are_noted() -> None:
    odd = adder().replace("T13: M6 = inv1 {M5}", "T13: M6 = inv1 {M7}")
    odd = odd.replace("T4: M4 = nor2 {M6,M5}", "T4: M4 = nor2 {M3,M5}")
    odd = odd.replace("{M3,M2}", "{M3,M4}").replace("{M4,M2}", "{M4,M1}")
    assert read(odd).notes == (
        "no gate reads 1 of the inputs: c",
        "line 14: nobody reads the result in M6",
        "line 16: reads M3 as it was set, 1 in every lane",
    )


def test_inputs_that_no_gate_reads_may_be_taken_off_the_number_of_gates() -> None:
    wider = adder().replace("c(M2)", "c(M2),d(M3),e(M4)").replace("PIs: 3", "PIs: 5")
    wider = wider.replace("M3,M4,M5,M6,M7\n", "M3,M4,M5,M6,M7\n", 1)
    assert "d, e" in read(wider).notes[0]
    assert "d, e" in read(wider.replace("Gates: 10", "Gates: 8")).notes[0]
    for n in (7, 9, 11):
        refused(wider.replace("Gates: 10", f"Gates: {n}"), "`Number of Gates` needs to be .*, 10")


def refused(text: str | bytes, said: str, **options: Any) -> str:
    """Require one error of one line, and return it."""
    content = text.encode() if isinstance(text, str) else text
    with pytest.raises(ProgramError, match=said) as found:
        nor_program(content, "f", **options)
    assert "\n" not in str(found.value) and len(str(found.value)) < 400
    return str(found.value)


TEXT_FAULTS = [
    ("T1: M7 = nor2", "T1: M7 = nand2", "line 13: need the gate inv1, nor2, nor3, ..., got nand2"),
    ("T1: M7 = nor2", "T1: M7 = nor1", "line 13: need the gate inv1"),
    ("T1: M7 = nor2", "T1: M7 = nor3", "line 13: need 3 inputs of nor3, got 2"),
    ("T1: M7 = nor2", "T1: M7 = inv1", "line 13: need 1 inputs of inv1, got 2"),
    ("T1: M7 = nor2 {M0,M1}", "T1: M7 = nor2 {}", "line 13: need a cell or more, got none"),
    ("T1: M7 = nor2 {M0,M1}", "T1: M7 = nor2 {M0,}", "line 13: need a cell as `M0`, got ''"),
    ("T1: M7 = nor2 {M0,M1}", "T1: M7 = nor2 {M0,M1} x", "line 13: need `INIT M0,M1` or"),
    ("T1: M7 = nor2 {M0,M1}", "T1: M7 = nor2 {M0,M7}", "line 13: .*apart from the inputs, got M7"),
    (
        "T1: M7 = nor2 {M0,M1}",
        "T1: M7 = nor2 {M0,M8}",
        "line 13: need a cell of the row, 0..7, got M8",
    ),
    ("T1: M7", "T1: M8", "line 13: need a cell of the row, 0..7, got M8"),
    ("T1: M7", "T1: 7", "line 13: need a cell as `M0`, got '7'"),
    ("T1: M7", "T1: M-7", "line 13: need the number of a cell in digits, got '-7'"),
    ("T1: M7", "T1: M\u0667", "line 13: need the number of a cell in digits"),
    ("T1: M7", "T1: M³", "line 13: need the number of a cell in digits"),
    (
        "T1: M7",
        "T1: M" + "9" * 10**6,
        "line 13: need the number of a cell of at most 9 digits, got 1000000",
    ),
    ("T1:", "T2:", "line 13: need step T1 next, got T2, a gap before it"),
    ("T2:", "T1:", "line 14: need step T2 next, got T1, a second time"),
    ("T0: INIT M3,M4,M5,M6,M7\n", "", "line 12: need step T0 next, got T1"),
    ("T0: INIT M3,M4,M5,M6,M7", "T0: INIT", "line 12: need a cell or more, got none"),
    ("T0: INIT M3,M4,M5,M6,M7", "T0: INIT M3,M4,M5,M6,M7,M3", "line 12: sets M3 twice"),
    ("T0: INIT M3,M4,M5,M6,M7", "T0: INIT M3,M4,M5,M6", "line 13: writes M7, .*an INIT is missing"),
    ("T6: INIT M6,M5", "T6: INIT M6", "line 20: writes M5, .*holds the result of step 3"),
    ("T9: INIT M4\n", "", "line 21: need step T9 next, got T10"),
    (
        "T13: M6 = inv1 {M5}\n",
        "",
        "line 8: `Total cycles` needs to be .*, 12, got 13; the file may be cut",
    ),
    ("T13: M6 = inv1 {M5}", "T13: INIT M6", "line 5: need output no_carry.6. written"),
    ("no_carry(M6)", "no_carry(M8)", "line 5: need a cell of the row"),
    (
        "T12: M5 = nor2 {M7,M3}",
        "T12: M5 = nor2 {M7,M3}\nT12: M5 = nor2 {M7,M3}",
        "line 25: need step T13",
    ),
    ("Row size: 8", "Row size: 7", "line 12: need a cell of the row, 0..6, got M7"),
    ("Row size: 8", "Row size: 1000000000000", "line 2: need `Row size` of at most 9 digits"),
    (
        "Row size: 8",
        "Row size: 100000",
        f"line 2: need a row of 1 to {MAX_CELLS} cells, got 100000",
    ),
    ("Row size: 8", "Row size: 0", "line 2: need a row of 1 to"),
    ("Row size: 8", "Row size: 0x8", "line 2: need `Row size` in digits, got '0x8'"),
    ("Row size: 8\n", "", "line 1: need a line `Row size` in the head, got none"),
    (
        "Row size: 8",
        "Row size: 8\nRow size: 8",
        "line 3: need `Row size` once, got it on line 2, too",
    ),
    ("Row size: 8", "Column size: 8", "line 2: need a line of the head or a step, got 'Column"),
    ("Total cycles: 13\n", "", "line 1: need a line `Total cycles` in the head"),
    ("Total cycles: 13", "Total cycles: 14", "line 8: `Total cycles` needs to be .*, 13, got 14"),
    (
        "Gates: 10",
        "Gates: 11",
        "line 3: `Number of Gates` needs to be what the steps have, 10, got 11",
    ),
    ("Reuse cycles: 3", "Reuse cycles: 4", "line 9: `Reuse cycles` needs to be .*, 3, got 4"),
    ("percentage: 23.08%", "percentage: 23.09%", "line 10: .* needs to be 23.08% .*, got 23.09%"),
    ("PIs: 3", "PIs: 2", "line 6: `Number of Inputs` needs to be .*, 3, got 2"),
    ("POs: 3", "POs: 4", "line 7: `Number of Outputs` needs to be .*, 3, got 4"),
    ("a(M0),b(M1)", "a(M0),b(M0)", "line 4: need different cells of inputs, got 0 twice"),
    ("a(M0),b(M1)", "a(M0),a(M1)", "line 5: need different names of ports, got a twice"),
    ("sum(M4)", "a(M4)", "line 5: need different names of ports, got a twice"),
    ("a(M0),b(M1)", "a(M0),b", "line 4: need ports as `name.M0.`, by commas, got 'b'"),
    ("a(M0),b(M1)", "a(M0),b\x1b(M1)", "line 4: need `Inputs` that can be printed"),
    ("Inputs: a(M0),b(M1),c(M2)", "Inputs:", "line 4: need ports as"),
    ("c(M2)", "c(M3)", "line 17: reads M2, which holds nothing yet"),
    ("Execution sequence:", "Execution", "line 11: need a line of the head"),
]


@pytest.mark.parametrize(
    ("old", "new", "said"), TEXT_FAULTS, ids=[f"{t[2]:.40}" for t in TEXT_FAULTS]
)
def test_faults_of_text_name_their_line(old: str, new: str, said: str) -> None:
    assert adder().count(old) >= 1
    refused(adder().replace(old, new, 1), f"^f, (?:{said})")


def of_json(change: Callable[[dict[str, Any]], Any], form: str = "json") -> str:
    content = json.loads(adder(form))
    change(content)
    return json.dumps(content, indent=4)


def with_step(key: str, text: Any) -> str:
    return of_json(lambda found: found["Execution sequence"].update({key: text}))


def with_key(key: str, value: Any) -> str:
    return of_json(lambda found: found.update({key: value}))


JSON_FAULTS = [
    (
        with_step("T1", "t0(7)=nor2{a(0),c(1)}"),
        r"T1 \(line 12\): need the net that cell 1 holds, 'b', got 'c'",
    ),
    (
        with_step("T1", "t0(7)=nor2{a(0),b(2)}"),
        r"T1 \(line 12\): need the net that cell 2 holds, 'c', got 'b'",
    ),
    (
        with_step("T1", "t0(7)=nor2{a(0),b(5)}"),
        r"T1 \(line 12\): need the net that cell 5 holds, none, got 'b'",
    ),
    (
        with_step("T1", "a(7)=nor2{a(0),b(1)}"),
        "T1 .*: need a net of its own, got 'a' for the second time",
    ),
    (with_step("T2", "t0(6)=nor2{a(0),t0(7)}"), "T2 .*: need a net of its own, got 't0'"),
    (with_step("T1", "INIT_CYCLE(7)=nor2{a(0),b(1)}"), "T1 .*: need a net of its own"),
    (
        with_step("T6", "Initialization(Ron){t2(6),t2(5)}"),
        "T6 .*: need the net that cell 6 holds, 't1'",
    ),
    (
        with_step("T6", "Initialization(Ron){INIT_CYCLE(6),t2(5)}"),
        "T6 .*: need the net that cell 6 holds",
    ),
    (
        with_step("T7", "u2(6)=nor2{u1(3),t2(5)}"),
        r"T7 \(line 18\): need the net that cell 5 holds, none, got 't2'",
    ),
    (with_step("T9", "Initialization(Ron){t1(6)}"), "T9 .*: need the net that cell 6 holds, 'u2'"),
    (with_step("T6", "Initialization(Ron){}"), "T6 .*: need a cell or more, got none"),
    (with_step("T6", "Initialization(Roff){t1(6)}"), "T6 .*: need `Initialization"),
    (
        with_step("T6", "Initialization(Ron){t1(6)}"),
        "T8 .*: writes u3.5., .*holds the result of step 3",
    ),
    (with_step("T4", "same(4)=nor2{t1(6),t2(5)"), "T4 .*: need a list as"),
    (
        with_step("T4", "same(4)=nor2{t1(6),t2}"),
        "T4 .*: need a net and its cell as `net.0.`, got 't2'",
    ),
    (with_step("T4", "same(4)=nor2{t1(6),t2(5)}x"), "T4 .*: need a list as"),
    (
        with_step("T4", "same(9)=nor2{t1(6),t2(5)}"),
        r"T4 .*: need a cell of the row, 0..7, got same\(9\)",
    ),
    (with_step("T4", "same(4)=xor2{t1(6),t2(5)}"), "T4 .*: need the gate inv1"),
    (with_step("T4", 4), "T4 .*: need a step as text, got '4'"),
    (with_step("T4", None), "T4 .*: need a step as text"),
    (with_step("T15", "sum2(4)=inv1{a(0)}"), "T15 .*: need step T14 next, got T15"),
    (with_step("T04", "x(4)=inv1{a(0)}"), "T04 .*: need step T5 next, got T4, a second time"),
    (with_step("S4", "x(4)=inv1{a(0)}"), "S4 .*: need a step as `T1`, got 'S4'"),
    (with_step("cycle 0", "cycle 1"), "cycle 0 .*: need `Initialization"),
    (with_key("Row size", "8"), r"Row size \(line 3\): need a number, got "),
    (with_key("Row size", True), "Row size .*: need a number, got 'True'"),
    (with_key("Row size", -8), "Row size .*: need a number, got '-8'"),
    (with_key("Row size", 10**12), "Row size .*: need a row of 1 to"),
    (with_key("Row size", 6), r"Outputs .*: need a cell of the row, 0..5, got no_carry\(6\)"),
    (with_key("Inputs", 3), "Inputs .*: need a text, got '3'"),
    (with_key("Inputs", "a(0),b(1),c(2)"), "Inputs .*: need a list as"),
    (
        with_key("Outputs", "{sum(4),carry(5),other(6)}"),
        "Outputs .*: need the net that cell 6 holds, 'no_carry'",
    ),
    (with_key("Total cycles", 12), "Total cycles .*: `Total cycles` needs to be .*, 13, got 12"),
    (with_key("Number of Gates", 12), "Number of Gates .*: `Number of Gates` needs to be"),
    (
        with_key("Number of outputs", 4),
        "Number of outputs .*: `Number of Outputs` needs to be .*, 3, got 4",
    ),
    (with_key("Cells", 4), r"Cells .line 26.: need a key of SIMPLER's files, got 'Cells'"),
    (with_key("row  SIZE", 8), "row  SIZE .*: need it once, got it in two spellings"),
    (with_key("Execution sequence", ["T1"]), "line 1: need an object `Execution sequence`"),
    (
        with_key("Execution sequence", {}),
        "Total cycles .*: `Total cycles` needs to be .*, 0, got 13",
    ),
    (of_json(lambda found: found.pop("Outputs")), "line 1: need a line `Outputs` in the head"),
    (of_json(lambda found: found.pop("Execution sequence")), "line 1: need an object `Execution"),
    (
        adder("json").replace('"T2"', '"T1"', 1),
        "line 1: need JSON: need different keys in an object, got 'T1' twice",
    ),
    (adder("json")[:-3], r"line 25: need JSON: Expecting ',' delimiter, column \d+"),
    (adder("json") + "\nx", "line 27: need JSON: Extra data, column 1"),
    ("{" * 100_000, "line 1: need JSON: "),
    ('{"a":' * 100_000, "line 1: need JSON: need values nested at most 32 deep"),
    ('{"Row size": ' + "9" * 1_000_000 + "}", "line 1: need JSON: "),
    ('{"Row size": NaN}', "line 1: need JSON: NaN is no JSON number"),
    ("{}", "line 1: need an object `Execution sequence`"),
]


@pytest.mark.parametrize(("text", "said"), JSON_FAULTS, ids=[f"{f[1]:.40}" for f in JSON_FAULTS])
def test_faults_of_json_name_their_key(text: str, said: str) -> None:
    refused(text, f"^f, (?:{said})")


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (
            "T1:t0(7)=nor2{a(0),b(1)}",
            "T1:t0(7)=nor2{a(0),b(2)}",
            "line 10: need the net that cell 2",
        ),
        ("T0:b(1)=INPUT", "T0:b(2)=INPUT", r"line 8: need one of the inputs, got 'b\(2\)'"),
        ("\n}\n", "\n", "line .*: need a step as `T1`|need steps between"),
        ("T13:no_carry(6)=inv1{carry(5)}\n}", "", "line 22: need a step as `T1`, got 'RES|line "),
        ("Number of gates: 10", "Number of gates: 9", "line 30: `Number of Gates` needs to be"),
        (
            "percentage: 0.23",
            "percentage: 0.24",
            "line 29: `Initialization percentage` needs to be 0.23",
        ),
        (
            "EXECUTION SEQUENCE + MAPPING: {",
            "EXECUTION SEQUENCE + MAPPING:",
            "line 6: need the steps once",
        ),
        (
            "Number of gates: 10",
            "Number of gates: 10\nMax number of used cells: 9",
            "line 31: need no more cells",
        ),
    ],
)
def test_faults_of_printed_text_name_their_line(old: str, new: str, said: str) -> None:
    assert adder("printed").count(old) == 1
    refused(adder("printed").replace(old, new), f"^f, (?:{said})")


def test_early_python_prints_shares_as_zero() -> None:
    text = re.sub(r"percentage: .*", "percentage: 0", adder("printed"))
    assert read(text).n_gates == 10


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "line 1: need a NOR program, got an empty file"),
        (b" \n\n", "line 1: need a NOR program, got an empty file"),
        (bytes(range(1, 256)), "line 2: need UTF-8 text, got other bytes"),
        (b"\xff\xfe" * 50, "line 1: need UTF-8 text"),
        (b"Inputs: a\n\0", "line 2: need text, got a zero byte"),
        (b"module m (a);\nendmodule\n", "line 1: need one of veriSIMPLER text, SIMPLER JSON"),
        (b"Inputs: a(M0)\n" * 10**5, "line 2: need `Inputs` once, got it on line 1, too"),
        (b"Inputs: " + b"a(M0)," * 10**5, "line 1: need a line `Execution sequence:`"),
        (b" " * MAX_BYTES + b"{}", f"line 1: need at most {MAX_BYTES} bytes, got more"),
    ],
)
def test_foreign_and_hostile_files_are_refused_in_a_line(content: bytes, said: str) -> None:
    refused(content, f"^f, {said}")


def test_a_file_cut_short_anywhere_is_refused() -> None:
    for form, write in FORMS.items():
        text = write(XOR).rstrip()
        n_claims = text.count("\n", text.index("}\n")) if form == "printed" else 0
        kept = "\n".join(text.split("\n")[: -n_claims or None])
        for end in range(0, len(kept) - 1, 7):
            with pytest.raises(ProgramError):
                read(kept[:end])


def test_files_are_found_read_and_named(tmp_path: Path) -> None:
    path = tmp_path / "adder.txt"
    path.write_bytes(b"\xef\xbb\xbf" + adder().replace("\n", "\r\n").encode())
    assert outputs_of(read_nor_file(str(path)))["sum"] == SUM
    with pytest.raises(ProgramError, match=r"absent.txt: need the file of a NOR program"):
        read_nor_file(str(tmp_path / "absent.txt"))
    with pytest.raises(ProgramError, match=r"need the file of a NOR program .a folder"):
        read_nor_file(str(tmp_path))
