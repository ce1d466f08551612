"""The folder of compiled kernels: private to its user, bounded, and never an obstacle.

What lies there is machine code that will be run. So it is used only where it belongs to this user
and nobody else may write to it; each file is looked at in the same way and carries a digest of
its content. Where the folder cannot be used, kernels are kept in a private one among temporary
files, or not at all; each trouble is one line on stderr, and costs time, not the run.
"""

import contextlib
import errno
import hashlib
import logging
import os
import re
import stat
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import platformdirs

__all__ = [
    "MAX_BYTES",
    "MAX_DAYS",
    "CacheFile",
    "cached_files",
    "kernel_folder",
    "prune",
    "read_sealed",
    "tell",
    "write_sealed",
]

MAX_DAYS = 30
"""Kernels that were not used for so long are removed."""
MAX_BYTES = 2**29
"""What all kernels may take; those used longest ago are removed first."""

_SEAL = b"bitpim.kernel 1\n"
_DAY = 24 * 60 * 60
_OTHERS_MAY_WRITE = stat.S_IWGRP | stat.S_IWOTH
_REMEDY = "set BITPIM_CACHE_DIR to a folder of your own"
_log = logging.getLogger("bitpim.kernels")  # unless told otherwise, logging writes it to stderr


@cache
def tell(message: str) -> None:
    """Say a line on stderr, each line once in a process."""
    _log.warning("bitpim: %s", message)


def kernel_folder(digest: str) -> Path | None:
    """Return the private folder of the kernels of one digest of sources, made where it is absent.

    It lies in the folder that BITPIM_CACHE_DIR names, or NUMBA_CACHE_DIR, or in the user's own;
    where that cannot be used, or nobody knows the user's home, in a private one among temporary
    files; where that cannot be used either, it is None and no kernel is kept.
    """
    named = os.environ.get("BITPIM_CACHE_DIR")
    numba_folder = os.environ.get("NUMBA_CACHE_DIR")
    if not named and numba_folder:
        named = str(Path(numba_folder) / "bitpim")
    return _usable(named or _own_root(), digest)


def _own_root() -> str:
    """Return the cache folder of this user; it begins with ~ where nobody knows their home."""
    try:
        return str(platformdirs.user_cache_dir("bitpim", appauthor=False))
    except RuntimeError:  # of a newer platformdirs; older ones leave the ~ as it is
        return "~"


@cache
def _usable(named: str, digest: str) -> Path | None:
    """Return the folder of a digest under the root named, or under the spare one; say which."""
    if named.startswith("~"):  # what remains where nobody knows the home of this user
        trouble = "no home folder is known"
    else:
        root = Path(named).absolute()
        trouble = _reason_against(root, digest)
        if not trouble:
            return root / digest
    try:
        spare = Path(tempfile.gettempdir()) / f"bitpim-{_user()}"
        more = _reason_against(spare, digest)
    except OSError as error:  # there is no folder for temporary files
        more = str(error.strerror or error)
    if more:
        tell(
            f"{trouble}; {more}; compiled kernels are not kept, and each run compiles them again: "
            f"{_REMEDY}"
        )
        return None
    tell(f"{trouble}; compiled kernels are kept in {spare}: {_REMEDY}")
    return spare / digest


def _reason_against(root: Path, digest: str) -> str:
    """Make root and folder where they are absent, private ones; say why they cannot be used."""
    for folder in (root, root / digest):
        try:
            _make_private(folder)
            link, found = folder.lstat(), folder.stat()
        except OSError as error:
            return f"{folder}: cannot be used ({error.strerror or error})"
        if _is_foreign(link) or _is_foreign(found):
            return f"{folder}: belongs to another user"
        if _others_may_write(found):
            return (
                f"{folder}: other users may write to it, so what is in it cannot be trusted; "
                "remove it"
            )
    if os.name == "posix" and os.access(root, os.W_OK):
        with contextlib.suppress(OSError):
            (root / digest).chmod(0o700)
    return ""


def _make_private(folder: Path) -> None:
    """Make a folder that only this user may enter, whatever the umask; leave one that is there."""
    with contextlib.suppress(FileExistsError):
        folder.parent.mkdir(parents=True, exist_ok=True)
        folder.mkdir(mode=0o700)
        if os.name == "posix":
            folder.chmod(0o700)
    if not folder.is_dir():
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(folder))


