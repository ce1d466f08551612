"""Every use of a family's record agrees with it, for the families there are and for a toy.

The toy lives here alone: it has latches, a predicate and steps that no other family has.
"""

import re
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bitpim import programs
from bitpim.counts import Counts
from bitpim.errors import ConfigError, ProgramError
from bitpim.programs.assembler import Assembler
from bitpim.programs.family import check_step, check_table
from bitpim.programs.program import Field, Program, join, table_counts
from bitpim.sram.lanes import LaneProgram
from bitpim.sram.subarray import Subarray
from bitpim_kernels import magic
from bitpim_kernels import opcodes as op
from bitpim_kernels.family import ALWAYS, NO_ROW, Family, Latch, Opcode, Predicate
from bitpim_kernels.magic import INIT1, MAGIC, NOR
from bitpim_kernels.straight_line import follow
from tests.naive.bitline import run_steps, value
from tests.random_tables import random_table

IF_MASK = 3
KEEP, VOTE, MASK, SWAP, FLIP, CLEAR = range(130, 136)
VOTER = Family(
    "voter",
    step_event="sram_access_cycle",
    latches=(Latch("V", "vote"), Latch("M", "mask")),
    predicates=(Predicate(IF_MASK, "IF_MASK", where="M"),),
    opcodes=(
        Opcode(KEEP, "KEEP", latch="V = A"),
        Opcode(VOTE, "VOTE", "majority(A, B, V)", "V = A ^ B"),
        Opcode(MASK, "MASK", latch="M = ~A", events=("tag_load",)),
        Opcode(SWAP, "SWAP", "M", "M = A"),  # what it writes and where is the mask of before
        Opcode(FLIP, "FLIP", "~D"),
        Opcode(CLEAR, "CLEAR", latch="V = 0", events=("carry_reset",)),
    ),
)

EVERY_FAMILY = (op.SRAM, MAGIC, VOTER)
N_ROWS = 5
WHOLE = np.uint64(0xFFFFFFFFFFFFFFFF)


def assembled(family: Family, seed: int, n_steps: int) -> Program:
    """Assemble random steps on rows that hold operands, every latch loaded before."""
    rows = Field("r", 0, N_ROWS)
    trial = Assembler("trial", N_ROWS, family=family)
    trial.changes(rows)
    for symbol in family.latch_names:
        loader = family.by_mnemonic[family.loaders(symbol)[0]]
        if not loader.then:  # else it lasts for one step
            trial.step(loader.code, *rows[: loader.n_sources])
    for code, a, b, dst, predicate in random_table(seed, family, n_steps, N_ROWS).tolist():
        sources = [rows[row] for row in (a, b) if row != NO_ROW]
        to = None if dst == NO_ROW else rows[dst]
        trial.step(code, *sources, to=to, predicate=predicate, onto_old=True)
    return trial.build()


def naive(program: Program, cells: list[int]) -> list[int]:
    """Run a program on one lane by the record alone, latches clear before."""
    after = cells.copy()
    latches = dict.fromkeys(program.family.latch_names, 0)
    run_steps(program.family, program.table.tolist(), after, latches)
    return after


def run_listing(program: Program, cells: list[int]) -> list[int]:
    """Run what a listing says, line by line, as Python."""
    lines = program.listing()
    first = next(i for i, line in enumerate(lines) if line.startswith("step")) + 1
    state: dict[str, Any] = dict.fromkeys(program.family.latch_names, 0) | {"r": cells.copy()}
    for line in lines[first:]:
        said = line[len("step  ") + 20 :].partition(";")[0].strip()
        before = state | {"r": state["r"].copy()}
        for assignment in re.split(r", (?=[\w\[\]]+ = )", said):
            target, _, text = assignment.partition(" = ")
            expression, _, asked = text.partition(" where ")
            if asked and not before[asked]:
                continue
            if target.startswith("r["):
                state["r"][int(target[2:-1])] = value(expression, before)
            else:
                state[target] = value(expression, before)
    return list(state["r"])


def run_text(program: Program, rows: Any) -> Any:
    """Run the straight-line text of a program on packed rows."""
    lines, values = follow(
        program.family, program.table, {r: f"s{r}" for r in range(len(rows))}, range(len(rows))
    )
    names: dict[str, Any] = {f"s{r}": row for r, row in enumerate(rows)}
    names |= {"ZERO": np.zeros_like(rows[0]), "ONES": np.full_like(rows[0], WHOLE)}
    exec("\n".join(lines), names)
    return np.array([names[values[r]] for r in range(len(rows))])


