"""What the reader does not take, each by its own name."""

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from bitpim_traces.hdf5 import Hdf5, Refused
from bitpim_traces.hdf5.heaps import GlobalHeap
from bitpim_traces.open_file import OpenFile

V110 = ("v110", "v110")
FILTERED: dict[str, Any] = {"compression": "gzip", "shuffle": True, "fletcher32": True}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "a.h5"


def opened(path: Path) -> Hdf5:
    return Hdf5(OpenFile(str(path)))


def member(path: Path, name: bytes) -> Any:
    """Read one dataset of the root, and its table of chunks."""
    file = opened(path)
    links = file.links(file.read(file.root)[0])
    address = next(link.address for link in links if link.name == name)
    assert address is not None
    return file.dataset(file.read(address)[0]).chunk_table()


@pytest.mark.parametrize("version", ["v108", "v110"])
@pytest.mark.parametrize("n_rows", [1, 4])
def test_a_chunk_that_passed_some_filters(path: Path, version: str, n_rows: int) -> None:
    with h5py.File(path, "w", libver=(version, version)) as file:
        made = file.create_dataset("a", data=np.zeros((n_rows, 9)), chunks=(1, 9), **FILTERED)
        made.id.write_direct_chunk((n_rows - 1, 0), bytes(72), 1)
    with pytest.raises(Refused, match="passed some filters"):
        member(path, b"a")


def test_a_type_that_is_shared(path: Path) -> None:
    with h5py.File(path, "w", libver=V110) as file:
        file["type"] = np.dtype("<i4")
        file.create_dataset("a", (3,), dtype=file["type"], chunks=(3,), **FILTERED)
    with pytest.raises(Refused, match="a shared message"):
        member(path, b"a")


def test_texts_end_with_their_place_in_the_heap(path: Path) -> None:
    """A reference that states another length than the text has reads nothing beyond it."""
    with h5py.File(path, "w", libver=V110) as file:
        file.attrs["a"] = "first"
        file.attrs["b"] = "secret"
    file = opened(path)
    [first, _] = file.attributes(file.read(file.root)[0])
    assert file.texts(first) == [b"first"]
    for length in (6, 8, 40, 2**31):
        with pytest.raises(Refused, match="texts inside their heap"):
            GlobalHeap(file.metadata).text(length.to_bytes(4, "little") + first.stored[4:])


def test_more_links_than_the_heap_lists_are_refused_by_the_budget(path: Path) -> None:
    """Each block is read once: a second reading of the same blocks is refused."""
    with h5py.File(path, "w", libver=V110) as file:
        file.create_group("a")
    file = opened(path)
    with pytest.raises(Refused, match="share no bytes"):
        for _ in range(1000):
            file.read(file.root)


def test_a_file_left_open_by_its_writer(path: Path) -> None:
    with h5py.File(path, "w", libver=V110):
        pass
    content = bytearray(path.read_bytes())
    content[11] |= 1
    path.write_bytes(content)
    with pytest.raises(Refused, match="a file that its writer closed"):
        opened(path)
