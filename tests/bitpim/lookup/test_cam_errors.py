"""What a CAM refuses: one error that says where, what was needed, what was got."""

from typing import Any

import numpy as np
import pytest

from bitpim.errors import BitpimError, ConfigError, LayoutError
from bitpim.lookup.cam import Cam
from bitpim.lookup.cells import CellFaults
from bitpim.lookup.searches import OPTIONS, SEARCHES, search_kind
from bitpim.lookup.words import CamWords

WORDS = CamWords.from_text(["1010", "0001", "1111"])
TERNARY = CamWords.from_text(["1010", "0X01", "1111"])
CAM = Cam(WORDS)
QUERIES = CamWords.from_text(["1010", "0001"])


@pytest.mark.parametrize(
    ("kind", "options", "said"),
    [
        ("exakt", {}, "unknown search 'exakt'; did you mean 'exact'?"),
        ("?", {}, "unknown search '?'; known: exact, ternary, prefix, threshold, best"),
        (None, {}, "unknown search None"),
        ("best", {"kk": 1}, "takes no option 'kk'; did you mean 'k'?"),
        ("best", {"weights": [1] * 4}, "takes no option 'weights'; it is of weighted"),
        ("exact", {"top_bits": 2}, "it is of prefix, threshold, best, weighted, nearest"),
        ("best", {"colour": 1}, "takes no option 'colour'; known: k, top_bits, ties"),
        ("best", {"k": 0}, "k needs a whole number, 1..3, for there are 3 rows, got 0"),
        ("best", {"k": 4}, "k needs a whole number, 1..3, for there are 3 rows, got 4"),
        ("best", {"k": 1.0}, "k needs a whole number, 1..3, for there are 3 rows, got 1.0"),
        ("best", {"k": True}, "got True"),
        ("threshold", {}, "search threshold: needs limit: how many bits of a match may differ"),
        ("threshold", {"limit": -1}, "limit needs a whole number, 0 or more, got -1"),
        ("threshold", {"limit": None}, "needs limit"),
        ("prefix", {}, "search prefix: needs top_bits"),
        ("prefix", {"top_bits": 0}, "top_bits needs a whole number, 1..4, got 0"),
        ("prefix", {"top_bits": 5}, "top_bits needs a whole number, 1..4, got 5"),
        ("weighted", {}, "search weighted: needs weights"),
        ("weighted", {"weights": [1, 2, 3]}, "weights needs one a bit, 4, bit 0 first, got 3"),
        ("weighted", {"weights": [1, 2, -3, 4]}, "0 or more, got -3 for bit 2"),
        ("weighted", {"weights": [1, 2, 3, 0.5]}, "0 or more, got 0.5 for bit 3"),
        ("weighted", {"weights": "1234"}, "0 or more, got '1' for bit 0"),
        ("weighted", {"weights": 3}, "weights needs whole numbers, one a bit, got 3"),
        (
            "weighted",
            {"weights": [2**62, 0, 0, 2**62 - 1]},
            "below 2^63 - 1, got 9223372036854775807",
        ),
        ("nearest", {"mode": "wxorr"}, "one of abs, wxor, staged, got 'wxorr'; did you mean"),
        ("nearest", {"mode": "staged"}, "mode staged needs stage_bits"),
        ("nearest", {"stage_bits": 2}, "stage_bits is of mode staged, got mode abs"),
        ("nearest", {"mode": "staged", "stage_bits": 5}, "stage_bits needs a whole number, 1..4"),
        ("nearest", {"mode": "staged", "stage_bits": 0}, "stage_bits needs a whole number, 1..4"),
        (
            "nearest",
            {"mode": "staged", "stage_bits": 3, "top_bits": 2},
            "stage_bits needs 1..2, the bits compared, got 3",
        ),
        ("nearest", {"signed": 1}, "signed needs true or false, got 1"),
        ("best", {"ties": "first"}, "ties needs one of lowest, highest, all, got 'first'"),
        ("best", {"ties": "all", "k": 2}, "ties all lists the rows as good as the best"),
        (
            "exact",
            {"ties": "all"},
            "ties needs lowest or highest, got 'all'; option every lists all",
        ),
        ("exact", {"every": "yes"}, "every needs true or false, got 'yes'"),
        ("range", {}, "search range: needs high"),
        ("range", {"high": QUERIES[:1]}, "need 2 words of high, one a query, got 1"),
        ("range", {"high": WORDS}, "need 2 words of high, one a query, got 3"),
        ("range", {"high": [3, 4]}, "high need to be CamWords, got list"),
        ("range", {"high": QUERIES[::-1]}, "query 0: need low <= high, got 1010 > 0001"),
        ("range", {"high": CamWords.from_text(["11"] * 2)}, "need high of 4 bits, as the rows"),
        (
            "range",
            {"high": CamWords.from_text(["1111", "01X1"])},
            "got a don't-care in high 1, bit 1; store, or give as an end, each value in full",
        ),
    ],
)
def test_options_that_are_refused(kind: Any, options: dict[str, Any], said: str) -> None:
    with pytest.raises(BitpimError) as found:
        CAM.search(QUERIES, kind, **options)
    assert said in str(found.value)
    assert "\n" not in str(found.value)
    assert isinstance(found.value, ConfigError | LayoutError)


