"""Presets read, changed, shown and written, and what is refused: on a machine of settings only."""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import Field, ValidationError

from bitpim.config import (
    CONFIDENCES,
    Part,
    PresetLabel,
    default_text,
    describe,
    json_schema,
    list_presets,
    machine_of,
    override,
    setting_rows,
    to_toml,
)
from bitpim.config import load_preset as load_any
from bitpim.config import parse_preset as parse_any
from bitpim.errors import ConfigError
from tests.bitpim.config.sample import SAMPLE, SampleSettings

HEAD = '[preset]\nmachine = "sample"\nname = "mine"\nextends = "sample"\n'
ROWS = "[sizes]\nrows = "
ORIGIN = 'source = "me", confidence = "assumed"'


def load_preset(name: str | Path | None = None) -> SampleSettings:
    found = load_any(SAMPLE, name)
    assert isinstance(found, SampleSettings)
    return found


def parse_preset(text: str, **more: Any) -> SampleSettings:
    found = parse_any(text, SAMPLE, **more)
    assert isinstance(found, SampleSettings)
    return found


def test_presets_of_the_machine_are_listed_and_loaded() -> None:
    assert list_presets(SAMPLE) == ("sample", "sample_large")
    small, large = load_preset(), load_preset("sample_large")
    assert (small.name, small.sizes.rows, small.sizes.bits) == ("sample", 24, 8)
    assert (large.title, large.sizes.rows, large.timing) == ("large", 96, small.timing)
    assert large.origin("sizes.rows").confidence == "assumed"
    assert large.origin("sizes.bits") == small.origin("sizes.bits")
    assert machine_of(default_text(SAMPLE)) == "sample"


def test_settings_are_frozen() -> None:
    settings = load_preset()
    with pytest.raises(ValidationError):
        settings.sizes.rows = 8
    assert hash(settings) == hash(load_preset())


def test_a_bare_key_and_plain_values_do() -> None:
    typed = override(load_preset(), ["rows=32", "timing.mode=fast"])
    assert override(load_preset(), {"rows": np.int64(32), "timing.mode": "fast"}) == typed
    assert typed.sizes.rows == 32 and type(typed.sizes.rows) is int
    with pytest.raises(ConfigError, match=r"setting rowz: .*did you mean 'sizes\.rows'"):
        override(load_preset(), {"rowz": 32})
    with pytest.raises(ConfigError, match="integer, got '32'"):
        override(load_preset(), {"rows": "32"})  # a value is what it is; only texts are read


def test_a_bare_key_of_two_parts_is_refused() -> None:
    class OtherSizes(Part):
        """More sizes."""

        rows: int = Field(description="other rows")

    class Two(SampleSettings):
        """Both."""

        other: OtherSizes

    text = default_text(SAMPLE) + f"[other]\nrows = {{ value = 1, {ORIGIN} }}\n"
    two = parse_any(text, dataclasses.replace(SAMPLE, settings=Two))
    with pytest.raises(ConfigError, match=r"'rows'; did you mean 'sizes\.rows' or 'other\.rows'"):
        override(two, ["rows=3"])
    assert setting_rows(override(two, ["other.rows=3"]))[-1].value == "3"


def test_override_changes_value_and_origin_only_there() -> None:
    before = load_preset()
    after = override(before, ["sizes.rows = 32", "timing.mode=fast"])
    assert (after.sizes.rows, after.timing.mode) == (32, "fast")
    assert before.sizes.rows == 24
    assert after.origin("sizes.rows").source == "set by hand"
    assert after.origin("sizes.bits") == before.origin("sizes.bits")
    assert override(before, []) == before
    assert parse_preset(to_toml(after)) == after


