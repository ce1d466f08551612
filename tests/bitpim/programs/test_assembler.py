from collections.abc import Callable

import pytest

from bitpim.errors import ProgramError
from bitpim.programs.assembler import Assembler
from bitpim.programs.family import check_step
from bitpim.programs.program import Field, join
from bitpim_kernels import opcodes as op

X, Y, TO = Field("x", 0, 4), Field("y", 4, 4), Field("to", 8, 4)


def started() -> Assembler:
    b = Assembler("trial", 12, clear_before=(op.CARRY,))
    b.reads(X)
    b.changes(Y)
    b.writes(TO)
    return b


def test_fields_index_and_slice_like_sequences() -> None:
    assert str(X[3]) == "x[3]"
    assert (TO[-1].row, TO[-1].bit) == (11, 3)
    part = TO[1:3]
    assert (part.start, part.width, str(part[0])) == (9, 2, "to[1]")
    assert str(part[1:][0]) == "to[2]"
    assert [row.row for row in part] == [9, 10]
    assert TO.extended(17) == TO[3]
    for wrong in (4, -5):
        with pytest.raises(ProgramError, match="need a bit below 4"):
            X[wrong]
    with pytest.raises(ProgramError, match="neighbouring"):
        X[::2]
    with pytest.raises(ProgramError, match=">= 0"):
        Field("x", -1, 2)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (lambda b: b.step(op.AND, X[0], Y[0], X[1], to=TO[0]), "at most two activated rows"),
        (lambda b: b.step(op.AND, X[0], to=TO[0]), "need 2 activated rows, got 1"),
        (lambda b: b.step(op.COPY, X[0], Y[0], to=TO[0]), "need 1 activated rows, got 2"),
        (lambda b: b.step(op.COPY, X[0]), "need a destination row"),
        (lambda b: b.step(op.TAG_LOAD, X[0], to=TO[0]), "need no destination row"),
        (lambda b: b.step(99, X[0], to=TO[0]), "need an opcode of the sram family, got 99"),
        (
            lambda b: b.step(op.COPY, Field("far", 12, 1)[0], to=TO[0]),
            "need a row in 0..11, got 12",
        ),
        (lambda b: b.step(op.COPY, X[0], to=X[1]), "holds the operand x"),
        (lambda b: b.step(op.COPY, TO[0], to=Y[1]), r"need to\[0\] written before it is read"),
        (lambda b: b.step(op.COPY, X[0], to=Field("else", 8, 1)[0]), "need a declared field"),
        (
            lambda b: b.step(op.COPY, X[0], to=TO[0], predicate=op.IF_TAG),
            "need the tag latch loaded",
        ),
        (lambda b: b.step(op.TAG_STORE, to=TO[0]), "need the tag latch loaded"),
        (lambda b: b.step(op.TAG_AND, X[0]), "need the tag latch loaded"),
        (lambda b: b.writes(Field("long", 8, 5)), "need 13 rows for field long, got 12"),
        (lambda b: b.writes(Field("x", 8, 1)), "got x twice"),
        (lambda b: b.changes(Field("z", 3, 2)), "both on row 3"),
        (lambda b: b.build(), "every declared row used"),
    ],
)
def test_a_broken_rule_is_one_line(wrong: Callable[[Assembler], None], message: str) -> None:
    with pytest.raises(ProgramError, match=message) as caught:
        wrong(started())
    assert "trial" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_step_names_its_number() -> None:
    b = started()
    b.step(op.COPY, X[0], to=TO[0])
    b.step(op.COPY, X[1], to=TO[1])
    with pytest.raises(ProgramError, match=r"program trial, step 2 \(AND\)"):
        b.step(op.AND, X[0], to=TO[0])


def test_stale_bits_of_a_predicated_write_are_found() -> None:
    b = started()
    b.step(op.TAG_LOAD, X[0])
    with pytest.raises(ProgramError, match="stale bits"):
        b.step(op.COPY, X[1], to=TO[0], predicate=op.IF_TAG)
    b.step(op.ZERO, to=TO[0])
    b.step(op.COPY, X[1], to=TO[0], predicate=op.IF_TAG)


