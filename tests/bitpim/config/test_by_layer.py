"""Settings by layer: how they are spelt, kept and refused, and what each layer then has."""

import dataclasses
import tomllib
from collections.abc import Sequence
from fnmatch import fnmatchcase
from typing import Any

import hypothesis
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import Field

from bitpim.config import (
    Count,
    LayerPart,
    Part,
    PresetLabel,
    describe,
    json_schema,
    keys_by_layer,
    load_preset,
    override,
    own_label,
    parse_preset,
    remedies_by_layer,
    setting_rows,
    settings_by_layer,
    to_toml,
)
from bitpim.errors import ConfigError, MappingError
from bitpim_traces.records import LayerRecord, Trace
from tests.bitpim.config.sample import SAMPLE, SampleSettings, SizeSettings, TimingSettings
from tests.strategies import small_trace

KINDS = ("conv2d", "linear")
ORIGIN = 'source = "me", confidence = "assumed"'


class OwnSizes(SizeSettings):
    """Sizes, of which bits may differ."""

    @classmethod
    def by_layer(cls) -> tuple[str, ...]:
        return ("bits",)


class OwnTiming(TimingSettings):
    """Timing, of which all may differ but the clock."""

    @classmethod
    def by_layer(cls) -> tuple[str, ...]:
        return ("mode", "doubled")


class OwnLayers(LayerPart):
    """What is said of single layers."""

    left_out: bool = Field(default=False, description="it takes no part")
    repeats: Count = Field(default=1, description="how often it runs")


class OwnSettings(SampleSettings):
    """The sample's settings, some by layer."""

    sizes: OwnSizes
    timing: OwnTiming
    layers: OwnLayers = OwnLayers()

    def unused(self) -> dict[str, str]:
        return {"timing.doubled": "timing.mode=fast"} if self.timing.mode == "slow" else {}


OWN = dataclasses.replace(SAMPLE, settings=OwnSettings)
NAMES = ("stem", "block1.conv1", "block1.conv2", "block2.conv1", "pool", "a[0]", "a0")


def settings(*changes: str) -> Any:
    return override(load_preset(OWN), changes)


def layers(*names: str) -> tuple[LayerRecord, ...]:
    """Layers of those names; a pool pools, all others have weights."""
    trace: Trace = small_trace(3, kinds=["conv2d", "max_pool2d"], bits=(8, 8))
    conv, pool = trace.layers
    return tuple(
        dataclasses.replace(pool if name == "pool" else conv, name=name, index=i)
        for i, name in enumerate(names)
    )


def resolved(changed: Any, names: Sequence[str] = NAMES) -> dict[str, Any]:
    return dict(zip(names, settings_by_layer(changed, layers(*names), KINDS), strict=True))


# What a layer has.


def test_a_layer_has_what_fits_its_name_last_over_the_general_settings() -> None:
    found = resolved(
        settings("bits=9", "bits@block?.conv1=5", "mode@block1.*=fast", "bits@block1.*=6",
                 "layers.left_out@stem=true"),
    )  # fmt: skip
    bits = {name: own.sizes.bits for name, own in found.items()}
    assert bits == {**dict.fromkeys(NAMES, 9), "block1.conv1": 6, "block1.conv2": 6,
                    "block2.conv1": 5}  # fmt: skip
    assert [name for name, own in found.items() if own.timing.mode == "fast"] == list(NAMES[1:3])
    assert [name for name, own in found.items() if own.layers.left_out] == ["stem"]
    assert own_label(found["block1.conv1"]) == "sizes.bits=6 timing.mode=fast"
    assert own_label(found["pool"]) == own_label(found["a0"]) == ""
    assert found["block1.conv1"] is found["block1.conv2"]
    every = resolved(settings("bits@*=5"))  # a pool has no use for them
    assert [name for name, own in every.items() if own.sizes.bits != 5] == ["pool"]


def test_without_any_all_layers_have_the_settings_as_they_are() -> None:
    general = settings("bits=9")
    assert all(own is general for own in resolved(general).values())


def test_a_name_is_for_that_layer_alone_whatever_its_letters() -> None:
    found = resolved(settings("bits@a[0]=5"))
    assert [name for name, own in found.items() if own.sizes.bits == 5] == ["a[0]"]
    found = resolved(settings("bits@a[0]=5"), NAMES[-1:])  # here it can only be a pattern
    assert found["a0"].sizes.bits == 5


