"""`bitpim machines`, `presets` and `prices`: what there is, and each as TOML."""

from typing import Annotated

import typer

from bitpim.cli import completion
from bitpim.cli.options import Assignments, Json
from bitpim.report.text import as_json, columns, printable

__all__ = ["machines", "presets", "prices"]

MachineFilter = Annotated[
    str | None,
    typer.Option(
        "--machine", "-m", help="Of this machine only.", autocompletion=completion.machines
    ),
]


def machines(json: Json = False) -> None:
    """List the machines, with their presets and price tables."""
    from bitpim.errors import ConfigError
    from bitpim.machine.registry import entry_of, list_presets, load_preset, machine_names

    rows, faults = [], []
    for name in machine_names():
        try:
            entry, title = entry_of(name), load_preset(name).title
            presets = list(list_presets(name))
        except ConfigError as error:
            faults.append({"machine": name, "fault": str(error)})
            continue
        found = {"machine": name, "title": title, "prices": entry.prices, "presets": presets}
        rows.append(found | {"wing": entry.wing, "package": entry.package})
    if json:
        typer.echo(as_json({"machines": rows, "faults": faults}))
        return
    table = [
        [row["machine"], row["title"], row["prices"], ", ".join(row["presets"])] for row in rows
    ]
    typer.echo(columns(["machine", "what it is", "prices", "presets"], table))
    for fault in faults:
        typer.echo(printable(f"{fault['machine']}: {fault['fault']}"), err=True)


def presets(
    name: Annotated[
        str | None,
        typer.Argument(
            metavar="[NAME]",
            help="Packaged preset, or a .toml, to print whole.",
            autocompletion=completion.presets,
        ),
    ] = None,
    machine: MachineFilter = None,
    assignments: Assignments = None,
    json: Json = False,
) -> None:
    """List the presets, or print one as complete TOML to start one's own from."""
    from bitpim.config import PresetLabel, override, to_toml
    from bitpim.machine.registry import any_preset, list_presets, load_preset, presets_of

    if name is not None:
        settings = override(any_preset(name, machine), assignments or [])
        text = to_toml(settings)
        content = {"machine": settings.machine, **PresetLabel.of(settings).to_dict()}
        typer.echo(as_json({**content, "text": text}) if json else text, nl=json)
        return
    if assignments:
        raise typer.BadParameter("name a preset whose settings are changed", param_hint="--set")
    known = presets_of() if machine is None else {machine: list_presets(machine)}
    rows = [(preset, of, load_preset(of, preset).title) for of in known for preset in known[of]]
    if json:
        names = ("preset", "machine", "title")
        typer.echo(as_json([dict(zip(names, row, strict=True)) for row in rows]))
        return
    typer.echo(columns(["preset", "machine", "what it is"], rows))


def prices(
    name: Annotated[
        str | None,
        typer.Argument(
            metavar="[NAME]",
            help="Packaged price table, or a .toml, to print whole.",
            autocompletion=completion.price_tables,
        ),
    ] = None,
    json: Json = False,
) -> None:
    """List the price tables, or print one as TOML to start one's own from."""
    from bitpim.machine.registry import any_prices, price_tables

    if name is not None:
        table = any_prices(name)
        text = table.to_toml()
        typer.echo(as_json({"prices": table.name, "text": text}) if json else text, nl=json)
        return
    tables = [any_prices(each) for each in price_tables()]
    rows = [(t.name, len(t.prices), t.technology, t.title) for t in tables]
    if json:
        names = ("prices", "events", "technology", "title")
        typer.echo(as_json([dict(zip(names, row, strict=True)) for row in rows]))
        return
    typer.echo(columns(["prices", "events", "technology", "what it is"], rows))
