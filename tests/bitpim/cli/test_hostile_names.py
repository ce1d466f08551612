"""What files call things reaches the terminal as text: no escape, no markup, no line of its own."""

from dataclasses import replace
from pathlib import Path

import pytest

from bitpim.config import override
from bitpim.config.presets import to_toml
from bitpim.machine.registry import load_preset, prices_of
from bitpim_traces import write_trace
from tests.bitpim.cli.conftest import Run
from tests.strategies import small_trace

MARKUP = "[red]a[/nope]{x}$x$\\"
"""A trace may bear it: its format refuses names that cannot be printed."""

NAME = f"\x1b[31m{MARKUP}\x07\u202e"
SHOWN = rf"\x1b[31m{MARKUP}\x07\u202e"


@pytest.fixture
def named(tmp_path: Path) -> Path:
    trace = small_trace(9, kinds=["conv2d", "flatten", "linear"], n_samples=2, bits=(8, 8))
    layers = tuple(replace(layer, name=f"{MARKUP}{layer.index}") for layer in trace.layers)
    notes = {**trace.provenance, "parameters": {"note": NAME}}
    named = replace(trace, name=MARKUP, layers=layers, provenance=notes)
    samples = replace(named.samples, dataset=MARKUP)
    write_trace(replace(named, samples=samples), tmp_path / "net.h5")
    return tmp_path / "net.h5"


def test_names_are_printed_as_text(bitpim: Run, named: Path, tmp_path: Path) -> None:
    preset, prices = tmp_path / "mine.toml", tmp_path / "prices.toml"
    settings = override(load_preset("isaac"), {"adc_bits": 9})
    changed = settings.model_copy(update={"name": NAME, "title": NAME})
    preset.write_text(to_toml(changed), "utf-8")
    table = prices_of("isaac").model_copy(update={"name": NAME, "title": NAME, "technology": NAME})
    prices.write_text(table.to_toml(), "utf-8")
    on = ("-m", "isaac", "-p", preset)
    out = tmp_path / "r.h5"
    shown = [
        ("trace", "info", named),
        ("trace", "check", named, "--deep"),
        ("plan", named, *on),
        ("replay", named, *on, "--prices", prices, "-o", out, "--fidelity", "integer"),
        ("report", out),
        ("report", out, "--csv"),
        ("verify", named, out),
        ("compare", out, out),
        ("cost", out, "--sensitivity"),
        ("config", "show", "isaac", "-p", preset),
        ("demo", named),
    ]
    assert SHOWN in bitpim("plan", named, *on)[1]
    for command in shown:
        code, text, err = bitpim(*command)
        assert (code, err) == (0, ""), command
        assert all(line.isprintable() for line in text.splitlines()), command
        assert MARKUP in text or command[0] == "compare" or "check" in command, command
    for command in (
        ("plan", named, "-m", "isaac", "--plot", tmp_path / "p.png", "--layer", NAME),
        ("replay", named, "-m", "isaac", "-o", tmp_path / "s.h5", "--layers", NAME),
        ("presets", NAME),
        ("prices", NAME),
        ("report", tmp_path / f"{NAME}.h5"),
        ("compare", out, tmp_path / f"{NAME}.h5"),
    ):
        code, text, err = bitpim(*command)
        assert code == 3 and err.count("\n") == 1 and err.rstrip("\n").isprintable(), command
    bitpim("report", out, "--plot", tmp_path / "r.svg")
    drawn = (tmp_path / "r.svg").read_text("utf-8")
    assert "\x1b" not in drawn and "\u202e" not in drawn


def test_a_bar_shows_names_as_they_are(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from bitpim.cli.progress import watched
    from bitpim.run import Progress

    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    with watched(NAME) as told:
        assert told is not None
        told(Progress(NAME, 0, 1, 0.5))
    assert "Traceback" not in capsys.readouterr().err
