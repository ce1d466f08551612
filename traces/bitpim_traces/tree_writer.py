"""Tree -> file: atomic, streamed, sealed, and the same bytes for the same content."""

import contextlib
import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from bitpim_traces.deferred_errors import DeferringStream
from bitpim_traces.errors import TraceDataError, TraceError
from bitpim_traces.footer import seal
from bitpim_traces.new_file import new_file
from bitpim_traces.tree import DatasetEntry, GroupEntry, Tree, Value, blocks, digest_of
from bitpim_traces.whole_file import Unfinished, whole_file

__all__ = ["Progress", "with_room_for_digests", "write_tree"]

Progress = Callable[[int, int], None]
"""Called with the bytes written so far and the bytes in all."""

_GZIP_LEVEL = 1  # big float tensors hardly shrink at any level, and 1 is the fastest
_CHUNK_BYTES = 2**18
_UNKNOWN_SHA256 = "0" * 64


def with_room_for_digests(tree: Tree) -> Tree:
    """Return a tree whose datasets and root have digests that are not known yet."""
    roomy: Tree = {}
    for where, entry in tree.items():
        if isinstance(entry, DatasetEntry):
            attributes = {**entry.attributes, "sha256": _UNKNOWN_SHA256}
            roomy[where] = replace(entry, attributes=attributes)
        else:
            roomy[where] = entry
    roomy["/"] = GroupEntry({**tree["/"].attributes, "digest": _UNKNOWN_SHA256})
    return roomy


def write_tree(
    tree: Tree, target: Path, *, progress: Progress | None = None, overwrite: bool = True
) -> str:
    """Write a tree with room for digests into a file; yield the digest that names its content.

    Datasets stream through in blocks, so memory stays bounded. The file appears under its name only
    when it is complete and on the disk. An error or a signal leaves what was there before.

    Raises
    ------
    TraceError
        The file cannot be written; no file is left behind.
    """
    with _disk_errors(target), whole_file(target, overwrite=overwrite) as unfinished:
        stream = DeferringStream(unfinished.path)
        with stream, new_file(stream) as file:
            digest = _write(file, tree, _Hand(target, stream, unfinished, progress))
        stream.check()
        seal(unfinished.path)
    return digest


@contextlib.contextmanager
def _disk_errors(target: Path) -> Iterator[None]:
    """Turn what h5py and the system say about a disk into one clear line."""
    try:
        yield
    except (OSError, RuntimeError) as error:  # h5py reports a full disk as either
        said = " ".join(str(error).split())
        raise TraceError(
            f"{target}: need a folder with room that can be written to, got: {said}; free some "
            "space or choose another place"
        ) from error


@dataclass(frozen=True, slots=True)
class _Hand:
    """What writing needs besides the file: names for errors, what went wrong, a listener."""

    target: Path
    stream: DeferringStream
    unfinished: Unfinished
    progress: Progress | None


def _write(file: Any, tree: Tree, hand: _Hand) -> str:
    """Write every object in the order of its path; fill in the digests as they become known."""
    total = sum(_n_bytes(entry) for entry in tree.values())
    done = 0
    for path in sorted(tree):
        entry = tree[path]
        if isinstance(entry, GroupEntry):
            _write_attributes(_group(file, path), entry.attributes)
            continue
        digest = _write_dataset(file, path, entry, hand)
        tree[path] = replace(entry, attributes={**entry.attributes, "sha256": digest})
        done += _n_bytes(entry)
        if hand.progress is not None:
            hand.progress(done, total)
    digest = digest_of(tree)
    _overwrite(h5py.h5g.open(file.id, b"/"), "digest", digest)
    return digest


def _n_bytes(entry: GroupEntry | DatasetEntry) -> int:
    if isinstance(entry, GroupEntry):
        return 0
    return int(np.prod(entry.shape, dtype=np.int64)) * entry.dtype.itemsize


def _group(file: Any, path: str) -> Any:
    if path == "/":
        return h5py.h5g.open(file.id, b"/")
    plist = h5py.h5p.create(h5py.h5p.GROUP_CREATE)
    plist.set_obj_track_times(False)
    plist.set_attr_phase_change(64, 32)  # all attributes in the object header
    return h5py.h5g.create(file.id, path.encode(), gcpl=plist)


