"""A program of stateful NOR once more, on another number of cells: gates stay, INITs are few.

One step may set any number of cells. So all cells are set before the first gate, each gate takes
one that is still fresh, and when none is, one step sets all cells whose bits nobody needs any more.
That is how the SIMPLER mapper places a program in a memory row.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from bitpim.errors import ProgramError
from bitpim.programs.assembler import Assembler
from bitpim.programs.program import Field, Program, Row, need_family
from bitpim_kernels import magic
from bitpim_kernels.family import NO_ROW

__all__ = ["repack"]

_INIT1 = (magic.INIT1, magic.ALSO_INIT1)
_INIT0 = (magic.INIT0, magic.ALSO_INIT0)
_OPEN = (magic.NOR_OPEN, magic.NOR_OPEN_MORE)


@dataclass(slots=True, eq=False)
class _Bit:
    """One bit of the program from the gate that makes it, or 0 or 1, to its last use.

    Attributes
    ----------
    constant : 0 or 1 where no gate makes it, else None
    home : the cell an operand has
    last : the gate that reads it last, or makes it
    name : the result it is, "" if none
    cell : where it lies
    """

    constant: int | None = None
    home: int | None = None
    last: int = -1
    name: str = ""
    cell: int = NO_ROW


@dataclass(slots=True)
class _Gates:
    """The gates of a program in order, and its bits: operands, constants, one for each gate."""

    inputs: list[list[_Bit]] = field(default_factory=list)
    made: list[_Bit] = field(default_factory=list)
    operands: dict[int, _Bit] = field(default_factory=dict)
    constants: dict[int, _Bit] = field(default_factory=dict)
    held: dict[int, _Bit] = field(default_factory=dict)
    is_fresh: set[int] = field(default_factory=set)

    def read(self, cell: int) -> _Bit:
        """Return what a cell holds; one that nothing wrote holds an operand."""
        if cell not in self.held:
            self.held[cell] = self.operands[cell] = _Bit(home=cell)
        return self.held[cell]

    def set(self, cell: int, bit: int) -> None:
        """Set a cell; all that are set alike hold the same bit."""
        self.held[cell] = self.constants.setdefault(bit, _Bit(constant=bit))
        (self.is_fresh.add if bit else self.is_fresh.discard)(cell)

    def add(self, inputs: list[int], output: int, where: str) -> None:
        """Add a gate onto a fresh cell."""
        if output not in self.is_fresh:
            raise ProgramError(
                f"{where}: need its output set to 1 before, so that another cell can take it; got "
                f"cell {output} with old content"
            )
        bits = [self.read(cell) for cell in inputs]
        for bit in bits:
            bit.last = len(self.made)
        self.inputs.append(bits)
        self.made.append(_Bit(last=len(self.made)))
        self.held[output] = self.made[-1]
        self.is_fresh.discard(output)


def _gates_of(program: Program) -> _Gates:
    gates = _Gates()
    opened: list[int] = []
    lines = zip(program.step_of, program.table.tolist(), strict=True)
    for step, (opcode, a, b, dst, _) in lines:
        if opcode in _INIT1 or opcode in _INIT0:
            gates.set(dst, opcode in _INIT1)
            continue
        opened += [cell for cell in (a, b) if cell != NO_ROW]
        if opcode not in _OPEN:
            gates.add(opened, dst, f"repack {program.name}, step {step}")
            opened = []
    return gates


def repack(program: Program, row_size: int | None, outputs: Sequence[str]) -> Program:
    """Return a program of the same gates in the same order on `row_size` cells.

    Operands lie in their fields from cell 0 and stay. The bits of the fields `outputs` are kept,
    each as a field of its own: ``sum_3`` for bit 3 of ``sum``. One cell holds 0, and one holds 1,
    for all gates that read a constant. Of the cells that a step could set, it sets those that a
    gate takes later.

    Parameters
    ----------
    row_size : cells of a lane; as many as all bits need, unless given

    Raises
    ------
    ProgramError
        The program is not of the magic family, a gate has an output that was not set to 1 before,
        an output is unknown or never written, or the cells do not suffice; the message says how
        many do.

    Source: SIMPLER's rule, one INIT step for all dead cells when no cell is fresh (found).
    """
    need_family(program, magic.MAGIC, f"repack {program.name}")
    gates = _gates_of(program)
    operands = list(_operands(program, gates))
    results = list(_results(program, outputs, gates))
    layout = _Layout(gates, operands, results)
    need = layout.cells_needed()
    if row_size is not None and row_size < need:
        raise ProgramError(
            f"repack {program.name}: need {need} cells, got {row_size}; {layout.n_operands} of "
            f"them hold operands, and so many bits are needed at once"
        )
    most = layout.n_operands + len(layout.bits)
    return layout.emit(program.name, most if row_size is None else min(row_size, most))


def _operands(program: Program, gates: _Gates) -> Iterator[Field]:
    """Yield the fields that hold operands; each cell is placed once."""
    left = set(gates.operands)
    for old in program.fields:
        cells = {row.row for row in old}
        if left & cells:
            yield old
        left -= cells
    if left:
        raise ProgramError(
            f"repack {program.name}: need its operands in fields, got cell {min(left)} read before "
            "it is written and in none"
        )


def _results(program: Program, outputs: Sequence[str], gates: _Gates) -> Iterator[_Bit]:
    for name in outputs:
        for row in program.field(name):
            bit = gates.held.get(row.row)
            if bit is None or bit.home is not None:
                raise ProgramError(
                    f"repack {program.name}: need an output that the program writes, got {row}"
                )
            if bit.constant is not None:  # it needs a cell of its own
                bit = _Bit(constant=bit.constant)
            if bit.name:
                raise ProgramError(
                    f"repack {program.name}: need each output once, got {row} and {bit.name}"
                )
            bit.name = f"{name}_{row.bit}"
            bit.last = len(gates.made)
            yield bit


class _Layout:
    """Where the bits of a program lie: operands first, then whatever cell is fresh."""

    def __init__(self, gates: _Gates, operands: Sequence[Field], results: Sequence[_Bit]) -> None:
        self.gates = gates
        self.fields: list[Field] = []
        self.n_operands = 0
        for old in operands:
            for row in old:
                if row.row in gates.operands:
                    gates.operands[row.row].cell = self.n_operands + row.row - old.start
            self.fields.append(Field(old.name, self.n_operands, old.width))
            self.n_operands += old.width
        self.final = [bit for bit in results if bit.constant is not None]
        used = [bit for bit in gates.constants.values() if bit.last >= 0]
        self.bits = [*used, *gates.made, *self.final]
        self.names = [bit.name for bit in results]

    def _orders(self) -> Iterator[tuple[int, list[_Bit], _Bit | None]]:
        """Yield, gate by gate, the bits that need a cell there; and at the end constant results."""
        known: set[int] = set()
        for gate, (inputs, made) in enumerate(zip(self.gates.inputs, self.gates.made, strict=True)):
            constants = [bit for bit in inputs if bit.constant is not None]
            fresh = [bit for bit in dict.fromkeys(constants) if id(bit) not in known]
            known |= {id(bit) for bit in fresh}
            yield gate, [*fresh, made], made
        if self.final:
            yield len(self.gates.made), self.final, None

    def cells_needed(self) -> int:
        """Return the fewest cells that the program can do with."""
        live: list[_Bit] = []
        most = 0
        for gate, wanted, _ in self._orders():
            live = [bit for bit in live if bit.last >= gate] + wanted
            most = max(most, len(live))
        return self.n_operands + most

    def emit(self, name: str, row_size: int) -> Program:
        """Return the program on so many cells."""
        steps = self._placed(row_size)
        scratch = Field("cells", self.n_operands, row_size - self.n_operands)
        results = {bit.name: Field(bit.name, bit.cell, 1) for bit in self.bits if bit.name}
        b = Assembler(name, row_size, family=magic.MAGIC)
        b.reads(*self.fields)
        b.writes(scratch, *(results[result] for result in self.names))
        by_cell = {row.row: row for row in (*(r for f in self.fields for r in f), *scratch)}

        def row(bit: _Bit) -> Row:
            return results[bit.name][0] if bit.name else by_cell[bit.cell]

        for set_to_1, set_to_0, gate in steps:
            for bits, opcodes in ((set_to_1, _INIT1), (set_to_0, _INIT0)):
                for k, bit in enumerate(bits):
                    b.step(opcodes[k < len(bits) - 1], to=row(bit))
            if gate is not None:
                _gate(b, [row(bit) for bit in self.gates.inputs[gate]], row(self.gates.made[gate]))
        return b.build()

    def _placed(self, row_size: int) -> list[tuple[list[_Bit], list[_Bit], int | None]]:
        """Give each bit its cell; return, step by step, what is set to 1, to 0, and the gate.

        What a cell is set for is known only when a bit takes it: the bits of a step that sets many
        are filled in as they come.
        """
        steps: list[tuple[list[_Bit], list[_Bit], int | None]] = []
        fresh = list(range(self.n_operands, row_size))
        taken: list[_Bit] = []
        newly_set: list[_Bit] = []  # by the latest step that set cells
        steps.append((newly_set, [], None))
        for gate, wanted, made in self._orders():
            set_to_0: list[_Bit] = []
            before: list[_Bit] = []
            for bit in wanted:
                if not fresh:
                    dead = [old for old in taken if old.last < gate]
                    taken = [old for old in taken if old.last >= gate]
                    fresh = sorted(old.cell for old in dead)
                    newly_set = before = []
                bit.cell = fresh.pop(0)
                taken.append(bit)
                (set_to_0 if bit.constant == 0 else newly_set).append(bit)
            steps.append((before, set_to_0, None if made is None else gate))
        return steps


def _gate(b: Assembler, inputs: Sequence[Row], to: Row) -> None:
    if len(inputs) == 1:
        b.step(magic.NOT, *inputs, to=to)
    elif len(inputs) == 2:
        b.step(magic.NOR, *inputs, to=to)
    else:
        *opened, x, y = inputs
        for k, row in enumerate(opened):
            b.step(magic.NOR_OPEN_MORE if k else magic.NOR_OPEN, row)
        b.step(magic.NOR_WIDE, x, y, to=to)
