"""Signals that end a run: SIGTERM and SIGHUP do what Ctrl-C does, and nothing is left behind."""

import signal
from types import FrameType

__all__ = ["EXIT_SIGNAL", "answer_signals", "exit_code", "forget_signals", "words"]

EXIT_SIGNAL = 128
"""A run that a signal ended has this plus its number as exit code, as shells have it."""

_ENDING = ("SIGTERM", "SIGHUP")
_seen: list[int] = []


def answer_signals() -> None:
    """Let SIGTERM and SIGHUP interrupt; one that is ignored, as under nohup, stays ignored."""
    for number in _numbers(*_ENDING):
        if signal.getsignal(number) == signal.SIG_DFL:
            signal.signal(number, _interrupt)


def forget_signals() -> None:
    """Let each signal end the process at once again: nothing is left to be cleared up."""
    for number in _numbers("SIGINT", *_ENDING):
        if signal.getsignal(number) not in (signal.SIG_IGN, None):
            signal.signal(number, signal.SIG_DFL)
    # Python remembers that KeyboardInterrupt passed through the execution of some text, as in the
    # making of a named tuple, and would send itself SIGINT at its end; this makes it forget.
    exec("")  # noqa: S102


def exit_code() -> int:
    """Return the exit code of a run that was interrupted."""
    return EXIT_SIGNAL + (_seen[-1] if _seen else signal.SIGINT)


def words() -> str:
    """Say what ended the run."""
    return f"ended by {signal.Signals(_seen[-1]).name}" if _seen else "interrupted"


def _numbers(*names: str) -> list[int]:
    return [int(getattr(signal, name)) for name in names if hasattr(signal, name)]


def _interrupt(number: int, frame: FrameType | None) -> None:
    _seen.append(number)
    raise KeyboardInterrupt
