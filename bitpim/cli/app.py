"""The command `bitpim`: its commands, and what becomes of an error.

What each exit code means stands in the README of bitpim.
"""

import contextlib
import sys
import traceback
from collections.abc import Sequence
from typing import Annotated, Any

import typer

from bitpim.cli import (
    cache,
    catalogue,
    compare,
    config,
    cost,
    demo,
    export,
    interrupts,
    plan,
    program,
    record,
    replay,
    report,
    search,
    trace,
    trace_cluster,
    trace_codebooks,
    trace_make,
    trace_prune,
    vectors,
    verify,
)
from bitpim.cli.memory import LIBRARY_BYTES, require_room
from bitpim.errors import BitpimError, MismatchError

__all__ = ["app", "run"]

EXIT_FINE, EXIT_BUG, EXIT_USAGE, EXIT_BAD_INPUT, EXIT_MISMATCH = range(5)
EXIT_INTERRUPTED = interrupts.EXIT_SIGNAL + 2
EXIT_BROKEN_PIPE = interrupts.EXIT_SIGNAL + 13

_SHORT_OF_MEMORY = "out of memory; let bitpim use more"
_MEMORY_WORDS = ("allocate memory", "failed to map", "out of memory")

_USAGE_ERROR: Any = next(c for c in typer.BadParameter.__mro__ if c.__name__ == "UsageError")

app = typer.Typer(
    help="Bit-level functional emulator of processing-in-memory accelerators.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


trace.app.command()(trace_make.synth)
trace.app.command()(trace_make.quantize)
trace.app.command()(trace_prune.prune)
trace.app.command()(trace_prune.masks)
trace.app.command()(trace_cluster.cluster)
trace.app.command()(trace_codebooks.codebooks)
trace.app.command()(trace_codebooks.level)

app.command(help=demo.HELP)(demo.demo)
app.command()(export.export)
app.add_typer(trace.app, name="trace")
app.command()(replay.replay)
app.command()(record.record)
app.add_typer(vectors.app, name="vectors")
app.command()(verify.verify)
app.command()(plan.plan)
app.add_typer(program.app, name="program")
app.command()(search.search)
app.command()(cost.cost)
app.command()(compare.compare)
app.command()(report.report)
app.command()(catalogue.machines)
app.command()(catalogue.presets)
app.command()(catalogue.prices)
app.add_typer(config.app, name="config")
app.command()(cache.cache)


def _show_version(wanted: bool) -> None:
    if wanted:
        from bitpim import __version__

        typer.echo(f"bitpim {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version."),
    ] = False,
) -> None:
    require_room(LIBRARY_BYTES)


def run(arguments: Sequence[str]) -> int:
    """Run one command line and return its exit code; every expected error is one line on stderr."""
    try:
        outcome = app(list(arguments) or ["--help"], prog_name="bitpim", standalone_mode=False)
        sys.stdout.flush()
    except BaseException as error:
        return _ended_by(error)
    if outcome == EXIT_INTERRUPTED:  # some versions of typer say so
        return _interrupted()
    return outcome if isinstance(outcome, int) else EXIT_FINE


def _ended_by(error: BaseException) -> int:
    """Say what ended a command, and return its exit code."""
    if isinstance(error, SystemExit) and isinstance(error.__context__, BrokenPipeError):
        error = error.__context__
    if isinstance(error, BrokenPipeError):
        return EXIT_BROKEN_PIPE  # a reader that went away ends the command without a word
    if isinstance(error, typer.Abort) and isinstance(error.__cause__, EOFError):
        error = error.__cause__  # typer takes it for the end of a dialogue; there is none
    match error:
        case SystemExit():  # a command that has said its last line itself
            said = error.code == EXIT_INTERRUPTED
            return interrupts.exit_code() if said else _code_of(error)
        case KeyboardInterrupt() | typer.Abort():
            return _interrupted()
        case MismatchError():
            return _fail(str(error), EXIT_MISMATCH)
        case BitpimError():
            return _fail(str(error), EXIT_BAD_INPUT)
        case MemoryError():
            return _fail(_SHORT_OF_MEMORY, EXIT_BAD_INPUT)
        case OSError():
            return _fail(_os_line(error), EXIT_BAD_INPUT)
    if isinstance(error, _USAGE_ERROR):
        return _usage(error)
    if _is_short_of_memory(error):
        return _fail(_SHORT_OF_MEMORY, EXIT_BAD_INPUT)
    if interrupts.is_interrupt(error):
        return _interrupted()
    with contextlib.suppress(OSError):
        traceback.print_exception(error)
    return _fail(f"this is a bug in {_owner(error)}; please report the lines above", EXIT_BUG)


def _code_of(end: SystemExit) -> int:
    if end.code is None:
        return EXIT_FINE
    return end.code if isinstance(end.code, int) else EXIT_BUG


def _interrupted() -> int:
    return _fail(interrupts.words(), interrupts.exit_code())


def _usage(error: Any) -> int:
    """Print a usage error; a group without a command shows its help instead."""
    if type(error).__name__ == "NoArgsIsHelpError":
        error.show()
        return EXIT_USAGE
    command = error.ctx.command_path if error.ctx is not None else "bitpim"
    return _fail(f"{error.format_message()} (see {command} --help)", EXIT_USAGE)


def _fail(message: str, code: int) -> int:
    from bitpim.report.text import printable

    line = printable(" ".join(message.split()))
    with contextlib.suppress(OSError, ValueError):  # nobody can be told
        sys.stderr.write(f"bitpim: {line}\n")
        sys.stderr.flush()
    return code


def _owner(error: BaseException) -> str:
    """Name the package to which a bug belongs: bitpim, or one that registers a machine."""
    from bitpim.machine.registry import machine_packages

    frames = traceback.walk_tb(error.__traceback__)
    packages = [str(f.f_globals.get("__name__", "")).partition(".")[0] for f, _ in frames]
    known = machine_packages()
    return next((name for name in reversed(packages) if name in known), "bitpim")


def _os_line(error: OSError) -> str:
    """Say file and reason of an error of the operating system."""
    name = f"{error.filename}: " if error.filename else ""
    return f"{name}{error.strerror or error}"


def _is_short_of_memory(error: BaseException | None) -> bool:
    """Tell whether memory was short where a library says so in its own way, or replaced it."""
    while error is not None:
        is_of_a_library = isinstance(error, ImportError | RuntimeError)
        said = str(error).lower() if is_of_a_library else ""
        if isinstance(error, MemoryError) or any(words in said for words in _MEMORY_WORDS):
            return True
        error = error.__cause__ or error.__context__
    return False
