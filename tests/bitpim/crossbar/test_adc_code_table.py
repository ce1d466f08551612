"""Converters whose codes are given one by one."""

import json
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bitpim.config import describe, override, setting_rows, to_toml
from bitpim.crossbar.adc import Adc, CodeTable
from bitpim.crossbar.array import CrossbarGeometry
from bitpim.crossbar.dense_matrix import DenseMatrix
from bitpim.crossbar.encodings import encode_weights
from bitpim.crossbar.input_slices import InputCoding
from bitpim.crossbar.row_lists import InputRows, ListReader
from bitpim.errors import ConfigError
from bitpim.machine.registry import json_schema, load_preset, make_machine, parse_preset
from bitpim.report.result_file import open_result
from bitpim.run import replay
from tests.bitpim.machine.crossbar_runs import (
    NETWORK,
    PRESETS,
    check_lossless,
    check_naive,
    code_tables,
    machine,
    run,
)
from tests.naive import crossbar as naive

TWO_BITS = ("converter.adc_model=code_table", "converter.adc_bits=2")
GIVEN = (*TWO_BITS, "converter.adc_thresholds=[1,3,6]", 'converter.adc_levels=[0,1.5,"9/2",7]')
SATURATE = "numbers.overflow=saturate"


def adc_of(bits: int, thresholds: Any, levels: Any) -> Adc:
    return Adc("code_table", bits, code_table=CodeTable.of(thresholds, levels))


# one sum


def test_readings_count_the_common_denominator() -> None:
    """Levels 0, 1.5, 5/3, 4 are 0, 9, 10, 24 sixths; each code begins at its threshold."""
    adc = adc_of(2, [2, 3, 7], [0, 1.5, "5/3", 4])
    assert adc.step(0, 8) == Fraction(1, 6)
    assert adc.table(0, 8).tolist() == [0, 0, 9, 10, 10, 10, 10, 24, 24]
    assert adc.table(0, 8).dtype == np.int32
    assert not adc.is_lossless(0, 8)
    assert adc.is_lossless(0, 8, (0, 0))


@given(st.data(), st.integers(1, 6), st.booleans(), st.integers(0, 80))
def test_tables_are_those_of_the_definition(
    data: st.DataObject, bits: int, signed: bool, most: int
) -> None:
    thresholds, levels = data.draw(code_tables(bits, signed=signed, quiet=False))
    adc, least = adc_of(bits, thresholds, levels), -most if signed else 0
    step = adc.step(least, most)
    expected = [naive.code_table(thresholds, levels, y) for y in range(least, most + 1)]
    assert [reading * step for reading in adc.table(least, most).tolist()] == expected
    reads_itself = [level == y for y, level in enumerate(expected, least)]
    assert adc.is_lossless(least, most) == all(reads_itself)
    assert step == Fraction(1, int(np.lcm.reduce([Fraction(str(x)).denominator for x in levels])))


@pytest.mark.parametrize("least", [0, -20])
@pytest.mark.parametrize("bits", range(1, 7))
@pytest.mark.parametrize("model", ["clip", "floor", "round", "sign_magnitude", "symmetric"])
def test_every_other_model_is_a_special_case(model: str, bits: int, least: int) -> None:
    if (least < 0 and model in ("floor", "round")) or (model == "sign_magnitude" and bits == 1):
        return
    other = Adc(model, bits)
    table, step = other.table(least, 20).tolist(), other.step(least, 20)
    pairs = [(y, b) for y, (a, b) in enumerate(pairwise(table), least + 1)]
    rises = [(y, b) for y, b in pairs if b != table[y - 1 - least]] or [(21, table[-1])]
    levels = [table[0] * step, *(reading * step for _, reading in rises)]
    same = adc_of(bits, [y for y, _ in rises], levels)
    assert [reading * same.step(least, 20) for reading in same.table(least, 20).tolist()] == [
        reading * step for reading in table
    ]


def test_the_identity_loses_nothing_as_far_as_it_goes() -> None:
    up = adc_of(4, range(1, 16), range(16))
    assert up.is_lossless(0, 15)
    assert not up.is_lossless(0, 16)
    both = adc_of(5, range(-9, 10), range(-10, 10))
    assert both.is_lossless(-10, 9)
    assert not both.is_lossless(-11, 9)
    assert both.is_lossless(-30, 30, (-10, 9))


