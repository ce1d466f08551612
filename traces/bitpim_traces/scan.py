"""HDF5 file -> tree: the only place where a file meets h5py for reading.

A file may come from anywhere, so nothing it says is believed: links must be plain, types fixed,
shapes, texts and chunks bounded before anything is allocated, and every failure inside h5py becomes
a fault that names the object.
"""

import math
from typing import Any

import h5py
import numpy as np

from bitpim_traces.chunks import ChunkedValues, OpenFile, stored_limit
from bitpim_traces.errors import TraceError
from bitpim_traces.faults import Fault, Report, shown
from bitpim_traces.footer import verify_seal
from bitpim_traces.metadata_sizes import oversized
from bitpim_traces.schema import (
    EXTRA_DTYPES,
    MAX_AXES,
    MAX_AXIS,
    MAX_CHUNK_BYTES,
    MAX_OBJECTS,
    MAX_PARAMETERS,
    MAX_TEXT_BYTES,
)
from bitpim_traces.tree import DatasetEntry, GroupEntry, Tree, Value, child

__all__ = ["scan"]

_SIGNATURE = b"\x89HDF\r\n\x1a\n"
_MAX_DEPTH = 8
_MAX_ATTRIBUTES = 64
_SMALLEST_CHUNK = 12  # bytes in the file: an empty gzip stream and its fletcher32
_TYPES = [
    (h5py.h5t.py_create(dtype), dtype)
    for dtype in (np.dtype(name).newbyteorder("<") for name in EXTRA_DTYPES)
]
_INTEGER_TYPES = sorted(  # widest first: the writer's own attributes are int64
    ((tid, dtype) for tid, dtype in _TYPES if dtype.kind in "iu"), key=lambda t: -t[1].itemsize
)
_FILTERS = (h5py.h5z.FILTER_SHUFFLE, h5py.h5z.FILTER_DEFLATE, h5py.h5z.FILTER_FLETCHER32)


class _Refused(Exception):  # noqa: N818  (carries a fault to the nearest object)
    def __init__(self, need: str, got: str) -> None:
        super().__init__(need, got)
        self.need, self.got = need, got


def scan(file: OpenFile, report: Report) -> Tree:
    """Read the structure of a file; tensors stay in the file.

    Every fault goes to `report`; what is faulty is left out of the tree.
    """
    head = file.read(0, 9)
    if not head:
        report(Fault("/", "an HDF5 file", "an empty file"))
        return {}
    if head[:8] != _SIGNATURE:
        report(Fault("/", "an HDF5 file (signature at its start)", shown(head[:8])))
        return {}
    if len(head) < 9 or head[8] < 2:
        got = shown(head[8:])
        report(Fault("/", "HDF5 superblock 2 or later (libver 'v110', h5repack --low=2)", got))
        return {}
    sealed = verify_seal(file)
    if sealed is False:
        report(Fault("/", "the bytes that the footer's SHA-256 seals", "damaged bytes", "data"))
        return {}
    wrong = oversized(file)
    if wrong:
        report(Fault("/", "HDF5 metadata with sizes inside the file", wrong))
        return {}
    tree: Tree = {}
    try:
        # By a stream, not by name: it is the file the seal was verified on, needs no lock, and
        # HDF5 cannot take it for a damaged file that it failed to close before.
        with file.stream() as stream, h5py.File(stream, "r") as opened:
            if opened.id.get_create_plist().get_userblock():
                report(Fault("/", "no user block", "one"))
            else:
                _Walk(file, report, tree, sealed is True).object(
                    h5py.h5g.open(opened.id, b"/"), "/", 0
                )
    except TraceError:
        raise
    except Exception as error:  # h5py raises nearly anything on damaged files
        report(Fault("/", "an HDF5 file that can be opened", _said(error)))
    return tree


def _said(error: Exception) -> str:
    text = " ".join(str(error).split()) or type(error).__name__
    return f"h5py: {shown(text)}"


