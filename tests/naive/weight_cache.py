"""A cache of weight lines, line by line, in lists of Python integers."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

NAMES = (
    "accesses", "hits", "misses", "cold_misses", "evictions", "bypasses", "bytes_fetched",
    "raw_bytes_fetched", "bursts",
)  # fmt: skip


@dataclass
class Line:
    """A line of weights."""

    layer: int
    cluster: int
    n_bytes: int
    raw_bytes: int
    bursts: int
    content: int


def stream(lines: Sequence[Line], k: int) -> Iterator[int]:
    """Yield the lines that iteration k reads: all of the first k clusters."""
    for n, line in enumerate(lines):
        if line.cluster < k:
            yield n


@dataclass
class NaiveCache:
    """Sets are lists of lines, the one used last at the end."""

    lines: Sequence[Line]
    n_sets: int
    n_segments: int
    n_tags: int
    segment_bytes: int  # 0: a line is one segment
    pinned_clusters: int = 0
    deduplicate: bool = False
    sets: dict[int, list[int]] = field(default_factory=dict)
    known: set[int] = field(default_factory=set)

    def alike(self, n: int) -> list[int]:
        """Return all lines that are one with line n."""
        if not self.deduplicate:
            return [n]
        return [m for m, line in enumerate(self.lines) if line.content == self.lines[n].content]

    def segments(self, n: int) -> int:
        """Return the segments that line n takes."""
        return -(-self.lines[n].n_bytes // self.segment_bytes) if self.segment_bytes else 1

    def stays(self, n: int) -> bool:
        """Return whether a line, or one like it, is pinned."""
        return any(self.lines[m].cluster < self.pinned_clusters for m in self.alike(n))

    def fits(self, held: Sequence[int], n: int) -> bool:
        """Return whether a set that holds some lines has room for line n."""
        taken = sum(self.segments(m) for m in held) + self.segments(n)
        return taken <= self.n_segments and len(held) + 1 <= self.n_tags

    def read(self, n: int) -> dict[str, int]:
        """Read line n; return what that counts."""
        line, place = self.lines[n], self.alike(n)[0]
        held = self.sets.setdefault(place % self.n_sets, [])
        found = dict.fromkeys(NAMES, 0)
        found["accesses"] = 1
        if place in held:
            held.remove(place)
            held.append(place)
            found["hits"] = 1
            return found
        found["misses"] = 1
        found["cold_misses"] = int(place not in self.known)
        self.known.add(place)
        found["bytes_fetched"] = line.n_bytes
        found["raw_bytes_fetched"] = line.raw_bytes
        found["bursts"] = line.bursts
        if not self.fits([m for m in held if self.stays(m)], place):
            found["bypasses"] = 1
            return found
        while not self.fits(held, place):
            held.remove(next(m for m in held if not self.stays(m)))
            found["evictions"] += 1
        held.append(place)
        return found


Table = dict[tuple[int, int], dict[str, int]]


def run(cache: NaiveCache, n_iterations: int) -> list[Table]:
    """Return what each iteration of an input counts, by layer and cluster."""
    tables: list[Table] = []
    for k in range(1, n_iterations + 1):
        table: Table = {}
        for n in stream(cache.lines, k):
            portion = (cache.lines[n].layer, cache.lines[n].cluster)
            counts = table.setdefault(portion, dict.fromkeys(NAMES, 0))
            for name, value in cache.read(n).items():
                counts[name] += value
        tables.append(table)
    return tables