def test_a_decimal_is_what_is_written() -> None:
    table = CodeTable.of([1, 2, 3], [-0.1, 0.1, 1e-1, "0.30"])
    assert table.levels == (Fraction(-1, 10), Fraction(1, 10), Fraction(1, 10), Fraction(3, 10))
    assert (table.readings, table.denominator, table.bits) == ((-1, 1, 1, 3), 10, 2)
    assert CodeTable.of([1], [0.0, 1e-05]).denominator == 100_000


@pytest.mark.parametrize(("n_codes", "bits"), [(2, 1), (3, 2), (4, 2), (5, 3), (256, 8), (257, 9)])
def test_bits_tell_all_codes_apart(n_codes: int, bits: int) -> None:
    thresholds, levels = range(1, n_codes), range(n_codes)
    assert adc_of(bits, thresholds, levels).table(0, 2)[1] == 1
    assert adc_of(16, thresholds, levels).width == "16"
    with pytest.raises(ConfigError, match=f"code_table needs {bits} to 16 bits, got {bits - 1}"):
        adc_of(bits - 1, thresholds, levels)


@pytest.mark.parametrize(
    ("thresholds", "levels", "said"),
    [
        ([], [0], "at least one threshold, and one level more than thresholds, got 0 and 1"),
        ([1, 2], [0, 1], "got 2 and 2"),
        ([1], [0, 1, 2], "got 1 and 3"),
        ([1, 1], [0, 1, 2], "thresholds: need each threshold above the one before, got 1 after 1"),
        ([2, -2], [0, 1, 2], "got -2 after 2"),
        ([1.0], [0, 1], "thresholds: need whole partial sums of fewer than 2^24, got 1.0"),
        ([True], [0, 1], "got True"),
        ([2**24], [0, 1], "got 16777216"),
        (["1"], [0, 1], "got '1'"),
        ([1], [1, 0], "levels: need no level below the one before, got 0 after 1"),
        ([1], ["2/3", "1/2"], "got 1/2 after 2/3"),
        ([1], [0, True], "levels: need whole numbers, decimals or texts"),
        ([1], [0, float("nan")], "got nan"),
        ([1], [0, float("inf")], "got inf"),
        ([1], [0, "1e9"], "got '1e9'"),
        ([1], [0, "1/0"], "got '1/0'"),
        ([1], [0, "1/000"], "got '1/000'"),
        ([1], [0, "1/3 "], "got '1/3 '"),
        ([1], [0, "\u0661"], "got '\u0661'"),
        ([1], [0, None], "got None"),
        ([1], [0, 2**30], "fewer than 2^30 units of their common denominator, got 0 among"),
        ([1], [-(2**30), 0], "fewer than 2^30"),
        ([1], [0, 1e-300], "got 1e-300 among them"),
        ([1, 2], [0, "1/99991", "1/99989"], "fewer than 2^30 units"),  # both primes
    ],
)
def test_what_is_no_code_table_is_refused(thresholds: Any, levels: Any, said: str) -> None:
    with pytest.raises(ConfigError, match=r"^CodeTable: ") as error:
        CodeTable.of(thresholds, levels)
    assert said in str(error.value)


def test_made_without_of_it_is_checked_too() -> None:
    with pytest.raises(ConfigError, match="above the one before"):
        CodeTable((2, 1), (Fraction(0), Fraction(1), Fraction(2)))
    with pytest.raises(ConfigError, match="below the one before"):
        CodeTable((1,), (Fraction(1), Fraction(0)))


def test_the_largest_readings_there_may_be() -> None:
    most = 2**30 - 1
    assert adc_of(1, [0], [-most, most]).table(-1, 1).tolist() == [-most, most, most]


