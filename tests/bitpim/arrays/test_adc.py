import re
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bitpim.arrays import adc as adc_module
from bitpim.arrays.adc import ADC_MODELS, Adc, calibrate, lossless_bits
from bitpim.errors import ConfigError
from tests.naive import crossbar as naive

SIGNED = ("sign_magnitude", "symmetric")


@pytest.mark.parametrize(
    ("rows", "cell_bits", "bits"),
    [(9, 1, 4), (9, 2, 5), (9, 4, 8), (16, 2, 6), (128, 2, 9), (128, 1, 8)],
)
def test_lossless_bits_of_the_literature(rows: int, cell_bits: int, bits: int) -> None:
    """9 rows of 1, 2 and 4 bits, 16 and 128 rows: as DL-RSIM, BWQ, SRE and ISAAC have them."""
    assert lossless_bits(rows, cell_bits) == bits
    most = rows * (2**cell_bits - 1)
    for model in ("clip", "floor", "round"):
        adc: Any = model
        assert Adc(adc, bits).is_lossless(0, most)
        assert not Adc(adc, bits - 1).is_lossless(0, most)


def worked_rows(heading: str) -> dict[str, list[int]]:
    """Rows of numbers of the docstring's table that starts with those partial sums."""
    lines = (adc_module.__doc__ or "").split("\n\n")
    block = next(part for part in lines if heading in re.sub(r" +", " ", part))
    rows, name = {}, ""
    for line in block.splitlines():
        words = line.split()
        name = words[0] if words[0] in ADC_MODELS else name
        numbers = [int(w) for w in re.findall(r"-?\d+(?= |$)", line.split("step")[0])]
        rows[f"{name} {words[1]}" if "code" in line[:28] else name] = numbers
    return rows


@pytest.mark.parametrize(("heading", "least"), [("sum 0 1", 0), ("sum -9 -8", -9)])
def test_the_worked_numbers_of_the_docstring(heading: str, least: int) -> None:
    rows = worked_rows(heading)
    models: list[Any] = [name for name in rows if name in ADC_MODELS]
    assert len(models) >= 3
    for model in models:
        made = Adc(model, None if model == "exact" else 3).table(least, 9)
        assert made.tolist() == rows[model][-len(made) :], model


@given(
    st.sampled_from(ADC_MODELS[1:]),
    st.integers(2, 9),
    st.integers(0, 40),
    st.booleans(),
    st.none() | st.integers(1, 60),
)
def test_tables_are_those_of_the_definition(
    model: Any, bits: int, most: int, signed: bool, full_scale: int | None
) -> None:
    signed = signed and model not in ("floor", "round") and most > 0
    full_scale = None if model == "clip" else full_scale
    least = -most if signed else 0
    table = Adc(model, bits, full_scale).table(least, most)
    scale = full_scale or max(1, most)
    assert table.tolist() == [
        naive.adc(model, bits, scale, y, signed) for y in range(least, most + 1)
    ]


@given(st.sampled_from(SIGNED), st.integers(2, 8), st.integers(1, 300))
def test_signed_models_are_odd_and_meet_their_range(model: Any, bits: int, reach: int) -> None:
    table = Adc(model, bits).table(-reach, reach)
    zero = table[reach]
    if model == "sign_magnitude":
        assert np.array_equal(table, -table[::-1])
        assert zero == 0
    elif 2 * reach >= 2**bits:
        assert zero > 0  # no level for zero
    assert (table[0], table[-1]) == (-reach, reach)
    assert len(np.unique(table)) <= 2**bits - (model == "sign_magnitude")


@pytest.mark.parametrize("model", ADC_MODELS[1:])
@pytest.mark.parametrize("bits", [0, 17, -1, None])
def test_converters_without_bits_or_with_too_many_are_refused(model: Any, bits: int | None) -> None:
    with pytest.raises(ConfigError, match=f"{model} needs [12] to 16 bits, got {bits}"):
        Adc(model, bits)


def test_settings_that_do_not_fit_a_model_are_refused() -> None:
    unknown: Any = "granular"
    for make in (
        lambda: Adc(unknown, 3),
        lambda: Adc("exact", 3),
        lambda: Adc("exact", full_scale=3),
        lambda: Adc("clip", 3, 9),
        lambda: Adc("round", 3, 0),
        lambda: Adc("sign_magnitude", 1),
        lambda: Adc("round", 3).table(-1, 9),
        lambda: Adc("clip", 3).table(1, 9),
        lambda: Adc("clip", 3).table(0, 2**24),
        lambda: calibrate(Adc("clip", 3), np.ones(9, np.int64), 0),
        lambda: calibrate(Adc("round", 3), np.zeros(9, np.int64), 0),
        lambda: calibrate(Adc("round", 3), np.ones(9, np.int64), 0, 0.0),
    ):
        with pytest.raises(ConfigError):
            make()


def test_calibrated_range_holds_the_share_asked_for() -> None:
    seen = np.array([50, 30, 10, 9, 1], np.int64)  # sums 0 to 4
    assert calibrate(Adc("round", 2), seen, 0) == Adc("round", 2, 4)
    assert calibrate(Adc("round", 2), seen, 0, 0.9) == Adc("round", 2, 2)
    assert calibrate(Adc("symmetric", 4), seen[::-1], -4, 0.99) == Adc("symmetric", 4, 3)
    assert calibrate(Adc("round", 2), seen[:1], 0).full_scale == 1


def test_convert_takes_sums_of_any_shape() -> None:
    sums = np.array([[-9, 0], [4, 9]], np.int64)
    assert Adc("clip", 3).convert(sums, -9, 9).tolist() == [[-4, 0], [3, 3]]
    assert Adc().convert(sums, -9, 9).tolist() == sums.tolist()
    assert Adc("floor", 3).width == "3"
    assert Adc().width == "exact"