def test_names_with_signs_of_the_spelling() -> None:
    odd = ("a=b", "c@d", "e f")
    found = resolved(settings("bits@a=b=5", "bits@c@d=6", "bits@e f = 7"), odd)
    assert [own.sizes.bits for own in found.values()] == [5, 6, 7]


PATTERNS = st.text("ab?*[]!-.1", min_size=1, max_size=4)


@hypothesis.settings(max_examples=50)
@given(st.lists(st.tuples(PATTERNS, st.integers(1, 24)), max_size=6), st.data())
def test_as_a_plain_loop_has_it(pairs: list[tuple[str, int]], data: st.DataObject) -> None:
    names = tuple(data.draw(st.lists(st.text("ab.1", min_size=1, max_size=3), min_size=1,
                                     unique=True, max_size=6)))  # fmt: skip
    changed = settings(*(f"bits@{pattern}={bits}" for pattern, bits in pairs))

    def fits(name: str, pattern: str) -> bool:
        return name == pattern or (pattern not in names and fnmatchcase(name, pattern))

    if not all(any(fits(name, pattern) for name in names) for pattern, _ in pairs):
        with pytest.raises(ConfigError, match="fits no layer; the closest are '"):
            resolved(changed, names)
        return
    for name, own in resolved(changed, names).items():
        expected = 8
        for pattern, bits in pairs:
            if fits(name, pattern):
                expected = bits
        assert own.sizes.bits == expected


# How they are spelt and kept.


def test_texts_values_and_presets_say_the_same() -> None:
    typed = settings("sizes.bits@b*=5", "left_out@stem=true")
    assert override(load_preset(OWN), {"bits@b*": 5, "layers.left_out@stem": True}) == typed
    head = '[preset]\nmachine = "sample"\nname = "mine"\nextends = "sample"\n'
    table = f'[sizes]\n"bits@b*" = {{ value = 5, {ORIGIN} }}\n'
    more = f'[layers]\n"left_out@stem" = {{ value = true, {ORIGIN} }}\n'
    written = parse_preset(head + table + more, OWN)
    assert written.layer_settings == typed.layer_settings
    assert written.origin("sizes.bits@b*").source == "me"
    assert typed.origin("sizes.bits@b*").source == "set by hand"
    assert hash(typed) == hash(settings("left_out@stem=true", "sizes.bits@b*=5"))


@hypothesis.settings(max_examples=50)
@given(
    st.lists(
        st.tuples(st.sampled_from(["bits", "repeats"]), PATTERNS | st.text(max_size=5),
                  st.integers(1, 24)),
        max_size=6,
    )
)  # fmt: skip
def test_they_are_written_and_read_back(changes: list[tuple[str, str, int]]) -> None:
    given_ = {f"{key}@{pattern}": n for key, pattern, n in changes if pattern}
    changed = override(load_preset(OWN), given_)
    text = to_toml(changed)
    assert parse_preset(text, OWN) == changed
    label = PresetLabel.of_text(text)
    assert override(load_preset(OWN), dict(label.changed)) == changed
    assert len(label.changed) == len(given_) == len(changed.layer_settings)


def test_the_latest_is_the_last_also_where_it_was_said_before() -> None:
    changed = settings("bits@stem=3", "bits@*=4", "bits@stem=5")
    assert [own.name for own in changed.layer_settings] == ["sizes.bits@*", "sizes.bits@stem"]
    assert resolved(changed)["stem"].sizes.bits == 5
    base = to_toml(settings("bits@stem=3", "bits@*=4"))
    assert resolved(override(parse_preset(base, OWN), ["bits@stem=6"]))["stem"].sizes.bits == 6


def test_a_preset_that_extends_another_has_the_last_word(tmp_path: Any) -> None:
    base, mine = tmp_path / "base.toml", tmp_path / "mine.toml"
    base.write_text(
        to_toml(settings("bits@stem=3", "bits@*=4")).replace('"sample"\ntitle', '"base"\ntitle')
    )
    head = '[preset]\nmachine = "sample"\nname = "mine"\nextends = "base.toml"\n'
    mine.write_text(head + f'[sizes]\n"bits@stem" = {{ value = 5, {ORIGIN} }}\n')
    found = resolved(load_preset(OWN, mine))
    assert (found["stem"].sizes.bits, found["a0"].sizes.bits) == (5, 4)


