"""`bitpim search`: words in, rows and counts out, against a memory worked by hand.

    stored 0  01X0      query 0  0100   row 0 matches; rows 1, 2 and 3 differ in 3, 2 and 2 bits
           1  1111            1  0101   none matches; rows 0, 2 and 3 differ in one bit each
           2  0001            2  1101   row 3 matches; row 1 differs in one bit, row 0 in two
           3  1X01            3  0110   row 0 matches

Of 16 match lines 3 stay up, so 13 fall. Search lines change in 1 column, then 1, then 3.
"""

import csv
import io
import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from bitpim.lookup.cam import Cam
from bitpim.lookup.cells import CellFaults
from bitpim.lookup.words import CamWords
from tests.bitpim.cli.conftest import Run

STORED = ["01X0", "1111", "0001", "1X01"]
QUERIES = ["0100", "0101", "1101", "0110"]
COUNTS = {
    "cam_search": 4,
    "cam_stage": 4,
    "cam_row": 16,
    "cam_survivor": 3,
    "cam_discharge": 13,
    "cam_toggle": 5,
}


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("os.fsync", lambda _: None)
    Path("stored.txt").write_text("\n".join(STORED))
    Path("queries.txt").write_text("\n".join(QUERIES))
    Path("levels.txt").write_text("8\n0\n12\n")
    Path("numbers.txt").write_text("7\n-1\n")
    return tmp_path


Ask = Callable[..., Any]
TERNARY = ("search", "stored.txt", "queries.txt", "--kind", "ternary")
LEVELS = ("search", "levels.txt", "numbers.txt", "--kind", "nearest", "--bits", 4)


def lines_of(text: str) -> list[str]:
    """Yield the lines of a text, words one space apart."""
    return [" ".join(line.split()) for line in text.splitlines()]


def test_what_a_person_reads(bitpim: Run) -> None:
    code, out, err = bitpim(*TERNARY)
    assert (code, err) == (0, "")
    lines = lines_of(out)
    assert lines[:7] == [
        "ternary search: 4 queries in 4 rows of 4 bits",
        "",
        "# query row stored matches",
        "0 0100 0 01X0 1",
        "1 0101 - - 0",
        "2 1101 3 1X01 1",
        "3 0110 0 01X0 1",
    ]
    assert lines[8] == "answered 3 of 4 queries, 3 matching rows in all"
    counted = {line.split()[0]: line.split()[1:3] for line in lines if line.startswith("cam_")}
    assert counted == {event: [str(n), f"{n / 4:.4g}"] for event, n in COUNTS.items()}
    assert "one match line that falls in one stage" in out


def test_the_same_for_machines(bitpim_json: Ask) -> None:
    found = bitpim_json(*TERNARY)
    assert found["rows"] == [[0], [-1], [3], [0]] and found["counts"] == COUNTS
    assert (found["n_queries"], found["n_rows"], found["n_bits"]) == (4, 4, 4)
    assert (found["n_matched"], found["kind"], found["distances"]) == (3, "ternary", None)
    assert found["software"].startswith("bitpim ")


def test_options_by_their_names_in_python(bitpim: Run, bitpim_json: Ask) -> None:
    best = ("search", "stored.txt", "queries.txt", "--kind", "best")
    found = bitpim_json(*best, "-k", 3, "--ties", "highest")
    assert found["rows"] == [[0, 3, 2], [3, 2, 0], [3, 1, 2], [0, 1, 3]]
    assert found["distances"] == [[0, 2, 2], [1, 1, 1], [0, 1, 2], [0, 2, 3]]
    out = bitpim(*best, "-k", 3, "--ties", "highest")[1]
    assert "4 bits; k 3, ties highest" in out and "0   0100  0 3 2  0 2 2" in out
    found = bitpim_json("search", *best[1:3], "--kind", "prefix", "--top-bits", 1, "--every")
    assert found["matches"] == [[0, 2], [0, 2], [1, 3], [0, 2]]
    weighted = ("search", *best[1:3], "--kind", "weighted", "--weights")
    Path("weights.txt").write_text("0, 0, 1\n5")
    for given in ("0,0,1,5", " 0 0 1 5 ", "weights.txt"):
        found = bitpim_json(*weighted, given)
        assert found["rows"] == [[0], [0], [1], [0]] and found["options"]["weights"] == [0, 0, 1, 5]
    code, _, err = bitpim(*weighted, "0,0,1,b")
    assert code == 2 and "need whole numbers N,N,... or a file of them, got '0,0,1,b'" in err
    Path("a,b.txt").write_text("0 0 1 5")
    assert bitpim_json(*weighted, "a,b.txt")["rows"] == found["rows"]
    found = bitpim_json("search", *best[1:3], "--kind", "threshold", "--limit", 1)
    assert (found["rows"], found["n_matches"]) == ([[0], [0], [1], [0]], [1, 3, 2, 1])
    out = bitpim("search", *best[1:3], "--kind", "threshold", "--limit", 0)[1]
    assert "answered    3 of 4 queries\ndistances   0 to 0, mean 0\n" in out


