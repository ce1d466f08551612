"""An append-only log of checksummed records: what a run has finished, safe against sudden death.

The file is MAGIC, then records of a 28-byte head (tag, payload length, checksum) and a payload.
A record counts only when its checksum is right, so whatever a killed process, a full disk or a
lost power supply left at the end is dropped, and everything before it is kept.
"""

import contextlib
import errno
import json
import math
import os
import stat
import struct
from collections.abc import Iterator, Mapping
from hashlib import blake2b
from io import FileIO
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from bitpim.errors import ResultError
from bitpim_traces.strict_text import strict_json

try:
    import fcntl
except ImportError:  # pragma: no cover - not on Windows
    fcntl = None  # type: ignore[assignment]

__all__ = ["MAGIC", "Journal", "pack_record", "unpack_record"]

MAGIC = b"bitpim.journal 1\n"
_TAG = b"BPJR"
_HEAD = struct.Struct("<4sQ16s")
_MOST_AXES = 8
_DTYPES = ("|i1", "|u1", "<i2", "<u2", "<i4", "<i8", "<f8")
Array = npt.NDArray[Any]


def pack_record(fields: Mapping[str, Any], arrays: Mapping[str, Array] | None = None) -> bytes:
    """Return the payload that holds JSON fields and named arrays (integers and float64)."""
    arrays = arrays or {}
    flat = {name: np.ascontiguousarray(a, a.dtype.newbyteorder("<")) for name, a in arrays.items()}
    for name, array in flat.items():
        if array.dtype.str not in _DTYPES:
            raise ResultError(f"journal: {name} has dtype {array.dtype}, need one of {_DTYPES}")
    shapes = {name: [a.dtype.str, list(a.shape)] for name, a in flat.items()}
    text = json.dumps({"fields": fields, "arrays": shapes}, ensure_ascii=True).encode()
    return b"".join([struct.pack("<I", len(text)), text, *(a.tobytes() for a in flat.values())])


def unpack_record(payload: bytes) -> tuple[dict[str, Any], dict[str, Array]]:
    """Return the fields and arrays of a payload that `pack_record` made.

    Raises
    ------
    ValueError
        It made none like this one.
    """
    size = int.from_bytes(payload[:4], "little")
    content = strict_json(payload[4 : 4 + size].decode("ascii"))
    fields, shapes = _taken(content, "fields", "arrays")
    arrays, offset = {}, 4 + size
    for name, stated in shapes.items():
        if not isinstance(stated, list) or len(stated) != 2 or stated[0] not in _DTYPES:
            raise ValueError(f"need a dtype and a shape, got {stated!r}")
        dtype, shape = np.dtype(stated[0]), stated[1]
        if not isinstance(shape, list) or not all(type(n) is int and n >= 0 for n in shape):
            raise ValueError(f"need a shape, got {shape!r}")
        n_bytes = math.prod(shape) * dtype.itemsize
        if n_bytes > len(payload) - offset or len(shape) > _MOST_AXES:
            raise ValueError(f"need {n_bytes} bytes, got {len(payload) - offset}")
        part = payload[offset : offset + n_bytes]
        arrays[name] = np.frombuffer(part, dtype).reshape(shape)
        offset += n_bytes
    if offset != len(payload):
        raise ValueError(f"need {offset} bytes, got {len(payload)}")
    return fields, arrays


def _taken(content: Any, *names: str) -> list[dict[str, Any]]:
    if not isinstance(content, dict) or content.keys() != set(names):
        raise ValueError(f"need an object of {', '.join(names)}")
    parts = [content[name] for name in names]
    if not all(isinstance(part, dict) for part in parts):
        raise ValueError(f"need objects as {', '.join(names)}")
    return parts


def _head(payload: bytes) -> bytes:
    size = struct.pack("<Q", len(payload))
    return _HEAD.pack(_TAG, len(payload), blake2b(_TAG + size + payload, digest_size=16).digest())


