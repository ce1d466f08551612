"""Examples are run: those of PYTHON.md, and those of every docstring."""

import doctest
import importlib
import shutil
from pathlib import Path

import pytest

import bitpim
from bitpim.sample import sample_path
from tests.test_house import PACKAGES, ROOT, SOURCES

PAGE = ROOT / "bitpim" / "PYTHON.md"
EXAMPLES = doctest.DocTestParser().get_examples(PAGE.read_text("utf-8"))
WITH_EXAMPLES = [path for path in SOURCES if ">>> " in path.read_text("utf-8")]


def test_the_examples_of_the_python_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copy(sample_path(), tmp_path / "net.h5")
    monkeypatch.chdir(tmp_path)
    found = doctest.testfile(str(PAGE), module_relative=False, encoding="utf-8")
    assert found.attempted == len(EXAMPLES) and found.failed == 0


def test_every_public_name_has_an_example() -> None:
    source = "".join(example.source for example in EXAMPLES)
    assert [name for name in bitpim.__all__ if f"bitpim.{name}" not in source] == []


def module_of(path: Path) -> str:
    package = next(package for package in PACKAGES if path.is_relative_to(package))
    name = ".".join(path.relative_to(package.parent).with_suffix("").parts)
    return name.removesuffix(".__init__")


def test_some_docstrings_have_examples() -> None:
    assert len(WITH_EXAMPLES) > 1


@pytest.mark.parametrize("path", WITH_EXAMPLES, ids=module_of)
def test_the_examples_of_docstrings(path: Path) -> None:
    found = doctest.testmod(importlib.import_module(module_of(path)))
    assert found.attempted > 0 and found.failed == 0