class _Walk:
    """Visits every object once and fills the tree."""

    def __init__(self, file: OpenFile, report: Report, tree: Tree, sealed: bool) -> None:
        self.file, self.report, self.tree, self.sealed = file, report, tree, sealed
        self.file_bytes = file.size()
        self.seen: set[int] = set()

    def object(self, oid: Any, path: str, depth: int) -> None:
        """Visit a group or dataset; whatever goes wrong is a fault of this object."""
        try:
            sort = h5py.h5i.get_type(oid)
            address = int(h5py.h5o.get_info(oid).addr)
            if address in self.seen:
                raise _Refused("an object of its own", "a second link to another object")
            self.seen.add(address)
            if len(self.seen) > MAX_OBJECTS:
                raise _Refused(f"at most {MAX_OBJECTS} objects", "more")
            attributes = self._attributes(oid, path)
            if sort == h5py.h5i.DATASET:
                self.tree[path] = self._dataset(oid, path, attributes)
            elif sort == h5py.h5i.GROUP:
                self.tree[path] = GroupEntry(attributes)
                self._members(oid, path, depth)
            else:
                raise _Refused("a group or a dataset", "another kind of object")
        except _Refused as refused:
            self.report(Fault(path, refused.need, refused.got))
        except TraceError:
            raise
        except Exception as error:  # as above
            self.report(Fault(path, "a readable object", _said(error)))

    def _members(self, oid: Any, path: str, depth: int) -> None:
        if depth >= _MAX_DEPTH:
            raise _Refused(f"groups at most {_MAX_DEPTH} deep", "deeper ones")
        for raw in list(oid):
            where = child(path, ascii(raw.decode("utf-8", "replace"))[1:-1])
            if oid.links.get_info(raw).type != h5py.h5l.TYPE_HARD:
                self.report(Fault(where, "a plain (hard) link", "a soft or external link"))
                continue
            name = _name(raw)
            if name is None:
                self.report(
                    Fault(
                        where,
                        "a printable UTF-8 name without / or @, at most 255 bytes",
                        shown(raw),
                    )
                )
                continue
            try:
                member = h5py.h5o.open(oid, raw)
            except Exception as error:  # as above
                self.report(Fault(where, "a readable object", _said(error)))
                continue
            self.object(member, child(path, name), depth + 1)

    def _attributes(self, oid: Any, path: str) -> dict[str, Value]:
        number = h5py.h5a.get_num_attrs(oid)
        if number > _MAX_ATTRIBUTES:
            raise _Refused(f"at most {_MAX_ATTRIBUTES} attributes", str(number))
        attributes: dict[str, Value] = {}
        for index in range(number):
            where = f"{path}@{index}"
            try:
                attribute = h5py.h5a.open(oid, index=index)
                name = _name(attribute.name)
                if name is None:
                    raise _Refused("a printable UTF-8 name without / or @", shown(attribute.name))
                where = f"{path}@{name}"
                attributes[name] = _attribute(attribute)
            except _Refused as refused:
                self.report(Fault(where, refused.need, refused.got))
            except TraceError:
                raise
            except Exception as error:  # as above
                self.report(Fault(where, "a readable attribute", _said(error)))
        return attributes

    def _dataset(self, oid: Any, path: str, attributes: dict[str, Value]) -> DatasetEntry:
        dtype = _dtype(oid.get_type())
        space = oid.get_space()
        if space.get_simple_extent_type() != h5py.h5s.SIMPLE:
            raise _Refused("a simple dataspace with axes", "a scalar or null one")
        shape = tuple(int(n) for n in space.get_simple_extent_dims())
        if not 1 <= len(shape) <= MAX_AXES or max(shape) > MAX_AXIS:
            raise _Refused(f"1 to {MAX_AXES} axes of at most {MAX_AXIS}", shown(shape))
        if tuple(space.get_simple_extent_dims(True)) != shape:
            raise _Refused("a fixed shape", "a resizable one")
        if math.prod(shape) * dtype.itemsize > 2**62:
            raise _Refused("a tensor that can be addressed", shown(shape))
        plist = oid.get_create_plist()
        if plist.get_external_count():
            raise _Refused("values in this file", "external files")
        if not math.prod(shape):
            return DatasetEntry(
                attributes, dtype, shape, lambda start, stop: np.empty(shape, dtype)[start:stop]
            )
        chunk = _chunk(plist, shape, dtype)
        offsets, sizes = self._chunk_table(oid, shape, chunk, dtype.itemsize)
        sha256 = str(attributes.get("sha256"))
        load = ChunkedValues(
            self.file, path, dtype, shape, chunk, offsets, sizes, sha256, self.sealed
        )
        return DatasetEntry(attributes, dtype, shape, load)

    def _chunk_table(
        self, oid: Any, shape: tuple[int, ...], chunk: tuple[int, ...], itemsize: int
    ) -> tuple[Any, Any]:
        grid = [-(-size // step) for size, step in zip(shape, chunk, strict=True)]
        expected = math.prod(grid)
        if expected > self.file_bytes // _SMALLEST_CHUNK:
            raise _Refused("no more chunks than the file can hold", f"{expected} for {shape}")
        if oid.get_num_chunks() != expected:
            raise _Refused(f"{expected} chunks", f"{oid.get_num_chunks()}")
        limit = stored_limit(math.prod(chunk) * itemsize)
        offsets = np.full(expected, -1, np.int64)
        sizes = np.zeros(expected, np.int64)

        def note(stored: Any) -> bool | None:
            place = [at // step for at, step in zip(stored.chunk_offset, chunk, strict=True)]
            if any(p >= n for p, n in zip(place, grid, strict=True)):
                return True
            number = int(np.ravel_multi_index(place, grid))
            good = (
                stored.filter_mask == 0
                and stored.byte_offset is not None
                and _SMALLEST_CHUNK <= stored.size <= limit
                and stored.byte_offset + stored.size <= self.file_bytes
            )
            if not good:
                return True
            offsets[number], sizes[number] = stored.byte_offset, stored.size
            return None

        if oid.chunk_iter(note) or (offsets < 0).any():
            raise _Refused("whole, filtered chunks inside the file", "others")
        return offsets, sizes


def _name(raw: bytes) -> str | None:
    try:
        name = raw.decode("utf-8")
    except UnicodeDecodeError:
        return None
    good = 0 < len(raw) <= 255 and name.isprintable() and "/" not in name and "@" not in name
    return name if good else None


def _dtype(tid: Any) -> np.dtype[Any]:
    """Translate a type of the file; only those that schema.py names pass."""
    if isinstance(tid, h5py.h5t.TypeStringID):
        if tid.is_variable_str() or not 0 < tid.get_size() <= MAX_PARAMETERS:
            raise _Refused(f"a text of fixed length, at most {MAX_PARAMETERS} bytes", "another")
        return np.dtype(f"S{tid.get_size()}")
    for known, dtype in _TYPES:
        if tid.equal(known):
            return dtype
    raise _Refused("a little-endian integer, float, or text of fixed length", "another type")


def _chunk(plist: Any, shape: tuple[int, ...], dtype: np.dtype[Any]) -> tuple[int, ...]:
    if plist.get_layout() != h5py.h5d.CHUNKED:
        raise _Refused("a chunked layout", "another layout")
    chunk = tuple(int(n) for n in plist.get_chunk())
    bounded = len(chunk) == len(shape) and all(
        1 <= c <= n for c, n in zip(chunk, shape, strict=True)
    )
    if not bounded or math.prod(chunk) * dtype.itemsize > MAX_CHUNK_BYTES:
        raise _Refused(f"chunks inside the shape, at most {MAX_CHUNK_BYTES} bytes", shown(chunk))
    filters = tuple(plist.get_filter(k)[0] for k in range(min(plist.get_nfilters(), 8)))
    if filters != _FILTERS:
        raise _Refused("filters shuffle, gzip, fletcher32", f"filter numbers {filters}")
    return chunk


def _attribute(attribute: Any) -> Value:
    tid, space = attribute.get_type(), attribute.get_space()
    sort = space.get_simple_extent_type()
    shape: tuple[int, ...] = () if sort == h5py.h5s.SCALAR else (-1, -1)
    if sort == h5py.h5s.SIMPLE:
        shape = space.get_simple_extent_dims()
    if len(shape) > 1 or (shape and shape[0] > MAX_TEXT_BYTES):
        raise _Refused("one value or a short list", "another shape")
    if isinstance(tid, h5py.h5t.TypeStringID):
        if shape or tid.is_variable_str() or not 0 < tid.get_size() <= MAX_TEXT_BYTES:
            raise _Refused(f"one text of fixed length, at most {MAX_TEXT_BYTES} bytes", "another")
        text = np.zeros((), f"S{tid.get_size()}")
        attribute.read(text, mtype=tid)
        return text.tobytes().split(b"\0")[0].decode("utf-8")
    for known, dtype in _INTEGER_TYPES:
        if tid.equal(known):
            values = np.zeros(shape, dtype)
            attribute.read(values, mtype=tid)
            return tuple(int(v) for v in values) if shape else int(values)
    raise _Refused("an integer or a text of fixed length", "another type")
