"""The record of a logic family: what follows from it, and which records contradict themselves."""

import itertools
import pickle
from dataclasses import replace
from typing import Any

import pytest

from bitpim_kernels import opcodes as op
from bitpim_kernels.expressions import evaluate, names_in
from bitpim_kernels.family import ALWAYS, Family, Latch, Opcode, Predicate
from tests.naive.bitline import majority, value

BITS = (0, 1)


class Ints:
    """Bit logic on integers of one bit."""

    def constant(self, bit: int) -> int:
        return bit

    def not_(self, a: int) -> int:
        return 1 - a

    def and_(self, a: int, b: int) -> int:
        return min(a, b)

    def or_(self, a: int, b: int) -> int:
        return max(a, b)

    def xor(self, a: int, b: int) -> int:
        return int(a != b)


@pytest.mark.parametrize(
    "text",
    [
        "0", "1", "A", "~A", "~~A", "A & B", "A | B", "A ^ B", "~(A ^ B)", "A ^ B | ~A & C",
        "A | B & C ^ A", "(A | B) & C", "majority(A, B, C)", "~majority(~A, B | C, 1)", "~A ^ 1",
    ],
)  # fmt: skip
def test_expressions_mean_what_python_says(text: str) -> None:
    for a, b, c in itertools.product(BITS, repeat=3):
        bits = {"A": a, "B": b, "C": c}
        assert evaluate(text, bits.__getitem__, Ints()) == value(text, bits)
        assert majority(a, b, c) == (a + b + c) // 2
    assert names_in(text) == {name for name in "ABC" if name in text}


@pytest.mark.parametrize(
    "text",
    [
        "", "A +", "A + B", "2", "-A", "A and B", "f(A)", "majority(A, B)",
        "majority(A, B, c=C)", "A if B else C", "'A'", "A.B",
    ],
)  # fmt: skip
def test_what_is_no_bit_logic_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="expression: need bit logic, got"):
        names_in(text)


@pytest.mark.parametrize("opcode", op.SRAM.opcodes, ids=lambda opcode: opcode.mnemonic)
def test_every_constant_is_the_number_of_its_mnemonic(opcode: Opcode) -> None:
    assert getattr(op, opcode.mnemonic) == opcode.code
    assert type(getattr(op, opcode.mnemonic)) is int  # what a compiled kernel takes as a constant
    assert op.SRAM.by_code[opcode.code] is op.SRAM.by_mnemonic[opcode.mnemonic] is opcode
    assert 0 <= opcode.code < 64


def test_every_numbered_constant_is_in_the_family() -> None:
    numbers = {n for n, number in vars(op).items() if n.isupper() and isinstance(number, int)}
    assert numbers - {"ALWAYS", "IF_TAG", "NO_ROW", "N_FIELDS"} == set(op.SRAM.by_mnemonic)


@pytest.mark.parametrize(
    ("mnemonic", "reads", "loads", "n_sources", "writes"),
    [
        ("ZERO", "", "", 0, "must"),
        ("NOT", "A", "", 1, "must"),
        ("NAND", "AB", "", 2, "must"),
        ("ADD", "ABC", "C", 2, "may"),
        ("ADD_NOT_ONES", "AC", "C", 1, "may"),
        ("TAG_STORE", "T", "", 0, "must"),
        ("CARRY_SET", "", "C", 0, "never"),
        ("TAG_FROM_NOT_CARRY", "C", "T", 0, "never"),
        ("TAG_AND_XNOR", "ABT", "T", 2, "never"),
    ],
)
def test_rules_follow_from_the_expressions(
    mnemonic: str, reads: str, loads: str, n_sources: int, writes: str
) -> None:
    opcode = op.SRAM.by_mnemonic[mnemonic]
    assert opcode.reads == set(reads)
    assert opcode.uses == set(reads) & {"C", "T"}
    assert (opcode.loads, opcode.n_sources, opcode.writes) == (loads, n_sources, writes)


@pytest.mark.parametrize(
    ("mnemonic", "addends"),
    [
        ("ADD", lambda a, b: a + b),
        ("ADD_ROW", lambda a, b: a),
        ("ADD_ONES", lambda a, b: a + 1),
        ("ADD_NOT", lambda a, b: 1 - a),
        ("ADD_NOT_ONES", lambda a, b: 1 - a + 1),
    ],
)
def test_an_adder_adds(mnemonic: str, addends: Any) -> None:
    opcode = op.SRAM.by_mnemonic[mnemonic]
    for a, b, c in itertools.product(BITS, repeat=3):
        bits = {"A": a, "B": b, "C": c}
        total = value(opcode.result, bits) + 2 * value(opcode.update, bits)
        assert total == addends(a, b) + c


