"""Speed of searches of a content-addressable memory, one thread unless said.

Best matches run against FAISS, the fastest search by Hamming distance there is on a CPU; matches
against a loop of NumPy over the queries, on packed words; the nearest number against
`np.searchsorted` on the numbers half way between the stored ones.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pytest

from bitpim.threads import share_out
from bitpim_kernels.layout import pack
from bitpim_kernels.match import best_rows, first_matches
from bitpim_kernels.nearest import breaks_of, nearest_abs

Ratio = Callable[[str, Callable[[], object], Callable[[], object]], float]
Bytes = npt.NDArray[np.uint8]
Ints = npt.NDArray[np.int64]
Words = npt.NDArray[np.uint64]

N_ROWS = N_QUERIES = 10_000
SUM_OF_BEST = 973_361  # of 256 bits, from FAISS
CASES = [(256, 1), (256, 5), (250, 1), (250, 5)]

MATCH_ROWS = 1_000_000
MATCH_QUERIES = 1_000  # of 10,000: NumPy takes each alone, we would gain from more


class Binary(NamedTuple):
    """Random rows and queries: as bytes, and as the memory takes them."""

    row_bytes: Bytes
    query_bytes: Bytes
    miss: Words
    queries: Words
    care: Words
    weights: Ints

    def best(self, k: int, n_threads: int = 1) -> tuple[Ints, Ints]:
        """Return the k best rows of each query, and their distances."""
        rows, distances = np.empty((2, len(self.queries), k), np.int64)

        def part(start: int, stop: int) -> None:
            some = slice(start, stop)
            asked = self.queries[some], self.care[some]
            best_rows(self.miss, *asked, N_ROWS, self.weights, rows[some], distances[some])

        share_out(len(self.queries), part, n_threads)
        return rows, distances


def miss_of(bits: Bytes, care: Bytes | int = 1) -> Words:
    """Return the cells that discharge on a 0 and on a 1; rows are the last axis."""
    return np.stack([pack(bits & care), pack((1 - bits) & care)])


def binary(n_bits: int) -> Binary:
    """Return the same rows and queries each time, cut to some bits."""
    rng = np.random.default_rng(7)
    rows, queries = (rng.integers(0, 256, (n, 32), np.uint8) for n in (N_ROWS, N_QUERIES))
    kept = np.packbits(np.arange(256) < n_bits, bitorder="little")
    bits = np.unpackbits(rows, axis=1, count=n_bits, bitorder="little").T
    words = np.ascontiguousarray(queries & kept).view(np.uint64)
    care = np.tile(kept.view(np.uint64), (N_QUERIES, 1))
    ones = np.ones(n_bits, np.int64)
    return Binary(rows & kept, queries & kept, miss_of(bits), words, care, ones)


@pytest.fixture
def faiss() -> Any:
    """FAISS, on one thread."""
    module = pytest.importorskip("faiss", reason="needs faiss-cpu: pip install bitpim[bench]")
    module.omp_set_num_threads(1)
    return module


@pytest.mark.parametrize(("n_bits", "k"), CASES)
def test_best_over_faiss(n_bits: int, k: int, ratio: Ratio, faiss: Any) -> None:
    """Find the k best of all rows, which are the same but where distances are."""
    memory = binary(n_bits)
    index = faiss.IndexBinaryFlat(256)
    index.add(memory.row_bytes)
    rows, distances = memory.best(k)
    assert np.array_equal(distances, index.search(memory.query_bytes, k)[0])
    picked = memory.row_bytes[rows] ^ memory.query_bytes[:, None]
    assert np.array_equal(distances, np.bitwise_count(picked).sum(2))
    assert n_bits < 256 or distances[:, 0].sum() == SUM_OF_BEST
    ratio(
        f"cam_best_over_faiss:{n_bits} bits, k = {k}",
        lambda: memory.best(k),
        lambda: index.search(memory.query_bytes, k),
    )


@pytest.mark.parametrize(("n_bits", "k"), [CASES[0], CASES[-1]])
def test_two_threads_over_one(n_bits: int, k: int, ratio: Ratio) -> None:
    memory = binary(n_bits)
    assert all(map(np.array_equal, memory.best(k), memory.best(k, 2)))
    case = f"cam_two_threads:{n_bits} bits, k = {k}"
    ratio(case, lambda: memory.best(k, 2), lambda: memory.best(k, 1))


class Ternary:
    """Words of 64 bits with what they care for; half of the queries are stored."""

    def __init__(self, ternary: bool) -> None:
        rng = np.random.default_rng(0)
        drawn = rng.integers(0, 2**64, (3, MATCH_ROWS), np.uint64)
        self.words = drawn[0]
        self.care = ~(drawn[1] & drawn[2]) if ternary else np.full_like(drawn[0], 2**64 - 1)
        self.queries = rng.integers(0, 2**64, MATCH_QUERIES, np.uint64)
        self.queries[::2] = rng.choice(self.words, MATCH_QUERIES // 2)
        # a bit at a time: 64 million bits as bytes are no small memory
        self.miss = np.empty((2, 64, MATCH_ROWS // 64), np.uint64)
        for k in range(64):
            bits, cared = (
                ((words >> np.uint64(k)) & np.uint64(1)).astype(np.uint8)
                for words in (self.words, self.care)
            )
            self.miss[:, k] = miss_of(bits, cared)
        self.scratch, self.verdicts = np.empty_like(self.words), np.empty(MATCH_ROWS, bool)

    def ours(self) -> list[tuple[int, int]]:
        """Return the first row that matches each query, and how many do."""
        first, count = np.empty((2, MATCH_QUERIES), np.int64)
        asked = self.queries[:, None]
        first_matches(self.miss, asked, np.full_like(asked, 2**64 - 1), MATCH_ROWS, first, count)
        return list(zip(first.tolist(), count.tolist(), strict=True))

    def found(self) -> tuple[int, int]:
        n = int(np.count_nonzero(self.verdicts))
        return int(self.verdicts.argmax()) if n else -1, n

    def by_numpy(self) -> list[tuple[int, int]]:
        """Do the same a query at a time, in arrays made once."""
        pairs = []
        for q in self.queries:
            np.bitwise_xor(self.words, q, out=self.scratch)
            np.bitwise_and(self.scratch, self.care, out=self.scratch)
            np.equal(self.scratch, 0, out=self.verdicts)
            pairs.append(self.found())
        return pairs

    def by_equality(self) -> list[tuple[int, int]]:
        """Do the same for words that care for every bit."""
        pairs = []
        for q in self.queries:
            np.equal(self.words, q, out=self.verdicts)
            pairs.append(self.found())
        return pairs


@pytest.mark.parametrize("kind", ["exact", "ternary"])
def test_match_over_numpy(kind: str, ratio: Ratio) -> None:
    memory = Ternary(kind == "ternary")
    assert memory.ours() == memory.by_numpy()
    ratio(f"cam_match_over_numpy:{kind}", memory.ours, memory.by_numpy)


def test_match_over_equality(ratio: Ratio) -> None:
    """What NumPy does in one pass where all bits count."""
    memory = Ternary(ternary=False)
    assert memory.ours() == memory.by_equality()
    ratio("cam_match_over_numpy:exact, over rows == query", memory.ours, memory.by_equality)


def test_nearest_over_searchsorted(ratio: Ratio) -> None:
    """The twin finds rows only; we write the distances too."""
    rng = np.random.default_rng(0)
    values = np.sort(rng.choice(1 << 16, 64, replace=False)).astype(np.uint64)
    narrow = rng.integers(0, 1 << 16, 10_000_000, np.uint16)
    queries = narrow.astype(np.uint64)
    table = breaks_of(values)
    middles = table.starts[1:].astype(np.uint16)
    rows, distances = np.empty(len(queries), np.int64), np.empty(len(queries), np.uint64)

    def twin() -> Ints:
        return np.searchsorted(middles, narrow, side="right")

    nearest_abs(table, queries, rows, distances)
    assert np.array_equal(rows, twin())
    assert np.array_equal(distances, np.abs(narrow - values.astype(np.int64)[rows]))
    case = "cam_nearest_over_searchsorted"
    ratio(case, lambda: nearest_abs(table, queries, rows, distances), twin)
