"""Machines by name: known, unknown, and settings changed on the way."""

from dataclasses import replace

import pytest

from bitpim.cost.tables import list_price_tables
from bitpim.errors import ConfigError
from bitpim.machine import DEFAULT_MACHINE, registry
from tests.fakes import RefereeMachine


@pytest.fixture
def recorded(monkeypatch: pytest.MonkeyPatch) -> None:
    entry = replace(registry.entry_of("neural_cache"), make=RefereeMachine)
    monkeypatch.setattr(registry, "entry_of", lambda name: entry)


def test_unknown_machine_suggests_the_nearest() -> None:
    for ask in (registry.make_machine, registry.prices_of):
        with pytest.raises(ConfigError, match=r"'neural_cash'; did you mean 'neural_cache'\?"):
            ask("neural_cash")


def test_unknown_machine_far_from_all_lists_them() -> None:
    with pytest.raises(ConfigError, match=r"known: .*neural_cache"):
        registry.make_machine("zzz")


@pytest.mark.usefixtures("recorded")
def test_assignments_reach_the_settings() -> None:
    plain = registry.make_machine("neural_cache")
    changed = registry.make_machine("neural_cache", None, ["geometry.array_rows=128"])
    assert (plain.settings.geometry.array_rows, changed.settings.geometry.array_rows) == (256, 128)
    assert changed.settings.origin("geometry.array_rows").source == "set by hand"


@pytest.mark.usefixtures("recorded")
def test_unknown_preset_and_key_are_config_errors() -> None:
    with pytest.raises(ConfigError, match="did you mean"):
        registry.make_machine("neural_cache", "neural_cach")
    with pytest.raises(ConfigError, match="unknown key"):
        registry.make_machine("neural_cache", None, ["geometry.rows=1"])


@pytest.mark.parametrize(
    ("assigned", "user"),
    [
        (["converter.adc_full_scale=9"], "converter.adc_range=given"),
        (["converter.calibration_samples=3"], "converter.adc_range=calibrated"),
        (["converter.calibration_coverage=0.5", "converter.adc_model=round"], "calibrated"),
        (
            ["converter.adc_model=exact", "converter.adc_bits=3"],
            "another converter.adc_model than exact",
        ),
    ],
)
def test_a_setting_that_nothing_would_use_is_an_error(assigned: list[str], user: str) -> None:
    for name in ("dense_crossbar", "isaac", "sre", "pattern_crossbar"):
        with pytest.raises(ConfigError, match=f"nothing uses it but .*{user}; set that too"):
            registry.make_machine(name, None, assigned)
    used = ["converter.adc_model=round", "converter.adc_range=given", "converter.adc_full_scale=9"]
    assert registry.make_machine("sre", None, used).settings.converter.adc_full_scale == 9


def test_prices_for_a_result_are_found_where_its_machine_is_not() -> None:
    for machine in ("neural_cache", "gone"):
        assert registry.prices_for_result(machine, "isaac").name == "isaac"
        with pytest.raises(ConfigError, match="unknown price table 'isaak'; did you mean 'isaac'"):
            registry.prices_for_result(machine, "isaak")


def test_the_machine_of_the_commands_is_a_registered_one() -> None:
    assert DEFAULT_MACHINE in registry.machine_names()


def test_every_machine_bears_its_name_and_has_prices_and_a_wing() -> None:
    for name in registry.machine_names():
        entry = registry.entry_of(name)
        assert entry.name == name
        assert registry.prices_of(name).name == entry.prices
        assert entry.prices in list_price_tables()
        assert entry.wing in ("bitpim.sram", "bitpim.crossbar", "bitpim.lookup")
