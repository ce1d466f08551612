"""Groups, datasets and attributes of one file, by the addresses of their headers."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from bitpim_traces.hdf5.chunk_tables import ChunkTable, Layout, layout_of
from bitpim_traces.hdf5.headers import (
    ATTRIBUTE,
    ATTRIBUTES_ELSEWHERE,
    DATASPACE,
    DATATYPE,
    FILTERS,
    LAYOUT,
    LINK,
    LINKS_ELSEWHERE,
    Messages,
    messages_of,
)
from bitpim_traces.hdf5.heaps import GlobalHeap, dense_objects
from bitpim_traces.hdf5.metadata import Fields, Metadata, Refused
from bitpim_traces.hdf5.types import TEXT_OF_ANY_LENGTH, Shape, dtype_of, shape_of
from bitpim_traces.open_file import OpenFile

__all__ = [
    "Dataset",
    "Group",
    "Hdf5",
    "Link",
    "StoredAttribute",
    "attributes_of",
    "links_of",
]

SIGNATURE = b"\x89HDF\r\n\x1a\n"
_FILTERS = (2, 1, 3)  # shuffle, gzip, fletcher32
_LINK_NAMES = 5, 11, 4  # records of this type and size, with the heap ID here
_ATTRIBUTE_NAMES = 8, 17, 0


@dataclass(frozen=True, slots=True)
class Link:
    """A member of a group; `address` is None where it is no plain (hard) link."""

    name: bytes
    address: int | None


@dataclass(frozen=True, slots=True)
class StoredAttribute:
    """An attribute as it is stored: name, type, shape and values."""

    name: bytes
    type_body: bytes
    space_body: bytes
    stored: bytes

    @property
    def dtype(self) -> "np.dtype[Any]":
        """The dtype: little-endian, "S" for texts, TEXT_OF_ANY_LENGTH."""
        return dtype_of(self.type_body)

    @property
    def shape(self) -> Shape:
        """Sizes of its axes; () for one value, None for none."""
        return shape_of(self.space_body)

    def values(self) -> "np.ndarray[Any, Any]":
        """Yield the values, flat."""
        shape, dtype = self.shape, self.dtype
        n_bytes = 0 if shape is None else math.prod(shape) * dtype.itemsize
        return np.frombuffer(Fields(self.stored).take(n_bytes), dtype)


class Group:
    """A group: its links."""

    def __init__(self, links: list[Link]) -> None:
        self.links = links


class Dataset:
    """A dataset: what its header says of it."""

    def __init__(self, metadata: Metadata, messages: Messages) -> None:
        self._metadata = metadata
        self.dtype = dtype_of(messages[DATATYPE][0])
        self.shape = shape_of(messages[DATASPACE][0])
        self.layout: Layout | None = layout_of(messages[LAYOUT][0])
        self.filters = _filters(messages)

    @property
    def is_filtered(self) -> bool:
        """Whether chunks pass exactly shuffle, gzip and fletcher32."""
        return self.filters == _FILTERS

    def chunk_table(self) -> ChunkTable:
        """Read where the chunks lie."""
        assert self.layout is not None and self.shape is not None
        if self.layout.item_bytes != self.dtype.itemsize:
            raise Refused("chunks of the dataset's type", f"{self.layout.item_bytes} bytes a value")
        return self.layout.table(self._metadata, self.shape)


def _filters(messages: Messages) -> tuple[int, ...]:
    if FILTERS not in messages:
        return ()
    fields = Fields(messages[FILTERS][0])
    fields.need(b"\x02", "filters of version 2")
    found = []
    for _ in range(min(fields.int(1), len(_FILTERS) + 1)):
        number = fields.int(2)
        found.append(number)
        if number not in _FILTERS:
            break  # its fields may have another form, and it is refused
        fields.int(2)
        fields.take(4 * fields.int(2))
    return tuple(found)


class Hdf5:
    """One open file.

    Raises
    ------
    Refused
        No HDF5 file whose superblock, after a user block of `user_block` bytes, is one of version 2
        or 3.
    """

    def __init__(self, file: OpenFile, user_block: int = 0) -> None:
        head = Fields(file.read(user_block, 48))
        if head.take(9)[8] not in (2, 3):
            raise Refused("HDF5 superblock 2 or 3 (libver 'v110', h5repack --low=2)", "another")
        head.need(b"\x08\x08", "addresses and sizes of 8 bytes")
        if head.int(1) & 1:
            raise Refused("a file that its writer closed", "one left open")
        if head.int(8) != user_block:
            raise Refused("addresses that start where the file does", "others")
        head.int(8)  # an extension, of no use to a reader
        self.metadata = Metadata(file, user_block)
        end, self.root = head.int(8), head.int(8)
        if end > file.size():
            raise Refused(f"{end} bytes", f"{file.size()}: the file is cut")
        self._texts = GlobalHeap(self.metadata)

    def read(self, address: int) -> tuple[Messages, str]:
        """Read an object's header, and say what it is: "group", "dataset" or "other"."""
        messages = messages_of(self.metadata, address)
        if LINKS_ELSEWHERE in messages and LAYOUT not in messages:
            return messages, "group"
        if {DATASPACE, DATATYPE, LAYOUT} <= messages.keys() and LINK not in messages:
            return messages, "dataset"
        return messages, "other"

    def links(self, messages: Messages) -> list[Link]:
        """Yield the members of a group, sorted by name."""
        return links_of(self.metadata, messages)

    def attributes(self, messages: Messages) -> list[StoredAttribute]:
        """Yield the attributes of an object, sorted by name."""
        return attributes_of(self.metadata, messages)

    def dataset(self, messages: Messages) -> Dataset:
        """Yield what a dataset's header says."""
        return Dataset(self.metadata, messages)

    def texts(self, attribute: StoredAttribute) -> list[bytes]:
        """Read the texts of an attribute, of fixed or any length, up to their first zero byte."""
        parts = [value.tobytes() for value in attribute.values()]
        if attribute.dtype == TEXT_OF_ANY_LENGTH:
            parts = [self._texts.text(part) for part in parts]
        return [part.split(b"\0")[0] for part in parts]


