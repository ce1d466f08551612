"""The `magic` logic family, stateful NOR between memristive cells: one line an opcode.

A gate takes no current into its result: the output cell was set to 1 before (INIT), and falls to 0
in the lanes where an input cell is 1. So without INIT it ends as its old content AND the NOR, and
the record says just that. A step sets any number of cells; a NOR takes two inputs or, line by line,
more. W is no latch of the array but the input cells a gate has open so far.

Source: MAGIC as AritPIM's simulator has it, X-MAGIC for a missing INIT (found); a step that sets
any number of cells as SIMPLER counts it (found).
"""

from bitpim_kernels.family import ALWAYS, N_FIELDS, NO_ROW, Family, Latch, Opcode

__all__ = ["ALWAYS", "MAGIC", "NO_ROW", "N_FIELDS"]

_records: list[Opcode] = []


def _opcode(
    code: int,
    mnemonic: str,
    result: str = "",
    *,
    latch: str = "",
    events: tuple[str, ...] = (),
    then: tuple[str, ...] = (),
) -> int:
    """Record an opcode and return its number; what reads D is a gate, onto a cell set to 1."""
    onto = "1" if "D" in result else ""
    _records.append(Opcode(code, mnemonic, result, latch, events, then, onto))
    return code


INIT1 = _opcode(64, "INIT1", "1", events=("nor_init", "nor_init_cell"))
ALSO_INIT1 = _opcode(65, "ALSO_INIT1", "1", events=("nor_init_cell",), then=("ALSO_INIT1", "INIT1"))
INIT0 = _opcode(66, "INIT0", "0", events=("nor_init", "nor_init_cell"))
ALSO_INIT0 = _opcode(67, "ALSO_INIT0", "0", events=("nor_init_cell",), then=("ALSO_INIT0", "INIT0"))
NOT = _opcode(68, "NOT", "D & ~A", events=("nor_gate",))
NOR = _opcode(69, "NOR", "D & ~(A | B)", events=("nor_gate",))

# a NOR of three inputs or more: one line opens an input, the last two and the output end the step
NOR_OPEN = _opcode(70, "NOR_OPEN", latch="W = A", then=("NOR_OPEN_MORE", "NOR_WIDE"))
NOR_OPEN_MORE = _opcode(71, "NOR_OPEN_MORE", latch="W = W | A", then=("NOR_OPEN_MORE", "NOR_WIDE"))
NOR_WIDE = _opcode(72, "NOR_WIDE", "D & ~(W | A | B)", events=("nor_gate",))

MAGIC = Family(
    "magic",
    step_event="nor_step",
    latches=(Latch("W", "open inputs"),),
    predicates=(),
    opcodes=tuple(_records),
)

__all__ += [opcode.mnemonic for opcode in MAGIC.opcodes]  # each is a name above
