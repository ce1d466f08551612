"""`bitpim demo`: the shipped network on a machine, bit by bit, verified."""

import time
from typing import Annotated

import typer

from bitpim.cli.options import Jobs, Json, opened_trace
from bitpim.cli.progress import say_when_compiling, watched
from bitpim.machine import DEFAULT_MACHINE
from bitpim.report.text import as_json, printable, share

__all__ = ["HELP", "demo"]

HELP = f"Replay the shipped network on {DEFAULT_MACHINE}, bit by bit, and verify it."


def demo(
    trace: Annotated[
        str | None, typer.Argument(metavar="[TRACE]", help="Another trace than the shipped one.")
    ] = None,
    jobs: Jobs = None,
    json: Json = False,
) -> None:
    """Replay the shipped network on the default machine, bit by bit, and verify it."""
    from bitpim import face
    from bitpim.report.summary import result_lines
    from bitpim.sample import sample_path

    began = time.monotonic()
    name = str(sample_path()) if trace is None else trace
    say_when_compiling()
    with opened_trace(name) as opened:
        with watched(f"{opened.name} on {DEFAULT_MACHINE}") as progress:
            result = face.replay(opened, DEFAULT_MACHINE, jobs=jobs, progress=progress)
        with watched(f"verifying {opened.name}") as progress:
            report = face.verify(opened, result, progress=progress)
    if json:
        typer.echo(as_json({**result.to_dict(), "verified": report.to_dict()}))
        report.require_equal()
        return
    n_equal = sum(layer.equal for layer in report.layers)
    lines = [
        f"{opened.name}, {opened.n_samples} samples, on {DEFAULT_MACHINE}: every array step on "
        "packed bits",
        "",
        *result_lines(result),
        f"exactness   {'L0' if report.equal else 'NOT L0'}: {share(n_equal, len(report.layers))} "
        "layers equal the integer referee, bit for bit",
        "",
        f"done in {time.monotonic() - began:.1f} s",
    ]
    typer.echo("\n".join(map(printable, lines)))
    report.require_equal()
