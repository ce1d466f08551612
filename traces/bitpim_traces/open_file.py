"""A file held open for reading: a regular one, and the same one until it is closed."""

import io
import os
import stat

from bitpim_traces.errors import TraceError

__all__ = ["OpenFile", "read_whole"]


class OpenFile:
    """A file held open for reading by any thread, closed by `close` or with its last user.

    Raises
    ------
    OSError
        There is no such file, it cannot be read, or it is a folder, a pipe or a device.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        # Without O_NONBLOCK opening a pipe waits until somebody writes to it.
        flags = os.O_RDONLY | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NONBLOCK", 0)
        try:
            self._descriptor = os.open(path, flags | getattr(os, "O_BINARY", 0))
        except ValueError as error:  # a zero byte in the name
            raise OSError(str(error)) from error
        if not stat.S_ISREG(os.fstat(self._descriptor).st_mode):
            raise OSError("a folder, a pipe or a device, not a regular file")

    def size(self) -> int:
        """Size now, bytes."""
        return os.fstat(self._open()).st_size

    def _open(self) -> int:
        if self._descriptor < 0:
            raise TraceError(f"{self.path}: was closed; open it again to read from it")
        return self._descriptor

    def read(self, offset: int, n_bytes: int) -> bytes:
        """Yield up to `n_bytes` from a position; fewer at the end of the file."""
        descriptor = self._open()
        part = os.pread(descriptor, n_bytes, offset)
        if len(part) == n_bytes or not part:
            return part
        parts = []
        while part:
            parts.append(part)
            offset += len(part)
            n_bytes -= len(part)
            part = os.pread(descriptor, n_bytes, offset) if n_bytes else b""
        return b"".join(parts)

    def stream(self) -> io.FileIO:
        """Open the same file once more, as a stream with a position."""
        return io.FileIO(os.dup(self._open()), "rb")

    def close(self) -> None:
        """Let go of the file; nothing can be read from it any more."""
        descriptor, self._descriptor = getattr(self, "_descriptor", -1), -1
        if descriptor >= 0:
            os.close(descriptor)

    def __del__(self) -> None:
        self.close()


def read_whole(path: str, limit: int) -> bytes:
    """Read a small file, of at most `limit` bytes, whole.

    Raises
    ------
    OSError
        As `OpenFile`, or the file is larger.
    """
    content = OpenFile(path).read(0, limit + 1)
    if len(content) > limit:
        raise OSError(f"more than {limit} bytes")
    return content
