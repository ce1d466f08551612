"""Words of a CAM from files: text, NumPy's .npz and .npy, HDF5.

A file with several arrays names that of the stored words `stored` and that of the queries
`queries`; ``FILE:NAME`` takes another. Beside an array of rows of bits may stand ``NAME_care``, one
where a cell counts; beside integers an array or attribute `n_bits`. The only array of a file needs
no name.
"""

from collections.abc import Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt

from bitpim.config import did_you_mean
from bitpim.errors import LayoutError
from bitpim.lookup.word_arrays import Array, words_of_array
from bitpim.lookup.word_text import words_of_text
from bitpim.lookup.words import CamWords
from bitpim_traces.array_files import archive_names, open_array, read_archive
from bitpim_traces.faults import shown
from bitpim_traces.hdf5_arrays import Hdf5Arrays
from bitpim_traces.open_file import OpenFile
from bitpim_traces.stored_values import MAX_BYTES

__all__ = ["read_matrix", "read_numbers", "read_words", "stored_and_queries"]

_WIDTH = "n_bits"
_MOST = 2**63 - 1
_MOST_COMPARED, _MOST_NAMED = 10_000, 12  # names of arrays, where one is not found
_KINDS = {
    ".npz": "npz",
    ".npy": "npy",
    ".h5": "hdf5",
    ".hdf5": "hdf5",
    ".hdf": "hdf5",
    ".mat": "hdf5",
    ".txt": "text",
    ".csv": "text",
}
_SIGNATURES = {
    b"PK\x03\x04": "npz",
    b"PK\x05\x06": "npz",
    b"\x93NUMPY": "npy",
    b"\x89HDF\r\n\x1a\n": "hdf5",
}


class _Arrays(Protocol):
    """A file of named arrays."""

    @property
    def names(self) -> Sequence[str]: ...

    def read(self, name: str) -> Array: ...

    def width_beside(self, name: str) -> int | None: ...


def read_words(
    source: str, role: str = "stored", n_bits: int | None = None, usual_bits: int | None = None
) -> CamWords:
    """Read words from ``FILE`` or ``FILE:NAME``; `role` is the array's name where none is given.

    Parameters
    ----------
    n_bits
        Width of words that are integers; where the file has it, the same.
    usual_bits
        Width of an array of integers where neither says one.

    Raises
    ------
    LayoutError
        The file lacks the array, or what it holds are no words; the message names file and line or
        array.
    TraceDataError
        There is no such file, it is damaged, or not of the kind that its name says.
    """
    path, name = _split(source)
    kind = _kind_of(path)
    if kind == "text":
        if name:
            raise LayoutError(f"{path}: need no array's name for a text, got {name!r}")
        return words_of_text(_content(path), path, n_bits)
    if kind == "npy":
        if name:
            raise LayoutError(f"{path}: need no name for the one array, got {name!r}")
        values = _only_array(path)
        return words_of_array(values, path, n_bits or (usual_bits if values.ndim == 1 else None))
    arrays: _Arrays = _Archive(path) if kind == "npz" else _Hdf5(path)
    return _named_words(arrays, path, _pick(arrays.names, path, name, role), n_bits, usual_bits)


def stored_and_queries(
    stored: str, queries: str | None, n_bits: int | None = None
) -> tuple[CamWords, CamWords]:
    """Read the words of a memory and what it is asked; without `queries` both from one file.

    Raises
    ------
    LayoutError, TraceDataError
        As `read_words`; or there are no queries.
    """
    words = read_words(stored, "stored", n_bits)
    if queries is not None:
        return words, read_words(queries, "queries", n_bits, words.n_bits)
    path, _ = _split(stored)
    if _kind_of(path) in ("text", "npy"):
        raise LayoutError(
            f"{path}: need queries beside the stored words; name their file too, or "
            "put both into one .npz or .h5 as `stored` and `queries`"
        )
    return words, read_words(f"{path}:queries", "queries", n_bits, words.n_bits)


