"""Programs of stateful NOR that other tools made, read and checked.

A file is understood whole or refused: what a form says by convention and not in the text, and what
is left out of it, stands in the notes. `NOR_FILES.md` describes the forms.
"""

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from bitpim.errors import ProgramError
from bitpim.programs.nor_draft import CLAIMS, MAX_CELLS, Draft, DraftStep, NamedCell, Place
from bitpim.programs.nor_names import JSON_FORM, PRINTED_FORM, check_names, read_json, read_printed
from bitpim.programs.nor_rules import Flow, follow
from bitpim.programs.nor_text import FORM as TEXT_FORM
from bitpim.programs.nor_text import read_text
from bitpim.programs.program import Field, Program, table_counts
from bitpim_kernels import magic
from bitpim_kernels.family import ALWAYS, NO_ROW
from bitpim_kernels.magic import MAGIC
from bitpim_traces.open_file import read_whole

__all__ = ["MAX_BYTES", "NorFile", "nor_program", "read_nor_file"]

MAX_BYTES = 2**22
"""Of a file; a program of 3,000 steps takes a fortieth of it."""
_SHOWN = 8  # names in a note
_WIDE = re.compile(r"nor([1-9][0-9]{0,4})")


@dataclass(frozen=True, slots=True, eq=False)
class NorFile:
    """A program from a file.

    Attributes
    ----------
    program : its steps, of the `magic` family; row r is cell r
    name : what the file calls it
    form : the form of the file
    inputs, outputs : names and cells, in the order of the file
    row_size : cells of a row
    places : where in the file each line of the program's table stands
    notes : what is convention and not in the text, what was left out, what is odd
    """

    program: Program
    name: str
    form: str
    inputs: tuple[NamedCell, ...]
    outputs: tuple[NamedCell, ...]
    row_size: int
    places: tuple[Place, ...]
    notes: tuple[str, ...]

    @property
    def n_cycles(self) -> int:
        """Steps, the first initialisation among them."""
        return self.program.n_steps

    @property
    def starts_with_init(self) -> bool:
        """Whether the first step sets cells, which mappers do not count as a cycle."""
        return int(self.program.table[0, 0]) in (magic.ALSO_INIT1, magic.INIT1)

    @property
    def n_gates(self) -> int:
        """Steps that are gates."""
        return self.program.counts["nor_gate"]

    @property
    def n_init_steps(self) -> int:
        """Steps that set cells."""
        return self.program.counts["nor_init"]

    @property
    def n_init_cells(self) -> int:
        """Cells that are set, counted as often as they are."""
        return self.program.counts["nor_init_cell"]

    @property
    def n_cells(self) -> int:
        """Cells of the row that hold an input or are written."""
        written = self.program.table[:, 3]
        return len({*written[written != NO_ROW].tolist(), *(port.cell for port in self.inputs)})

    def listing(self) -> list[str]:
        """Return the program as lines a person can follow, notes first."""
        return [*(f"note: {note}" for note in self.notes), *self.program.listing()]


def read_nor_file(path: str, *, without_init: bool = False) -> NorFile:
    """Read a NOR program from a file of any known form.

    Raises
    ------
    ProgramError
        It cannot be read, is of no known form, or breaks a rule; the error names line or key.
    """
    try:
        content = read_whole(path, MAX_BYTES)
    except OSError as error:
        raise ProgramError(
            f"{path}: need the file of a NOR program ({error.strerror or error})"
        ) from error
    return nor_program(content, path, without_init=without_init)


def nor_program(content: bytes, file: str, *, without_init: bool = False) -> NorFile:
    """Read a NOR program from the content of a file, whose name errors bear.

    Parameters
    ----------
    without_init : a gate may write a cell that was not set: its result is ANDed with what was there

    Raises
    ------
    ProgramError
        As `read_nor_file`.
    """
    draft = _draft(content, file)
    _check_ports(draft)
    _check_numbers(draft)
    _check_claim(draft, "cycles", draft.steps[-1].number, also="; the file may be cut short")
    program, places = _assembled(draft)
    if draft.form != TEXT_FORM:
        check_names(draft)
    outputs = [port.cell for port in draft.outputs]
    flow = follow(program, [p.cell for p in draft.inputs], outputs, without_init=without_init)
    if flow.fault:
        raise places[flow.fault.line].fault(flow.fault.said)
    for port in draft.outputs:
        if port.cell in flow.unwritten:
            raise draft.claims["outputs"].place.fault(
                f"need output {port} written, got no result in its cell at the end"
            )
    _check_claims(draft, len(flow.unread_operands))
    notes = (*draft.notes, *_oddities(draft, flow, program, places))
    return NorFile(
        program,
        program.name,
        draft.form,
        tuple(draft.inputs),
        tuple(draft.outputs),
        draft.number("row"),
        places,
        notes,
    )


