"""Numba's cache on other feet: one sealed file a compiled kernel, and no index beside them.

Numba's own files are unpickled unseen, in whatever folder they lie, and one that is damaged stops
every later run. Here nothing is unpickled that does not bear its digest, in a folder and a file
that only this user may write to; what cannot be read is compiled again.
"""

import hashlib
import pickle
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numba
from numba.core.caching import NullCache
from numba.core.compiler import CompileResult
from numba.core.serialize import dumps

from bitpim_kernels.cache_folder import kernel_folder, prune, read_sealed, tell, write_sealed

__all__ = ["KernelCache", "source_digest"]


@cache
def source_digest() -> str:
    """Return a short digest of all kernel sources and of the Numba version."""
    digest = hashlib.sha256(numba.__version__.encode())
    for path in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(path.name.encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


class KernelCache(NullCache):  # type: ignore[misc]
    """What a dispatcher of Numba asks for a compiled kernel, and gives one to keep."""

    def __init__(self, function: Callable[..., Any]) -> None:
        if function.__closure__:
            raise TypeError(f"kernel {function.__qualname__}: need a function without a closure")
        self._function = function

    @property
    def cache_path(self) -> str | None:
        """The folder, for Numba's statistics."""
        folder = kernel_folder(source_digest())
        return None if folder is None else str(folder)

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        """Return the kernel compiled for a signature, or None where it has to be compiled."""
        folder = kernel_folder(source_digest())
        if folder is None:
            return None
        target_context.refresh()
        key = self._key(sig, target_context.codegen())
        content = read_sealed(folder / self._name(key))
        if content is None:
            return None
        try:
            found, parts = pickle.loads(content)  # noqa: S301  (sealed, in a file of our own)
            return CompileResult._rebuild(target_context, *parts) if found == key else None
        except MemoryError:
            raise
        except Exception:  # whatever a file of another installation may lead to
            tell(f"{folder}: a compiled kernel does not fit this Python; it is compiled again")
            return None

    def save_overload(self, sig: Any, cres: Any) -> None:
        """Keep a compiled kernel for later runs, and remove what was not used for long."""
        if cres.lifted or cres.library.has_dynamic_globals:
            name = self._function.__qualname__
            raise TypeError(f"kernel {name}: need arrays, numbers and constants only")
        folder = kernel_folder(source_digest())
        if folder is None:
            return
        key = self._key(sig, cres.codegen)
        write_sealed(folder / self._name(key), dumps((key, cres._reduce())))
        _prune_once(folder.parent)

    def _key(self, sig: Any, codegen: Any) -> str:
        """Name everything on which the machine code depends, apart from the kernel sources."""
        settings = numba.config.OPT, numba.config.BOUNDSCHECK, numba.config.DEBUGINFO_DEFAULT
        code = self._function.__code__
        return repr(
            (
                self._function.__module__,
                self._function.__qualname__,
                code.co_firstlineno,
                hashlib.sha256(code.co_code).hexdigest(),
                _file_digest(code.co_filename),
                str(sig),
                codegen.magic_tuple(),
                sys.implementation.cache_tag + getattr(sys, "abiflags", ""),
                [str(setting) for setting in settings],
            )
        )

    def _name(self, key: str) -> str:
        digest = hashlib.sha256(key.encode()).hexdigest()
        return f"{self._function.__name__}-{digest[:32]}.kernel"


@cache
def _file_digest(name: str) -> str:
    """Return the digest of a source file; generated text has none and bears it in its name."""
    path = Path(name)
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ""


@cache
def _prune_once(root: Path) -> None:
    """Bound the cache in a process that adds to it; others need not look."""
    prune(root)
