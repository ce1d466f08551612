"""HDF5 file -> tree: the only place where a file from elsewhere is read.

A file may come from anywhere, so nothing it says is believed: links must be plain, types fixed,
shapes, texts and chunks bounded before anything is allocated. What is not as it must be becomes a
fault that names the object.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from bitpim_traces.chunks import ChunkedValues
from bitpim_traces.faults import Fault, Report, shown
from bitpim_traces.file_bounds import (
    MAX_AXES,
    MAX_AXIS,
    MAX_CHUNK_BYTES,
    MAX_OBJECTS,
    MAX_PARAMETERS,
    MAX_ROW_BYTES,
    MAX_TEXT_BYTES,
)
from bitpim_traces.hdf5 import Hdf5, Refused, StoredAttribute
from bitpim_traces.hdf5.headers import Messages
from bitpim_traces.hdf5.types import TEXT_OF_ANY_LENGTH
from bitpim_traces.open_file import OpenFile
from bitpim_traces.tree import DatasetEntry, GroupEntry, Tree, Value, child

__all__ = ["Kind", "scan"]

_MAX_DEPTH = 8
_MAX_ATTRIBUTES = 64


@dataclass(frozen=True, slots=True)
class Kind:
    """What one kind of file may have beyond plain groups, datasets, numbers and texts.

    `error` makes the error that damaged values raise when they are read, of a fault and a file.
    `digests` says that each dataset has an attribute `sha256`.
    """

    error: Callable[[Fault, str], Exception]
    digests: bool = True
    user_block: int = 0
    free_texts: bool = False  # of any length, and lists of them
    max_text_bytes: int = MAX_TEXT_BYTES


def scan(file: OpenFile, report: Report, kind: Kind, *, sealed: bool) -> Tree:
    """Read the structure of a file; tensors stay in the file.

    Every fault goes to `report`; what is faulty is left out of the tree. Values of a file that a
    seal has proven are not digested once more.
    """
    tree: Tree = {}
    try:
        opened = Hdf5(file, kind.user_block)
        _Walk(opened, report, kind, tree, sealed).object(opened.root, "/", 0)
    except Refused as refused:
        report(Fault("/", refused.need, refused.got))
    return tree


class _Walk:
    """Visits every object once and fills the tree."""

    def __init__(self, opened: Hdf5, report: Report, kind: Kind, tree: Tree, sealed: bool) -> None:
        self.opened, self.report, self.kind, self.tree = opened, report, kind, tree
        self.sealed = sealed
        self.seen: set[int] = set()

    def object(self, address: int, path: str, depth: int) -> None:
        """Visit a group or dataset; whatever is wrong is a fault of this object."""
        try:
            if address in self.seen:
                raise Refused("an object of its own", "a second link to another object")
            self.seen.add(address)
            if len(self.seen) > MAX_OBJECTS:
                raise Refused(f"at most {MAX_OBJECTS} objects", "more")
            messages, sort = self.opened.read(address)
            attributes = self._attributes(messages, path)
            if sort == "dataset":
                self.tree[path] = self._dataset(messages, path, attributes)
            elif sort == "group":
                self.tree[path] = GroupEntry(attributes)
                self._members(messages, path, depth)
            else:
                raise Refused("a group or a dataset", "another kind of object")
        except Refused as refused:
            self.report(Fault(path, refused.need, refused.got))

    def _members(self, messages: Messages, path: str, depth: int) -> None:
        if depth >= _MAX_DEPTH:
            raise Refused(f"groups at most {_MAX_DEPTH} deep", "deeper ones")
        before = None
        for link in self.opened.links(messages):
            where = child(path, ascii(link.name.decode("utf-8", "replace"))[1:-1])
            name = _name(link.name)
            if link.address is None:
                self.report(Fault(where, "a plain (hard) link", "a soft or external link"))
            elif name is None:
                need = "a printable UTF-8 name without / or @, at most 255 bytes"
                self.report(Fault(where, need, shown(link.name)))
            elif link.name == before:
                self.report(Fault(where, "one object of a name", "two"))
            else:
                self.object(link.address, child(path, name), depth + 1)
            before = link.name

    def _attributes(self, messages: Messages, path: str) -> dict[str, Value]:
        stored = self.opened.attributes(messages)
        if len(stored) > _MAX_ATTRIBUTES:
            raise Refused(f"at most {_MAX_ATTRIBUTES} attributes", str(len(stored)))
        attributes: dict[str, Value] = {}
        for index, attribute in enumerate(stored):
            where = f"{path}@{index}"
            try:
                name = _name(attribute.name)
                if name is None:
                    raise Refused("a printable UTF-8 name without / or @", shown(attribute.name))
                where = f"{path}@{name}"
                if name in attributes:
                    raise Refused("one attribute of a name", "two")
                attributes[name] = self._attribute(attribute)
            except Refused as refused:
                self.report(Fault(where, refused.need, refused.got))
        return attributes

    def _attribute(self, attribute: StoredAttribute) -> Value:
        dtype, shape = attribute.dtype, attribute.shape
        if shape is None or len(shape) > 1 or (shape and shape[0] > MAX_TEXT_BYTES):
            raise Refused("one value or a short list", "another shape")
        if dtype.kind in "iu":
            numbers = tuple(int(n) for n in attribute.values())
            return numbers if shape else numbers[0]
        most = self.kind.max_text_bytes
        is_free = shape != () or dtype == TEXT_OF_ANY_LENGTH
        if dtype.kind == "f" or (is_free and not self.kind.free_texts):
            need = f"an integer, or one text of fixed length, at most {most} bytes"
            raise Refused(need, "another type")
        texts = self.opened.texts(attribute)
        if any(len(text) > most for text in texts):
            raise Refused(f"texts of at most {most} bytes", "a longer one")
        try:
            decoded = tuple(text.decode("utf-8") for text in texts)
        except UnicodeDecodeError as error:
            raise Refused("texts in UTF-8", shown(str(error))) from error
        return decoded if shape else decoded[0]

    def _dataset(self, messages: Messages, path: str, attributes: dict[str, Value]) -> DatasetEntry:
        dataset = self.opened.dataset(messages)
        dtype, shape = dataset.dtype, dataset.shape
        if dtype == TEXT_OF_ANY_LENGTH or (dtype.kind == "S" and dtype.itemsize > MAX_PARAMETERS):
            raise Refused(f"a text of fixed length, at most {MAX_PARAMETERS} bytes", "another")
        if not shape:
            raise Refused("a simple dataspace with axes", "a scalar or null one")
        if len(shape) > MAX_AXES or max(shape) > MAX_AXIS:
            raise Refused(f"1 to {MAX_AXES} axes of at most {MAX_AXIS}", shown(shape))
        if math.prod(shape) * dtype.itemsize > 2**62:
            raise Refused("a tensor that can be addressed", shown(shape))
        if not math.prod(shape):
            return DatasetEntry(
                attributes, dtype, shape, lambda start, stop: np.empty(shape, dtype)[start:stop]
            )
        layout = dataset.layout
        if layout is None:
            raise Refused("a chunked layout", "another layout")
        _check_chunk(layout.chunk, shape, dtype)
        if not dataset.is_filtered:
            need = "filters shuffle, gzip, fletcher32"
            raise Refused(need, f"filter numbers {dataset.filters}")
        table = dataset.chunk_table()
        load = ChunkedValues(
            self.opened.metadata.file,
            path,
            dtype,
            shape,
            layout.chunk,
            table,
            str(attributes.get("sha256")) if self.kind.digests else None,
            self.sealed,
            self.kind.error,
        )
        return DatasetEntry(attributes, dtype, shape, load)


def _name(raw: bytes) -> str | None:
    try:
        name = raw.decode("utf-8")
    except UnicodeDecodeError:
        return None
    good = 0 < len(raw) <= 255 and name.isprintable() and "/" not in name and "@" not in name
    return name if good else None


def _check_chunk(chunk: tuple[int, ...], shape: tuple[int, ...], dtype: "np.dtype[Any]") -> None:
    bounded = len(chunk) == len(shape) and all(
        1 <= c <= n for c, n in zip(chunk, shape, strict=True)
    )
    if not bounded or math.prod(chunk) * dtype.itemsize > MAX_CHUNK_BYTES:
        raise Refused(f"chunks inside the shape, at most {MAX_CHUNK_BYTES} bytes", shown(chunk))
    # A row that is read sample by sample is decoded once and kept.
    row_bytes = chunk[0] * math.prod(shape[1:]) * dtype.itemsize
    if 1 < chunk[0] < shape[0] and row_bytes > MAX_ROW_BYTES:
        need = f"chunks of one sample, or of samples of at most {MAX_ROW_BYTES} bytes together"
        raise Refused(need, f"{row_bytes} bytes")