def _draft(content: bytes, file: str) -> Draft:
    """Read a file in the form that its content shows."""
    place = Place(file, 1)
    if len(content) > MAX_BYTES:
        raise place.fault(f"need at most {MAX_BYTES} bytes, got more")
    if not content.strip():
        raise place.fault("need a NOR program, got an empty file")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise Place(file, line).fault("need UTF-8 text, got other bytes") from error
    if "\0" in text:
        line = text.count("\n", 0, text.index("\0")) + 1
        raise Place(file, line).fault("need text, got a zero byte")
    if text.lstrip().startswith("{"):
        return read_json(text, file)
    if re.search(r"^\s*Inputs\s*:\s*\{", text, re.MULTILINE):
        return read_printed(text, file)
    if re.search(r"^\s*(Inputs|Execution sequence)\s*:", text, re.MULTILINE):
        return read_text(text, file)
    known = ", ".join((TEXT_FORM, JSON_FORM, PRINTED_FORM))
    raise place.fault(f"need one of {known}, got no line `Inputs:` and no JSON")


def _check_ports(draft: Draft) -> None:
    """Raise unless ports and cells of steps lie in the row, and ports are different ones."""
    row, place = draft.number("row"), draft.claims["row"].place
    if not 1 <= row <= MAX_CELLS:
        raise place.fault(f"need a row of 1 to {MAX_CELLS} cells, got {row}")
    for word, ports in (("inputs", draft.inputs), ("outputs", draft.outputs)):
        place = draft.claims[word].place
        _need_in_row(ports, row, place)
    ports = [*draft.inputs, *draft.outputs]
    _need_once(draft.claims["outputs"].place, "names of ports", [port.name for port in ports])
    place = draft.claims["inputs"].place
    _need_once(place, "cells of inputs", [port.cell for port in draft.inputs])
    for step in draft.steps:
        _need_in_row([*step.cells, *([step.output] if step.output else [])], row, step.place)


def _need_in_row(cells: list[NamedCell], row: int, place: Place) -> None:
    for cell in cells:
        if cell.cell >= row:
            raise place.fault(f"need a cell of the row, 0..{row - 1}, got {cell}")


def _need_once(place: Place, what: str, found: list[str] | list[int]) -> None:
    twice = [value for value, n in Counter[str | int](found).items() if n > 1]
    if twice:
        raise place.fault(f"need different {what}, got {twice[0]} twice")


def _check_numbers(draft: Draft) -> None:
    """Raise unless steps are numbered T0, T1, ... without a gap."""
    if not draft.steps:
        raise draft.place.fault("need a step or more, got none; the file may be cut short")
    for number, step in enumerate(draft.steps):
        if step.number != number:
            what = "a second time" if step.number < number else "a gap before it"
            raise step.place.fault(f"need step T{number} next, got T{step.number}, {what}")


def _assembled(draft: Draft) -> tuple[Program, tuple[Place, ...]]:
    """Return the steps as a program, and the place of each of its lines."""
    lines: list[tuple[int, int, int, int, int]] = []
    names: list[tuple[str, str, str]] = []
    places: list[Place] = []
    for step in draft.steps:
        for opcode, a, b, output in _lines(step):
            cells = [NO_ROW if cell is None else cell.cell for cell in (a, b, output)]
            lines.append((opcode, cells[0], cells[1], cells[2], ALWAYS))
            names.append((str(a or ""), str(b or ""), str(output or "")))
            places.append(step.place)
    table = np.array(lines, np.int32).reshape(-1, 5)
    table.setflags(write=False)
    ports = {port.name: port.cell for port in (*draft.inputs, *draft.outputs)}
    used = {*table[:, 1:4].ravel().tolist(), *ports.values()}
    name = str(draft.claims["name"].value) if "name" in draft.claims else "unnamed"
    program = Program(
        name,
        MAGIC,
        table,
        tuple(names),
        ("",) * len(lines),
        tuple(Field(name, cell, 1) for name, cell in ports.items()),
        (),
        max(used) + 1,
        (),
        table_counts(table, MAGIC),
    )
    return program, tuple(places)