def read_numbers(source: str, role: str) -> list[int]:
    """Read a list of integers: from a text, a number a line, or an array (n,) of a file.

    Raises
    ------
    LayoutError, TraceDataError
        As `read_words`.
    """
    path, _ = _split(source)
    if _kind_of(path) == "text":
        rows = _rows_of_text(_content(path).decode("utf-8", "replace"), path)
        return [number for _, row in rows for number in row]
    where, values = _array_of(source, role)
    if values.ndim != 1 or values.dtype.kind not in "iu" or values.size == 0:
        raise LayoutError(f"{where}: need integers (n,), got {values.dtype} {values.shape}")
    return [int(value) for value in values.tolist()]


def read_matrix(source: str, role: str) -> npt.NDArray[np.int64]:
    """Read a matrix of integers: from a text, a row a line, or an array (m, n) or (n,) of a file.

    Raises
    ------
    LayoutError, TraceDataError
        As `read_words`; or the rows of a text differ in length.
    """
    path, _ = _split(source)
    if _kind_of(path) == "text":
        rows = _rows_of_text(_content(path).decode("utf-8", "replace"), path)
        n = len(rows[0][1])
        for line, row in rows:
            if len(row) != n:
                raise LayoutError(f"{path}:{line}: need {n} numbers, as above, got {len(row)}")
        where, values = path, np.array([row for _, row in rows], object)
    else:
        where, values = _array_of(source, role)
        if values.ndim not in (1, 2) or values.dtype.kind not in "iu" or values.size == 0:
            raise LayoutError(
                f"{where}: need integers (m, n) or (n,), at least one, got {values.dtype} "
                f"{values.shape}"
            )
    if values.max() > _MOST or values.min() < -_MOST - 1:
        raise LayoutError(f"{where}: need integers of 64 bits, got {values.min()}..{values.max()}")
    return np.atleast_2d(values.astype(np.int64))


def _array_of(source: str, role: str) -> tuple[str, Array]:
    """Return an array of a file and what errors call it."""
    path, name = _split(source)
    kind = _kind_of(path)
    if kind == "npy":
        return path, _only_array(path)
    arrays: _Arrays = _Archive(path) if kind == "npz" else _Hdf5(path)
    name = _pick(arrays.names, path, name, role)
    return f"{path}: {name}", arrays.read(name)


def _rows_of_text(text: str, path: str) -> list[tuple[int, list[int]]]:
    """Return the numbers of each line that has any, and the number of the line."""
    found = []
    for line, words in enumerate(text.replace("\r", "\n").split("\n"), 1):
        row = []
        for word in words.partition("#")[0].replace(",", " ").split():
            digits = word.removeprefix("-")
            if not (digits.isascii() and digits.isdigit() and len(digits) <= 20):
                raise LayoutError(f"{path}:{line}: need whole numbers, got {shown(word)}")
            row.append(int(word))
        if row:
            found.append((line, row))
    if not found:
        raise LayoutError(f"{path}: need numbers, got none")
    return found


def _split(source: str) -> tuple[str, str]:
    """Split FILE:NAME; a file whose name has a colon is found first."""
    path, colon, name = source.rpartition(":")
    if not colon or not path or _exists(source) or (len(path) == 1 and not _exists(path)):
        return source, ""
    while not _exists(path) and ":" in path and _exists(path.partition(":")[0]):
        path, _, more = path.rpartition(":")  # names of arrays may have one too
        name = f"{more}:{name}"
    return path, name


def _exists(path: str) -> bool:
    try:
        return Path(path).exists()
    except (OSError, ValueError):
        return False


def _kind_of(path: str) -> str:
    known = _KINDS.get(Path(path).suffix.lower())
    if known is not None:
        return known
    head = _opened(path).read(0, 8)
    return next((kind for mark, kind in _SIGNATURES.items() if head.startswith(mark)), "text")


