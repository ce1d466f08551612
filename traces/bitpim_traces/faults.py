"""One way to say what is wrong with a trace, whether it is raised or listed."""

from collections.abc import Callable
from dataclasses import dataclass

from bitpim_traces.errors import (
    TraceDataError,
    TraceError,
    TraceFormatError,
    TraceTooNew,
    TraceTooOld,
)

__all__ = ["Fault", "Report", "raising_report", "shown"]

_ERRORS: dict[str, type[TraceError]] = {
    "format": TraceFormatError,
    "data": TraceDataError,
    "too_old": TraceTooOld,
    "too_new": TraceTooNew,
}
_ADVICE = {
    "format": "make the trace again, or list all faults with `bitpim trace check`",
    "data": "get the file again or make it again; `bitpim trace check --deep` lists all faults",
    "too_old": "read it with the release that wrote it and write it again",
    "too_new": "install a newer bitpim",
}


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing wrong: where in the file, what was needed and what was got.

    `sort` is "format" (structure), "data" (numbers), "too_old" or "too_new" (version).
    """

    where: str
    need: str
    got: str
    sort: str = "format"

    def __str__(self) -> str:
        return f"{self.where}: need {self.need}, got {self.got}"

    def error(self, file: str, advice: str = "") -> TraceError:
        """Make the error that this fault raises when the file is opened."""
        return _ERRORS[self.sort](f"{file}: {self}; {advice or _ADVICE[self.sort]}")


Report = Callable[[Fault], None]
"""Takes a fault: raises it (opening a file) or keeps it (checking a file)."""


def raising_report(file: str, advice: str = "") -> Report:
    """Make a report that raises the first fault it is told; `advice` replaces the usual one."""

    def report(fault: Fault) -> None:
        raise fault.error(file, advice)

    return report


def shown(value: object) -> str:
    """Write a value from a file so that it fits a message of one line."""
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."