Line = tuple[int, NamedCell | None, NamedCell | None, NamedCell | None]


def _lines(step: DraftStep) -> list[Line]:
    """Return the lines of a table that a step takes: opcode, a, b, output.

    Raises
    ------
    ProgramError
        Its gate is unknown or has another number of inputs.
    """
    cells = step.cells
    if step.output is None:
        also: list[Line] = [(magic.ALSO_INIT1, None, None, cell) for cell in cells[:-1]]
        return [*also, (magic.INIT1, None, None, cells[-1])]
    wide = _WIDE.fullmatch(step.gate)
    n_inputs = 1 if step.gate == "inv1" else int(wide[1]) if wide else 0
    if n_inputs < 1 or step.gate == "nor1":
        raise step.place.fault(f"need the gate inv1, nor2, nor3, ..., got {step.gate}")
    if len(cells) != n_inputs:
        raise step.place.fault(f"need {n_inputs} inputs of {step.gate}, got {len(cells)}")
    if step.output.cell in [cell.cell for cell in cells]:
        raise step.place.fault(f"need an output apart from the inputs, got {step.output} as both")
    if n_inputs == 1:
        return [(magic.NOT, cells[0], None, step.output)]
    if n_inputs == 2:
        return [(magic.NOR, cells[0], cells[1], step.output)]
    more: list[Line] = [(magic.NOR_OPEN_MORE, cell, None, None) for cell in cells[1:-2]]
    last: Line = (magic.NOR_WIDE, cells[-2], cells[-1], step.output)
    return [(magic.NOR_OPEN, cells[0], None, None), *more, last]


def _check_claim(draft: Draft, word: str, n: int, *, also: str = "") -> None:
    claim = draft.claims.get(word)
    if claim is not None and claim.value != n:
        raise claim.place.fault(
            f"`{CLAIMS[word]}` needs to be what the steps have, {n}, got {claim.value}{also}"
        )


def _check_claims(draft: Draft, n_unread: int) -> None:
    """Raise where the head states a number that the steps contradict.

    Both mappers take inputs that no gate reads off their number of gates, so either is right.
    """
    n_gates = sum(step.output is not None for step in draft.steps)
    n_reuse = len(draft.steps) - n_gates - (not draft.steps[0].gate)
    if "gates" in draft.claims and draft.number("gates") != n_gates - n_unread:
        _check_claim(draft, "gates", n_gates)
    _check_claim(draft, "n_inputs", len(draft.inputs))
    _check_claim(draft, "n_outputs", len(draft.outputs))
    _check_claim(draft, "reuse", n_reuse)
    last = draft.steps[-1].number
    share = n_reuse / last if last else 0.0
    rights_of = {"percent": [f"{100 * share:.2f}%"], "fraction": [str(share), "0"]}  # 0: Python 2
    for word, texts in rights_of.items():
        claim = draft.claims.get(word)
        if claim is not None and claim.value not in texts:
            raise claim.place.fault(
                f"`{CLAIMS[word]}` needs to be {texts[0]} of the steps, got {claim.value}"
            )
    if "used" in draft.claims and draft.number("used") > draft.number("row"):
        raise draft.claims["used"].place.fault("need no more cells used than a row has, got more")


def _oddities(
    draft: Draft, flow: Flow, program: Program, places: tuple[Place, ...]
) -> Iterator[str]:
    """Say what is legal and seldom meant: what nobody reads, and cells read as they were set."""
    if flow.unread_operands:
        names = [port.name for port in draft.inputs if port.cell in flow.unread_operands]
        shown = ", ".join([*names[:_SHOWN], "..."] if len(names) > _SHOWN else names)
        yield f"no gate reads {len(names)} of the inputs: {shown}"
    for line in flow.unread:
        name = program.operands[line][2]
        yield f"{places[line].in_file}: nobody reads the result in {name}"
    for line, cell in flow.constants:
        cells = dict(zip(program.table[line, 1:3].tolist(), program.operands[line], strict=False))
        yield f"{places[line].in_file}: reads {cells[cell]} as it was set, 1 in every lane"