def links_of(metadata: Metadata, messages: Messages) -> list[Link]:
    """Yield the members of a group, sorted by name."""
    fields = Fields(messages[LINKS_ELSEWHERE][0])
    fields.need(b"\0", "links of version 0")
    flags = fields.int(1)
    fields.take(8 if flags & 1 else 0)
    heap, tree = fields.int(8), fields.int(8)
    bodies = [*messages.get(LINK, ()), *dense_objects(metadata, heap, tree, *_LINK_NAMES)]
    return sorted(map(_link, bodies), key=lambda link: link.name)


def attributes_of(metadata: Metadata, messages: Messages) -> list[StoredAttribute]:
    """Yield the attributes of an object, sorted by name."""
    bodies = list(messages.get(ATTRIBUTE, ()))
    if ATTRIBUTES_ELSEWHERE in messages:
        fields = Fields(messages[ATTRIBUTES_ELSEWHERE][0])
        fields.need(b"\0", "attributes of version 0")
        flags = fields.int(1)
        fields.take(2 if flags & 1 else 0)
        heap, tree = fields.int(8), fields.int(8)
        bodies += dense_objects(metadata, heap, tree, *_ATTRIBUTE_NAMES)
    return sorted(map(_attribute, bodies), key=lambda attribute: attribute.name)


def _link(body: bytes) -> Link:
    fields = Fields(body)
    fields.need(b"\x01", "links of version 1")
    flags = fields.int(1)
    sort = fields.int(1) if flags & 8 else 0
    fields.take(8 if flags & 4 else 0)
    fields.take(1 if flags & 16 else 0)
    name = fields.take(fields.int(1 << (flags & 3)))
    return Link(name, fields.int(8) if sort == 0 else None)


def _attribute(body: bytes) -> StoredAttribute:
    fields = Fields(body)
    version, flags = fields.int(1), fields.int(1)
    if version not in (1, 2, 3) or (version > 1 and flags):
        raise Refused("attributes with types of their own", f"{version=}, {flags=}")
    sizes = fields.int(2), fields.int(2), fields.int(2)
    fields.take(1 if version == 3 else 0)
    parts = []
    for size in sizes:
        parts.append(fields.take(size))
        fields.take(-size % 8 if version == 1 else 0)
    return StoredAttribute(parts[0].split(b"\0")[0], parts[1], parts[2], fields.rest())