def test_a_source_clobbered_before_its_last_read_is_found() -> None:
    low, moved = Field("low", 0, 3), Field("moved", 1, 3)
    up = Assembler("up", 4)
    up.changes(low)
    up.writes(moved)
    up.step(op.COPY, low[0], to=moved[0])  # row 1 was low[1]
    with pytest.raises(ProgramError, match=r"need low\[1\] on row 1, got moved\[0\] since step 0"):
        up.step(op.COPY, low[1], to=moved[1])
    down = Assembler("up, from the top", 4)
    down.changes(low)
    down.writes(moved)
    for bit in (2, 1, 0):
        down.step(op.COPY, low[bit], to=moved[bit])
    assert down.build().n_steps == 3


def test_the_carry_must_be_known() -> None:
    b = Assembler("trial")
    b.reads(X)
    for opcode, rows in ((op.ADD, X[:2]), (op.ADD_ROW, X[:1]), (op.TAG_FROM_CARRY, X[:0])):
        with pytest.raises(
            ProgramError,
            match=r"need the carry latch loaded before; add one of CARRY_RESET, CARRY_SET$",
        ):
            b.step(opcode, *rows)
    b.step(op.CARRY_SET)
    b.step(op.ADD, X[0], X[1])


def test_join_follows_the_carry_latch_and_the_rows() -> None:
    def reset() -> Assembler:
        b = Assembler("reset")
        b.step(op.CARRY_RESET)
        return b

    needs = Assembler("needs", clear_before=(op.CARRY,))
    needs.reads(X)
    needs.step(op.ADD, X[0], X[1])
    program = needs.build()
    assert (program.clear_before, program.clear_after) == ((op.CARRY,), ())
    assert program.entry == ("carry latch clear",)
    assert reset().build().clear_after == (op.CARRY,)
    whole = join("whole", reset().build(), program)
    assert (whole.n_steps, whole.entry, whole.n_rows) == (2, (), 4)
    assert whole.counts == reset().build().counts + program.counts
    with pytest.raises(ProgramError, match="needs leaves it as it falls"):
        join("twice", program, program)
    elsewhere = Assembler("elsewhere")
    elsewhere.reads(Field("x", 8, 4))
    with pytest.raises(ProgramError, match="field x of elsewhere lies at row 8"):
        join("apart", whole, elsewhere.build())
    with pytest.raises(ProgramError, match="join nothing: need a program or more, got none"):
        join("nothing")


def test_a_latch_counted_on_must_be_one_of_the_family() -> None:
    with pytest.raises(ProgramError, match="need latches of the sram family, C, T; got M"):
        Assembler("trial", clear_before=("M",))
    both = Assembler("trial", clear_before=(op.TAG, op.CARRY)).build()
    assert both.entry == ("carry latch clear", "tag latch clear")


def test_listing_reads_row_by_row() -> None:
    b = started()
    b.step(op.ADD, X[0], Y[0], to=Y[0], note="first")
    b.step(op.ADD, X[1], Y[1])
    b.step(op.TAG_LOAD_NOT, X[3])
    b.step(op.ZERO, to=Y[2], predicate=op.IF_TAG)
    b.step(op.CARRY_STORE, to=TO[0])
    for bit in (1, 2, 3):
        b.step(op.NOT, X[bit], to=TO[bit])
    program = b.build()
    text = "\n".join(program.listing())
    assert "rows 8..11: to, 4 bits" in text
    assert "entry: carry latch clear" in text
    for line in (
        "y[0] = x[0] ^ y[0] ^ C, C = majority(x[0], y[0], C)",
        "; first",
        "1  ADD                 C = majority(x[1], y[1], C)",
        "T = ~x[3]",
        "y[2] = 0 where T",
        "to[0] = C",
        "to[3] = ~x[3]",
    ):
        assert line in text
    with pytest.raises(ProgramError, match="need a field of x, y, to, got 'z'"):
        program.field("z")
    with pytest.raises(ValueError, match="read-only"):
        program.table[0, 0] = 1


def test_check_step_refuses_a_predicate_without_a_write() -> None:
    with pytest.raises(ProgramError, match="predicate"):
        check_step((op.CARRY_RESET, -1, -1, -1, op.IF_TAG), 4, "here", op.SRAM)
    with pytest.raises(ProgramError, match="predicate"):
        check_step((op.COPY, 0, -1, 1, 2), 4, "here", op.SRAM)
