"""`bitpim replay tile.h5`: a program trace, run on its array alone."""

import typer

from bitpim.cli.progress import counted, say_when_compiling
from bitpim.report.text import as_json

__all__ = ["replay_file"]


def replay_file(path: str, *, json: bool) -> None:
    """Run a program trace and say what came of it; raises MismatchError where something differs."""
    from bitpim.golden.replaying import replay_program
    from bitpim_traces.program_trace.reader import open_program

    program = open_program(path)
    say_when_compiling()
    with counted(program.name) as progress:
        run = replay_program(program, progress=progress)
    if json:
        typer.echo(as_json({"program": path, **run.to_dict()}))
    elif run.equal:
        typer.echo(f"{path}: {run}")
    run.require_equal()
