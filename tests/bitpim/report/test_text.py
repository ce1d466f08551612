"""Columns, JSON and bars."""

import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bitpim.report.text import as_json, bar, columns


def test_numbers_stand_right_and_words_left() -> None:
    text = columns(["n", "word", "x"], [[1234567, "a", 0.5], [1, "long", None], ["", "", True]])
    assert text.splitlines() == [
        "        n  word    x",
        "1,234,567  a     0.5",
        "        1  long    -",
        "                 yes",
    ]


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
