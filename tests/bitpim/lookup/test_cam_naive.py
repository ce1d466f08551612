"""Every search, with its counts, equals a look through all rows, one by one, on text."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bitpim.lookup.answers import Answers
from bitpim.lookup.cam import Cam
from bitpim.lookup.cells import CellFaults
from bitpim.lookup.searches import SEARCHES, SearchKind
from bitpim.lookup.words import CamWords
from bitpim_kernels.layout import unpack
from tests.naive.cam_searches import NaiveAnswers, NaiveCam

ROWS = (1, 2, 5, 63, 64, 65, 130)
BITS = (1, 2, 3, 8, 13, 63, 64, 65, 130, 250)


def need_equal(found: Answers, naive: NaiveAnswers) -> None:
    record = SEARCHES[found.kind]
    assert found.rows.tolist() == naive.rows
    assert found.rows.dtype == np.int64
    assert (found.distances is not None) == record.has_distances
    if found.distances is not None:
        assert found.distances.tolist() == naive.distances
    listed = found.options.get("every", found.options["ties"] == "all")
    assert listed == (found.offsets is not None) == (found.matches is not None)
    if listed:
        lists = [found.matches_of(i).tolist() for i in range(len(found))]
        assert lists == naive.lists
    if listed or not record.has_winner:
        assert found.n_matches.tolist() == [len(rows) for rows in naive.lists]
    else:
        assert found.n_matches.tolist() == [len(rows) for rows in naive.rows]
    assert found.counts.to_dict() == {e: n for e, n in naive.counts.items() if n}


def some_words(
    rng: np.random.Generator, n: int, n_bits: int, n_apart: int, dont_cares: bool
) -> list[str]:
    """Words that are alike, so that some match and some tie."""
    pool = rng.integers(0, 2, (n_apart, n_bits))
    words = pool[rng.integers(0, n_apart, n)]
    words ^= rng.random((n, n_bits)) < rng.choice([0, 0.02, 0.3])
    idle = rng.random((n, n_bits)) < (rng.choice([0, 0.1, 0.9]) if dont_cares else 0)
    letters = np.where(idle, "X", np.where(words == 1, "1", "0"))
    return ["".join(word) for word in letters]


def some_options(
    rng: np.random.Generator, kind: SearchKind, n_rows: int, n_bits: int
) -> dict[str, Any]:
    drawn: dict[str, Any] = {
        "k": int(rng.integers(1, min(n_rows, 7) + 1)),
        "limit": int(rng.choice([0, 1, 3, n_bits // 2, n_bits + 5])),
        "weights": rng.integers(0, 4, n_bits).tolist(),
        "mode": str(rng.choice(["abs", "wxor", "staged"])),
        "signed": bool(rng.integers(2)),
        "top_bits": int(rng.integers(1, n_bits + 1)),
        "ties": str(rng.choice(kind.choices("ties"))),
        "every": bool(rng.integers(2)),
    }
    optional = [name for name in kind.optional if name in drawn and rng.integers(2)]
    options = {name: drawn[name] for name in (*kind.required, *optional) if name in drawn}
    if options.get("ties") == "all":
        options.pop("k", None)
    if options.get("mode") == "staged":
        options["stage_bits"] = int(rng.integers(1, options.get("top_bits", n_bits) + 1))
    return options


def with_faults(rows: list[str], faults: CellFaults) -> list[str]:
    match = unpack(faults.stuck_match, faults.n_bits)[:, ::-1]
    mismatch = unpack(faults.stuck_mismatch, faults.n_bits)[:, ::-1]
    return [
        "".join("m" if m else "f" if f else c for c, m, f in zip(row, ms, fs, strict=True))
        for row, ms, fs in zip(rows, match, mismatch, strict=True)
    ]


@pytest.mark.parametrize("name", SEARCHES)
@given(st.integers(0, 2**32), st.sampled_from(ROWS), st.sampled_from(BITS))
@settings(max_examples=25, deadline=None)
def test_searches_equal_the_naive_ones(name: str, seed: int, n_rows: int, n_bits: int) -> None:
    rng, kind = np.random.default_rng(seed), SEARCHES[name]
    n_bits = min(n_bits, kind.max_bits or n_bits)
    if name == "range":  # the naive one looks at all rows for each of many prefixes
        n_rows = min(n_rows, 5 if n_bits > 13 else 65)
    rows = some_words(rng, n_rows, n_bits, 3, kind.stored_dont_cares)
    faults, cells = None, rows
    if rng.integers(2) and name != "nearest":
        rates = [float(rng.choice([0, 0.02, 0.3])) for _ in range(2)]
        faults = CellFaults.draw(
            n_rows, n_bits, stuck_match=rates[0], stuck_mismatch=rates[1], seed=seed
        )
        cells = with_faults(rows, faults)
    cam = Cam(CamWords.from_text(rows), faults=faults, n_threads=int(rng.integers(1, 3)))
    naive = NaiveCam(cells)
    for _ in range(2):  # search lines stay as the first search left them
        n = int(rng.integers(1, 9))
        pool = [*some_words(rng, n, n_bits, 2, kind.query_dont_cares), *rows[:3]]
        if not kind.query_dont_cares:
            pool = [word for word in pool if "X" not in word]
        queries = [str(word) for word in rng.choice(pool, n)]
        options = some_options(rng, kind, n_rows, n_bits)
        high: list[str] = []
        if name == "range":
            others = [str(word) for word in rng.choice(pool, n)]
            pairs = [sorted(pair) for pair in zip(queries, others, strict=True)]
            queries, high = [pair[0] for pair in pairs], [pair[1] for pair in pairs]
            options["high"] = CamWords.from_text(high)
        found = cam.search(CamWords.from_text(queries), name, **options)
        options.pop("high", None)
        need_equal(found, naive.search(queries, name, high, **options))


@given(st.integers(0, 2**32), st.sampled_from(ROWS), st.sampled_from((1, 5, 16, 62)))
@settings(max_examples=20, deadline=None)
def test_xor_with_faulty_cells_is_what_the_match_lines_weigh(
    seed: int, n_rows: int, n_bits: int
) -> None:
    rng = np.random.default_rng(seed)
    rows = some_words(rng, n_rows, n_bits, 3, dont_cares=False)
    faults = CellFaults.draw(n_rows, n_bits, stuck_match=0.1, stuck_mismatch=0.1, seed=seed)
    options = some_options(rng, SEARCHES["nearest"], n_rows, n_bits)
    options = {**options, "mode": "wxor"}
    options.pop("stage_bits", None)
    queries = some_words(rng, 6, n_bits, 3, dont_cares=False)
    found = Cam(CamWords.from_text(rows), faults=faults).search(
        CamWords.from_text(queries), "nearest", **options
    )
    naive = NaiveCam(with_faults(rows, faults)).search(queries, "nearest", **options)
    need_equal(found, naive)


SMALL: dict[str, list[dict[str, Any]]] = {
    "exact": [{"every": True}, {"ties": "highest"}],
    "ternary": [{"every": True}, {}],
    "prefix": [{"top_bits": m, "every": True} for m in (1, 5, 8)],
    "threshold": [{"limit": 0}, {"limit": 2, "every": True}, {"limit": 1, "top_bits": 4}],
    "best": [{"k": 3}, {"ties": "all"}, {"ties": "highest", "top_bits": 3}],
    "weighted": [{"weights": [1 << k for k in range(8)], "k": 2}, {"weights": [3, 0] * 4}],
    "nearest": [
        *({"mode": mode, "signed": s} for mode in ("abs", "wxor") for s in (False, True)),
        *({"mode": "abs", "signed": True, "top_bits": m} for m in (1, 4, 7)),
        {"mode": "abs", "ties": "all"},
        *({"mode": "staged", "stage_bits": b, "ties": "all"} for b in (1, 3, 4, 8)),
    ],
}


@pytest.mark.parametrize("name", SMALL)
def test_all_queries_of_eight_bits(name: str) -> None:
    """In the order of their bits, so that every query follows another one that differs."""
    queries = [f"{code * 37 % 256:08b}" for code in range(256)]
    rng = np.random.default_rng(5)
    rows = [f"{code:08b}" for code in (0, 255, 128, 127, 64, 200, 64)]
    if SEARCHES[name].stored_dont_cares:
        rows += [*some_words(rng, 4, 8, 4, dont_cares=True), "X" * 8]
    cam, naive = Cam(CamWords.from_text(rows)), NaiveCam(rows)
    for options in SMALL[name]:
        found = cam.search(CamWords.from_text(queries), name, **options)
        need_equal(found, naive.search(queries, name, **options))


def test_all_intervals_of_four_bits() -> None:
    rows = [f"{code:04b}" for code in (3, 15, 0, 8, 3, 7, 12)]
    low, high = np.triu_indices(16)
    cam, naive = Cam(CamWords.from_text(rows)), NaiveCam(rows)
    ends = (CamWords.from_codes(low, 4), CamWords.from_codes(high, 4))
    for every in (True, False):
        found = cam.search(ends[0], "range", high=ends[1], every=every)
        texts = (ends[0].to_text(), ends[1].to_text())
        need_equal(found, naive.search(texts[0], "range", texts[1], every=every))
        codes = np.array([3, 15, 0, 8, 3, 7, 12])
        within = (codes >= low[:, None]) & (codes <= high[:, None])
        assert found.n_matches.tolist() == within.sum(axis=1).tolist()
