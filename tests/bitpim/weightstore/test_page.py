"""What the wing's README.md shows happens."""

import doctest
from pathlib import Path

import bitpim

PAGE = Path(bitpim.__file__).parent / "weightstore" / "README.md"


def test_examples_print_what_is_shown() -> None:
    done = doctest.testfile(str(PAGE), module_relative=False)
    assert done.attempted > 15 and done.failed == 0
