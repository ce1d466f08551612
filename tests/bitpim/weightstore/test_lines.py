"""Lines of a layer worked by hand, bit by bit, and closed forms of their sizes."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings

from bitpim.errors import ConfigError, LayoutError
from bitpim.weightstore.lines import LaidLines, bursts, lay_lines
from bitpim.weightstore.settings import StoreSettings, WeightCodes
from tests.bitpim.weightstore.layers import Layer, layers
from tests.naive.weight_store import stored

# Weight     0   1   2   3   4   5   6   7
CODES = [7, -1, 0, -6, 1, 2, -7, 1]
OWNER = [0, 2, 2, 0, 2, 1, 0, 1]
#
# cluster 0:  7, -6, -7   magnitudes 0111 0110 0111   share 011, 1 low bit
# cluster 1:  2,  1       magnitudes 0010 0001        share 00,  2 low bits
# cluster 2: -1,  0,  1   magnitudes 0001 0000 0001   share 000, 1 low bit
#
# Bitmaps: cluster 0 is bits 1001 0010 of all eight; five are left, 1 2 4 5 7, and cluster 1 is bits
# 00011 of these; cluster 2 is all that is left, and has none.

INT4 = WeightCodes(4, True, 0)
SMALL = StoreSettings(line_bytes=8)


def laid(**changed: Any) -> LaidLines:
    return lay_lines(CODES, OWNER, 3, INT4, StoreSettings(line_bytes=8, **changed))


def test_a_layer_by_hand() -> None:
    lines = laid()
    assert lines.counts.tolist() == [3, 2, 3]
    assert lines.cluster.tolist() == [0, 0, 1, 1, 2]
    assert lines.holds_positions.tolist() == [True, False, True, False, False]
    assert lines.n_fields.tolist() == [8, 3, 5, 2, 3]
    assert lines.width.tolist() == [1, 2, 1, 3, 2]  # a sign and the low bits
    assert lines.header_bits.tolist() == [0, 4 + 3, 0, 4 + 2, 4 + 3]
    assert lines.header.tolist() == [0, 1 + (0b011 << 4), 0, 2, 1]
    fields = [[1, 0, 0, 1, 0, 0, 1, 0], [1, 2, 3], [0, 0, 0, 1, 1], [2, 1], [3, 0, 1]]
    assert lines.fields.tolist() == [field for line in fields for field in line]
    assert lines.n_bits.tolist() == [8 + 8, 8 + 7 + 6, 8 + 5, 8 + 6 + 6, 8 + 7 + 6]
    assert lines.n_bytes.tolist() == [2, 3, 2, 3, 3]
    assert lines.bursts(2).tolist() == [1, 2, 1, 2, 2]
    assert lines.bursts(32).tolist() == [1, 1, 1, 1, 1]
    assert lines.dense_bits == 8 * 4
    assert lines.directory_bits == 3 * 4 + 5 * 2  # counts up to 8, lengths up to 3


def test_the_layer_raw() -> None:
    """Codes lie above -8; nothing is checked, and nothing shared."""
    lines = laid(codec="raw")
    assert lines.n_bits.tolist() == [8, 12, 5, 8, 12]
    assert lines.n_bytes.tolist() == [1, 2, 1, 1, 2]
    assert lines.header_bits.tolist() == [0] * 5
    assert lines.fields[8:11].tolist() == [15, 2, 1]


@pytest.mark.parametrize(
    ("gap_bits", "first", "second"),
    [
        # gaps 0 2 2 of cluster 0; 3 0 of cluster 1
        (1, [0, 1, 1, 0, 1, 1, 0], [1, 1, 1, 0, 0]),
        (2, [0, 2, 2], [3, 0, 0]),
        (3, [0, 2, 2], [3, 0]),
    ],
)
def test_the_layer_with_gaps(gap_bits: int, first: list[int], second: list[int]) -> None:
    lines = laid(positions="run_length", gap_bits=gap_bits)
    assert lines.n_fields.tolist() == [len(first), 3, len(second), 2, 3]
    assert lines.fields[: len(first)].tolist() == first
    assert lines.fields[len(first) + 3 :][: len(second)].tolist() == second
    assert lines.n_bits[[0, 2]].tolist() == [
        8 + gap_bits * len(first), 8 + gap_bits * len(second)
    ]  # fmt: skip


def test_each_line_may_share_its_own() -> None:
    """Eight codes of 6 bits fit the 52 bits that a line has beside checksum and width."""
    codes = [0b010000 + k for k in range(8)] + [-0b1000, 0b1001]
    kind = WeightCodes(6, True, 0)
    line = lay_lines(codes, [0] * 10, 1, kind, StoreSettings(line_bytes=8, share="line"))
    assert line.n_fields.tolist() == [8, 2]
    assert line.width.tolist() == [4, 2]  # 010... three low bits; 00100. one
    assert line.header.tolist() == [3 + (0b010 << 4), 1 + (0b00100 << 4)]
    assert line.header_bits.tolist() == [7, 9]
    whole = lay_lines(codes, [0] * 10, 1, kind, StoreSettings(line_bytes=8))
    assert whole.width.tolist() == [6, 6]  # 010000 and 001000 share one bit, which is too few
    assert whole.header.tolist() == [6, 0]
    assert whole.header_bits.tolist() == [4, 0]
    assert whole.n_bits.tolist() == [8 + 4 + 8 * 6, 8 + 2 * 6]


@pytest.mark.parametrize(
    ("n", "largest", "n_bits"),
    [
        # 62 codes of 8 bits fit a line: 8 bits of checksum, 4 of width, shared bits, codes
        (62, 255, 8 + 4 + 62 * 8),
        (62, 127, 8 + 4 + 62 * 8),  # one bit shared is none
        (62, 63, 8 + 4 + 2 + 62 * 7),
        (62, 1, 8 + 4 + 7 + 62 * 2),
        (62, 0, 8 + 4 + 8 + 62 * 1),
        (1, 0, 8 + 4 + 8 + 1),
        (124, 15, 2 * 8 + 4 + 4 + 124 * 5),
        (125, 15, 3 * 8 + 4 + 4 + 125 * 5),
    ],
)
def test_bits_of_a_cluster_in_closed_form(n: int, largest: int, n_bits: int) -> None:
    codes = np.resize([largest, 0], n)
    lines = lay_lines(codes, np.zeros(n, int), 2, WeightCodes(8, False, 0), StoreSettings())
    assert lines.n_bits.sum() == n_bits
    assert lines.n_lines == -(-n // 62)


@pytest.mark.parametrize(("n", "n_lines"), [(504, 1), (505, 2), (1008, 2), (1009, 3)])
def test_a_bitmap_is_cut_at_the_room_of_a_line(n: int, n_lines: int) -> None:
    """The first of two clusters has a bit for each weight; 504 fit beside a checksum."""
    owner = np.ones(n, int)
    owner[-1] = 0
    lines = lay_lines(np.zeros(n, int), owner, 2, WeightCodes(8, True, 0), StoreSettings())
    of_first = lines.holds_positions & (lines.cluster == 0)
    assert of_first.sum() == n_lines == lines.holds_positions.sum()
    assert lines.n_bits[of_first].sum() == n + 8 * n_lines
    assert (lines.n_bytes[of_first][:-1] == 64).all()


def test_a_raw_bitmap_fills_its_line() -> None:
    owner = np.arange(1024) % 2
    raw = StoreSettings(codec="raw")
    lines = lay_lines(np.zeros(1024, int), owner, 2, WeightCodes(8, True, 0), raw)
    assert lines.n_bytes.tolist() == [64] * (2 + 8 + 8)
    assert lines.bursts(64).tolist() == [1] * 18
    assert lines.bursts(32).tolist() == [2] * 18


def test_a_cluster_without_weights_has_no_lines() -> None:
    lines = lay_lines([3, 4], [0, 2], 4, INT4, SMALL)
    assert lines.counts.tolist() == [1, 0, 1, 0]
    assert lines.cluster.tolist() == [0, 0, 2]
    empty = np.zeros((0, 3), np.int64)
    none = lay_lines(empty, empty, 3, INT4, SMALL)
    assert none.n_lines == none.dense_bits == none.directory_bits == 0


@settings(max_examples=150, deadline=None)
@given(layers())
def test_sizes_are_those_of_naive_lines_and_fit_a_line(layer: Layer) -> None:
    lines = lay_lines(layer.codes, layer.clusters, layer.n_clusters, layer.kind, layer.settings)
    need = stored(layer.codes.tolist(), layer.clusters.tolist(), layer.n_clusters, layer.rules)
    kinds = ["positions" if holds else "codes" for holds in lines.holds_positions]
    found = list(zip(lines.cluster.tolist(), kinds, lines.n_bits.tolist(), strict=True))
    assert found == [(cluster, kind, len(bits)) for cluster, kind, bits in need]
    assert lines.n_bytes.max(initial=0) <= layer.settings.line_bytes


@pytest.mark.parametrize(
    ("codes", "clusters", "n_clusters", "message"),
    [
        ([8], [0], 1, "layer 5: need codes of -8 to 7, got 8 to 8"),
        ([-9, 0], [0, 0], 1, "need codes of -8 to 7, got -9 to 0"),
        ([0, 0], [0, 2], 2, "need clusters of 0 to 1, got 0 to 2"),
        ([0, 0], [-1, 1], 2, "need clusters of 0 to 1, got -1 to 1"),
        ([0, 0], [0], 2, r"of one shape, got int64 \(2,\) and int64 \(1,\)"),
        ([0.5], [0], 2, "need integer codes and clusters of one shape, got float64"),
        ([1], [True], 2, "need integer codes and clusters of one shape, got int64"),
        ([1], [0], 0, "need 1 to 8 clusters, got 0"),
        ([1], [0], 9, "need 1 to 8 clusters, got 9"),
    ],
)
def test_layers_that_are_none(
    codes: list[Any], clusters: list[Any], n_clusters: int, message: str
) -> None:
    with pytest.raises(LayoutError, match=message):
        lay_lines(codes, clusters, n_clusters, INT4, SMALL, layer=5)


def test_bursts_round_up() -> None:
    assert bursts(np.array([0, 1, 32, 33, 64, 65]), 32).tolist() == [0, 1, 1, 2, 2, 3]
    with pytest.raises(ConfigError, match="need bursts of 1 byte or more, got 0"):
        bursts(np.array([1]), 0)
