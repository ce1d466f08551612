"""CAM.md: its examples run, and its tables are those of the records."""

import doctest
import re
from pathlib import Path

from bitpim.counts import CAM_EVENTS
from bitpim.lookup import answers
from bitpim.lookup.searches import OPTIONS, SEARCHES

PAGE = Path(__file__).parents[3] / "bitpim" / "lookup" / "CAM.md"
TEXT = PAGE.read_text("utf-8")


def cells(name: str) -> list[str]:
    """The cells of the one row of a table that begins with a name."""
    rows = re.findall(rf"^\| `{name}` \|.*\|$", TEXT, re.MULTILINE)
    assert len(rows) == 1, name
    return [cell.strip() for cell in str(rows[0]).strip("|").split("|")][1:]


def test_examples_of_the_page() -> None:
    found = doctest.testfile(str(PAGE), module_relative=False, encoding="utf-8")
    assert found.attempted > 25 and found.failed == 0


def test_the_page_has_every_search_with_an_example() -> None:
    for kind in SEARCHES.values():
        traits = (kind.stored_dont_cares, kind.query_dont_cares, kind.has_distances)
        assert cells(kind.name) == [kind.summary, *("yes" if trait else "no" for trait in traits)]
        assert re.search(rf'>>> .*search\(.*"{kind.name}"', TEXT)
    assert len(re.findall(r"^\*\*\w+\*\*: ", TEXT, re.MULTILINE)) == len(SEARCHES)


def test_the_page_has_every_option() -> None:
    for option in OPTIONS.values():
        assert cells(option.name) == [option.meaning, option.need]
    assert all(f"{name}=" in TEXT for name in OPTIONS)


def test_every_event_is_explained_and_has_a_word() -> None:
    events = list(CAM_EVENTS)
    assert len(events) == 6 and all(len(cells(event)) == 3 for event in events)
    assert list(answers.EVENT_WORDS) == events