def test_a_preset_of_a_packaged_name_is_that_one_by_layer_too(tmp_path: Any) -> None:
    path = tmp_path / "sample.toml"
    path.write_text(to_toml(settings("bits@stem=3")))
    with pytest.raises(ConfigError, match=r"has another sizes\.bits@stem; give it a name"):
        load_preset(OWN, path)


def test_also_the_order_in_which_the_last_wins_makes_another_preset(tmp_path: Any) -> None:
    packaged, mine = tmp_path / "packaged", tmp_path / "mine.toml"
    packaged.mkdir()
    (packaged / "sample.toml").write_text(to_toml(settings("bits@stem=3", "bits@*=4")))
    entry = dataclasses.replace(OWN, presets=packaged)
    mine.write_text((packaged / "sample.toml").read_text())
    assert load_preset(entry, mine) == load_preset(entry)
    mine.write_text(to_toml(settings("bits@*=4", "bits@stem=3")))
    with pytest.raises(ConfigError, match=r"bears the name .* has another sizes\.bits@"):
        load_preset(entry, mine)


def test_they_stand_in_what_people_read() -> None:
    changed = settings("bits@b*=5", "left_out@stem=true")
    label = PresetLabel.of(changed)
    assert str(label) == "preset sample with sizes.bits@b*=5 layers.left_out@stem=true"
    assert label.to_dict()["settings"] == {"sizes.bits@b*": 5, "layers.left_out@stem": True}
    assert label.digest != PresetLabel.of(settings("bits@b*=6", "left_out@stem=true")).digest
    rows = {row.key: row for row in setting_rows(changed)}
    assert rows["sizes.bits@b*"].value == "5"
    assert rows["sizes.bits@b*"].meaning == rows["sizes.bits"].meaning
    assert describe(changed).splitlines()[-1].split()[:2] == ["layers.left_out@stem", "true"]
    assert "layers" not in tomllib.loads(to_toml(settings()))  # nothing is said of layers


def test_which_may_be_given_is_told() -> None:
    keys = ["sizes.bits", "timing.mode", "timing.doubled", "layers.left_out", "layers.repeats"]
    assert list(keys_by_layer(OwnSettings)) == keys
    assert not keys_by_layer(SampleSettings)
    properties = json_schema(OWN)["properties"]
    sizes, own = properties["sizes"], properties["layers"]
    assert sizes["patternProperties"] == {"^bits@.+$": sizes["properties"]["bits"]}
    assert own["required"] == [] and own["properties"] == {}
    assert list(own["patternProperties"]) == ["^left_out@.+$", "^repeats@.+$"]
    assert "layers" not in json_schema(OWN)["required"]
    assert "patternProperties" not in json_schema(SAMPLE)["properties"]["sizes"]


# What is refused.


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("rows@stem=5", "--set 'rows@stem=5': sizes.rows is one for all layers; those that may be "
         "given by layer are sizes.bits, timing.mode, timing.doubled, layers.left_out"),
        ("timing.clock_ghz@*=1", "timing.clock_ghz is one for all layers"),
        ("bit@stem=5", "unknown key 'bit'; did you mean 'sizes.bits'?"),
        ("bits@=5", "need sizes.bits@LAYERS with a layer's name or a pattern, got none"),
        ("bits@stem=", "need part.key=value"),
        ("bits@stem", "need part.key=value"),
        ("bits@stem=0", "--set: sizes.bits@stem: Input should be greater than or equal to 1, got"),
        ("bits@stem=big", "sizes.bits@stem: Input should be a valid integer, got 'big'"),
        ("mode@stem=quick", "timing.mode@stem: Input should be 'slow' or 'fast', got 'quick'"),
        ("left_out@stem=1", "layers.left_out@stem: Input should be a valid boolean, got 1"),
        ("left_out=true", "layers.left_out is given by layer; use `--set layers.left_out@LAYERS="),
        ("layers.repeats=2", "layers.repeats is given by layer"),
    ],
)  # fmt: skip
def test_a_wrong_one_is_refused(change: str, said: str) -> None:
    with pytest.raises(ConfigError) as error:
        settings(change)
    assert said in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ("[sizes]\n'rows@stem' = ", "mine: sizes.rows is one for all layers"),
        ("[sizes]\n'bits@' = ", "mine: need sizes.bits@LAYERS"),
        ("[sizes]\n'@stem' = ", "mine: unknown key sizes.@stem"),
        ("[layers]\nleft_out = ", "mine: layers.left_out is given by layer"),
        ("[layers]\n'skipped@stem' = ", "mine: unknown key layers.skipped@stem"),
        ("[sizes]\n'bits@stem' = ", "mine: sizes.bits@stem: Input should be a valid integer"),
    ],
)
def test_a_wrong_one_in_a_preset_is_refused(table: str, said: str) -> None:
    head = '[preset]\nmachine = "sample"\nname = "mine"\nextends = "sample"\n'
    with pytest.raises(ConfigError) as error:
        parse_preset(f"{head}{table}{{ value = true, {ORIGIN} }}\n", OWN, where="mine")
    assert said in str(error.value)