def test_every_row_is_shown_where_all_are_listed(bitpim: Run) -> None:
    threshold = ("search", "stored.txt", "queries.txt", "--kind", "threshold", "--limit", 1)
    assert lines_of(bitpim(*threshold)[1])[2] == "# query row stored distance matches"
    lines = lines_of(bitpim(*threshold, "--every")[1])
    assert lines[2:5] == [
        "# query row stored distance matches all rows",
        "0 0100 0 01X0 0 1 0",
        "1 0101 0 01X0 1 3 0 2 3",
    ]
    lines = lines_of(bitpim(*TERNARY, "--every")[1])
    assert lines[4] == "1 0101 - - 0 -"
    Path("same.txt").write_text("0000\n" * 7)
    tied = ("search", "same.txt", "queries.txt", "--kind", "best", "--ties", "all")
    assert lines_of(bitpim(*tied)[1])[3] == "0 0100 0 0000 1 7 0 1 2 3 4 5 ..."


def test_distances_of_numbers(bitpim: Run, bitpim_json: Ask) -> None:
    """7 is nearest to 8, by XOR to 0; in two's complement 8 is -8, 12 is -4, -1 nearest to 0."""
    assert bitpim_json(*LEVELS)["rows"] == [[0], [2]]
    assert bitpim_json(*LEVELS, "--mode", "wxor")["rows"] == [[1], [2]]
    assert bitpim_json(*LEVELS, "--mode", "staged", "--stage-bits", 2)["counts"]["cam_stage"] == 4
    found = bitpim_json(*LEVELS, "--signed")
    assert (found["rows"], found["distances"]) == ([[1], [1]], [[7], [1]])
    lines = lines_of(bitpim(*LEVELS, "--signed")[1])
    assert lines[3:5] == ["0 7 1 0 7", "1 -1 1 0 1"]
    assert lines_of(bitpim(*LEVELS)[1])[3:5] == ["0 7 0 8 1", "1 15 2 12 3"]


def test_ranges(bitpim_json: Ask) -> None:
    Path("high.txt").write_text("8\n0x0f\n")
    within = ("search", "levels.txt", "low.txt", "--kind", "range", "--bits", 4, "--every")
    Path("low.txt").write_text("1\n9\n")
    assert bitpim_json(*within, "--high", "high.txt")["matches"] == [[0], [2]]
    np.save("high.npy", np.array([12, 9]))
    assert bitpim_json(*within[:-1], "--high", "high.npy")["rows"] == [[0], [-1]]


def test_faulty_cells_are_those_of_the_seed(bitpim: Run, bitpim_json: Ask) -> None:
    faulty = (*TERNARY, "--stuck-match", 0.25, "--stuck-mismatch", 0.125, "--seed", 5)
    found = bitpim_json(*faulty)
    faults = CellFaults.draw(4, 4, stuck_match=0.25, stuck_mismatch=0.125, seed=5)
    cam = Cam(CamWords.from_text(STORED), faults=faults)
    expected = cam.search(CamWords.from_text(QUERIES), "ternary")
    assert found["rows"] == expected.rows.tolist() and found["counts"] == expected.counts.to_dict()
    stuck = faults.to_dict()
    assert stuck["stuck_match"] and stuck["stuck_mismatch"]
    assert lines_of(bitpim(*faulty)[1])[1] == (
        f"faulty cells: {stuck['stuck_match']} stuck at match (rate 0.25), "
        f"{stuck['stuck_mismatch']} at mismatch (rate 0.125), seed 5"
    )
    assert bitpim_json(*TERNARY, "--stuck-match", 1)["n_matches"] == [4] * 4


def test_a_drawing_of_many_distances(bitpim: Run) -> None:
    """Of 24 queries 1, 2, .. 4 and again have so many ones; row 0 is zero: the ramp is drawn."""
    ones = [n for n in (1, 2, 3, 4) for _ in range(2 * n)]
    Path("zero.txt").write_text("0000\n")
    Path("ramp.txt").write_text("\n".join("1" * n + "0" * (4 - n) for n in ones))
    out = bitpim("search", "zero.txt", "ramp.txt", "--kind", "best", "--limit-rows", 2)[1]
    assert "distances   1 to 4, mean 3\n" in out and "and 18 queries more\n" in out
    drawn = [line.split() for line in out.splitlines() if line.endswith("█")]
    assert [(where, n, len(bar)) for where, n, bar in drawn] == [
        ("1", "2", 10), ("2", "4", 20), ("3", "6", 30), ("4", "8", 40),
    ]  # fmt: skip


