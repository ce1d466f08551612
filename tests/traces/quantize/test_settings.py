"""Settings refuse what is out of range and say which value."""

from typing import Any

import pytest

from bitpim_traces.errors import TraceDataError
from bitpim_traces.quantize import LayerBits, Settings


@pytest.mark.parametrize(
    "values",
    [
        {"weight_bits": 0},
        {"activation_bits": 17},
        {"weight_scheme": "ternary"},
        {"activation_scheme": "signed"},
        {"requantize": "round"},
        {"calibration": "max"},
        {"weight_calibration": "percentile"},
        {"multiplier_bits": 32},
        {"accumulator_bits": 49},
        {"percentile": 40.0},
        {"output_bits": 0},
        {"reference_samples": -1},
        {"overrides": {"fc": LayerBits(weight_bits=33)}},
        {"requantize": "fixed_point_half_away", "accumulator_bits": 33},
    ],
)
def test_values_out_of_range_are_named(values: dict[str, Any]) -> None:
    with pytest.raises(TraceDataError, match=f"settings: .*{list(values)[-1]}"):
        Settings(**values)


def test_bits_of_a_layer() -> None:
    settings = Settings(
        weight_bits=4, output_bits=16, overrides={"a": LayerBits(8), "b": LayerBits(None, 3)}
    )
    assert [settings.weight_bits_of(n) for n in "abc"] == [8, 4, 4]
    assert [settings.activation_bits_of(n) for n in "abc"] == [8, 3, 8]
    assert settings.activation_bits_of("c", is_output=True) == 16
    assert settings.activation_bits_of("b", is_output=True) == 3
    assert settings.as_plain()["overrides"]["b"] == {"weight_bits": None, "activation_bits": 3}
