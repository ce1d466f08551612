"""The seal: 48 bytes after the end of the HDF5 file, by which damage is seen before HDF5 looks.

Layout: FOOTER_MAGIC (8 bytes), number of bytes before the footer (uint64, little-endian), SHA-256
of those bytes (32). HDF5 ignores what follows its end-of-file address, and drops it when a tool
edits the file, so a seal never outlives the bytes it seals.
"""

import hashlib
from pathlib import Path

from bitpim_traces.open_file import OpenFile
from bitpim_traces.schema import FOOTER_MAGIC

__all__ = ["FOOTER_BYTES", "seal", "seal_of", "verify_seal"]

FOOTER_BYTES = 48
_PIECE = 2**22


def seal_of(file: OpenFile, n_bytes: int) -> bytes:
    """Make the footer for the first `n_bytes` of a file."""
    running = hashlib.sha256()
    for offset in range(0, n_bytes, _PIECE):
        running.update(file.read(offset, min(_PIECE, n_bytes - offset)))
    return FOOTER_MAGIC + n_bytes.to_bytes(8, "little") + running.digest()


def seal(path: Path) -> None:
    """Append the footer to a finished HDF5 file."""
    file = OpenFile(str(path))
    footer = seal_of(file, file.size())
    with path.open("ab") as stream:
        stream.write(footer)


def verify_seal(file: OpenFile) -> bool | None:
    """Say whether the seal fits the file; None when there is no seal."""
    size = file.size()
    footer = file.read(max(size - FOOTER_BYTES, 0), FOOTER_BYTES)
    if len(footer) < FOOTER_BYTES or not footer.startswith(FOOTER_MAGIC):
        return None
    n_bytes = size - FOOTER_BYTES
    if int.from_bytes(footer[8:16], "little") != n_bytes:
        return False
    return seal_of(file, n_bytes) == footer
