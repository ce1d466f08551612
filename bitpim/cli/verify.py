"""`bitpim verify`: a machine, or what a machine left in a file, against the referee."""

from typing import Annotated

import typer

from bitpim.cli.completion import machines
from bitpim.cli.options import (
    Assignments,
    Fidelity,
    Jobs,
    Json,
    Memory,
    Preset,
    TraceName,
    opened_trace,
)
from bitpim.cli.progress import say_when_compiling, watched
from bitpim.report.text import as_json

__all__ = ["verify"]


def verify(
    trace: TraceName,
    result: Annotated[
        str | None, typer.Argument(metavar="[RESULT]", help="Result file to verify, or a machine.")
    ] = None,
    machine: Annotated[
        str | None,
        typer.Option("--machine", "-m", help="Machine to run and verify.", autocompletion=machines),
    ] = None,
    preset: Preset = None,
    assignments: Assignments = None,
    fidelity: Annotated[
        Fidelity | None,
        typer.Option("--fidelity", help="That of the machine.", show_default="bit"),
    ] = None,
    samples: Annotated[
        str | None,
        typer.Option("--samples", metavar="A:B", help="Samples to run.", show_default="all"),
    ] = None,
    jobs: Jobs = None,
    memory: Memory = 1.0,
    rerun: Annotated[
        bool,
        typer.Option(
            "--rerun/--no-rerun",
            help="Run the machine of a result again, to compare counts and cycles.",
        ),
    ] = True,
    json: Json = False,
) -> None:
    """Compare every layer with the integer referee bit for bit, and with the float network.

    Of a result everything that it states is computed again; what cannot be is named. Exit code 4
    if a code or a figure differs; the first one is named. Where a machine's settings may lose
    something of the exact sums codes do differ, and the last line says so.
    """
    from bitpim import face
    from bitpim.report.result_file import open_result

    if (result is None) == (machine is None):
        raise typer.BadParameter("need either a result file or --machine", param_hint="RESULT")
    with opened_trace(trace) as opened:
        what = open_result(str(result)) if machine is None else machine
        say_when_compiling()
        with watched(f"verifying {opened.name}") as progress:
            report = face.verify(
                opened,
                what,
                preset=preset,
                settings=assignments or [],
                fidelity=None if fidelity is None else fidelity.value,
                samples=samples,
                jobs=jobs,
                memory_gib=memory,
                rerun=rerun,
                progress=progress,
            )
    typer.echo(as_json(report.to_dict()) if json else str(report))
    report.require_equal()
