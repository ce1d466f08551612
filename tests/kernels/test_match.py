import random
from collections.abc import Callable, Sequence
from itertools import product
from types import FunctionType
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bitpim_kernels import match, match_heap, match_threes
from bitpim_kernels.match_tile import BLOCK_WORDS, MATCH_WORDS
from tests.naive import cam as naive
from tests.naive.cam import ANY, NEVER, ONE, ZERO, Cell

Form = Callable[[Any], Callable[..., Any]]
Ints = npt.NDArray[np.int64]
Words = npt.NDArray[np.uint64]
Rows = Sequence[Sequence[Cell]]
JITTED: Form = lambda kernel: kernel  # noqa: E731
BLOCK = 64 * BLOCK_WORDS


def packed(numbers: Sequence[int], n_bits: int) -> Words:
    """Each number as words, least significant first."""
    words = [[(x >> low) & ((1 << 64) - 1) for low in range(0, n_bits, 64)] for x in numbers]
    return np.array(words, np.uint64).reshape(len(numbers), -(-n_bits // 64))


class Memory:
    """A memory, some queries, and what the naive search says of them."""

    def __init__(self, rows: Rows, queries: Sequence[int], care: Sequence[int]) -> None:
        self.n_rows, self.n_bits, self.n_queries = len(rows), len(rows[0]), len(queries)
        self.rows, self.numbers, self.care = rows, queries, care
        lanes = [
            [sum(row[k][b] << r for r, row in enumerate(rows)) for k in range(self.n_bits)]
            for b in range(2)
        ]
        miss = np.stack([packed(planes, self.n_rows) for planes in lanes])
        self.inputs = (miss, packed(queries, self.n_bits), packed(care, self.n_bits), self.n_rows)

    def totals(self, weights: Sequence[int] | None = None) -> list[list[int]]:
        asked = zip(self.numbers, self.care, strict=True)
        return [naive.distances(self.rows, q, care, weights) for q, care in asked]

    def lines(self, search: Callable[..., Any], *more: Ints) -> list[list[int]]:
        """Rows that a search lights; none may be lit in the padding."""
        out = np.full((self.n_queries, -(-self.n_rows // 64)), 0xF0F0, np.uint64)
        search(*self.inputs, *more, out)
        lit = np.unpackbits(out.view(np.uint8), axis=1, bitorder="little")
        return [np.flatnonzero(row).tolist() for row in lit]

    def near(self, form: Form, limit: int, weights: Sequence[int] | None = None) -> list[list[int]]:
        limits = np.full(self.n_queries, limit)
        return self.lines(form(match.within), self.weights(weights), limits)

    def weights(self, weights: Sequence[int] | None) -> Ints:
        return np.ones(self.n_bits, np.int64) if weights is None else np.array(weights, np.int64)

    def best(
        self, form: Form, k: int, weights: Sequence[int] | None = None
    ) -> list[list[tuple[int, int]]]:
        rows, totals = np.full((2, self.n_queries, k), -7)
        form(match.best_rows)(*self.inputs, self.weights(weights), rows, totals)
        pairs = zip(totals.tolist(), rows.tolist(), strict=True)
        return [list(zip(*pair, strict=True)) for pair in pairs]

    def check_matches(self, form: Form) -> None:
        matching = [[r for r, d in enumerate(row) if d == 0] for row in self.totals()]
        first, count = np.full((2, self.n_queries), -7)
        form(match.first_matches)(*self.inputs, first, count)
        assert first.tolist() == [(rows or [-1])[0] for rows in matching]
        assert count.tolist() == [len(rows) for rows in matching]
        assert self.lines(form(match.match_lines)) == matching

    def check_within(self, form: Form, *limits: int) -> None:
        totals = self.totals()
        for limit in limits:
            expected = [[r for r, d in enumerate(row) if d <= limit] for row in totals]
            assert self.near(form, limit) == expected

    def check_best(self, form: Form, *counts: int) -> None:
        totals = self.totals()
        for k in counts:
            expected = [naive.best(row, k) for row in totals]
            assert self.best(form, k) == expected

    def check_weighted(self, form: Form, weights: Sequence[int], *counts: int) -> None:
        totals = self.totals(weights)
        for k in counts:
            expected = [naive.best(row, k) for row in totals]
            assert self.best(form, k, weights) == expected
        limits = np.array([sorted(row)[i % len(row)] - i % 2 for i, row in enumerate(totals)])
        found = self.lines(form(match.within), self.weights(weights), limits)
        pairs = zip(totals, limits.tolist(), strict=True)
        assert found == [[r for r, d in enumerate(row) if d <= limit] for row, limit in pairs]


def drawn(rng: random.Random, n_rows: int, n_bits: int, n_queries: int, faults: float) -> Memory:
    """Rows, queries that are rows but for a few bits, and cares that are mostly whole."""

    def cell(bit: int) -> Cell:
        return rng.choice([ANY, NEVER]) if rng.random() < faults else (ZERO, ONE)[bit]

    words = [rng.getrandbits(n_bits) for _ in range(n_rows)]
    rows = [[cell((word >> k) & 1) for k in range(n_bits)] for word in words]
    queries, care = [], []
    for i in range(n_queries):
        flips = sum(1 << rng.randrange(n_bits) for _ in range(i % 4))
        queries.append((rng.choice(words) ^ flips) % (1 << n_bits))
        whole = (1 << n_bits) - 1
        care.append(whole if i % 2 else rng.getrandbits(n_bits) | rng.getrandbits(n_bits))
    return Memory(rows, queries, care)


def test_a_memory_of_four_rows(form: Form) -> None:
    """Rows 01X, 011, 110, and 01X with its last cell stuck at mismatch; queries 011 and 11X."""
    rows = [[ANY, ONE, ZERO], [ONE, ONE, ZERO], [ZERO, ONE, ONE], [NEVER, ONE, ZERO]]
    memory = Memory(rows, [0b011, 0b110], [0b111, 0b110])
    first, count = np.zeros((2, 2), np.int64)
    form(match.first_matches)(*memory.inputs, first, count)
    assert (first.tolist(), count.tolist()) == ([0, 2], [2, 1])
    assert memory.lines(form(match.match_lines)) == [[0, 1], [2]]
    assert memory.near(form, 1) == [[0, 1, 3], [0, 1, 2, 3]]
    best = memory.best(form, 3)
    assert best == [[(0, 0), (0, 1), (1, 3)], [(0, 2), (1, 0), (1, 1)]]
    weighted = memory.best(form, 4, [7, 1, 3])
    assert weighted == [[(0, 0), (0, 1), (7, 3), (10, 2)], [(0, 2), (3, 0), (3, 1), (3, 3)]]


@pytest.mark.parametrize("n_rows", [1, 2])
def test_every_memory_of_two_bits(n_rows: int) -> None:
    cells = [ZERO, ONE, ANY, NEVER]
    asked = [(q, care) for q in range(4) for care in range(4)]
    queries, care = zip(*asked, strict=True)
    for rows in product(product(cells, repeat=2), repeat=n_rows):
        memory = Memory(rows, queries, care)
        memory.check_matches(JITTED)
        memory.check_within(JITTED, -1, 0, 1, 2, 3)
        memory.check_best(JITTED, n_rows)
        memory.check_weighted(JITTED, [5, 2], n_rows)


def test_every_query_of_8_bits(form: Form) -> None:
    rows = drawn(random.Random(3), 70, 8, 1, 0.1).rows
    queries = range(256)
    memory = Memory(rows, queries, [255 - (q >> 5) for q in queries])
    memory.check_matches(form)
    memory.check_within(form, 2)
    memory.check_best(form, 3)


@pytest.mark.parametrize("n_rows", [1, 63, 64, 65, 1000])
@pytest.mark.parametrize("n_bits", [1, 63, 64, 65])
def test_rows_and_bits_where_words_end(n_rows: int, n_bits: int) -> None:
    for faults in (0, 0.05):
        memory = drawn(random.Random(n_rows + n_bits), n_rows, n_bits, 5, faults)
        memory.check_matches(JITTED)
        memory.check_within(JITTED, 0, 1, n_bits // 2, n_bits, n_bits + 9)
        memory.check_best(JITTED, 1, min(5, n_rows), n_rows)
        weights = [k % 3 for k in range(n_bits)]
        memory.check_weighted(JITTED, weights, 1, min(5, n_rows))


@pytest.mark.parametrize("n_bits", [15, 16, 17, 47, 48, 49, 250, 256, 1000])
def test_widths_where_planes_and_groups_end(n_bits: int) -> None:
    whole = (1 << n_bits) - 1
    rows = [[ZERO] * n_bits, [NEVER] * n_bits, [ANY] * n_bits, [ONE] * n_bits]
    memory = Memory(rows, [whole, 0, whole >> 1, 5], [whole, whole, whole, whole - 2])
    memory.check_matches(JITTED)
    memory.check_within(JITTED, 0, n_bits - 1, n_bits)
    memory.check_best(JITTED, 1, 4)
    drawn(random.Random(n_bits), 20, n_bits, 6, 0.02).check_best(JITTED, 2, 20)


@pytest.mark.parametrize("n_rows", [BLOCK - 1, BLOCK, BLOCK + 1, 2 * BLOCK + 70])
def test_rows_where_blocks_end(n_rows: int) -> None:
    memory = drawn(random.Random(n_rows), n_rows, 20, 12, 0.01)
    memory.check_within(JITTED, 4)
    memory.check_best(JITTED, 1, 7, n_rows)


@pytest.mark.parametrize("more", [-1, 0, 1, 70])
def test_matches_where_blocks_end(more: int) -> None:
    """Few queries read whole blocks where they lie, many from a copy."""
    n_rows = 64 * MATCH_WORDS + more
    for n_queries in (3, 40):
        drawn(random.Random(more), n_rows, 13, n_queries, 0.01).check_matches(JITTED)


def test_all_kernels_in_python(in_python: Callable[..., None]) -> None:
    """No compiled code at all: the loops that stand for the vector forms too."""
    in_python(match, match_heap, match_threes)
    assert isinstance(match.best_rows, FunctionType)
    memory = drawn(random.Random(8), BLOCK + 3, 23, 10, 0.1)
    memory.check_matches(JITTED)
    memory.check_within(JITTED, 2)
    memory.check_best(JITTED, 4)
    memory.check_weighted(JITTED, [1, 2, 0, 4, 300, 8, 1, 0, 5, *[3] * 14], 4)


@pytest.mark.parametrize("cell", [ZERO, ANY, NEVER])
def test_where_all_rows_are_equal_the_lowest_win(cell: Cell, form: Form) -> None:
    n_rows = 2 * BLOCK + 5
    memory = Memory([[cell] * 3] * n_rows, [0b000, 0b101], [0b111, 0b111])
    best = memory.best(form, 9)
    distance = {ZERO: 2, ANY: 0, NEVER: 3}[cell]
    assert best[1] == [(distance, r) for r in range(9)]
    memory.check_matches(form)
    memory.check_best(form, 1, n_rows)


def test_later_rows_replace_worse_ones_and_lose_ties(form: Form) -> None:
    """Distances fall from block to block; each is there twice."""
    n_rows, n_bits = 3 * BLOCK, 6
    ones = [5 - 2 * (r // BLOCK) + (r % BLOCK not in (100, 300)) for r in range(n_rows)]
    memory = Memory([[ONE] * n + [ZERO] * (n_bits - n) for n in ones], [0], [63])
    assert memory.best(form, 3) == [[(1, 2 * BLOCK + 100), (1, 2 * BLOCK + 300), (2, 2 * BLOCK)]]


def test_a_query_that_drives_nothing_matches_all(form: Form) -> None:
    memory = Memory([[NEVER] * 70] * 66, [(1 << 70) - 1], [0])
    memory.check_matches(form)
    memory.check_within(form, 0)
    memory.check_best(form, 66)


@pytest.mark.parametrize(
    "weights",
    [
        [0] * 40,
        [1 << 61, *[1] * 37, 1 << 60, 1 << 60],  # 2^62 + 37
        [1 << 62, *[0] * 39],
        [3 * k * k for k in range(40)],
        [(1 << 61) - 1, *[(1 << 54) - k for k in range(39)]],
    ],
)
def test_weights_of_all_sizes(weights: list[int]) -> None:
    memory = drawn(random.Random(5), 90, 40, 6, 0.05)
    memory.check_weighted(JITTED, weights, 1, 10, 90)
    flat = Memory([[NEVER] * 40, [ANY] * 40], [0, (1 << 40) - 1], [(1 << 40) - 1] * 2)
    assert flat.best(JITTED, 2, weights)[1][-1][0] == sum(weights)


def test_weights_of_powers_of_two_make_xor() -> None:
    rng = random.Random(6)
    values, queries = ([rng.getrandbits(62) for _ in range(30)] for _ in range(2))
    rows = [[(ZERO, ONE)[(v >> k) & 1] for k in range(62)] for v in values]
    memory = Memory(rows, queries, [(1 << 62) - 1] * 30)
    best = memory.best(JITTED, 1, [1 << k for k in range(62)])
    assert best == [[naive.nearest(values, q, xor=True)] for q in queries]


def test_more_queries_than_pass_a_block_together() -> None:
    """Queries in any parts give what they give together, and a part of one what it gives alone."""
    n, n_bits = 5000, 130
    assert n * n_bits > match._LISTED
    assert n * (n_bits // 3) > match_threes._LISTED
    rng = np.random.default_rng(4)
    stored = rng.integers(0, 2, (n_bits, 600))
    asked = stored.T[rng.integers(0, 600, n)] ^ (rng.random((n, n_bits)) < 0.01)
    distances = (asked[:, None, :] != stored.T[None, ::50, :]).sum(2)
    bits = np.packbits(stored, axis=1, bitorder="little")
    miss = np.zeros((2, n_bits, 10, 8), np.uint8)
    miss[0].reshape(n_bits, 80)[:, :75] = bits
    miss[1].reshape(n_bits, 80)[:, :75] = ~bits
    queries = np.zeros((n, 24), np.uint8)
    queries[:, :17] = np.packbits(asked, axis=1, bitorder="little")
    words, lines = queries.view(np.uint64), miss.view(np.uint64)[..., 0]
    care = np.full_like(words, 2**64 - 1)
    first, count, rows, found = np.zeros((4, n, 1), np.int64)
    match.first_matches(lines, words, care, 600, first[:, 0], count[:, 0])
    ones = np.ones(n_bits, np.int64)
    match.best_rows(lines, words, care, 600, ones, rows, found)
    assert (found[:, 0] <= distances.min(1)).all()
    assert np.array_equal(found, (asked != stored.T[rows[:, 0]]).sum(1, keepdims=True))
    assert np.array_equal(first[:, 0] >= 0, found[:, 0] == 0)
    assert np.array_equal(first[found == 0], rows[found == 0])
    for part in (slice(0, 1), slice(4990, 5000), slice(7, 77)):
        again = np.zeros((4, part.stop - part.start, 1), np.int64)
        match.first_matches(lines, words[part], care[part], 600, again[0, :, 0], again[1, :, 0])
        match.best_rows(lines, words[part], care[part], 600, ones, again[2], again[3])
        assert np.array_equal(again, [first[part], count[part], rows[part], found[part]])


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    n_rows=st.integers(1, 200),
    n_bits=st.integers(1, 150),
    faults=st.sampled_from([0, 0.02, 0.5]),
    limit=st.integers(-1, 151),
    k=st.integers(1, 200),
)
def test_searches_equal_naive_ones(
    seed: int, n_rows: int, n_bits: int, faults: float, limit: int, k: int
) -> None:
    rng = random.Random(seed)
    memory = drawn(rng, n_rows, n_bits, 4, faults)
    memory.check_matches(JITTED)
    memory.check_within(JITTED, limit)
    memory.check_best(JITTED, min(k, n_rows))
    memory.check_weighted(
        JITTED, [rng.randrange(1 << rng.randrange(20)) for _ in range(n_bits)], min(k, n_rows)
    )
