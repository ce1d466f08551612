"""Columns, JSON and bars."""

import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bitpim.report.text import as_json, bar, columns, printable


def test_numbers_stand_right_and_words_left() -> None:
    text = columns(["n", "word", "x"], [[1234567, "a", 0.5], [1, "long", None], ["", "", True]])
    assert text.splitlines() == [
        "        n  word    x",
        "1,234,567  a     0.5",
        "        1  long    -",
        "                 yes",
    ]


def test_numbers_with_units_stand_right_too() -> None:
    rows = [["45.1 %", "3.2 uJ", "a 3"], ["-", "12 nJ", "x"], ["1.2e+05", "", "-"]]
    assert columns(["share", "energy", "word"], rows).splitlines() == [
        "  share  energy  word",
        " 45.1 %  3.2 uJ  a 3",
        "      -   12 nJ  x",
        "1.2e+05          -",
    ]


WORDS = "one two three four five six seven eight nine ten"
WIDE: list[list[str | int | float | None]] = [["conv1", "conv2d", 1, 20, WORDS]]


def test_a_table_wider_than_it_may_be_goes_on_below() -> None:
    head = ["layer", "kind", "first", "second", "what it is"]
    assert columns(head, WIDE, width=200) == columns(head, WIDE)
    assert columns(head, WIDE, width=56).splitlines() == [
        "layer  kind    first  second  what it is",
        "conv1  conv2d      1      20  one two three four five",
        "                              six seven eight nine ten",
    ]
    assert columns(head, WIDE, width=48, n_keys=2).splitlines() == [
        "layer  kind    first  second",
        "conv1  conv2d      1      20",
        "",
        "layer  kind    what it is",
        "conv1  conv2d  one two three four five six seven",
        "               eight nine ten",
    ]
    for width in range(1, 120):
        shown = columns(head, WIDE, width=width).split()
        assert [word for word in shown if word in WORDS.split()] == WORDS.split()


@pytest.mark.parametrize("width", range(30, 130, 7))
def test_no_line_of_numbers_is_wider_than_it_may_be(width: int) -> None:
    rows: list[list[str | int | float | None]] = [
        [f"layer{i}", *range(i, 10**6, 10**5)] for i in range(3)
    ]
    head = ["layer", *(f"phase {i}" for i in range(len(rows[0]) - 1))]
    text = columns(head, rows, width=width)
    assert max(map(len, text.splitlines())) <= width
    assert text.count("layer0") == text.count("layer  ") or width > 100
    numbers = [word for word in text.split() if word[0].isdigit() and "," in word]
    assert len(numbers) == sum(n > 999 for row in rows for n in row[1:] if isinstance(n, int))


def test_what_cannot_be_printed_is_escaped() -> None:
    for text, shown in (
        ("plain µ 名", "plain µ 名"),
        ("\x1b[31mred\x07", r"\x1b[31mred\x07"),
        ("two\nlines\tand\rmore", "two lines and more"),
        ("\ud800", r"\ud800"),
        ("\u202eright to left", r"\u202eright to left"),
        ("[red]markup[/red]", "[red]markup[/red]"),
        ("\x9b0m\x00", r"\x9b0m\x00"),
    ):
        assert printable(text) == shown
        assert shown in columns([text], [[text]])


@given(st.text())
def test_any_text_becomes_printable(text: str) -> None:
    assert printable(text).isprintable()


def test_a_head_alone() -> None:
    assert columns(["a", "b"], []) == "a  b"


def test_json_that_every_reader_takes() -> None:
    value = {"a": [math.nan, math.inf, -math.inf, 1.5], 2: (True, None)}
    read: Any = json.loads(as_json(value), parse_constant=pytest.fail)
    assert read == {"a": [None, "inf", "-inf", 1.5], "2": [True, None]}


@given(st.dictionaries(st.text("abc_", min_size=1), st.integers(0, 10**12), max_size=9))
def test_a_bar_is_as_wide_as_asked_and_names_its_parts(parts: dict[str, int]) -> None:
    lines = bar(parts, 40)
    if sum(parts.values()) == 0:
        assert lines == []
        return
    drawn, names = lines
    assert len(drawn) == 40
    assert names.count("%") == min(len(parts), 5) or "other" in names or 0 in parts.values()


def test_the_largest_part_comes_first() -> None:
    drawn, names = bar({"filter_load": 1, "mac": 3}, 8)
    assert drawn[:6] == drawn[0] * 6 and drawn[6:] == drawn[6] * 2 != drawn[:2]
    assert names == f"{drawn[0]} mac 75 %  {drawn[6]} filter load 25 %"