@pytest.mark.parametrize(
    ("assignment", "said"),
    [
        ("sizes.row=32", "did you mean 'sizes.rows'"),
        ("row=32", "did you mean 'sizes.rows'"),
        ("sizes.rows", "need part.key=value"),
        ("sizes.rows=", "need part.key=value"),
        ("sizes.rows=big", "integer, got 'big'"),
        ("sizes.rows=true", "integer, got True"),
        ("sizes.rows=24.0", "integer, got 24.0"),
        ("sizes.rows=0", "greater than or equal to 1, got 0"),
        ("sizes.rows=[[[", "got '[[['"),
        ("timing.mode=quick", "'slow' or 'fast', got 'quick'"),
        ("timing.doubled=1", "boolean, got 1"),
        ("timing.clock_ghz=nan", "got nan"),
        ("timing.clock_ghz=0", "greater than 0"),
        ("sizes.bits=25", "sizes: bits must fit the rows: 25 of 24"),
        ("name=x", "unknown key 'name'"),
        ("", "need part.key=value"),
    ],
)
def test_override_says_what_is_wrong(assignment: str, said: str) -> None:
    with pytest.raises(ConfigError) as error:
        override(load_preset(), [assignment])
    assert said in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("sample_larg", "unknown preset 'sample_larg' of machine 'sample'; did you mean"),
        ("other", "unknown preset 'other'"),
        ("gone.toml", "gone.toml: cannot be read"),
        ("a\0b.toml", "cannot be read"),
        ("../x", "cannot be read"),
        ("", "unknown preset ''"),
    ],
)
def test_unknown_preset(name: str, said: str) -> None:
    with pytest.raises(ConfigError) as error:
        load_preset(name)
    assert said in str(error.value)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "needs a [preset] table"),
        ("x = [", "not TOML"),
        ("x = " + "[" * 20_000, "not TOML"),
        ("preset = 3", "needs a [preset] table"),
        ('[preset]\nname = "x"\n', "needs machine"),
        ('[preset]\nmachine = 3\nname = "x"\n', "needs machine"),
        (
            '[preset]\nmachine = "other"\nname = "x"\n',
            "mine.toml: is for machine 'other', need one for 'sample'; known: sample, sample_large",
        ),
        ('[preset]\nmachine = "sample"\nname = "x"\n', "sizes: Field required (and 1 more)"),
        (HEAD.replace("mine", ""), "name"),
        (HEAD + "colour = 3\n", "unknown key preset.colour"),
        (HEAD + "[sizes]\nrows = 32", "need { value = ..., source"),
        (HEAD + ROWS + "{ value = 32 }", "need { value = ..., source"),
        (HEAD + ROWS + '{ value = 32, source = "", confidence = "found" }', "sizes.rows: source"),
        (HEAD + ROWS + '{ value = 32, source = "x", confidence = "sure" }', "'sure'"),
        (HEAD + ROWS + '{ value = 32, source = 3, confidence = "found" }', "sizes.rows: source"),
        (HEAD + ROWS + f"{{ value = 0, {ORIGIN} }}", "sizes.rows: "),
        (HEAD + ROWS + f"{{ value = {{ a = 1 }}, {ORIGIN} }}", "sizes.rows: "),
        (HEAD + "sizes = 3", "unknown key preset.sizes"),
        ("sizes = 3\n" + HEAD, "sizes must be a table"),
        (HEAD + f"[sizes]\nrow = {{ value = 32, {ORIGIN} }}", "unknown key sizes.row"),
        (HEAD + f"[size]\nrow = {{ value = 32, {ORIGIN} }}", "did you mean 'sizes'?"),
        (HEAD.replace('extends = "sample"', 'extends = "x"'), "unknown preset 'x'"),
        (HEAD.replace('extends = "sample"', "extends = 3"), "extends must name"),
    ],
)
def test_a_bad_preset_says_where_and_what(text: str, said: str) -> None:
    with pytest.raises(ConfigError) as error:
        parse_preset(text, where="mine.toml")
    assert said in str(error.value)
    assert "\n" not in str(error.value)


def test_a_preset_file_may_extend_a_packaged_one(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(HEAD + ROWS + f"{{ value = 40, {ORIGIN} }}", "utf-8")
    settings = load_preset(path)
    assert (settings.name, settings.sizes.rows) == ("mine", 40)
    assert settings.timing == load_preset().timing
    assert settings.origin("sizes.rows").source == "me"
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigError, match="cannot be read"):
        load_preset(path)


def write(folder: Path, name: str, base: str, rows: int | None = None) -> Path:
    """Write a preset file that extends another and may change a value."""
    path = folder / f"{name}.toml"
    head = HEAD.replace("mine", name).replace('extends = "sample"', f'extends = "{base}"')
    changed = "" if rows is None else ROWS + f"{{ value = {rows}, {ORIGIN} }}"
    path.parent.mkdir(exist_ok=True)
    path.write_text(head + changed, "utf-8")
    return path


def test_preset_files_extend_one_another_from_where_they_lie(tmp_path: Path) -> None:
    write(tmp_path / "deep", "first", "sample_large", 100)
    write(tmp_path / "deep", "second", "first.toml")
    third = write(tmp_path, "third", "deep/second.toml")
    settings = load_preset(third)
    assert (settings.name, settings.sizes.rows) == ("third", 100)
    assert parse_preset(to_toml(settings)) == settings  # what a result keeps needs no file
    write(tmp_path, "third", "deep/second.toml", 50)
    assert load_preset(third).sizes.rows == 50


