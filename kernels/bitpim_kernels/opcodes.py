"""The closed opcode set of each logic family, as plain integers a program table holds.

One step of a program table is ``(opcode, a, b, dst, predicate)``, int32, one array cycle: activate
row ``a`` (and ``b``), compute, update the latches, write one row back. ``NO_ROW`` stands where a
step has no row. Below A and B are the activated rows, C the carry latch, T the tag latch, all as
they were before the step; ``~A`` is the bitline-bar of a row.

Each family owns its own numbers: ``sram`` 0..63. ``magic`` 64.., ``dram`` 128.., ``bitsimd`` 192..
are kept free for the other families of the same kernel form.

Source: Neural Cache, sense-amplifier logic (AND/NOR found, latches recalled,
the write-back sources an assumed superset).
"""

__all__ = [
    "ADD",
    "ADD_NOT",
    "ADD_NOT_ONES",
    "ADD_ONES",
    "ADD_ROW",
    "ALWAYS",
    "AND",
    "CARRY_RESET",
    "CARRY_SET",
    "CARRY_STORE",
    "COPY",
    "IF_TAG",
    "NAND",
    "NOR",
    "NOT",
    "NO_ROW",
    "N_FIELDS",
    "ONE",
    "OR",
    "TAG_AND",
    "TAG_AND_NOT",
    "TAG_AND_XNOR",
    "TAG_FROM_CARRY",
    "TAG_FROM_NOT_CARRY",
    "TAG_LOAD",
    "TAG_LOAD_NOT",
    "TAG_SET",
    "TAG_STORE",
    "XNOR",
    "XOR",
    "ZERO",
]

N_FIELDS = 5  # opcode, a, b, dst, predicate
NO_ROW = -1

# predicates: only the row write obeys them, latches always update
ALWAYS = 0
IF_TAG = 1

# row results; each odd one is the complement of the even one before it
ZERO = 0  # dst = 0
ONE = 1  # dst = 1
COPY = 2  # dst = A
NOT = 3  # dst = ~A
AND = 4
NAND = 5
OR = 6
NOR = 7
XOR = 8
XNOR = 9
ADD = 10  # dst = A ^ B ^ C, C = majority(A, B, C)
ADD_ROW = 12  # as ADD with B = 0: dst = A ^ C, C = A & C
ADD_NOT = 13  # as ADD with ~A and B = 0: dst = ~(A ^ C), C = ~A & C
ADD_ONES = 14  # as ADD with B = 1: dst = ~(A ^ C), C = A | C
ADD_NOT_ONES = 15  # as ADD with ~A and B = 1: dst = A ^ C, C = ~A | C
CARRY_STORE = 16  # dst = C
TAG_STORE = 17  # dst = T

# latch results, no row written; tag loads in complement pairs too
CARRY_RESET = 20  # C = 0
CARRY_SET = 21  # C = 1
TAG_SET = 31  # T = 1
TAG_LOAD = 32  # T = A
TAG_LOAD_NOT = 33  # T = ~A
TAG_FROM_CARRY = 34  # T = C
TAG_FROM_NOT_CARRY = 35  # T = ~C
TAG_AND = 36  # T = T & A
TAG_AND_NOT = 37  # T = T & ~A
TAG_AND_XNOR = 39  # T = T & ~(A ^ B)
