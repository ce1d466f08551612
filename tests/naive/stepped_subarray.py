"""A compute SRAM that takes recorded steps, one column and one bit at a time."""

from collections.abc import Sequence

from bitpim.sram.stepped import (
    MOVE,
    MOVE_AND_CLEAR,
    MOVE_WHERE,
    MOVE_WHERE_AND_CLEAR,
    PORT_READ,
    PORT_WRITE,
)
from tests.naive.bitline import run_lane

__all__ = ["NaiveSubarray"]

Bits = list[int]


class NaiveSubarray:
    """Rows as lists of bits, a bit a column."""

    def __init__(self, n_rows: int, n_columns: int) -> None:
        self.rows = [[0] * n_columns for _ in range(n_rows)]
        self.carry, self.tag = [0] * n_columns, [0] * n_columns

    def take(self, step: Sequence[int], port: Bits | None = None) -> Bits | None:
        """Take a step; return the row that goes out."""
        code, a, b, dst, last = step
        columns = range(len(self.carry))
        if code == PORT_WRITE:
            assert port is not None
            self.rows[dst] = list(port)
        elif code == PORT_READ:
            return list(self.rows[a])
        elif code in (MOVE, MOVE_AND_CLEAR, MOVE_WHERE, MOVE_WHERE_AND_CLEAR):
            size = last or len(self.carry)
            moved = []
            for column in columns:
                partner = column + b
                there = 0 <= partner < len(self.carry) and partner // size == column // size
                there &= port is None or bool(port[column])
                moved.append(self.rows[a][partner] if there else 0)
            self.rows[dst] = moved
            if code in (MOVE_AND_CLEAR, MOVE_WHERE_AND_CLEAR):
                self.carry = [0] * len(self.carry)
        else:
            for column in columns:
                cells = [row[column] for row in self.rows]
                latches = run_lane([step], cells, self.carry[column], self.tag[column])
                self.carry[column], self.tag[column] = latches
                for row, bit in zip(self.rows, cells, strict=True):
                    row[column] = bit
        return None
