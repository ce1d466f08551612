"""Sizes of stored weights: bits, bytes and bus bursts by cluster, and all lines in fetch order."""

from collections.abc import Iterable, Sequence
from dataclasses import astuple, dataclass

import numpy as np
import numpy.typing as npt

from bitpim.weightstore.lines import LaidLines, bursts
from bitpim.weightstore.store import StoredLayer

__all__ = ["ClusterSizes", "LineTable", "cluster_sizes", "content_numbers", "line_table", "total"]

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class ClusterSizes:
    """What the weights of a cluster take; of several clusters, their sum.

    Attributes
    ----------
    n_weights : weights
    dense_bits : of their codes alone, as they are
    n_lines : lines, of positions and of codes
    position_bits : of fields that say where weights are
    code_bits : of fields that say what they are
    header_bits : of what codes have in common, and of how much that is
    checksum_bits : of all lines
    n_bytes : of lines, each of whole bytes
    n_bursts : of the bus, each line fetched by itself
    streamed_bursts : of the bus, a cluster's lines fetched as one piece
    """

    n_weights: int
    dense_bits: int
    n_lines: int
    position_bits: int
    code_bits: int
    header_bits: int
    checksum_bits: int
    n_bytes: int
    n_bursts: int
    streamed_bursts: int

    @property
    def n_bits(self) -> int:
        """Bits of all lines."""
        return self.position_bits + self.code_bits + self.header_bits + self.checksum_bits


@dataclass(frozen=True, slots=True, eq=False)
class LineTable:
    """Lines of a network in the order in which they are fetched, layer after layer.

    Attributes
    ----------
    layer, cluster : of each line, by number
    n_bytes : of each line

    Shapes
    ------
    all: (n_lines,)
    """

    layer: Ints
    cluster: Ints
    n_bytes: Ints

    def bursts(self, burst_bytes: int) -> Ints:
        """Return the bus bursts of each line, fetched by itself."""
        return bursts(self.n_bytes, burst_bytes)


def cluster_sizes(laid: LaidLines, burst_bytes: int) -> list[ClusterSizes]:
    """Return what each cluster of a layer takes.

    Raises
    ------
    ConfigError
        A burst has no bytes.
    """
    n_clusters = len(laid.counts)

    def by_cluster(amounts: Ints) -> Ints:
        found: Ints = np.zeros(n_clusters, np.int64)
        np.add.at(found, laid.cluster, amounts)
        return found

    field_bits, n_bytes = laid.n_fields * laid.width, by_cluster(laid.n_bytes)
    columns = (
        laid.counts,
        laid.counts * laid.code_bits,
        by_cluster(np.ones(laid.n_lines, np.int64)),
        by_cluster(field_bits * laid.holds_positions),
        by_cluster(field_bits * ~laid.holds_positions),
        by_cluster(laid.header_bits),
        by_cluster(np.full(laid.n_lines, laid.checksum_bits)),
        n_bytes,
        by_cluster(laid.bursts(burst_bytes)),
        bursts(n_bytes, burst_bytes),
    )
    return [ClusterSizes(*map(int, row)) for row in zip(*columns, strict=True)]


def total(sizes: Iterable[ClusterSizes]) -> ClusterSizes:
    """Return what several clusters take together."""
    rows = [(0,) * 10, *map(astuple, sizes)]
    return ClusterSizes(*(sum(column) for column in zip(*rows, strict=True)))


def line_table(layers: Sequence[LaidLines | StoredLayer]) -> LineTable:
    """Return the lines of all layers in the order in which they are fetched."""
    none = [np.zeros(0, np.int64)]
    numbers = np.repeat(np.arange(len(layers)), [layer.n_lines for layer in layers])
    return LineTable(
        numbers,
        np.concatenate([*none, *(layer.cluster for layer in layers)]),
        np.concatenate([*none, *(layer.n_bytes for layer in layers)]),
    )


def content_numbers(layers: Sequence[StoredLayer]) -> Ints:
    """Return a number for each line, the same where lines are the same in all their bytes.

    Numbers rise from 0 in the order in which contents are first met.

    Shapes
    ------
    returns: (n_lines of all layers,)
    """
    known: dict[bytes, int] = {}
    contents = (layer.line_content(i) for layer in layers for i in range(layer.n_lines))
    return np.array([known.setdefault(content, len(known)) for content in contents], np.int64)
