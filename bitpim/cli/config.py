"""`bitpim config`: the settings of a machine, and where each number comes from."""

from typing import Annotated

import typer

from bitpim.cli.completion import machines
from bitpim.cli.options import Assignments, Json, Preset
from bitpim.machine import DEFAULT_MACHINE
from bitpim.report.text import as_json, printable

__all__ = ["app"]

app = typer.Typer(help="Settings of the machines and their origins.", no_args_is_help=True)

Machine = Annotated[
    str,
    typer.Argument(
        metavar="MACHINE",
        help=f"Machine, such as {DEFAULT_MACHINE}.",
        autocompletion=machines,
    ),
]


@app.command()
def default(machine: Machine = DEFAULT_MACHINE, json: Json = False) -> None:
    """Print the default preset as a TOML file to start from."""
    from bitpim.machine.registry import default_text

    text = default_text(machine)
    typer.echo(as_json({"machine": machine, "text": text}) if json else text, nl=json)


@app.command()
def schema(machine: Machine = DEFAULT_MACHINE, json: Json = False) -> None:
    """Print the JSON schema of a machine's presets (always JSON)."""
    from bitpim.machine.registry import json_schema

    typer.echo(as_json(json_schema(machine)))


@app.command()
def show(
    machine: Machine = DEFAULT_MACHINE,
    preset: Preset = None,
    assignments: Assignments = None,
    json: Json = False,
) -> None:
    """Show every setting with its value, source, confidence and meaning."""
    from bitpim.config import PresetLabel, describe, keys_by_layer, override, setting_rows
    from bitpim.machine.registry import list_presets, load_preset

    settings = override(load_preset(machine, preset), assignments or [])
    label, by_layer = PresetLabel.of(settings), keys_by_layer(type(settings))
    if json:
        rows = [row._asdict() for row in setting_rows(settings)]
        names = {"machine": machine, **label.to_dict(), "title": settings.title}
        also = {"by_layer": list(by_layer), "presets": list_presets(machine)}
        typer.echo(as_json({**names, **also, "rows": rows}))
        return
    typer.echo(printable(f"{machine}, {label}: {settings.title}"))
    typer.echo("\n".join(map(printable, describe(settings).splitlines())) + "\n")
    if by_layer:
        typer.echo(f"by layer, as KEY@LAYERS, too: {', '.join(by_layer)}")
    typer.echo(f"presets of {machine}: {', '.join(list_presets(machine))}")
