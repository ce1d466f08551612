"""One neuron of lookup tables that takes recorded steps, bit by bit and row by row."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from bitpim.lookup import stepped_rna as rna
from tests.naive.rapidnn import add, binary_digits, carry_save, signed_digits, value, word

__all__ = ["NaiveRna"]

GATES = {"aritpim": 9, "simpler": 9, "apim13": 12, "floatpim": 12}
LEVEL = {"aritpim": 18, "simpler": 9, "apim13": 13, "floatpim": 13}


def last_add(cost: str, n: int) -> int:
    """Cycles of the last addition, by the formulas of the page on NORs."""
    return {"aritpim": 18 * n + 1, "simpler": 9 * n + 1, "apim13": 13 * n, "floatpim": 12 * n + 1}[
        cost
    ]


class NaiveRna:
    """Counters, operands as lists of bits, and lists of rows that are up."""

    def __init__(self, parameters: Mapping[str, Any], constants: Mapping[str, Any]) -> None:
        self.p = parameters
        self.products = constants["products"].tolist()
        self.points, self.values = constants["points"].tolist(), constants["values"].tolist()
        self.low, self.high = constants["limits"].tolist()
        self.counters = [[0] * len(row) for row in self.products]
        self.product = self.count = self.missing = self.sum = self.value = self.code = 0
        self.operands: list[list[int]] = []
        n_lines = max(len(self.points), len(self.values), self.p["n_candidates"], 1)
        self.query, self.up = 0, [False] * n_lines
        self.candidates: list[int] = []
        self.counts: Counter[str] = Counter()

    def take(self, step: Sequence[int], port: list[int] | None = None) -> int | None:
        """Take a step; return the number that goes out."""
        code, a, b, _, _ = step
        width = self.p["sum_bits"]
        if code == rna.COUNT:
            assert port is not None
            self._count(port)
        elif code == rna.READ_PRODUCT:
            self.product, self.count = self.products[a][b], self.counters[a][b]
            self.counts["product_read"] += 1
        elif code == rna.OPERAND:
            digits = (signed_digits if self.p["digits"] == "signed" else binary_digits)(self.count)
            self._digit(digits[a] if a < len(digits) else 0, word(self.product << a, width))
        elif code == rna.CANDIDATE:
            assert port is not None
            self.candidates.append(port[0])
        elif code == rna.LOOK_UP:
            assert port is not None
            self.code = self.products[a][port[0]]
            self.counts.update(cycles=1, value_read=1)
        elif code in (rna.OPERAND_IN, rna.TERM, rna.VALUE):
            assert port is not None
            if code == rna.VALUE:
                self.sum = self.value = self.products[a][port[0]]
                return None
            number = port[0] if code == rna.OPERAND_IN else self.products[a][port[0]]
            self._digit(1, word(number, width))
            self.counts["value_read"] += code == rna.TERM
        elif code == rna.LEVEL:
            self._level()
        elif code == rna.ADD_LAST:
            first, second = [*self.operands, word(0, width), word(0, width)][:2]
            self.sum = self.value = value(add(first, second, self.missing))
            self.operands, self.missing = [], 0
            self.counts["nor_sum"] += 1
            self._gates(1, last_add(self.p["cost"], width))
        elif code in (rna.GIVE_SUM, rna.GIVE_CODE):
            return self.sum if code == rna.GIVE_SUM else self.code
        elif code in (rna.SEEK_LARGEST, rna.STAGE_LARGEST, rna.SETTLE_LARGEST):
            self._largest(code, a)
        else:
            self._search(code, a)
        return None

    def _count(self, port: list[int]) -> None:
        for w, u in enumerate(port):
            if u >= 0:
                most = 2 ** self.p["counter_bits"] - 1
                self.counters[w][u] = min(self.counters[w][u] + 1, most)
                self.counts["counter_inc"] += 1
        self.counts.update(cycles=1, counter_cycle=1)

    def _digit(self, digit: int, bits: list[int]) -> None:
        if digit == -1:
            bits = [1 - bit for bit in bits]
            self.missing += 1
            self.counts.update(nor_gate_cell=len(bits), nor_init_cell=len(bits))
        if digit:
            self.operands.append(bits)
            self.counts["operand_write"] += 1

    def _level(self) -> None:
        third = len(self.operands) // 3
        if not third:
            return
        made = [carry_save(*(self.operands[i + k * third] for k in range(3))) for i in range(third)]
        for _, carry in made:
            if self.missing:
                carry[0], self.missing = 1, self.missing - 1
        self.operands = [t for t, _ in made] + [c for _, c in made] + self.operands[3 * third :]
        self.counts.update(csa_level=1, csa_adder=third)
        self._gates(third, LEVEL[self.p["cost"]])

    def _gates(self, adders: int, cycles: int) -> None:
        cells = adders * self.p["sum_bits"] * GATES[self.p["cost"]]
        self.counts.update(cycles=cycles, nor_cycle=cycles, nor_gate_cell=cells)
        self.counts["nor_init_cell"] += cells

    def _search(self, code: int, a: int) -> None:
        on_points = code <= rna.SETTLE_POINT
        held = [x for x, _ in self.points] if on_points else self.values
        width = self.p["point_bits" if on_points else "value_bits"]
        words = [v + (1 << width - 1) for v in held]
        rows = [r for r in range(len(held)) if self.up[r]]
        if code in (rna.SEEK_POINT, rna.SEEK_CODE):
            number = self.sum if on_points else self.value << self.p["up"]
            number = number if on_points else min(max(number, self.low), self.high)
            self.query = number + (1 << width - 1)
            rows = list(range(len(held)))
            self.counts["cam_search"] += 1
        elif code in (rna.STAGE_POINT, rna.STAGE_CODE):
            self.counts.update(cycles=1, cam_stage=1, cam_row=len(rows))
            rows = self._staged(words, rows, width, a)
        elif code == rna.SETTLE_POINT:
            self.value = self.points[rows[0]][1]
            self.counts["cam_survivor"] += 1
        else:
            self.code = rows[0]
            self.counts["cam_survivor"] += 1
        self.up = [r in rows for r in range(len(self.up))]

    def _largest(self, code: int, a: int) -> None:
        width = self.p["value_bits"]
        words = [self.values[c] + (1 << width - 1) for c in self.candidates]
        rows = [r for r, up in enumerate(self.up) if up]
        if code == rna.SEEK_LARGEST:
            self.query, rows = (1 << width) - 1, list(range(len(words)))
            self.counts["cam_search"] += 1
        elif code == rna.STAGE_LARGEST:
            self.counts.update(cycles=1, cam_stage=1, cam_row=len(rows))
            rows = self._staged(words, rows, width, a)
        else:
            self.code, self.candidates = self.candidates[rows[0]], []
            self.counts["cam_survivor"] += 1
        self.up = [r in rows for r in range(len(self.up))]

    def _staged(self, words: list[int], rows: list[int], width: int, stage: int) -> list[int]:
        size = min(self.p["stage_bits"], width)
        high = width - stage * size
        low = max(0, high - size)
        if self.p["match"] == "staged":
            mask = (1 << high - low) - 1
            gaps = {r: abs((words[r] >> low & mask) - (self.query >> low & mask)) for r in rows}
        elif low:
            return rows
        elif self.p["match"] == "wxor":
            gaps = {r: words[r] ^ self.query for r in rows}
        else:
            gaps = {r: abs(words[r] - self.query) for r in rows}
        return [r for r in rows if gaps[r] == min(gaps.values())]
