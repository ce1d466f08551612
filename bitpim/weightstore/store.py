"""Layers in lines of bits, and cluster by cluster back."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from bitpim.errors import LayoutError, WeightStoreError
from bitpim.weightstore.lines import lay_lines
from bitpim.weightstore.settings import StoreSettings, WeightCodes
from bitpim_kernels.checksum import damaged_line
from bitpim_kernels.layout import tail_mask, unpack, words_for
from bitpim_kernels.weight_lines import (
    CODE,
    FINE,
    HEADER,
    LENGTH,
    POSITION,
    Stored,
    pack_checksums,
    pack_lines,
    read_codes,
    read_members,
)
from bitpim_kernels.weight_places import deposits, place_codes

__all__ = ["LayerReader", "StoredLayer", "store_layer"]

Codes = npt.NDArray[Any]
Ints = npt.NDArray[np.int64]
Words = npt.NDArray[np.uint64]

_FAULTS = {
    CODE: "codes of the layer, got one that is none",
    HEADER: "a header, got bits that are none",
    LENGTH: "as many lines and bytes as its weights take, got more or fewer",
    POSITION: "positions for the weights of the cluster, got more, fewer or others",
}


@dataclass(frozen=True, slots=True, eq=False)
class StoredLayer:
    """A layer's weights as lines of bits, with what tells where they are and whose.

    Attributes
    ----------
    words : all lines, one after the other, and a word that is nobody's
    starts : byte at which each line begins, and the end
    cluster_lines : lines of the clusters before each one, and all of them
    counts : weights of each cluster
    shape : of the layer
    layer : its number, for messages

    Shapes
    ------
    words: (words of all bytes + 1,) uint64
    starts: (n_lines + 1,)
    cluster_lines: (n_clusters + 1,)
    counts: (n_clusters,)

    Raises
    ------
    WeightStoreError
        A line begins or ends where there are no bytes.
    LayoutError
        Counts are not those of the shape.
    """

    words: Words
    starts: Ints
    cluster_lines: Ints
    counts: Ints
    shape: tuple[int, ...]
    kind: WeightCodes
    settings: StoreSettings
    layer: int = 0

    def __post_init__(self) -> None:
        n_weights = int(np.prod(self.shape, dtype=np.int64))
        edges = self.cluster_lines.tolist()
        if (
            self.counts.min(initial=0) < 0
            or self.counts.sum() != n_weights
            or (edges[0], edges[-1], len(edges)) != (0, self.n_lines, len(self.counts) + 1)
            or edges != sorted(edges)
        ):
            raise LayoutError(
                f"weight store: layer {self.layer}: need clusters of {n_weights} weights and "
                f"{self.n_lines} lines in all, got {self.counts.tolist()} weights and lines from "
                f"{edges} on"
            )
        room = 8 * (len(self.words) - 1)
        least, most = self.settings.checked_bits // 8 + 1, self.settings.line_bytes
        wrong = (self.n_bytes < least) | (self.n_bytes > most) | (self.starts[1:] > room)
        wrong |= self.starts[:-1] < 0
        if wrong.any():
            line = int(np.argmax(wrong))
            cluster = int(np.searchsorted(self.cluster_lines[1:], line, side="right"))
            need = (
                f"{least} to {most} of the {room} bytes there are, got bytes "
                f"{self.starts[line]} to {self.starts[line + 1]}"
            )
            raise _damaged(self, cluster, line, need)

    @property
    def n_lines(self) -> int:
        """Lines of all clusters."""
        return len(self.starts) - 1

    @property
    def cluster(self) -> Ints:
        """The cluster of each line."""
        return np.repeat(np.arange(len(self.counts)), np.diff(self.cluster_lines))

    @property
    def n_bytes(self) -> Ints:
        """Bytes of each line."""
        return np.diff(self.starts)

    def line_content(self, line: int) -> bytes:
        """Return the bytes of a line."""
        return bytes(self.words.view(np.uint8)[self.starts[line] : self.starts[line + 1]])

    def reader(self) -> "LayerReader":
        """Return what reads the layer, cluster after cluster."""
        return LayerReader(self)

    def decode(self, n_clusters: int | None = None) -> Codes:
        """Return the layer's codes; those of later clusters are the zero point.

        Parameters
        ----------
        n_clusters
            So many are read, from the first; else all.

        Raises
        ------
        WeightStoreError
            A line is damaged or cut short.
        """
        reader = self.reader()
        for _ in range(len(self.counts) if n_clusters is None else n_clusters):
            reader.read_next()
        return reader.codes


class LayerReader:
    """Reads a stored layer, a cluster at a time.

    Attributes
    ----------
    codes : those read so far, in the layer's shape; the zero point where none was
    n_read : clusters read
    """

    def __init__(self, stored: StoredLayer) -> None:
        kind, settings = stored.kind, stored.settings
        n = int(stored.counts.sum())
        self.n_read = 0
        self._stored = stored
        self._form = settings.form(kind)
        self._padded = np.full(64 * words_for(n), kind.zero_point & 255, np.uint8)
        self._flat = self._padded[:n].view(np.int8 if kind.signed else np.uint8)
        self.codes: Codes = self._flat.reshape(stored.shape)
        self._free = np.full(words_for(n), ~np.uint64(0))
        self._free[-1:] &= tail_mask(n)
        self._found = np.empty(int(stored.counts.max(initial=0)) + 64, np.uint8)
        self._checksums = None
        if settings.is_compressed:
            self._checksums = settings.parities()

    @property
    def is_read(self) -> npt.NDArray[np.bool_]:
        """Which weights were read, in the layer's shape."""
        free = unpack(self._free, self._flat.size)
        read: npt.NDArray[np.bool_] = (free == 0).reshape(self.codes.shape)
        return read

    def read_next(self) -> None:
        """Read the next cluster into `codes`.

        Raises
        ------
        LayoutError
            All clusters were read.
        WeightStoreError
            A line is damaged or cut short.
        """
        counts, j = self._stored.counts, self.n_read
        if j == len(counts):
            raise LayoutError(
                f"weight store: layer {self._stored.layer}: need a cluster that was not read, got "
                f"all {j} read"
            )
        n, n_free = int(counts[j]), int(counts[j:].sum())
        lines = self._lines_of(j)
        members = np.zeros(words_for(n_free) + 1, np.uint64)
        fault = FINE
        if n == n_free:
            members[:] = ~np.uint64(0)
        elif n:
            fault = read_members(lines, self._form, n, n_free, members)
        if fault == FINE:
            fault = read_codes(lines, self._form, n, self._found)
        if fault == FINE and lines.line[0] != lines.end:
            fault = LENGTH
        if fault != FINE:
            raise _damaged(self._stored, j, int(lines.line[0]), _FAULTS[fault])
        place_codes(members, deposits(), self._free, self._found, self._padded)
        self.n_read = j + 1

    def _lines_of(self, j: int) -> Stored:
        """Return the lines of a cluster, all of which have their checksums."""
        stored = self._stored
        first, end = int(stored.cluster_lines[j]), int(stored.cluster_lines[j + 1])
        if self._checksums is not None:
            sums = np.empty(end - first, np.uint64)
            line = damaged_line(stored.words, stored.starts, first, end, self._checksums, sums)
            if line < end:
                raise _damaged(stored, j, line, "bits that have its checksum, got others")
        at = np.array([first])
        return Stored(stored.words, stored.starts, at, end, stored.settings.checked_bits)


def store_layer(
    codes: npt.ArrayLike,
    clusters: npt.ArrayLike,
    n_clusters: int,
    kind: WeightCodes,
    settings: StoreSettings,
    layer: int = 0,
) -> StoredLayer:
    """Store the weights of a layer; parameters and errors are those of `lay_lines`."""
    laid = lay_lines(codes, clusters, n_clusters, kind, settings, layer)
    lines = laid.packed()
    words = np.empty(-(-int(lines.starts[-1]) // 8) + 1, np.uint64)
    pack_lines(laid.fields, lines, settings.checked_bits, words)
    if settings.is_compressed:
        pack_checksums(lines, settings.parities(), np.empty(laid.n_lines, np.uint64), words)
    edges = np.searchsorted(laid.cluster, np.arange(n_clusters + 1))
    return StoredLayer(
        words, lines.starts, edges, laid.counts, np.shape(codes), kind, settings, layer
    )


def _damaged(stored: StoredLayer, cluster: int, line: int, need: str) -> WeightStoreError:
    return WeightStoreError(
        f"weight store: layer {stored.layer}, cluster {cluster}, line "
        f"{line - int(stored.cluster_lines[cluster])}: need {need}; store the weights again"
    )
