from typing import Any

import numpy as np
import pytest

from bitpim.errors import LayoutError
from bitpim.weightstore.access_stream import (
    MAX_LINES,
    NetworkLines,
    checked_iterations,
    whole_lines,
)
from bitpim.weightstore.cache_settings import CacheSettings

N_LINES = np.array([[2, 1, 0], [1, 0, 3]])


def lines(**changed: Any) -> NetworkLines:
    columns: dict[str, Any] = {name: np.arange(1, 8) for name in ("n_bytes", "raw_bytes", "bursts")}
    return NetworkLines(**{"n_lines": N_LINES, **columns, **changed})


def test_lines_are_numbered_by_layer_and_cluster() -> None:
    network = lines()
    assert (network.n_layers, network.n_clusters) == (2, 3)
    assert network.firsts.tolist() == [0, 2, 3, 3, 4, 4, 7]
    assert network.clusters.tolist() == [0, 0, 1, 0, 2, 2, 2]
    names = [network.name(line) for line in (0, 1, 2, 3, 6)]
    assert names == [
        "layer 0, cluster 0, line 0",
        "layer 0, cluster 0, line 1",
        "layer 0, cluster 1, line 0",
        "layer 1, cluster 0, line 0",
        "layer 1, cluster 2, line 2",
    ]


def test_an_iteration_reads_of_every_layer_the_clusters_so_far() -> None:
    network = lines()
    assert network.reads(1).tolist() == [0, 3]
    assert network.reads(2).tolist() == [0, 1, 3, 4]
    assert network.reads(3).tolist() == [0, 1, 2, 3, 4, 5]


def test_lines_of_one_content_are_the_first_of_them() -> None:
    assert lines().first_alike.tolist() == list(range(7))
    nine = np.full(7, 9)
    alike = NetworkLines(N_LINES, nine, nine, nine, np.array([4, -4, 4, 0, -4, 0, 8]))
    assert alike.first_alike.tolist() == [0, 1, 0, 3, 1, 3, 6]


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.uint64])
def test_integers_of_any_type_become_int64(dtype: Any) -> None:
    """Unsigned ones would wrap where they are negated, and become floats where they meet others."""
    columns: dict[str, Any] = {
        name: np.arange(1, 8, dtype=dtype) for name in ("n_bytes", "raw_bytes", "bursts")
    }
    network = lines(n_lines=N_LINES.astype(dtype), **columns)
    for name in ("n_lines", *columns):
        column = getattr(network, name)
        assert column.dtype == np.int64 and column.tolist() == getattr(lines(), name).tolist()
    cut = CacheSettings(1024, held="segments").segments_of(network.n_bytes)
    assert cut.tolist() == [1] * 7


def test_whole_lines_are_full() -> None:
    network = whole_lines([[2, 1]], 48, 32)
    assert network.n_bytes.tolist() == network.raw_bytes.tolist() == [48] * 3
    assert network.bursts.tolist() == [2] * 3 and network.contents is None


@pytest.mark.parametrize("name", ["n_bytes", "raw_bytes", "bursts"])
def test_columns_that_no_lines_have_are_said(name: str) -> None:
    with pytest.raises(LayoutError, match=rf"need {name} of 7 lines, got shape \(6,\)"):
        lines(**{name: np.arange(1, 7)})
    with pytest.raises(LayoutError, match=f"need {name} as an array of integers"):
        lines(**{name: np.ones(7)})
    for wrong in (-1, 1 << 31):
        column = np.where(np.arange(7) == 5, wrong, 1)
        least = 0 if name == "raw_bytes" else 1
        message = f"layer 1, cluster 2, line 1: need {name} of {least} to 2147483647, got {wrong}"
        with pytest.raises(LayoutError, match=message):
            lines(**{name: column})
    zeros = np.zeros(7, int)
    if name == "raw_bytes":  # a line of positions has none
        assert lines(raw_bytes=zeros).raw_bytes.sum() == 0
    else:
        with pytest.raises(LayoutError, match=f"line 0: need {name} of 1 to"):
            lines(**{name: zeros})


@pytest.mark.parametrize("name", ["n_bytes", "raw_bytes", "bursts"])
def test_lines_of_one_content_have_one_size(name: str) -> None:
    columns = {key: np.full(7, 9) for key in ("n_bytes", "raw_bytes", "bursts")}
    columns[name] = np.where(np.arange(7) == 4, 8, 9)
    message = (
        f"layer 1, cluster 2, line 0: need {name} of 9, as layer 0, cluster 1, line 0 of the same "
        "content has, got 8"
    )
    with pytest.raises(LayoutError, match=message):
        lines(**columns, contents=np.array([0, 1, 2, 3, 2, 5, 6]))


@pytest.mark.parametrize("contents", [np.arange(6), np.ones(7), np.zeros((7, 1), int)])
def test_contents_are_one_number_a_line(contents: Any) -> None:
    with pytest.raises(LayoutError, match="need contents"):
        lines(contents=contents)


@pytest.mark.parametrize(
    ("n_lines", "message"),
    [
        (np.array([1, 2]), r"n_lines by layer and cluster, got shape \(2,\)"),
        (np.zeros((0, 3), int), r"n_lines by layer and cluster, got shape \(0, 3\)"),
        (np.array([[1, -1]]), "n_lines of 0 or more, .* got -1"),
        (
            np.array([[MAX_LINES, 1]]),
            f"n_lines of 0 or more, {MAX_LINES} in all .* got {MAX_LINES + 1}",
        ),
        (
            np.array([[1 << 62, 1 << 62]]),
            f"n_lines of 0 or more, {MAX_LINES} in all .* got {1 << 63}",
        ),
        (np.array([[1.0]]), "n_lines as an array of integers"),
    ],
)
def test_portions_that_no_network_has_are_said(n_lines: Any, message: str) -> None:
    with pytest.raises(LayoutError, match=f"weight lines: need {message}"):
        lines(n_lines=n_lines)
    with pytest.raises(LayoutError, match=f"weight lines: need {message}"):
        whole_lines(n_lines)


@pytest.mark.parametrize(("line_bytes", "burst_bytes"), [(0, 64), (64, 0)])
def test_whole_lines_and_bursts_have_bytes(line_bytes: int, burst_bytes: int) -> None:
    with pytest.raises(LayoutError, match="need lines and bursts of 1 byte or more, got"):
        whole_lines([[1]], line_bytes, burst_bytes)


def test_iterations_are_as_many_as_clusters_at_most() -> None:
    assert checked_iterations([], 3).tolist() == []
    assert checked_iterations(np.array([1, 3], np.uint8), 3).dtype == np.int64
    for wrong in (0, 4):
        with pytest.raises(LayoutError, match=f"input 1: need 1 to 3 iterations, .* got {wrong}"):
            checked_iterations([3, wrong], 3)
    for shape in ([[1]], [1.0], 1):
        with pytest.raises(LayoutError, match="one whole number for each input"):
            checked_iterations(shape, 3)
    with pytest.raises(LayoutError, match="need 1 to 3 iterations"):
        lines().reads(4)