def test_a_code_table_and_its_model_go_together() -> None:
    table = CodeTable.of([1], [0, 1])
    wrong: list[tuple[tuple[Any, ...], str]] = [
        (("code_table", 1), "code_table needs a code table, got none"),
        (("clip", 1, None, table), "clip takes no code table, got one; use code_table"),
        (("exact", None, None, table), "exact takes no code table"),
        (("code_table", 1, 9, table), "code_table reads the levels given.* full_scale"),
    ]
    for arguments, said in wrong:
        with pytest.raises(ConfigError, match=said):
            Adc(*arguments)


def test_sums_below_zero_need_a_threshold_there() -> None:
    assert not adc_of(1, [1], [0, 1]).reads_below_zero
    assert adc_of(1, [0], [-1, 1]).reads_below_zero
    assert adc_of(1, [0], [-1, 1]).table(-2, 2).tolist() == [-1, -1, 1, 1, 1]
    with pytest.raises(ConfigError, match="code_table needs partial sums of at least 0, got -2"):
        adc_of(1, [1], [0, 1]).table(-2, 2)


# one matrix


@given(st.data(), st.sampled_from([1, 9, 16, 17, 40, 70]), st.booleans(), st.booleans())
def test_fast_reads_are_those_of_single_cells(
    data: st.DataObject, n_rows: int, paired: bool, loud: bool
) -> None:
    """OUs of lanes of any width; readings small, or as large as there may be."""
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32)))
    thresholds, levels = data.draw(code_tables(4, signed=paired, quiet=not loud))
    if data.draw(st.booleans()):
        levels = [int(sign * (2**29 - 1)) for sign in np.sign([float(Fraction(x)) for x in levels])]
    geometry = CrossbarGeometry(n_rows, 7, 2)
    encoding = "differential_paired" if paired else "differential"
    weights = rng.integers(-7, 8, (n_rows, 3))
    stored = encode_weights(weights, 4, encoding, 2, n_rows)
    coding = InputCoding(2)
    inputs = rng.integers(0, 4, (5, n_rows)).astype(np.uint8)
    adc = adc_of(4, thresholds, levels)
    dense = DenseMatrix(stored, geometry, adc, coding)
    expected = naive.multiply(
        inputs.tolist(),
        naive.columns_of(weights.tolist(), 4, encoding, 2),
        3,
        naive.row_blocks(n_rows, n_rows, n_rows),
        naive.pieces(2, 1, False),
        lambda y: naive.code_table(thresholds, levels, y),
    )
    sums, _ = dense.read(inputs, 5)
    assert sums.tolist() == expected
    literal, _ = dense.read_literally(inputs, 5)
    assert np.array_equal(sums, literal)
    rows = InputRows("test", n_rows, coding, 1)
    every = [np.arange(n_rows)], [np.arange(stored.cells.shape[1])]
    lists = ListReader(stored, geometry, adc, rows, *every, packed=False)
    out = np.zeros_like(sums)
    lists.add(rows.checked(inputs, 5), out)
    assert np.array_equal(out, sums)


# settings


def test_lists_reach_the_converter_and_survive_every_form() -> None:
    settings = override(load_preset("dense_crossbar"), GIVEN)
    assert settings.converter.adc_thresholds == (1, 3, 6)
    assert settings.converter.adc_levels == (0, 1.5, "9/2", 7)
    assert settings.converter.adc() == adc_of(2, (1, 3, 6), (0, 1.5, "9/2", 7))
    assert parse_preset(to_toml(settings)) == settings
    assert override(settings, ["timing.read_cycle_ns=2.0"]).converter == settings.converter
    assert hash(settings) == hash(parse_preset(to_toml(settings)))
    values = {row.key: row.value for row in setting_rows(settings)}
    assert values["converter.adc_levels"] == '[0, 1.5, "9/2", 7]'
    assert "converter.adc_thresholds        [1, 3, 6]" in describe(settings)
    json.dumps(settings.model_dump(mode="json"))
    assert not {"converter.adc_thresholds", "converter.adc_levels"} & settings.unused().keys()


def test_a_long_list_does_not_widen_what_is_described() -> None:
    long = [f"converter.adc_thresholds={[*range(1, 256)]}", f"converter.adc_levels={[*range(256)]}"]
    text = describe(override(load_preset("dense_crossbar"), [TWO_BITS[0], *long]))
    lines = [line for line in text.splitlines() if "adc_thresholds" not in line]
    assert max(map(len, (line for line in lines if "adc_levels" not in line))) < 300
    assert "254, 255]  assumed" in text


