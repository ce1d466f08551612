from pathlib import Path
from typing import Any

import pytest

from bitpim.errors import ResultError
from bitpim.report.figure_file import literal, write_figure


def blank() -> Any:
    from matplotlib.figure import Figure

    return Figure(figsize=(1, 1))


def broken() -> Any:
    raise OSError(28, "No space left on device")


@pytest.mark.usefixtures("matplotlib")
def test_a_file_that_fails_leaves_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "a.svg"
    path.write_text("before")
    with pytest.raises(ResultError, match=r"a\.svg: cannot be written \(No space left"):
        write_figure(path, broken)
    assert path.read_text() == "before"
    assert write_figure(path, blank) == path
    assert path.read_text().startswith("<?xml")
    assert [p.name for p in tmp_path.iterdir()] == ["a.svg"]


@pytest.fixture
def matplotlib() -> None:
    pytest.importorskip("matplotlib")


def test_dollars_stay_dollars() -> None:
    assert literal("a$b$") == r"a\$b\$"
