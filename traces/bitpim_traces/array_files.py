"""Arrays in files of NumPy, .npz and .npy: plain numbers, as many as the file stores.

An archive states sizes several times over: each member's in the archive, its shape in the member.
They are compared before anything is allocated, and no pickle is ever read.
"""

import math
import warnings
import zipfile
from collections.abc import Collection
from typing import IO, Any

import numpy as np
import numpy.typing as npt
from numpy.lib import format as npy

from bitpim_traces.errors import TraceDataError
from bitpim_traces.faults import shown
from bitpim_traces.open_file import OpenFile

__all__ = ["archive_names", "open_array", "read_archive"]

_KINDS = "biuf"
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_MOST_INFLATED = 1032
"""Bytes that one byte of a deflated stream can stand for."""
_MOST_MEMBERS = 100_000

Array = npt.NDArray[Any]


def archive_names(path: str) -> tuple[str, ...]:
    """Return the names of the arrays of an .npz file, as it lists them.

    Raises
    ------
    TraceDataError
        There is no such file, or it is damaged.
    """
    try:
        file = OpenFile(path)
        with file.stream() as stream, zipfile.ZipFile(stream) as archive:
            members = archive.infolist()
            _check_members(members, file.size())
    except Exception as error:  # zipfile raises nearly anything on damaged files
        raise _error(path, error) from error
    return tuple(member.filename.removesuffix(".npy") for member in members)


def read_archive(
    path: str, needed: str = "", wanted: Collection[str] = (), *, most_bytes: int | None = None
) -> dict[str, Array]:
    """Read the arrays of an .npz file: the one that is needed and those wanted beside it, or all.

    Raises
    ------
    TraceDataError
        There is no such file, it is damaged, lacks an array, holds anything but plain numbers, or
        an array of more bytes than are allowed.
    """
    try:
        file = OpenFile(path)
        with file.stream() as stream, zipfile.ZipFile(stream) as archive:
            members = archive.infolist()
            _check_members(members, file.size())
            named = {member.filename.removesuffix(".npy"): member for member in members}
            found = {
                name: _member(archive, member, most_bytes)
                for name, member in named.items()
                if not needed or name == needed or name in wanted
            }
    except Exception as error:  # zipfile and NumPy raise nearly anything on damaged files
        raise _error(path, error) from error
    if needed and needed not in found:
        names = shown(", ".join(named))[1:-1]
        raise TraceDataError(f"{path}: need an array `{needed}`, got {names}; rename it")
    return found


def open_array(path: str) -> Array:
    """Open the array of an .npy file; its values stay in the file until they are used.

    Raises
    ------
    TraceDataError
        As above.
    """
    try:
        file = OpenFile(path)
        with file.stream() as stream:
            _header(stream, file.size())
        found: Array = np.load(path, mmap_mode="r", allow_pickle=False)
    except Exception as error:  # as above
        raise _error(path, error) from error
    return found


def _error(path: str, error: Exception) -> TraceDataError:
    said = getattr(error, "strerror", None) or " ".join(str(error).split()) or type(error).__name__
    return TraceDataError(f"{path}: need .npz or .npy of plain arrays, got {shown(said)[1:-1]}")


def _check_members(members: list[zipfile.ZipInfo], n_bytes: int) -> None:
    names = {member.filename for member in members}
    if len(names) != len(members) or len(members) > _MOST_MEMBERS:
        raise ValueError("two members of one name")
    if sum(member.compress_size for member in members) > n_bytes:
        raise ValueError("members that share bytes")
    for member in members:
        if member.compress_type not in _METHODS or member.flag_bits & 1:
            raise ValueError(f"{member.filename}: another compression, or a password")
        if member.file_size > _MOST_INFLATED * (member.compress_size + 1):
            raise ValueError(f"{member.filename}: {member.file_size} bytes in few")


def _member(archive: zipfile.ZipFile, member: zipfile.ZipInfo, most_bytes: int | None) -> Array:
    if most_bytes is not None and member.file_size > most_bytes:
        raise ValueError(f"{member.filename}: {member.file_size:,} bytes, more than {most_bytes:,}")
    with archive.open(member) as stream:
        shape, is_fortran, dtype = _header(stream, member.file_size)
        content = bytearray(stream.read())
    flat = np.frombuffer(content, dtype)
    if flat.size != math.prod(shape):
        raise ValueError(f"{member.filename}: {flat.size} values for shape {shape}")
    return flat.reshape(shape, order="F" if is_fortran else "C")


def _header(stream: IO[bytes], n_bytes: int) -> tuple[tuple[int, ...], bool, "np.dtype[Any]"]:
    """Read the head of an .npy file of some size, and see that its shape fits the size."""
    version = npy.read_magic(stream)
    read = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}.get(version)
    if read is None:
        raise ValueError(f"version {version} of .npy")
    with warnings.catch_warnings():  # a damaged head may be Python that warns
        warnings.simplefilter("ignore")
        shape, is_fortran, dtype = read(stream)
    if dtype.kind not in _KINDS or dtype.hasobject:
        raise ValueError(f"an array of {dtype}")
    if math.prod(shape) * dtype.itemsize != n_bytes - stream.tell() or min(shape, default=0) < 0:
        raise ValueError(f"{n_bytes} bytes for shape {shown(shape)} of {dtype}")
    return shape, is_fortran, dtype
