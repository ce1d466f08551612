from typing import Any

import numpy as np
import pytest

from bitpim.errors import ConfigError
from bitpim.weightstore.cache_settings import CacheSettings


def test_sets_and_ways_of_whole_lines() -> None:
    settings = CacheSettings(65536)
    assert (settings.n_sets, settings.n_segments, settings.n_tags) == (256, 4, 4)
    assert settings.segments_of(np.array([1, 64])).tolist() == [1, 1]
    full = CacheSettings(65536, ways=1024)
    assert (full.n_sets, full.n_tags) == (1, 1024)


def test_sets_of_segments() -> None:
    settings = CacheSettings(65536, ways=4, held="segments")
    assert (settings.n_sets, settings.n_segments, settings.n_tags) == (256, 32, 8)
    assert settings.segments_of(np.array([1, 8, 9, 63, 64])).tolist() == [1, 1, 2, 8, 8]
    odd = CacheSettings(3 * 48, 48, 3, held="segments", segment_bytes=16, tags_per_way=5)
    assert (odd.n_sets, odd.n_segments, odd.n_tags) == (1, 9, 15)


def test_neither_lines_nor_sets_need_be_a_power_of_two() -> None:
    assert CacheSettings(3 * 5 * 48, 48, 5).n_sets == 3


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"capacity_bytes": 63}, "capacity_bytes for one line of 64 bytes, got 63"),
    ({"capacity_bytes": 0}, "capacity_bytes for one line of 64 bytes, got 0"),
    ({"capacity_bytes": -64}, "capacity_bytes a whole number of 0 to"),
    ({"capacity_bytes": 1 << 41}, "capacity_bytes a whole number of 0 to 1099511627776, got"),
    (
        {"capacity_bytes": 1000},
        "capacity_bytes a multiple of 256, a set of 4 ways .* got 1000; give 768 or 1024",
    ),
    (
        {"capacity_bytes": 128},
        "capacity_bytes a multiple of 256, .* got 128; give 256, or fewer ways",
    ),
    ({"capacity_bytes": 512.0}, "capacity_bytes a whole number"),
    ({"line_bytes": 0}, "line_bytes a whole number of 1 to 65536, got 0"),
    ({"ways": 0}, "ways a whole number of 1 to .*, got 0"),
    ({"ways": True}, "ways a whole number of 1 to .*, got True"),
    ({"pinned_clusters": -1}, "pinned_clusters a whole number of 0 to .*, got -1"),
    ({"held": "cut"}, "held whole or segments, got 'cut'"),
    ({"held": "segments", "segment_bytes": 24}, "segment_bytes that divide lines of 64 bytes, got"),
    ({"segment_bytes": 0}, "segment_bytes a whole number of 1 to 65536, got 0"),
    ({"tags_per_way": 0}, "tags_per_way a whole number of 1 to 64, got 0"),
]


@pytest.mark.parametrize(("wrong", "message"), WRONG)
def test_wrong_settings_are_said(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=f"weight cache: need {message}"):
        CacheSettings(**{"capacity_bytes": 1024, **wrong})


def test_segments_need_divide_lines_only_where_lines_are_cut() -> None:
    assert CacheSettings(1024, segment_bytes=24).n_segments == 4
