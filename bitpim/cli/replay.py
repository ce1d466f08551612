"""`bitpim replay`: a trace through a machine, into a result file."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from bitpim.cli import interrupts
from bitpim.cli.completion import machines, price_tables
from bitpim.cli.options import (
    Assignments,
    Fidelity,
    FidelityOption,
    Jobs,
    Json,
    Layers,
    Memory,
    Preset,
    SampleRange,
    TraceName,
    opened_trace,
)
from bitpim.cli.progress import say_when_compiling, say_when_long, watched
from bitpim.cli.replay_program import replay_file
from bitpim.report.text import as_json

__all__ = ["Prices", "replay"]

AnyMachine = Annotated[
    str | None,
    typer.Option(
        "--machine",
        "-m",
        help="Machine to run a network on; none for a program trace.",
        autocompletion=machines,
    ),
]

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
    machine: AnyMachine = None,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="Result file to write.")
    ] = None,
    preset: Preset = None,
    assignments: Assignments = None,
    fidelity: FidelityOption = Fidelity.bit,
    samples: SampleRange = ":",
    layers: Layers = None,
    batch: Annotated[
        int | None, typer.Option("--batch", min=1, help="Samples that run together.")
    ] = None,
    jobs: Jobs = None,
    memory: Memory = 1.0,
    prices: Prices = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with a run that died.")] = False,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Start anew, whatever an earlier run left.")
    ] = False,
    json: Json = False,
) -> None:
    """Run a trace on a machine and write what came out and what it took.

    A program trace, as `bitpim record` makes them, runs on its array alone: give no machine.
    """
    from bitpim import face
    from bitpim_traces.file_kind import format_name_of
    from bitpim_traces.program_trace.schema import FORMAT_NAME

    if format_name_of(trace) == FORMAT_NAME:
        _need_nothing_else(machine, output, preset, assignments)
        replay_file(trace, json=json)
        return
    for name, value in (("--machine", machine), ("--output", output)):
        if value is None:
            raise typer.BadParameter("is needed to replay a network", param_hint=name)
    assert machine is not None and output is not None
    with opened_trace(trace) as opened:
        say_when_compiling()
        say_when_long(opened, samples, layers)
        try:
            with watched(f"{opened.name} on {machine}") as progress:
                result = face.replay(
                    opened,
                    machine,
                    output,
                    preset=preset,
                    settings=assignments or [],
                    fidelity=fidelity.value,
                    samples=samples,
                    layers=layers,
                    jobs=jobs,
                    batch=batch,
                    memory_gib=memory,
                    prices=prices,
                    resume=resume,
                    overwrite=overwrite,
                    progress=progress,
                )
        except BaseException as error:
            if not interrupts.is_interrupt(error):
                raise
            note = f"{output}.part keeps what was finished, --resume goes on"
            sys.stderr.write(f"bitpim: {interrupts.words()}; {note}\n")
            raise SystemExit(130) from None
    if json:
        typer.echo(as_json({"result": str(output), **result.to_dict()}))
    else:
        typer.echo(f"{output}: {result}")


def _need_nothing_else(
    machine: str | None, output: Path | None, preset: str | None, assignments: list[str] | None
) -> None:
    """Refuse what a program trace has no use for."""
    given = {"--machine": machine, "--output": output, "--preset": preset, "--set": assignments}
    for name, value in given.items():
        if value:
            raise typer.BadParameter(
                "has no place with a program trace, which runs on its array alone", param_hint=name
            )
