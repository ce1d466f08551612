"""`bitpim report`: what a run took and how exact it was, as text, CSV, JSON or figures."""

from pathlib import Path
from typing import Annotated

import typer

from bitpim.cli.options import Json
from bitpim.report.text import as_json

__all__ = ["ResultPath", "report"]

ResultPath = Annotated[Path, typer.Argument(metavar="RESULT", help="Result file.")]


def report(
    result: ResultPath,
    csv: Annotated[bool, typer.Option("--csv", help="Print one line a layer, by commas.")] = False,
    json: Json = False,
    plot: Annotated[
        Path | None,
        typer.Option("--plot", metavar="FILE", help="Also draw a .png, .svg or .pdf."),
    ] = None,
) -> None:
    """Show cycles, energy, utilization and error figures of each layer."""
    from bitpim.report.result_file import open_result
    from bitpim.report.tables import as_csv, as_text

    if csv and json:
        raise typer.BadParameter("choose one of --csv and --json", param_hint="--csv")
    opened = open_result(result)
    if plot is not None and plot.exists() and plot.samefile(result):
        raise typer.BadParameter("need another file than the result", param_hint="--plot")
    if plot is not None:
        from bitpim.report.plots import plot_result

        plot_result(opened, plot)
    if json:
        typer.echo(as_json(opened.to_dict()))
    elif csv:
        typer.echo(as_csv(opened), nl=False)
    else:
        typer.echo(as_text(opened), nl=False)