def _user() -> str:
    return str(os.geteuid()) if hasattr(os, "geteuid") else "user"


def _is_foreign(found: os.stat_result) -> bool:
    return hasattr(os, "geteuid") and found.st_uid != os.geteuid()


def _others_may_write(found: os.stat_result) -> bool:
    return os.name == "posix" and bool(found.st_mode & _OTHERS_MAY_WRITE)


def read_sealed(path: Path) -> bytes | None:
    """Return the content of a file that `write_sealed` wrote, or None where there is none.

    A file that is damaged, not ours, or open to others is not read; that is said once.
    """
    flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
    flags |= getattr(os, "O_NONBLOCK", 0)  # a pipe of that name does not make us wait
    try:
        with os.fdopen(os.open(path, flags), "rb") as file:
            found = os.fstat(file.fileno())
            if not stat.S_ISREG(found.st_mode) or _is_foreign(found):
                raise PermissionError(0, "not a file of this user")
            if _others_may_write(found):
                raise PermissionError(0, "other users may write to it")
            sealed = file.read()
            if found.st_mtime < time.time() - _DAY:
                os.utime(path)  # used: `prune` spares it
    except FileNotFoundError:
        return None
    except OSError as error:
        tell(f"{path.parent}: a kernel cannot be read ({error.strerror}); it is compiled again")
        return None
    content = sealed[len(_SEAL) + 32 :]
    if sealed != _SEAL + hashlib.sha256(content).digest() + content:
        tell(f"{path.parent}: a compiled kernel is damaged; it is compiled again")
        return None
    return content


def write_sealed(path: Path, content: bytes) -> None:
    """Write a file with its digest, whole or not at all; a full disk is said once."""
    half = None
    try:
        _make_private(path.parent)  # another process may have removed it, empty as it was
        handle, name = tempfile.mkstemp(dir=path.parent, suffix=".part")  # 0600, a new name
        half = Path(name)
        with os.fdopen(handle, "wb") as file:
            file.write(_SEAL + hashlib.sha256(content).digest() + content)
        half.replace(path)
        half = None
    except OSError as error:
        tell(
            f"{path.parent}: compiled kernels cannot be kept ({error.strerror or error}), and each "
            f"run compiles them again: make room there or {_REMEDY}"
        )
    finally:
        if half is not None:
            with contextlib.suppress(OSError):
                half.unlink()


@dataclass(frozen=True, slots=True)
class CacheFile:
    """A file in the folder of one digest of sources."""

    path: Path
    digest: str
    n_bytes: int
    used: float
    """When it was last used, to the day, in seconds of `time.time`."""


def cached_files(root: Path) -> Iterator[CacheFile]:
    """Yield every file of every digest; nothing else in the folder is ours to touch."""
    for folder in _digest_folders(root):
        for place, _, names in os.walk(folder):  # follows no links
            for name in names:
                path = Path(place, name)
                with contextlib.suppress(OSError):  # another process may remove it
                    found = path.lstat()
                    yield CacheFile(path, folder.name, found.st_size, found.st_mtime)


def _digest_folders(root: Path) -> list[Path]:
    try:
        entries = list(os.scandir(root))
    except OSError:
        return []
    is_digest = re.compile("[0-9a-f]{16}").fullmatch
    return sorted(
        Path(entry.path)
        for entry in entries
        if is_digest(entry.name) and entry.is_dir(follow_symlinks=False)
    )


def prune(
    root: Path, *, max_days: float = MAX_DAYS, max_bytes: int = MAX_BYTES, kept: str | None = None
) -> int:
    """Remove what was not used for long, then what was used longest ago; return the bytes freed.

    With `kept`, also what is of any other digest of sources.
    """
    files = sorted(cached_files(root), key=lambda file: file.used)
    total = sum(file.n_bytes for file in files)
    oldest = time.time() - max_days * _DAY
    freed = 0
    for file in files:
        is_other = kept is not None and file.digest != kept
        if is_other or file.used < oldest or total - freed > max_bytes:
            with contextlib.suppress(OSError):  # another process may have removed it
                file.path.unlink()
                freed += file.n_bytes
    for folder in _digest_folders(root):
        for place, _, _ in os.walk(folder, topdown=False):
            with contextlib.suppress(OSError):  # not empty
                Path(place).rmdir()
    return freed
