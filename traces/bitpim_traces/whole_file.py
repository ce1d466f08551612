"""Files that appear under their name whole or not at all, whatever ends the run.

A file is written without a name, where the system makes such files, so that not even a kill leaves
one; elsewhere under a random name beside its target, made for it alone. It gets its own name at the
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

_DESCRIPTORS = Path("/proc/self/fd")
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
        with _new_file(target.parent) as half:
            yield Unfinished(half.path, raise_held)
            _to_disk(half.path)
            raise_held()
            _give_name(half, target, overwrite=overwrite)
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


@dataclass(frozen=True, slots=True)
class _Half:
    """A new file: one without a name has a descriptor, by which it can be opened meanwhile."""

    path: Path
    descriptor: int | None = None

    def link_to(self, name: Path) -> None:
        """Give the file a name, which must be free."""
        if self.descriptor is None:
            name.hardlink_to(self.path)
            return
        folder = os.open(_DESCRIPTORS, os.O_RDONLY)
        try:
            os.link(str(self.descriptor), name, src_dir_fd=folder, follow_symlinks=True)
        finally:
            os.close(folder)


@contextlib.contextmanager
def _new_file(folder: Path) -> Iterator[_Half]:
    """Yield an empty file in a folder, unnamed if it can be; nothing is followed or replaced."""
    descriptor = _unnamed(folder)
    if descriptor is not None:
        try:
            yield _Half(_DESCRIPTORS / str(descriptor), descriptor)
        finally:
            os.close(descriptor)
        return
    path = _random_name(folder)
    flags = os.O_CREAT | os.O_EXCL | os.O_WRONLY | getattr(os, "O_NOFOLLOW", 0)
    os.close(os.open(path, flags, 0o666))
    try:
        yield _Half(path)
    finally:
        with contextlib.suppress(OSError):
            path.unlink(missing_ok=True)


def _unnamed(folder: Path) -> int | None:
    """Open a new file that has no name; None where neither system nor folder has such files."""
    flag = getattr(os, "O_TMPFILE", None)
    if flag is None or not _DESCRIPTORS.is_dir():
        return None
    try:
        return os.open(folder, flag | os.O_RDWR, 0o666)
    except OSError:  # what else is wrong with the folder, a named file will find
        return None


def _random_name(folder: Path) -> Path:
    return folder / f".bitpim-{secrets.token_hex(8)}.part"


def _give_name(half: _Half, target: Path, *, overwrite: bool) -> None:
    """Give the file its name; without `overwrite` only where the name is free at that moment."""
    if not overwrite:
        try:
            half.link_to(target)
            return
        except FileExistsError as error:
            raise FileExistsError(errno.EEXIST, "exists by now", str(target)) from error
        except OSError as error:  # a file system without links
            if target.exists():
                raise FileExistsError(errno.EEXIST, "exists by now", str(target)) from error
    if half.descriptor is None:
        half.path.replace(target)
        return
    path = _random_name(target.parent)
    try:
        half.link_to(path)
        path.replace(target)
    finally:
        with contextlib.suppress(OSError):
            path.unlink(missing_ok=True)


def _to_disk(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
