"""A trace file as plain Python values, between HDF5 and the records; and the digest that names it.

`scan` makes a tree from a file, `decode` makes records from a tree; `encode` and `writer` go the
other way. Nothing here knows h5py.
"""

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = [
    "DatasetEntry",
    "GroupEntry",
    "Tree",
    "Value",
    "blocks",
    "child",
    "digest_of",
    "sha256_of",
]

Value = int | tuple[int, ...] | str | tuple[str, ...]
"""What an attribute holds. There are no float attributes, so a manifest has one spelling only.

A trace has no lists of texts.
"""

Load = Callable[[int, int], npt.NDArray[Any]]

BLOCK_BYTES = 2**22
"""Size in memory of the pieces in which tensors are written, digested and checked."""


@dataclass(frozen=True, slots=True)
class GroupEntry:
    """A group and its attributes."""

    attributes: Mapping[str, Value]


@dataclass(frozen=True, slots=True)
class DatasetEntry:
    """A dataset: attributes, dtype (little-endian; "S" for texts), shape, and how to read it.

    `load(start, stop)` yields elements of the first axis.
    """

    attributes: Mapping[str, Value]
    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    load: Load

    @property
    def type_name(self) -> str:
        """Name of the dtype as FORMAT.md has it."""
        return "text" if self.dtype.kind == "S" else self.dtype.name


Tree = dict[str, GroupEntry | DatasetEntry]
"""Every object of a file by its HDF5 path; the root is "/"."""


def child(path: str, name: str) -> str:
    """Yield the path of a member of a group."""
    return f"{path.rstrip('/')}/{name}"


def blocks(shape: tuple[int, ...], itemsize: int, multiple: int = 1) -> list[tuple[int, int]]:
    """Cut the first axis into ranges of about BLOCK_BYTES, each (but the last) a multiple long."""
    row = max(int(np.prod(shape[1:], dtype=np.int64)) * itemsize, 1)
    step = max(BLOCK_BYTES // row // multiple, 1) * multiple
    return [(start, min(start + step, shape[0])) for start in range(0, shape[0], step)]


def sha256_of(entry: DatasetEntry) -> str:
    """Compute SHA-256 of a dataset's values: C order, little-endian."""
    running = hashlib.sha256()
    for start, stop in blocks(entry.shape, entry.dtype.itemsize):
        running.update(np.ascontiguousarray(entry.load(start, stop), entry.dtype).data)
    return running.hexdigest()


def digest_of(tree: Tree) -> str:
    """Compute the digest that names the content: SHA-256 of the manifest of FORMAT.md section 4."""
    manifest: dict[str, Any] = {}
    for path, entry in tree.items():
        attributes = dict(entry.attributes)
        if path == "/":
            attributes.pop("digest", None)
        manifest[path] = {"attributes": attributes}
        if isinstance(entry, DatasetEntry):
            manifest[path] |= {"dtype": entry.type_name, "shape": entry.shape}
    text = json.dumps(manifest, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(text.encode("ascii")).hexdigest()
