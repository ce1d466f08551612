"""What does not fit an object header: many links or attributes, and texts of variable length.

Source: HDF5 file format specification 3.0, sections III.A.2 (version 2 B-trees), III.G (fractal
heaps), III.E (global heaps). Of fractal heaps only what links and attributes need is read: objects
of the heap's own, in blocks that the root lists.
"""

from bisect import bisect_right

from bitpim_traces.hdf5.metadata import UNDEFINED, Fields, Metadata, Refused

__all__ = ["GlobalHeap", "dense_objects"]

_MAX_NODE = 2**16
_MAX_WIDTH, _MAX_ROWS, _MAX_BLOCK = 64, 64, 2**24
_MAX_DEPTH = 6
_LEAF_REST = 10  # signature, version, type and checksum of a node


def dense_objects(
    metadata: Metadata, heap: int, tree: int, sort: int, record_bytes: int, id_at: int
) -> list[bytes]:
    """Read the objects of a fractal heap that a B-tree of records of some sort lists.

    `id_at` is the place of a heap ID in a record.
    """
    if heap == UNDEFINED:
        return []
    fractal = _FractalHeap(metadata, heap)
    ids = slice(id_at, id_at + fractal.id_bytes)
    return [fractal.object(record[ids]) for record in _records(metadata, tree, sort, record_bytes)]


def _records(metadata: Metadata, address: int, sort: int, record_bytes: int) -> list[bytes]:
    fields = Fields(metadata.read(address, 38))
    fields.need(b"BTHD\0" + bytes([sort]), f"a B-tree of records of type {sort}")
    node, record, depth = fields.int(4), fields.int(2), fields.int(2)
    fields.take(2)
    root, n_root, total = fields.int(8), fields.int(2), fields.int(8)
    if record != record_bytes or not 64 <= node <= _MAX_NODE or depth > _MAX_DEPTH:
        raise Refused("a B-tree that the library makes", f"{node=}, {record=}, {depth=}")
    if not total:
        return []
    found: list[bytes] = []
    _Nodes(metadata, sort, record, node, depth).read(root, n_root, depth, found)
    if len(found) != total:
        raise Refused(f"{total} records in a B-tree", str(len(found)))
    return found


class _Nodes:
    """The nodes of one B-tree, each read once."""

    def __init__(self, metadata: Metadata, sort: int, record: int, node: int, depth: int) -> None:
        self.metadata, self.sort, self.record, self.node = metadata, sort, record, node
        most = (node - _LEAF_REST) // record
        self.count_bytes = _width(most)
        self.total_bytes = [0]  # by depth, of the number of records below a child
        below = most
        for _ in range(depth):
            pointer = 8 + self.count_bytes + self.total_bytes[-1]
            most = (node - _LEAF_REST - pointer) // (record + pointer)
            below = (most + 1) * below + most
            self.total_bytes.append(_width(below))

    def read(self, address: int, n_records: int, depth: int, found: list[bytes]) -> None:
        pointer = 8 + self.count_bytes + (self.total_bytes[depth - 1] if depth else 0)
        used = 6 + n_records * self.record + ((n_records + 1) * pointer if depth else 0)
        if used + 4 > self.node:
            raise Refused("B-tree nodes of their size", f"{n_records} records in {self.node} bytes")
        # The library reads whole nodes, but what lies behind their records is anything.
        fields = Fields(self.metadata.read(address, used + 4))
        fields.need((b"BTIN\0" if depth else b"BTLF\0") + bytes([self.sort]), "a B-tree node")
        found += [fields.take(self.record) for _ in range(n_records)]
        for _ in range(n_records + 1 if depth else 0):
            child, n_child = fields.int(8), fields.int(self.count_bytes)
            fields.int(self.total_bytes[depth - 1])
            self.read(child, n_child, depth - 1, found)