def test_a_machine_without_any_says_so() -> None:
    with pytest.raises(ConfigError, match=r"sizes\.bits is one for all layers, as is all that"):
        override(load_preset(SAMPLE), ["bits@stem=5"])


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (["bits@block3.*=5"], "sizes.bits@block3.*: need the name of a layer, or a pattern of "
         "names, got one that fits no layer; the closest are 'block"),
        (["bits@pool=5"], "sizes.bits@pool: need a layer of kind conv2d or linear, got 'pool' "
         "(max_pool2d); name another"),
        (["bits@st\nem=5"], "'sizes.bits@st\\nem': need the name"),
        (["bits=4", "rows=20", "bits@stem=21"], "layer 0 'stem' (conv2d): sizes: bits must fit the "
         "rows: 21 of 20; it has sizes.bits@stem of its own"),
        (["doubled@stem=true"], "timing.doubled@stem: nothing uses it but timing.mode=fast; set"),
        (["doubled=true", "bits@stem=5"], "timing.doubled: nothing uses it but timing.mode=fast"),
    ],
)  # fmt: skip
def test_what_does_not_go_with_the_layers_is_refused(changes: list[str], said: str) -> None:
    with pytest.raises(ConfigError) as error:
        resolved(settings(*changes))
    assert said in str(error.value) and "\n" not in str(error.value)


def test_what_one_layer_uses_is_used() -> None:
    found = resolved(settings("doubled=true", "doubled@block*=false", "mode@block1.*=fast"))
    assert own_label(found["block1.conv1"]) == "timing.mode=fast timing.doubled=false"
    assert own_label(found["block2.conv1"]) == ""  # what it has changes nothing there


def test_a_remedy_wins_over_what_the_layer_has() -> None:
    own = resolved(settings("bits@block1.*=5"))
    said = "use `--set sizes.bits=9` or `--set sizes.rows=3`"
    for name, expected in (("block1.conv1", said.replace("bits=", "bits@block1.*=")), ("a0", said)):
        with pytest.raises(MappingError) as error, remedies_by_layer(own[name]):
            raise MappingError(said)
        assert str(error.value) == expected


# Records of machines.


def test_a_part_names_keys_that_it_has() -> None:
    class Wrong(SizeSettings):
        """A part."""

        @classmethod
        def by_layer(cls) -> tuple[str, ...]:
            return ("bitz",)

    class WrongSettings(SampleSettings):
        """Settings."""

        sizes: Wrong

    with pytest.raises(ConfigError, match=r"sizes\.bitz may be given by layer, but is none"):
        dataclasses.replace(SAMPLE, settings=WrongSettings)


def test_what_is_given_by_layer_only_has_a_default_and_a_meaning() -> None:
    def entry(part: Any, **given_: Any) -> Any:
        spaces = {"__annotations__": {"layers": part}, "__module__": __name__, **given_}
        return dataclasses.replace(SAMPLE, settings=type("Odd", (SampleSettings,), spaces))

    class NoDefault(LayerPart):
        """A part."""

        left_out: bool = Field(description="it takes no part")

    class NoMeaning(LayerPart):
        """A part."""

        left_out: bool = False

    class Inner(Part):
        """A table."""

    class Nested(LayerPart):
        """A part."""

        inner: Inner = Field(default=Inner(), description="a table")

    with pytest.raises(ConfigError, match=r"layers is given by layer only, so it needs a default"):
        entry(OwnLayers)
    with pytest.raises(ConfigError, match=r"layers\.left_out is given by layer only, so it needs"):
        entry(NoDefault, layers=NoDefault.model_construct())
    with pytest.raises(ConfigError, match=r"layers\.left_out has no description"):
        entry(NoMeaning, layers=NoMeaning())
    with pytest.raises(ConfigError, match=r"layers\.inner is a table; values lie one table deep"):
        entry(Nested, layers=Nested())
