"""The seal of a result file: 512 bytes before the HDF5 content that tell whether it is whole.

HDF5 leaves such a block to the application (a user block), so any HDF5 tool still reads the file.
A damaged file is refused before the HDF5 library, which trusts what it reads, ever sees it.
"""

from hashlib import blake2b
from pathlib import Path

from bitpim.errors import ResultError

__all__ = ["SEAL_BYTES", "bears_seal", "check_seal", "seal_of"]

SEAL_BYTES = 512
_MARK = b"bitpim.result sealed\n"
_HDF5 = b"\x89HDF\r\n\x1a\n"
_READ_BYTES = 1 << 20


def _seal(digest: str) -> bytes:
    return (_MARK + b"blake2b-256 " + digest.encode() + b"\n").ljust(SEAL_BYTES, b"\0")


def seal_of(content: bytes) -> bytes:
    """Return the block that goes before the content."""
    return _seal(blake2b(content, digest_size=32).hexdigest())


def bears_seal(path: Path) -> bool:
    """Tell whether a file begins as a result does, whole or damaged."""
    with path.open("rb") as file:
        return file.read(len(_MARK)) == _MARK


def check_seal(path: Path) -> None:
    """Read a file once and raise ResultError unless its seal fits its content."""
    try:
        with path.open("rb") as file:
            seal = file.read(SEAL_BYTES)
            digest = blake2b(digest_size=32)
            while piece := file.read(_READ_BYTES):
                digest.update(piece)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ResultError(f"{path}: cannot be read ({reason})") from error
    if seal == _seal(digest.hexdigest()):
        return
    if seal.startswith(_MARK):
        raise ResultError(
            f"{path}: is damaged or cut short (its checksum is wrong); replay it again"
        )
    kind = "an HDF5 file" if seal.startswith(_HDF5) else "a file"
    raise ResultError(f"{path}: is {kind} but not a bitpim result; make one with bitpim replay")