@pytest.mark.parametrize("kind", ["exact", "nearest", "range"])
def test_dont_cares_are_refused_where_they_mean_nothing(kind: str) -> None:
    options: dict[str, Any] = {"high": QUERIES} if kind == "range" else {}
    remedy = SEARCHES[kind].without_care
    with pytest.raises(LayoutError, match=f"don't-care in row 1, bit 2; {remedy}"):
        Cam(TERNARY).search(QUERIES, kind, **options)
    with pytest.raises(LayoutError, match=f"don't-care in query 1, bit 2; {remedy}"):
        CAM.search(TERNARY[:2], kind, **options)


def test_the_first_of_many_dont_cares_is_named() -> None:
    care = np.ones((3, 130), np.uint8)
    care[1:, 64:] = 0
    words = CamWords.from_bits(np.zeros((3, 130), np.uint8), care)
    with pytest.raises(LayoutError, match="in row 1, bit 64"):
        Cam(words).search(words[:1], "exact")


def test_words_of_other_sizes() -> None:
    with pytest.raises(LayoutError, match="need one row or more, got none"):
        Cam(WORDS[:0])
    with pytest.raises(LayoutError, match="need queries of 4 bits, as the rows, got 3 bits"):
        CAM.search(CamWords.from_text(["101"]), "best")
    with pytest.raises(ConfigError, match="CAM: words need to be CamWords, got list"):
        Cam(["101"])  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="queries need to be CamWords, got list"):
        CAM.search([1, 2], "best")  # type: ignore[arg-type]
    wide = CamWords.from_text(["0" * 65])
    with pytest.raises(LayoutError, match="need words of 64 bits or fewer, got 65"):
        Cam(wide).search(wide, "nearest")
    with pytest.raises(ConfigError, match="need one thread or more, got 0"):
        Cam(WORDS, n_threads=0)


def test_one_text_is_no_list_of_words() -> None:
    with pytest.raises(LayoutError, match="need a list of words, got one text '1010'"):
        CamWords.from_text("1010")


def test_packed_words_of_another_width() -> None:
    for n_bits, said in (
        (65, r"need bits \(1, 2\) uint64 for 65 bits"),
        (0, "1 bit or more, got 0"),
    ):
        with pytest.raises(LayoutError, match=said):
            CamWords.from_packed(np.zeros((1, 1), np.uint64), n_bits)


def test_nothing_given_is_what_is_usual() -> None:
    usual = CAM.search(QUERIES, "nearest")
    found = CAM.search(QUERIES, "nearest", mode=None, ties=None, signed=None, top_bits=None)
    assert found.options == usual.options and found.rows.tolist() == usual.rows.tolist()
    assert len(CAM.search(CamWords.from_codes([], 4), "best", k=None)) == 0


def test_faults_that_do_not_fit() -> None:
    with pytest.raises(LayoutError, match="need faults of 3 rows of 4 bits, as stored, got 3 rows"):
        Cam(WORDS, faults=CellFaults.draw(3, 5))
    faulty = Cam(WORDS, faults=CellFaults.draw(3, 4))
    modes: list[dict[str, Any]] = [{}, {"mode": "staged", "stage_bits": 2}]
    for options in modes:
        with pytest.raises(ConfigError, match=r"compares numbers, not cells.*take mode wxor"):
            faulty.search(QUERIES, "nearest", **options)
    wide = CamWords.from_codes([1], 64)
    faulty = Cam(wide, faults=CellFaults.draw(1, 64))
    with pytest.raises(ConfigError, match="needs 62 bits or fewer, got 64; give top_bits"):
        faulty.search(wide, "nearest", mode="wxor")
    with pytest.raises(ConfigError, match="needs 62 bits or fewer, got 63; give top_bits"):
        faulty.search(wide, "nearest", mode="wxor", top_bits=63)
    far = faulty.search(CamWords.from_codes([-1], 64), "nearest", mode="wxor", top_bits=62)
    assert far.distances is not None
    assert (far.rows.tolist(), far.distances.tolist()) == ([[0]], [[2**62 - 1]])


def test_records_name_options_that_exist() -> None:
    for kind in SEARCHES.values():
        assert search_kind(kind.name) is kind
        assert [option.name for option in kind.options] == [*kind.required, *kind.optional]
        assert "ties" in kind.optional
    used = {name for kind in SEARCHES.values() for name in (*kind.required, *kind.optional)}
    assert used == set(OPTIONS)
