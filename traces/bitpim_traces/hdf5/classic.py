"""What HDF5 writes unless it is asked for newer forms: the structure of files of any tool.

Superblocks 0 and 1, object headers of version 1, groups as symbol tables. Traces are not made of
these; arrays that users bring are.

Source: HDF5 file format specification 3.0, sections II.A (superblocks), III.A.1 (version 1
B-trees), III.C (symbol tables), III.D (local heaps), IV.A.1.a (version 1 object headers).
"""

from collections.abc import Iterator
from typing import Final

from bitpim_traces.hdf5.headers import ATTRIBUTE, CONTINUATION, LINK, Messages
from bitpim_traces.hdf5.metadata import UNDEFINED, Fields, Metadata, Refused

__all__ = ["SYMBOL_TABLE", "b_tree", "messages_of", "root_of", "symbols"]

SYMBOL_TABLE: Final = 17
_EXTERNAL_FILES = 7
_SHARED = 2
_MAX_LEVEL = 16
_SOFT_LINK = 2


def root_of(head: bytes) -> tuple[int, int]:
    """Return base address and address of the root group, from the bytes of a superblock 0 or 1.

    Raises
    ------
    Refused
        It is cut short, or its addresses have another width.
    """
    fields = Fields(head, 8)
    version = fields.int(1)
    fields.take(4)
    fields.need(b"\x08\x08", "addresses and sizes of 8 bytes")
    fields.take(1 + 4 + 4 + (4 if version == 1 else 0))
    base = fields.int(8)
    fields.take(24 + 8)  # free space, end, driver; the name of the root
    return base, fields.int(8)


def messages_of(metadata: Metadata, address: int) -> Messages:
    """Read the messages of the object whose version 1 header lies at an address."""
    head = Fields(metadata.read(address, 16))
    head.need(b"\x01\0", "an object header of version 1")
    n_messages = head.int(2)
    head.take(4)
    waiting = [metadata.read(address + 16, head.int(4))]
    found: Messages = {}
    while waiting:
        block = Fields(waiting.pop())
        while n_messages and len(header := block.upto(8)) == 8:
            n_messages -= 1
            kind, size = int.from_bytes(header[:2], "little"), int.from_bytes(header[2:4], "little")
            body = block.take(size)
            if header[4] & _SHARED and kind != ATTRIBUTE:
                raise Refused("types and values of an object's own", "a shared message")
            if kind == _EXTERNAL_FILES:
                raise Refused("values in this file", "external files")
            if kind == CONTINUATION:
                place = Fields(body)
                waiting.append(metadata.read(place.int(8), place.int(8)))
            elif kind in found and kind not in (ATTRIBUTE, LINK):
                raise Refused(f"one message of kind {kind}", "two")
            elif kind:
                found.setdefault(kind, []).append(body)
    return found


def symbols(metadata: Metadata, body: bytes) -> Iterator[tuple[bytes, int | None]]:
    """Yield names and header addresses of a group's members; None for a link by name.

    No two names of a sound file share bytes of the heap, so all of them are no longer than it.
    """
    table = Fields(body)
    tree, heap = table.int(8), Fields(metadata.read(table.int(8), 32))
    heap.need(b"HEAP\0", "a local heap")
    heap.take(3)
    n_bytes = heap.int(8)
    heap.take(8)
    names = metadata.read(heap.int(8), n_bytes)
    left = n_bytes
    for _, node in b_tree(metadata, tree, 0, 8):
        head = Fields(metadata.read(node, 8))
        head.need(b"SNOD\x01\0", "a node of a symbol table")
        n_symbols = head.int(2)
        entries = Fields(metadata.read(node + 8, 40 * n_symbols))
        for _ in range(n_symbols):
            name, address, sort = entries.int(8), entries.int(8), entries.int(4)
            entries.take(20)
            end = names.find(b"\0", name)
            left -= end + 1 - name
            if end < 0 or left < 0:
                raise Refused("names that end in their heap and share no bytes", "others")
            yield names[name:end], None if sort == _SOFT_LINK else address


def b_tree(
    metadata: Metadata, address: int, sort: int, key_bytes: int
) -> Iterator[tuple[bytes, int]]:
    """Yield key and child of every entry at the leaves of a version 1 B-tree, each once."""
    waiting = [] if address == UNDEFINED else [(address, -1)]
    while waiting:
        address, level = waiting.pop()
        head = Fields(metadata.read(address, 24))
        head.need(b"TREE" + bytes([sort]), "a B-tree")
        found, n_entries = head.int(1), head.int(2)
        if found > _MAX_LEVEL or level not in (-1, found):
            raise Refused("levels of a B-tree in order", str(found))
        fields = Fields(metadata.read(address + 24, n_entries * (key_bytes + 8)))
        entries = [(fields.take(key_bytes), fields.int(8)) for _ in range(n_entries)]
        if found:
            waiting += [(child, found - 1) for _, child in entries]
        else:
            yield from entries