def lane_of(rows: Any, lane: int) -> list[int]:
    return [int(row[lane // 64]) >> lane % 64 & 1 for row in rows]


@pytest.mark.parametrize("family", EVERY_FAMILY, ids=lambda family: family.name)
@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), n_steps=st.integers(0, 40))
def test_listing_text_and_record_agree(family: Family, seed: int, n_steps: int) -> None:
    program = assembled(family, seed, n_steps)
    rows = np.random.default_rng(seed).integers(0, 2**64, (N_ROWS, 2), dtype=np.uint64)
    after = run_text(program, rows)
    for lane in (0, 1, 63, 64, 127):
        expected = naive(program, lane_of(rows, lane))
        assert lane_of(after, lane) == expected
        assert run_listing(program, lane_of(rows, lane)) == expected


@pytest.mark.parametrize("family", EVERY_FAMILY, ids=lambda family: family.name)
@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), n_steps=st.integers(0, 40))
def test_every_step_is_counted_once(family: Family, seed: int, n_steps: int) -> None:
    program = assembled(family, seed, n_steps)
    table_lines = len(program.table)
    lines = program.listing()[-table_lines or len(program.listing()) :]
    steps = {line.split()[0] for line in lines}
    assert steps == set(map(str, range(len(steps))))
    assert program.n_steps == len(steps)
    expected = {"cycles": len(steps), family.step_event: len(steps)}
    for event in {event for opcode in family.opcodes for event in opcode.events}:
        named = {opcode.mnemonic for opcode in family.opcodes if event in opcode.events}
        expected[event] = sum(line.split()[1] in named for line in lines)
    assert program.counts == Counts(**expected)


@pytest.mark.parametrize("opcode", op.SRAM.opcodes, ids=lambda opcode: opcode.mnemonic)
def test_sram_events_are_what_their_description_says(opcode: Opcode) -> None:
    """`tag_load`: a cycle that loads the tag latch; and so on, see `counts.SRAM_EVENTS`."""
    said = {
        "tag_load": opcode.loads == op.TAG,
        "tag_store": opcode.result == op.TAG,
        "carry_store": opcode.result == op.CARRY,
        "carry_reset": opcode.loads == op.CARRY and not opcode.reads,
    }
    assert tuple(event for event, holds in said.items() if holds) == opcode.events
    step = [opcode.code, *(0, 1)[: opcode.n_sources], *(NO_ROW,) * (2 - opcode.n_sources)]
    step += [NO_ROW if opcode.writes == "never" else 2, ALWAYS]
    table = np.array([step], np.int32)
    events = dict.fromkeys(opcode.events, 1)
    assert table_counts(table, op.SRAM) == Counts(cycles=1, sram_compute_cycle=1, **events)


def test_families_are_found_by_name() -> None:
    assert programs.add(Field("x", 0, 1), Field("y", 1, 1), Field("s", 2, 2)).family is op.SRAM


def xnor() -> Program:
    """XNOR of two rows in four NORs, each into a cell that was set before."""
    x, y, n, to = (Field(*place) for place in (("x", 0, 1), ("y", 1, 1), ("n", 2, 3), ("to", 5, 1)))
    nor = Assembler("xnor", 6, family=MAGIC)
    nor.reads(x, y)
    nor.writes(n, to)
    for row in (*n, to[0]):
        nor.step(INIT1, to=row)
    for a, b, row in ((x[0], y[0], n[0]), (x[0], n[0], n[1]), (y[0], n[0], n[2])):
        nor.step(NOR, a, b, to=row)
    nor.step(NOR, n[1], n[2], to=to[0], note="equal?")
    return nor.build()


def test_a_program_of_nors_is_assembled_listed_counted_and_run() -> None:
    program = xnor()
    assert program.family is MAGIC
    assert program.counts == Counts(cycles=8, nor_step=8, nor_gate=4, nor_init=4, nor_init_cell=4)
    assert program.listing() == [
        "program xnor: 8 steps",
        "  rows 0: x, 1 bit",
        "  rows 1: y, 1 bit",
        "  rows 2..4: n, 3 bits",
        "  rows 5: to, 1 bit",
        "step  opcode              computes",
        "   0  INIT1               n[0] = 1",
        "   1  INIT1               n[1] = 1",
        "   2  INIT1               n[2] = 1",
        "   3  INIT1               to[0] = 1",
        "   4  NOR                 n[0] = n[0] & ~(x[0] | y[0])",
        "   5  NOR                 n[1] = n[1] & ~(x[0] | n[0])",
        "   6  NOR                 n[2] = n[2] & ~(y[0] | n[0])",
        "   7  NOR                 to[0] = to[0] & ~(n[1] | n[2])                ; equal?",
    ]
    rows = np.random.default_rng(0).integers(0, 2**64, (6, 3), dtype=np.uint64)
    after = run_text(program, rows)
    assert np.array_equal(after[5], ~(rows[0] ^ rows[1]))
    assert np.array_equal(after[:2], rows[:2])


