"""The `sram` logic family one lane and one bit at a time, in the words of its description."""

from collections.abc import Sequence

from bitpim_kernels import opcodes as op

Step = Sequence[int]


def row_value(opcode: int, a: int, b: int, c: int, t: int) -> int:
    """Return the bit that reaches the write driver."""
    return {
        op.ZERO: 0,
        op.ONE: 1,
        op.COPY: a,
        op.NOT: 1 - a,
        op.AND: int(a == 1 and b == 1),
        op.NAND: int(not (a == 1 and b == 1)),
        op.OR: int(a == 1 or b == 1),
        op.NOR: int(not (a == 1 or b == 1)),
        op.XOR: int(a != b),
        op.XNOR: int(a == b),
        op.ADD: (a + b + c) % 2,
        op.ADD_ROW: (a + 0 + c) % 2,
        op.ADD_ONES: (a + 1 + c) % 2,
        op.ADD_NOT: ((1 - a) + 0 + c) % 2,
        op.ADD_NOT_ONES: ((1 - a) + 1 + c) % 2,
        op.CARRY_STORE: c,
        op.TAG_STORE: t,
    }[opcode]


def next_carry(opcode: int, a: int, b: int, c: int) -> int:
    """Return the carry latch after the step."""
    total = {
        op.ADD: a + b + c,
        op.ADD_ROW: a + 0 + c,
        op.ADD_ONES: a + 1 + c,
        op.ADD_NOT: (1 - a) + 0 + c,
        op.ADD_NOT_ONES: (1 - a) + 1 + c,
        op.CARRY_RESET: 0,
        op.CARRY_SET: 2,
    }.get(opcode)
    return c if total is None else total // 2


def next_tag(opcode: int, a: int, b: int, c: int, t: int) -> int:
    """Return the tag latch after the step."""
    return {
        op.TAG_SET: 1,
        op.TAG_LOAD: a,
        op.TAG_LOAD_NOT: 1 - a,
        op.TAG_FROM_CARRY: c,
        op.TAG_FROM_NOT_CARRY: 1 - c,
        op.TAG_AND: min(t, a),
        op.TAG_AND_NOT: min(t, 1 - a),
        op.TAG_AND_XNOR: min(t, int(a == b)),
    }.get(opcode, t)


def run_lane(table: Sequence[Step], cells: list[int], carry: int, tag: int) -> tuple[int, int]:
    """Run a program on the cells of one lane in place and return its latches."""
    for opcode, row_a, row_b, dst, predicate in table:
        a = cells[row_a] if row_a >= 0 else 0
        b = cells[row_b] if row_b >= 0 else 0
        if dst >= 0 and (predicate == op.ALWAYS or tag == 1):
            cells[dst] = row_value(opcode, a, b, carry, tag)
        carry, tag = next_carry(opcode, a, b, carry), next_tag(opcode, a, b, carry, tag)
    return carry, tag
