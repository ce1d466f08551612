"""Files that appear under their name whole or not at all, whatever ends the run.

A file is written under a random name beside its target, made for it alone, and renamed at the
end. While that goes on, signals that would raise an error (Ctrl-C, and what a program adds) are
held: raised in the middle of a callback of the HDF5 library they would be swallowed, and what was
being written lost.
"""

import contextlib
import errno
import os
import secrets
import signal
import stat
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

__all__ = ["Unfinished", "refusal", "signals_held", "whole_file"]

_ENDING = ("SIGINT", "SIGTERM", "SIGHUP")


def refusal(target: Path, *, overwrite: bool) -> str | None:
    """Say why a file of this name must not be written; None where it may.

    A name that is taken is refused without `overwrite`, and always where no regular file bears it:
    a folder, a device, a pipe, a link to elsewhere.
    """
    try:
        mode = target.lstat().st_mode
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        return f"{target}: need the name of a file ({getattr(error, 'strerror', None) or error})"
    if stat.S_ISDIR(mode):
        return f"{target}: is a folder; need the name of a file"
    if stat.S_ISLNK(mode):
        return f"{target}: is a symbolic link; name the file itself"
    if not stat.S_ISREG(mode):
        return f"{target}: is a device, pipe or socket; need the name of a file"
    if not overwrite:
        return f"{target}: exists; --overwrite replaces it, or choose another name"
    return None


@dataclass(frozen=True, slots=True)
class Unfinished:
    """A file that is being written, and what to call between its parts."""

    path: Path
    raise_held: Callable[[], None]
    """Raises what a signal that was held would have raised."""


@contextlib.contextmanager
def whole_file(target: Path, *, overwrite: bool = True) -> Iterator[Unfinished]:
    """Yield an empty file that takes the target's name if all goes well, and else vanishes.

    Raises
    ------
    OSError
        The file cannot be made, kept on the disk or renamed; FileExistsError where the name was
        taken meanwhile.
    """
    with signals_held() as raise_held:
        path = _new_beside(target)
        try:
            yield Unfinished(path, raise_held)
            _to_disk(path)
            raise_held()
            _give_name(path, target, overwrite=overwrite)
        finally:
            with contextlib.suppress(OSError):
                path.unlink(missing_ok=True)
        with contextlib.suppress(OSError):  # not every system lets a folder be synchronized
            _to_disk(target.parent)


@contextlib.contextmanager
def signals_held() -> Iterator[Callable[[], None]]:
    """Hold signals that Python code answers until the end, or until what is yielded is called.

    Python answers signals in its main thread alone: elsewhere there is nothing to hold.
    """
    if threading.current_thread() is not threading.main_thread():
        yield lambda: None
        return
    held: list[int] = []
    answers: dict[int, Any] = {}

    def raise_held() -> None:
        while held:
            number = held.pop(0)
            answers[number](number, None)

    for name in _ENDING:
        number = getattr(signal, name, None)
        if number is not None and callable(signal.getsignal(number)):
            answers[number] = signal.signal(number, lambda number, _: held.append(number))
    try:
        yield raise_held
    finally:
        for number, answer in answers.items():
            signal.signal(number, answer)
    raise_held()


def _new_beside(target: Path) -> Path:
    """Make an empty file of a new name; nothing is followed or replaced."""
    flags = os.O_CREAT | os.O_EXCL | os.O_WRONLY | getattr(os, "O_NOFOLLOW", 0)
    path = target.parent / f".bitpim-{secrets.token_hex(8)}.part"
    os.close(os.open(path, flags, 0o666))
    return path


def _give_name(path: Path, target: Path, *, overwrite: bool) -> None:
    """Rename the file; without `overwrite` only where the name is free at that moment."""
    if overwrite:
        path.replace(target)
        return
    try:
        target.hardlink_to(path)
    except FileExistsError as error:
        raise FileExistsError(errno.EEXIST, "exists by now", str(target)) from error
    except OSError:  # a file system without links
        if target.exists():
            raise FileExistsError(errno.EEXIST, "exists by now", str(target)) from None
        path.replace(target)


def _to_disk(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
