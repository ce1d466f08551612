"""`bitpim plan`: how a network lies on a machine, without running it."""

from pathlib import Path
from typing import Annotated

import typer

from bitpim.cli.options import Assignments, Json, MachineName, Preset, TraceName, opened_trace
from bitpim.report.text import as_json

__all__ = ["plan"]


def plan(
    trace: TraceName,
    machine: MachineName,
    preset: Preset = None,
    assignments: Assignments = None,
    json: Json = False,
    plot: Annotated[
        Path | None,
        typer.Option(
            "--plot",
            metavar="FILE",
            help="Also draw which weights sit where in each crossbar, as a .png, .svg or .pdf.",
        ),
    ] = None,
    layer: Annotated[
        str | None,
        typer.Option(
            "--layer",
            metavar="NAME|INDEX",
            help="Layer to draw; the one on most crossbars by default.",
        ),
    ] = None,
) -> None:
    """Show the arrays, passes, utilization and cycles of each layer, and where its weights lie."""
    from bitpim import face

    if layer is not None and plot is None:
        raise typer.BadParameter(
            "name a file to draw the layer in with --plot", param_hint="--layer"
        )
    if plot is not None and plot.exists() and Path(trace).exists() and plot.samefile(trace):
        raise typer.BadParameter("need another file than the trace", param_hint="--plot")
    with opened_trace(trace) as opened:
        planned = face.plan(opened, machine, preset=preset, settings=assignments or [])
        if plot is not None:
            planned.plot(plot, layer)
    typer.echo(as_json(planned.to_dict()) if json else str(planned))
