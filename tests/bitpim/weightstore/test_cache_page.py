"""CACHE.md: its examples run, and its tables are those of the code."""

import doctest
import re
from dataclasses import fields
from pathlib import Path

from bitpim.weightstore.cache import CacheCounts
from bitpim.weightstore.cache_settings import HELD, CacheSettings

PAGE = Path(__file__).parents[3] / "bitpim" / "weightstore" / "CACHE.md"
TEXT = PAGE.read_text("utf-8")


def names(head: str) -> list[str]:
    """The names in the first column of the table with this head."""
    rows = TEXT.partition(f"| {head} |")[2].partition("\n\n")[0].splitlines()[2:]
    return [name for row in rows for name in re.findall(r"`(\w+)`", row.split("|")[1])]


def test_examples_of_the_page() -> None:
    found = doctest.testfile(str(PAGE), module_relative=False, encoding="utf-8")
    assert found.attempted > 9 and found.failed == 0


def test_the_page_has_every_count_and_setting() -> None:
    assert names("count") == list(CacheCounts._fields)
    assert names("setting") == [field.name for field in fields(CacheSettings)]
    assert all(f"`{word}`" in TEXT for word in HELD)
