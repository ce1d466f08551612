"""Intervals as prefixes: the fewest there are, in order, and no word twice."""

import numpy as np
import pytest

from bitpim.errors import ConfigError
from bitpim.lookup.ranges import expand, need_ordered
from bitpim.lookup.words import CamWords
from tests.naive.cam_searches import prefixes


def naive(low: list[str], high: list[str]) -> list[list[str]]:
    return [prefixes(a, b) for a, b in zip(low, high, strict=True)]


def lists(low: CamWords, high: CamWords) -> list[list[str]]:
    found = expand(low, high)
    texts, starts = found.words.to_text(), found.starts.tolist()
    assert len(starts) == len(low)
    return [texts[a:b] for a, b in zip(starts, [*starts[1:], len(texts)], strict=True)]


@pytest.mark.parametrize("n_bits", [1, 2, 3, 5, 6])
def test_all_intervals_of_a_few_bits(n_bits: int) -> None:
    ends = [CamWords.from_codes(codes, n_bits) for codes in np.triu_indices(1 << n_bits)]
    found = lists(*ends)
    assert found == naive(ends[0].to_text(), ends[1].to_text())
    assert max(map(len, found)) == max(1, 2 * n_bits - 2)


@pytest.mark.parametrize("n_bits", [63, 64, 65, 128, 250])
def test_intervals_of_wide_words(n_bits: int) -> None:
    rng = np.random.default_rng(n_bits)
    pairs = []
    for n_same in (0, 0, 1, n_bits // 2, n_bits - 1, n_bits):
        rows = rng.integers(0, 2, (2, n_bits))
        rows[1, :n_same] = rows[0, :n_same]
        pairs.append(sorted("".join(map(str, row)) for row in rows))
    pairs += [["0" * n_bits, "1" * n_bits], ["0" * (n_bits - 1) + "1", "1" * (n_bits - 1) + "0"]]
    low, high = [pair[0] for pair in pairs], [pair[1] for pair in pairs]
    assert lists(CamWords.from_text(low), CamWords.from_text(high)) == naive(low, high)
    need_ordered(CamWords.from_text(low), CamWords.from_text(high))


@pytest.mark.parametrize("place", [0, 63, 64, 129])
def test_ends_in_the_wrong_order_are_named(place: int) -> None:
    low, high = np.zeros((2, 3, 130), np.int64)
    low[1, place] = 1
    high[1, :place] = 1
    with pytest.raises(ConfigError, match=r"query 1: need low <= high, got .*; exchange them"):
        need_ordered(CamWords.from_bits(low), CamWords.from_bits(high))
    need_ordered(CamWords.from_bits(high), CamWords.from_bits(low | high))
