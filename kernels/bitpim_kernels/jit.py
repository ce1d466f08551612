"""The one decorator for kernels: Numba's ``njit`` with a cache that notices every edit.

Numba's own cache looks at the decorated file only; an edit in a callee of another file goes
unnoticed. Here the cache folder carries a digest of all kernel sources, so any edit starts a
fresh one. Old folders are removed by ``bitpim cache --prune``.
"""

import hashlib
import os
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

import numba
import platformdirs

__all__ = ["cache_root", "kernel", "source_digest"]

Function = TypeVar("Function", bound=Callable[..., Any])


@cache
def source_digest() -> str:
    """Return a short digest of all kernel sources and of the Numba version."""
    digest = hashlib.sha256(numba.__version__.encode())
    for path in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(path.name.encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def cache_root() -> Path:
    """Return the folder that holds one cache folder per source digest."""
    named = os.environ.get("BITPIM_CACHE_DIR")
    return Path(named) if named else Path(platformdirs.user_cache_dir("bitpim", appauthor=False))


def kernel() -> Callable[[Function], Function]:
    """Compile a pure function of arrays: nogil, cached on disk, no fastmath.

    A ``NUMBA_CACHE_DIR`` set by the user is respected.
    """

    def decorate(function: Function) -> Function:
        folder = numba.config.CACHE_DIR
        if not os.environ.get("NUMBA_CACHE_DIR"):
            numba.config.CACHE_DIR = str(cache_root() / source_digest())
        try:
            jitted = numba.njit(nogil=True, cache=True)(function)
        finally:
            numba.config.CACHE_DIR = folder
        return jitted  # type: ignore[no-any-return]

    return decorate
