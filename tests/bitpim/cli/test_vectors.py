"""`bitpim vectors`: made of a tile or of a program of the catalogue, and checked."""

from pathlib import Path
from typing import Any

import pytest

import bitpim as package
from tests.bitpim.cli.conftest import Run


@pytest.fixture
def tile(tmp_path: Path) -> Path:
    path = tmp_path / "tile.h5"
    package.record(package.sample_path(), "isaac", "conv2", 0, path)
    return path


def test_vectors_are_made_and_checked(bitpim: Run, tmp_path: Path, tile: Path) -> None:
    folder = tmp_path / "vectors"
    code, out, err = bitpim("vectors", "make", tile, "-o", folder, "--format", "csv")
    assert (code, err) == (0, "")
    assert out == (
        f"{folder}: conv2, tile 0 on isaac, 122 steps, states after 1 of them, 21 files\n"
    )
    code, out, err = bitpim("vectors", "check", folder, "--against", tile)
    assert (code, err) == (0, "") and out.startswith(f"{folder}: equal in 19 entries")
    sums = folder / "after_121.sums.csv"
    code, out, err = bitpim("vectors", "check", sums, "--against", folder)
    assert (code, out) == (0, f"{sums}: equal in 1 entry, 12 words\n")
    text = sums.read_text()
    sums.write_text(text[:-2] + ("1" if text[-2] == "0" else "0") + "\n")
    code, out, err = bitpim("vectors", "check", folder, "--against", tile)
    assert (code, out) == (4, "") and "after step 121: sums, sum 11, bit" in err
    code, out, _ = bitpim("vectors", "check", folder, "--against", tile, "--json")
    assert code == 4 and '"equal": false' in out
    sums.write_text(text)
    for name, where in (
        ("sums", "sample 0, coordinate (11, 0, 0), bit"),
        ("outputs", "sample 0, coordinate (11, 0, 0), bit"),
        ("inputs", "input 0, sample 0, coordinate (7, 2, 2), bit"),
    ):
        own = folder / f"{name}.csv"
        said = own.read_text()
        own.write_text(said[:-2] + ("1" if said[-2] == "0" else "0") + "\n")
        code, _, err = bitpim("vectors", "check", folder, "--against", tile)
        assert code == 4 and f"{name}.csv: layer conv2, {where}" in err
        own.write_text(said)
    assert bitpim("vectors", "make", tile, "-o", folder)[0] == 3


def test_a_program_of_the_catalogue_by_its_name(
    bitpim_json: Any, bitpim: Run, tmp_path: Path
) -> None:
    said = bitpim_json(
        "vectors", "make", "multiply", "-o", tmp_path / "v", "--bits", 4, "--lanes", 70,
        "--after", "every", "--format", "readmemh", "--format", "readmemb",
    )  # fmt: skip
    assert said["parameters"]["n_columns"] == 70 and len(said["after"]) > 20
    assert bitpim_json("vectors", "check", tmp_path / "v", "--against", tmp_path / "v")["equal"]
    other = bitpim_json("vectors", "make", "multiply", "-o", tmp_path / "w", "--seed", 1)
    assert other["program_digest"] != said["program_digest"]
    nor = bitpim_json("vectors", "make", "nor_add", "-o", tmp_path / "nor", "--bits", 4)
    assert nor["parameters"] == {"n_rows": 17, "n_columns": 64, "array_columns": 64}
    for arguments, words in (
        (("multiplied",), "multiplied: need a program trace"),
        (("multiply", "--after", "x"), "after: need end"),
    ):
        code, _, err = bitpim("vectors", "make", *arguments, "-o", tmp_path / "x")
        assert code == 3 and words in err and not (tmp_path / "x").exists()