@pytest.mark.parametrize("even", [op.ZERO, op.COPY, op.AND, op.OR, op.XOR])
def test_odd_row_results_are_complements(even: int) -> None:
    plain, other = op.SRAM.by_code[even], op.SRAM.by_code[even + 1]
    for a, b in itertools.product(BITS, repeat=2):
        bits = {"A": a, "B": b}
        assert value(plain.result, bits) == 1 - value(other.result, bits)


def small(**changes: Any) -> Family:
    whole = Family(
        "small",
        step_event="cycles",
        latches=(Latch("M", "mask"),),
        predicates=(Predicate(1, "IF_MASK", "M"),),
        opcodes=(Opcode(0, "COPY", "A"), Opcode(1, "LOAD", latch="M = A")),
    )
    return replace(whole, **changes)


def with_opcode(*fields: Any) -> dict[str, Any]:
    return {"opcodes": (*small().opcodes, Opcode(*fields))}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (with_opcode(0, "OTHER", "A"), "need different codes, got 0 twice"),
        (with_opcode(2, "COPY", "A"), "need different mnemonics, got COPY twice"),
        (with_opcode(2, "NIL"), "NIL: need a row result or a latch update, got neither"),
        (with_opcode(2, "ODD", "A & X"), "ODD: need rows and latches, got X"),
        (with_opcode(2, "ODD", "A +"), "ODD: expression: need bit logic, got 'A [+]'"),
        (with_opcode(2, "ODD", "", "M = A + B"), "ODD: expression: need bit logic"),
        (with_opcode(2, "ODD", "B"), "ODD: need one activated row called A, got B"),
        (with_opcode(2, "ODD", "", "M"), "need a latch and what it becomes, got 'M'"),
        (with_opcode(2, "ODD", "", "A = M"), "need a latch and what it becomes, got 'A = M'"),
        (with_opcode(2, "ODD", "A", "M = D"), "need a latch update from activated rows, got D"),
        ({"latches": (Latch("A", "a"),)}, "need different latch symbols, got A twice"),
        ({"latches": (), "predicates": ()}, "LOAD: need a latch and what it becomes"),
        ({"latches": ()}, "IF_MASK: need a latch, got M"),
        ({"opcodes": (Opcode(0, "MIX", "", "M = M & A"),)}, "an opcode that loads latch M"),
        ({"predicates": (Predicate(ALWAYS, "P", "M"),)}, "need different predicates, got 0 twice"),
    ],
)
def test_a_record_that_contradicts_itself_is_refused(changes: Any, message: str) -> None:
    with pytest.raises(ValueError, match=f"^family small.*{message}") as caught:
        small(**changes)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("step", "fault"),
    [
        ((0, 3, -1, 2, 0), ""),
        ((0, 3, -1, 3, 1), ""),
        ((1, 0, -1, -1, 0), ""),
        ((2, 0, -1, 1, 0), "need an opcode of the small family, got 2"),
        ((0, -1, -1, 1, 0), "need 1 activated rows, got 0"),
        ((0, -1, 0, 1, 0), "need 1 activated rows, got 1"),
        ((0, 0, 1, 1, 0), "need 1 activated rows, got 2"),
        ((0, 0, -1, -1, 0), "need a destination row, got none"),
        ((1, 0, -1, 1, 0), "need no destination row, got 1; it writes a latch"),
        ((0, 4, -1, 1, 0), "need a row in 0..3, got 4"),
        ((0, -2, -1, 1, 0), "need a row in 0..3, got -2"),
        ((0, 0, -1, 4, 0), "need a row in 0..3, got 4"),
        ((0, 0, -1, 1, 2), "need predicate ALWAYS, or IF_MASK on a row write, got 2"),
        ((1, 0, -1, -1, 1), "need predicate ALWAYS, or IF_MASK on a row write, got 1"),
    ],
)
def test_the_form_of_a_step(step: tuple[int, ...], fault: str) -> None:
    assert small().fault(step, 4) == fault


def test_equal_records_are_one_family() -> None:
    assert small() == small()
    assert pickle.loads(pickle.dumps(op.SRAM)) == op.SRAM
    assert small(name="other") != small()
