"""Arguments and options that several commands share, and the traces they name."""

import contextlib
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bitpim.cli import completion
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
    "Memory",
    "Overwrite",
    "Preset",
    "SampleRange",
    "TraceName",
    "need_other_file",
    "opened_trace",
    "refuse_taken",
]


class Fidelity(StrEnum):
    """How much of the hardware is executed."""

    bit = "bit"
    integer = "integer"


TraceName = Annotated[
    str, typer.Argument(metavar="TRACE", help="Trace file, or - for standard input.")
]
MachineName = Annotated[
    str,
    typer.Option(
        "--machine",
        "-m",
        help=f"Machine to run on, such as {DEFAULT_MACHINE}.",
        autocompletion=completion.machines,
    ),
]
Preset = Annotated[
    str | None,
    typer.Option(
        "--preset",
        "-p",
        help="Settings of the machine: a packaged preset or a .toml.",
        autocompletion=completion.presets,
    ),
]
Assignments = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="KEY[@LAYERS]=VALUE",
        help="Change one setting, of all layers or of those of a name or pattern. Repeatable.",
    ),
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
Memory = Annotated[
    float,
    typer.Option(
        "--memory", metavar="GIB", min=0.001, max=1e6, help="Memory one sample's tensors may take."
    ),
]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace the file if it exists.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@contextlib.contextmanager
def opened_trace(name: str) -> Iterator["Trace"]:
    """Open a trace by file name, or from standard input where the name is '-'."""
    from bitpim_traces import open_trace

    if name == "-":
        yield _standard_input()
        return
    _refuse_result(name)
    yield open_trace(name)


def _standard_input() -> "Trace":
    """Open a trace from standard input, by a copy that has no name once it is open."""
    from bitpim.errors import BitpimError
    from bitpim_traces import open_trace
    from bitpim_traces.whole_file import signals_held

    with contextlib.ExitStack() as stack:
        with signals_held():
            handle, copy = tempfile.mkstemp(prefix="bitpim-", suffix=".h5")
            stack.callback(os.unlink, copy)
            file = stack.enter_context(os.fdopen(handle, "wb"))
        shutil.copyfileobj(sys.stdin.buffer, file)
        file.flush()
        try:
            return open_trace(copy)
        except BitpimError as error:
            raise type(error)(str(error).replace(copy, "standard input")) from error


def refuse_taken(output: Path, overwrite: bool) -> None:
    """Raise TraceError where a trace must not be written under a name, before work is spent."""
    from bitpim.errors import TraceError
    from bitpim_traces.whole_file import refusal

    against = refusal(output, overwrite=overwrite)
    if against is not None:
        raise TraceError(against)


def need_other_file(output: Path, *sources: str | None) -> None:
    """Refuse to write over what is read, by its name or `NAME:ARRAY`."""
    for source in sources:
        for name in (source, (source or "").rpartition(":")[0]):
            path = Path(name) if name and "\0" not in name else None
            if path is not None and path.exists() and output.exists() and path.samefile(output):
                raise typer.BadParameter(f"need another file than {name}", param_hint="--output")


def _refuse_result(name: str) -> None:
    """Raise TraceError for a result file, which is easily given in a trace's place."""
    from bitpim.errors import TraceError
    from bitpim.report.seal import bears_seal

    with contextlib.suppress(OSError, ValueError):  # the reader says what is wrong
        if Path(name).is_file() and bears_seal(Path(name)):
            raise TraceError(
                f"{name}: is a result file; need a trace, such as the one it was made from"
            )
