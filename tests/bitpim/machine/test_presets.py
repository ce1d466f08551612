"""The presets of the registered machines: what they say, and what their settings refuse."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import bitpim
from bitpim.config import CONFIDENCES, describe, override, setting_rows, to_toml
from bitpim.crossbar.adc import lossless_bits
from bitpim.errors import ConfigError
from bitpim.machine.registry import (
    default_text,
    entry_of,
    json_schema,
    list_presets,
    load_preset,
    machine_names,
    parse_preset,
)

PRESETS = {
    "bit_prudent": (
        "bit_prudent",
        "bit_prudent_calibrated",
        "bit_prudent_exact",
        "bit_prudent_overlap",
    ),
    "dense_crossbar": ("dense_crossbar", "dense_crossbar_128rows", "dense_crossbar_8bit"),
    "isaac": ("isaac", "isaac_8bit"),
    "neural_cache": ("neural_cache", "neural_cache_calibrated", "neural_cache_mve"),
    "pattern_crossbar": ("pattern_crossbar", "pattern_crossbar_8bit"),
    "pipelayer": ("pipelayer", "pipelayer_8bit"),
    "rapidnn": ("rapidnn",),
    "sre": ("sre",),
}
EVERY_PRESET = [(machine, name) for machine, names in PRESETS.items() for name in names]


def test_the_cache_of_the_paper() -> None:
    geometry = load_preset("neural_cache").geometry
    assert geometry.n_arrays == 4480
    assert geometry.n_lanes == 1_146_880
    assert geometry.n_compute_arrays == 4032
    assert geometry.n_compute_lanes == 1_032_192
    assert geometry.n_io_arrays == 14 * 16


def test_calibrated_preset_gives_the_cycles_of_conv2d_2b() -> None:
    settings = load_preset("neural_cache", "neural_cache_calibrated")
    timing = settings.timing
    assert timing.cost_mode == "nc_paper_calibrated"
    passes = -(-147 * 147 * 64 // (settings.geometry.n_compute_lanes // 32))
    each = 9 * timing.mac_cycles_calibrated + 5 * timing.reduction_step_cycles_calibrated
    assert (passes, passes * each) == (43, 119_712)


def test_presets_differ_only_where_they_say_so() -> None:
    base = {row.key: row.value for row in setting_rows(load_preset("neural_cache"))}
    for name, expected in (
        ("neural_cache_mve", {"timing.cost_mode"}),
        (
            "neural_cache_calibrated",
            {"timing.cost_mode", "timing.move_cycles_per_bit", "mapping.reduction_bits"},
        ),
    ):
        other = {row.key: row.value for row in setting_rows(load_preset("neural_cache", name))}
        assert {key for key in base if base[key] != other[key]} == expected


def test_list_presets() -> None:
    assert list_presets() == tuple(sorted(name for _, name in EVERY_PRESET))
    assert {machine: list_presets(machine) for machine in machine_names()} == PRESETS
    with pytest.raises(ConfigError, match="unknown machine 'nowhere'"):
        list_presets("nowhere")


@pytest.mark.parametrize(("machine", "name"), EVERY_PRESET)
def test_every_value_has_an_origin_and_survives_a_round_trip(machine: str, name: str) -> None:
    settings = load_preset(machine, name)
    assert type(settings) is entry_of(machine).settings
    assert (settings.machine, settings.name) == (machine, name)
    assert settings.title
    assert parse_preset(to_toml(settings)) == settings
    rows = setting_rows(settings)
    assert len(rows) == len(settings.origins) > 15
    assert all(row.source and row.meaning and row.confidence in CONFIDENCES for row in rows)
    text = describe(settings)
    assert all(row.key in text and row.source in text for row in rows)


@pytest.mark.parametrize("machine", PRESETS)
def test_default_text_is_the_default_preset(machine: str) -> None:
    assert parse_preset(default_text(machine)) == load_preset(machine)


@pytest.mark.parametrize("machine", PRESETS)
def test_schema_names_every_key_of_the_file(machine: str) -> None:
    schema: dict[str, Any] = json_schema(machine)
    rows = setting_rows(load_preset(machine))
    for row in rows:
        part, _, key = row.key.partition(".")
        leaf = schema["properties"][part]["properties"][key]
        assert leaf["description"] == row.meaning
        assert set(leaf["required"]) == {"value", "source", "confidence"}
    assert sum(
        len(p["properties"]) for n, p in schema["properties"].items() if n != "preset"
    ) == len(rows)


def test_an_unknown_machine_is_said_with_the_nearest_or_all() -> None:
    for ask in (load_preset, default_text, json_schema):
        with pytest.raises(ConfigError, match=r"'neural_cash'; did you mean 'neural_cache'\?"):
            ask("neural_cash")
    with pytest.raises(ConfigError, match=r"known: .*isaac, neural_cache, pattern_crossbar, pipe"):
        load_preset("zzz")
    with pytest.raises(ConfigError, match="unknown machine 'zzz'"):
        parse_preset('[preset]\nmachine = "zzz"\nname = "x"\n')


def test_a_preset_is_of_one_machine() -> None:
    for name in ("isaac", "", "neural_cach"):
        with pytest.raises(ConfigError, match=f"unknown preset '{name}' of machine 'neural_cache'"):
            load_preset("neural_cache", name)


def test_no_cache_is_left_without_a_way_to_compute() -> None:
    with pytest.raises(ConfigError, match="must leave a way to compute"):
        override(load_preset("neural_cache"), ["geometry.cpu_ways=19"])


def test_schema_states_what_a_value_may_be() -> None:
    timing = json_schema("neural_cache")["properties"]["timing"]["properties"]
    mode = timing["cost_mode"]["properties"]["value"]
    assert mode["enum"] == ["nc_formula", "nc_paper_calibrated", "mve"]
    parts = json_schema("isaac")["properties"]
    bits = {"type": "integer", "minimum": 1, "maximum": 16}
    assert parts["converter"]["properties"]["adc_bits"]["properties"]["value"] == bits
    width = parts["numbers"]["properties"]["input_bits"]["properties"]["value"]
    assert width["anyOf"] == [bits, {"type": "string", "const": "trace"}]


CROSSBAR_PRESETS = [
    (machine, name)
    for machine, name in EVERY_PRESET
    if machine not in ("bit_prudent", "neural_cache", "pipelayer", "rapidnn")
]


def shown(machine: str, preset: str) -> dict[str, str]:
    return {row.key: row.value for row in setting_rows(load_preset(machine, preset))}


@pytest.mark.parametrize(("machine", "name"), CROSSBAR_PRESETS)
def test_the_converters_of_all_presets_are_lossless_and_no_wider_than_that(
    machine: str, name: str
) -> None:
    values = shown(machine, name)
    rows, cell_bits, dac_bits, adc_bits, full_scale = (
        int(values[key])
        for key in (
            *("geometry.ou_rows", "geometry.cell_bits", "converter.dac_bits"),
            *("converter.adc_bits", "converter.adc_full_scale"),
        )
    )
    needed = lossless_bits(rows, cell_bits, dac_bits)
    largest = rows * (2**cell_bits - 1) * (2**dac_bits - 1)
    if values["numbers.encoding"] == '"column_flip"':
        needed, largest = needed - 1, largest // 2
    assert (adc_bits, full_scale) == (needed, largest)
    assert 2 ** (adc_bits - 1) <= largest < 2**adc_bits


@pytest.mark.parametrize("suffix", ["", "_8bit"])
def test_dense_and_pattern_crossbars_differ_in_mapping_only(suffix: str) -> None:
    dense = shown("dense_crossbar", f"dense_crossbar{suffix}")
    pattern = shown("pattern_crossbar", f"pattern_crossbar{suffix}")
    assert {key for key in pattern if pattern[key] != dense.get(key)} == {
        *("mapping.zero_skip", "mapping.pad_ou_columns", "mapping.other_kernels"),
    }
    assert set(dense) <= set(pattern)


def test_the_chip_of_isaac() -> None:
    settings = load_preset("isaac")
    assert settings.chip.n_crossbars == 16_128
    assert settings.timing.clock_compute_ghz == pytest.approx(0.01)
    cells = int(settings.numbers.weight_bits) // settings.geometry.cell_bits
    macs = settings.chip.n_crossbars * 128 * 128 // cells
    seconds = int(settings.numbers.input_bits) * settings.timing.read_cycle_ns * 1e-9
    gops = 2 * macs / seconds / 1e9
    assert gops / 1000 == pytest.approx(41.3, abs=0.05)
    assert gops / settings.chip.area_mm2 == pytest.approx(483, abs=1)


@pytest.mark.parametrize(
    ("assignments", "said"),
    [
        (["converter.adc_bits=0"], "converter.adc_bits: need 1 to 16 bits, got 0"),
        (["converter.adc_bits=17"], "converter.adc_bits: need 1 to 16 bits, got 17"),
        (["converter.adc_bits=true"], "converter.adc_bits: need 1 to 16 bits, got True"),
        (["converter.adc_bits=8.0"], "converter.adc_bits: need 1 to 16 bits, got 8.0"),
        (["converter.adc_bits=exact"], "no converter is adc_model exact"),
        (["geometry.ou_rows=513"], "ou_rows needs 1 to array_rows = 512, got 513"),
        (["geometry.ou_columns=513"], "ou_columns needs 1 to array_columns = 512, got 513"),
        (["geometry.array_rows=8"], "ou_rows needs 1 to array_rows = 8, got 9"),
        (["geometry.ou_rows=0"], "geometry.ou_rows: Input should be greater than or equal to 1"),
        (["geometry.cell_bits=0"], "geometry.cell_bits: Input should be greater than"),
        (["geometry.cell_bits=9"], "geometry.cell_bits: Input should be less than or equal to 8"),
        (["converter.dac_bits=0"], "converter.dac_bits: Input should be greater than"),
        (
            ["converter.adc_model=granular"],
            "need a model of clip, code_table, exact, floor, round, ",
        ),
        (["converter.adc_range=given"], "adc_range needs maximal for adc_model clip, got given"),
        (
            ["converter.adc_model=exact", "converter.adc_range=calibrated"],
            "adc_range needs maximal for adc_model exact, got calibrated",
        ),
        (
            ["converter.adc_model=sign_magnitude", "converter.adc_bits=1"],
            "adc_bits needs 2 to 16 for adc_model sign_magnitude, got 1",
        ),
        (["converter.calibration_coverage=0.0"], "greater than 0, got 0.0"),
        (["converter.calibration_coverage=1.1"], "less than or equal to 1, got 1.1"),
        (["numbers.weight_bits=1"], 'weight_bits: need 2 to 16 bits, or "trace" for its own'),
        (["numbers.weight_bits=17"], "got 17"),
        (["numbers.input_bits=0"], 'input_bits: need 1 to 16 bits, or "trace" for its own'),
        (["numbers.input_bits=tracer"], "got 'tracer'"),
        (["numbers.encoding=signed"], "'offset', 'differential'"),
        (["mapping.row_blocks=channel"], "'array' or 'window', got 'channel'"),
        (["mapping.zero_skip=true"], "'none', 'bit_plane' or 'vector', got True"),
        (["mapping.pad_ou_columns=true"], "unknown key 'mapping.pad_ou_columns'"),
        (["timing.read_cycle_ns=0"], "greater than 0, got 0"),
    ],
)
def test_bad_settings_of_crossbars_are_one_clear_error(assignments: list[str], said: str) -> None:
    with pytest.raises(ConfigError) as error:
        override(load_preset("dense_crossbar"), assignments)
    assert said in str(error.value)
    assert "\n" not in str(error.value)
    assert "more)" not in str(error.value)


@given(st.integers(1, 16), st.sampled_from(["clip", "exact", "floor", "round", "symmetric"]))
def test_every_width_of_every_model_is_accepted_and_kept(bits: int, model: str) -> None:
    before = load_preset("sre")
    after = override(before, [f"converter.adc_bits={bits}", f"converter.adc_model={model}"])
    assert (after.converter.adc_bits, after.converter.adc_model) == (bits, model)
    assert parse_preset(to_toml(after)) == after


@given(st.integers(1, 600), st.integers(1, 600))
def test_an_operation_unit_is_accepted_when_it_lies_within_the_array(rows: int, unit: int) -> None:
    assignments = [f"geometry.array_rows={rows}", f"geometry.ou_rows={unit}"]
    settings = load_preset("dense_crossbar")
    if unit <= rows:
        assert override(settings, assignments).geometry.ou_rows == unit
    else:
        with pytest.raises(ConfigError, match="operation unit lies within one array"):
            override(settings, assignments)


@pytest.mark.parametrize("name", ["neural_cache", "isaac"])
@pytest.mark.parametrize("clock", [1e-3, 0.5, 1.0, 1000.0])
def test_slow_and_fast_clocks(name: str, clock: float) -> None:
    key = "clock_compute_ghz" if name == "neural_cache" else "read_cycle_ns"
    machine = bitpim.make_machine(name, settings={f"timing.{key}": clock})
    assert getattr(machine.settings.timing, key) == clock