def _width(most: int) -> int:
    """Bytes that hold a number up to `most`."""
    return max((most.bit_length() + 7) // 8, 1)


class _FractalHeap:
    """One heap: where its blocks lie; objects are read where they are."""

    def __init__(self, metadata: Metadata, address: int) -> None:
        self.metadata = metadata
        fields = Fields(metadata.read(address, 146))
        fields.need(b"FRHP\0", "a fractal heap")
        self.id_bytes, filters, flags = fields.int(2), fields.int(2), fields.int(1)
        fields.take(100)  # sizes and free space, which only a writer needs
        self.width, self.first, most = fields.int(2), fields.int(8), fields.int(8)
        self.offset_bytes = (fields.int(2) + 7) // 8
        fields.take(2)
        root, rows = fields.int(8), fields.int(2)
        self.n_direct = most.bit_length() - self.first.bit_length() + 2  # rows of plain blocks
        good = (
            flags < 4
            and filters == 0
            and _is_power_of_2(self.width, _MAX_WIDTH)
            and _is_power_of_2(self.first, most)
            and _is_power_of_2(most, _MAX_BLOCK)
            and rows <= _MAX_ROWS
            and 0 < self.offset_bytes <= 8
            and 0 < self.id_bytes - 1 - self.offset_bytes <= 8
        )
        if not good:
            raise Refused("a heap of plain blocks", f"{rows} rows of {self.width}, {filters=}")
        self._starts: list[int] = []
        self._blocks: list[tuple[int, int]] = []
        if rows == 0:
            self._keep(0, self.first, root)
        else:
            self._list(root, 0, rows)

    def _keep(self, start: int, size: int, address: int) -> None:
        if address != UNDEFINED:
            self._starts.append(start)
            self._blocks.append((size, address))

    def _list(self, address: int, start: int, rows: int) -> None:
        """Note where the blocks of some rows lie, in the order of their offsets in the heap.

        All blocks of a row have one size: the first, the first again, then twice that of the row
        before; from some row on they are lists of such rows themselves.
        """
        n_blocks = rows * self.width
        block = self.metadata.read(address, 13 + self.offset_bytes + 8 * n_blocks + 4)
        fields = Fields(block)
        fields.need(b"FHIB\0", "a list of heap blocks")
        fields.take(8 + self.offset_bytes)
        for row in range(rows):
            size = self.first << max(row - 1, 0)
            for _ in range(self.width):
                below = fields.int(8)
                if row < self.n_direct:
                    self._keep(start, size, below)
                elif below != UNDEFINED:
                    self._list(below, start, (size // (self.first * self.width)).bit_length())
                start += size

    def object(self, heap_id: bytes) -> bytes:
        """Read one object by its ID."""
        fields = Fields(heap_id)
        if fields.int(1):
            raise Refused("links and attributes of at most 4 KiB", "a larger one")
        offset = fields.int(self.offset_bytes)
        length = int.from_bytes(fields.rest(), "little")
        number = bisect_right(self._starts, offset) - 1
        if number < 0 or offset + length > self._starts[number] + self._blocks[number][0]:
            raise Refused("objects inside their heap", f"{length} bytes at {offset}")
        return self.metadata.read(self._blocks[number][1] + offset - self._starts[number], length)


def _is_power_of_2(n: int, most: int) -> bool:
    return 0 < n <= most and n & (n - 1) == 0


class GlobalHeap:
    """Texts of variable length, in collections; each collection's list is read once."""

    def __init__(self, metadata: Metadata) -> None:
        self.metadata = metadata
        self._collections: dict[int, dict[int, tuple[int, int]]] = {}

    def text(self, reference: bytes) -> bytes:
        """Read the text that a value of 16 bytes refers to."""
        fields = Fields(reference)
        length, address, index = fields.int(4), fields.int(8), fields.int(4)
        if length == 0:
            return b""
        if address not in self._collections:
            self._collections[address] = self._listed(address)
        place, size = self._collections[address].get(index, (0, 0))
        if length > size:
            raise Refused("texts inside their heap", f"{length} bytes of text {index}")
        return self.metadata.read(place, length)

    def _listed(self, address: int) -> dict[int, tuple[int, int]]:
        fields = Fields(self.metadata.read(address, 16))
        fields.need(b"GCOL\x01\0\0\0", "a collection of texts")
        at, stop = address + 16, address + fields.int(8)
        found: dict[int, tuple[int, int]] = {}
        while at + 16 <= stop:
            head = Fields(self.metadata.read(at, 16))
            index = head.int(2)
            head.take(6)
            size = head.int(8)
            if index == 0:
                break
            if index in found:
                raise Refused("a collection of different texts", f"{index} twice")
            found[index] = at + 16, min(size, stop - at - 16)
            at += 16 + (size + 7) // 8 * 8
        return found