def test_programs_of_nors_join() -> None:
    twice = join("twice", xnor(), xnor())
    assert twice.family is MAGIC
    assert twice.counts == 2 * xnor().counts
    assert twice.n_steps == 16
    rows = np.random.default_rng(1).integers(0, 2**64, (6, 3), dtype=np.uint64)
    assert np.array_equal(run_text(twice, rows)[5], ~(rows[0] ^ rows[1]))


def test_latches_of_a_toy_family_are_followed() -> None:
    rows = Field("r", 0, 2)
    needs = Assembler("needs", 2, clear_before=("V",), family=VOTER)
    needs.changes(rows)
    needs.step(VOTE, rows[0], rows[1])
    assert needs.build().entry == ("vote latch clear",)
    clears = Assembler("clears", 2, family=VOTER)
    clears.step(CLEAR)
    assert clears.build().clear_after == ("V",)
    assert join("whole", clears.build(), needs.build()).clear_after == ()
    with pytest.raises(ProgramError, match="needs the vote latch clear, needs leaves it as it"):
        join("twice", needs.build(), needs.build())
    asks = Assembler("asks", 2, family=VOTER)
    asks.changes(rows)
    for opcode, sources, predicate, message in (
        (VOTE, rows, ALWAYS, "the vote latch loaded before; add one of KEEP, CLEAR$"),
        (SWAP, rows[:1], ALWAYS, "the mask latch loaded before; add one of MASK$"),
        (FLIP, rows[:0], IF_MASK, "the mask latch loaded before; add one of MASK$"),
    ):
        with pytest.raises(ProgramError, match=message):
            asks.step(opcode, *sources, to=rows[1], predicate=predicate)
    asks.step(MASK, rows[0])
    asks.step(FLIP, to=rows[1], predicate=IF_MASK)
    assert asks.build().listing()[-1].endswith("FLIP                r[1] = ~r[1] where M")


def test_rules_of_a_family_are_its_own() -> None:
    x, to = Field("x", 0, 2), Field("to", 2, 1)
    trial = Assembler("trial", 3, family=MAGIC)
    trial.reads(x)
    trial.writes(to)
    with pytest.raises(ProgramError, match=r"\(NOR\): need to\[0\] written before, because what"):
        trial.step(NOR, x[0], x[1], to=to[0])
    trial.step(INIT1, to=to[0])
    trial.step(NOR, x[0], x[1], to=to[0])
    with pytest.raises(ProgramError, match="need an opcode of the magic family, got 7"):
        trial.step(op.NOR, x[0], x[1], to=to[0])
    with pytest.raises(ProgramError, match="need predicate ALWAYS, got 1"):
        trial.step(INIT1, to=to[0], predicate=op.IF_TAG)
    with pytest.raises(ProgramError, match="need latches of the magic family, W; got C"):
        Assembler("trial", clear_before=(op.CARRY,), family=MAGIC)
    with pytest.raises(ProgramError, match=r"^here \(FLIP\): need a destination row, got none$"):
        check_step((FLIP, -1, -1, -1, ALWAYS), 4, "here", VOTER)


def test_steps_of_several_lines_are_whole() -> None:
    x, to = Field("x", 0, 4), Field("to", 4, 1)
    wide = Assembler("wide", 5, family=MAGIC)
    wide.reads(x)
    wide.writes(to)
    with pytest.raises(ProgramError, match="need the open inputs latch loaded before; add one of"):
        wide.step(magic.NOR_WIDE, x[0], x[1], to=to[0], onto_old=True)
    wide.step(magic.INIT1, to=to[0])
    wide.step(magic.NOR_OPEN, x[0])
    with pytest.raises(
        ProgramError, match="need NOR_OPEN_MORE or NOR_WIDE after NOR_OPEN, got NOR"
    ):
        wide.step(NOR, x[0], x[1], to=to[0])
    with pytest.raises(ProgramError, match=r"step 1: .* got the end, or the step has no end"):
        wide.build()
    wide.step(magic.NOR_OPEN_MORE, x[1])
    wide.step(magic.NOR_WIDE, x[2], x[3], to=to[0])
    program = wide.build()
    assert (program.n_steps, program.step_of) == (2, [0, 1, 1, 1])
    with pytest.raises(ProgramError, match="need the open inputs latch loaded before"):
        wide.step(magic.NOR_WIDE, x[2], x[3], to=to[0])
    rows = np.random.default_rng(2).integers(0, 2**64, (5, 3), dtype=np.uint64)
    assert np.array_equal(run_text(program, rows)[4], ~(rows[0] | rows[1] | rows[2] | rows[3]))


