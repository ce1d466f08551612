"""Every search of a CAM, row by row on text, and what the hardware does for it.

A word is text, the highest bit first; ``X`` in a query, or in what is driven, is an idle column.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tests.naive.cam import ANY, NEVER, ONE, ZERO, Cell

STORED = {"0": ZERO, "1": ONE, "X": ANY, "m": ANY, "f": NEVER}  # m and f: stuck cells


def falls(row: str, driven: str) -> list[int]:
    """Return the places, from the highest bit on, where a row discharges its match line."""
    cells: list[Cell] = [STORED[letter] for letter in row]
    return [i for i, bit in enumerate(driven) if bit != "X" and cells[i][int(bit)]]


def blocks(low: int, high: int) -> Iterator[tuple[int, int]]:
    """Yield (first, size) of the largest aligned blocks of low..high, from below."""
    while low <= high:
        size = 1
        while low % (2 * size) == 0 and low + 2 * size - 1 <= high:
            size *= 2
        yield low, size
        low += size


def prefixes(low: str, high: str) -> list[str]:
    """Return an interval as words with idle lowest bits."""
    found = []
    for first, size in blocks(int(low, 2), int(high, 2)):
        n_free = size.bit_length() - 1
        found.append(f"{first:0{len(low)}b}"[: len(low) - n_free] + "X" * n_free)
    return found


@dataclass
class NaiveAnswers:
    """Of each query: rows reported, their distances, all matches; and counts."""

    rows: list[list[int]] = field(default_factory=list)
    distances: list[list[int]] = field(default_factory=list)
    lists: list[list[int]] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)


class NaiveCam:
    """A CAM that is looked through row by row."""

    def __init__(self, rows: Sequence[str]) -> None:
        self.rows = list(rows)
        self.held: str | None = None

    def search(
        self, queries: Sequence[str], kind: str, high: Sequence[str] = (), **options: Any
    ) -> NaiveAnswers:
        """Search for queries one after the other."""
        answers = NaiveAnswers()
        for i, query in enumerate(queries):
            driven = self.driven(query, options)
            if kind == "range":
                self.in_range(answers, prefixes(query, high[i]), options)
            elif kind == "nearest" and options.get("mode") == "staged":
                self.staged(answers, driven, options)
            else:
                self.drive(answers, driven)
                self.whole(answers, driven, kind, options)
        return answers

    def driven(self, query: str, options: Mapping[str, Any]) -> str:
        """Return what is put on the columns: the highest bits, those of some weight."""
        n = len(query)
        top = options.get("top_bits", n)
        weights = options.get("weights", [1] * n)[::-1]  # now the highest first
        return "".join(bit if i < top and weights[i] else "X" for i, bit in enumerate(query))

    def drive(self, answers: NaiveAnswers, driven: str) -> None:
        """Put a query on the columns."""
        answers.counts.update(cam_search=1, cam_stage=1, cam_row=len(self.rows))
        if self.held is not None:
            n_changed = sum(old != new for old, new in zip(self.held, driven, strict=True))
            answers.counts["cam_toggle"] += n_changed
        self.held = driven

    def report(
        self,
        answers: NaiveAnswers,
        options: Mapping[str, Any],
        found: Sequence[tuple[int, int]],
        k: int,
    ) -> None:
        """Report the k first of (distance, row), in the order of the tie rule."""
        sign = -1 if options.get("ties") == "highest" else 1
        order = sorted(found, key=lambda pair: (pair[0], sign * pair[1]))[:k]
        order += [(-1, -1)] * (k - len(order))
        answers.rows.append([row for _, row in order])
        answers.distances.append([distance for distance, _ in order])

    def whole(
        self, answers: NaiveAnswers, driven: str, kind: str, options: Mapping[str, Any]
    ) -> None:
        """Look at each row once."""
        apart = [falls(row, driven) for row in self.rows]
        answers.counts["cam_discharge"] += sum(bool(places) for places in apart)
        weights = options.get("weights", [1] * len(driven))[::-1]
        distance = [sum(weights[i] for i in places) for places in apart]
        if kind == "nearest":
            distance = [self.distance(row, driven, options) for row in self.rows]
        pairs = [(d, r) for r, d in enumerate(distance)]
        if kind in ("best", "weighted", "nearest"):
            k = options.get("k", 1)
            self.report(answers, options, pairs, k)
            tied = [r for d, r in pairs if d == min(distance)]
            answers.lists.append(tied)
            answers.counts["cam_survivor"] += len(tied) if options.get("ties") == "all" else k
        else:
            limit = options.get("limit", 0)
            matches = [pair for pair in pairs if pair[0] <= limit]
            by_row = [(0, r) for _, r in matches]
            self.report(answers, options, by_row, 1)
            answers.distances[-1] = [distance[r] if r >= 0 else -1 for r in answers.rows[-1]]
            answers.lists.append([r for _, r in matches])
            answers.counts["cam_survivor"] += len(matches)

    def number(self, word: str, options: Mapping[str, Any]) -> int:
        """Return the number that the highest bits of a word are."""
        top = word[: options.get("top_bits", len(word))]
        value = int(top, 2)
        return value - (1 << len(top)) if options.get("signed") and top[0] == "1" else value

    def distance(self, row: str, driven: str, options: Mapping[str, Any]) -> int:
        """Return how far a row is from a query, as numbers, or by the bits that differ."""
        top = options.get("top_bits", len(row))
        if options.get("mode", "abs") == "wxor":
            return sum(1 << (top - 1 - i) for i in falls(row, driven))
        query = driven.replace("X", "0")
        return abs(self.number(row, options) - self.number(query, options))

    def staged(self, answers: NaiveAnswers, driven: str, options: Mapping[str, Any]) -> None:
        """Keep, chunk by chunk from the highest on, the rows of least difference."""
        top, size = options.get("top_bits", len(driven)), options["stage_bits"]
        flip = str.maketrans("01", "10") if options.get("signed") else {}
        offset = {word: word[0].translate(flip) + word[1:] for word in [*self.rows, driven]}
        standing = list(range(len(self.rows)))
        self.drive(answers, driven)
        answers.counts.subtract({"cam_stage": 1, "cam_row": len(self.rows)})
        for first in range(0, top, size):
            chunk = slice(first, min(first + size, top))
            query = int(offset[driven][chunk], 2)
            apart = {r: abs(int(offset[self.rows[r]][chunk], 2) - query) for r in standing}
            n_fallen = sum(d > 0 for d in apart.values())
            answers.counts.update(cam_stage=1, cam_row=len(standing), cam_discharge=n_fallen)
            standing = [r for r in standing if apart[r] == min(apart.values())]
        answers.counts["cam_survivor"] += len(standing)
        self.report(answers, options, [(0, r) for r in standing], 1)
        winner = self.rows[answers.rows[-1][0]]
        answers.distances[-1] = [self.distance(winner, driven, {**options, "mode": "abs"})]
        answers.lists.append(standing)

    def in_range(
        self, answers: NaiveAnswers, words: Sequence[str], options: Mapping[str, Any]
    ) -> None:
        """Search each prefix; a row matches that matches one of them."""
        matches: set[int] = set()
        for word in words:
            self.drive(answers, word)
            apart = [falls(row, word) for row in self.rows]
            answers.counts["cam_discharge"] += sum(bool(places) for places in apart)
            matches |= {r for r, places in enumerate(apart) if not places}
        answers.counts["cam_survivor"] += len(matches)
        self.report(answers, options, [(0, r) for r in matches], 1)
        answers.lists.append(sorted(matches))
