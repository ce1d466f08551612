"""Codes as lanes hold them."""

import numpy as np
import pytest

from bitpim.sram.lane_codes import LaneCodes
from tests.one_layer import code_array, quantization


@pytest.mark.parametrize("bits", [1, 2, 7, 8, 9, 16])
@pytest.mark.parametrize("signed", [False, True])
def test_codes_and_zero_points_move_alike(bits: int, signed: bool) -> None:
    ends = [-(1 << bits - 1), (1 << bits - 1) - 1] if signed else [0, (1 << bits) - 1]
    source = quantization(bits, ends, signed=signed)
    lanes = LaneCodes.of(source)
    codes = lanes.encode(code_array(ends, source))
    assert codes.tolist() == [0, lanes.code_max] == lanes.zero_point.tolist()
    assert codes.dtype == lanes.dtype == (np.uint8 if bits <= 8 else np.uint16)
    assert lanes.code_max == (1 << bits) - 1
    assert np.array_equal(codes.astype(int) - lanes.offset, ends)