def test_bins_of_a_drawing_hold_every_distance(bitpim: Run) -> None:
    """A query n of 0..99 is n from row 0; of 12 bins of 9 the last lacks eight."""
    Path("zero.txt").write_text("0\n")
    Path("all.txt").write_text("\n".join(map(str, range(100))))
    out = bitpim("search", "zero.txt", "all.txt", "--kind", "nearest", "--bits", 64)[1]
    drawn = [line.split() for line in out.splitlines() if line.endswith("█")]
    assert [where for where, *_ in drawn[:2]] == ["0-8", "9-17"] and drawn[-1][:2] == ["99", "1"]
    assert [int(n) for _, n, _ in drawn] == [9] * 11 + [1]
    Path("all.txt").write_text("\n".join(map(str, range(24))))
    out = bitpim("search", "zero.txt", "all.txt", "--kind", "nearest", "--bits", 64)[1]
    assert [line.split()[1] for line in out.splitlines() if line.endswith("█")] == ["2"] * 12


def test_distances_of_64_bits(bitpim: Run) -> None:
    """A query (8 + n) 2^60 + n is so far from zero; a bin has 1.25 x 2^60 + 1 distances."""
    Path("zero.txt").write_text("0\n")
    Path("far.txt").write_text("\n".join(str(2**63 + n * 2**60 + n) for n in range(8)) + "\n0\n")
    out = bitpim("search", "zero.txt", "far.txt", "--kind", "nearest", "--bits", 64)[1]
    assert "distances   0 to 17,293,822,569,102,704,647, mean " in out
    drawn = [line.split() for line in out.splitlines() if line.endswith("█")]
    assert [int(n) for _, n, _ in drawn] == [1, 1, 2, 1, 1, 1, 2]


def test_wide_words_are_shown_short(bitpim: Run) -> None:
    Path("wide.txt").write_text("01" * 100 + "\n" + "0X" * 100 + "\n")
    out = bitpim("search", "wide.txt", "wide.txt", "--kind", "ternary", "--ties", "highest")[1]
    row = "0X0X0X0X0X0X0X0X...0X0X0X0X0X0X"
    assert f"0 0x555555555555...55555555 1 {row} 2" in lines_of(out)


def test_answers_as_files_are_the_answers(bitpim: Run, folder: Path) -> None:
    line = ("search", "stored.txt", "queries.txt", "--kind", "threshold", "--limit", 1, "--every")
    cam = Cam(CamWords.from_text(STORED))
    asked = CamWords.from_text(QUERIES)
    expected = cam.search(asked, "threshold", limit=1, every=True)
    for name in ("a.npz", "a.h5", "a.csv"):
        code, out, err = bitpim(*line, "-o", name)
        assert (code, err) == (0, "") and out.endswith(f"all answers in {name}\n")
    with np.load("a.npz") as file:
        for name in ("rows", "distances", "n_matches", "offsets", "matches"):
            assert np.array_equal(file[name], getattr(expected, name)), name
        about = json.loads(str(file["about"]))
    assert about["options"] == {"limit": 1, "ties": "lowest", "every": True}
    assert about["counts"] == expected.counts.to_dict() and about["n_rows"] == 4
    with h5py.File("a.h5") as file:
        for name in ("rows", "distances", "n_matches", "offsets", "matches"):
            assert np.array_equal(file[name][:], getattr(expected, name)), name
        assert file.attrs["kind"] == "threshold" and file.attrs["n_bits"] == 4
        assert json.loads(file.attrs["options"]) == about["options"]
        assert {k: int(v) for k, v in file["counts"].attrs.items()} == about["counts"]
    text = Path("a.csv").read_text()
    comments = [row for row in text.splitlines() if row.startswith("#")]
    assert "# kind: threshold" in comments and "# n_queries: 4" in comments
    rows = list(csv.DictReader(io.StringIO("".join(text.partition("query,")[1:]))))
    assert [row["matches"] for row in rows] == ["0", "0 2 3", "1 3", "0"]
    assert [row["row"] for row in rows] == [str(row[0]) for row in expected.rows.tolist()]
    assert [row["distance"] for row in rows] == ["0", "1", "1", "0"]
    assert {path.name for path in folder.glob("a.*")} == {"a.npz", "a.h5", "a.csv"}


