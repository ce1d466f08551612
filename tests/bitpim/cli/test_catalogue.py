"""`bitpim machines`, `presets` and `prices`: all there is, and each as TOML that reads back."""

from pathlib import Path
from typing import Any

import pytest
import typer.main

from bitpim.cli.app import app
from bitpim.cost.tables import load_prices, parse_prices
from bitpim.machine.registry import (
    list_presets,
    load_preset,
    machine_names,
    parse_preset,
    presets_of,
    price_tables,
)
from tests.bitpim.cli.conftest import Run

PRESETS = [(machine, preset) for machine, names in presets_of().items() for preset in names]


def test_machines(bitpim: Run, bitpim_json: Any) -> None:
    code, out, err = bitpim("machines")
    assert (code, err) == (0, "")
    rows = bitpim_json("machines")["machines"]
    assert [row["machine"] for row in rows] == list(machine_names())
    for row in rows:
        assert row["presets"] == list(list_presets(row["machine"]))
        assert row["prices"] in price_tables()
        line = next(line for line in out.splitlines() if line.startswith(f"{row['machine']} "))
        assert row["title"] in line and row["prices"] in line and ", ".join(row["presets"]) in line


def test_presets(bitpim: Run, bitpim_json: Any) -> None:
    out = bitpim("presets")[1]
    rows = bitpim_json("presets")
    assert [(row["machine"], row["preset"]) for row in rows] == PRESETS
    assert len(out.splitlines()) == len(rows) + 1
    some = bitpim_json("presets", "--machine", "isaac")
    assert [row["preset"] for row in some] == list(list_presets("isaac"))


@pytest.mark.parametrize(("machine", "preset"), PRESETS)
def test_every_preset_prints_as_toml(
    bitpim: Run, bitpim_json: Any, tmp_path: Path, machine: str, preset: str
) -> None:
    code, text, err = bitpim("presets", preset)
    assert (code, err) == (0, "")
    assert parse_preset(text) == load_preset(machine, preset)
    assert bitpim_json("presets", preset)["text"] == text
    (tmp_path / "mine.toml").write_text(text, "utf-8")
    assert bitpim("presets", tmp_path / "mine.toml")[1] == text


@pytest.mark.parametrize("name", price_tables())
def test_every_price_table_prints_as_toml(bitpim: Run, bitpim_json: Any, name: str) -> None:
    code, text, err = bitpim("prices", name)
    assert (code, err) == (0, "")
    assert parse_prices(text) == load_prices(name)
    assert bitpim_json("prices", name) == {"prices": name, "text": text}


def test_prices(bitpim: Run, bitpim_json: Any) -> None:
    rows = bitpim_json("prices")
    assert [row["prices"] for row in rows] == list(price_tables())
    assert all(row["title"] in bitpim("prices")[1] for row in rows)


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["presets", "isac"], 3, "unknown preset 'isac'; did you mean 'isaac'"),
        (["presets", "isaac", "--machine", "sre"], 3, "unknown preset 'isaac' of machine 'sre'"),
        (["presets", "--machine", "isac"], 3, "unknown machine 'isac'"),
        (["presets", "isaac", "--set", "adc_bits=0"], 3, "converter.adc_bits"),
        (["presets", "--set", "adc_bits=4"], 2, "name a preset"),
        (["presets", "gone.toml"], 3, "gone.toml: cannot be read"),
        (["prices", "isac"], 3, "unknown price table 'isac'; did you mean 'isaac'"),
        (["prices", "gone.toml"], 3, "gone.toml: cannot be read"),
    ],
)
def test_a_wrong_name_is_one_line(bitpim: Run, arguments: list[str], code: int, said: str) -> None:
    got, out, err = bitpim(*arguments)
    assert (got, out, err.count("\n")) == (code, "", 1) and said in err


def commands(group: Any, path: tuple[str, ...] = ()) -> dict[tuple[str, ...], Any]:
    """Every command that runs something, by the words that call it."""
    if not hasattr(group, "commands"):
        return {path: group}
    return {
        words: command
        for name, below in group.commands.items()
        for words, command in commands(below, (*path, name)).items()
    }


def test_every_command_has_json() -> None:
    found = commands(typer.main.get_command(app))
    lacking = {
        words
        for words, command in found.items()
        if not any("--json" in parameter.opts for parameter in command.params)
    }
    assert len(found) > 15 and lacking == set()


def test_no_help_has_brackets_that_are_taken_for_a_style() -> None:
    """They would not be shown; what is said of a default in words is `show_default`."""
    for words, command in commands(typer.main.get_command(app)).items():
        for parameter in command.params:
            assert "[" not in (getattr(parameter, "help", None) or ""), (words, parameter.name)