def test_lines_of_a_step_keep_apart_what_they_read_and_write() -> None:
    x, to = Field("x", 0, 3), Field("to", 3, 2)
    trial = Assembler("trial", 5, family=MAGIC)
    trial.reads(x)
    trial.writes(to)
    trial.step(magic.ALSO_INIT1, to=to[0])
    with pytest.raises(ProgramError, match=r"step 0 .* written once in a step, got to\[0\] twice"):
        trial.step(magic.INIT1, to=to[0])
    trial.step(magic.INIT1, to=to[1])
    trial.step(magic.NOR_OPEN, to[0])
    with pytest.raises(ProgramError, match=r"step 1 .* apart from the inputs, got to\[0\] as both"):
        trial.step(magic.NOR_WIDE, x[0], x[1], to=to[0])
    trial.step(magic.NOR_WIDE, x[0], x[1], to=to[1])
    trial.step(magic.NOT, x[2], to=to[0])  # in a step of its own
    assert trial.build().n_steps == 3


def test_a_gate_wants_its_cell_set_unless_its_old_content_is_wanted() -> None:
    x, to = Field("x", 0, 2), Field("to", 2, 1)
    trial = Assembler("trial", 3, family=MAGIC)
    trial.reads(x)
    trial.writes(to)
    for spoil in (magic.INIT0, magic.INIT1):
        trial.step(spoil, to=to[0])
        if spoil == magic.INIT1:
            trial.step(NOR, x[0], x[1], to=to[0])
        with pytest.raises(ProgramError, match=r"need to\[0\] set to 1 before, got what step"):
            trial.step(magic.NOT, x[0], to=to[0])
    trial.step(magic.NOT, x[0], to=to[0], onto_old=True)
    with pytest.raises(ProgramError, match="need an output apart from the inputs, got row 2"):
        trial.step(magic.NOT, to[0], to=to[0], onto_old=True)


def test_families_do_not_mix() -> None:
    sram = programs.copy(Field("x", 0, 1), Field("y", 1, 1))
    said = "need a program of the {} family, got {} of the {} family"
    with pytest.raises(ProgramError, match="join both: " + said.format("magic", "copy", "sram")):
        join("both", xnor(), sram)
    with pytest.raises(ProgramError, match="join both: " + said.format("sram", "xnor", "magic")):
        join("both", sram, xnor())


def test_arrays_of_the_sram_family_refuse_another() -> None:
    array = Subarray(8, 64)
    with pytest.raises(ProgramError, match=r"^run\(xnor\): need a program of the sram family"):
        array.run(xnor())
    assert array.counts == Counts()
    for parts in ((xnor(), None, None), (None, xnor(), None), (None, None, xnor())):
        with pytest.raises(ProgramError, match=r"^LaneProgram: need a program of the sram family"):
            LaneProgram(parts[0], (), Field("to", 5, 1), start=parts[1], each=parts[2])


@pytest.mark.parametrize("latch", [op.CARRY, op.TAG])
def test_an_array_checks_every_latch_a_program_counts_on(latch: str) -> None:
    array = Subarray(8, 64)
    trusting = Assembler("trusting", clear_before=(latch,)).build()
    array.run(trusting)
    array.step(op.CARRY_SET if latch == op.CARRY else op.TAG_SET)
    with pytest.raises(ProgramError, match=f"need the {op.SRAM.latch_names[latch]} latch clear"):
        array.run(trusting)


def test_an_event_nobody_named_is_refused() -> None:
    nameless = replace(MAGIC, step_event="nameless_cycle")
    with pytest.raises(ConfigError, match="got 'nameless_cycle'; name it with define_events"):
        Assembler("nothing", family=nameless).build()


@settings(max_examples=60, deadline=None)
@given(
    family=st.sampled_from(EVERY_FAMILY),
    seed=st.integers(0, 2**32 - 1),
    changed=st.tuples(st.integers(0, 19), st.integers(0, 4), st.integers(-3, N_ROWS + 140)),
)
def test_a_table_is_checked_as_its_steps_are(
    family: Family, seed: int, changed: tuple[int, int, int]
) -> None:
    """One number of a table is anything: the same steps are refused, with the same words."""
    table = random_table(seed, family, 20, N_ROWS)
    line, column, value = changed
    if line < len(table):
        table[line, column] = value
    faults = [family.fault(step, N_ROWS) for step in table.tolist()]
    first = next((at for at, fault in enumerate(faults) if fault), None)
    if first is None:
        check_table(table, N_ROWS, family, 40)
        return
    with pytest.raises(ProgramError, match=re.escape(faults[first])) as refused:
        check_table(table, N_ROWS, family, 40)
    assert str(refused.value).startswith(f"step {40 + first}")
    beside = np.array([bool(fault) for fault in faults])
    check_table(table, N_ROWS, family, beside=beside)
