"""The published vectors are those that the script makes, and hold."""

import json
import zlib
from pathlib import Path

from bench.vector_pack import make_pack, programs
from bitpim.golden.vector_check import check_vectors
from bitpim.golden.vectors import MANIFEST, PROGRAM

PACK = Path(__file__).parents[2] / "traces" / "vectors"


def test_every_word_is_made_again(tmp_path: Path) -> None:
    make_pack(tmp_path / "again")
    made = {path.name for path in (tmp_path / "again").iterdir()}
    assert made == {path.name for path in PACK.iterdir()} - {"README.md"} == set(programs())
    for folder in (tmp_path / "again").iterdir():
        names = {path.name for path in folder.iterdir()}
        assert names == {path.name for path in (PACK / folder.name).iterdir()}
        ours, theirs = (digest_of(path) for path in (folder, PACK / folder.name))
        for name in names - {MANIFEST, PROGRAM}:  # those say which release made them
            words = (PACK / folder.name / name).read_bytes()
            assert (folder / name).read_bytes() == words.replace(theirs, ours)


def digest_of(folder: Path) -> bytes:
    """Return what each text names the program by, which is of a release."""
    digest: str = json.loads((folder / MANIFEST).read_text("utf-8"))["program_digest"]
    return digest.encode()


def test_it_holds_and_its_checksums_fit() -> None:
    for name in programs():
        found = check_vectors(PACK / name, PACK / name)
        assert found.difference == "" and found.n_entries > 5
        manifest = json.loads((PACK / name / MANIFEST).read_text("utf-8"))
        for file in manifest["files"]:
            content = (PACK / name / file["name"]).read_bytes()
            assert f"{zlib.crc32(content):08x}" == file["crc32"]


def test_it_is_small() -> None:
    sizes = [path.stat().st_size for path in PACK.rglob("*") if path.is_file()]
    assert sum(sizes) < 600_000
