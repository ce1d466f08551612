"""The seal of a result file: 512 bytes before the HDF5 content that tell whether it is whole.

HDF5 leaves such a block to the application (a user block), so any HDF5 tool still reads the file.
A damaged file is refused before anything in it is looked at.
"""

from hashlib import blake2b
from pathlib import Path

from bitpim.errors import ResultError
from bitpim_traces.open_file import OpenFile

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
    """Tell whether a file begins as a result does, whole or damaged; OSError if it is no file."""
    return OpenFile(str(path)).read(0, len(_MARK)) == _MARK


def check_seal(path: Path) -> OpenFile:
    """Open a file, read it once and raise ResultError unless its seal fits its content."""
    try:
        file = OpenFile(str(path))
        seal = file.read(0, SEAL_BYTES)
        digest = blake2b(digest_size=32)
        at = SEAL_BYTES
        while piece := file.read(at, _READ_BYTES):
            digest.update(piece)
            at += len(piece)
    except OSError as error:
        raise ResultError(f"{path}: cannot be read ({error.strerror or error})") from error
    if seal == _seal(digest.hexdigest()):
        return file
    if seal.startswith(_MARK):
        raise ResultError(
            f"{path}: is damaged or cut short (its checksum is wrong); replay it again"
        )
    kind = "an HDF5 file" if seal.startswith(_HDF5) else "a file"
    raise ResultError(f"{path}: is {kind} but not a bitpim result; make one with bitpim replay")