@given(st.data(), st.integers(1, 8), st.booleans())
def test_any_code_table_survives_its_preset(data: st.DataObject, bits: int, quiet: bool) -> None:
    thresholds, levels = data.draw(code_tables(bits, signed=False, quiet=quiet))
    lists = {"thresholds": thresholds, "levels": levels}
    words = [f"converter.adc_{key}={json.dumps(given)}" for key, given in lists.items()]
    settings = override(load_preset("isaac"), [TWO_BITS[0], *words])
    again = parse_preset(to_toml(settings))
    assert again == settings
    assert again.converter.adc() == adc_of(8, thresholds, levels)


def test_the_schema_of_the_lists() -> None:
    keys = json_schema("isaac")["properties"]["converter"]["properties"]
    thresholds, levels, model = (
        keys[key]["properties"]["value"] for key in ("adc_thresholds", "adc_levels", "adc_model")
    )
    assert thresholds == {"type": "array", "items": {"type": "integer"}}
    kinds = [kind["type"] for kind in levels["items"]["anyOf"]]
    assert (levels["type"], kinds) == ("array", ["integer", "number", "string"])
    assert (model["type"], "code_table" in model["enum"]) == ("string", True)


@pytest.mark.parametrize(
    ("assignments", "said"),
    [
        (TWO_BITS, "adc_model code_table needs adc_thresholds, and adc_levels one more, got 0 and"),
        ((*GIVEN, "converter.adc_levels=[0,1]"), "got 3 and 2; set both"),
        ((*GIVEN, "converter.adc_bits=1"), "adc_bits needs 2 to 16 for 4 adc_levels, got 1"),
        (
            (*TWO_BITS, "converter.adc_thresholds=[1,2,3,4]", "converter.adc_levels=[0,1,2,3,4]"),
            "adc_bits needs 3 to 16 for 5 adc_levels, got 2; each level is a code",
        ),
        ((*GIVEN, "converter.adc_range=given"), "adc_range needs maximal for adc_model code_table"),
        ((*GIVEN, "converter.adc_range=calibrated"), "adc_range needs maximal"),
        (["converter.adc_thresholds=[3,1]"], "adc_thresholds: need each threshold above the one"),
        (["converter.adc_thresholds=[true]"], "adc_thresholds: need whole partial sums"),
        (["converter.adc_thresholds=[1.5]"], "adc_thresholds: need whole partial sums"),
        (["converter.adc_thresholds=3"], "adc_thresholds: need a list, such as [1, 2, 4], got 3"),
        (["converter.adc_thresholds=[1,"], "adc_thresholds: need a list"),
        (["converter.adc_levels=[2,1]"], "adc_levels: need no level below the one before"),
        (["converter.adc_levels=[[1]]"], "adc_levels: need whole numbers, decimals or texts"),
        (["converter.adc_levels=[nan]"], "adc_levels: need whole numbers, decimals or texts"),
        (["converter.adc_model=code_tabl"], "need a model of clip, code_table, exact"),
    ],
)
def test_bad_lists_are_one_clear_error(assignments: Any, said: str) -> None:
    with pytest.raises(ConfigError) as error:
        override(load_preset("dense_crossbar"), assignments)
    assert said in str(error.value)
    assert "\n" not in str(error.value)
    assert "more)" not in str(error.value)


@pytest.mark.parametrize("name", PRESETS)
def test_lists_that_nothing_would_use_are_refused(name: str) -> None:
    for assignment in (GIVEN[2], GIVEN[3]):
        key = assignment.partition("=")[0]
        with pytest.raises(
            ConfigError, match=f"{key}: nothing uses it but converter.adc_model=code_table; set"
        ):
            make_machine(name, None, [assignment])
    origin = load_preset(name).origin("converter.adc_thresholds")
    assert (origin.source, origin.confidence) == (
        "unused unless adc_model is code_table",
        "assumed",
    )
    assert load_preset(name).converter.adc_levels == ()


