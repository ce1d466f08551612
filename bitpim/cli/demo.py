"""`bitpim demo`: the shipped network on a machine, bit by bit, verified."""

import time
from importlib import metadata
from pathlib import Path
from typing import Annotated

import typer

from bitpim.cli.options import Jobs, Json, opened_trace
from bitpim.cli.progress import say_when_compiling, watched
from bitpim.machine import DEFAULT_MACHINE
from bitpim.report.text import as_json, share

__all__ = ["HELP", "demo", "sample_path"]

SAMPLE = "samples/v1.0/mnist_cnn.h5"
HELP = f"Replay the shipped network on {DEFAULT_MACHINE}, bit by bit, and verify it."


def sample_path() -> Path:
    """Return the shipped trace: in the checkout, or where the wheel put it.

    Raises
    ------
    ConfigError
        It is in neither place.
    """
    import bitpim_traces
    from bitpim.errors import ConfigError

    packages = Path(bitpim_traces.__file__).parents[1]
    places = [packages / SAMPLE, packages / "share" / "bitpim" / SAMPLE]
    try:
        shipped = metadata.files("bitpim") or []
    except metadata.PackageNotFoundError:
        shipped = []
    places += [Path(str(f.locate())) for f in shipped if f.as_posix().endswith(SAMPLE)]
    for place in places:
        if place.exists():
            return place.resolve()
    raise ConfigError(
        f"the shipped trace {SAMPLE} is neither in a checkout nor installed: install bitpim anew, "
        "or name a trace: bitpim demo TRACE"
    )


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
    typer.echo("\n".join(lines))
    report.require_equal()
