"""Arguments and options that several commands share, and the traces they name."""

import contextlib
import shutil
import sys
import tempfile
from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bitpim.machine import DEFAULT_MACHINE

if TYPE_CHECKING:
    from bitpim_traces.records import Trace

__all__ = [
    "Assignments",
    "Fidelity",
    "FidelityOption",
    "Jobs",
    "Json",
    "Layers",
    "MachineName",
    "Preset",
    "SampleRange",
    "TraceName",
    "opened_trace",
]


class Fidelity(StrEnum):
    """How much of the hardware is executed."""

    bit = "bit"
    integer = "integer"


TraceName = Annotated[
    str, typer.Argument(metavar="TRACE", help="Trace file, or - for standard input.")
]
MachineName = Annotated[
    str, typer.Option("--machine", "-m", help=f"Machine to run on, such as {DEFAULT_MACHINE}.")
]
Preset = Annotated[
    str | None,
    typer.Option("--preset", "-p", help="Settings of the machine: a packaged preset or a .toml."),
]
Assignments = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Change one setting. May be repeated."),
]
FidelityOption = Annotated[
    Fidelity,
    typer.Option("--fidelity", help="Every array step (bit), or exact arithmetic (integer)."),
]
SampleRange = Annotated[
    str, typer.Option("--samples", metavar="A:B", help="Samples to run, such as 0:16.")
]
Layers = Annotated[
    str | None,
    typer.Option("--layers", help="Layers to keep: names, indices and ranges, by commas."),
]
Jobs = Annotated[int | None, typer.Option("--jobs", "-j", min=1, help="Threads; all by default.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@contextlib.contextmanager
def opened_trace(name: str) -> Iterator["Trace"]:
    """Open a trace by file name, or from standard input where the name is '-'."""
    from bitpim_traces import open_trace

    if name != "-":
        _refuse_result(name)
        yield open_trace(name)
        return
    with tempfile.TemporaryDirectory(prefix="bitpim-") as folder:
        copy = Path(folder) / "stdin.h5"
        with copy.open("wb") as file:
            shutil.copyfileobj(sys.stdin.buffer, file)
        yield open_trace(copy)


def _refuse_result(name: str) -> None:
    """Raise TraceError for a result file, which is easily given in a trace's place."""
    from bitpim.errors import TraceError
    from bitpim.report.seal import bears_seal

    with contextlib.suppress(OSError):
        if bears_seal(Path(name)):
            raise TraceError(
                f"{name}: is a result file; need a trace, such as the one it was made from"
            )
