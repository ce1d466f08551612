"""Arrays of HDF5 files of any tool: what h5py writes in all its forms is read as h5py reads it."""

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from bitpim_traces import hdf5_arrays
from bitpim_traces.errors import TraceDataError
from bitpim_traces.hdf5_arrays import Hdf5Arrays

RNG = np.random.default_rng(3)
ARRAYS: dict[str, Any] = {
    "bytes": RNG.integers(0, 2, (5, 70)).astype(np.uint8),
    "truth": RNG.integers(0, 2, (7, 3)).astype(bool),
    "g/longs": RNG.integers(-5, 9999, 1000),
    "g/h/big_endian": RNG.integers(0, 9, (130, 77)).astype(">i4"),
    "floats": RNG.random((4, 3)).astype(np.float32),
    "words": RNG.integers(0, 2**63, 33, dtype=np.uint64),
    "one": np.int64(12),
}
FILTERS: list[dict[str, Any]] = [
    {},
    {"chunks": True},
    {"chunks": True, "compression": "gzip"},
    {"chunks": True, "shuffle": True, "fletcher32": True},
    {"chunks": True, "compression": "gzip", "shuffle": True, "fletcher32": True},
]


def write(path: Path, libver: str, options: dict[str, Any], **file_options: Any) -> None:
    with h5py.File(path, "w", libver=libver, **file_options) as file:
        for name, values in ARRAYS.items():
            made = file.create_dataset(name, data=values, **(options if values.ndim else {}))
            made.attrs["n_bits"] = np.int16(17)
        file["soft"], file["again"] = h5py.SoftLink("/bytes"), file["g/longs"]
        file["text"] = "no numbers"
        file["g/h"].attrs["n_bits"] = 9
        for i in range(30):  # more than one node of a symbol table
            file[f"many/m{i}"] = np.arange(i + 1)


@pytest.mark.parametrize("libver", ["earliest", "v108", "v110"])
def test_what_h5py_writes(tmp_path: Path, libver: str) -> None:
    path = tmp_path / "a.h5"
    for n, options in enumerate(FILTERS):
        block = {"userblock_size": 512} if n == 2 else {}
        write(path, libver, options, track_order=n == 1, **block)
        opened = Hdf5Arrays(str(path))
        many = {f"/many/m{i}" for i in range(30)}
        assert set(opened.names) == {*map("/{}".format, ARRAYS), "/again", "/soft", "/text", *many}
        for name, values in ARRAYS.items():
            found = opened.read(f"/{name}")
            assert found.shape == values.shape and np.array_equal(found, values), name
            assert opened.integer(f"/{name}", "n_bits") == 17
        assert np.array_equal(opened.read("/again"), ARRAYS["g/longs"])
        assert np.array_equal(opened.read("/many/m29"), np.arange(30))
        assert opened.integer("/g/h/x", "n_bits") == 9 and opened.integer("/g/x", "n_bits") is None
        with pytest.raises(TraceDataError, match="text: need integers or truth values"):
            opened.read("/text")
        with pytest.raises(TraceDataError, match="soft: need an array in its place, got a link by"):
            opened.read("/soft")


@pytest.mark.parametrize("options", [{}, {"compression": "gzip"}])
@pytest.mark.parametrize("libver", ["earliest", "v110"])
def test_more_chunks_than_a_page_or_node_of_their_index(
    tmp_path: Path, libver: str, options: dict[str, Any]
) -> None:
    values = np.arange(1500 * 3).reshape(1500, 3)
    with h5py.File(tmp_path / "a.h5", "w", libver=libver) as file:
        file.create_dataset("a", data=values, chunks=(1, 2), **options)
    assert np.array_equal(Hdf5Arrays(str(tmp_path / "a.h5")).read("/a"), values)


def test_arrays_that_may_grow_and_chunks_beyond_the_shape(tmp_path: Path) -> None:
    values = np.arange(30).reshape(5, 6)
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_dataset("a", data=values, chunks=(4, 4), maxshape=(None, None))
        file.create_dataset("b", data=values, chunks=(64, 4), maxshape=(None, 6))
    opened = Hdf5Arrays(str(tmp_path / "a.h5"))
    assert np.array_equal(opened.read("/a"), values) and np.array_equal(opened.read("/b"), values)