def _opened(path: str) -> OpenFile:
    try:
        return OpenFile(path)
    except OSError as error:
        said = shown(str(error.strerror or error))[1:-1]
        raise LayoutError(f"{path}: need a file of words that can be read, got: {said}") from error


def _content(path: str) -> bytes:
    file = _opened(path)
    n_bytes = file.size()
    if n_bytes > MAX_BYTES:
        raise LayoutError(
            f"{path}: need at most {MAX_BYTES:,} bytes of text, got {n_bytes:,}; store the words "
            "as an array of bits (.npz, .h5)"
        )
    return file.read(0, n_bytes)


def _only_array(path: str) -> Array:
    values = open_array(path)
    if values.nbytes > MAX_BYTES:
        raise LayoutError(
            f"{path}: need at most {MAX_BYTES:,} bytes of values, got {values.nbytes:,}; store "
            "bits as uint8"
        )
    return values


class _Archive:
    """The arrays of an .npz file."""

    def __init__(self, path: str) -> None:
        self._path = path
        self.names: Sequence[str] = archive_names(path)

    def read(self, name: str) -> Array:
        return read_archive(self._path, name, most_bytes=MAX_BYTES)[name]

    def width_beside(self, name: str) -> int | None:
        return _one_width(self, _WIDTH, self._path) if _WIDTH in self.names else None


class _Hdf5:
    """The datasets of an HDF5 file."""

    def __init__(self, path: str) -> None:
        self._path, self._file = path, Hdf5Arrays(path)
        self.names: Sequence[str] = self._file.names

    def read(self, name: str) -> Array:
        return self._file.read(name)

    def width_beside(self, name: str) -> int | None:
        kept = self._file.integer(name, _WIDTH)
        beside = f"{name.rpartition('/')[0]}/{_WIDTH}"
        if kept is not None or beside not in self.names:
            return kept
        return _one_width(self, beside, self._path)


def _one_width(arrays: _Arrays, name: str, path: str) -> int:
    values = np.asarray(arrays.read(name))
    if values.size != 1 or values.dtype.kind not in "iu":
        raise LayoutError(f"{path}: {name}: need one integer, got {values.dtype} {values.shape}")
    return int(values.reshape(-1)[0])


def _named_words(
    arrays: _Arrays, path: str, name: str, n_bits: int | None, usual_bits: int | None
) -> CamWords:
    where = f"{path}: {name}"
    values = arrays.read(name)
    if values.ndim == 1:
        kept = arrays.width_beside(name)
        if kept is not None and n_bits not in (None, kept):
            raise LayoutError(
                f"{where}: need one width, got {kept} in the file and {n_bits} asked for"
            )
        n_bits = next((n for n in (kept, n_bits, usual_bits) if n is not None), None)
    care = arrays.read(f"{name}_care") if f"{name}_care" in arrays.names else None
    return words_of_array(values, where, n_bits, care)


def _pick(names: Sequence[str], path: str, name: str, role: str) -> str:
    """Choose an array by its name, by its role, or because it is the only one."""
    rooted = [each for each in names if each.startswith("/")]
    wanted = name or role
    if rooted and not wanted.startswith("/"):
        wanted = f"/{wanted}"
    if wanted in names:
        return wanted
    others = [each for each in names if each.rpartition("/")[2] != _WIDTH]
    if not name and len(others) == 1:
        return others[0]
    close = [shown(each)[1:-1] for each in get_close_matches(wanted, names[:_MOST_COMPARED], n=1)]
    known = close or [shown(each)[1:-1] for each in names[:_MOST_NAMED]]
    known += (
        [f"and {len(names) - len(known)} more"] if len(names) > len(known) and not close else []
    )
    raise LayoutError(
        f"{path}: need an array {shown(wanted)}, got none"
        f"{did_you_mean(wanted, known)} (FILE:NAME takes another)"
    )
