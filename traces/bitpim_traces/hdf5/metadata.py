"""Reads of metadata that no file can make larger than itself.

No two blocks of metadata or chunks of a sound file share a byte, so all that is read or promised
together is bounded by the size of the file. That one rule bounds time and memory alike: there is
no cycle, no block read a second time, no chunk under two names.
"""

from bitpim_traces.open_file import OpenFile

__all__ = ["UNDEFINED", "Fields", "Metadata", "Refused"]

UNDEFINED = 2**64 - 1
"""The address of what is not there."""


class Refused(Exception):  # noqa: N818  (carries need and got to the nearest object's fault)
    """What a file holds is not what a reader of these files takes."""

    def __init__(self, need: str, got: str) -> None:
        super().__init__(need, got)
        self.need, self.got = need, got


class Metadata:
    """The metadata of one file; addresses count from `base`, the end of its user block."""

    def __init__(self, file: OpenFile, base: int = 0) -> None:
        self.file, self.base = file, base
        self.size = file.size() - base
        self._left = self.size

    def peek(self, address: int, n_bytes: int) -> bytes:
        """Yield up to `n_bytes`, the size of a block among them, before it is read."""
        if not 0 <= address < self.size:
            raise Refused("addresses inside the file", str(address))
        return self.file.read(self.base + address, n_bytes)

    def read(self, address: int, n_bytes: int) -> bytes:
        """Yield a whole block, which nothing else may be part of."""
        self.claim(address, n_bytes)
        block = self.file.read(self.base + address, n_bytes)
        if len(block) != n_bytes:
            raise Refused("a file that stays as it is", "one that is being changed")
        return block

    def claim(self, address: int, n_bytes: int) -> None:
        """Count bytes of the file as taken; refuse more of them than there are."""
        if not 0 <= address <= self.size - n_bytes:
            raise Refused("blocks inside the file", f"{n_bytes} bytes at {address}")
        self.spend(n_bytes)

    def spend(self, n_bytes: int) -> None:
        """Count bytes as taken wherever they are."""
        self._left -= n_bytes
        if self._left < 0:
            raise Refused("blocks and chunks that share no bytes", "more than the file can hold")


class Fields:
    """The fields of a block, one after the other; little-endian."""

    def __init__(self, block: bytes, at: int = 0) -> None:
        self._block, self._at = block, at

    def take(self, n_bytes: int) -> bytes:
        """Take the next bytes."""
        part = self._block[self._at : self._at + n_bytes]
        if len(part) != n_bytes:
            raise Refused("whole blocks of metadata", "one that is cut short")
        self._at += n_bytes
        return part

    def upto(self, n_bytes: int) -> bytes:
        """Take the next bytes, fewer at the end of the block."""
        part = self._block[self._at : self._at + n_bytes]
        self._at += len(part)
        return part

    def int(self, n_bytes: int) -> int:
        """Take the next unsigned integer."""
        return int.from_bytes(self.take(n_bytes), "little")

    def need(self, expected: bytes, what: str) -> None:
        """Take what has to be there."""
        got = self.take(len(expected))
        if got != expected:
            raise Refused(f"{what} ({expected!r})", repr(got))

    def rest(self) -> bytes:
        """Take all that is left."""
        part = self._block[self._at :]
        self._at = len(self._block)
        return part
