"""A file for HDF5 to write to that never tells it about a full disk, or about anything else.

The library does not survive a failed write: with libhdf5 2.0, closing a file on a full disk crashed
the process, and an error raised in here is lost on its way through. So the first one is kept, later
writes are dropped, and the writer asks.
"""

import io
from pathlib import Path

__all__ = ["DeferringStream"]


class DeferringStream(io.RawIOBase):
    """A binary file for reading and writing; `check` raises the first error that writing met."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self._file = path.open("w+b", buffering=0)
        self._error: BaseException | None = None
        self._position = 0

    def check(self) -> None:
        """Raise the first error, if there was one."""
        if self._error is not None:
            raise self._error

    def readable(self) -> bool:
        """Say yes."""
        return True

    def writable(self) -> bool:
        """Say yes."""
        return True

    def seekable(self) -> bool:
        """Say yes."""
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Move to a position, which may lie beyond the end."""
        self._position = self._file.seek(offset, whence)
        return self._position

    def tell(self) -> int:
        """Yield the position."""
        return self._position

    def readinto(self, buffer: "memoryview | bytearray") -> int:  # type: ignore[override]
        """Fill a buffer; what was dropped reads as zero bytes."""
        view = memoryview(buffer).cast("B")
        n_bytes = self._file.readinto(view) or 0
        view[n_bytes:] = bytes(len(view) - n_bytes)
        self._position += len(view)
        return len(view)

    def write(self, buffer: "memoryview | bytes") -> int:  # type: ignore[override]
        """Write all of a buffer, or keep the error and drop it."""
        view = memoryview(buffer).cast("B")
        written = 0
        try:
            while self._error is None and written < len(view):
                written += self._file.write(view[written:]) or 0
        except BaseException as error:
            self._error = error
        self._position += len(view)
        return len(view)

    def truncate(self, size: int | None = None) -> int:
        """Cut or lengthen the file."""
        size = self._position if size is None else size
        try:
            if self._error is None:
                self._file.truncate(size)
        except BaseException as error:
            self._error = error
        return size

    def close(self) -> None:
        """Close the file."""
        try:
            self._file.close()
        except BaseException as error:
            self._error = self._error or error
        super().close()
