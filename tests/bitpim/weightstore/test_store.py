"""Every code comes back, every bit is where the naive store has it, and damage is seen."""

from dataclasses import replace
from itertools import product
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings

from bitpim.errors import LayoutError, WeightStoreError
from bitpim.weightstore.lines import lay_lines
from bitpim.weightstore.settings import SHARES, StoreSettings, WeightCodes
from bitpim.weightstore.store import StoredLayer, store_layer
from tests.bitpim.weightstore.layers import Layer, by_magnitude, layers
from tests.naive.weight_store import decoded, stored

Settings = dict[str, Any]


def store(layer: Layer) -> StoredLayer:
    return store_layer(layer.codes, layer.clusters, layer.n_clusters, layer.kind, layer.settings)


@settings(max_examples=300, deadline=None)
@given(layers())
def test_lines_are_those_of_the_naive_store_and_come_back(layer: Layer) -> None:
    found = store(layer)
    need = stored(layer.codes.tolist(), layer.clusters.tolist(), layer.n_clusters, layer.rules)
    assert found.cluster.tolist() == [cluster for cluster, _, _ in need]
    for i, (_, _, bits) in enumerate(need):
        content = "".join(f"{byte:08b}"[::-1] for byte in found.line_content(i))
        assert content == bits + "0" * (-len(bits) % 8)
    reader = found.reader()
    for k in range(layer.n_clusters + 1):
        lines = [line for line in need if line[0] < k]
        counts = np.where(np.arange(layer.n_clusters) < k, found.counts, 0)
        left = layer.codes.size - counts.sum()
        naive = decoded(lines, [*counts.tolist(), int(left)], layer.rules)
        expected = [layer.kind.zero_point if code is None else code for code in naive]
        assert reader.codes.tolist() == expected == found.decode(k).tolist()
        assert reader.is_read.tolist() == (layer.clusters < k).tolist()
        assert reader.n_read == k
        if k < layer.n_clusters:
            reader.read_next()
    assert reader.codes.tolist() == layer.codes.tolist()
    with pytest.raises(LayoutError, match=f"got all {layer.n_clusters} read"):
        reader.read_next()


@pytest.mark.parametrize(
    ("bits", "signed", "share"), [*product(range(1, 9), (True, False), SHARES)]
)
def test_every_code_in_every_cluster_at_every_zero_point(
    bits: int, signed: bool, share: str
) -> None:
    """Codes whose magnitudes have the same length lie in one cluster, each of four in turn."""
    least = -(1 << (bits - 1)) if signed else 0
    codes = np.arange(least, least + (1 << bits))
    seen = np.zeros((4, 1 << bits), np.bool_)
    for zero in codes:
        kind, form = WeightCodes(bits, signed, int(zero)), StoreSettings(share=share, line_bytes=8)
        lengths = np.array([int(magnitude).bit_length() for magnitude in np.abs(codes - zero)])
        order = np.argsort(np.abs(codes - zero), kind="stable")
        for turn in range(4):
            owner = (lengths + turn) % 4
            layer = store_layer(codes[order], owner[order], 4, kind, form)
            assert layer.decode().tolist() == codes[order].tolist()
            seen[owner, codes - least] = True
    assert seen.all()


@pytest.mark.parametrize("dtype", [np.int8, np.uint8, np.int16, np.int64])
def test_shape_and_dtype(dtype: type) -> None:
    codes: npt.NDArray[Any] = np.arange(24).reshape(2, 3, 2, 2).astype(dtype)
    owner = (codes % 3).astype(np.uint8)
    for signed, need in ((True, np.int8), (False, np.uint8)):
        layer = store_layer(codes, owner, 3, WeightCodes(8, signed, 5), StoreSettings())
        assert layer.decode().dtype == need and layer.decode().shape == codes.shape
        assert np.array_equal(layer.decode(), codes)
        assert np.array_equal(layer.decode(2), np.where(owner < 2, codes, 5))
        assert np.array_equal(layer.decode(0), np.full(codes.shape, 5))


def test_the_order_of_positions_is_that_of_the_output_channels() -> None:
    """Cluster 0 has (0, 1) and (1, 0), in that order, whatever strides there are."""
    codes = np.array([[1, 2], [3, 4]]).T
    layer = lay_lines(codes, [[1, 0], [0, 1]], 2, WeightCodes(4, False), StoreSettings(codec="raw"))
    assert layer.fields.tolist() == [0, 1, 1, 0, 3, 2, 1, 4]


CODES = np.random.default_rng(2).integers(-20, 21, 150)
OWNER = by_magnitude(CODES, 0, 3)
FORMS = [
    {"share": share, "positions": positions, "checksum_bits": bits, "line_bytes": 16}
    for share, positions, bits in product(SHARES, ("bitmap", "run_length"), (8, 16))
]


def layer_of(form: Settings) -> StoredLayer:
    return store_layer(CODES, OWNER, 3, WeightCodes(8, True, 0), StoreSettings(**form), layer=7)


