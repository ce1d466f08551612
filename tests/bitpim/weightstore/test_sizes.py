"""Sizes by cluster, worked by hand; tables of lines over layers."""

import numpy as np
from hypothesis import given, settings

from bitpim.weightstore.lines import lay_lines
from bitpim.weightstore.settings import StoreSettings, WeightCodes
from bitpim.weightstore.sizes import (
    ClusterSizes,
    cluster_sizes,
    content_numbers,
    line_table,
    total,
)
from bitpim.weightstore.store import store_layer
from tests.bitpim.weightstore.layers import Layer, layers

INT8 = WeightCodes(8, True, 0)


def half_and_half(n: int = 1000) -> tuple[list[int], list[int]]:
    """The first half of magnitudes 64 to 71, the second of 0 to 3, weight about."""
    codes = [64 + i % 8 if i % 2 == 0 else i % 4 for i in range(n)]
    return codes, [i % 2 for i in range(n)]


def test_clusters_by_hand() -> None:
    """500 codes each; 62 a line, so 9 lines, of which the last has 4.

    Magnitudes 64 to 71 share 01000, and have three low bits; those of 0 to 3 (1 and 3 here) share
    000000, and two: with signs 4 and 3 bits. The bitmap has 1,000 bits: 504 and 496 in two lines.
    """
    lines = lay_lines(*half_and_half(), 2, INT8, StoreSettings())
    first, second = cluster_sizes(lines, 32)
    first_bytes = [64, 63] + [(8 + 9 + 62 * 4 + 7) // 8] + [32] * 7 + [(8 + 4 * 4) // 8]
    assert lines.n_bytes[:11].tolist() == first_bytes == [64, 63, 34, *[32] * 7, 3]
    assert first == ClusterSizes(
        n_weights=500,
        dense_bits=4000,
        n_lines=2 + 9,
        position_bits=1000,
        code_bits=500 * 4,
        header_bits=4 + 5,
        checksum_bits=11 * 8,
        n_bytes=64 + 63 + 34 + 7 * 32 + 3,
        n_bursts=2 + 2 + 2 + 7 + 1,
        streamed_bursts=-(-388 // 32),
    )
    assert first.n_bits == 1000 + 2000 + 9 + 88
    # 62 x 3 + 8 + 10 = 204, 62 x 3 + 8 = 194, 4 x 3 + 8 = 20 bits
    assert second == ClusterSizes(
        n_weights=500,
        dense_bits=4000,
        n_lines=9,
        position_bits=0,
        code_bits=500 * 3,
        header_bits=4 + 6,
        checksum_bits=9 * 8,
        n_bytes=26 + 7 * 25 + 3,
        n_bursts=9,
        streamed_bursts=7,
    )
    both = total([first, second])
    assert (both.n_weights, both.n_lines, both.n_bytes, both.n_bursts) == (1000, 20, 592, 23)
    assert both.n_bits == first.n_bits + second.n_bits


def test_the_same_raw() -> None:
    """64 codes a line: 8 lines, of which the last has 52; 1,000 bits in two lines of 512."""
    lines = lay_lines(*half_and_half(), 2, INT8, StoreSettings(codec="raw"))
    first, second = cluster_sizes(lines, 64)
    assert first == ClusterSizes(500, 4000, 10, 1000, 4000, 0, 0, 64 + 61 + 7 * 64 + 52, 10, 10)
    assert second == ClusterSizes(500, 4000, 8, 0, 4000, 0, 0, 500, 8, 8)
    assert total([first, second]).n_bytes == 125 + 1000


def test_of_no_clusters() -> None:
    assert total([]) == ClusterSizes(*[0] * 10)
    empty = lay_lines(np.zeros(0, int), np.zeros(0, int), 2, INT8, StoreSettings())
    assert cluster_sizes(empty, 32) == [total([])] * 2


@settings(max_examples=100, deadline=None)
@given(layers())
def test_sums_are_those_of_the_lines(layer: Layer) -> None:
    args = layer.codes, layer.clusters, layer.n_clusters, layer.kind, layer.settings
    lines, stored = lay_lines(*args), store_layer(*args)
    sizes = cluster_sizes(lines, 32)
    assert [size.n_weights for size in sizes] == stored.counts.tolist()
    for j, size in enumerate(sizes):
        lengths = stored.n_bytes[stored.cluster == j]
        assert size.n_lines == len(lengths)
        assert size.n_bytes == lengths.sum()
        assert size.n_bursts == sum(-(-int(length) // 32) for length in lengths)
        assert size.streamed_bursts == -(-int(lengths.sum()) // 32)
    whole = total(sizes)
    assert whole.n_bits == lines.n_bits.sum() and whole.dense_bits == lines.dense_bits
    assert whole.n_bits <= 8 * whole.n_bytes < whole.n_bits + 8 * max(whole.n_lines, 1)


def test_lines_of_layers_follow_each_other() -> None:
    small = StoreSettings(line_bytes=8, codec="raw")
    one = store_layer([1] * 9, [0] * 9, 1, INT8, small)
    two = lay_lines([1] * 8 + [2] * 4, [1] * 8 + [0] * 4, 2, INT8, small)
    table = line_table([one, two])
    assert table.layer.tolist() == [0, 0, 1, 1, 1]
    assert table.cluster.tolist() == [0, 0, 0, 0, 1]
    assert table.n_bytes.tolist() == [8, 1, 2, 4, 8]
    assert table.bursts(4).tolist() == [2, 1, 1, 1, 2]
    assert line_table([]).n_bytes.tolist() == []


def test_lines_of_the_same_bytes_have_one_number() -> None:
    small = StoreSettings(line_bytes=8, codec="raw")
    one = store_layer([1] * 16 + [2] * 8 + [1] * 7, [0] * 31, 1, INT8, small)
    two = store_layer([2] * 8 + [1] * 7, [0] * 15, 1, INT8, small)
    assert content_numbers([one, two]).tolist() == [0, 0, 1, 2, 1, 2]
    assert content_numbers([]).tolist() == []
