"""What h5py writes is what the reader reads: every structure that a trace or a result can have."""

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from bitpim_traces.faults import Fault
from bitpim_traces.open_file import OpenFile
from bitpim_traces.scan import Kind, scan
from bitpim_traces.tree import DatasetEntry, Tree

FREE = Kind(Fault.error, digests=False, free_texts=True, max_text_bytes=2**20)
FILTERED = {"compression": "gzip", "shuffle": True, "fletcher32": True}
VERSIONS = ["v108", "v110", "latest"]


def raising(fault: Fault) -> None:
    raise AssertionError(str(fault))


def as_h5py_reads(path: Path) -> dict[str, tuple[dict[str, Any], Any]]:
    """Attributes and values of every object."""
    found: dict[str, tuple[dict[str, Any], Any]] = {}
    with h5py.File(path) as file:
        names = ["/"]
        file.visititems(lambda name, item: names.append(f"/{name}"))
        for name in names:
            item = file[name]
            values = item[...] if isinstance(item, h5py.Dataset) else None
            found[name] = ({key: _plain(value) for key, value in item.attrs.items()}, values)
    return found


def _plain(value: Any) -> Any:
    if isinstance(value, bytes):
        return value.decode()
    if isinstance(value, np.ndarray):
        return tuple(v.decode() if isinstance(v, bytes) else v for v in value.tolist())
    return value if isinstance(value, str) else int(value)


def need_equal(path: Path, *, user_block: int = 0) -> Tree:
    kind = Kind(Fault.error, False, user_block, True, 2**20)
    tree = scan(OpenFile(str(path)), raising, kind, sealed=False)
    expected = as_h5py_reads(path)
    assert set(tree) == set(expected)
    for name, (attributes, values) in expected.items():
        entry = tree[name]
        assert dict(entry.attributes) == attributes, name
        assert isinstance(entry, DatasetEntry) == (values is not None)
        if isinstance(entry, DatasetEntry):
            assert (entry.shape, entry.dtype) == (values.shape, values.dtype)
            np.testing.assert_array_equal(entry.load(0, entry.shape[0]), values)
            for start in range(min(entry.shape[0], 9)):
                np.testing.assert_array_equal(
                    entry.load(start, start + 1), values[start : start + 1]
                )
    return tree


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("n_links", [0, 1, 8, 9, 30, 700, 6000])
def test_links_in_headers_and_heaps(tmp_path: Path, version: str, n_links: int) -> None:
    """8 fit the header, 30 a leaf of the B-tree, 700 a node above leaves, 6000 two levels."""
    path = tmp_path / "a.h5"
    with h5py.File(path, "w", libver=(version, version)) as file:
        for k in range(n_links):
            file.create_group(f"{k:04d}{'long name ' * (k % 7)}")
    assert len(need_equal(path)) == n_links + 1


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("n_attributes", [0, 7, 8, 9, 64])
@pytest.mark.parametrize("in_order", [False, True])
def test_attributes_in_headers_and_heaps(
    tmp_path: Path, version: str, n_attributes: int, in_order: bool
) -> None:
    path = tmp_path / "a.h5"
    with h5py.File(path, "w", libver=(version, version)) as file:
        group = file.create_group("group", track_order=in_order)
        for k in range(n_attributes):
            group.attrs[f"attribute {k}"] = [
                k,
                -k,
                "é" * k,
                "",
                np.bytes_(b"fixed" * (k + 1)),
                np.array([k, 2**62]),
                np.array(["a", "bc", "é"], h5py.string_dtype()),
                np.uint8(k),
                np.array([b"one", b"two"]),
            ][k % 9]
    need_equal(path)


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize(
    ("shape", "chunk"),
    [
        ((5,), (5,)),  # one chunk
        ((5,), (2,)),
        ((7, 3), (2, 2)),
        ((64, 64), (1, 1)),  # an array in pages, a B-tree of several levels
        ((1024,), (1,)),  # one page, exactly
        ((1025,), (1,)),
        ((3, 4, 5, 2), (2, 4, 1, 2)),
        ((0, 3), None),
    ],
)
@pytest.mark.parametrize("dtype", ["<i1", "<u2", "<f4", "<f8", "<i8", "S3"])
def test_chunks(
    tmp_path: Path, version: str, shape: tuple[int, ...], chunk: tuple[int, ...] | None, dtype: str
) -> None:
    path = tmp_path / "a.h5"
    values = (np.arange(np.prod(shape, dtype=int)) % 100).astype(dtype).reshape(shape)
    how: dict[str, Any] = {"chunks": chunk, **FILTERED} if chunk else {}
    with h5py.File(path, "w", libver=(version, version)) as file:
        file.create_dataset("values", data=values, **how)
    need_equal(path)


def test_a_user_block_shifts_everything(tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    with h5py.File(path, "w", libver=("v110", "v110"), userblock_size=512) as file:
        file.attrs["text"] = "in a heap"
        file.create_dataset("values", data=np.arange(100), chunks=(7,), **FILTERED)
        for k in range(20):
            file.create_group(f"{k}")
    need_equal(path, user_block=512)
