"""The `sram` logic family, two-wordline logic of a compute SRAM: one line an opcode.

Tables hold the opcodes as plain integers, and so does every constant here. In the expressions A and
B are the activated rows, C the carry latch, T the tag latch; see `family`.

Each family owns its own numbers: ``sram`` 0..63. ``magic`` 64.., ``dram`` 128.., ``bitsimd`` 192..
are kept free for the other families of the same kernel form.

Source: Neural Cache, sense-amplifier logic (AND/NOR found, latches recalled,
the write-back sources an assumed superset).
"""

from bitpim_kernels.family import ALWAYS, N_FIELDS, NO_ROW, Family, Latch, Opcode, Predicate

__all__ = ["ALWAYS", "CARRY", "IF_TAG", "NO_ROW", "N_FIELDS", "SRAM", "TAG"]

CARRY, TAG = "C", "T"
IF_TAG = 1  # write only where T

_records: list[Opcode] = []


def _opcode(
    code: int, mnemonic: str, result: str = "", *, latch: str = "", event: str | None = None
) -> int:
    """Record an opcode and return its number."""
    _records.append(Opcode(code, mnemonic, result, latch, (event,) if event else ()))
    return code


# row results; each odd one is the complement of the even one before it
ZERO = _opcode(0, "ZERO", "0")
ONE = _opcode(1, "ONE", "1")
COPY = _opcode(2, "COPY", "A")
NOT = _opcode(3, "NOT", "~A")
AND = _opcode(4, "AND", "A & B")
NAND = _opcode(5, "NAND", "~(A & B)")
OR = _opcode(6, "OR", "A | B")
NOR = _opcode(7, "NOR", "~(A | B)")
XOR = _opcode(8, "XOR", "A ^ B")
XNOR = _opcode(9, "XNOR", "~(A ^ B)")

# adders; the one-row forms are ADD of A or ~A and a constant B
ADD = _opcode(10, "ADD", "A ^ B ^ C", latch="C = majority(A, B, C)")
ADD_ROW = _opcode(12, "ADD_ROW", "A ^ C", latch="C = A & C")  # B = 0
ADD_NOT = _opcode(13, "ADD_NOT", "~(A ^ C)", latch="C = ~A & C")  # ~A and B = 0
ADD_ONES = _opcode(14, "ADD_ONES", "~(A ^ C)", latch="C = A | C")  # B = 1
ADD_NOT_ONES = _opcode(15, "ADD_NOT_ONES", "A ^ C", latch="C = ~A | C")  # ~A and B = 1

# latches as they are
CARRY_STORE = _opcode(16, "CARRY_STORE", "C", event="carry_store")
TAG_STORE = _opcode(17, "TAG_STORE", "T", event="tag_store")

# latch results, no row written; tag loads in complement pairs too
CARRY_RESET = _opcode(20, "CARRY_RESET", latch="C = 0", event="carry_reset")
CARRY_SET = _opcode(21, "CARRY_SET", latch="C = 1", event="carry_reset")
TAG_SET = _opcode(31, "TAG_SET", latch="T = 1", event="tag_load")
TAG_LOAD = _opcode(32, "TAG_LOAD", latch="T = A", event="tag_load")
TAG_LOAD_NOT = _opcode(33, "TAG_LOAD_NOT", latch="T = ~A", event="tag_load")
TAG_FROM_CARRY = _opcode(34, "TAG_FROM_CARRY", latch="T = C", event="tag_load")
TAG_FROM_NOT_CARRY = _opcode(35, "TAG_FROM_NOT_CARRY", latch="T = ~C", event="tag_load")
TAG_AND = _opcode(36, "TAG_AND", latch="T = T & A", event="tag_load")
TAG_AND_NOT = _opcode(37, "TAG_AND_NOT", latch="T = T & ~A", event="tag_load")
TAG_AND_XNOR = _opcode(39, "TAG_AND_XNOR", latch="T = T & ~(A ^ B)", event="tag_load")

SRAM = Family(
    "sram",
    step_event="sram_compute_cycle",
    latches=(Latch(CARRY, "carry"), Latch(TAG, "tag")),
    predicates=(Predicate(IF_TAG, "IF_TAG", where=TAG),),
    opcodes=tuple(_records),
)

__all__ += [opcode.mnemonic for opcode in SRAM.opcodes]  # each is a name above
