"""The notebooks run from top to bottom, and print what is kept in them."""

from pathlib import Path
from typing import Any

import pytest

NOTEBOOKS = sorted((Path(__file__).parents[2] / "bench" / "examples").glob("*.ipynb"))


def texts(notebook: Any) -> list[str]:
    """What each cell prints and shows as text, in whatever pieces; pictures differ with fonts."""
    return [
        "".join(
            str(output.get("text") or output.get("data", {}).get("text/plain"))
            for output in cell.get("outputs", [])
        )
        for cell in notebook.cells
    ]


def test_there_are_three() -> None:
    assert len(NOTEBOOKS) == 3


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_prints_what_is_kept_in_it(path: Path) -> None:
    nbformat = pytest.importorskip("nbformat", reason="notebooks need nbformat and nbclient")
    nbclient = pytest.importorskip("nbclient", reason="notebooks need nbformat and nbclient")
    kept = nbformat.read(path, 4)
    fresh = nbformat.read(path, 4)
    nbclient.NotebookClient(
        fresh, timeout=None, kernel_name="python3", resources={"metadata": {"path": path.parent}}
    ).execute()
    assert texts(fresh) == texts(kept) and sum(map(bool, texts(kept))) > 3