def _opened(path: Path) -> int:
    """Open a regular file of this very name, made where there is none.

    Neither through a symbolic link, nor waiting for the other end of a pipe.
    """
    flags = os.O_RDWR | os.O_CREAT
    for name in ("O_CLOEXEC", "O_NOFOLLOW", "O_NONBLOCK", "O_BINARY"):
        flags |= getattr(os, name, 0)
    found = os.open(path, flags, 0o666)
    if not stat.S_ISREG(os.fstat(found).st_mode):
        os.close(found)
        raise OSError(errno.EINVAL, "is no regular file")
    return found


class Journal:
    """The open log of one run; one process at a time holds it.

    Raises
    ------
    ResultError
        The file cannot be made or written, is no journal, or another process writes it.
    """

    def __init__(self, path: Path, *, resume: bool) -> None:
        self.path = path
        self._offsets: list[int] = []
        try:
            self._file = FileIO(_opened(path), "r+b")
        except OSError as error:
            raise ResultError(f"{path}: cannot be written ({error.strerror or error})") from error
        try:
            self._lock()
            self._start(resume)
        except BaseException:
            self._file.close()
            raise

    def _lock(self) -> None:
        if fcntl is None:  # pragma: no cover
            return
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise ResultError(
                f"{self.path}: another run is writing this journal; wait for it or choose "
                "another output"
            ) from error
        except OSError:  # a file system without locks
            return

    def _start(self, resume: bool) -> None:
        found = self._read(0, len(MAGIC))
        if found != MAGIC[: len(found)]:
            raise ResultError(
                f"{self.path}: is not a bitpim journal; move it away or choose another output"
            )
        self._end = len(MAGIC)
        if resume and found == MAGIC:
            while (payload := self._record_at(self._end)) is not None:
                self._offsets.append(self._end)
                self._end += _HEAD.size + len(payload)
        with self._reporting():
            self._file.truncate(self._end if self._offsets else 0)
            if not self._offsets:
                self._write(0, MAGIC)

    def __len__(self) -> int:
        return len(self._offsets)

    def __iter__(self) -> Iterator[bytes]:
        for index in range(len(self)):
            yield self.payload(index)

    def payload(self, index: int) -> bytes:
        """Return the payload of a record, read and checked again."""
        payload = self._record_at(self._offsets[index])
        if payload is None:
            raise ResultError(
                f"{self.path}: record {index} can no longer be read; run again with --resume"
            )
        return payload

    def append(self, payload: bytes) -> int:
        """Add a record, and return its index once it is on the disk."""
        with self._reporting():
            try:
                self._write(self._end, _head(payload) + payload)
            except OSError:
                with contextlib.suppress(OSError):
                    self._file.truncate(self._end)
                raise
        self._offsets.append(self._end)
        self._end += _HEAD.size + len(payload)
        return len(self._offsets) - 1

    def close(self) -> None:
        """Let go of the file; the records stay."""
        self._file.close()

    def remove(self) -> None:
        """Let go of the file and delete it: what it held is safe elsewhere."""
        with contextlib.suppress(OSError):
            self.path.unlink()
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    @contextlib.contextmanager
    def _reporting(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise ResultError(
                f"{self.path}: cannot be written ({error.strerror or error}); what was finished is "
                "kept: make room and run again with --resume"
            ) from error

    def _write(self, offset: int, content: bytes) -> None:
        self._file.seek(offset)
        rest = memoryview(content)
        while rest:
            rest = rest[self._file.write(rest) or 0 :]
        os.fsync(self._file.fileno())

    def _read(self, offset: int, size: int) -> bytes:
        self._file.seek(offset)
        pieces = []
        while size > 0 and (piece := self._file.read(size)):
            pieces.append(piece)
            size -= len(piece)
        return b"".join(pieces)

    def _record_at(self, offset: int) -> bytes | None:
        head = self._read(offset, _HEAD.size)
        if len(head) < _HEAD.size:
            return None
        tag, size, _ = _HEAD.unpack(head)
        if tag != _TAG or size > os.fstat(self._file.fileno()).st_size - offset - _HEAD.size:
            return None
        payload = self._read(offset + _HEAD.size, size)
        return payload if _head(payload) == head else None
