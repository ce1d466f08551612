from typing import Any

import pytest

from bitpim.errors import ConfigError
from bitpim.weightstore.settings import StoreSettings, WeightCodes


@pytest.mark.parametrize(
    ("bits", "signed", "least", "most"),
    [
        (1, False, 0, 1),
        (1, True, -1, 0),
        (3, True, -4, 3),
        (8, False, 0, 255),
        (8, True, -128, 127),
    ],
)
def test_the_codes_there_are(bits: int, signed: bool, least: int, most: int) -> None:
    for zero in (least, most):
        kind = WeightCodes(bits, signed, zero)
        assert (kind.least, kind.most) == (least, most)
    for zero in (least - 1, most + 1):
        with pytest.raises(ConfigError, match=f"need a zero point of {least} to {most}"):
            WeightCodes(bits, signed, zero)


@pytest.mark.parametrize("bits", [0, 9, -1])
def test_codes_of_other_widths(bits: int) -> None:
    with pytest.raises(ConfigError, match=f"need codes of 1 to 8 bits, got {bits}"):
        WeightCodes(bits, True, 0)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"codec": "zip"}, "need codec shared_bits or raw, got 'zip'"),
        ({"share": "layer"}, "need share cluster or line, got 'layer'"),
        ({"positions": ""}, "need positions bitmap or run_length, got ''"),
        ({"checksum_bits": 0}, "need checksum_bits 8 or 16, got 0"),
        ({"gap_bits": 0}, "need gap_bits of 1 to 8, got 0"),
        ({"gap_bits": 9}, "need gap_bits of 1 to 8, got 9"),
        ({"line_bytes": 0}, "need line_bytes a multiple of 8 from 8 to 4096, got 0"),
        ({"line_bytes": 12}, "need line_bytes a multiple of 8 from 8 to 4096, got 12"),
        ({"line_bytes": 4104}, "need line_bytes a multiple of 8 from 8 to 4096, got 4104"),
    ],
)
def test_settings_out_of_range(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        StoreSettings(**wrong)


@pytest.mark.parametrize(
    ("settings", "bits", "codes", "positions"),
    [
        ({}, 8, 62, 504),  # (512 - 8 - 4) / 8, 512 - 8
        ({"checksum_bits": 16}, 8, 61, 496),
        ({"codec": "raw"}, 8, 64, 512),
        ({"codec": "raw", "checksum_bits": 16}, 3, 170, 512),
        ({}, 3, 166, 504),  # 500 / 3
        ({}, 1, 500, 504),
        ({"positions": "run_length", "gap_bits": 5}, 8, 62, 100),  # 504 / 5
        ({"line_bytes": 4096}, 4, 8189, 32760),
        ({"line_bytes": 8, "checksum_bits": 16}, 8, 5, 48),  # (64 - 16 - 4) / 8
    ],
)
def test_what_a_line_has_room_for(
    settings: dict[str, Any], bits: int, codes: int, positions: int
) -> None:
    form = StoreSettings(**settings).form(WeightCodes(bits, True, 0))
    assert (form.codes_per_line, form.positions_per_line) == (codes, positions)
