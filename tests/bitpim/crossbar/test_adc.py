import re
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bitpim.crossbar.adc import Adc, CodeTable, adc_models, calibrate, converter, lossless_bits
from bitpim.errors import ConfigError
from tests.naive import crossbar as naive

SIGNED = ("sign_magnitude", "symmetric")
FORMULAS = ("clip", "floor", "round", "sign_magnitude", "symmetric")


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


def worked_rows(heading: str) -> dict[str, list[float]]:
    """Rows of numbers of the docstring's table that starts with those partial sums."""
    parts = (converter.__doc__ or "").split("\n\n")
    block = next(part for part in parts if heading in re.sub(r" +", " ", part))
    head, *lines = block.splitlines()
    n_sums = len(re.findall(r"\d+", head))
    rows, name = {}, ""
    for line in lines:
        words = line.split()
        name = words[0] if words[0] in adc_models() else name
        first = next(i for i, word in enumerate(words) if re.match(r"-?\d", word))
        numbers = [float(word) for word in words[first : first + n_sums]]
        rows[f"{name} levels" if "levels" in words else name] = numbers
    return rows


@pytest.mark.parametrize(
    ("heading", "least", "code_table"),
    [
        ("sum 0 1", 0, CodeTable.of([1, 2, 3, 5, 8], [0, 1, 2, 3.5, 6, 9])),
        ("sum -9 -8", -9, CodeTable.of([-6, -2, 0, 1, 3, 7], [-8, -4, -1, 0, 1.5, 4, 8])),
    ],
)
def test_the_worked_numbers_of_the_docstring(
    heading: str, least: int, code_table: CodeTable
) -> None:
    rows = worked_rows(heading)
    models = [name for name in rows if name in adc_models()]
    assert len(models) >= 4
    assert "code_table" in models
    for model in models:
        codes = code_table if model == "code_table" else None
        adc = Adc(model, None if model == "exact" else 3, code_table=codes)
        made = adc.table(least, 9).tolist()
        assert made == rows[model], model
        levels = [round(float(reading * adc.step(least, 9)), 2) for reading in made]
        assert levels == rows.get(f"{model} levels", levels), model
    assert sum("levels" in name for name in rows) == (3 if least == 0 else 0)
    stated = re.sub(r"\s+", " ", converter.__doc__ or "")
    assert ", ".join(map(str, code_table.thresholds)) + " and levels" in stated


def test_the_steps_of_the_docstring() -> None:
    assert Adc("floor", 3).step(0, 9) == Adc("round", 3).step(0, 9) == Fraction(9, 7)
    assert Adc("sign_magnitude", 3).step(-9, 9) == Fraction(9, 3)
    assert Adc("symmetric", 3).step(-9, 9) == Fraction(9, 7)
    assert Adc("clip", 3).step(-9, 9) == Adc().step(-9, 9) == Adc("round", 4).step(0, 9) == 1
    # what a stretched range would lose, were the step to fall below one level
    assert round(13 * 31 // 27 * 27 / 31, 2) == 12.19


@given(
    st.sampled_from(FORMULAS),
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
    adc = Adc(model, bits, full_scale)
    table, step = adc.table(least, most).tolist(), adc.step(least, most)
    scale = full_scale or max(1, most)
    expected = [naive.adc(model, bits, scale, y, signed) for y in range(least, most + 1)]
    assert [reading * step for reading in table] == expected
    reads_itself = [level == y for y, level in enumerate(expected, least)]
    assert adc.is_lossless(least, most) == all(reads_itself)
    assert adc.is_lossless(least, most, (0, 0)) == reads_itself[-least]
    n_bits = bits + (model == "symmetric")  # its readings are signed codes, twice as far apart
    assert -(2**n_bits) <= min(table) <= max(table) < 2**n_bits


@given(st.sampled_from(SIGNED), st.integers(2, 8), st.integers(1, 300))
def test_signed_models_are_odd_and_meet_their_range(model: Any, bits: int, reach: int) -> None:
    adc = Adc(model, bits)
    table = adc.table(-reach, reach)
    zero = table[reach]
    if model == "sign_magnitude":
        assert np.array_equal(table, -table[::-1])
        assert zero == 0
    elif 2 * reach >= 2**bits:
        assert zero == 1  # no reading for zero
        assert np.all(table % 2 == 1)
    ends = [int(end) * adc.step(-reach, reach) for end in (table[0], table[-1])]
    assert ends == [-reach, reach]
    assert len(np.unique(table)) <= 2**bits - (model == "sign_magnitude")


@pytest.mark.parametrize("model", adc_models(lambda model: model.takes_bits))
@pytest.mark.parametrize("bits", [0, 17, -1, None])
def test_converters_without_bits_or_with_too_many_are_refused(model: str, bits: int | None) -> None:
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
        lambda: Adc("floor", 3).table(-1, 9),
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
    assert Adc("floor", 3).convert(sums[1:], 0, 9).tolist() == [[3, 7]]


@pytest.mark.parametrize("bits", range(2, 9))
@pytest.mark.parametrize("most", [384, 192, 135, 9 * 255])
def test_round_errs_evenly_to_both_sides(bits: int, most: int) -> None:
    adc = Adc("round", bits)
    table, step = adc.table(0, most).tolist(), adc.step(0, most)
    errors = [reading * step - y for y, reading in enumerate(table)]
    assert max(map(abs, errors)) <= step / 2
    # only sums halfway between two codes, which read up, have no counterpart
    halfway = sum(abs(error) == step / 2 for error in errors) * (step > 1)
    assert sum(errors) == halfway * step / 2
    assert sum(errors) <= 0.02 * len(errors) * step


def test_what_rounding_each_conversion_would_add() -> None:
    """128 rows of 2-bit cells, 8 bits: small sums would read a third of a level too much."""
    adc = Adc("round", 8)
    step, small = adc.step(0, 384), range(31)
    assert step == Fraction(128, 85)
    readings = adc.table(0, 384).tolist()
    whole = [naive.half_up(code * step) for code in range(6)]
    assert whole == [0, 2, 3, 5, 6, 8]
    mean = sum(readings[y] * step - y for y in small) / len(small)
    mean_if_whole = Fraction(sum(naive.half_up(readings[y] * step) - y for y in small), len(small))
    assert abs(mean) < 0.1 < 0.3 < mean_if_whole
