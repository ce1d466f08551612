"""ARRAYS.md says what the steps are."""

from bitpim.golden.arrays import ARRAYS
from tests.bitpim.golden.arrays_page import PAGE, with_tables


def test_the_tables_are_the_steps() -> None:
    assert with_tables(PAGE.read_text()) == PAGE.read_text()


def test_every_kind_has_its_section() -> None:
    page = PAGE.read_text()
    for kind in ARRAYS:
        assert f"\n## {kind}: " in page and f"<!-- steps {kind} -->" in page