def test_a_csv_has_a_line_a_rank_and_an_empty_row_where_none_answers(bitpim: Run) -> None:
    bitpim(*TERNARY, "-o", "t.csv")
    assert "\n1,0,,,0\n2,0,3,,1\n" in Path("t.csv").read_text()
    bitpim("search", "stored.txt", "queries.txt", "--kind", "best", "-k", 2, "-o", "b.csv")
    assert "\n0,0,0,0,2\n0,1,2,2,2\n1,0,0,1,2\n" in Path("b.csv").read_text()


@pytest.mark.parametrize("name", ["a.npz", "a.h5", "a.csv"])
def test_files_of_answers_are_whole_or_not_there(
    bitpim: Run, folder: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    assert bitpim(*TERNARY, "-o", name)[0] == 0
    whole = Path(name).read_bytes()
    code, _, err = bitpim(*TERNARY, "-o", name)
    assert code == 3 and "exists; --overwrite replaces it" in err
    assert bitpim(*TERNARY, "-o", name, "--overwrite")[0] == 0
    assert Path(name).read_bytes() == whole  # the same answers, the same bytes
    if name == "a.npz":
        times = {member.date_time for member in zipfile.ZipFile(name).infolist()}
        assert times == {(1980, 1, 1, 0, 0, 0)}
    before = set(folder.iterdir())

    def stopped(*_: object) -> object:
        yield b"half"
        raise KeyboardInterrupt

    monkeypatch.setattr("bitpim.lookup.answer_files.FORMATS", {Path(name).suffix: stopped})
    code, out, err = bitpim(*TERNARY, "-o", name, "--overwrite")
    assert (code, out, err) == (130, "", "bitpim: interrupted\n")
    assert Path(name).read_bytes() == whole and set(folder.iterdir()) == before


def test_energy_by_a_table(bitpim: Run, bitpim_json: Ask) -> None:
    """16 rows of 0.73 / 64 pJ."""
    found = bitpim_json(*TERNARY, "--prices", "eva_cam_45nm")["energy"]
    assert found["total_pj"] == pytest.approx(16 * 0.73 / 64)
    assert found["table"]["cam_row"]["confidence"] == "derived"
    out = bitpim(*TERNARY, "--prices", "eva_cam_45nm")[1]
    assert "total 182.5 fJ, 45.63 fJ a query" in out or "total 0.1825 pJ, 0.04562 pJ a query" in out
    assert "other widths cost the same here, with caution" in out
    assert "priced within those: cam_search, cam_stage, cam_survivor, cam_discharge" in out
    assert "price table" not in bitpim(*TERNARY, "--prices", "none")[1]
    code, _, err = bitpim(*TERNARY, "--prices", "isaac")
    assert code == 3 and "price table isaac: no price for event 'cam_" in err


def test_standard_input(bitpim: Run, bitpim_json: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
    class Stream:
        buffer = io.BytesIO()

    monkeypatch.setattr("sys.stdin", Stream)
    for line in (("-", "queries.txt"), ("stored.txt", "-")):
        name = line[line[0] == "-"].replace("queries", "x").replace("stored", "y")
        Stream.buffer = io.BytesIO(("\n".join(QUERIES if name == "y.txt" else STORED)).encode())
        assert bitpim_json("search", *line, "--kind", "ternary")["counts"] == COUNTS
    Stream.buffer = io.BytesIO(b"01\n0y\n")
    code, _, err = bitpim("search", "stored.txt", "-", "--kind", "exact")
    assert code == 3 and "standard input:2: need 0, 1 and X, got 'y'" in err
    Stream.buffer = io.BytesIO(b"0101\n011")
    monkeypatch.setattr("bitpim_traces.stored_values.MAX_BYTES", 7)
    code, out, err = bitpim(*TERNARY[:2], "-", *TERNARY[3:])
    assert (code, out) == (
        3,
        "",
    ) and "standard input: need at most 7 bytes of text, got more" in err
    for both in (("-", "-"), ("-",)):
        code, _, err = bitpim("search", *both, "--kind", "exact")
        assert code == 2 and "got - for both" in err


def test_one_file_of_both(bitpim_json: Ask) -> None:
    stored, queries = CamWords.from_text(STORED), CamWords.from_text(QUERIES)
    bits = [[int(bit == "1") for bit in reversed(word)] for word in STORED]
    care = [[int(bit != "X") for bit in reversed(word)] for word in STORED]
    np.savez("memory.npz", stored=bits, stored_care=care, queries=queries.codes(), n_bits=4)
    assert bitpim_json("search", "memory.npz", "--kind", "ternary")["counts"] == COUNTS
    assert stored.to_text() == STORED


@pytest.mark.parametrize(
    ("line", "code", "said"),
    [
        (TERNARY[:-2], 2, "Missing option '--kind'"),
        ((*TERNARY[:-1], "tenary"), 3, "unknown search 'tenary'; did you mean 'ternary'"),
        ((*TERNARY[:-1], "exact"), 3, "got a don't-care in row 0, bit 1"),
        ((*TERNARY[:-1], "prefix"), 3, "search prefix: needs top_bits"),
        ((*TERNARY, "-k", 2), 3, "takes no option 'k'; it is of best, weighted"),
        ((*TERNARY[:-1], "best", "-k", 5), 3, "k needs a whole number, 1..4"),
        ((*TERNARY, "--seed", 3), 2, "nothing is drawn; give --stuck-match"),
        ((*TERNARY, "--stuck-match", 0.7, "--stuck-mismatch", 0.7), 3, "sum of 1 or less"),
        ((*TERNARY, "--stuck-match", 1.5), 2, "--stuck-match"),
        ((*TERNARY, "-o", "a.txt"), 3, "need a name that ends in one of .npz, .h5, .csv"),
        ((*TERNARY, "-o", "gone/a.csv"), 3, "gone/a.csv: cannot be written (No such file"),
        ((*TERNARY[:-1], "weighted", "--weights", "1,2"), 3, "needs one a bit, 4"),
        ((*TERNARY[:-1], "weighted", "--weights", "-1,2,3,4"), 3, "0 or more, got -1 for bit 0"),
        ((*TERNARY[:-1], "weighted", "--weights", "1,x"), 2, "N,N,... or a file of them, got"),
        (("search", "stored.txt", "--kind", "ternary"), 3, "need queries beside the stored words"),
        (("search", "stored.txt", "levels.txt", "--kind", "best"), 3, "levels.txt:1: need 0, 1"),
        (("search", "stored.txt", "short.txt", "--kind", "best"), 3, "need queries of 4 bits"),
        (("search", "gone.txt", "queries.txt", "--kind", "best"), 3, "gone.txt: need a file"),
        ((*TERNARY, "--bits", 5), 3, "stored.txt:1: need 5 cells"),
        ((*TERNARY, "--prices", "iisaac"), 3, "unknown price table 'iisaac'; did you mean 'isaac'"),
    ],
)
def test_what_is_wrong_is_one_line(
    bitpim: Run, folder: Path, line: tuple[object, ...], code: int, said: str
) -> None:
    Path("short.txt").write_text("01\n")
    before = set(folder.iterdir())
    got, out, err = bitpim(*line)
    assert (got, out, err.count("\n")) == (code, "", 1) and said in err, err
    assert set(folder.iterdir()) == before


def test_what_is_read_is_not_written_over(bitpim: Run) -> None:
    np.savez("memory.npz", stored=np.eye(2, dtype=int), queries=np.eye(2, dtype=int))
    for source in ("memory.npz", "memory.npz:stored"):
        line = ("search", source, "--kind", "best", "-o", "./memory.npz", "--overwrite")
        code, _, err = bitpim(*line)
        assert code == 2 and "need another file than memory.npz" in err


def test_a_bar_is_on_the_terminal_only(bitpim: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    quiet = bitpim(*TERNARY)
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    code, out, err = bitpim(*TERNARY)
    assert (code, out) == quiet[:2] and "ternary search" in err and quiet[2] == ""


def test_an_interrupt_leaves_nothing(
    bitpim: Run, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stopped(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("bitpim.lookup.cam.Cam.search", stopped)
    before = set(folder.iterdir())
    assert bitpim(*TERNARY, "-o", "a.npz") == (130, "", "bitpim: interrupted\n")
    assert set(folder.iterdir()) == before


def test_help_shows_examples_that_are_legal(bitpim: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    out = bitpim("search", "--help")[1]
    examples = [line.split() for line in out.splitlines() if line.strip().startswith("bitpim s")]
    assert len(examples) == 3
    Path("rules.txt").write_text("01X0\n")
    Path("packets.txt").write_text("0100\n")
    Path("readings.txt").write_text("300\n-5\n")
    words = np.eye(8, dtype=np.uint8)
    np.savez("memory.npz", stored=words, queries=words)
    for words_of_line in examples:
        code, _, err = bitpim(*words_of_line[1:])
        assert (code, err) == (0, ""), words_of_line
