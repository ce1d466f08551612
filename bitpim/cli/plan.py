"""`bitpim plan`: how a network lies on a machine, without running it."""

from typing import Any

import typer

from bitpim.cli.options import Assignments, Json, MachineName, Preset, TraceName, opened_trace
from bitpim.cli.text import as_json, columns

__all__ = ["plan"]


def plan(
    trace: TraceName,
    machine: MachineName,
    preset: Preset = None,
    assignments: Assignments = None,
    json: Json = False,
) -> None:
    """Show the arrays, lanes, passes, utilization and cycles of each layer."""
    from bitpim.machines.registry import make_machine

    maker = make_machine(machine, preset, assignments or [])
    with opened_trace(trace) as opened:
        rows = maker.plan(opened).table()
        title = f"{opened.name} on {machine}, preset {maker.settings.name}"
    if json:
        typer.echo(as_json({"machine": machine, "preset": maker.settings.name, "layers": rows}))
        return
    typer.echo(f"{title}; cycles of one sample, by phase\n")
    typer.echo(plan_table(rows))


def plan_table(rows: list[dict[str, Any]]) -> str:
    """Align the rows of a plan: scalars first, then one column for the cycles of each phase."""
    scalars = [key for key in rows[0] if not isinstance(rows[0][key], dict)]
    phases = list(dict.fromkeys(phase for row in rows for phase in row["cycles"]))
    table = [
        [100 * row[key] if key == "utilization" else row[key] for key in scalars]
        + [row["cycles"].get(phase) for phase in phases]
        + [sum(row["cycles"].values())]
        for row in rows
    ]
    sums = [sum(row["cycles"].get(phase, 0) for row in rows) for phase in phases]
    foot = ["", "all", *[""] * (len(scalars) - 2), *sums, sum(sums)]
    names = ["utilization %" if key == "utilization" else key for key in scalars]
    head = [*names, *(phase.replace("_", " ") for phase in phases), "cycles"]
    return columns(head, [*table, foot])
