"""`bitpim replay`: a trace through a machine, into a result file."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from bitpim.cli.completion import price_tables
from bitpim.cli.options import (
    Assignments,
    Fidelity,
    FidelityOption,
    Jobs,
    Json,
    Layers,
    MachineName,
    Preset,
    SampleRange,
    TraceName,
    n_jobs,
    opened_trace,
)
from bitpim.cli.progress import say_when_compiling, watched
from bitpim.cli.summary import result_lines, summary, title
from bitpim.cli.text import as_json

__all__ = ["Prices", "replay"]

Prices = Annotated[
    str | None,
    typer.Option(
        "--prices",
        help="Price table: packaged, a .toml, or none. The machine's own.",
        autocompletion=price_tables,
    ),
]


def replay(
    trace: TraceName,
    machine: MachineName,
    output: Annotated[Path, typer.Option("-o", "--output", help="Result file to write.")],
    preset: Preset = None,
    assignments: Assignments = None,
    fidelity: FidelityOption = Fidelity.bit,
    samples: SampleRange = ":",
    layers: Layers = None,
    batch: Annotated[
        int | None, typer.Option("--batch", min=1, help="Samples that run together.")
    ] = None,
    jobs: Jobs = None,
    prices: Prices = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with a run that died.")] = False,
    json: Json = False,
) -> None:
    """Run a trace on a machine and write what came out and what it took."""
    from bitpim.machines.registry import make_machine, prices_of
    from bitpim.replay import parse_layers, parse_samples
    from bitpim.replay import replay as run
    from bitpim.report.result_file import open_result

    maker = make_machine(machine, preset, assignments or [])
    table = None if prices == "none" else prices_of(machine, prices)
    wanted = parse_samples(samples)
    with opened_trace(trace) as opened:
        kept = None if layers is None else parse_layers(opened, layers)
        say_when_compiling()
        try:
            with watched(f"{opened.name} on {machine}") as progress:
                run(
                    opened,
                    maker,
                    output,
                    fidelity=fidelity.value,
                    samples=wanted,
                    layers=kept,
                    jobs=n_jobs(jobs),
                    resume=resume,
                    batch=batch,
                    prices=table,
                    progress=progress,
                )
        except KeyboardInterrupt:
            note = f"{output}.part keeps what was finished, --resume goes on"
            sys.stderr.write(f"bitpim: interrupted; {note}\n")
            raise SystemExit(130) from None
    result = open_result(output)
    if json:
        typer.echo(as_json({"result": str(output), **summary(result)}))
    else:
        typer.echo("\n".join([f"{output}: {title(result)}", *result_lines(result)]))