@pytest.mark.parametrize("form", FORMS)
def test_every_flipped_bit_is_seen_and_named(form: Settings) -> None:
    layer = layer_of(form)
    assert layer.decode().tolist() == CODES.tolist()
    n_bits = 8 * int(layer.starts[-1])
    for bit in range(n_bits):
        words = layer.words.copy()
        words[bit // 64] ^= np.uint64(1 << bit % 64)
        line = int(np.searchsorted(8 * layer.starts, bit, side="right")) - 1
        cluster = int(layer.cluster[line])
        within = line - int(layer.cluster_lines[cluster])
        message = f"layer 7, cluster {cluster}, line {within}: need bits that have its checksum"
        with pytest.raises(WeightStoreError, match=message):
            replace(layer, words=words).decode()
        assert layer.decode(cluster).tolist() == np.where(cluster > OWNER, CODES, 0).tolist()


def test_what_is_damaged_later_does_not_disturb_what_is_read_before() -> None:
    layer = layer_of(FORMS[0])
    words = layer.words.copy()
    words[int(layer.starts[-1]) // 8 - 1] ^= np.uint64(1)
    damaged = replace(layer, words=words)
    assert damaged.decode(2).tolist() == np.where(OWNER < 2, CODES, 0).tolist()
    with pytest.raises(WeightStoreError, match="cluster 2"):
        damaged.decode()


def without(layer: StoredLayer, line: int, n_bytes: int) -> StoredLayer:
    """The layer with the last bytes of one line cut off."""
    contents = [layer.line_content(i) for i in range(layer.n_lines)]
    contents[line] = contents[line][: len(contents[line]) - n_bytes]
    whole = b"".join(contents)
    words = np.frombuffer(whole.ljust(8 * (-(-len(whole) // 8) + 1), b"\0"), np.uint64)
    starts = np.cumsum([0, *map(len, contents)])
    return replace(layer, words=words, starts=starts)


@pytest.mark.parametrize("form", [*FORMS, {"codec": "raw", "line_bytes": 16}])
def test_lines_that_are_cut_short(form: Settings) -> None:
    layer = layer_of(form)
    for line in range(layer.n_lines):
        cluster = int(layer.cluster[line])
        within = line - int(layer.cluster_lines[cluster])
        where = rf"layer 7, cluster {cluster}, line \d+: need "
        if form.get("codec") != "raw":
            where = rf"layer 7, cluster {cluster}, line {within}: need "
        for n_bytes in range(1, int(layer.n_bytes[line]) + 1):
            with pytest.raises(WeightStoreError, match=where):
                without(layer, line, n_bytes).decode()


def test_zeros_that_are_cut_off_are_missed() -> None:
    """A checksum counts bytes that are not there as zeros; lengths tell."""
    form = StoreSettings(line_bytes=64)
    layer = store_layer([8] + [5] * 40, [0] * 41, 1, WeightCodes(8, False, 5), form)
    n_zeros = int(layer.n_bytes[0]) - len(layer.line_content(0).rstrip(b"\0"))
    assert n_zeros > 10
    for cut in range(1, n_zeros + 1):
        with pytest.raises(WeightStoreError, match="line 0: need as many lines and bytes"):
            without(layer, 0, cut).decode()


def test_bytes_that_are_not_there() -> None:
    layer = layer_of(FORMS[0])
    with pytest.raises(WeightStoreError, match="cluster 2, line 2: need 2 to 16 of the 136 bytes"):
        replace(layer, words=layer.words[:-2])
    for starts in (layer.starts + 1, layer.starts - 1, layer.starts[::-1].copy()):
        with pytest.raises(WeightStoreError):
            replace(layer, starts=starts).decode()
    longer = layer.starts.copy()
    longer[1:] += 9
    with pytest.raises(WeightStoreError, match="cluster 0, line 0: need 2 to 16 of"):
        replace(layer, starts=longer, words=np.append(layer.words, layer.words))


@pytest.mark.parametrize(
    "changed",
    [
        {"counts": np.array([50, 50, 49])},
        {"counts": np.array([-50, 100, 100])},
        {"shape": (151,)},
        {"cluster_lines": np.array([0, 4, 2, 30])},
        {"cluster_lines": np.array([0, 4, 8])},
        {"cluster_lines": np.array([1, 2, 3, 14])},
        {"cluster_lines": np.array([0, 2, 3, 99])},
    ],
)
def test_layers_whose_parts_do_not_agree(changed: dict[str, Any]) -> None:
    with pytest.raises(LayoutError, match=r"need clusters of 15[01] weights and .* lines in all"):
        replace(layer_of(FORMS[0]), **changed)


def test_counts_of_other_clusters() -> None:
    """As many weights in all: then lines have other lengths, or positions."""
    layer = layer_of(FORMS[0])
    for counts in ([51, 49, 50], [49, 51, 50], [0, 100, 50], [150, 0, 0], [100, 0, 50]):
        with pytest.raises(WeightStoreError, match="cluster 0, line"):
            replace(layer, counts=np.array(counts)).decode()
    moved = layer.cluster_lines + np.array([0, 1, 0, 0])
    with pytest.raises(WeightStoreError, match="cluster 0, line"):
        replace(layer, cluster_lines=moved).decode()
