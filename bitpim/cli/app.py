"""The command `bitpim`: its commands, and what becomes of an error.

Exit codes: 0 fine, 1 a bug (with traceback), 2 the command line is wrong, 3 bad input (a
file, a setting, a disk), 4 a mismatch was found, 130 interrupted.
"""

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
    plan,
    program,
    replay,
    report,
    trace,
    trace_make,
    verify,
)
from bitpim.errors import BitpimError, MismatchError

__all__ = ["app", "run"]

EXIT_BUG, EXIT_USAGE, EXIT_BAD_INPUT, EXIT_MISMATCH, EXIT_INTERRUPTED = 1, 2, 3, 4, 130

_USAGE_ERROR: Any = next(c for c in typer.BadParameter.__mro__ if c.__name__ == "UsageError")

app = typer.Typer(
    help="Bit-level functional emulator of processing-in-memory accelerators.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


trace.app.command()(trace_make.synth)
trace.app.command()(trace_make.quantize)

app.command(help=demo.HELP)(demo.demo)
app.command()(export.export)
app.add_typer(trace.app, name="trace")
app.command()(replay.replay)
app.command()(verify.verify)
app.command()(plan.plan)
app.add_typer(program.app, name="program")
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
    pass


def run(arguments: Sequence[str]) -> int:
    """Run one command line and return its exit code; every expected error is one line on stderr."""
    try:
        outcome = app(list(arguments) or ["--help"], prog_name="bitpim", standalone_mode=False)
        sys.stdout.flush()
    except _USAGE_ERROR as error:
        return _usage(error)
    except (KeyboardInterrupt, typer.Abort):
        outcome = EXIT_INTERRUPTED
    except SystemExit as end:  # a command that has said its last line itself
        return end.code if isinstance(end.code, int) else EXIT_BUG
    except MismatchError as error:
        return _fail(str(error), EXIT_MISMATCH)
    except BitpimError as error:
        return _fail(str(error), EXIT_BAD_INPUT)
    except OSError as error:
        return _fail(_os_line(error), EXIT_BAD_INPUT)
    except MemoryError:
        return _fail("out of memory; a smaller --batch needs less", EXIT_BAD_INPUT)
    except Exception as error:
        traceback.print_exc()
        return _fail(f"this is a bug in {_owner(error)}; please report the lines above", EXIT_BUG)
    if outcome == EXIT_INTERRUPTED:
        return _fail("interrupted", EXIT_INTERRUPTED)
    return outcome if isinstance(outcome, int) else 0


def _usage(error: Any) -> int:
    """Print a usage error; a group without a command shows its help instead."""
    if type(error).__name__ == "NoArgsIsHelpError":
        error.show()
        return EXIT_USAGE
    command = error.ctx.command_path if error.ctx is not None else "bitpim"
    return _fail(f"{error.format_message()} (see {command} --help)", EXIT_USAGE)


def _fail(message: str, code: int) -> int:
    line = " ".join(message.split())
    sys.stderr.write(f"bitpim: {line}\n")
    return code


def _owner(error: Exception) -> str:
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
