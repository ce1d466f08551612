"""Arrays of numbers in HDF5 files of any tool, read without the HDF5 library.

libhdf5 trusts what it reads, so no file from elsewhere reaches it. The forms that h5py, MATLAB and
others write by default are read here: both kinds of object headers and groups, and values at once
or in chunks of the usual filters. What an object has beyond that is said when it is asked for.
"""

import contextlib
import math
from collections.abc import Iterable, Iterator

import numpy as np

from bitpim_traces.errors import TraceDataError
from bitpim_traces.faults import shown
from bitpim_traces.hdf5 import Hdf5, Refused
from bitpim_traces.hdf5.classic import SYMBOL_TABLE, messages_of, root_of, symbols
from bitpim_traces.hdf5.headers import DATASPACE, DATATYPE, LAYOUT, LINKS_ELSEWHERE, Messages
from bitpim_traces.hdf5.headers import messages_of as newer_messages_of
from bitpim_traces.hdf5.metadata import Fields, Metadata
from bitpim_traces.hdf5.objects import StoredAttribute, attributes_of, links_of
from bitpim_traces.open_file import OpenFile
from bitpim_traces.stored_values import Array, number_type, open_shape, stored_values

__all__ = ["Hdf5Arrays"]

_SIGNATURE = b"\x89HDF\r\n\x1a\n"
_USER_BLOCKS = (0, 512, 1024, 2048)
_MOST_MEMBERS = 10_000  # of all groups
_LONGEST_NAME = 1024
_MOST_DEPTH = 16
_DATASET = {DATASPACE, DATATYPE, LAYOUT}

_Member = tuple[str, int | None, int]
"""Path, address of the header (None of a link by name), and how deep it lies."""


class Hdf5Arrays:
    """The datasets of one file by their paths, which start with ``/``.

    Raises
    ------
    TraceDataError
        There is no such file, it is no HDF5 file, or its groups are damaged.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self._datasets: dict[str, Messages | Refused] = {}
        self._groups: dict[str, Messages] = {}
        self._seen: dict[int, Messages | Refused] = {}
        self._n_members = 0
        with self._faults(""):
            file = OpenFile(path)
            self._metadata, root = _opened(file)
            self._walk(root)

    @property
    def names(self) -> tuple[str, ...]:
        """Paths of all datasets, sorted."""
        return tuple(sorted(self._datasets))

    def read(self, name: str) -> Array:
        """Read a dataset of numbers whole.

        Raises
        ------
        TraceDataError
            It is damaged, too large, holds no numbers, or is stored in a way not read here.
        """
        with self._faults(name):
            found = self._datasets[name]
            if isinstance(found, Refused):
                raise found
            # each read may take as many bytes as the file has
            return stored_values(Metadata(self._metadata.file, self._metadata.base), found)

    def integer(self, name: str, attribute: str) -> int | None:
        """Read an attribute that is one integer, of a dataset or else of the nearest group around.

        Raises
        ------
        TraceDataError
            The attribute is damaged or no integer.
        """
        messages = self._datasets.get(name)
        while True:
            with self._faults(f"{name or '/'}@{attribute}"):
                if isinstance(messages, dict):
                    for stored in attributes_of(self._metadata, messages):
                        if stored.name == attribute.encode():
                            return _one_integer(stored)
            if not name:
                return None
            name = name.rpartition("/")[0]
            messages = self._groups.get(name)

    @contextlib.contextmanager
    def _faults(self, where: str) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            said = shown(str(error.strerror or error))[1:-1]
            raise TraceDataError(
                f"{self.path}: need a file that can be read, got: {said}"
            ) from error
        except Refused as refused:
            place = f"{self.path}: {shown(where)[1:-1]}" if where else self.path
            raise TraceDataError(
                f"{place}: need {refused.need}, got {refused.got}; write the array "
                "again, by h5py's create_dataset, say"
            ) from refused

    def _walk(self, root: int) -> None:
        """Visit every object once; an object met again is the same one by another name."""
        waiting: list[_Member] = [("", root, 0)]
        entered = set()
        while waiting:
            path, address, depth = waiting.pop()
            if address is None:
                self._datasets[path] = Refused("an array in its place", "a link by name")
                continue
            if address not in self._seen:
                self._seen[address] = self._messages(address)
            found = self._seen[address]
            if isinstance(found, dict) and not found.keys() >= _DATASET:
                if {SYMBOL_TABLE, LINKS_ELSEWHERE} & found.keys() and address not in entered:
                    entered.add(address)
                    self._groups[path] = found
                    waiting += self._members(path, found, depth)
                elif path == "":
                    raise Refused("a root group", "another object")
            elif path == "":
                raise found if isinstance(found, Refused) else Refused("a root group", "a dataset")
            else:
                self._datasets[path] = found

    def _messages(self, address: int) -> Messages | Refused:
        try:
            if self._metadata.peek(address, 4) == b"OHDR":
                return newer_messages_of(self._metadata, address)
            return messages_of(self._metadata, address)
        except Refused as refused:
            return refused

    def _members(self, path: str, found: Messages, depth: int) -> list[_Member]:
        if depth >= _MOST_DEPTH:
            raise Refused(f"groups at most {_MOST_DEPTH} deep", "deeper ones")
        named: Iterable[tuple[bytes, int | None]]
        if SYMBOL_TABLE in found:
            named = symbols(self._metadata, found[SYMBOL_TABLE][0])
        else:
            named = ((link.name, link.address) for link in links_of(self._metadata, found))
        members = []
        for raw, address in named:
            self._n_members += 1
            if self._n_members > _MOST_MEMBERS or len(raw) > _LONGEST_NAME:
                need = (
                    f"at most {_MOST_MEMBERS:,} members of groups, names of {_LONGEST_NAME} bytes"
                )
                raise Refused(need, "more")
            name = raw.decode("utf-8", "replace")
            if name.isprintable() and name and "/" not in name:  # others cannot be asked for
                members.append((f"{path}/{name}", address, depth + 1))
        return members


def _opened(file: OpenFile) -> tuple[Metadata, int]:
    """Find the superblock, and with it the address of the root group."""
    for start in _USER_BLOCKS:
        head = file.read(start, 104)
        if not head.startswith(_SIGNATURE):
            continue
        if head[8:9] in (b"\0", b"\1"):
            base, root = root_of(head)
            if base not in (0, start):
                raise Refused("addresses that start where the file does", "others")
            return Metadata(file, base), root
        newer = Hdf5(file, start)
        return newer.metadata, newer.root
    raise Refused("an HDF5 file", "another")


def _one_integer(stored: StoredAttribute) -> int:
    dtype, shape = number_type(stored.type_body), open_shape(stored.space_body)
    if dtype.kind not in "iu" or shape is None or math.prod(shape) != 1:
        raise Refused("one integer", "another value")
    return int(np.frombuffer(Fields(stored.stored).take(dtype.itemsize), dtype)[0])
