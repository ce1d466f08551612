"""The command `bitpim` and `python -m bitpim`."""

import signal
import sys

from bitpim.cli.app import run

__all__ = ["main"]


def main() -> None:
    """Run the command line and leave with its exit code."""
    if hasattr(signal, "SIGPIPE"):  # a reader that went away ends the command without a word
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    sys.exit(run(sys.argv[1:]))


if __name__ == "__main__":
    main()
