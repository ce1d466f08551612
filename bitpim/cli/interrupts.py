"""Signals that end a run: SIGTERM and SIGHUP do what Ctrl-C does, and nothing is left behind."""

import _thread
import signal
import sys
import threading
from types import FrameType

__all__ = ["EXIT_SIGNAL", "answer_signals", "exit_code", "forget_signals", "is_interrupt", "words"]

EXIT_SIGNAL = 128
"""A run that a signal ended has this plus its number as exit code, as shells have it."""

_ENDING = ("SIGTERM", "SIGHUP")
_SOON = 0.02  # seconds
_seen: list[int] = []


def answer_signals() -> None:
    """Let SIGTERM and SIGHUP interrupt; one that is ignored, as under nohup, stays ignored."""
    for number in _numbers(*_ENDING):
        if signal.getsignal(number) == signal.SIG_DFL:
            signal.signal(number, _interrupt)
    sys.unraisablehook = _unraisable


def forget_signals() -> None:
    """Let each signal end the process at once again: nothing is left to be cleared up."""
    for number in _numbers("SIGINT", *_ENDING):
        if signal.getsignal(number) not in (signal.SIG_IGN, None):
            signal.signal(number, signal.SIG_DFL)
    # Python remembers that KeyboardInterrupt passed through the execution of some text, as in the
    # making of a named tuple, and would send itself SIGINT at its end; this makes it forget.
    exec("")  # noqa: S102


def is_interrupt(error: BaseException | None) -> bool:
    """Tell whether a signal caused an error, also where a library raised its own in its place.

    Python 3.11 does so, with a RuntimeError, to whatever ends a ``__set_name__``.
    """
    while error is not None and not isinstance(error, KeyboardInterrupt):
        error = error.__cause__ or error.__context__
    return error is not None


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


def _unraisable(lost: "sys.UnraisableHookArgs") -> None:
    """Let a signal that came where nothing can be raised, as while an object goes, come again."""
    if not issubclass(lost.exc_type, KeyboardInterrupt):
        sys.__unraisablehook__(lost)
        return
    again = threading.Timer(_SOON, _thread.interrupt_main, [_seen[-1] if _seen else signal.SIGINT])
    again.daemon = True
    again.start()