def _write_dataset(file: Any, path: str, entry: DatasetEntry, hand: _Hand) -> str:
    """Stream one dataset through in blocks of whole chunks; yield its SHA-256."""
    oid = _dataset(file, path, entry)
    _write_attributes(oid, entry.attributes)
    running = hashlib.sha256()
    rows = _chunk_of(entry.shape, entry.dtype.itemsize)[0]
    for start, stop in blocks(entry.shape, entry.dtype.itemsize, rows):
        part = _loaded(entry, path, start, stop, hand.target)
        running.update(part.data)
        space = oid.get_space()
        space.select_hyperslab((start, *[0] * (part.ndim - 1)), part.shape)
        oid.write(h5py.h5s.create_simple(part.shape), space, part, oid.get_type())
        hand.stream.check()
        hand.unfinished.raise_held()
    _overwrite(oid, "sha256", running.hexdigest())
    return running.hexdigest()


def _loaded(entry: DatasetEntry, path: str, start: int, stop: int, target: Path) -> Any:
    """Ask a tensor for a part of it and see that it keeps its word."""
    try:
        part = entry.load(start, stop)
    except (OSError, RuntimeError) as error:  # not the fault of the disk we write to
        raise TraceDataError(
            f"{target}: {path}: cannot be read: {error}; mend its load()"
        ) from error
    if part.shape != (stop - start, *entry.shape[1:]) or part.dtype != entry.dtype:
        raise TraceDataError(
            f"{target}: {path}: need {entry.type_name} of shape {entry.shape}, got a part "
            f"{start}:{stop} that is {part.dtype} of shape {part.shape}; mend its load()"
        )
    return np.ascontiguousarray(part, entry.dtype)


def _dataset(file: Any, path: str, entry: DatasetEntry) -> Any:
    plist = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    plist.set_obj_track_times(False)
    plist.set_attr_phase_change(64, 32)
    if 0 not in entry.shape:
        plist.set_chunk(_chunk_of(entry.shape, entry.dtype.itemsize))
        plist.set_shuffle()
        plist.set_deflate(_GZIP_LEVEL)
        plist.set_fletcher32()
    if entry.dtype.kind == "S":
        tid = _text_type(entry.dtype.itemsize)
    else:
        tid = h5py.h5t.py_create(entry.dtype)
    space = h5py.h5s.create_simple(entry.shape)
    return h5py.h5d.create(file.id, path.encode(), tid, space, plist)


def _chunk_of(shape: tuple[int, ...], itemsize: int) -> tuple[int, ...]:
    """Cut outer axes until a chunk is small: whole samples or output channels where they fit."""
    chunk = list(shape)
    for axis in range(len(chunk)):
        row = itemsize * int(np.prod(chunk[axis + 1 :], dtype=np.int64))
        chunk[axis] = max(min(chunk[axis], _CHUNK_BYTES // max(row, 1)), 1)
        if chunk[axis] > 1 or row <= _CHUNK_BYTES:
            break
    return tuple(chunk)


def _text_type(n_bytes: int) -> Any:
    tid = h5py.h5t.C_S1.copy()
    tid.set_size(max(n_bytes, 1))
    tid.set_cset(h5py.h5t.CSET_UTF8)
    tid.set_strpad(h5py.h5t.STR_NULLPAD)
    return tid


def _write_attributes(oid: Any, attributes: Any) -> None:
    for name, value in attributes.items():
        tid, array = _stored(value)
        space = (
            h5py.h5s.create_simple(array.shape) if array.shape else h5py.h5s.create(h5py.h5s.SCALAR)
        )
        h5py.h5a.create(oid, name.encode(), tid, space).write(array, mtype=tid)


def _overwrite(oid: Any, name: str, value: Value) -> None:
    tid, array = _stored(value)
    h5py.h5a.open(oid, name.encode()).write(array, mtype=tid)


def _stored(value: Value) -> tuple[Any, Any]:
    if isinstance(value, str):
        raw = value.encode()
        return _text_type(len(raw)), np.array(raw, f"S{max(len(raw), 1)}")
    return h5py.h5t.STD_I64LE, np.array(value, "<i8")
