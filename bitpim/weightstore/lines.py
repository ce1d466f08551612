"""What the lines of a layer hold and how long they are, known before any bit is written.

Lines are in the order in which they are fetched: cluster by cluster, first those of its positions,
then those of its codes, both by rising place in the layer, output channel after output channel.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from bitpim.errors import ConfigError, LayoutError
from bitpim.weightstore.settings import StoreSettings, WeightCodes
from bitpim_kernels.weight_lines import EVERY_LINE, NO_HEADER, WIDTH_BITS, Form
from bitpim_kernels.weight_lines import Lines as PackedLines

__all__ = ["MAX_CLUSTERS", "LaidLines", "bursts", "lay_lines"]

MAX_CLUSTERS = 8

Bools = npt.NDArray[np.bool_]
Bytes = npt.NDArray[np.uint8]
Ints = npt.NDArray[np.int64]

_BIT_LENGTHS = np.array([n.bit_length() for n in range(256)])


def bursts(n_bytes: Ints, burst_bytes: int) -> Ints:
    """Return the bursts of a bus that bring so many bytes.

    Raises
    ------
    ConfigError
        A burst has no bytes.
    """
    if burst_bytes < 1:
        raise ConfigError(f"weight store: need bursts of 1 byte or more, got {burst_bytes}")
    found: Ints = -(-n_bytes // burst_bytes)
    return found


@dataclass(frozen=True, slots=True, eq=False)
class LaidLines:
    """All lines of a layer, and the fields they are packed of.

    Attributes
    ----------
    counts : weights of each cluster
    cluster : of each line
    holds_positions : whether it holds positions, else codes
    n_fields : bits of a bitmap, gaps, or codes
    width : bits of one of them
    header : its bits as a number
    header_bits : how many
    checksum_bits : of every line
    fields : of all lines, one after the other
    code_bits : of a code as it is

    Shapes
    ------
    counts: (n_clusters,)
    cluster, holds_positions, n_fields, width, header, header_bits: (n_lines,)
    fields: (n_fields.sum(),)
    """

    counts: Ints
    cluster: Ints
    holds_positions: Bools
    n_fields: Ints
    width: Ints
    header: Ints
    header_bits: Ints
    checksum_bits: int
    fields: Bytes
    code_bits: int

    @property
    def n_lines(self) -> int:
        """Lines of all clusters."""
        return len(self.cluster)

    @property
    def n_bits(self) -> Ints:
        """Bits of each line: checksum, header, fields."""
        return self.checksum_bits + self.header_bits + self.n_fields * self.width

    @property
    def n_bytes(self) -> Ints:
        """Bytes of each line."""
        return bursts(self.n_bits, 8)

    def bursts(self, burst_bytes: int) -> Ints:
        """Return the bus bursts of each line, fetched by itself."""
        return bursts(self.n_bytes, burst_bytes)

    @property
    def dense_bits(self) -> int:
        """Bits of the codes as they are, in their order, without clusters."""
        return int(self.counts.sum()) * self.code_bits

    @property
    def directory_bits(self) -> int:
        """Bits beside the lines: the weights of each cluster and the bytes of each line.

        A count takes the bits that the number of all weights has, a length those of the longest.
        """
        n_weights, longest = int(self.counts.sum()), int(self.n_bytes.max(initial=0))
        return len(self.counts) * n_weights.bit_length() + len(self.n_bytes) * longest.bit_length()

    def packed(self) -> PackedLines:
        """Return the lines as kernels take them."""
        starts = np.concatenate([np.zeros(1, np.int64), np.cumsum(self.n_bytes)])
        columns = (self.n_fields, self.width, self.header, self.header_bits, starts)
        return PackedLines(*(np.ascontiguousarray(column, np.int64) for column in columns))


@dataclass(frozen=True, slots=True, eq=False)
class _Part:
    """The lines of one cluster's positions, or of its codes."""

    fields: Bytes
    n_fields: Ints
    width: Ints
    header: Ints
    header_bits: Ints


