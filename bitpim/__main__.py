"""The command `bitpim` and `python -m bitpim`."""

import signal
import sys

from bitpim.cli import interrupts, streams

__all__ = ["main"]


def main() -> None:
    """Run the command line and leave with its exit code."""
    streams.open_streams()
    interrupts.answer_signals()
    try:
        from bitpim.cli.memory import START_BYTES, require_room

        require_room(START_BYTES)  # short of it, Python fails in any of its own modules
        from bitpim.cli.app import run

        code = run(sys.argv[1:])
    except BaseException as error:  # before there was a command, or after it
        if interrupts.is_interrupt(error):
            line, code = interrupts.words(), interrupts.exit_code()
        elif isinstance(error, MemoryError | ImportError):  # of Python's own modules
            line, code = f"cannot start: {str(error) or 'out of memory'}", 3
        else:
            raise
        sys.stderr.write(f"bitpim: {line}\n")
    interrupts.forget_signals()
    streams.drop_output()
    if hasattr(signal, "SIGPIPE") and code == interrupts.EXIT_SIGNAL + signal.SIGPIPE:
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # the reader went away: end as others do
        signal.raise_signal(signal.SIGPIPE)
    sys.exit(code)


if __name__ == "__main__":
    main()