def test_a_ring_of_presets_is_found(tmp_path: Path) -> None:
    one, two = write(tmp_path, "one", "two.toml"), write(tmp_path, "two", "./one.toml")
    for path in (one, two, write(tmp_path, "self", "self.toml")):
        with pytest.raises(ConfigError, match=r"extends '.*\.toml', which extends it"):
            load_preset(path)


def test_what_is_no_file_extends_no_file_and_another_machines_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path, "mine", "sample")
    with pytest.raises(ConfigError, match="extends must name a packaged preset"):
        parse_preset(HEAD.replace('extends = "sample"', 'extends = "mine.toml"'))
    text = path.read_text("utf-8").replace('machine = "sample"', 'machine = "other"')
    (tmp_path / "other.toml").write_text(text, "utf-8")
    with pytest.raises(ConfigError, match=r"other.toml: is for machine 'other'"):
        load_preset(write(tmp_path, "mine", "other.toml"))
    with pytest.raises(ConfigError, match=r"gone.toml: cannot be read"):
        load_preset(write(tmp_path, "mine", "gone.toml"))


def test_another_preset_may_not_bear_the_name_of_a_packaged_one(tmp_path: Path) -> None:
    path = tmp_path / "copy.toml"
    path.write_text(default_text(SAMPLE), "utf-8")
    assert load_preset(path) == load_preset()
    path.write_text(to_toml(override(load_preset(), ["rows=32", "bits=7"])), "utf-8")
    with pytest.raises(ConfigError, match=r"packaged preset 'sample' .*sizes.rows \(and 1 more\)"):
        load_preset(path)


def test_a_label_names_the_preset_and_what_was_changed() -> None:
    plain, changed = load_preset(), override(load_preset(), ["rows=32", "mode=fast"])
    assert str(PresetLabel.of(plain)) == "preset sample"
    label = PresetLabel.of(changed)
    assert str(label) == "preset sample with sizes.rows=32 timing.mode=fast"
    assert label == PresetLabel.of_text(to_toml(changed))
    assert label.digest != PresetLabel.of(plain).digest
    assert override(plain, label.assignments.split(" ")) == changed
    assert label.to_dict() == {
        "preset": "sample",
        "settings": {"sizes.rows": 32, "timing.mode": "fast"},
        "settings_digest": label.digest,
    }


def test_a_long_list_is_told_by_its_beginning() -> None:
    label = PresetLabel("p", {"a.b": list(range(9)), "a.c": list(range(8))})
    assert label.assignments == (
        "a.b=[0, 1, 2, 3, 4, 5, 6, 7, ... 9 values] a.c=[0, 1, 2, 3, 4, 5, 6, 7]"
    )
    assert label.to_dict()["settings"]["a.b"] == list(range(9))


@given(st.text(max_size=300))
def test_any_text_has_a_label(text: str) -> None:
    assert isinstance(str(PresetLabel.of_text(text)), str)


def test_unknown_origin() -> None:
    with pytest.raises(ConfigError, match=r"did you mean 'timing\.mode'"):
        load_preset().origin("timing.mod")


@given(st.text(min_size=1), st.sampled_from(CONFIDENCES))
def test_any_source_text_survives(source: str, confidence: str) -> None:
    before = load_preset()
    origin = before.origins[0].model_copy(update={"source": source, "confidence": confidence})
    settings = before.model_copy(update={"origins": (origin, *before.origins[1:])})
    assert parse_preset(to_toml(settings)).origins[0] == origin


@given(st.text())
def test_any_text_is_a_preset_or_a_config_error(text: str) -> None:
    try:
        parse_preset(HEAD + text)
    except ConfigError as error:
        assert str(error).startswith("preset: ")


def test_what_is_shown_is_all_there_is() -> None:
    rows = setting_rows(load_preset())
    assert [row.key for row in rows] == [
        *("sizes.rows", "sizes.bits", "timing.clock_ghz", "timing.mode", "timing.doubled"),
    ]
    assert rows[3] == ("timing.mode", '"slow"', "by hand", "assumed", "what it hurries by")
    text = describe(load_preset())
    assert len(text.splitlines()) == len(rows)
    assert all(row.key in text and row.meaning in text for row in rows)


def test_the_schema_states_what_a_value_may_be() -> None:
    schema = json_schema(SAMPLE)
    assert schema["required"] == ["preset", "sizes", "timing"]
    assert schema["properties"]["preset"]["properties"]["machine"] == {"const": "sample"}
    parts = schema["properties"]
    bits = parts["sizes"]["properties"]["bits"]
    assert bits["properties"]["value"] == {"type": "integer", "minimum": 1, "maximum": 64}
    assert bits["required"] == ["value", "source", "confidence"]
    assert parts["timing"]["properties"]["mode"]["properties"]["value"]["enum"] == ["slow", "fast"]