# machines


@pytest.mark.parametrize("name", PRESETS)
def test_the_identity_is_a_lossless_machine(name: str) -> None:
    """6 bits of single levels hold what OUs of 3 rows of 2-bit cells can sum to."""
    units = ("geometry.ou_rows=3", "numbers.weight_bits=9", *TWO_BITS[:1], "converter.adc_bits=6")
    lists = (
        f"converter.adc_thresholds={[*range(-9, 10)]}",
        f"converter.adc_levels={[*range(-10, 10)]}",
    )
    for encoding in ("offset", "differential_paired"):
        chosen = machine(name, *units, *lists, f"numbers.encoding={encoding}")
        assert chosen.losses() is None
        check_lossless(chosen, NETWORK, against_naive=False)


@pytest.mark.parametrize("name", PRESETS)
def test_differences_are_read_as_a_naive_machine_reads_them(name: str) -> None:
    signed = (
        "converter.adc_thresholds=[-6, -2, 0, 1, 3, 7]",
        'converter.adc_levels=[-8, -4, "-5/3", 0, 1.5, 4, 8]',
    )
    assigned = (SATURATE, "geometry.ou_rows=6", "numbers.weight_bits=9", *TWO_BITS[:1], *signed)
    chosen = machine(name, *assigned, "numbers.encoding=differential_paired")
    assert chosen.losses() is not None
    check_naive(chosen, NETWORK)
    positive = ("numbers.encoding=differential_paired", *GIVEN)
    with pytest.raises(
        ConfigError, match=r"code_table reads no partial sums below 0.* `--set conv"
    ):
        machine(name, "numbers.weight_bits=9", *positive)


def test_machines_that_leave_reads_out_need_zero_to_read_as_zero() -> None:
    loud = (*TWO_BITS, "converter.adc_thresholds=[2,6]", "converter.adc_levels=[0.5,4,8]", SATURATE)
    for name, unless in (
        ("sre", "mapping.pack_active_rows=false"),
        ("pattern_crossbar", "mapping.zero_skip=none"),
    ):
        with pytest.raises(ConfigError, match="code_table does not read 0 as 0"):
            machine(name, *loud)
        check_naive(machine(name, *loud, unless), NETWORK)
    with pytest.raises(ConfigError, match="code_table does not read 0 as 0"):
        machine("dense_crossbar", *loud, "mapping.zero_skip=vector")


def test_a_table_of_rounding_is_the_machine_that_rounds() -> None:
    """27/7 levels a code: the same fractions, added up and rounded once, give the same codes."""
    units = ("numbers.weight_bits=9", SATURATE, "converter.adc_bits=3")
    rounds = machine("dense_crossbar", *units, "converter.adc_model=round")
    lists = (
        f"converter.adc_thresholds={[-(-27 * (2 * k - 1) // 14) for k in range(1, 8)]}",
        f"converter.adc_levels={json.dumps([f'{27 * k}/7' for k in range(8)])}",
    )
    given = machine("dense_crossbar", *units, TWO_BITS[0], *lists)
    for mine, theirs in zip(run(given, NETWORK), run(rounds, NETWORK), strict=True):
        assert np.array_equal(mine.codes, theirs.codes)
        assert mine.counts == theirs.counts
    assert given.losses() == (
        "ADC code_table of 3 bits, 8 codes given, partial sums 0 to 27 of OUs of 9 rows"
    )


def test_a_large_table_goes_through_a_result_file(tmp_path: Path) -> None:
    """8,192 codes are more than 64 KiB of text in the header, what an HDF5 attribute may have."""
    levels = [k / 100 for k in range(8192)]
    words = (
        *("numbers.weight_bits=9", SATURATE, TWO_BITS[0], "converter.adc_bits=13"),
        *(f"converter.adc_thresholds={[*range(1, 8192)]}", f"converter.adc_levels={levels}"),
    )
    chosen = machine("dense_crossbar", *words)
    replay(NETWORK, chosen, tmp_path / "out.h5")
    header = open_result(tmp_path / "out.h5").header
    assert len(header.preset) > 1 << 16
    assert parse_preset(header.preset) == chosen.settings
