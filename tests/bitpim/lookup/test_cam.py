"""The array `cam` as its user meets it: what is counted, listed, printed, and what stays."""

import contextlib
import json
import resource
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

import bitpim
from bitpim.counts import Counts
from bitpim.errors import ConfigError, LayoutError, OutOfMemoryError
from bitpim.lookup import lines, search_run, winners
from bitpim.lookup.answer_files import write_answers
from bitpim.lookup.answers import Answers
from bitpim.lookup.cam import Cam
from bitpim.lookup.cells import CellFaults
from bitpim.lookup.searches import SEARCHES
from bitpim.lookup.words import CamWords
from bitpim_kernels.match import best_rows, first_matches, match_lines, within

FOUR = CamWords.from_text(["1010", "1000", "1010", "0111"])

NEEDED: dict[str, dict[str, Any]] = {
    "prefix": {"top_bits": 2},
    "threshold": {"limit": 1},
    "weighted": {"weights": [1, 2, 4, 8]},
}


def needed(kind: str, high: CamWords) -> dict[str, Any]:
    return {"high": high} if kind == "range" else NEEDED.get(kind, {})


@contextlib.contextmanager
def limited_memory(n_bytes: int) -> Iterator[None]:
    """Let this process take so many bytes more, and no more."""
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (used + n_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


def same(one: Answers, other: Answers) -> bool:
    return one.to_dict() == other.to_dict()


def test_a_search_worked_by_hand() -> None:
    """Rows 0 and 2 are the query. Two lines fall at once; the second query turns two columns."""
    cam = Cam(FOUR)
    found = cam.search(CamWords.from_text(["1010", "1001"]), "exact", every=True)
    assert found.rows.tolist() == [[0], [-1]]
    assert found.matches_of(0).tolist() == [0, 2] and found.matches_of(1).tolist() == []
    assert found.offsets is not None and found.offsets.tolist() == [0, 2, 2]
    assert found.n_matches.tolist() == [2, 0] and found.n_matched == 1
    assert str(found).splitlines()[:2] == [
        "exact: 2 queries, 4 rows of 4 bits", "matched     1 of 2, 2 rows in all",
    ]  # fmt: skip
    assert found.counts == Counts(
        cam_search=2, cam_stage=2, cam_row=8, cam_survivor=2, cam_discharge=6, cam_toggle=2
    )


def test_stages_worked_by_hand() -> None:
    """0110 in chunks of two: 01 is one from 10 and from 00 twice, and itself nowhere.

    So all three rows stand after the first stage, in which all fall. Then 10 is two from 00, one
    from 01, two from 00: row 1 stands, and again all fall.
    """
    cam = Cam(CamWords.from_text(["1000", "0001", "0000"]))
    staged: dict[str, Any] = {"mode": "staged", "stage_bits": 2}
    found = cam.search(CamWords.from_text(["0110"]), "nearest", **staged)
    assert (found.rows.tolist(), found.n_matches.tolist()) == ([[1]], [1])
    assert found.distances is not None and found.distances.tolist() == [[5]]
    assert found.counts == Counts(
        cam_search=1, cam_stage=2, cam_row=6, cam_survivor=1, cam_discharge=6
    )
    # 0001: chunk 00 is one from 10, which falls; then 01 is row 1 itself, and row 2 falls
    counts = cam.search(CamWords.from_text(["0001"]), "nearest", **staged).counts
    assert counts == Counts(
        cam_search=1, cam_stage=2, cam_row=5, cam_survivor=1, cam_discharge=2, cam_toggle=3
    )


def test_an_interval_worked_by_hand() -> None:
    """3..8 of four bits is 0011, 01XX and 1000: three searches of two rows, seven columns turn.

    From 0011 to 01XX bit 2 turns and two columns fall idle; from there to 1000 all four turn.
    """
    cam = Cam(CamWords.from_text(["0101", "1001"]))
    found = cam.search(CamWords.from_codes([3], 4), "range", high=CamWords.from_codes([8], 4))
    assert (found.rows.tolist(), found.n_matches.tolist()) == ([[0]], [1])
    assert found.counts == Counts(
        cam_search=3, cam_stage=3, cam_row=6, cam_survivor=1, cam_discharge=5, cam_toggle=7
    )


def test_counts_add_up_over_searches_and_looking_counts_nothing() -> None:
    cam = Cam(FOUR)
    assert cam.counts == Counts()
    first = cam.search(FOUR, "ternary", every=True)
    second = cam.search(FOUR[:2], "best", k=2)
    total = first.counts + second.counts
    assert cam.counts == total
    _ = cam.words, cam.n_rows, cam.n_bits, cam.faults, str(first), first.to_dict()
    assert cam.counts == total


def test_search_lines_stay_from_one_search_to_the_next() -> None:
    cam = Cam(FOUR)
    query = CamWords.from_text(["1010"])
    toggles = [
        cam.search(query, "exact").counts["cam_toggle"],
        cam.search(query, "best").counts["cam_toggle"],
        cam.search(query, "prefix", top_bits=1).counts["cam_toggle"],  # three fall idle
        cam.search(query, "weighted", weights=[0, 0, 1, 1]).counts["cam_toggle"],  # one wakes
        cam.search(FOUR[:0], "ternary").counts["cam_toggle"],
        cam.search(CamWords.from_text(["X110"]), "ternary").counts["cam_toggle"],
    ]
    assert toggles == [0, 0, 3, 1, 0, 4]


@pytest.mark.parametrize("kind", SEARCHES)
def test_no_query_has_no_answer_and_counts_nothing(kind: str) -> None:
    cam = Cam(FOUR)
    ties = "all" if SEARCHES[kind].has_winner else "lowest"
    every: dict[str, Any] = {} if SEARCHES[kind].has_winner else {"every": True}
    found = cam.search(FOUR[:0], kind, ties=ties, **every, **needed(kind, FOUR[:0]))
    assert len(found) == 0 and found.rows.shape == (0, 1) and found.n_matched == 0
    assert found.offsets is not None and found.offsets.tolist() == [0]
    assert found.matches is not None and not len(found.matches)
    assert cam.counts == found.counts == Counts()
    assert str(found).splitlines()[-1] == "counts      none"


def test_a_search_that_is_refused_or_interrupted_leaves_all_as_it_was() -> None:
    cam, fresh = Cam(FOUR), Cam(FOUR)

    def interrupt(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        cam.search(FOUR, "exact", on_progress=interrupt)
    with pytest.raises(ConfigError):
        cam.search(FOUR, "range", high=FOUR[::-1])
    assert cam.counts == Counts()
    assert same(cam.search(FOUR, "exact"), fresh.search(FOUR, "exact"))


@pytest.mark.parametrize("kind", SEARCHES)
def test_blocks_and_threads_change_nothing(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(1)
    words = CamWords.from_codes(rng.integers(0, 16, 70), 4)
    high = CamWords.from_codes(np.maximum(words.codes(), np.uint64(9)), 4)
    ties = "all" if SEARCHES[kind].has_winner else "highest"
    options = {"ties": ties, **needed(kind, high)}
    if not SEARCHES[kind].has_winner:
        options["every"] = True
    whole = Cam(words, n_threads=1).search(words, kind, **options)
    monkeypatch.setattr(search_run, "_BLOCK_COMPARES", (1 << 14) * 7)
    monkeypatch.setattr(search_run, "_BLOCK_WORDS", 60)
    monkeypatch.setattr(lines, "_READ_MATCHES", 9)
    monkeypatch.setattr(winners, "_BLOCK_TIED", 9)
    told: list[tuple[int, int]] = []
    cam = Cam(words, n_threads=2)
    parted = cam.search(words, kind, on_progress=lambda *done: told.append(done), **options)
    assert same(whole, parted)
    assert len(told) > 1 and told[-1] == (70, 70) and told == sorted(set(told))


def test_staged_blocks_and_threads_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(2)
    words, queries = (CamWords.from_codes(rng.integers(0, 256, 70), 8) for _ in range(2))
    for ties in ("lowest", "highest", "all"):
        options: dict[str, Any] = {"mode": "staged", "stage_bits": 3, "ties": ties}
        whole = Cam(words, n_threads=1).search(queries, "nearest", **options)
        with monkeypatch.context() as patch:
            patch.setattr(search_run, "_BLOCK_COMPARES", 3000)
            patch.setattr(winners, "_BLOCK_TIED", 150)
            assert same(Cam(words, n_threads=2).search(queries, "nearest", **options), whole)


def test_xor_and_difference_list_rows_a_part_of_the_queries_at_a_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    words = CamWords.from_codes(np.arange(70) % 5, 4)
    for mode in ("abs", "wxor"):
        whole = Cam(words).search(words, "nearest", mode=mode, ties="all")
        for most in (1, 29, 9999):
            monkeypatch.setattr(winners, "_BLOCK_TIED", most)
            assert same(Cam(words).search(words, "nearest", mode=mode, ties="all"), whole)


KERNELS: tuple[Any, ...] = (first_matches, match_lines, within, best_rows)


@pytest.mark.parametrize("kind", SEARCHES)
def test_queries_may_lie_anyhow_in_memory(kind: str) -> None:
    """Strided, or where nothing may be written, as a mapped file is: no kernel is compiled anew."""
    apart = np.zeros((8, 3), np.uint64, order="F")
    apart[::2, 1] = FOUR.codes()
    fixed = FOUR.bits.copy()
    fixed.flags.writeable = False
    expected = Cam(FOUR).search(FOUR, kind, **needed(kind, FOUR))
    known = [kernel.signatures for kernel in KERNELS]
    for bits in (apart[::2, 1:2], fixed):
        queries = CamWords(bits, FOUR.care, 4)
        assert same(Cam(queries).search(queries, kind, **needed(kind, queries)), expected)
    assert [kernel.signatures for kernel in KERNELS] == known


def test_rows_alike_are_listed_in_order_whichever_side_they_are_on() -> None:
    cam = Cam(CamWords.from_text(["0110", "0010", "0110"]))
    found = cam.search(CamWords.from_text(["0100"]), "nearest", ties="all")
    assert (found.matches_of(0).tolist(), found.rows.tolist()) == ([0, 1, 2], [[0]])


@pytest.mark.parametrize("mode", ["abs", "wxor", "staged"])
def test_distances_of_64_bits_are_whole(mode: str) -> None:
    ends = CamWords.from_codes(np.array([0], np.uint64), 64)
    cam = Cam(CamWords.from_codes(np.array([2**64 - 1], np.uint64), 64))
    options: dict[str, Any] = {"mode": mode, **({"stage_bits": 7} if mode == "staged" else {})}
    found = cam.search(ends, "nearest", **options)
    assert found.distances is not None and found.distances.tolist() == [[2**64 - 1]]
    top = cam.search(ends, "nearest", **options, top_bits=63)
    assert top.distances is not None and top.distances.tolist() == [[2**63 - 1]]
    assert found.distances.dtype == np.uint64 and top.distances.dtype == np.int64
    signed = cam.search(ends, "nearest", **options, signed=True).distances
    assert signed is not None and signed.tolist() == [[1 if mode == "abs" else signed[0, 0]]]


def test_numbers_do_not_wrap_where_ties_are_listed() -> None:
    """10 below 5 is no number, nor is 10 above the one whose complement is 5."""
    last = 2**64 - 1
    rows = np.array([15, last - 4, 15, last - 15, 4, last - 15], np.uint64)
    queries = CamWords.from_codes(np.array([5, last - 5], np.uint64), 64)
    cam = Cam(CamWords.from_codes(rows[:3], 64))
    assert cam.search(queries[:1], "nearest", ties="all").matches_of(0).tolist() == [0, 2]
    cam = Cam(CamWords.from_codes(rows[3:], 64))
    assert cam.search(queries[1:], "nearest", ties="all").matches_of(0).tolist() == [0, 2]


def test_weights_may_add_up_to_all_that_fits() -> None:
    weights = [2**62, 2**62 - 2, 0, 0]
    found = Cam(CamWords.from_text(["0000"])).search(
        CamWords.from_text(["1111"]), "weighted", weights=weights
    )
    assert found.distances is not None and found.distances.tolist() == [[2**63 - 2]]
    assert found.rows.tolist() == [[0]]


def test_too_many_matches_to_list_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    cam = Cam(FOUR)
    monkeypatch.setattr(lines, "MOST_MATCHES", 15)
    assert cam.search(FOUR, "threshold", limit=4).n_matches.tolist() == [4] * 4
    with pytest.raises(OutOfMemoryError, match="need 15 matches or fewer to list, got 16 for 4 of"):
        cam.search(FOUR, "threshold", limit=4, every=True)
    with pytest.raises(OutOfMemoryError, match="got 16"):
        cam.search(FOUR, "weighted", weights=[0] * 4, ties="all")
    monkeypatch.setattr(lines, "MOST_MATCHES", 9)
    with pytest.raises(OutOfMemoryError, match="got 10"):
        cam.search(FOUR, "nearest", top_bits=1, ties="all", mode="staged", stage_bits=1)
    with pytest.raises(OutOfMemoryError, match=r"got 12 for 4 of 4 queries.*fewer rows of each"):
        cam.search(FOUR, "best", k=3)


@pytest.mark.parametrize("mode", ["abs", "wxor"])
def test_too_many_rows_alike_are_refused_before_they_are_listed(mode: str) -> None:
    """20,000 rows times 20,000 queries would be 3 GB of row numbers."""
    words = CamWords.from_codes(np.zeros(20_000, np.int64), 4)
    with limited_memory(1 << 30), pytest.raises(OutOfMemoryError, match="got 400,000,000"):
        Cam(words).search(words, "nearest", mode=mode, ties="all")


def test_answers_print_in_a_few_lines_and_are_plain_values() -> None:
    faults = CellFaults.draw(4, 4, stuck_match=0.5, seed=3)
    found = Cam(FOUR, faults=faults).search(FOUR, "weighted", weights=[1, 2, 4, 8], k=2)
    n_stuck = faults.to_dict()["stuck_match"]
    assert n_stuck > 0
    text = str(found).splitlines()
    assert text[0] == "weighted weights=4 values, k=2: 4 queries, 4 rows of 4 bits"
    assert text[1] == "matched     4 of 4, 8 rows in all"
    assert text[3] == f"faults      {n_stuck} cells stuck at match, 0 at mismatch"
    assert text[4].startswith("counts      4 searches, 4 stages, 16 rows, 8 survivors")
    plain = json.loads(json.dumps(found.to_dict()))
    assert plain["options"]["faults"] == {
        "stuck_match": n_stuck, "stuck_mismatch": 0,
        "stuck_match_rate": 0.5, "stuck_mismatch_rate": 0.0, "seed": 3,
    }  # fmt: skip
    assert plain["options"]["weights"] == [1, 2, 4, 8] and plain["options"]["ties"] == "lowest"
    assert (plain["n_queries"], plain["n_rows"], plain["n_bits"]) == (4, 4, 4)
    assert plain["rows"] == found.rows.tolist() and plain["matches"] is None
    assert plain["counts"]["cam_row"] == 16
    listed = Cam(FOUR).search(FOUR, "best", ties="all").to_dict()
    assert listed["matches"] == [[0, 2], [1], [0, 2], [3]]


def test_rows_of_a_query_without_lists_are_those_reported() -> None:
    found = Cam(FOUR).search(CamWords.from_text(["1010", "1111"]), "exact")
    assert [found.matches_of(i).tolist() for i in range(2)] == [[0], []]


def test_the_face_has_it() -> None:
    assert (bitpim.Cam, bitpim.CamWords, bitpim.CellFaults) == (Cam, CamWords, CellFaults)


def test_answers_in_a_few_lines_tell_of_rows_that_answer() -> None:
    """Row 0 at 1 bit, row 1 at none, and a query that no row is near."""
    cam = Cam(CamWords.from_text(["0000", "0011", "1111"]))
    found = cam.search(CamWords.from_text(["0001", "0011", "0101"]), "threshold", limit=1)
    assert found.rows.tolist() == [[0], [1], [-1]]
    assert "\nmatched     2 of 3, 3 rows in all\ndistances   0 to 1, mean 0.500\n" in str(found)


def test_files_of_answers_are_guarded_and_not_written_over(tmp_path: Path) -> None:
    found = Cam(FOUR).search(FOUR, "best")
    for name in ("a.h5", "a.npz", "a.csv"):
        write_answers(found, tmp_path / name)
        with pytest.raises(LayoutError, match="exists; --overwrite"):
            write_answers(found, tmp_path / name)
    with h5py.File(tmp_path / "a.h5") as file:
        assert file["rows"].fletcher32 and file["rows"].shuffle
