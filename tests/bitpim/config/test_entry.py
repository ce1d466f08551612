"""The record of a machine: what its settings and folders must be."""

from functools import partial
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel, Field

from bitpim.config import MachineEntry, Part, Settings, list_presets, toml_files
from bitpim.errors import ConfigError
from bitpim.sram.settings import CacheSettings
from tests.bitpim.config.sample import SAMPLE, SampleSettings


def entry(**changed: Any) -> MachineEntry:
    given: dict[str, Any] = {
        "name": "m",
        "settings": SampleSettings,
        "make": lambda settings: settings,
        "prices": "p",
        "wing": "w",
    }
    return MachineEntry(**(given | changed))


def settings_of(kind: Any, field: Any = ...) -> type[Settings]:
    """Make a model with one part of one setting."""
    part = type("SizePart", (Part,), {"__annotations__": {"rows": kind}, "rows": field})
    return type("Own", (Settings,), {"__annotations__": {"size": part}})


def test_presets_and_prices_are_bitpims_own_unless_said_otherwise() -> None:
    own = entry()
    assert {"neural_cache", "isaac"} <= set(toml_files(own.presets))
    assert {"yu2020", "isaac"} <= set(toml_files(own.price_tables))
    assert (own.package, list_presets(own)) == ("tests", ())
    for make in (toml_files, partial(toml_files)):
        assert (entry(make=make).package, entry(settings=CacheSettings).package) == (
            *("bitpim", "tests"),
        )
    assert list_presets(SAMPLE) == ("sample", "sample_large")


@pytest.mark.parametrize(
    ("model", "said"),
    [
        (dict, "need settings that are a subclass of bitpim.config.Settings, got <class 'dict'>"),
        (SampleSettings.model_construct(), "need settings that are a subclass"),
        (BaseModel, "need settings that are a subclass"),
        (settings_of(int, Field(3, description="x")), "size.rows has a default, so nothing"),
        (settings_of(int, Field(default_factory=int, description="x")), "size.rows has a default"),
        (settings_of(int, Field()), "size.rows has no description"),
        (settings_of(Part, Field(description="x")), "size.rows is a table"),
        (type("Own", (Settings,), {"__annotations__": {"rows": int}}), "rows lies outside the"),
        (type("Own", (Settings,), {"__annotations__": {"rows": Part}, "rows": Part()}), "default"),
    ],
)
def test_settings_that_are_no_model_of_presets_are_refused(model: Any, said: str) -> None:
    with pytest.raises(ConfigError) as error:
        entry(settings=model)
    assert said in str(error.value) and "machine 'm'" in str(error.value)
    assert "\n" not in str(error.value)


def test_settings_that_are_a_model_of_presets_are_accepted() -> None:
    assert entry(settings=settings_of(int, Field(description="x"))).name == "m"
    assert entry(settings=settings_of(float | None, Field(description="x"))).name == "m"


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    gone = tmp_path / "gone"
    with pytest.raises(ConfigError, match=r"gone: need a folder of \.toml files, got none"):
        list_presets(entry(presets=gone))


@pytest.mark.parametrize(("text", "said"), [("x = [", "not TOML"), ("", "needs a [preset] table")])
def test_a_packaged_preset_that_is_none_is_named(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "bad.toml").write_text(text, "utf-8")
    with pytest.raises(ConfigError) as error:
        list_presets(entry(presets=tmp_path))
    assert str(error.value).startswith("preset bad of package tests: ") and said in str(error.value)