def make(path: Path, name: str) -> None:
    with h5py.File(path, "w", libver="v110" if name == "newer index" else "earliest") as file:
        values = np.arange(30).reshape(5, 6)
        match name:
            case "filter":
                file.create_dataset("a", data=values, compression="lzf")
            case "newer index":
                file.create_dataset("a", data=values, chunks=(2, 2), maxshape=(None, None))
            case "unwritten":
                file.create_dataset("a", shape=(5, 6), dtype="i4")
            case "some unwritten":
                file.create_dataset("a", shape=(5, 6), dtype="i4", chunks=(1, 6))[0] = 1
            case "empty":
                file.create_dataset("a", shape=(0, 6), dtype="i4")
            case "null":
                file["a"] = h5py.Empty("i4")
            case "compound":
                file["a"] = np.zeros(3, [("x", "i4"), ("y", "i4")])
            case "half":
                file["a"] = np.zeros(3, np.float16)
            case "type of its own":
                file["t"] = np.dtype("i4")
                file.create_dataset("a", shape=(3,), dtype=file["t"])[:] = 1
            case "elsewhere":
                file.create_dataset("a", shape=(3,), dtype="i4", external=str(path) + ".raw")[:] = 1


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("filter", "chunks that pass shuffle, gzip or fletcher32 alone, got filter 32000"),
        ("newer index", "chunks of a shape that does not grow"),
        ("unwritten", "values that were written, got none"),
        ("some unwritten", "need 5 chunks, each once"),
        ("empty", "an empty array"),
        ("null", "need numbers, got no values"),
        ("compound", "need integers or truth values"),
        ("half", "another type"),
        ("type of its own", "a shared message"),
        ("elsewhere", "external files"),
    ],
)
def test_what_is_not_read_is_said(tmp_path: Path, name: str, said: str) -> None:
    path = tmp_path / "a.h5"
    make(path, name)
    with pytest.raises(TraceDataError) as error:
        Hdf5Arrays(str(path)).read("/a")
    assert said in str(error.value) and str(error.value).startswith(f"{path}: /a: need ")


def test_a_chunk_that_passed_some_filters_only(tmp_path: Path) -> None:
    values = np.arange(99)
    with h5py.File(tmp_path / "a.h5", "w") as file:
        made = file.create_dataset(
            "a", data=values[::-1], chunks=(99,), compression="gzip", shuffle=True
        )
        shuffled = np.ascontiguousarray(values.view(np.uint8).reshape(99, 8).T).tobytes()
        made.id.write_direct_chunk((0,), shuffled, filter_mask=0b10)
    with h5py.File(tmp_path / "a.h5") as file:
        assert np.array_equal(file["a"][:], values)
    assert np.array_equal(Hdf5Arrays(str(tmp_path / "a.h5")).read("/a"), values)


def test_a_damaged_chunk_is_seen_and_a_bomb_is_not_inflated(tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        made = file.create_dataset(
            "a", data=np.arange(99), chunks=(99,), compression="gzip", fletcher32=True
        )
        where = made.id.get_chunk_info(0)
    content = bytearray(path.read_bytes())
    content[where.byte_offset + where.size // 2] ^= 4
    path.write_bytes(content)
    with pytest.raises(TraceDataError, match="the checksum of a chunk, got another"):
        Hdf5Arrays(str(path)).read("/a")
    with h5py.File(path, "w") as file:
        made = file.create_dataset("a", data=np.zeros(99, int), chunks=(99,), compression="gzip")
        where = made.id.get_chunk_info(0)
        file.create_dataset("b", data=np.zeros(10**6, int), chunks=(10**6,), compression="gzip")
        bomb = file["b"].id.read_direct_chunk((0,))[1]
        made.id.write_direct_chunk((0,), bomb)
    with pytest.raises(TraceDataError, match="a whole gzip stream in a chunk, got part of one, or"):
        Hdf5Arrays(str(path)).read("/a")


def test_a_group_that_holds_itself_ends(tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        group = file.create_group("g")
        group["self"], group["root"], group["a"] = group, file["/"], np.arange(3)
    assert np.array_equal(Hdf5Arrays(str(path)).read("/g/a"), np.arange(3))


def test_names_that_share_bytes_are_refused(tmp_path: Path) -> None:
    """Else a heap of a megabyte under ten thousand symbols takes ten gigabytes."""
    path, long = tmp_path / "a.h5", "b" * 300
    with h5py.File(path, "w", libver="earliest") as file:
        for name in ("a", long, "c", "d", "e"):
            file[name] = 1
    assert len(Hdf5Arrays(str(path)).names) == 5
    content = bytearray(path.read_bytes())
    symbols = content.index(b"SNOD") + 8
    place = content[symbols + 40 : symbols + 48]  # sorted by name: the long one is second
    for n in range(5):
        content[symbols + 40 * n : symbols + 40 * n + 8] = place
    path.write_bytes(content)
    with pytest.raises(TraceDataError, match="names that end in their heap and share no bytes"):
        Hdf5Arrays(str(path))
    content[symbols : symbols + 8] = (2**40).to_bytes(8, "little")
    path.write_bytes(content)
    with pytest.raises(TraceDataError, match="names that end in their heap and share no bytes"):
        Hdf5Arrays(str(path))


@pytest.mark.parametrize("libver", ["earliest", "v110"])
def test_paths_stay_short_and_few(
    tmp_path: Path, libver: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A name stands in the path of everything below it; one object may have many names."""
    path = tmp_path / "a.h5"
    with h5py.File(path, "w", libver=libver) as file:
        file["b" * 1024] = 1
        file["g/a"], file["g/b"] = file["b" * 1024], file["b" * 1024]
    monkeypatch.setattr(hdf5_arrays, "_MOST_MEMBERS", 4)
    assert len(Hdf5Arrays(str(path)).names) == 3
    monkeypatch.setattr(hdf5_arrays, "_MOST_MEMBERS", 3)
    with pytest.raises(TraceDataError, match="need at most 3 members of groups"):
        Hdf5Arrays(str(path))
    with h5py.File(path, "w", libver=libver) as file:
        file["b" * 1025] = 1
    with pytest.raises(TraceDataError, match="names of 1024 bytes"):
        Hdf5Arrays(str(path))
