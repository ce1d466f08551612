"""Object headers: the messages of a group or a dataset.

Source: HDF5 file format specification 3.0, section IV.A.1.b (version 2 object headers).
"""

from bitpim_traces.hdf5.metadata import Fields, Metadata, Refused

__all__ = [
    "ATTRIBUTE",
    "ATTRIBUTES_ELSEWHERE",
    "CONTINUATION",
    "DATASPACE",
    "DATATYPE",
    "FILTERS",
    "LAYOUT",
    "LINK",
    "LINKS_ELSEWHERE",
    "Messages",
    "messages_of",
]

DATASPACE, LINKS_ELSEWHERE, DATATYPE, LINK = 1, 2, 3, 6
EXTERNAL_FILES, LAYOUT, FILTERS, ATTRIBUTE = 7, 8, 11, 12
CONTINUATION, ATTRIBUTES_ELSEWHERE = 16, 21
_MANY = (LINK, ATTRIBUTE)
_ONE = (DATASPACE, LINKS_ELSEWHERE, DATATYPE, LAYOUT, FILTERS, ATTRIBUTES_ELSEWHERE)
# Padding, fill values old and new, hints for groups, comment, times, number of links.
_SKIPPED = (0, 4, 5, 10, 13, 14, 18, 22)
_SHARED = 2

Messages = dict[int, list[bytes]]
"""The bodies of an object's messages by their kind."""


def messages_of(metadata: Metadata, address: int) -> Messages:
    """Read the messages of the object whose header lies at an address."""
    head = Fields(metadata.peek(address, 34))
    if head.take(5) != b"OHDR\x02":
        need = "object headers of version 2 (h5py: libver 'v110'; h5repack --low=2)"
        raise Refused(need, "none there, or older ones")
    flags = head.int(1)
    if flags & 0xC0:
        raise Refused("object headers of known flags", f"{flags:#x}")
    start = 6 + (16 if flags & 0x20 else 0) + (4 if flags & 0x10 else 0)
    width = 1 << (flags & 3)
    head.take(start - 6)
    size = head.int(width)
    block = metadata.read(address, start + width + size + 4)
    found: Messages = {}
    waiting = [block[start + width : -4]]
    while waiting:
        for kind, body in _split(waiting.pop(), 6 if flags & 4 else 4):
            if kind == CONTINUATION:
                waiting.append(_continuation(metadata, Fields(body)))
            elif kind in _ONE and kind in found:
                raise Refused(f"one message of kind {kind}", "two")
            elif kind in _ONE or kind in _MANY:
                found.setdefault(kind, []).append(body)
            elif kind == EXTERNAL_FILES:
                raise Refused("values in this file", "external files")
            elif kind not in _SKIPPED:
                raise Refused("messages of plain groups and datasets", f"one of kind {kind}")
    return found


def _split(block: bytes, head: int) -> list[tuple[int, bytes]]:
    found = []
    at = 0
    while at + head <= len(block):
        kind, flags = block[at], block[at + 3]
        stop = at + head + (block[at + 1] | block[at + 2] << 8)
        if stop > len(block):
            raise Refused("whole messages", f"one of kind {kind} that is cut short")
        if flags & _SHARED:
            raise Refused("types and values of an object's own", "a shared message")
        found.append((kind, block[at + head : stop]))
        at = stop
    return found


def _continuation(metadata: Metadata, fields: Fields) -> bytes:
    address, size = fields.int(8), fields.int(8)
    if size < 8:
        raise Refused("continuations of 8 bytes or more", str(size))
    block = metadata.read(address, size)
    Fields(block).need(b"OCHK", "a continuation of an object header")
    return block[4:-4]