def lay_lines(
    codes: npt.ArrayLike,
    clusters: npt.ArrayLike,
    n_clusters: int,
    kind: WeightCodes,
    settings: StoreSettings,
    layer: int = 0,
) -> LaidLines:
    """Lay the weights of a layer in lines.

    Parameters
    ----------
    clusters
        Of each weight, from 0, which is fetched first; one may be empty.
    layer
        Its number, for messages.

    Shapes
    ------
    codes, clusters: alike, output channel first

    Raises
    ------
    LayoutError
        Shapes differ, a code is not of `kind`, or a cluster not below `n_clusters`.
    """
    flat, owner = _checked(codes, clusters, n_clusters, kind, f"weight store: layer {layer}")
    form = settings.form(kind)
    parts = []
    for j in range(n_clusters):
        parts.append(_positions(owner[owner >= j] == j, form))
        parts.append(_codes(flat[owner == j], kind, form))
    n_lines = [len(part.n_fields) for part in parts]
    return LaidLines(
        counts=np.bincount(owner, minlength=n_clusters),
        cluster=np.repeat(np.arange(len(parts)) // 2, n_lines),
        holds_positions=np.repeat(np.arange(len(parts)) % 2 == 0, n_lines),
        n_fields=np.concatenate([part.n_fields for part in parts]),
        width=np.concatenate([part.width for part in parts]),
        header=np.concatenate([part.header for part in parts]),
        header_bits=np.concatenate([part.header_bits for part in parts]),
        checksum_bits=settings.checked_bits,
        fields=np.concatenate([part.fields for part in parts]),
        code_bits=kind.bits,
    )


def _checked(
    codes: npt.ArrayLike, clusters: npt.ArrayLike, n_clusters: int, kind: WeightCodes, where: str
) -> tuple[Ints, Ints]:
    weights, owner = np.asarray(codes), np.asarray(clusters)
    if weights.shape != owner.shape or {weights.dtype.kind, owner.dtype.kind} - {*"iu"}:
        raise LayoutError(
            f"{where}: need integer codes and clusters of one shape, got {weights.dtype} "
            f"{weights.shape} and {owner.dtype} {owner.shape}"
        )
    if not 1 <= n_clusters <= MAX_CLUSTERS:
        raise LayoutError(f"{where}: need 1 to {MAX_CLUSTERS} clusters, got {n_clusters}")
    ranges = (("codes", weights, kind.least, kind.most), ("clusters", owner, 0, n_clusters - 1))
    for name, values, least, most in ranges:
        if values.size and not (values.min() >= least and values.max() <= most):
            raise LayoutError(
                f"{where}: need {name} of {least} to {most}, got {values.min()} to {values.max()}"
            )
    return weights.ravel().astype(np.int64), owner.ravel().astype(np.int64)


def _positions(is_member: Bools, form: Form) -> _Part:
    """Lay out which of the free positions are of a cluster; nothing where all are, or none."""
    fields = np.zeros(0, np.uint8)
    if is_member.any() and not is_member.all():
        fields = _gaps(is_member, form.gap_bits) if form.gap_bits else is_member.view(np.uint8)
    n_fields = _dealt(len(fields), form.positions_per_line)
    none = np.zeros_like(n_fields)
    return _Part(fields, n_fields, none + max(form.gap_bits, 1), none, none)


def _dealt(n: int, per_line: int) -> Ints:
    """Return how many of n fields each line has: all but the last are full."""
    return np.minimum(per_line, n - np.arange(0, n, per_line))


def _gaps(is_member: Bools, gap_bits: int) -> Bytes:
    """Return the positions between members, in fields; one of ones alone has another after it."""
    more = (1 << gap_bits) - 1
    gaps = np.diff(np.flatnonzero(is_member), prepend=-1) - 1
    ends = np.cumsum(gaps // more + 1)
    fields = np.full(ends[-1], more, np.uint8)
    fields[ends - 1] = gaps % more
    return fields


def _codes(codes: Ints, kind: WeightCodes, form: Form) -> _Part:
    """Lay out the codes of a cluster."""
    n_fields = _dealt(len(codes), form.codes_per_line)
    as_they_are = (codes - kind.least).astype(np.uint8)
    none = np.zeros_like(n_fields)
    if form.headers == NO_HEADER or not len(codes):
        return _Part(as_they_are, n_fields, none + kind.bits, none, none)
    magnitudes = np.abs(codes - kind.zero_point)
    n_sharing = n_fields if form.headers == EVERY_LINE else n_fields.sum(keepdims=True)
    low, shared = _shared_bits(magnitudes, n_sharing, kind.bits)
    no_more = none[len(low) :]  # headers, beyond the first of a cluster
    code_low = np.repeat(low, n_sharing)
    fields = (magnitudes & ((1 << code_low) - 1)) | (codes < kind.zero_point) << code_low
    return _Part(
        np.where(code_low == kind.bits, as_they_are, fields).astype(np.uint8),
        n_fields,
        none + np.where(low == kind.bits, low, low + 1),
        np.concatenate([low | shared << WIDTH_BITS, no_more]),
        np.concatenate([WIDTH_BITS + kind.bits - low, no_more]),
    )


def _shared_bits(magnitudes: Ints, n_sharing: Ints, code_bits: int) -> tuple[Ints, Ints]:
    """Return how many low bits differ, and the leading ones that do not, of so many at a time.

    A single leading bit shared saves no more than the sign costs: then codes stay as they are,
    and low bits are all of them.
    """
    firsts = np.cumsum(n_sharing) - n_sharing
    differ = magnitudes ^ np.repeat(magnitudes[firsts], n_sharing)
    low = _BIT_LENGTHS[np.bitwise_or.reduceat(differ, firsts)]
    low = np.where(low >= code_bits - 1, code_bits, low)
    return low, magnitudes[firsts] >> low
