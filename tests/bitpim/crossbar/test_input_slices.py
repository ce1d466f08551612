from typing import Any

import numpy as np
import pytest

from bitpim.crossbar.input_slices import InputCoding, InputSlices
from bitpim.errors import ConfigError, LayoutError


def test_zero_extended_codes_leave_slices_empty() -> None:
    coding = InputCoding(16, code_bits=8)
    assert coding.ends == (0, 255)
    left = InputSlices.of(coding, 1, leave_empty=True)
    assert left.bits.ravel().tolist() == list(range(8))
    assert left.factors.tolist() == [1 << k for k in range(8)]
    assert left.n_empty == 8
    read = InputSlices.of(coding, 1, leave_empty=False)
    assert read.bits.ravel().tolist() == [*range(8), -1]
    assert read.factors[-1] == 2**16 - 2**8
    assert read.repeats.tolist() == [1] * 8 + [8]


def test_sign_extended_codes_repeat_the_sign() -> None:
    coding = InputCoding(16, True, 8)
    assert coding.ends == (-128, 127)
    found = InputSlices.of(coding, 1, leave_empty=True)
    assert found.bits.ravel().tolist() == list(range(8))
    assert found.factors.tolist() == [*(1 << k for k in range(7)), -(2**7)]
    assert found.repeats.tolist() == [1] * 7 + [9]
    two = InputSlices.of(coding, 2, leave_empty=True)
    # bits 6 and 7; 7 and 7, four times over 8 to 15 less the sign; bit 14 alone; the sign alone
    assert two.bits.tolist() == [[0, 1], [2, 3], [4, 5], [6, 7], [7, 7], [7, -1]]
    assert two.repeats.tolist() == [1, 1, 1, 1, 3, 2]
    assert two.factors[-2:].tolist() == [2**8 + 2**10 + 2**12, 2**14 - 2**15]


def test_a_slice_narrower_than_the_dac_has_empty_planes() -> None:
    found = InputSlices.of(InputCoding(3), 2, leave_empty=True)
    assert found.bits.tolist() == [[0, 1], [2, -1]]
    assert np.array_equal(found.factors, [1, 4])


@pytest.mark.parametrize("code_bits", [0, 9])
def test_codes_wider_than_what_is_driven_are_refused(code_bits: int) -> None:
    with pytest.raises(ConfigError, match=f"codes of 1 to 8 bits, got {code_bits}"):
        InputCoding(8, code_bits=code_bits)


@pytest.mark.parametrize(
    ("x", "n_samples", "match"),
    [
        (np.zeros((4, 2), np.int8), 2, r"reader: need integer inputs \(positions, 3\), got int8"),
        (np.zeros(3, np.int8), 1, r"need integer inputs \(positions, 3\), got int8 \(3,\)"),
        (np.zeros((4, 3)), 2, "got float64"),
        (np.zeros((4, 3), np.int8), 3, "same number of positions for each of 3 samples, got 4"),
        (np.zeros((4, 3), np.int8), 0, "for each of 0 samples, got 4"),
        (np.full((1, 3), 8, np.int64), 1, r"need inputs within -8\.\.7, got 8\.\.8"),
        (np.full((1, 3), -9, np.int8), 1, r"need inputs within -8\.\.7, got -9\.\.-9"),
    ],
)
def test_codes_that_do_not_fit_are_refused(x: Any, n_samples: int, match: str) -> None:
    with pytest.raises(LayoutError, match=match):
        InputCoding(8, signed=True, code_bits=4).checked("reader", x, 3, n_samples)


def test_codes_that_fit_come_in_c_order() -> None:
    x = np.asfortranarray(np.arange(-8, 7).reshape(5, 3))
    found = InputCoding(4, signed=True).checked("reader", x, 3, 5)
    assert found.flags.c_contiguous and np.array_equal(found, x)
    assert InputCoding(4).checked("reader", np.zeros((0, 3), np.uint8), 3, 0).shape == (0, 3)
