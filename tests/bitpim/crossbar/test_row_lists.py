"""Readers of lists of rows: what their lanes hold. What they read is tested with the matrices."""

import numpy as np
import pytest

from bitpim.crossbar.row_lists import narrowest_lanes


@pytest.mark.parametrize(
    ("low", "high", "kind"),
    [
        (0, 0, np.int8),
        (-128, 127, np.int8),
        (-129, 0, np.int16),
        (0, 128, np.int16),
        (-32768, 32767, np.int16),
        (-32769, 0, np.int32),
        (0, 32768, np.int32),
    ],
)
def test_lanes_are_as_wide_as_their_numbers(low: int, high: int, kind: type) -> None:
    assert narrowest_lanes(low, high) is kind
